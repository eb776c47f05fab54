"""The features of a host. This file makes its own system calls and uses nothing of the package under test.

``python3 -I probes.py`` prints a JSON object that maps each feature, by the doctor's name, to whether it works. Each
probe runs in a child that ends at once, and in its own namespaces if it would change anything.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import socket
import struct
import sys
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
_ARM = platform.machine() == "aarch64"
# Number on x86_64 and on aarch64: asm/unistd_64.h and asm-generic/unistd.h.
_NUMBERS = {
    "keyctl": (250, 219), "landlock_create_ruleset": (444, 444), "mount_setattr": (442, 442), "move_mount": (429, 429),
    "open_tree": (428, 428), "pivot_root": (155, 41), "seccomp": (317, 277),
}  # fmt: skip
_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_PRIVATE_ALL = 1 << 18 | 16384
_CLONE_TREE, _AT_RECURSIVE, _AT_EMPTY_PATH = 1 | 0o2000000, 0x8000, 0x1000
_RDONLY, _IDMAP = 1, 0x100000
_PLACE = b"/usr"


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _call(name: str, *arguments: object) -> int:
    return _checked(LIBC.syscall(_NUMBERS[name][_ARM], *arguments))


def _unshare(flags: int) -> None:
    _checked(LIBC.unshare(flags))


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int = 0, data: bytes | None = None) -> None:
    _checked(LIBC.mount(source, target, kind, ctypes.c_ulong(flags), data))


def _put(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _map_self(uid: int, gid: int) -> None:
    _put("/proc/self/setgroups", "deny")
    _put("/proc/self/uid_map", f"1000 {uid} 1")
    _put("/proc/self/gid_map", f"1000 {gid} 1")


def _enter(flags: int, *, mapped: bool = False) -> None:
    """Enter a user namespace and others. Write an id map if we may, or fail without one if ``mapped`` is set."""
    uid, gid = os.geteuid(), os.getegid()
    _unshare(_NEWUSER | flags)
    try:
        _map_self(uid, gid)
    except OSError:
        if mapped:
            raise


def _tmpfs() -> None:
    _enter(_NEWNS)
    _mount(b"none", b"/", None, _MS_PRIVATE_ALL)
    _mount(b"none", _PLACE, b"tmpfs")


def _attributes(change: int, *, fd: int = 0) -> tuple[ctypes.Array[ctypes.c_char], ctypes.c_size_t]:
    packed = struct.pack("=4Q", change, 0, 0, fd)
    return ctypes.create_string_buffer(packed, 32), ctypes.c_size_t(32)


def _bind() -> None:
    _enter(_NEWNS)
    tree = _call("open_tree", -100, _PLACE, _CLONE_TREE | _AT_RECURSIVE)
    _call("mount_setattr", tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, *_attributes(_RDONLY))
    _call("move_mount", tree, b"", -100, _PLACE, 4)  # MOVE_MOUNT_F_EMPTY_PATH


def _pivot() -> None:
    _tmpfs()
    os.chdir(_PLACE)
    _call("pivot_root", b".", b".")


def _proc() -> None:
    _enter(_NEWNS | _NEWPID)
    if pid := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            raise OSError(code, os.strerror(code))
        return
    code = 0
    try:
        _mount(b"none", b"/", None, _MS_PRIVATE_ALL)
        _mount(b"none", b"/proc", b"proc")
    except OSError as error:
        code = error.errno or 1
    os._exit(code)


def _idmapped() -> None:
    """Show a directory with the owners of a user namespace that a child keeps alive."""
    entered, ready = os.pipe()
    if (pid := os.fork()) == 0:
        if LIBC.unshare(_NEWUSER) == 0:
            os.write(ready, b"x")
            LIBC.pause()
        os._exit(1)
    os.close(ready)
    os.read(entered, 1)  # empty if the child could not enter it; then the lines below fail
    try:
        _put(f"/proc/{pid}/uid_map", "0 61200 1")
        _put(f"/proc/{pid}/gid_map", "0 61200 1")
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        tree = _call("open_tree", -100, _PLACE, _CLONE_TREE)
        _call("mount_setattr", tree, b"", _AT_EMPTY_PATH, *_attributes(_IDMAP, fd=namespace))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _hostname() -> None:
    _enter(_NEWUTS)
    socket.sethostname("probed")


def _loopback() -> None:
    _enter(_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 10):
        pass


def _other_user() -> None:
    os.setgroups([])
    os.setresgid(61200, 61200, 61200)
    os.setresuid(61200, 61200, 61200)


def _seccomp() -> None:
    allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000), 8)  # ret SECCOMP_RET_ALLOW
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(allow)), 16)
    _checked(LIBC.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
    _call("seccomp", 1, 0, program)


def _into(flags: int) -> Callable[[], None]:
    return lambda: _unshare(_NEWUSER | flags)


PROBES: dict[str, Callable[[], object]] = {
    "user namespace": _into(0),
    "mount namespace": _into(_NEWNS),
    "PID namespace": _into(_NEWPID),
    "IPC namespace": _into(_NEWIPC),
    "network namespace": _into(_NEWNET),
    "UTS namespace": _into(_NEWUTS),
    "cgroup namespace": _into(_NEWCGROUP),
    "own uid_map": lambda: _enter(0, mapped=True),
    "tmpfs": _tmpfs,
    "open_tree, mount_setattr, move_mount": _bind,
    "pivot_root": _pivot,
    "fresh /proc": _proc,
    "idmapped bind": _idmapped,
    "sethostname": _hostname,
    "loopback": _loopback,
    "throw-away uid": _other_user,
    "seccomp filter": _seccomp,
    "session keyring": lambda: _call("keyctl", 1, None),  # KEYCTL_JOIN_SESSION_KEYRING
}


def _tried(probe: Callable[[], object]) -> bool:
    """Return whether a probe works. A child runs it, and its exit code is the answer."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    code = 1
    try:
        probe()
        code = 0
    except OSError:
        pass
    finally:
        os._exit(code)


def facts() -> dict[str, int]:
    """Return every fact. For Landlock, this is the version of its ABI, or 0 without Landlock."""
    found: dict[str, int] = {name: _tried(probe) for name, probe in PROBES.items()}
    try:
        found["Landlock ABI"] = _call("landlock_create_ruleset", None, ctypes.c_size_t(0), 1)
    except OSError:
        found["Landlock ABI"] = 0
    return found


if __name__ == "__main__":
    json.dump(facts(), sys.stdout)
