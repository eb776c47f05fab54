"""System calls that the standard library lacks, through ctypes.

Each wrapper raises :class:`SyscallError`, an ``OSError`` that knows the name of the call and its path. If the C library
has no function for a call, we call it by its number in :data:`.numbers.NUMBERS`.
"""

from __future__ import annotations

import os
import stat
import sys
from errno import EFAULT, ELOOP, ENOSYS, EPERM, EXDEV

from .numbers import MACHINES, NUMBERS

MYPY = False  # mypy takes it for true
if MYPY:
    import ctypes
else:
    from . import foreign as ctypes
if MYPY:
    from collections.abc import Sequence

# unshare(2), clone(2)
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# mount(2), umount2(2)
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 16384
MS_MOVE = 8192
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

# open_tree(2), move_mount(2), mount_setattr(2), openat2(2)
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_FDCWD = -100
STATX_MNT_ID = 0x1000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_IDMAP = 0x00100000
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08

# prctl(2)
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

_MSG_DONTWAIT = 0x40
KEYCTL_JOIN_SESSION_KEYRING = 1

MACHINE = os.uname().machine


class SyscallError(OSError):
    """A system call failed.

    :ivar syscall: the name of the call
    :ivar path: the path that the call was about, or ``None``
    """

    def __init__(self, errno: int, syscall: str, path: bytes | str | None = None) -> None:
        super().__init__(errno, os.strerror(errno))
        self.syscall = syscall
        self.path = path


if sys.platform == "linux":  # the parent imports this module on every system, to build a plan or to refuse
    _libc = ctypes.c_library()  # type: ignore[attr-defined]
    _libc.syscall.restype = ctypes.c_long
    _libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
    _libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
    _libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    _libc.sethostname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)


def _check(result: int, name: str, path: bytes | str | None = None) -> int:
    if result < 0:
        raise SyscallError(ctypes.get_errno(), name, path)
    return result


def call(name: str, *arguments: object, path: bytes | str | None = None) -> int:
    """Call the kernel by the name of a call in :data:`.numbers.NUMBERS`. Return what it returns."""
    number = NUMBERS[name][MACHINES[MACHINE]]
    assert number is not None, f"{name} is not a system call of every machine"
    wide = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return _check(_libc.syscall(ctypes.c_long(number), *wide), name, path)


def is_thread_of(process: int, thread: int) -> bool:
    """Return whether a thread belongs to a process, tgkill(2). Cheap enough to be asked of each possible number."""
    number = ctypes.c_long(NUMBERS["tgkill"][MACHINES[MACHINE]] or 0)
    return bool(_libc.syscall(number, process, thread, 0) == 0)


def unshare(flags: int) -> None:
    """Move this process into new namespaces, unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: bytes, target: bytes, kind: bytes, flags: int, options: bytes = b"") -> None:
    """Mount a filesystem, mount(2)."""
    _check(_libc.mount(source, target, kind, flags, options), "mount", target)


def make_private() -> None:
    """Stop every mount of this mount namespace from propagating either way, mount_namespaces(7)."""
    _check(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount", b"/")


def umount(target: bytes) -> None:
    """Detach a mount, umount2(2) with MNT_DETACH. Processes that still use the mount keep it alive."""
    _check(_libc.umount2(target, MNT_DETACH), "umount2", target)


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    """Change the root mount, pivot_root(2)."""
    call("pivot_root", new_root, put_old, path=new_root)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_path(path: bytes, *, beneath: int | None = None) -> int:
    """Open ``path`` as O_PATH without following any symbolic link, openat2(2).

    :param beneath: descriptor of a directory; the path is relative to it and may not leave it
    """
    resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | (RESOLVE_BENEATH if beneath is not None else 0)
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, resolve)
    directory = AT_FDCWD if beneath is None else beneath
    try:
        return call("openat2", directory, path, ctypes.byref(how), ctypes.sizeof(how), path=path)
    except SyscallError as error:
        if error.errno not in (EPERM, ENOSYS):
            raise
    # A seccomp filter does not know the call, or refuses it because its flags lie behind a pointer, as ours does.
    return _walk(path, beneath)


def _walk(path: bytes, beneath: int | None) -> int:
    """Do the same as :func:`open_path`, name by name, so that no link can lead elsewhere between two names."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if b".." in names or (beneath is not None and path.startswith(b"/")):
        raise SyscallError(EXDEV, "openat", path)
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(b"/" if path.startswith(b"/") else b".", flags, dir_fd=beneath)
        for name in names:
            above, fd = fd, -1
            try:
                fd = os.open(name, flags, dir_fd=above)
            finally:
                os.close(above)
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                os.close(fd)
                raise SyscallError(ELOOP, "openat", path)
        return fd
    except SyscallError:
        raise
    except OSError as error:
        raise SyscallError(error.errno or 0, "openat", path) from error


def clone_tree(path: bytes) -> int:
    """Return a detached copy of the mount tree at ``path``, with its submounts, open_tree(2)."""
    fd = open_path(path)
    try:
        flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE
        return call("open_tree", fd, b"", flags, path=path)
    finally:
        os.close(fd)


def clone_at(fd: int, *, path: bytes) -> int:
    """Return a detached mount of what is open at ``fd``, even of a symbolic link, without submounts, open_tree(2)."""
    return call("open_tree", fd, b"", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH, path=path)


def mount_id(fd: int) -> int:
    """Return the id of the mount that a descriptor is on, statx(2) with STATX_MNT_ID, Linux 5.8.

    :raises SyscallError: the call failed, or the C library emulated statx, which cannot tell the mount
    """
    result = ctypes.create_string_buffer(256)
    _check(_libc.statx(fd, b"", AT_EMPTY_PATH, STATX_MNT_ID, result), "statx")
    if not int.from_bytes(result.raw[:4], "little") & STATX_MNT_ID:
        raise SyscallError(ENOSYS, "statx")
    return int.from_bytes(result.raw[0x90:0x98], "little")


class _MountAttr(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd"))


def mount_setattr(
    fd: int, attributes: int, *, recursive: bool, userns: int = 0, path: bytes | str | None = None
) -> None:
    """Set attributes of the mount behind ``fd`` and make it private, mount_setattr(2).

    :param recursive: change every submount too
    :param userns: descriptor of the user namespace of an idmapped mount (MOUNT_ATTR_IDMAP)
    """
    attr = _MountAttr(attributes, 0, MS_PRIVATE, userns)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    call("mount_setattr", fd, b"", flags, ctypes.byref(attr), ctypes.sizeof(attr), path=path)


def move_mount(tree: int, target: int, *, path: bytes | str | None = None) -> None:
    """Attach a detached mount tree at an open target, move_mount(2)."""
    call("move_mount", tree, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH, path=path)


def prctl(option: int, argument: int = 0, *more: int) -> None:
    """Operate on this process, prctl(2)."""
    three = (*more, 0, 0, 0)[:3]
    _check(_libc.prctl(option, argument, *three), "prctl")


def prctl_value(option: int) -> int:
    """Return an attribute of this thread, prctl(2).

    :raises SyscallError: the kernel does not know it
    """
    return call("prctl", option, 0, 0, 0, 0)


def io_priority() -> int:
    """Return the priority of this thread for input and output, ioprio_get(2)."""
    return call("ioprio_get", 1, 0)


def sethostname(name: bytes) -> None:
    """Set the host name of this UTS namespace, sethostname(2)."""
    _check(_libc.sethostname(name, len(name)), "sethostname")


def join_new_session_keyring() -> None:
    """Replace the session keyring with a new, empty one, keyctl(2). No namespace separates keyrings."""
    call("keyctl", KEYCTL_JOIN_SESSION_KEYRING, None)


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor from ``first`` on as close-on-exec, close_range(2) with CLOSE_RANGE_CLOEXEC."""
    call("close_range", first, ctypes.c_uint(0xFFFFFFFF), 4)


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` on, close_range(2)."""
    call("close_range", first, ctypes.c_uint(0xFFFFFFFF), 0)


def capset(capabilities: int) -> None:
    """Set the effective, permitted and inheritable capabilities to these bits, capset(2), version 3."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    call("capset", header, data)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def seccomp_filter(program: bytes) -> None:
    """Install a classic BPF program as the seccomp filter of this process and its children, seccomp(2)."""
    block = _FilterProgram(len(program) // 8, program)
    prctl(PR_SET_SECCOMP, 2, ctypes.addressof(block))


def seccomp_listener(program: bytes, flags: int) -> int:
    """Install such a filter, and return the descriptor of its listener, seccomp(2) with SECCOMP_SET_MODE_FILTER."""
    return call("seccomp", 1, flags, ctypes.byref(_FilterProgram(len(program) // 8, program)))


def read_memory(task: int, address: int, size: int) -> bytes:
    """Return memory of a thread, process_vm_readv(2)."""
    if size == 0:
        return b""
    return Reader(size).read(task, (address, size))


class Reader:
    """Reads pieces of the memory of threads with a single call, process_vm_readv(2), into a buffer made once.

    :param size: the size of the pieces together, at most
    """

    def __init__(self, size: int, count: int = 1) -> None:
        self._data = ctypes.create_string_buffer(size)
        self._local = (ctypes.c_ulong * 2)(ctypes.addressof(self._data))
        self._remote = (ctypes.c_ulong * (2 * count))()
        number = NUMBERS["process_vm_readv"][MACHINES[MACHINE]]
        self._number, self._count = ctypes.c_long(number or -1), ctypes.c_long(count)

    def read(self, task: int, pieces: Sequence[int]) -> bytes:
        """Return the pieces, one after another.

        :param pieces: the address and the size of each
        """
        self._remote[:] = list(pieces)
        size = self._local[1] = sum(pieces[1::2])
        rest = (self._local, ctypes.c_long(1), self._remote, self._count, ctypes.c_long(0))
        if _check(_libc.syscall(self._number, ctypes.c_long(task), *rest), "process_vm_readv") != size:
            raise SyscallError(EFAULT, "process_vm_readv")
        return self._data.raw[:size]


def read_child(pid: int) -> None:
    """Read memory of a child of ours that has not called exec, to learn whether the host lets us."""
    ours = ctypes.create_string_buffer(b"?")  # the child has a copy at the same address
    read_memory(pid, ctypes.addressof(ours), 1)


def socket_option(fd: int, level: int, option: int, size: int) -> bytes:
    """Return an option of a socket, getsockopt(2). ENOTSOCK if the descriptor is not a socket."""
    value, length = ctypes.create_string_buffer(size), ctypes.c_int(size)
    call("getsockopt", fd, level, option, value, ctypes.byref(length))
    return value.raw


def peer_of(fd: int) -> bytes:
    """Return the address that a socket is connected to, getpeername(2)."""
    address, length = ctypes.create_string_buffer(128), ctypes.c_uint(128)
    call("getpeername", fd, address, ctypes.byref(length))
    return address.raw[: length.value]


def receive_from(fd: int, size: int) -> tuple[bytes, bytes]:
    """Return a datagram that waits, cut to ``size`` bytes, and the address of its sender, recvfrom(2).

    :raises SyscallError: EAGAIN if none waits
    """
    data, address, length = ctypes.create_string_buffer(size), ctypes.create_string_buffer(128), ctypes.c_uint(128)
    count = call("recvfrom", fd, data, size, _MSG_DONTWAIT, address, ctypes.byref(length))
    return data.raw[:count], address.raw[: length.value]


def socket_up(name: bytes) -> None:
    """Bring up a network interface, netdevice(7): SIOCGIFFLAGS, then SIOCSIFFLAGS with IFF_UP."""
    fd = _check(_libc.socket(2, 2 | os.O_CLOEXEC, 0), "socket")
    try:
        request = ctypes.create_string_buffer(name, 40)
        _check(_libc.ioctl(fd, 0x8913, request), "ioctl", name)
        request[16] = bytes((request.raw[16] | 1,))
        _check(_libc.ioctl(fd, 0x8914, request), "ioctl", name)
    finally:
        os.close(fd)


def perf_event_open(attributes: bytes) -> int:
    """Return a new counter for this process, perf_event_open(2), closed on exec."""
    return call("perf_event_open", attributes, 0, -1, -1, 8)


def landlock_abi() -> int:
    """Return the version of the kernel's Landlock, landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION."""
    return call("landlock_create_ruleset", None, 0, 1)


def landlock_ruleset(handled_fs: int, handled_net: int, scoped: int) -> int:
    """Return a new ruleset, landlock_create_ruleset(2). We omit zero fields at the end: older kernels lack them."""
    attributes = (ctypes.c_uint64 * 3)(handled_fs, handled_net, scoped)
    size = 24 if scoped else 16 if handled_net else 8
    return call("landlock_create_ruleset", attributes, size, 0)


def landlock_allow(ruleset: int, fd: int, access: int, *, path: bytes) -> None:
    """Allow accesses beneath an open path, landlock_add_rule(2) with LANDLOCK_RULE_PATH_BENEATH."""
    rule = ctypes.create_string_buffer(access.to_bytes(8, "little") + fd.to_bytes(4, "little"), 12)
    call("landlock_add_rule", ruleset, 1, rule, 0, path=path)


def landlock_restrict(ruleset: int) -> None:
    """Confine this process by a ruleset and close the ruleset, landlock_restrict_self(2). Needs no_new_privs."""
    try:
        call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
