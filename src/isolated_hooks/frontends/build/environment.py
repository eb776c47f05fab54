"""A build environment of pypa/build that never runs any code of a build requirement outside the sandbox."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import Distribution
from typing import Any

import build
import build.env
from packaging.requirements import Requirement

from ...errors import IsolatedHooksError, SandboxSetupError, SandboxUnavailableError
from ...files.pinned import Pinned
from ...files.spelling import absolute
from ...files.steered import recorded_trees
from ...policy import Policy
from ...report import HookReport
from ...run.workspace import PrivateDirectory
from ...text import visible
from ..supplies import Supplies
from .downloads import Downloads
from .fetching import FetchError, Request, fetch_with_pip, fetch_with_uv
from .installation import RequirementsError, install, scheme_of
from .inventory import installed_in, is_met, parsed
from .reading import check_requirements
from .recording import Environment, Recorded
from .stopped import StoppedError

__all__ = ["SandboxedEnv", "unknown_build"]

_Fetch = Callable[[Request], None]
_FETCHERS: Mapping[str, _Fetch] = {"pip": fetch_with_pip, "uv": fetch_with_uv}
# The methods of its own backend that build calls: the first up to 1.4, the second from 1.5 on.
_ENTRIES = ("install_requirements", "install_dependencies")


class SandboxedEnv(build.env.DefaultIsolatedEnv):
    """A :class:`build.env.DefaultIsolatedEnv` that fetches build requirements outside and installs them in a sandbox.

    Use it wherever you would use that class, with :meth:`build.ProjectBuilder.from_isolated_env` for instance. It
    builds requirements that exist only as sdists with their hooks in the sandbox. It never runs the environment's
    interpreter outside hooks.

    :param policy: what hooks may do. Defaults to ``Policy()``.
    :param options: the arguments of :class:`build.env.DefaultIsolatedEnv`
    :ivar reports: a list with one :class:`HookReport` for each hook of those sdists
    :ivar observes: these reports say what the hooks asked for and did not get; set it before the context is entered
    :raises SandboxUnavailableError: on entry, if this version of build installs requirements in an unknown way
    """

    def __init__(self, *, policy: Policy | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._policy = Policy() if policy is None else policy
        self.reports: list[HookReport] = []
        self.observes = False
        self._downloads: Downloads | None = None  # what environments share, if they share anything
        self._recorded: Recorded | None = None
        self._supplies = Supplies()
        self._only_wheels = False

    def __enter__(self) -> SandboxedEnv:
        _check_place(getattr(self, "_requested_path", None))
        # A later call removes a private directory if this process is killed. Older versions of build choose the place.
        self._kept: PrivateDirectory | None = None
        if getattr(self, "_requested_path", "") is None:
            self._kept = PrivateDirectory(prefix="build-env-", shown=True)
            self._requested_path = self._kept.path
        try:
            super().__enter__()
        except BaseException:
            self._close_kept()
            raise
        if self._kept is not None:
            self._requested_path = None  # so build removes it, also if the build fails
        try:
            self._held: Pinned | None = Pinned(self.path)
            theirs = getattr(self, "_env_backend", None)
            fetch = _FETCHERS.get(self.installer or "pip")  # None up to 1.5, where nothing was asked for
            if fetch is None or sum(hasattr(theirs, name) for name in _ENTRIES) != 1:
                raise unknown_build()
            downloads = self._downloads
            self._env_backend: Any = _Backend(theirs, self._held, fetch, self._policy, self.reports, downloads)
            self._env_backend.observes = self.observes
            self._env_backend.supplies = self._supplies
            self._env_backend.only_wheels = self._only_wheels
            if self._recorded is not None:
                self._env_backend.record = self._recorded.begin()
        except BaseException as problem:
            self.__exit__(type(problem), problem, problem.__traceback__)
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        backend = getattr(self, "_env_backend", None)
        if isinstance(backend, _Backend):
            backend.close()
            if backend.record is not None:
                backend.record.end()
        held = getattr(self, "_held", None)
        if held is None:
            super().__exit__(*error)
            self._close_kept()
            return
        with held:
            # As build does: an environment in a directory of the user's stays if the build fails.
            if getattr(self, "_requested_path", None) is None or error[0] is None:
                with contextlib.suppress(OSError):
                    held.remove()
        self._held = None
        self._close_kept()

    def _close_kept(self) -> None:
        if self._kept is not None:
            with contextlib.suppress(OSError):
                self._kept.close()


def _check_place(path: str | None) -> None:
    """Check that no hook has led the place for an environment out of its tree.

    :raises build.BuildException: a link has
    """
    trees = recorded_trees()
    if path is None or not trees.steer(absolute(path)):
        return
    real = os.path.realpath(path)
    if not trees.hold(real):
        raise build.BuildException(
            f"the environment is not made in {visible(path)!r}, because a link in a source tree leads from there to "
            f"{visible(real)!r}. Remedy: choose a directory outside of the source tree"
        )


def unknown_build() -> SandboxUnavailableError:
    """Return the error for a version of build that lacks the names that this package replaces."""
    return SandboxUnavailableError(
        [f"build {build.__version__} installs build requirements in a way that isolated-hooks does not know"],
        "install an earlier version of build or a later one of isolated-hooks, or use --no-isolation",
    )


class _Backend:
    """Takes the place of build's own environment backend, and keeps no part of it that could install anything."""

    def __init__(
        self,
        theirs: Any,
        held: Pinned,
        fetch: _Fetch,
        policy: Policy,
        reports: list[HookReport],
        downloads: Downloads | None,
    ) -> None:
        self.python_executable: str = theirs.python_executable
        self.scripts_dir: str = theirs.scripts_dir
        self.purelib: str = scheme_of(held.path)["purelib"]
        self.display_name: str = theirs.display_name
        self._path = held.path
        self._held = held
        self._fetch = fetch
        self._policy = policy
        self._reports = reports
        self.observes = False
        self.supplies = Supplies()
        self.only_wheels = False
        self.record: Environment | None = None
        self._downloads = downloads or Downloads()
        self._shares = downloads is not None
        self._links: list[str] = []

    def close(self) -> None:
        """Remove the downloads that are its own."""
        if not self._shares:
            self._downloads.close()

    def install_requirements(self, requirements: Collection[str]) -> None:
        """Install the requirements that are missing. Build up to 1.4 calls this method."""
        self.install_dependencies(requirements, ())

    def install_dependencies(
        self, requirements: Collection[str], constraints: Collection[str], *, _fresh: bool = False
    ) -> None:
        """Install the requirements that are missing. Build from 1.5 on calls this method.

        It ignores ``_fresh``, because this class itself has installed everything that the environment holds.

        :raises RequirementsError: a requirement could not be fetched, built, or installed
        """
        check_requirements(requirements, self._policy)
        installed = installed_in(self._path)
        urls = self._policy.allow_url_requirements
        missing = [r for r in (parsed(text, local=urls) for text in requirements) if not is_met(r, installed)]
        bare = [*map(_without_marker, missing)]
        wanted = sorted(map(str, bare))
        if not wanted:
            return
        try:
            self.supplies.check(bare)
            supplied = self.supplies.constraints(bare)
            fetched = self._fetched(wanted, [*constraints, *([supplied] if supplied else ())], installed)
            self._held.check()
            install(fetched, self._path, self._policy)
        except IsolatedHooksError as problem:
            raise StoppedError(problem) from problem

    def _fetched(self, wanted: Sequence[str], constraints: Sequence[str], installed: Mapping[str, Distribution]) -> str:
        """Fetch without changing installed versions. If that fails, fetch without this constraint, as pip would."""
        pins = "\n".join(f"{name}=={distribution.version}" for name, distribution in installed.items())
        if pins:
            try:
                return self._fetched_into_new(wanted, [*constraints, pins])
            except FetchError:
                pass  # a problem that is not due to the pins shows up again below
        try:
            return self._fetched_into_new(wanted, constraints)
        except FetchError as problem:
            _raise_unavailable(problem)
            names = ", ".join(visible(text, limit=200) for text in wanted)
            raise RequirementsError(f"cannot obtain these build requirements: {names} ({problem})") from problem

    def _fetched_into_new(self, wanted: Sequence[str], constraints: Sequence[str]) -> str:
        request = Request(
            wanted,
            constraints,
            tuple(self._links),
            self._policy,
            self._reports,
            self.observes,
            only_wheels=self.only_wheels,
            index=self.supplies.index,
        )
        with contextlib.nullcontext() if self.record is None else self.record.fetching():
            directory = self._downloads.get(self._fetch, request)
        self._links.append(directory)
        if self.record is not None:
            self.record.fetched(directory)
        return directory


def _raise_unavailable(error: FetchError) -> None:
    """Raise the error of an sdist's hook, if its sandbox could not be set up: that has an exit code of its own."""
    for problem in error.problems:
        if issubclass(problem.kind, (SandboxUnavailableError, SandboxSetupError)):
            raise problem.error() from error


def _without_marker(requirement: Requirement) -> Requirement:
    # The marker was true here. Some versions of pip ignore the marker of a requirement on the command line.
    bare = Requirement(str(requirement))
    bare.marker = None
    return bare
