"""The world of one attack run: what an attacker would like to have, each thing with a canary of its own.

Everything is made for one run and removed after it. A canary is a text that exists nowhere else; whoever has it has
been where it was. :class:`World` plants them, and looks from outside at what came of it. Whatever it plants a
:class:`~isolated_hooks.selftest.janitor.Janitor` removes, also where this process is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
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

from ...files.paths import is_within
from ...policy import Policy
from .ipc import HostIPC
from .janitor import Janitor
from .listeners import Listeners
from .processes import end_processes

__all__ = [
    "BACKEND",
    "HOME_FILES",
    "TEXT",
    "VARIABLES",
    "World",
    "make_interpreter",
]

#: The source tree of the hostile backend, to be copied.
BACKEND = Path(__file__).parents[1] / "backend"
_LONGEST_BASE = 60  # the path of a unix socket has at most 107 bytes
#: What the backend writes wherever it can.
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
# What makes programs load something (B05); nobody has what these name.
_LOADING = ("BASH_ENV", "GCONV_PATH", "GIT_SSH_COMMAND", "PERL5LIB", "PYTHONSTARTUP")
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


# What lies beside the build, by the name of its canary.
_BESIDE = {
    "other-build": "work/other-build/secret",
    "parent": "work/.env",
    "pip.conf": "venv/pip.conf",
    "credentials": "credentials/token",
    "event": "ci/event.json",
    "control": "tmp/tmpcontrol/input.json",
}


@contextlib.contextmanager
def _restored_environment() -> Iterator[None]:
    """Give this process its environment back at the end, and what it knows of its directory of temporary files."""
    variables, directory = dict(os.environ), tempfile.tempdir
    try:
        yield
    finally:
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)
        tempfile.tempdir = directory


def _directory_for_sockets() -> Path:
    """Return a directory for temporary files whose path is short enough for the sockets in it."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if len(os.fsencode(place)) <= _LONGEST_BASE and os.access(place, os.W_OK):
            return Path(place)
    return Path(tempfile.gettempdir())


def _home_of_account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return os.path.expanduser("~")  # a user without an account, as in many CI jobs


class World:
    """See the module. A context manager; what was planted is gone afterwards.

    :param policy: of the sandbox that the hook will be in, ``None`` where it will be in none
    :param harmless: plant nothing where it might be noticed: not in /etc and /srv, where root could
    """

    def __init__(self, *, policy: Policy | None = None, harmless: bool = False) -> None:
        self.policy = policy
        self.harmless = harmless
        self._stack = contextlib.ExitStack()
        self.canaries: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.random = secrets.token_hex(4)
        self.signals: list[int] = []
        self.began = time.time()
        self.output = b""

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
        self._janitor = Janitor()
        self._stack.callback(self._janitor.close)
        self._stack.enter_context(_restored_environment())
        self._stack.callback(os.umask, os.umask(0o022))
        # Named before it is made, and by this process alone, so the name is free.
        self.base = _directory_for_sockets() / f"ih-{secrets.token_hex(8)}"
        self._janitor.told("tree", str(self.base))
        # Where the caller is root the hook is somebody else. What is planted is open to all, as otherwise modes alone
        # would keep the hook out, and that the sandbox does too would not be shown.
        self.base.mkdir(mode=0o755)
        self._make_build()
        self._make_home()
        self._make_elsewhere()
        self._make_environment()
        self._make_processes()
        token, shared = self.new("token"), self._outside(Path("/tmp"), "socket")
        listeners = Listeners(token, name=self.random, base=self.base, home=self.home, shared=shared)
        self.listeners = self._stack.enter_context(listeners)
        self.ipc = HostIPC(self._janitor, self.new, name=self.random)

    def _make_build(self) -> None:
        """The build itself: source tree, interpreter, build environment, output directory."""
        self.tree, self.prefix, self.env, self.out, self.tmp = (
            self.base / name for name in ("work/pkg", "prefix", "env", "out", "tmp")
        )
        shutil.copytree(BACKEND, self.tree, ignore=shutil.ignore_patterns("__pycache__"))
        for directory in (self.out, self.tmp, self.tree / "mountpoint", self.tree / ".git/hooks"):
            directory.mkdir(parents=True)
        (self.tree / ".git/config").touch()
        self.python = make_interpreter(self.prefix, self.env)
        (self.prefix / "bin/tool").write_text("#!/bin/sh\n")
        self.site = self.env / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        for name in ("requirement.py", "replaced.py", "metadata.py"):
            (self.site / name).write_text("x = 1\n")
        (self.base / "work" / self.new("sibling")).mkdir()
        for name, path in _BESIDE.items():
            self.planted(self.base / path, name)

    def planted(self, path: Path, name: str) -> Path:
        """Write a file that holds a new canary."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.new(name) + "\n")
        self.places[name] = str(path)
        return path

    def gives(self, what: str) -> bool:
        """Say whether the policy gives the hook this path or variable, or whatever the canary of this name is in."""
        if self.policy is None:
            return False
        path, shown = self.places.get(what, what), (*self.policy.expose, *self.policy.writable)
        kept = any(what == n or (n.endswith("*") and what.startswith(n[:-1])) for n in self.policy.env_keep)
        return kept or any(is_within(path, top) for top in shown)

    def _make_home(self) -> None:
        self.home = self.base / "home"
        for kind, names in HOME_FILES.items():
            for name in names:
                self.planted(self.home / name, f"{kind}/{name}")
        for name in (".bashrc", ".cache/pip/wheel", "github-env", "opened", "metadata"):
            self.planted(self.home / name, name)
        (self.home / ".config/systemd/user").mkdir(parents=True)
        (self.home / "opened").chmod(0o666)

    def _make_elsewhere(self) -> None:
        """Canaries outside of the run's own directory, with names that nothing else has."""
        self.real_home = Path(_home_of_account())
        places = {"real-home": self.real_home, "run": Path("/run")}
        places |= {name: Path(name) for name in ("/tmp", "/var/tmp", "/dev/shm")}
        if not self.harmless:
            places |= {"srv": Path("/srv"), "etc": Path("/etc")}
        self.elsewhere: dict[str, Path] = {}
        for name, place in places.items():
            if os.access(place, os.W_OK):
                self.elsewhere[name] = self.planted(self._outside(place, "canary"), name)

    def _outside(self, place: Path, what: str) -> Path:
        """Return the path of something to be made outside of the run's own directory."""
        path = place / f".isolated-hooks-{what}-{self.random}"
        self._janitor.told("file", str(path))
        return path

    def target(self, directory: str | Path) -> str:
        """Return a path for the backend to create; it is removed afterwards."""
        path = str(Path(directory) / f"isolated-hooks-written-{self.random}")
        self._janitor.told("file", path)
        return path

    def _make_environment(self) -> None:
        values = {name: self.new(name) for name in (*VARIABLES, *_LOADING)}
        values["PIP_INDEX_URL"] = f"https://user:{self.new('PIP_INDEX_URL')}@index.invalid/simple"
        files = {"GITHUB_ENV": "home/github-env", "GITHUB_EVENT_PATH": "ci/event.json"}
        files |= {"CREDENTIALS_DIRECTORY": "credentials", "HOME": "home", "TMPDIR": "tmp"}
        os.environ.update(values, **{name: str(self.base / path) for name, path in files.items()})
        os.environ["PATH"] = f".:{self.tree}/bin:{os.environ.get('PATH', os.defpath)}"
        tempfile.tempdir = None

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
        """Start a process that ends with its input. It is in a session of its own, out of an interrupt's way."""
        pipe = subprocess.PIPE
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, start_new_session=True, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, **named
        )
        self._stack.callback(process.communicate)
        return process

    def leaked(self, names: Sequence[str], evidence: Any) -> list[str]:
        """Return whose canaries are in the evidence."""
        text = json.dumps(evidence)
        return [name for name in names if self.canaries[name] in text]

    def inherited_was_used(self) -> bool:
        """Say whether something came through the socket that the frontend left open."""
        try:
            return self.canaries["inherited-token"] in self._our_end.recv(1024).decode()
        except BlockingIOError:
            return False

    def victim_score(self) -> int:
        """Return what is added to the victim's badness when memory is short, proc_pid_oom_score_adj(5)."""
        return int(Path(f"/proc/{self.victim.pid}/oom_score_adj").read_text())

    def prey_was_signalled(self) -> bool:
        """Say whether a signal had reached the process before its input ended."""
        self.prey.communicate()
        return self.prey.returncode == -signal.SIGTERM

    def inner_runner(self) -> Callable[..., None]:
        """Return a frontend's runner: with descriptors left open, input, and a shell between it and the hook.

        The shell is there so that the hook's parent, without the sandbox, has the frontend's environment to be read.
        """
        descriptors = {
            "directory": self._descriptor(self.home, os.O_RDONLY | os.O_DIRECTORY),
            "file": self._descriptor(self.home / "opened", os.O_RDONLY),
        }
        self._our_end, theirs = (self._stack.enter_context(end) for end in socket.socketpair())
        self._our_end.setblocking(False)
        self.new("inherited-token")
        self.inherited = {**descriptors, "socket": theirs.fileno()}
        typed = self.planted(self.base / "typed", "typed")

        def run(cmd: Sequence[str], cwd: str | None = None, extra_environ: Any = None) -> None:
            environ = {**os.environ, **(extra_environ or {})}
            command = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *cmd]
            left_open = tuple(self.inherited.values())
            with typed.open() as stdin:
                done = subprocess.run(
                    command, cwd=cwd, env=environ, stdin=stdin, pass_fds=left_open, capture_output=True, check=True
                )
            self.output = done.stdout

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
    (env / "pyvenv.cfg").write_text(f"home = {prefix / 'bin'}\ninclude-system-site-packages = false\n")
    return env / "bin" / "python"
