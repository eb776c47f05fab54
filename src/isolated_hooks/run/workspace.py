"""The private directory of one call: the plan, the status of the child, and staging for the results of the hook.

::

    isolated-hooks-XXXXXXXX/      0700
        plan, status              marshalled, for and from the child
        launcher                  the program that the child runs, see :mod:`..launchers.packing`
        alive                     a FIFO that the frontend holds open; it closes when the frontend ends
        root/, scratch/           where the child makes the sandbox's root and, if need be, its /tmp
        control/, staging/        shown to the hook as its control and output directories
        empty/, nothing           shown in the place of hidden paths

The frontend holds the directory by a lock from the beginning to the end, see :mod:`..files.held`. One that nobody holds
any more is removed by a later call: its frontend was killed, or could not remove it.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from ..errors import SandboxSetupError
from ..files.held import make_held
from ..files.paths import is_within
from ..files.trees import open_own_directory, remove_tree
from ..plan import Layout, Plan
from ..sandbox.status import read_status

__all__ = ["NAME", "Workspace", "discard", "opened", "workspace_parent"]

# Earlier versions have names of twelve digits, and no lock.
NAME = re.compile("isolated-hooks-[0-9a-f]{16}")
_OURS = frozenset(("home", "tmp"))  # of scratch/, for where there is no mount namespace
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Workspace:
    """One workspace, as a context manager that removes it.

    :param avoid: the trees that the hook sees or writes to: the workspace is made outside of them
    :raises SandboxSetupError: it could not be made
    """

    def __init__(self, avoid: Iterable[str] = ()) -> None:
        parent = workspace_parent(avoid)
        self.path = ""
        self._descriptors: list[int] = []
        try:
            with opened(parent) as above:
                name, lock = make_held(above, _new_name)
            self._descriptors.append(lock)
            self.path = os.path.join(parent, os.fsdecode(name))
            self._fill(self.path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                self.__exit__(None, None, None)
            if not isinstance(error, OSError):
                raise
            path = os.fsdecode(error.filename or parent)
            raise SandboxSetupError("making the workspace", path=path, errno=error.errno or 0) from error

    def _fill(self, path: str) -> None:
        # A directory with the set-group-ID bit hands its group down; staging has to belong to the caller.
        for name in ("root", "scratch", "control", "staging", "empty"):
            os.mkdir(f"{path}/{name}", 0o700)
            # Only then: in a user namespace without a map, nobody can change an owner.
            if os.stat(f"{path}/{name}").st_gid != os.getegid():
                os.chown(f"{path}/{name}", -1, os.getegid())
        for name in ("home", "tmp"):
            os.mkdir(f"{path}/scratch/{name}", 0o700)
        os.close(os.open(f"{path}/nothing", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
        os.mkfifo(f"{path}/alive", 0o600)
        # Read-write, because opening a FIFO for writing alone waits for its reader, fifo(7).
        self._descriptors.append(os.open(f"{path}/alive", os.O_RDWR | os.O_CLOEXEC))

    @property
    def layout(self) -> Layout:
        """The paths that a plan may refer to."""
        return Layout(
            *(os.path.join(self.path, name) for name in ("scratch", "control", "staging", "empty", "nothing"))
        )

    def write_plan(self, plan: Plan) -> None:
        """Write the plan for the child."""
        data = marshal.dumps(plan.to_wire(os.urandom(32)))
        with open(
            os.open(f"{self.path}/plan", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            file.write(data)

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

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Hold the lock until everything is removed: another call sweeps a workspace that nobody holds.
        try:
            if self.path:
                discard(self.path)
        finally:
            self._release()

    def _release(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())


def workspace_parent(avoid: Iterable[str]) -> str:
    """Return a directory for temporary files that none of the trees in ``avoid`` contains, without links on the way.

    A hook that could write to its workspace could forge the status that the frontend reads.
    """
    trees = [os.path.realpath(path) for path in avoid]
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
    raise SandboxSetupError("making the workspace", path=first, reason="no directory outside of the trees is writable")


def discard(path: str) -> None:
    """Remove a workspace. A later call finds what could not be removed, or not before a SIGKILL.

    :raises OSError: something could not be removed; everything else was
    """
    _remove(*os.path.split(path))


def _remove(parent: str, name: str) -> None:
    with opened(parent) as fd:
        remove_tree(fd, name)


def _new_name() -> bytes:
    return f"isolated-hooks-{secrets.token_hex(8)}".encode()


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """Give a descriptor of a directory within the context."""
    fd = os.open(path, _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)
