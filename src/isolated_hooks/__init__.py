"""Run the build hooks of other people's packages in a Linux sandbox.

::

    from isolated_hooks import IsolatedHookCaller  # instead of pyproject_hooks.BuildBackendHookCaller
"""

from . import startup  # noqa: F401  # isort: skip  # must run before any other import
from .caller import IsolatedHookCaller, IsolatedHooksMixin
from .errors import (
    HookKilledError,
    HookProcessError,
    HookTimeoutError,
    IsolatedHooksError,
    IsolationDegradedWarning,
    PolicyError,
    SandboxSetupError,
    SandboxUnavailableError,
    SwapError,
    UntrustedResultError,
    WritablePathWarning,
)
from .policy import Limits, Policy, load_policy
from .protections import Protection, ProtectionState, ProtectionStatus
from .report import HookReport
from .runner import IsolatedRunner
from .swapping import Swap, swap

__version__ = "0.1.0"

__all__ = [
    "HookKilledError",
    "HookProcessError",
    "HookReport",
    "HookTimeoutError",
    "IsolatedHookCaller",
    "IsolatedHooksError",
    "IsolatedHooksMixin",
    "IsolatedRunner",
    "IsolationDegradedWarning",
    "Limits",
    "Policy",
    "PolicyError",
    "Protection",
    "ProtectionState",
    "ProtectionStatus",
    "SandboxSetupError",
    "SandboxUnavailableError",
    "Swap",
    "SwapError",
    "UntrustedResultError",
    "WritablePathWarning",
    "load_policy",
    "swap",
]
