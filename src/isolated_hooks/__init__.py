"""Run the build hooks of other people's packages in a Linux sandbox.

::

    from isolated_hooks import IsolatedHookCaller  # instead of pyproject_hooks.BuildBackendHookCaller
"""

from typing import TYPE_CHECKING

from . import startup  # noqa: F401  # isort: skip  # must run before any other import
from .lazily import as_at_the_start, steered_entry

if TYPE_CHECKING:
    from .answers import Answers
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
    from .many import BuildRequest, BuildResult, BuiltFile, Outcome, UsedWheel, build_many
    from .policy import Limits, Policy, load_policy
    from .protections import Protection, ProtectionState, ProtectionStatus
    from .report import HookReport
    from .runner import IsolatedRunner
    from .swapping import Swap, swap

__version__ = "0.1.0"

__all__ = [
    "Answers",
    "BuildRequest",
    "BuildResult",
    "BuiltFile",
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
    "Outcome",
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
    "UsedWheel",
    "WritablePathWarning",
    "build_many",
    "load_policy",
    "swap",
]

# The modules that define the public names. They are imported when a name is first used.
_MODULES = {
    "answers": "Answers",
    "caller": "IsolatedHookCaller IsolatedHooksMixin",
    "errors": "HookKilledError HookProcessError HookTimeoutError IsolatedHooksError IsolationDegradedWarning "
    "PolicyError SandboxSetupError SandboxUnavailableError SwapError UntrustedResultError WritablePathWarning",
    "many": "BuildRequest BuildResult BuiltFile Outcome UsedWheel build_many",
    "policy": "Limits Policy load_policy",
    "protections": "Protection ProtectionState ProtectionStatus",
    "report": "HookReport",
    "runner": "IsolatedRunner",
    "swapping": "Swap swap",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import a public name, or a module that defines some, when it is first used (PEP 562)."""
    module = name if name in _MODULES else _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    entry = steered_entry()
    if entry is not None:
        from .errors import PolicyError  # it is there since the hook

        raise PolicyError(
            f"isolated_hooks.{name}: not imported, because sys.path names {entry!r}, where a hook may have put a "
            "module. Remedy: import the name before the first hook, or remove the entry"
        )
    with as_at_the_start():
        loaded = importlib.import_module(f".{module}", __name__)
    value = loaded if name in _MODULES else getattr(loaded, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
