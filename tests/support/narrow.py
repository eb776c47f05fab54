"""A host that is older or narrower than this one: seccomp filters around a command, which nothing can take off again.

``python narrow.py WHAT... -- COMMAND...``; each ``WHAT`` is ``CALL=ERROR``, for instance ``unshare=EPERM``, or
``CALL:NUMBER=ERROR`` for one first argument alone, or ``landlock-abi=N``, for which another process answers the
kernel's version by seccomp_unotify(2), or ``docker``, which refuses all that docker's default profile does of
namespaces, mounts and keyrings.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import sys
from collections.abc import Sequence

# x86_64, aarch64.
NUMBERS = {
    "unshare": (272, 97),
    "mount": (165, 40),
    "setresuid": (117, 147),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "sethostname": (170, 161),
    "pivot_root": (155, 41),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "umount2": (166, 39),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "statx": (332, 291),
    "prlimit64": (302, 261),
    "socket": (41, 198),
}
_LIKE_DOCKER = (
    "unshare setns mount umount2 pivot_root open_tree move_mount fsopen mount_setattr keyctl add_key request_key"
).split()
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW* but for time, which clone(2) cannot make
_COLUMN = ("x86_64", "aarch64").index(platform.machine()) if platform.machine() in ("x86_64", "aarch64") else 0
_SECCOMP = (317, 277)
_ALLOW, _ERRNO, _NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_LIBC = ctypes.CDLL(None, use_errno=True)

Line = tuple[int, int, int, int]


def refusing(call: str, error: str) -> list[Line]:
    """Return a filter that lets one system call fail, or one with a certain first argument, and allows the rest."""
    name, _, first = call.partition(":")
    number = NUMBERS[name][_COLUMN]
    action = _ERRNO | getattr(errno, error)
    if first:
        compared = [(0x20, 0, 0, 16), (0x15, 0, 1, int(first))]
        return [(0x20, 0, 0, 0), (0x15, 0, 3, number), *compared, (0x06, 0, 0, action), (0x06, 0, 0, _ALLOW)]
    return [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, action), (0x06, 0, 0, _ALLOW)]


def as_docker() -> list[Line]:
    """Return a filter that refuses what makes namespaces and mounts: clone(2) by its flags; clone3(2) is missing."""
    lines: list[Line] = [(0x20, 0, 0, 0)]
    for name in _LIKE_DOCKER:
        lines += [(0x15, 0, 1, NUMBERS[name][_COLUMN]), (0x06, 0, 0, _ERRNO | errno.EPERM)]
    lines += [(0x15, 0, 1, NUMBERS["clone3"][_COLUMN]), (0x06, 0, 0, _ERRNO | errno.ENOSYS)]
    lines += [(0x15, 0, 3, NUMBERS["clone"][_COLUMN]), (0x20, 0, 0, 16), (0x45, 0, 1, _NEW_NAMESPACES)]
    return [*lines, (0x06, 0, 0, _ERRNO | errno.EPERM), (0x06, 0, 0, _ALLOW)]


def asking_for_the_abi() -> list[Line]:
    """Return a filter that asks when landlock_create_ruleset(2) is called for the version, flags 1."""
    number = NUMBERS["landlock_create_ruleset"][_COLUMN]
    return [
        (0x20, 0, 0, 0),
        (0x15, 0, 3, number),
        (0x20, 0, 0, 32),  # the third argument
        (0x15, 0, 1, 1),
        (0x06, 0, 0, _NOTIFY),
        (0x06, 0, 0, _ALLOW),
    ]


def install(code: Sequence[Line], flags: int = 0) -> int:
    """Install a filter on this process, seccomp(2)."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(program)))
    if os.geteuid() != 0:
        _LIBC.prctl(38, 1, 0, 0, 0)
    result: int = _LIBC.syscall(_SECCOMP[_COLUMN], 1, flags, header)
    if result < 0:
        sys.exit(f"narrow: no filter: {os.strerror(ctypes.get_errno())}")
    return result


def answer(listener: int, abi: int) -> None:
    """Answer every question with ``abi``, until nobody is left to ask."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while not poll.poll()[0][1] & select.POLLHUP:
        request = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECEIVE, request)
            fcntl.ioctl(listener, _SEND, request[:8] + struct.pack("qiI", abi, 0, 0))
        except FileNotFoundError:
            continue  # who asked was killed meanwhile


def pretend(abi: int) -> None:
    """Have another process answer for this one and all that it starts."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        os.setsid()
        _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
        theirs.close()
        if os.fork() == 0:
            answer(array.array("i", ancillary[0][2])[0], abi)
        os._exit(0)
    theirs.close()
    listener = install(asking_for_the_abi(), flags=8)
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", listener))])
    ours.close()
    os.close(listener)
    os.wait()


def main(arguments: list[str]) -> None:
    """Narrow this process down and become the command."""
    what, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    for item in what:
        name, _, value = item.partition("=")
        if name == "landlock-abi":
            pretend(int(value))
        elif name == "docker":
            install(as_docker())
        else:
            install(refusing(name, value))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
