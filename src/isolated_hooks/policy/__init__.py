"""What the operator allows: the policy, its limits, and the file that both can be read from.

Nothing here asks the system for anything, except :func:`load_policy`, which reads the one file that it is given.
A policy is the operator's word: it is never read from the source tree that is being built.
"""

from __future__ import annotations

from .checks import parse_size
from .file import PolicyFile, load_policy
from .keys import DEFAULT_REQUIRE, HOOKS
from .limits import Limits
from .policy import Policy, Source

__all__ = ["DEFAULT_REQUIRE", "HOOKS", "Limits", "Policy", "PolicyFile", "Source", "load_policy", "parse_size"]
