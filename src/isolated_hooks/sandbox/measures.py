"""What the watching process measures: the processor time, memory and number of processes, and the use of disks."""

from __future__ import annotations

import os
import stat

from .cgroup import Group

if False:
    from collections.abc import Callable, Iterator, Sequence

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Seconds that all processes together may use above the limit of one process, so that the kernel's signal to a single
# process comes first.
_CPU_MARGIN = 1.0
# Backends keep the parts of an artefact beside the artefact, so the hook may write more than the limit while it builds.
_OUTPUT_FACTOR, _OUTPUT_MARGIN = 2, 16 * 1024**2
# More names than these in the directories of a limit exceed it, because the time of a look grows with them.
MOST_NAMES = 200_000
# If little space was free at the start, we keep only this share of it free, so a build on a full disk can go on.
_FREE_SHARE = 4
_FREE_INODES = 10_000


def measures(
    limits: dict[str, int], workspace: bytes, trees: Sequence[bytes], group: Group | None, counter: int | None
) -> dict[str, Callable[[int], bool]]:
    """Return what says whether the hook exceeds a limit, for the id of pid 1, by the name of the limit.

    :param limits, workspace, trees, group: as for :class:`.watcher.Watcher`
    :param counter: a descriptor that counts the processor time, or ``None``
    """
    makers: dict[str, Callable[[int], Callable[[int], bool]]] = {
        "cpu_time": lambda limit: _processor_time(limit + _CPU_MARGIN, counter),
        "memory": lambda limit: lambda pid: group.killed() > 0 if group is not None else _uses_more(pid, limit),
        "processes": lambda limit: lambda pid: _are_more(pid, limit),
        "temp_size": lambda limit: _Sizes([workspace + b"/scratch"], limit).exceeded,
        "output_size": lambda limit: (
            _Sizes([workspace + b"/staging", workspace + b"/control"], _OUTPUT_FACTOR * limit + _OUTPUT_MARGIN).exceeded
        ),
        "free_space": lambda limit: _FreeSpace([workspace, *trees], limit).exceeded,
    }
    if group is not None:
        group.open_counts()
    if limits.keys() & {"cpu_time", "memory", "processes"}:
        _read(b"/proc/thread-self/children")  # raises if the kernel does not list children, proc_pid_children(5)
    return {name: makers[name](limit) for name, limit in limits.items()}


def members(pid: int) -> Iterator[int]:
    """Yield a process and its descendants. A process that loses its parent becomes a child of pid 1."""
    todo = [pid]
    while todo:
        member = todo.pop()
        yield member
        todo.extend(_children(member))


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in os.listdir(b"/proc/%d/task" % pid):
            children.extend(map(int, _read(b"/proc/%d/task/%b/children" % (pid, thread)).split()))
    except (FileNotFoundError, ProcessLookupError):
        pass  # the process has just ended
    return children


def _stat(pid: int) -> list[bytes]:
    """Return the fields of proc_pid_stat(5) from the third on. The name before them may contain any character."""
    return _read(b"/proc/%d/stat" % pid).rpartition(b")")[2].split()


def _threads(pid: int) -> int:
    try:
        return int(_stat(pid)[17])
    except (OSError, IndexError):
        return 0


def _are_more(pid: int, limit: int) -> bool:
    """Return whether there are more threads than the limit. Stop counting above the limit: there may be very many."""
    count = 0
    for member in members(pid):
        count += _threads(member)
        if count > limit:
            return True
    return False


def _processor_time(seconds: float, counter: int | None) -> Callable[[int], bool]:
    from . import cputime

    if counter is not None:
        return lambda _pid: cputime.counted(counter) > seconds
    total = cputime.Sum()
    return lambda pid: total.add(_times(pid)) / _TICKS > seconds


def _times(pid: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the id, the start time and the processor times of each process, in ticks, proc_pid_stat(5)."""
    for member in members(pid):
        try:
            fields = _stat(member)
            yield member, int(fields[19]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        except (OSError, IndexError):
            continue


def _uses_more(pid: int, limit: int) -> bool:
    """Return whether all processes together use more memory than the limit.

    The resident size counts a shared page once for each process. That is too much, but cheap to read. Only if it
    exceeds the limit do we add up the proportional shares.
    """
    pids = list(members(pid))
    if sum(_resident(member)[0] for member in pids) <= limit:
        return False
    return sum(map(_proportional, pids)) > limit


def _resident(pid: int) -> tuple[int, int]:
    """Return the resident bytes of a process, and how many of them belong to files or are shared."""
    try:
        fields = _read(b"/proc/%d/statm" % pid).split()
        return int(fields[1]) * _PAGE, int(fields[2]) * _PAGE
    except (OSError, IndexError):
        return 0, 0


def _proportional(pid: int) -> int:
    """Return the proportional share of a process in the memory in use, in bytes, with swap, proc_pid_smaps(5)."""
    try:
        lines = _read(b"/proc/%d/smaps_rollup" % pid).splitlines()
    except OSError:
        resident, shared = _resident(pid)  # we may not read its smaps, so count only its private pages
        return resident - shared
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith((b"Pss:", b"SwapPss:")))


def tasks_of(uid: int) -> int:
    """Return the number of threads that run under a uid on this host. RLIMIT_NPROC limits it, getrlimit(2)."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                count += _threads(int(name)) if os.stat(f"/proc/{name}").st_uid == uid else 0
            except OSError:
                continue
    return count


class _Sizes:
    """The disk space that some directories use. We go by descriptor and follow no link: the hook can change them.

    It is an estimate: nobody can find a file that has no name any more. The free space counts that too.
    """

    def __init__(self, directories: Sequence[bytes], limit: int) -> None:
        self._directories = [os.open(directory, _DIRECTORY) for directory in directories]
        self._limit = limit

    def exceeded(self, _pid: int) -> bool:
        total = names = 0
        for directory in self._directories:
            for size in self._sizes(directory):
                total += size
                names += 1
                if total > self._limit or names > MOST_NAMES:
                    return True
        return False

    def _sizes(self, directory: int) -> Iterator[int]:
        """Yield the size of each entry beneath a directory. At any depth, this needs only two open descriptors."""
        levels: list[list[bytes]] = []
        subdirectories: list[bytes] = []
        try:
            here = os.open(".", _DIRECTORY, dir_fd=directory)
        except PermissionError:
            return  # the hook has made the directory unreadable, as it can with any directory beneath
        try:
            yield from _entries(here, subdirectories)
            levels.append(subdirectories)
            while levels:
                if not levels[-1]:
                    levels.pop()
                    if levels:
                        here = _exchange(here, b"..")
                    continue
                try:
                    here = _exchange(here, levels[-1].pop())
                except OSError:
                    continue  # it is gone by now, or the caller may not read it
                subdirectories = []
                yield from _entries(here, subdirectories)
                levels.append(subdirectories)
        except OSError:
            return  # the hook has moved a directory on the way, or locked us out of one; the next look starts again
        finally:
            os.close(here)


def _entries(directory: int, directories: list[bytes]) -> Iterator[int]:
    """Yield the size on disk of each entry, and append the names of directories to ``directories``."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                directories.append(os.fsencode(entry.name))
            yield status.st_blocks * 512


def _exchange(here: int, name: bytes) -> int:
    neighbour = os.open(name, _DIRECTORY, dir_fd=here)
    os.close(here)
    return neighbour


class _FreeSpace:
    """The free space on the filesystems of some directories, as bytes and as a number of files, statvfs(3)."""

    def __init__(self, directories: Sequence[bytes], limit: int) -> None:
        self._minima: list[tuple[int, int, int]] = []
        devices = set()
        for directory in directories:
            fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
            device = os.fstat(fd).st_dev
            if device in devices:
                os.close(fd)
                continue
            devices.add(device)
            space, files = _free(fd)
            self._minima.append((fd, min(limit, space // _FREE_SHARE), min(_FREE_INODES, files // _FREE_SHARE)))

    def exceeded(self, _pid: int) -> bool:
        for fd, minimum_space, minimum_files in self._minima:
            space, files = _free(fd)
            if space < minimum_space or files < minimum_files:
                return True
        return False


def _free(fd: int) -> tuple[int, int]:
    """Return the bytes and files that an ordinary user can still write; 0 if the filesystem does not count them."""
    status = os.fstatvfs(fd)
    return status.f_bavail * status.f_frsize, status.f_favail


def _read(path: bytes) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while block := os.read(fd, 65536):
            data += block
        return data
    finally:
        os.close(fd)
