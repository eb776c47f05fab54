"""What pid 1 sees of a hook that somebody asked to observe: the paths, programs and hosts that it asked for in vain.

The filter hands further calls to the broker, which lets this module look and then tells the kernel to go on with each.
Nothing is decided here, so it does not matter that the hook may change its memory between our look and the kernel's,
seccomp_unotify(2): at worst a line about the hook is wrong. What we keep has a bound, and only distinct records count.

We note paths that do not exist in the sandbox where the sandbox has a directory of its own, and writes to what is
read-only. Whether something exists outside is found outside, later. Of what a hook sends, we read only the name in a
query to a name server, RFC 1035.
"""

from __future__ import annotations

import os
import select
from errno import ECONNREFUSED, EINPROGRESS

from . import attempts, pipes, syscalls
from .listener import Caller, is_valid, take
from .lookups import question_of
from .modes import path_at
from .numbers import MACHINES, NUMBERS

if False:
    from collections.abc import Iterable

    from .listener import Request
    from .operations import Operation

#: The most records, the most bytes of a path, and the most destinations.
MOST, LONGEST, MOST_DESTINATIONS = 2048, 1024, 64
_MOST_LEVELS, _MOST_QUERY = 40, 512
_AT_FDCWD, _NOFOLLOW = 0xFFFFFF9C, 0x100
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_SOL_SOCKET, _SO_TYPE, _DATAGRAM = 1, 3, 2
_NULL = 0
# The kernel's own: nobody misses a file there.
_OF_KERNEL = (b"/proc/", b"/dev/", b"/sys/")

# What a call does, where it has the descriptor of a directory, a path, and flags.
_LOOK, _RUN, _OPEN, _MAKE = range(4)
_SHAPES: dict[str, tuple[int, int | None, int, int | None]] = {
    "open": (_OPEN, None, 0, 1),
    "openat": (_OPEN, 0, 1, 2),
    "creat": (_MAKE, None, 0, None),
    "mkdir": (_MAKE, None, 0, None),
    "mkdirat": (_MAKE, 0, 1, None),
    "stat": (_LOOK, None, 0, None),
    "lstat": (_LOOK, None, 0, None),
    "newfstatat": (_LOOK, 0, 1, 3),
    "statx": (_LOOK, 0, 1, 2),
    "access": (_LOOK, None, 0, None),
    "faccessat": (_LOOK, 0, 1, None),
    "faccessat2": (_LOOK, 0, 1, 3),
    "readlink": (_LOOK, None, 0, None),
    "readlinkat": (_LOOK, 0, 1, None),
    "execve": (_RUN, None, 0, None),
    "execveat": (_RUN, 0, 1, None),
}
_OF_LINKS = ("lstat", "readlink", "readlinkat")
_SENDS = ("sendto", "sendmsg", "sendmmsg")
_COLUMN = MACHINES.get(syscalls.MACHINE, 0)
#: The calls, by number.
CALLS = {NUMBERS[name][_COLUMN]: name for name in (*_SHAPES, *_SENDS) if NUMBERS[name][_COLUMN] is not None}


class Observer:
    """The records of one hook, by kind and by what it asked for, each with the first who asked and how often.

    The kinds: ``read``, a path that does not exist here; ``write``, a path that nobody can write here; ``program``, a
    name that is in no directory of PATH; ``name``, what a name server was asked for; ``connect``, a destination.
    """

    stage = attempts.OBSERVING
    most_destinations = MOST_DESTINATIONS

    def __init__(self) -> None:
        self.records: dict[tuple[str, bytes], list[bytes | int]] = {}
        self.left_out = 0
        self._own: set[int] = set()  # the filesystems that the sandbox has made
        self._covers: tuple[bytes, ...] = ()
        self._search: frozenset[bytes] = frozenset()
        self._found: set[bytes] = set()  # names of programs that are in a directory of PATH

    def begin(self, operations: Iterable[Operation], search: bytes) -> None:
        """Learn what the sandbox looks like, when it is complete and no hook runs.

        :param operations: those of the root filesystem
        :param search: the hook's PATH
        """
        own = [b"/"]
        for operation in operations:
            own += [os.fsencode(path) for path, _ in getattr(operation, "targets", ())]
            if type(operation).__name__ == "Cover":
                self._covers += (os.fsencode(operation.target),)
        for path in own:
            try:
                self._own.add(os.stat(path).st_dev)
            except OSError:
                continue
        self._search = frozenset(os.path.normpath(path) for path in search.split(b":") if path.startswith(b"/"))

    @staticmethod
    def looks_at(request: Request) -> bool:
        """Return whether a call is here only to be looked at. The broker makes all others."""
        return request.number in CALLS

    def look(self, requests: int, request: Request) -> None:
        """Note what a call asks for, if it cannot get it. Whatever this finds, the kernel goes on with the call."""
        call = CALLS[request.number]
        try:
            if call in _SENDS:
                self._look_at_query(request, call)
            else:
                self._look_at_path(requests, request, call)
        except OSError:
            pass  # the thread has ended, or the kernel finds the same fault

    def connecting(self, caller: Caller, fd: int, address: bytes, error: int) -> int:
        """Note who connects to an address. Return the error, also where the hook does not wait for it.

        :param fd: our duplicate of the socket. To ask for its error would take that from the hook, socket(7)
        """
        destination = attempts.destination_of(address)
        if destination is not None:
            family, host, port = destination
            self._note("connect", b"%d %d %b" % (family, port, host), caller)
        if error != EINPROGRESS:
            return error
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        # In a network of its own, a port where nobody listens has refused by now.
        return ECONNREFUSED if any(event & select.POLLERR for _, event in poll.poll(0)) else error

    def tell(self, report: int, failed: Iterable[tuple[int, bytes, int, int]]) -> None:
        """Send the records, each in a message that the pipe takes at once, pipe(7).

        :param failed: the destinations that could not be reached
        """
        unreached = {b"%d %d %b" % (family, port, host) for family, host, port, _ in failed}
        for (kind, what), (who, count) in self.records.items():
            if (kind == "connect" and what not in unreached) or (kind == "program" and what in self._found):
                continue
            pipes.send(report, "seen", kind, what, who, count)
        if self.left_out:
            pipes.send(report, "seen", "left", b"", b"", self.left_out)

    def _note(self, kind: str, what: bytes, caller: Caller) -> None:
        known = self.records.get((kind, what))
        if known is not None:
            known[1] = int(known[1]) + 1
        elif len(self.records) >= MOST or len(what) > LONGEST:
            self.left_out += 1
        else:
            self.records[kind, what] = [caller.name(), 1]

    def _look_at_path(self, requests: int, request: Request, call: str) -> None:
        does, at, where, flags_at = _SHAPES[call]
        path = path_at(request.task, request.arguments[where])
        if not path or path.startswith(_OF_KERNEL):
            return
        flags = 0 if flags_at is None else request.arguments[flags_at] & 0xFFFFFFFF
        caller = None
        try:
            if not path.startswith(b"/"):
                caller = Caller(request.task)
                directory = None if at is None else request.arguments[at] & 0xFFFFFFFF
                path = os.path.join(caller.beginning(None if directory == _AT_FDCWD else directory), path)
            path = os.path.normpath(path)
            follow = call not in _OF_LINKS and not (does == _LOOK and flags & _NOFOLLOW)
            kind, what = self._denied(path, does, follow=follow, writes=does == _OPEN and bool(flags & _WRITES))
            if kind:
                caller = caller or Caller(request.task)
                if is_valid(requests, request.cookie):  # otherwise what we have read may be another process's
                    self._note(kind, what, caller)
        finally:
            if caller is not None:
                caller.close()

    def _denied(self, path: bytes, does: int, *, follow: bool, writes: bool) -> tuple[str, bytes]:
        """Return the kind of record that a call on a path deserves, or an empty text, and what it is about."""
        if any(path == cover or path.startswith(cover + b"/") for cover in self._covers):
            return "read", path
        directory, name = os.path.split(path)
        if writes or does == _MAKE:
            # mkdir(2) of a directory that exists fails outside too.
            made = does == _MAKE and os.path.isdir(path)
            # In a directory of the host that does not exist, it fails outside too.
            lost = not os.path.exists(directory) and self._may_be_hidden(path)
            refused = not made and (lost or not _is_writable(path))
            return ("write" if refused else "", path)
        exists = os.path.exists(path) if follow else os.path.lexists(path)
        if directory in self._search and does in (_RUN, _LOOK):
            if not exists:
                return "program", name
            if len(self._found) < MOST:
                self._found.add(name)
        return ("read" if not exists and self._may_be_hidden(path) else ""), path

    def _may_be_hidden(self, path: bytes) -> bool:
        """Return whether the nearest directory is the sandbox's own. In one of the host, nothing is missing."""
        for _ in range(_MOST_LEVELS):
            path = os.path.dirname(path)
            try:
                return os.stat(path).st_dev in self._own
            except OSError:
                continue
        return False

    def _look_at_query(self, request: Request, call: str) -> None:
        task, (number, data, size, _, address) = request.task, request.arguments[:5]
        if call == "sendto":
            pieces = [(data, size)]
        else:
            messages = min(size & 0xFFFFFFFF, 2) if call == "sendmmsg" else 1
            pieces, address = _pieces(task, data, messages)
        caller = Caller(task)
        try:
            if not _asks_name_server(caller, number, task, address):
                return
            for start, count in pieces:
                name, _ = question_of(syscalls.read_memory(task, start, min(count, _MOST_QUERY)))
                if name:
                    self._note("name", name, caller)
        finally:
            caller.close()


def _is_writable(path: bytes) -> bool:
    """Return whether a path, or the nearest directory above it that exists, can be written here, access(2)."""
    for _ in range(_MOST_LEVELS):
        if os.path.lexists(path):
            return os.access(path, os.W_OK)
        path = os.path.dirname(path)
    return True


def _pieces(task: int, messages: int, count: int) -> tuple[list[tuple[int, int]], int]:
    """Return where each message begins, sendmmsg(2), and its size; and where the first has its destination."""
    pieces, address = [], _NULL
    for index in range(count):
        words = syscalls.read_memory(task, messages + 64 * index, 32)
        if index == 0:
            address = int.from_bytes(words[:8], "little")
        part = syscalls.read_memory(task, int.from_bytes(words[16:24], "little"), 16)
        pieces.append((int.from_bytes(part[:8], "little"), int.from_bytes(part[8:], "little")))
    return pieces, address


def _asks_name_server(caller: Caller, number: int, task: int, address: int) -> bool:
    """Return whether a datagram goes to the port of a name server."""
    fd = take(caller.pidfd, number)
    try:
        if int.from_bytes(syscalls.socket_option(fd, _SOL_SOCKET, _SO_TYPE, 4), "little") != _DATAGRAM:
            return False
        peer = syscalls.peer_of(fd) if address == _NULL else syscalls.read_memory(task, address, 8)
        # The port is at the same place in an address of IPv4 and of IPv6, ip(7), ipv6(7).
        return int.from_bytes(peer[2:4], "big") == attempts.DNS
    finally:
        os.close(fd)
