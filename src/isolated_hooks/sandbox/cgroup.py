"""A memory cgroup for the hook, cgroups(7), if the host allows the caller to create one.

The launcher creates it while it still has the caller's rights, enters it to start pid 1, and then leaves it. The
frontend, which keeps these rights, removes the cgroup by its path in the status file. If somebody kills the frontend,
a later one does.

Both cgroup versions work. With version 2, the caller's own cgroup has to delegate the memory controller. We do not
change that, because we would have to move the caller's processes, and only the administrator should do so.
"""

from __future__ import annotations

import os
import time
from errno import EBUSY

from . import mounts

if False:
    from collections.abc import Iterator

PREFIX = b"isolated-hooks-"
# The files for the limit, for the limit on swap, if the kernel counts that, and for the number of killed processes.
_V1 = (b"memory.limit_in_bytes", b"memory.memsw.limit_in_bytes", b"memory.oom_control")
_V2 = (b"memory.max", b"memory.swap.max", b"memory.events")
# A process leaves its cgroup a moment after its parent has waited for it. The pause is in seconds.
_TRIES, _PAUSE = 100, 0.02


class Group:
    """A new memory cgroup.

    :param parent: the directory of the cgroup above it
    :param name: the name of its directory
    :param limit: in bytes
    :param files: the names of its files, ``_V1`` or ``_V2``
    :ivar path: its directory
    :raises OSError: we cannot create it or set the limit
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
        # Now, because the kernel checks the rights of the process that opens a file, and we soon lose the caller's.
        fd = os.open(os.path.join(directory, name), flags | os.O_CLOEXEC)
        self._descriptors.append(fd)
        return fd

    def open_counts(self) -> None:
        """Open the file that :meth:`killed` reads, or open it again after closing all descriptors."""
        self._counts = self._open(self.path, self._events, os.O_RDONLY)

    def enter(self) -> None:
        """Move this process into it. All processes that it starts from here on are in it too."""
        os.write(self._procs, b"0")

    def leave(self) -> None:
        """Move this process back to its former cgroup."""
        os.write(self._back, b"0")

    def killed(self) -> int:
        """Return the number of its processes that the kernel has killed for want of memory."""
        for line in os.pread(self._counts, 4096, 0).splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return 0

    def close(self) -> None:
        """Close its descriptors."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def make(limit: int, name: bytes) -> Group | None:
    """Return a new memory cgroup beneath this process's own, or ``None`` if the host does not allow one.

    :param limit: in bytes
    :param name: the name of its directory, which begins with :data:`PREFIX`
    """
    for parent, files in parents():
        try:
            return Group(parent, name, limit, files)
        except OSError:
            continue
    return None


def parents() -> Iterator[tuple[bytes, tuple[bytes, bytes, bytes]]]:
    """Yield the directories of this process's cgroups that may have a memory controller, and the names of its files."""
    with open("/proc/self/cgroup", "rb") as file:
        lines = [line.rstrip(b"\n").split(b":", 2) for line in file]
    paths = {controllers: path for _, controllers, path in lines}
    for mount in mounts.mounted():
        if mount.kind == b"cgroup" and b"memory" in mount.settings:
            path = next((paths[names] for names in paths if b"memory" in names.split(b",")), None)
            files = _V1
        elif mount.kind == b"cgroup2":
            path, files = paths.get(b""), _V2
        else:
            continue
        root = mount.root.rstrip(b"/")
        if path is not None and (path + b"/").startswith(root + b"/"):
            yield mount.mount_point + path[len(root) :].rstrip(b"/"), files


def remove(path: bytes) -> None:
    """Remove a cgroup from :func:`make` as soon as all its processes are dead. Do nothing if it does not exist.

    :raises OSError: we cannot remove it
    :raises ValueError: the path does not belong to a cgroup from :func:`make`
    """
    if not os.path.basename(path).startswith(PREFIX):
        raise ValueError(f"not a cgroup of ours: expected a name that begins with {PREFIX!r}, got {path!r}")
    for remaining in reversed(range(_TRIES)):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != EBUSY or not remaining:
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
