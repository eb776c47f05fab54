"""The world of one attack run: targets that an attacker would like to reach, each with its own canary.

:class:`World` makes the targets for one run, and observes the outcome from outside. A canary is a text that exists
nowhere else: a hook that knows it has reached the target. A :class:`~isolated_hooks.selftest.world.janitor.Janitor`
removes all targets after the run, even if this process is killed.
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

#: The source tree of the hostile backend. Each world copies it.
BACKEND = Path(__file__).parents[1] / "backend"
_LONGEST_BASE = 60  # the path of a unix socket has at most 107 bytes
#: The text that the backend writes wherever it can.
TEXT = "written by the hostile backend"

#: Files that people keep in their homes, by kind of attack.
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
#: Variables of CI services and people that no build needs (A12).
VARIABLES = ("TWINE_PASSWORD", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "NETRC", "SSH_AUTH_SOCK", "COMPANY_NOTES")
# Variables that make programs load something (B05). Their values name nothing that exists.
_LOADING = ("BASH_ENV", "GCONV_PATH", "GIT_SSH_COMMAND", "PERL5LIB", "PYTHONSTARTUP")
# A process to attack. It prints the address of the canary in its memory, and ends when its input ends.
_VICTIM = """
import ctypes, sys
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER: let all processes trace it, for Yama
secret = ctypes.create_string_buffer(sys.argv[2].encode())
file = open(sys.argv[3], "rb")
print(ctypes.addressof(secret), file.fileno(), flush=True)
sys.stdin.read()
"""


def canary() -> str:
    """Return a new canary."""
    return f"CANARY-{secrets.token_hex(8)}"


# Files beside the build, by the names of their canaries.
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
    """At the end of the context, restore the environment and the temporary directory of this process."""
    variables, directory = dict(os.environ), tempfile.tempdir
    try:
        yield
    finally:
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)
        tempfile.tempdir = directory


def _directory_for_sockets() -> Path:
    """Return a temporary directory with a path that is short enough for sockets in it."""
    for directory in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if len(os.fsencode(directory)) <= _LONGEST_BASE and os.access(directory, os.W_OK):
            return Path(directory)
    return Path(tempfile.gettempdir())


def _home_of_account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return os.path.expanduser("~")  # a user without an account, as in many CI jobs


class World:
    """A context manager that makes the targets of one attack run, and removes them at the end.

    :param policy: the policy of the sandbox that the hook runs in, or ``None`` without a sandbox
    :param harmless: plant nothing in /etc and /srv, where it might be noticed; otherwise root plants there too
    :ivar canaries: the canaries by name
    :ivar canary_files: the paths of the files that hold a canary, by the canary's name
    :ivar began: the time when the world was made, in seconds as ``time.time()`` returns it
    :ivar signals: the numbers of the signals that have reached this process
    :ivar output: the standard output of the hook
    """

    def __init__(self, *, policy: Policy | None = None, harmless: bool = False) -> None:
        self.policy = policy
        self.harmless = harmless
        self._stack = contextlib.ExitStack()
        self.canaries: dict[str, str] = {}
        self.canary_files: dict[str, str] = {}
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

    def new_canary(self, name: str) -> str:
        """Return a new canary with a name."""
        self.canaries[name] = canary()
        return self.canaries[name]

    def _make(self) -> None:
        self._janitor = Janitor()
        self._stack.callback(self._janitor.close)
        self._stack.enter_context(_restored_environment())
        self._stack.callback(os.umask, os.umask(0o022))
        # Register the random name before the directory exists; no other process uses it.
        self.base = _directory_for_sockets() / f"ih-{secrets.token_hex(8)}"
        self._janitor.register("tree", str(self.base))
        # If the caller is root, the hook runs as another user. All users can read the targets, because otherwise their
        # modes alone would keep the hook out, and the run would not show that the sandbox does.
        self.base.mkdir(mode=0o755)
        self._make_build()
        self._make_home()
        self._make_elsewhere()
        self._make_environment()
        self._make_processes()
        token, shared = self.new_canary("token"), self._path_outside(Path("/tmp"), "socket")
        listeners = Listeners(token, name=self.random, base=self.base, home=self.home, shared=shared)
        self.listeners = self._stack.enter_context(listeners)
        self.ipc = HostIPC(self._janitor, self.new_canary, name=self.random)

    def _make_build(self) -> None:
        """Make the build itself: source tree, interpreter, build environment, output directory."""
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
        (self.base / "work" / self.new_canary("sibling")).mkdir()
        for name, path in _BESIDE.items():
            self.plant_file(self.base / path, name)

    def plant_file(self, path: Path, name: str) -> Path:
        """Write a file with a new canary, and return its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.new_canary(name) + "\n")
        self.canary_files[name] = str(path)
        return path

    def is_allowed(self, target: str) -> bool:
        """Return whether the policy lets the hook reach a target.

        :param target: a path, the name of a variable, or the name of a canary, which stands for its file
        """
        if self.policy is None:
            return False
        path, shown = self.canary_files.get(target, target), (*self.policy.expose, *self.policy.writable)
        kept = any(target == n or (n.endswith("*") and target.startswith(n[:-1])) for n in self.policy.env_keep)
        return kept or any(is_within(path, top) for top in shown)

    def _make_home(self) -> None:
        self.home = self.base / "home"
        for kind, names in HOME_FILES.items():
            for name in names:
                self.plant_file(self.home / name, f"{kind}/{name}")
        for name in (".bashrc", ".cache/pip/wheel", "github-env", "opened", "metadata"):
            self.plant_file(self.home / name, name)
        (self.home / ".config/systemd/user").mkdir(parents=True)
        (self.home / "opened").chmod(0o666)

    def _make_elsewhere(self) -> None:
        """Plant canaries outside the run's own directory, under unique names."""
        self.real_home = Path(_home_of_account())
        directories = {"real-home": self.real_home, "run": Path("/run")}
        directories |= {name: Path(name) for name in ("/tmp", "/var/tmp", "/dev/shm")}
        if not self.harmless:
            directories |= {"srv": Path("/srv"), "etc": Path("/etc")}
        self.elsewhere: dict[str, Path] = {}
        for name, directory in directories.items():
            if os.access(directory, os.W_OK):
                self.elsewhere[name] = self.plant_file(self._path_outside(directory, "canary"), name)

    def _path_outside(self, directory: Path, noun: str) -> Path:
        """Return a unique path outside the run's own directory, registered for removal."""
        path = directory / f".isolated-hooks-{noun}-{self.random}"
        self._janitor.register("file", str(path))
        return path

    def path_to_create(self, directory: str | Path) -> str:
        """Return a path for a file that the backend tries to create, registered for removal."""
        path = str(Path(directory) / f"isolated-hooks-written-{self.random}")
        self._janitor.register("file", path)
        return path

    def _make_environment(self) -> None:
        values = {name: self.new_canary(name) for name in (*VARIABLES, *_LOADING)}
        values["PIP_INDEX_URL"] = f"https://user:{self.new_canary('PIP_INDEX_URL')}@index.invalid/simple"
        files = {"GITHUB_ENV": "home/github-env", "GITHUB_EVENT_PATH": "ci/event.json"}
        files |= {"CREDENTIALS_DIRECTORY": "credentials", "HOME": "home", "TMPDIR": "tmp"}
        os.environ.update(values, **{name: str(self.base / path) for name, path in files.items()})
        os.environ["PATH"] = f".:{self.tree}/bin:{os.environ.get('PATH', os.defpath)}"
        tempfile.tempdir = None

    def _make_processes(self) -> None:
        memory, argument = self.new_canary("memory"), self.new_canary("argument")
        file = self.plant_file(self.base / "opened", "opened")
        environ = {**os.environ, "VICTIM": self.new_canary("victim-environ")}
        command = [sys.executable, "-c", _VICTIM, argument, memory, str(file)]
        self.victim = self._process(command, cwd=self.base / "work/other-build", env=environ)
        assert self.victim.stdout is not None
        self.address, self.descriptor = (int(word) for word in self.victim.stdout.readline().split())
        # cat ends with 0 when its input ends, unless a signal came first, so the verdict depends on no timing.
        self.prey = self._process(["/bin/cat"])
        self.daemon = f"ih-{self.random}"
        self._stack.callback(end_processes, self.daemon)
        earlier = signal.signal(signal.SIGUSR2, lambda number, _frame: self.signals.append(number))
        self._stack.callback(signal.signal, signal.SIGUSR2, earlier)

    def _process(self, command: Sequence[str], **named: Any) -> subprocess.Popen[bytes]:
        """Start a process that ends with its input. Its own session keeps interrupts from it."""
        pipe = subprocess.PIPE
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, start_new_session=True, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, **named
        )
        self._stack.callback(process.communicate)
        return process

    def leaked(self, names: Sequence[str], evidence: Any) -> list[str]:
        """Return those of the names whose canary is in the evidence."""
        text = json.dumps(evidence)
        return [name for name in names if self.canaries[name] in text]

    def inherited_was_used(self) -> bool:
        """Return whether the token came through the socket that the frontend left open."""
        try:
            return self.canaries["inherited-token"] in self._our_end.recv(1024).decode()
        except BlockingIOError:
            return False

    def victim_score(self) -> int:
        """Return the victim's ``oom_score_adj``, proc_pid_oom_score_adj(5)."""
        return int(Path(f"/proc/{self.victim.pid}/oom_score_adj").read_text())

    def prey_was_signalled(self) -> bool:
        """Return whether SIGTERM reached the process before its input ended."""
        self.prey.communicate()
        return self.prey.returncode == -signal.SIGTERM

    def inner_runner(self) -> Callable[..., None]:
        """Return a frontend's runner that leaves descriptors open, passes input, and starts the hook through a shell.

        Without the sandbox, that shell is the hook's parent and has the frontend's environment, which an attack reads.
        """
        descriptors = {
            "directory": self._descriptor(self.home, os.O_RDONLY | os.O_DIRECTORY),
            "file": self._descriptor(self.home / "opened", os.O_RDONLY),
        }
        self._our_end, theirs = (self._stack.enter_context(end) for end in socket.socketpair())
        self._our_end.setblocking(False)
        self.new_canary("inherited-token")
        self.inherited = {**descriptors, "socket": theirs.fileno()}
        typed = self.plant_file(self.base / "typed", "typed")

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
    """Make a small interpreter prefix and a virtual environment of it, and return that environment's Python."""
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
