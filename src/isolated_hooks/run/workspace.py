"""The private directory of one call: the plan, the status of the child, and staging for the results of the hook.

::

    isolated-hooks-XXXXXXXX/      0700
        plan, status              marshalled, for and from the child
        launcher                  the program that the child runs, see :mod:`..launchers.packing`
        alive                     a FIFO that the frontend holds open; it closes when the frontend ends
        root/, scratch/           where the child makes the sandbox's root and, if need be, its /tmp
        control/, staging/        shown to the hook as its control and output directories
        empty/, nothing           shown in the place of hidden paths

The workspace is in the register (:mod:`..files.register`) from before it is made until it is gone. A later call removes
one whose record nobody holds any more: its frontend was killed, or could not remove it. It lies in no tree that the
hook of any running call may write to, and a call that starts later hides it.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from errno import EAGAIN
from types import TracebackType
from typing import Any, TypeVar

from ..errors import SandboxSetupError
from ..files.paths import is_within
from ..files.register import Registration, these_namespaces, this_boot
from ..files.trees import open_own_directory, remove_tree
from ..plan import Layout, Plan
from ..sandbox.status import read_status

__all__ = ["PrivateDirectory", "Workspace", "opened", "workspace_parent"]

_PREFIX = "isolated-hooks-"
_TRIES = 10
_Self = TypeVar("_Self", bound="PrivateDirectory")
_OURS = frozenset(("home", "tmp"))  # of scratch/, for where there is no mount namespace
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class PrivateDirectory:
    """A new directory of mode 0700 for temporary files, as a context manager that removes it.

    If this process is killed, the next call that this user makes removes the directory.

    :param avoid: the trees that hooks write to: the directory is made outside of them, and of those of all other calls
        that run now
    :param prefix: the beginning of its name
    :param shown: hooks may see the directory where it lies in their trees, as they see a build environment; otherwise
        it is hidden from them
    :ivar path: its path, without links
    :ivar others: the hidden directories of other calls that lie in the trees to avoid
    :raises SandboxSetupError: it could not be made
    """

    _sandbox = False

    def __init__(self, avoid: Iterable[str] = (), *, prefix: str = _PREFIX, shown: bool = False) -> None:
        trees = tuple(map(os.path.realpath, avoid))
        parent = workspace_parent(trees)
        self.path = ""
        self.others: tuple[str, ...] = ()
        self._made = False
        self._registration = Registration()
        try:
            self._place(parent, trees, prefix, {"hidden": not shown, "sandbox": self._sandbox})
            self._fill(self.path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                self.__exit__(None, None, None)
            if not isinstance(error, OSError) or isinstance(error, SandboxSetupError):
                raise
            path = os.fsdecode(error.filename or parent)
            raise SandboxSetupError("making the workspace", path=path, errno=error.errno or 0) from error

    def _place(self, parent: str, trees: tuple[str, ...], prefix: str, facts: Mapping[str, Any]) -> None:
        """Make the directory, and write it down, before we look at the other calls: of two, one sees the other."""
        facts = {**facts, "trees": trees, "boot": this_boot(), "namespaces": these_namespaces()}
        for _ in range(_TRIES):
            self.path = os.path.join(parent, prefix + secrets.token_hex(10))
            self._registration.write(path=self.path, inode=None, **facts)
            os.mkdir(self.path, 0o700)
            self._made = True
            status = os.lstat(self.path)
            self._registration.write(inode=(status.st_dev, status.st_ino))
            others = self._registration.others()
            self.others = tuple(r.path for r in others if r.hidden and any(is_within(r.path, tree) for tree in trees))
            foreign = [tree for record in others for tree in record.trees]
            if not any(is_within(parent, tree) for tree in foreign):
                return
            os.rmdir(self.path)
            self._made = False
            parent = workspace_parent((*trees, *foreign))
        raise BlockingIOError(EAGAIN, os.strerror(EAGAIN), self.path)

    def _fill(self, path: str) -> None:
        """Make what the directory holds from the beginning."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the directory.

        :raises OSError: something could not be removed; everything else was
        """
        # Hold the record until everything is removed: another call sweeps a directory whose record nobody holds.
        removed = not self._made
        try:
            if self._made:
                _remove(*os.path.split(self.path))
                removed = True
        finally:
            self._registration.release(keep=not removed)


class Workspace(PrivateDirectory):
    """The workspace of one call.

    :param avoid: the trees that the hook sees or writes to
    """

    _sandbox = True

    def __init__(self, avoid: Iterable[str] = ()) -> None:
        self._alive = -1
        super().__init__(avoid)

    def _fill(self, path: str) -> None:
        # A directory with the set-group-ID bit hands its group down; staging has to belong to the caller.
        for name in ("root", "scratch", "control", "staging", "empty"):
            os.mkdir(f"{path}/{name}", 0o700)
            # Only then: in a user namespace without a map, nobody can change an owner.
            if os.stat(f"{path}/{name}").st_gid != os.getegid():
                os.chown(f"{path}/{name}", -1, os.getegid())
        os.close(os.open(f"{path}/nothing", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
        os.mkfifo(f"{path}/alive", 0o600)
        # Read-write, because opening a FIFO for writing alone waits for its reader, fifo(7).
        self._alive = os.open(f"{path}/alive", os.O_RDWR | os.O_CLOEXEC)

    @property
    def layout(self) -> Layout:
        """The paths that a plan may refer to."""
        return Layout(
            *(os.path.join(self.path, name) for name in ("scratch", "control", "staging", "empty", "nothing"))
        )

    def write_plan(self, plan: Plan) -> None:
        """Write the plan for the child.

        :raises SandboxSetupError: it could not be written
        """
        data = marshal.dumps(plan.to_wire(os.urandom(32)))
        path = f"{self.path}/plan"
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(data)
            for name in _OURS if plan.confined else ():
                path = f"{self.path}/scratch/{name}"
                os.makedirs(path, mode=0o700, exist_ok=True)
            for name, content in plan.files.items():
                path = f"{self.path}/scratch/home/{name}"
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                with open(path, "w", encoding="utf-8", errors="surrogateescape") as text:
                    text.write(content)
        except OSError as error:
            raise SandboxSetupError("writing the plan", path=path, errno=error.errno or 0) from error

    def status(self) -> dict[str, Any]:
        """Return the status that the child reported."""
        return read_status(f"{self.path}/status")

    def clear(self) -> None:
        """Empty the directories in which the child makes the sandbox's root, after a trial."""
        for name in ("root", "scratch"):
            for left in set(os.listdir(f"{self.path}/{name}")) - _OURS:
                _remove(f"{self.path}/{name}", left)

    def take_status(self) -> dict[str, Any]:
        """Return the status that the child reported and remove it, so that no later child can be taken for this one."""
        status = self.status()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.path}/status")
        return status

    @contextlib.contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """Give a descriptor of one of the workspace's directories, which a hook may have made unreadable."""
        with opened(self.path) as fd, open_own_directory(fd, os.fsencode(os.path.basename(path))) as directory:
            yield directory

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._alive >= 0:
                os.close(self._alive)
                self._alive = -1


def workspace_parent(trees: Iterable[str]) -> str:
    """Return a directory for temporary files that none of some trees contains, without links on the way.

    A hook that could write to its workspace could forge the status that the frontend reads.

    :raises SandboxSetupError: there is none
    """
    trees = tuple(map(os.path.realpath, trees))
    try:
        first = tempfile.gettempdir()
    except OSError as error:
        raise SandboxSetupError("making the workspace", errno=error.errno or 0, reason=str(error.strerror)) from error
    for candidate in (first, "/tmp", "/var/tmp", "/dev/shm"):
        real = os.path.realpath(candidate)
        if (
            os.path.isdir(real)
            and os.access(real, os.W_OK | os.X_OK)
            and not any(is_within(real, tree) for tree in trees)
        ):
            return real
    reason = "no directory outside of the trees that hooks write to is writable: set TMPDIR to such a directory"
    raise SandboxSetupError("making the workspace", path=first, reason=reason)


def _remove(parent: str, name: str) -> None:
    with opened(parent) as fd:
        remove_tree(fd, name)


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """Give a descriptor of a directory within the context."""
    fd = os.open(path, _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)
