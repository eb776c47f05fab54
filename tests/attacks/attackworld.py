"""The world of one attack run: what an attacker would like to have, each thing with a canary of its own.

Everything is made for one run and removed after it. A canary is a text that exists nowhere else; whoever has it has
been where it was. :class:`World` plants them, and looks from outside at what came of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
LIBC = ctypes.CDLL(None, use_errno=True)
# add_key, keyctl on x86_64 and aarch64.
_ADD_KEY, _KEYCTL = (217, 219) if platform.machine() == "aarch64" else (248, 250)
_SESSION_KEYRING, _KEYCTL_UNLINK = -3, 9
_IPC_PRIVATE, _IPC_RMID = 0, 0
TEXT = "written by the hostile backend"

#: What people keep in their homes (attacks.md A01-A08, A13).
HOME_FILES = {
    "A01": (".netrc",),
    "A02": (".pypirc", ".pip/pip.conf", ".config/pip/pip.conf", ".config/uv/uv.toml", ".config/pypoetry/auth.toml"),
    "A03": (".aws/credentials", ".azure/config", ".config/gcloud/credentials.db", ".kube/config", ".vault-token"),
    "A04": (".ssh/id_ed25519", ".gnupg/secring.gpg"),
    "A05": (".git-credentials", ".config/git/credentials", ".config/gh/hosts.yml"),
    "A07": (".docker/config.json", ".config/containers/auth.json"),
    "A08": (".npmrc", ".cargo/credentials.toml", ".m2/settings.xml"),
    "A10": (".local/share/keyrings/login.keyring",),
    "A13": (".bash_history", ".python_history", ".env"),
}
#: Variables that CI services and people have, none of which a build needs (A12).
VARIABLES = ("TWINE_PASSWORD", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "NETRC", "SSH_AUTH_SOCK", "COMPANY_NOTES")
# A process to attack: it says where in its memory the canary is, and ends when its input ends.
_VICTIM = """
import ctypes, sys
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # whatever Yama says, it may be traced
secret = ctypes.create_string_buffer(sys.argv[2].encode())
file = open(sys.argv[3], "rb")
print(ctypes.addressof(secret), file.fileno(), flush=True)
sys.stdin.read()
"""


def canary() -> str:
    """Return a new canary."""
    return f"CANARY-{secrets.token_hex(8)}"


def _home_of_account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return os.path.expanduser("~")  # a user without an account, as in many CI jobs


class World:
    """See the module. A context manager; ``base`` is gone afterwards, and so is what was planted elsewhere."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.canaries: dict[str, str] = {}
        self.random = secrets.token_hex(4)
        self.signals: list[int] = []

    def __enter__(self) -> World:
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self._make()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new(self, name: str) -> str:
        """Return a new canary of that name."""
        self.canaries[name] = canary()
        return self.canaries[name]

    def _make(self) -> None:
        self.patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        self._stack.callback(os.umask, os.umask(0o022))
        self.base = Path(tempfile.mkdtemp(prefix="ih-"))
        self._stack.callback(shutil.rmtree, self.base)
        # Where the caller is root the hook is somebody else. What is planted is open to all, as otherwise modes alone
        # would keep the hook out, and that the sandbox does too would not be shown.
        self.base.chmod(0o755)
        self._make_build()
        self._make_home()
        self._make_elsewhere()
        self._make_environment()
        self._make_processes()
        self._make_sockets()
        self._make_ipc()

    def _make_build(self) -> None:
        """The build itself: source tree, interpreter, build environment, output directory."""
        self.tree, self.prefix, self.env, self.out, self.tmp = (
            self.base / name for name in ("work/pkg", "prefix", "env", "out", "tmp")
        )
        shutil.copytree(HERE / "backend", self.tree, ignore=shutil.ignore_patterns("__pycache__"))
        for directory in (self.out, self.tmp, self.tree / "mountpoint"):
            directory.mkdir()
        self.python = make_interpreter(self.prefix, self.env)
        self.site = self.env / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        for name in ("requirement.py", "replaced.py", "metadata.py"):
            (self.site / name).write_text("x = 1\n")
        self.planted(self.base / "work/other-build/secret", "other-build")
        self.planted(self.base / "work/.env", "parent")
        (self.base / "work" / self.new("sibling")).mkdir()

    def planted(self, path: Path, name: str) -> Path:
        """Write a file that holds a new canary."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.new(name) + "\n")
        return path

    def _make_home(self) -> None:
        self.home = self.base / "home"
        for attack, names in HOME_FILES.items():
            for name in names:
                self.planted(self.home / name, f"{attack}/{name}")
        for name in (".bashrc", ".cache/pip/wheel", "github-env", "opened"):
            self.planted(self.home / name, name)
        (self.home / "opened").chmod(0o666)
        self.patch.setenv("HOME", str(self.home))

    def _make_elsewhere(self) -> None:
        """Canaries outside of the run's own directory, with names that nothing else has."""
        self.real_home = Path(_home_of_account())
        places = {"real-home": self.real_home, "run": Path("/run"), "opt-less": Path("/srv"), "etc": Path("/etc")}
        shared = {"/tmp": Path("/tmp"), "/var/tmp": Path("/var/tmp"), "/dev/shm": Path("/dev/shm")}
        self.elsewhere: dict[str, Path] = {}
        for name, place in {**places, **shared}.items():
            if os.access(place, os.W_OK):
                path = place / f".isolated-hooks-canary-{self.random}"
                self.elsewhere[name] = self.planted(path, name)
                self._stack.callback(path.unlink, missing_ok=True)

    def target(self, directory: str | Path) -> str:
        """Return a path for the backend to create; it is removed afterwards."""
        path = Path(directory) / f"isolated-hooks-written-{self.random}"
        self._stack.callback(path.unlink, missing_ok=True)
        return str(path)

    def _make_environment(self) -> None:
        for name in VARIABLES:
            self.patch.setenv(name, self.new(name))
        self.patch.setenv("PIP_INDEX_URL", f"https://user:{self.new('PIP_INDEX_URL')}@index.invalid/simple")
        self.patch.setenv("GITHUB_ENV", str(self.home / "github-env"))
        self.patch.setenv("TMPDIR", str(self.tmp))
        self.patch.setattr(tempfile, "tempdir", None)

    def _make_processes(self) -> None:
        memory, argument = self.new("memory"), self.new("argument")
        file = self.planted(self.base / "opened", "opened")
        environ = {**os.environ, "VICTIM": self.new("victim-environ")}
        command = [sys.executable, "-c", _VICTIM, argument, memory, str(file)]
        self.victim = self._process(command, cwd=self.base / "work/other-build", env=environ)
        assert self.victim.stdout is not None
        self.address, self.descriptor = (int(word) for word in self.victim.stdout.readline().split())
        # Ends with 0 when its input ends, unless a signal came before: so nothing has to be timed.
        self.prey = self._process(["/bin/cat"])
        self.daemon = f"ih-{self.random}"
        self._stack.callback(end_processes, self.daemon)
        earlier = signal.signal(signal.SIGUSR2, lambda number, _frame: self.signals.append(number))
        self._stack.callback(signal.signal, signal.SIGUSR2, earlier)

    def _process(self, command: Sequence[str], **named: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **named)
        self._stack.callback(process.communicate)
        return process

    def _make_sockets(self) -> None:
        self.token = self.new("token")
        self.listeners: dict[str, socket.socket] = {}
        self._listen("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self._listen("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self._listen("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
        self._listen("abstract", socket.AF_UNIX, socket.SOCK_STREAM, f"\0isolated-hooks-test-{self.random}")
        self._listen("path", socket.AF_UNIX, socket.SOCK_STREAM, str(self.home / "agent.sock"))
        self._listen("datagram", socket.AF_UNIX, socket.SOCK_DGRAM, str(self.base / "log.sock"))

    def _listen(self, name: str, family: int, kind: int, address: Any) -> None:
        sock = self._stack.enter_context(socket.socket(family, kind))
        try:
            sock.bind(address)
        except OSError:
            if name != "tcp6":
                raise
            return  # a host without IPv6
        if isinstance(address, str) and address.startswith("/"):
            os.chmod(address, 0o777)
        if kind == socket.SOCK_STREAM:
            sock.listen()
        sock.setblocking(False)
        self.listeners[name] = sock

    def address_of(self, name: str) -> Any:
        """Return a listener's address as JSON can hold it."""
        if name not in self.listeners:
            return ["::1", 9]
        address = self.listeners[name].getsockname()
        return "@" + address[1:].decode() if isinstance(address, bytes) else address

    def _make_ipc(self) -> None:
        self.segment = LIBC.shmget(_IPC_PRIVATE, 4096, 0o666)
        assert self.segment >= 0
        self._stack.callback(LIBC.shmctl, self.segment, _IPC_RMID, None)
        LIBC.shmat.restype = ctypes.c_void_p
        address = LIBC.shmat(self.segment, None, 0)
        ctypes.memmove(address, self.new("segment").encode(), len(self.canaries["segment"]))
        LIBC.shmdt(ctypes.c_void_p(address))
        self.key_name = f"isolated-hooks-{self.random}"
        secret = self.new("key").encode()
        keyring = ctypes.c_long(_SESSION_KEYRING)
        key = LIBC.syscall(_ADD_KEY, b"user", self.key_name.encode(), secret, ctypes.c_size_t(len(secret)), keyring)
        if key >= 0:
            self._stack.callback(LIBC.syscall, _KEYCTL, _KEYCTL_UNLINK, key, keyring)

    def handle(self, path: Path) -> tuple[int, str]:
        """Return the type and the bytes of a file's handle, name_to_handle_at(2)."""
        buffer = (ctypes.c_ubyte * 136)(128)
        mount = ctypes.c_int()
        if LIBC.name_to_handle_at(-100, str(path).encode(), buffer, ctypes.byref(mount), 0) != 0:
            return 0, ""
        data = bytes(buffer)
        size = int.from_bytes(data[:4], sys.byteorder)
        return int.from_bytes(data[4:8], sys.byteorder), data[8 : 8 + size].hex()

    def leaked(self, names: Sequence[str], evidence: Any) -> list[str]:
        """Return whose canaries are in the evidence."""
        text = json.dumps(evidence)
        return [name for name in names if self.canaries[name] in text]

    def reached(self, name: str) -> bool:
        """Say whether the token arrived at a listener. What was sent is in the kernel's buffers by now."""
        sock = self.listeners.get(name)
        if sock is None:
            return False
        try:
            if sock.type == socket.SOCK_STREAM:
                sock, _ = sock.accept()
            with contextlib.closing(sock):
                return self.token in sock.recv(1024).decode()
        except BlockingIOError:
            return False

    def prey_was_signalled(self) -> bool:
        """Say whether a signal had reached the process before its input ended."""
        self.prey.communicate()
        return self.prey.returncode == -signal.SIGTERM

    def inner_runner(self) -> Callable[..., None]:
        """Return a frontend's runner: with descriptors left open, input, and a shell between it and the hook.

        The shell is there so that the hook's parent, without the sandbox, has the frontend's environment to be read.
        """
        directory = self._descriptor(self.home, os.O_RDONLY | os.O_DIRECTORY)
        file = self._descriptor(self.home / "opened", os.O_RDONLY)
        self.inherited = (directory, file)
        typed = self.planted(self.base / "typed", "typed")

        def run(cmd: Sequence[str], cwd: str | None = None, extra_environ: Any = None) -> None:
            environ = {**os.environ, **(extra_environ or {})}
            command = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *cmd]
            with typed.open() as stdin:
                subprocess.run(
                    command, cwd=cwd, env=environ, stdin=stdin, pass_fds=self.inherited, capture_output=True, check=True
                )

        return run

    def _descriptor(self, path: Path, flags: int) -> int:
        fd = os.open(path, flags)
        self._stack.callback(os.close, fd)
        return fd


def make_interpreter(prefix: Path, env: Path) -> Path:
    """Make an interpreter's prefix and an environment of it, small enough to be attacked and thrown away."""
    version = f"python3.{sys.version_info.minor}"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").mkdir()
    (prefix / "bin" / version).symlink_to(os.path.realpath(sys.executable))
    (prefix / "lib" / version).symlink_to(os.path.dirname(os.__file__))
    (prefix / "lib" / "marker").write_text("x = 1\n")
    (env / "bin").mkdir(parents=True)
    (env / "lib" / version / "site-packages").mkdir(parents=True)
    (env / "bin" / "python").symlink_to(prefix / "bin" / version)
    (env / "pyvenv.cfg").write_text(f"home = {prefix / 'bin'}\n")
    return env / "bin" / "python"


def processes(name: str) -> Iterator[int]:
    """Yield the living processes on this host of that name, which has up to 15 characters."""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            before, _, after = (directory / "stat").read_text().rpartition(")")
            # One that has ended and that nobody has reaped yet is no longer there in any way that matters.
            if before.partition("(")[2] == name and after.split()[0] not in "ZX":
                yield int(directory.name)


def end_processes(name: str) -> None:
    """End the processes of that name."""
    for pid in processes(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until(condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """Return what a condition gives as soon as that is true, and its last word when a generous deadline has passed."""
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return result
