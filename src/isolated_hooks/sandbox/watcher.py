"""The watching process: it keeps the caller's identity and view of the host, and looks at what the hook uses.

The launcher has neither from an early moment on. It starts this one first, tells it pid 1, and hears from it the name
of a limit that is exceeded. The watcher ends when the launcher does; and where the watcher ends, so does the hook.

A look is a sample: what comes and goes in between is not seen, and what is seen has been too much for a moment. So the
limits of the kernel go first where it has some, and these are for what it does not count, or not in sum.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: ten milliseconds
import os
import select
import stat
import time

from . import inherited, pids
from .cgroup import Group

if False:
    from collections.abc import Callable, Iterator, Sequence

_PERIOD = 0.1
# Of each core's time at most a twentieth is spent on looking, whatever there is to look at.
_PAUSES = 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What the processes of one moment have used above the limit of one: that one gets its signal first.
_CPU_MARGIN = 1.0
# Backends make an artefact beside what it is made of.
_OUTPUT_FACTOR, _OUTPUT_MARGIN = 2, 16 * 1024**2
# A share of what was free at first is all that is kept where there was little: a build on a full disk is not ended.
_FREE_SHARE = 4
_FREE_INODES = 10_000


class Watcher:
    """The launcher's end of it.

    :param limits: by name, what is to be watched
    :param workspace: of this call; :param trees: what else the hook writes to
    :param group: a cgroup that keeps the limit of memory: then only what the kernel does about it is watched
    :ivar fd: readable when it has something to say
    """

    def __init__(
        self, limits: dict[str, int], workspace: bytes, trees: Sequence[bytes], group: Group | None = None
    ) -> None:
        orders, self._orders = os.pipe()
        self.fd, answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _prepare(orders, answers)
                _watch(_measures(limits, workspace, trees, group))
            finally:
                os._exit(0)
        os.close(orders)
        os.close(answers)

    def follow(self, pid: int) -> None:
        """Have it begin, with pid 1 of the sandbox."""
        try:
            os.write(self._orders, b"%d" % pid)
        except BrokenPipeError:
            pass  # it has ended, which is heard when it is listened to

    def hear(self) -> str:
        """Return the name of the limit that was exceeded, or an empty text where the watcher has ended by itself."""
        return os.read(self.fd, 64).decode("ascii")

    def release(self) -> None:
        """Close this end, for a process that is not the launcher."""
        os.close(self._orders)
        os.close(self.fd)

    def stop(self) -> None:
        """End it, and wait for that. A signal of ours may be none to it: it is still the caller's."""
        self.release()
        os.waitpid(self._pid, 0)


def _prepare(orders: int, answers: int) -> None:
    """Hold nothing but the two pipes, as descriptors 0 and 1, and do not end before the hook does."""
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
        _signal.signal(number, _signal.SIG_IGN)
    inherited.hold_only(orders, answers)
    os.chdir("/")


class _Measure:
    """One limit: what to look at, and when next."""

    def __init__(self, name: str, exceeded: Callable[[int], bool]) -> None:
        self.name = name
        self.exceeded = exceeded
        self.due = 0.0

    def look(self, pid: int) -> bool:
        began = time.monotonic()
        if began < self.due:
            return False
        exceeded = self.exceeded(pid)
        took = time.monotonic() - began
        self.due = began + max(_PERIOD, _PAUSES * took)
        return exceeded


def _measures(limits: dict[str, int], workspace: bytes, trees: Sequence[bytes], group: Group | None) -> list[_Measure]:
    makers: dict[str, Callable[[int], Callable[[int], bool]]] = {
        "cpu_time": lambda limit: lambda pid: _cpu_seconds(pid) > limit + _CPU_MARGIN,
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
        _read(b"/proc/thread-self/children")  # raises where the kernel does not list them, proc_pid_children(5)
    return [_Measure(name, makers[name](limit)) for name, limit in limits.items()]


def _watch(measures: Sequence[_Measure]) -> None:
    order = os.read(0, 16)
    if not order:
        return
    pid = pids.in_proc(int(order), _members)
    poll = select.poll()
    poll.register(0, 0)  # POLLHUP alone, which is always reported
    while not poll.poll(_PERIOD * 1000):
        for measure in measures:
            if measure.look(pid):
                os.write(1, measure.name.encode("ascii"))
                poll.poll()
                return


def _members(pid: int) -> Iterator[int]:
    """Yield a process and all that came from it. Who loses its parent becomes pid 1's, so the tree is whole."""
    todo = [pid]
    while todo:
        member = todo.pop()
        yield member
        todo.extend(_children(member))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(b"/proc/%d/task" % pid):
            found.extend(map(int, _read(b"/proc/%d/task/%b/children" % (pid, thread)).split()))
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended
    return found


def _stat(pid: int) -> list[bytes]:
    """Return the fields of proc_pid_stat(5) from the third on; the name before them may hold anything."""
    return _read(b"/proc/%d/stat" % pid).rpartition(b")")[2].split()


def _threads(pid: int) -> int:
    try:
        return int(_stat(pid)[17])
    except (OSError, IndexError):
        return 0


def _are_more(pid: int, limit: int) -> bool:
    """Say whether there are more threads than the limit; counted no further than that, however many there are."""
    count = 0
    for member in _members(pid):
        count += _threads(member)
        if count > limit:
            return True
    return False


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for member in _members(pid):
        try:
            ticks += sum(map(int, _stat(member)[11:15]))  # its own, and that of children that it has waited for
        except OSError:
            continue
    return ticks / _TICKS


def _uses_more(pid: int, limit: int) -> bool:
    """Say whether all processes together use more memory than the limit: at first roughly, and if so by their shares.

    What is resident counts shared pages once for each process, which is too much but cheap to ask for.
    """
    members = list(_members(pid))
    if sum(_resident(member)[0] for member in members) <= limit:
        return False
    return sum(map(_proportional, members)) > limit


def _resident(pid: int) -> tuple[int, int]:
    """Return the bytes of a process that are resident, and those of them that belong to files or are shared."""
    try:
        fields = _read(b"/proc/%d/statm" % pid).split()
        return int(fields[1]) * _PAGE, int(fields[2]) * _PAGE
    except (OSError, IndexError):
        return 0, 0


def _proportional(pid: int) -> int:
    """Return the share of a process in the memory in use, with what is swapped out, proc_pid_smaps(5)."""
    try:
        lines = _read(b"/proc/%d/smaps_rollup" % pid).splitlines()
    except OSError:
        resident, shared = _resident(pid)  # it may not be looked into: then what is its own
        return resident - shared
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith((b"Pss:", b"SwapPss:")))


def tasks_of(uid: int) -> int:
    """Return how many threads of this host run under a uid: what RLIMIT_NPROC counts, getrlimit(2)."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                count += _threads(int(name)) if os.stat(f"/proc/{name}").st_uid == uid else 0
            except OSError:
                continue
    return count


class _Sizes:
    """What some directories take up on disk. By descriptor, and no link is followed: the hook is at work there."""

    def __init__(self, places: Sequence[bytes], limit: int) -> None:
        self._places = [os.open(place, _DIRECTORY) for place in places]
        self._limit = limit
        self._poll = select.poll()
        self._poll.register(0, 0)

    def exceeded(self, _pid: int) -> bool:
        total = 0
        for place in self._places:
            for number, size in enumerate(self._sizes(place)):
                total += size
                if total > self._limit:
                    return True
                if number % 1000 == 999 and self._poll.poll(0):
                    return False  # it is over
        return False

    def _sizes(self, place: int) -> Iterator[int]:
        """Yield the size of each entry beneath a directory, with two descriptors open at any depth."""
        levels: list[list[bytes]] = []
        found: list[bytes] = []
        try:
            here = os.open(".", _DIRECTORY, dir_fd=place)
        except PermissionError:
            return  # the hook has made it unreadable, as any directory in it
        try:
            yield from _entries(here, found)
            levels.append(found)
            while levels:
                if not levels[-1]:
                    levels.pop()
                    if levels:
                        here = _exchange(here, b"..")
                    continue
                try:
                    here = _exchange(here, levels[-1].pop())
                except OSError:
                    continue  # it is gone by now, or not the caller's to read
                found = []
                yield from _entries(here, found)
                levels.append(found)
        except OSError:
            return  # what this is in was moved or closed meanwhile: the next look starts again
        finally:
            os.close(here)


def _entries(directory: int, directories: list[bytes]) -> Iterator[int]:
    """Yield the size on disk of each entry, and add the names of directories to a list."""
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
    there = os.open(name, _DIRECTORY, dir_fd=here)
    os.close(here)
    return there


class _FreeSpace:
    """What is free on the file systems of some directories, as bytes and as files, statvfs(3)."""

    def __init__(self, places: Sequence[bytes], limit: int) -> None:
        self._floors: list[tuple[int, int, int]] = []
        devices = set()
        for place in places:
            fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
            device = os.fstat(fd).st_dev
            if device in devices:
                os.close(fd)
                continue
            devices.add(device)
            room, files = _free(fd)
            self._floors.append((fd, min(limit, room // _FREE_SHARE), min(_FREE_INODES, files // _FREE_SHARE)))

    def exceeded(self, _pid: int) -> bool:
        for fd, room, files in self._floors:
            now = _free(fd)
            if now[0] < room or now[1] < files:
                return True
        return False


def _free(fd: int) -> tuple[int, int]:
    """Return the bytes and files that an ordinary user can still write; 0 where the file system does not count them."""
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
