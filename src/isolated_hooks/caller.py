"""The hook caller: pyproject_hooks' own, with every hook in a sandbox."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyproject_hooks

from .hookcall import SubprocessRunner
from .policy import Policy
from .report import HookReport
from .runner import IsolatedRunner

__all__ = ["IsolatedHookCaller", "IsolatedHooksMixin"]


class IsolatedHooksMixin:
    """Puts every hook of a ``BuildBackendHookCaller`` into a sandbox, for instance of a vendored one::

        class HookCaller(IsolatedHooksMixin, theirs.BuildBackendHookCaller): ...

    The arguments are those of the other class, and ``policy``, a :class:`Policy`, by keyword.

    :raises TypeError: a class has it behind the other one, where it would do nothing
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__mro__:
            if base is IsolatedHooksMixin:
                return
            if "subprocess_runner" in vars(base) and not issubclass(base, IsolatedHooksMixin):
                raise TypeError(
                    f"hooks of {cls.__qualname__} would run without a sandbox: IsolatedHooksMixin has to stand before "
                    f"{base.__qualname__}"
                )

    def __init__(self, *args: Any, policy: Policy | None = None, **kwargs: Any) -> None:
        bound = inspect.signature(super().__init__).bind(*args, **kwargs)
        # The runner by its name, also where a constructor of another class takes whatever it gets.
        runner = {**bound.kwargs, **bound.arguments}.get("runner")
        self._isolated_runner = self._runner_of(policy, runner)
        super().__init__(*args, **kwargs)
        # Whatever that constructor did with its runner, from here on ours is in its place, for good.
        self._own_runner = super().subprocess_runner(self._isolated_runner)  # type: ignore[misc]
        self._own_runner.__enter__()
        _check_backend_path(getattr(self, "source_dir", "."), getattr(self, "backend_path", None))

    @property
    def reports(self) -> list[HookReport]:
        """A report for each hook call so far."""
        return self._isolated_runner.reports

    def _runner_of(self, policy: Policy | None, runner: SubprocessRunner | None) -> IsolatedRunner:
        """Return the runner for all hooks, given the constructor's arguments."""
        if isinstance(runner, IsolatedRunner):
            return runner if policy is None else IsolatedRunner(policy, runner.inner)
        return IsolatedRunner(policy, runner)

    @contextlib.contextmanager
    def subprocess_runner(self, runner: SubprocessRunner) -> Iterator[None]:
        """Have another runner start the hooks within the context, in the sandbox as before."""
        with super().subprocess_runner(self._isolated_runner.wrapping(runner)):  # type: ignore[misc]
            yield


class IsolatedHookCaller(IsolatedHooksMixin, pyproject_hooks.BuildBackendHookCaller):
    """A :class:`pyproject_hooks.BuildBackendHookCaller` that runs every hook in a sandbox.

    :param source_dir: the source tree
    :param build_backend: the backend, as ``build-backend`` in pyproject.toml names it
    :param backend_path: directories of the source tree to find the backend in
    :param runner: the frontend's own subprocess runner; it starts the sandbox
    :param python_executable: the interpreter of the build environment; the running one where it is left out
    :param policy: what hooks may do; the default policy where it is left out
    :raises ValueError: a backend path leads out of the source tree
    """

    def __init__(
        self,
        source_dir: str,
        build_backend: str,
        backend_path: Sequence[str] | None = None,
        runner: SubprocessRunner | None = None,
        python_executable: str | None = None,
        *,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(source_dir, build_backend, backend_path, runner, python_executable, policy=policy)


def _check_backend_path(source_dir: str, backend_path: Sequence[str] | None) -> None:
    """Compare whole components: pyproject_hooks before 1.3 takes ``../pkg-evil`` for a part of ``pkg``."""
    source = os.path.abspath(source_dir)
    for path in backend_path or ():
        if os.path.commonpath((source, os.path.abspath(os.path.join(source, path)))) != source:
            raise ValueError("paths must be inside source tree")
