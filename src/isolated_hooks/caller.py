"""A hook caller that runs every hook in a sandbox."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyproject_hooks

from .lazily import as_at_the_start

if TYPE_CHECKING:
    from .answers import Answers
    from .hookcall import SubprocessRunner
    from .policy import Policy
    from .report import HookReport
    from .runner import IsolatedRunner

__all__ = ["IsolatedHookCaller", "IsolatedHooksMixin"]


class IsolatedHooksMixin:
    """Makes a ``BuildBackendHookCaller`` run every hook in a sandbox. It also works with a vendored copy::

        class HookCaller(IsolatedHooksMixin, theirs.BuildBackendHookCaller): ...

    The constructor takes the arguments of the other class and the keyword ``policy``, a :class:`Policy`. Without it, an
    :class:`IsolatedRunner` passed as ``runner`` keeps its own policy; any other runner gets the default policy. The
    keyword ``answers``, an :class:`Answers`, has recorded answers of hooks, or records them.

    :raises TypeError: a subclass lists the mixin after the other class, where the mixin would have no effect
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__mro__:
            if base is IsolatedHooksMixin:
                return
            if "subprocess_runner" in vars(base) and not issubclass(base, IsolatedHooksMixin):
                raise TypeError(
                    f"{cls.__qualname__}: its hooks would run without a sandbox; list IsolatedHooksMixin before "
                    f"{base.__qualname__} in its bases"
                )

    def __init__(self, *args: Any, policy: Policy | None = None, answers: Answers | None = None, **kwargs: Any) -> None:
        with as_at_the_start():  # before any hook: the runner imports everything that calls need
            import inspect

            from . import runner as _  # noqa: F401
        bound = inspect.signature(super().__init__).bind(*args, **kwargs)
        # A constructor that takes **kwargs does not name the runner in its signature, so look in kwargs too.
        runner = {**bound.kwargs, **bound.arguments}.get("runner")
        self._isolated_runner = self._runner_of(policy, runner)
        answers = getattr(runner, "answers", None) if answers is None else answers
        if answers is not None:
            self._isolated_runner = self._isolated_runner.answered(answers)
        super().__init__(*args, **kwargs)
        # That constructor may have replaced or dropped its runner. From here on the caller always uses ours.
        self._own_runner = super().subprocess_runner(self._isolated_runner)  # type: ignore[misc]
        self._own_runner.__enter__()
        _check_backend_path(getattr(self, "source_dir", "."), getattr(self, "backend_path", None))

    @property
    def reports(self) -> list[HookReport]:
        """The reports of all hook calls so far, one each, in the order in which the calls ended."""
        return self._isolated_runner.reports

    def _runner_of(self, policy: Policy | None, runner: SubprocessRunner | None) -> IsolatedRunner:
        """Return the runner for all hooks, from the constructor's arguments."""
        from .runner import IsolatedRunner

        if isinstance(runner, IsolatedRunner):
            return runner if policy is None else IsolatedRunner(policy, runner.inner)
        return IsolatedRunner(policy, runner)

    @contextlib.contextmanager
    def subprocess_runner(self, runner: SubprocessRunner) -> Iterator[None]:
        """Within the context, start hooks with another runner; they stay in the sandbox."""
        with super().subprocess_runner(self._isolated_runner.wrapping(runner)):  # type: ignore[misc]
            yield


class IsolatedHookCaller(IsolatedHooksMixin, pyproject_hooks.BuildBackendHookCaller):
    """A :class:`pyproject_hooks.BuildBackendHookCaller` that runs every hook in a sandbox.

    :param source_dir: path of the source tree
    :param build_backend: the backend, spelled as ``build-backend`` in pyproject.toml: ``module`` or ``module:object``
    :param backend_path: directories that contain the backend, relative to the source tree
    :param runner: the frontend's own subprocess runner, which starts the sandbox (default:
        :func:`pyproject_hooks.default_subprocess_runner`)
    :param python_executable: path of the interpreter of the build environment (default: the running interpreter)
    :param policy: what hooks may do (default: the policy of ``runner`` if that is an :class:`IsolatedRunner`, otherwise
        ``Policy()``)
    :param answers: recorded answers of hooks, which then do not run, or the object that records them (default: those of
        ``runner`` if that is an :class:`IsolatedRunner`, otherwise none)
    :raises ValueError: a backend path leads out of the source tree
    :raises PolicyError: ``policy`` is not a :class:`Policy`

    What the frontend does between two hooks, it does outside the sandbox. The first call warns with
    :class:`WritablePathWarning` if ``TMPDIR``, or an entry of ``PATH``, ``PYTHONPATH`` or ``LD_LIBRARY_PATH`` of the
    frontend's own environment lies in a tree that hooks may write to: the frontend's next child process would load what
    a hook wrote. The page about other tools has the remedies. The build environment of ``python_executable`` is
    read-only for hooks, even if it lies in the source tree.

    The hook methods raise the errors of :meth:`IsolatedRunner.__call__`. ``BackendUnavailable``, ``HookMissing`` and
    ``UnsupportedOperation`` of pyproject_hooks, and the errors of ``runner``, pass through unchanged.
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
        answers: Answers | None = None,
    ) -> None:
        super().__init__(
            source_dir, build_backend, backend_path, runner, python_executable, policy=policy, answers=answers
        )


def _check_backend_path(source_dir: str, backend_path: Sequence[str] | None) -> None:
    """Compare whole path components, because pyproject_hooks before 1.3 accepts ``../pkg-evil`` for ``pkg``."""
    source = os.path.abspath(source_dir)
    for path in backend_path or ():
        if os.path.commonpath((source, os.path.abspath(os.path.join(source, path)))) != source:
            raise ValueError("paths must be inside source tree")
