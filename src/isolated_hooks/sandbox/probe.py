"""The facts about this host, for the doctor. We try each in a child of its own, so that none affects another.

Run it as ``python -I -S .../sandbox/__main__.py probe``. It prints a marshalled dictionary of name -> ``(value,
text)``. The value is ``True``, ``False`` or a number; the text is the system call and its error, or empty.
"""

from __future__ import annotations

import marshal
import os

from . import cgroup, cputime, identity, listener, namespaces, privileges, seccomp, syscalls

if False:
    from collections.abc import Callable

_USER = syscalls.CLONE_NEWUSER
_MOUNT = _USER | syscalls.CLONE_NEWNS
# An ordinary directory, to mount over in a new mount namespace.
_DIRECTORY = b"/usr"


def facts() -> dict[str, tuple[int, str]]:
    """Return all facts, by name."""
    return {name: _in_child(probe) for name, probe in _PROBES.items()}


def main(_arguments: list[str]) -> int:
    """Write the facts to stdout. Return the exit code."""
    os.write(1, marshal.dumps(facts()))
    return 0


def _in_child(probe: Callable[[], int | None]) -> tuple[int, str]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer: tuple[int, str] = (False, "the probe ended early")
        try:
            value = probe()
            answer = (True if value is None else value, "")
        except OSError as error:
            call = getattr(error, "syscall", "")
            answer = (False, f"{call}{': ' if call else ''}{os.strerror(error.errno or 0)}")
        finally:
            os.write(write, marshal.dumps(answer))
            os._exit(0)
    os.close(write)
    data = os.read(read, 4096)
    os.close(read)
    os.waitpid(pid, 0)
    fact: tuple[int, str] = marshal.loads(data) if data else (False, "somebody killed the probe")
    return fact


def _unshare(flags: int) -> Callable[[], None]:
    return lambda: syscalls.unshare(flags)


def _enter(flags: int) -> None:
    """Enter namespaces with the id map for an ordinary user, or without a map if the host refuses it."""
    uid, gid = os.geteuid(), os.getegid()
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
    syscalls.unshare(flags)
    try:
        _map(uid, gid)
    except syscalls.SyscallError:
        pass  # the next step does not need the map


def _map(uid: int, gid: int) -> None:
    namespaces.write_proc(b"/proc/self/setgroups", b"deny")
    namespaces.write_proc(b"/proc/self/uid_map", b"%d %d 1" % (identity.SANDBOX_UID, uid))
    namespaces.write_proc(b"/proc/self/gid_map", b"%d %d 1" % (identity.SANDBOX_UID, gid))


def _uid_map() -> None:
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(_USER)
    _map(uid, gid)


def _tmpfs() -> None:
    _enter(_MOUNT)
    syscalls.make_private()
    syscalls.mount(b"probe", _DIRECTORY, b"tmpfs", 0)


def _bind() -> None:
    _enter(_MOUNT)
    tree = syscalls.clone_tree(_DIRECTORY)
    syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_RDONLY, recursive=True, path=_DIRECTORY)
    target = syscalls.open_path(_DIRECTORY)
    syscalls.move_mount(tree, target, path=_DIRECTORY)


def _pivot_root() -> None:
    _tmpfs()
    os.chdir(_DIRECTORY)
    syscalls.pivot_root(b".", b".")


def _fresh_proc() -> None:
    _enter(_MOUNT | syscalls.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            syscalls.make_private()
            syscalls.mount(b"proc", b"/proc", b"proc", 0)
        except OSError as error:
            code = error.errno or 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise syscalls.SyscallError(code, "mount", b"/proc")


def _idmapped() -> None:
    line = b"0 %d 1" % identity.FIRST_UID
    tree = syscalls.clone_tree(_DIRECTORY)
    userns = namespaces.UserNamespace(line, line).fd
    syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_IDMAP, recursive=False, userns=userns, path=_DIRECTORY)


def _hostname() -> None:
    _enter(_USER | syscalls.CLONE_NEWUTS)
    syscalls.sethostname(b"localhost")


def _loopback() -> None:
    _enter(_USER | syscalls.CLONE_NEWNET)
    namespaces.loopback_up()


def _setresuid() -> None:
    identity.become(identity.FIRST_UID, identity.FIRST_UID)


def _seccomp() -> None:
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.seccomp_filter(seccomp.filter_program(syscalls.MACHINE))


def _notification() -> None:
    """Hand over a listener as the process that becomes a hook does."""
    handover = listener.Handover()
    pid = os.fork()
    if pid == 0:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        handover.offer(seccomp.hook_program(syscalls.MACHINE, brokered=True))
        os._exit(0)
    requests = handover.accept(pid)
    handover.end(go=False)
    os.waitpid(pid, 0)
    if requests is None:
        raise syscalls.SyscallError(1, "seccomp, process_vm_readv or pidfd_getfd")


def _limits() -> None:
    privileges.limit({"NPROC": 64, "NOFILE": 64})


def _memory_cgroup() -> None:
    """Create a memory cgroup like that of a hook, and remove it."""
    group = cgroup.make(2**30, cgroup.PREFIX + b"probe-%d" % os.getpid())
    if group is None:
        raise syscalls.SyscallError(1, "mkdir")
    group.close()
    cgroup.remove(group.path)


def _processor_time() -> None:
    os.close(cputime.open_counter())


_PROBES: dict[str, Callable[[], int | None]] = {
    "user namespace": _unshare(_USER),
    "mount namespace": _unshare(_MOUNT),
    "PID namespace": _unshare(_USER | syscalls.CLONE_NEWPID),
    "IPC namespace": _unshare(_USER | syscalls.CLONE_NEWIPC),
    "network namespace": _unshare(_USER | syscalls.CLONE_NEWNET),
    "UTS namespace": _unshare(_USER | syscalls.CLONE_NEWUTS),
    "cgroup namespace": _unshare(_USER | syscalls.CLONE_NEWCGROUP),
    "own uid_map": _uid_map,
    "tmpfs": _tmpfs,
    "open_tree, mount_setattr, move_mount": _bind,
    "pivot_root": _pivot_root,
    "fresh /proc": _fresh_proc,
    "idmapped bind": _idmapped,
    "sethostname": _hostname,
    "loopback": _loopback,
    "throw-away uid": _setresuid,
    "Landlock ABI": syscalls.landlock_abi,
    "seccomp filter": _seccomp,
    "seccomp user notification": _notification,
    "session keyring": syscalls.join_new_session_keyring,
    "resource limits": _limits,
    "memory cgroup": _memory_cgroup,
    "processor time counter": _processor_time,
}
