"""Run the attack suite in one hook of the package that PYTHONPATH names, and print what succeeded, as JSON.

``python attack.py PACKAGE attacks|confined``; ``PACKAGE`` is the directory that the package has to come from.
"""

from __future__ import annotations

import json
import sys
import warnings

import isolated_hooks
from isolated_hooks import Policy
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
from isolated_hooks.selftest.attacks.table import QUICK
from isolated_hooks.selftest.conduct import conduct

_NAMESPACES = frozenset((Identity.USER, Identity.SINGLE, Identity.RANGE, Identity.MIRROR, Identity.SHARED))


def main(package: str, tier: str) -> None:
    """Print the names of the attacks that succeeded."""
    assert isolated_hooks.__file__.startswith(package), isolated_hooks.__file__
    warnings.simplefilter("ignore")
    policy = Policy()
    if tier == "confined":
        refused = {"syscall": "unshare", "errno": 1, "stage": "identity"}
        trial.refused_identities = lambda *_: _NAMESPACES
        trial._tried = {(Identity.USER, (), False, "native"): refused}
        policy = Policy(allow_degraded=["no-namespaces"])
    outcome = conduct("build_wheel", sandboxed=True, attacks=QUICK, policy=policy)
    print(json.dumps(sorted(name for name, succeeded in outcome.succeeded.items() if succeeded)))


if __name__ == "__main__":
    main(*sys.argv[1:])
