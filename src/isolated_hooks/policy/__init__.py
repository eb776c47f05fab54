"""The operator's policy, its limits, and the policy file.

Only :func:`load_policy` touches the system: it reads the one file that its caller names. The operator writes the
policy. We never read it from the source tree that is being built.
"""

from __future__ import annotations

from .checks import parse_size
from .file import PolicyFile, load_policy
from .keys import DEFAULT_REQUIRE, HOOKS
from .limits import Limits
from .policy import Policy, Source

__all__ = ["DEFAULT_REQUIRE", "HOOKS", "Limits", "Policy", "PolicyFile", "Source", "load_policy", "parse_size"]
