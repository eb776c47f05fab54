"""The swap, for tools that construct their hook caller by name. It replaces that class and puts it back afterwards.

::

    with isolated_hooks.swap("pdm.builders.base") as swapped:
        ...                      # call the tool here, so that it builds
    swapped.reports              # the protections of each hook call
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType, TracebackType
from typing import Any, ClassVar, TypeGuard

import pyproject_hooks

from .caller import IsolatedHooksMixin
from .errors import SwapError
from .frozen import dataclass
from .hookcall import SubprocessRunner
from .policy import Policy
from .report import HookReport
from .runner import IsolatedRunner
from .text import visible

__all__ = ["Swap", "swap"]

# Every version of pyproject_hooks.BuildBackendHookCaller has these methods. No other class has all of them.
_METHODS = (
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_wheel",
    "subprocess_runner",
)


class _Swapped(IsolatedHooksMixin):
    """The base that precedes the original class in each swapped class. It refers to the swap that made the class."""

    _swap: ClassVar[Swap]

    def _runner_of(self, policy: Policy | None, runner: SubprocessRunner | None) -> IsolatedRunner:
        self._swap.constructed += 1
        if policy is not None:
            own = super()._runner_of(policy, runner)
            answers = self._swap.runner.answers
            return own if answers is None else own.answered(answers)
        inner = runner.inner if isinstance(runner, IsolatedRunner) else runner
        return self._swap.runner.wrapping(inner or pyproject_hooks.default_subprocess_runner)


def _isolated(original: type, owner: Swap) -> type:
    members = {"_swap": owner, "__module__": original.__module__, "__doc__": original.__doc__}
    return type(original.__name__, (_Swapped, original), members)


def _root(caller: type) -> type:
    """Return the class that every hook caller of this kind inherits from."""
    return next(base for base in reversed(caller.__mro__) if _is_hook_caller(base))


@dataclass(frozen=True)
class _Binding:
    """A name in a module, and the class that it refers to."""

    module: ModuleType
    name: str
    original: type

    def __str__(self) -> str:
        return f"{self.module.__name__}:{self.name}"


class Swap:
    """A swap in force. :func:`swap` makes it; :meth:`undo` or the end of its ``with`` block ends it.

    :ivar runner: the :class:`IsolatedRunner` from which each hook caller gets a runner of its own
    :ivar places: the swapped names, a tuple of ``module:name``
    :ivar constructed: the number of hook callers that the swapped classes have made
    """

    def __init__(self, target: str, bindings: Iterable[_Binding], runner: IsolatedRunner, *, unused_ok: bool) -> None:
        self._target = target
        self.runner = runner
        self._unused_ok = unused_ok
        self._bindings = tuple(bindings)
        self._classes = {binding.original: _isolated(binding.original, self) for binding in self._bindings}
        self._guards: dict[type, tuple[Callable[..., None], Callable[..., None]]] = {}
        self._in_force = True
        self.constructed = 0
        self.places = tuple(map(str, self._bindings))
        for root in dict.fromkeys(_root(binding.original) for binding in self._bindings):
            self._guard(root)
        for binding in self._bindings:
            setattr(binding.module, binding.name, self._classes[binding.original])

    @property
    def reports(self) -> list[HookReport]:
        """One report for each hook call so far, of all callers."""
        return self.runner.reports

    def undo(self) -> None:
        """Put the original classes back. Existing callers keep their sandbox. A second call does nothing.

        :raises SwapError: other code has replaced a swapped name since, or a later swap is in force; nothing changes
        """
        if not self._in_force:
            return
        for binding in self._bindings:
            if getattr(binding.module, binding.name, None) is not self._classes[binding.original]:
                raise SwapError(f"{binding} was replaced again after the swap: undo that replacement first")
        for root, (_, guard) in self._guards.items():
            if root.__dict__.get("__init__") is not guard:
                raise SwapError(f"another swap of {root.__module__}:{root.__name__} is in force: undo that swap first")
        for binding in self._bindings:
            setattr(binding.module, binding.name, binding.original)
        for root, (original, _) in self._guards.items():
            root.__init__ = original  # type: ignore[misc]
        self._in_force = False

    def __enter__(self) -> Swap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()
        # A command line that succeeds raises SystemExit, too.
        succeeded = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        if succeeded and not self.constructed and not self._unused_ok:
            raise SwapError(
                f"{' and '.join(self.places)} was swapped, but no hook caller was made from it. If the tool built "
                "something, another process or another class ran the hooks without a sandbox. Remedy: swap the module "
                "that constructs the hook caller, or pass unused_ok=True if the tool may have nothing to build"
            )

    def _guard(self, root: type) -> None:
        """Refuse every hook caller of the same kind that the tool constructs by a name that the swap did not find."""
        original = root.__init__  # type: ignore[misc]
        target = self._target

        @functools.wraps(original)
        def guard(self: object, *args: Any, **kwargs: Any) -> None:
            if not isinstance(self, IsolatedHooksMixin):
                name = f"{type(self).__module__}:{type(self).__qualname__}"
                raise SwapError(
                    f"{name} was constructed by a name that the swap of {target!r} does not reach, so its hooks would "
                    "run without a sandbox. Remedy: swap the module that constructs it, too"
                )
            original(self, *args, **kwargs)

        self._guards[root] = (original, guard)
        root.__init__ = guard  # type: ignore[misc]


def swap(
    target: str, policy: Policy | None = None, *, runner: IsolatedRunner | None = None, unused_ok: bool = False
) -> Swap:
    """Replace the hook caller that a tool constructs by name with one whose hooks run in a sandbox.

    The swap changes the whole process, for all of its threads. While it is in force, constructing any other hook caller
    of the same kind raises :exc:`SwapError`. The returned :class:`Swap` is a context manager that undoes the change;
    without a ``with`` block, call :meth:`Swap.undo`.

    :param target: ``module`` or ``module:Class``. A module stands for every hook caller class that the module and its
        loaded submodules name, or look up in a module that they import.
    :param policy: what hooks may do. Defaults to ``Policy()``.
    :param runner: the runner from which each caller gets its own, instead of ``policy``
    :param unused_ok: whether the ``with`` block may end without a hook caller having been made
    :raises SwapError: there is nothing to swap; at the end of the ``with`` block, no hook caller was made
    :raises ValueError: the caller gave both a policy and a runner
    """
    if policy is not None and runner is not None:
        raise ValueError("give a policy or a runner, not both")
    if runner is None:
        runner = IsolatedRunner(policy)
        runner.unpacked = ("build_sdist",)  # a tool that builds a wheel from its own sdist unpacks the sdist
    return Swap(target, _bindings(target), runner, unused_ok=unused_ok)


def _bindings(target: str) -> list[_Binding]:
    name, colon, attribute = target.partition(":")
    if colon:
        return [_named(_import(name, target), attribute, target)]
    module = _import(name, target)
    inside = [m for n, m in list(sys.modules.items()) if m is not None and n.startswith(f"{name}.")]
    searched = [module, *inside]
    # ``pyproject_hooks.BuildBackendHookCaller(...)`` looks the class up in the imported module at each call.
    used = [value for m in searched for value in list(vars(m).values()) if isinstance(value, ModuleType)]
    bindings = [binding for m in dict.fromkeys([*searched, *used]) for binding in _callers_of(m)]
    if not bindings and any(_is_swapped(value) for m in (*searched, *used) for value in list(vars(m).values())):
        raise SwapError(f"there is nothing to swap in {visible(target)!r}: it is in a sandbox already")
    if not bindings:
        raise SwapError(
            f"there is nothing to swap in {visible(target)!r}: neither the module nor its loaded submodules name a "
            "BuildBackendHookCaller. Remedy: name the module that constructs it, or the class as 'module:Class'"
        )
    return bindings


def _named(module: ModuleType, attribute: str, target: str) -> _Binding:
    value = getattr(module, attribute, None)
    if not _is_hook_caller(value):
        problem = "does not exist" if value is None else "is not a hook caller class"
        if _is_swapped(value):
            problem = "is in a sandbox already"
        raise SwapError(f"there is nothing to swap: {visible(target)!r} {problem}")
    return _Binding(module, attribute, value)


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, TypeError, ValueError) as error:  # a relative or an empty name
        raise SwapError(f"there is nothing to swap: {visible(target)!r} cannot be imported: {error}") from error


def _callers_of(module: ModuleType) -> Iterator[_Binding]:
    for name, value in list(vars(module).items()):
        if _is_hook_caller(value):
            yield _Binding(module, name, value)


def _is_swapped(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, IsolatedHooksMixin)


def _is_hook_caller(value: object) -> TypeGuard[type]:
    return (
        isinstance(value, type)
        and not issubclass(value, IsolatedHooksMixin)
        and all(callable(getattr(value, method, None)) for method in _METHODS)
    )
