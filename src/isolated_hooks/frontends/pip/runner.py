"""The runner of the hooks that pip calls."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from ...errors import IsolatedHooksError, PolicyError
from ...files.paths import is_within
from ...policy import Policy
from ...runner import IsolatedRunner
from ...text import visible
from ..inside import run_script
from ..surroundings import Guarded
from . import unpacking

__all__ = ["PipRunner", "installation_error"]


class PipRunner(IsolatedRunner):
    """Raises this package's errors as pip's own, and records them, because pip does not always show them.

    :param trusted: the directories of pip and of this package, which no hook may change
    :ivar problems: the errors that it has raised, in order
    :ivar running: the commands of the hook calls in progress
    :ivar trees: the real paths of the directories to which hooks could write
    :ivar guard: guards this process against such hooks; ``None`` if the process belongs to another program
    :ivar named: the files that pip hands on to the pips that it starts, and whether each is a list of constraints
    """

    def __init__(self, policy: Policy, trusted: Iterable[str]) -> None:
        super().__init__(policy)
        self.guard: Guarded | None = None
        self.named: Sequence[tuple[str, bool]] = ()
        self._trusted = [os.path.realpath(path) for path in trusted]
        self.problems: list[IsolatedHooksError] = []
        self.running: list[Sequence[str]] = []
        self.trees = {os.path.realpath(path) for path in policy.writable}

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        """Run a hook as :class:`IsolatedRunner` does. Raise pip's ``InstallationError`` for errors of this package."""
        self.running.append(cmd)
        source = os.path.realpath(cwd or ".")
        try:
            self._check(source)
            if source not in self.trees:
                self.trees.add(source)
                self._prepare(source)
            super().__call__(cmd, cwd, extra_environ)
        except IsolatedHooksError as problem:
            self.problems.append(problem)
            raise installation_error(str(problem)) from problem
        finally:
            self.running.pop()

    def unpack(self, filename: str, location: str, content_type: str | None = None) -> None:
        """Unpack an sdist in the sandbox, in the place of pip's function. Raise pip's ``InstallationError``."""
        os.makedirs(location, exist_ok=True)
        package = os.path.dirname(os.path.realpath(importlib.import_module("pip").__file__ or ""))
        root = os.path.dirname(package)
        script, file = os.path.abspath(unpacking.__file__), os.path.realpath(filename)
        order = {"pip": root, "file": file, "location": location, "content_type": content_type}
        reads = (package if os.path.isdir(package) else root, file)
        self.running.append((script,))
        try:
            problem = run_script(script, order, location, self.policy, reads=reads, set_aside=False)
        except IsolatedHooksError as error:
            self.problems.append(error)
            raise installation_error(str(error)) from error
        finally:
            self.running.pop()
        if problem is not None:
            raise installation_error(f"{visible(file, limit=300)!r} cannot be unpacked: {problem}")

    def _prepare(self, source: str) -> None:
        """Before the first hook in a tree, stop searching the tree, and copy what we read from it later."""
        if self.guard is None:
            return
        self.guard.add(source)
        copies = self.guard.copies
        for path, lists in self.named:
            if path not in copies.made and copies.trees.steer(path):
                try:
                    (copies.requirements if lists else copies.plain)(path)
                except OSError as error:
                    raise PolicyError(f"{visible(path)!r} cannot be read: {error.strerror}") from error

    def _check(self, source: str) -> None:
        kept = [os.path.realpath(prefix) for prefix in (sys.prefix, sys.base_prefix)]
        for path in self._trusted:
            if is_within(path, source) and not any(is_within(path, prefix) for prefix in kept):
                raise PolicyError(
                    f"{visible(path)!r}, which runs outside of the sandbox, lies in the source tree "
                    f"{visible(source)!r}, where a hook could change it. Remedy: move it out of the source tree"
                )


def installation_error(text: str) -> Exception:
    """Return the error that pip prints, and then exits with 1."""
    error: Exception = importlib.import_module("pip._internal.exceptions").InstallationError(text)
    return error
