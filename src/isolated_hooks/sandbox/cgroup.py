"""A memory cgroup of the hook's own, cgroups(7), where the host lets the caller make one.

The launcher makes it while it still has the caller's rights, is in it while it starts pid 1, and leaves it then. The
frontend, whose rights stay, removes it by the path that the status file names, and a later one where it was killed.

Version 1 and version 2 alike: of the latter only where the caller's own cgroup hands the memory controller down. To
arrange for that would be to move the caller's processes about, and that is for who manages this host.
"""

from __future__ import annotations

import os
import time
from errno import EBUSY

from . import mounts

if False:
    from collections.abc import Iterator

PREFIX = b"isolated-hooks-"
# What holds the limit, what adds swap to it where the kernel counts that, and what counts the processes killed.
_V1 = (b"memory.limit_in_bytes", b"memory.memsw.limit_in_bytes", b"memory.oom_control")
_V2 = (b"memory.max", b"memory.swap.max", b"memory.events")
# The kernel lets go of a process a moment after it was waited for.
_TRIES, _PAUSE = 100, 0.02


class Group:
    """A new memory cgroup.

    :ivar path: its directory
    :raises OSError: it cannot be made, or does not take the limit
    """

    def __init__(self, parent: bytes, name: bytes, limit: int, files: tuple[bytes, bytes, bytes]) -> None:
        self.path = os.path.join(parent, name)
        self._descriptors: list[int] = []
        maximum, swap, events = files
        os.mkdir(self.path)
        try:
            _write(os.path.join(self.path, maximum), b"%d" % limit)
            if os.path.exists(os.path.join(self.path, swap)):
                _write(os.path.join(self.path, swap), b"%d" % (limit if files is _V1 else 0))
            self._procs = self._open(self.path, b"cgroup.procs", os.O_WRONLY)
            self._back = self._open(parent, b"cgroup.procs", os.O_WRONLY)
            self._events = events
            self.open_counts()
        except OSError:
            self.close()
            os.rmdir(self.path)
            raise

    def _open(self, directory: bytes, name: bytes, flags: int) -> int:
        # Now: what may be written is decided by who opens it, and later this process is somebody else.
        fd = os.open(os.path.join(directory, name), flags | os.O_CLOEXEC)
        self._descriptors.append(fd)
        return fd

    def open_counts(self) -> None:
        """Open what :meth:`killed` reads: for a process that has closed all descriptors, again."""
        self._counts = self._open(self.path, self._events, os.O_RDONLY)

    def enter(self) -> None:
        """Move this process into it, with all that it starts from here on."""
        os.write(self._procs, b"0")

    def leave(self) -> None:
        """Move this process back to where it came from."""
        os.write(self._back, b"0")

    def killed(self) -> int:
        """Return how many processes in it the kernel has killed for want of memory."""
        for line in os.pread(self._counts, 4096, 0).splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return 0

    def close(self) -> None:
        """Close its descriptors."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def make(limit: int, name: bytes) -> Group | None:
    """Return a new memory cgroup beneath this process's own, or ``None`` where the host does not allow one.

    :param limit: bytes
    :param name: of its directory, beginning with :data:`PREFIX`
    """
    for parent, files in places():
        try:
            return Group(parent, name, limit, files)
        except OSError:
            continue
    return None


def places() -> Iterator[tuple[bytes, tuple[bytes, bytes, bytes]]]:
    """Yield the directories of this process's own cgroups that may have a memory controller, and its files' names."""
    with open("/proc/self/cgroup", "rb") as file:
        lines = [line.rstrip(b"\n").split(b":", 2) for line in file]
    own = {controllers: path for _, controllers, path in lines}
    for mount in mounts.mounted():
        if mount.kind == b"cgroup" and b"memory" in mount.settings:
            path = next((own[names] for names in own if b"memory" in names.split(b",")), None)
            files = _V1
        elif mount.kind == b"cgroup2":
            path, files = own.get(b""), _V2
        else:
            continue
        root = mount.root.rstrip(b"/")
        if path is not None and (path + b"/").startswith(root + b"/"):
            yield mount.place + path[len(root) :].rstrip(b"/"), files


def remove(path: bytes) -> None:
    """Remove a cgroup that :func:`make` has made, when every process in it is dead. What is not there is no error.

    :raises OSError: it cannot be removed
    """
    if not os.path.basename(path).startswith(PREFIX):
        raise ValueError(f"not a cgroup of ours: {path!r}")
    for left in reversed(range(_TRIES)):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != EBUSY or not left:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _write(path: bytes, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)
