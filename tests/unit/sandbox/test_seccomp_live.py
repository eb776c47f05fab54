"""The seccomp filter on the kernel of this host.

Run as a script, this file is the probe: it installs the filter on itself and reports the result of each call.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import pty
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable

import pytest

from isolated_hooks.sandbox.numbers import MACHINES, NEWEST, NUMBERS
from isolated_hooks.sandbox.seccomp import filter_program

HERE = os.uname().machine if sys.platform == "linux" else ""
live = pytest.mark.skipif(HERE not in MACHINES, reason="this machine has no filter")
NOBODY = 65534
_SECCOMP = {"x86_64": 317, "aarch64": 277}

REFUSED_LIVE = {
    "unshare": errno.EPERM,
    "clone into a user namespace": errno.EPERM,
    "clone3": errno.ENOSYS,
    "openat2": errno.ENOSYS,
    "keyctl": errno.EPERM,
    "io_uring_setup": errno.EPERM,
    "vsock": errno.EAFNOSUPPORT,
    "packet": errno.EAFNOSUPPORT,
    "netlink audit": errno.EAFNOSUPPORT,
    "raw": errno.EPERM,
    # seccomp_unotify(2): ENOSYS where no process listens.
    "chmod 4755": errno.ENOSYS,
    "fchmod 2755": errno.ENOSYS,
    "open 4755": errno.EPERM,
    "unnamed 4755": errno.EPERM,
    "mknod 4755": errno.EPERM,
    "mknod device": errno.EPERM,
    "TIOCSTI, upper half set": errno.EPERM,
    "TIOCSETD": errno.EPERM,
    "personality READ_IMPLIES_EXEC": errno.EPERM,
    "limit of another process": errno.EPERM,
    "unknown call": errno.ENOSYS,
}
ALLOWED_LIVE = [
    "netlink route",
    "unix",
    "inet",
    "socketpair",
    "chmod 755",
    "open 644",
    "mkdir",
    "fifo",
    "TIOCGWINSZ",
    "fork",
    "thread",
    "subprocess",
    "ptrace traceme",
    "personality ADDR_NO_RANDOMIZE",
    "RLIMIT_CORE",
    "RLIMIT_NOFILE",
]


def _run_probe(identity: str, machine: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    # We do not use pytest's directory, which no other user may enter. We create this one here, because a killed probe
    # cannot remove it.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o777)
        command = [sys.executable, os.path.abspath(__file__), identity, machine, directory]
        return subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)


@live
@pytest.mark.parametrize("identity", ["caller", "nobody"])
def test_on_the_kernel(identity: str) -> None:
    if identity == "nobody" and os.geteuid() != 0:
        pytest.skip("needs root to become nobody")
    done = _run_probe(identity, HERE)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results.pop("core limit afterwards") == results.pop("core limit before")
    assert results == {**REFUSED_LIVE, **dict.fromkeys(ALLOWED_LIVE, 0)}


@live
def test_without_the_filter_the_calls_succeed() -> None:
    results = json.loads(_run_probe("caller", "none").stdout)
    always_possible = ["chmod 4755", "fchmod 2755", "open 4755", "mknod 4755", "personality READ_IMPLIES_EXEC"]
    assert {name: results[name] for name in always_possible} == dict.fromkeys(always_possible, 0)
    assert results["core limit afterwards"] == [0, 0]


@live
def test_the_filter_of_another_machine_kills() -> None:
    other = next(name for name in MACHINES if name != HERE)
    assert _run_probe("caller", other).returncode == -signal.SIGSYS


def _check(result: int) -> None:
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Probe:
    """The calls that a process tries. Each method either returns or raises the kernel's ``OSError``."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.file = os.path.join(directory, "file")
        self.descriptor = os.open(self.file, os.O_CREAT | os.O_RDWR, 0o600)
        self.master, self.terminal = pty.openpty()

    def call(self, name: str, *arguments: int | bytes | None) -> int:
        number = NUMBERS[name][MACHINES[HERE]]
        assert number is not None
        return self.number(number, *arguments)

    def number(self, number: int, *arguments: int | bytes | None) -> int:
        wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
        result: int = self.libc.syscall(ctypes.c_long(number), *wide)
        _check(result)
        return result

    def clone(self, flags: int) -> None:
        pid = self.call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    def child(self, act: Callable[[], None]) -> None:
        """Run ``act`` in a forked child and raise an ``OSError`` with the child's errno."""
        pid = os.fork()
        if pid == 0:
            code = 255
            try:
                code = attempt(act)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if status:
            raise OSError(os.waitstatus_to_exitcode(status), "in the child")

    def thread(self) -> None:
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(1))
        thread.start()
        thread.join()
        assert seen == [1]

    def open_new(self, name: str, flags: int, mode: int) -> None:
        os.close(os.open(os.path.join(self.directory, name), flags, mode))

    def socket(self, family: int, kind: int, protocol: int = 0) -> None:
        socket.socket(family, kind, protocol).close()

    def lower(self, which: int, value: int) -> None:
        resource.setrlimit(which, (value, value))

    def foreign_limit(self) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))
        finally:
            os.close(writing)
            os.close(reading)
            os.waitpid(pid, 0)

    def attempts(self) -> dict[str, Callable[[], object]]:
        inside = self.directory
        return {
            "unshare": lambda: self.child(lambda: void(self.call("unshare", 0x10000000))),
            "clone into a user namespace": lambda: self.clone(0x10000000),
            "clone3": lambda: self.call("clone3", None, 0),
            "openat2": lambda: self.call("openat2", -100, b"/", None, 0),
            "keyctl": lambda: self.call("keyctl", 0, -3, 0),
            "io_uring_setup": lambda: self.call("io_uring_setup", 0, None),
            "vsock": lambda: self.socket(40, socket.SOCK_STREAM),
            "packet": lambda: self.socket(17, socket.SOCK_RAW),
            "netlink audit": lambda: self.socket(16, socket.SOCK_RAW, 9),
            "netlink route": lambda: self.socket(16, socket.SOCK_RAW, 0),
            "raw": lambda: self.socket(socket.AF_INET, socket.SOCK_RAW, 1),
            "unix": lambda: self.socket(socket.AF_UNIX, socket.SOCK_STREAM),
            "inet": lambda: self.socket(socket.AF_INET, socket.SOCK_STREAM),
            "socketpair": lambda: [end.detach() for end in socket.socketpair()],
            "chmod 4755": lambda: os.chmod(self.file, 0o4755),
            "chmod 755": lambda: os.chmod(self.file, 0o755),
            "fchmod 2755": lambda: os.fchmod(self.descriptor, 0o2755),
            "open 4755": lambda: self.open_new("set-id", os.O_CREAT | os.O_WRONLY, 0o4755),
            "open 644": lambda: self.open_new("plain", os.O_CREAT | os.O_WRONLY, 0o644),
            "unnamed 4755": lambda: self.open_new(".", os.O_TMPFILE | os.O_WRONLY, 0o4755),
            "mkdir": lambda: os.mkdir(os.path.join(inside, "directory")),
            "mknod 4755": lambda: os.mknod(os.path.join(inside, "regular"), stat.S_IFREG | 0o4755),
            "mknod device": lambda: os.mknod(os.path.join(inside, "null"), stat.S_IFCHR | 0o600, os.makedev(1, 3)),
            "fifo": lambda: os.mkfifo(os.path.join(inside, "fifo")),
            "TIOCSTI, upper half set": lambda: self.call("ioctl", self.terminal, 0x5412 | 1 << 32, b"x"),
            "TIOCSETD": lambda: fcntl.ioctl(self.terminal, termios.TIOCSETD, bytes(4)),
            "TIOCGWINSZ": lambda: fcntl.ioctl(self.terminal, termios.TIOCGWINSZ, bytes(8)),
            "ptrace traceme": lambda: self.child(lambda: void(self.call("ptrace", 0, 0, 0, 0))),
            "personality ADDR_NO_RANDOMIZE": lambda: self.child(lambda: void(self.call("personality", 0x40000))),
            "personality READ_IMPLIES_EXEC": lambda: self.child(lambda: void(self.call("personality", 0x400000))),
            "fork": lambda: self.child(lambda: None),
            "thread": self.thread,
            "subprocess": lambda: subprocess.run(["/bin/sh", "-c", "exit 0"], check=True),
            "RLIMIT_CORE": lambda: self.lower(resource.RLIMIT_CORE, 0),
            "RLIMIT_NOFILE": lambda: self.child(lambda: self.lower(resource.RLIMIT_NOFILE, 64)),
            "limit of another process": self.foreign_limit,
            "unknown call": lambda: self.number(NEWEST + 1, 0, 0, 0),
        }


def void(_: object) -> None:
    """Drop a result, for a lambda that must not return one."""


def attempt(act: Callable[[], object]) -> int:
    try:
        act()
    except OSError as error:
        assert error.errno is not None
        return error.errno
    return 0


def install(program: bytes) -> None:
    class Fprog(ctypes.Structure):
        _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(38, 1, 0, 0, 0))
    fprog = Fprog(len(program) // 8, program)
    _check(libc.syscall(ctypes.c_long(_SECCOMP[HERE]), 1, 0, ctypes.byref(fprog)))


def probe(identity: str, machine: str, directory: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0) if hard == 0 else (1, 1))
    if identity == "nobody":
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    attempts = Probe(directory).attempts()
    if machine != "none":
        install(filter_program(machine))
    results: dict[str, object] = {name: attempt(act) for name, act in attempts.items()}
    results["core limit before"] = before
    results["core limit afterwards"] = resource.getrlimit(resource.RLIMIT_CORE)
    print(json.dumps(results))


if __name__ == "__main__":
    probe(*sys.argv[1:])
