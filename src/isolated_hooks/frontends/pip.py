"""Stand-in until the branch with `isolated-hooks pip` is merged."""

import sys

from ..policy import Policy


def command(policy: Policy) -> list[str]:
    return [sys.executable, "-m", "pip"]
