"""A planted host for fixtures/build-attack to search: a home, an environment, a process, a listener.

All of it is in a directory of the test, or ends with the test, so no test touches the user's own files or processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from support.repository import FIXTURES

FIXTURE = FIXTURES / "build-attack"
WORD = "build-attack-canary"
#: What unsandboxed builds get at. As an ordinary user none is root.
PROBES = frozenset(
    (
        "environment",
        "netrc",
        "network",
        "processes",
        "ipc",
        "hostname",
        *(("uid",) if os.geteuid() == 0 else ()),
        "pth backdoor",
        "shell profile",
        "cron job",
        "build cache",
        "pip config",
        "ca certificates",
        "settings files",
        "sibling build",
        "persistent process",
    )
)
_HOME = {
    ".netrc": f"machine example.invalid login someone password {WORD}\n",
    ".bashrc": f"# {WORD}\n",
    ".gitconfig": f"[credential]\n\thelper = {WORD}\n[http]\n\textraHeader = {WORD}\n",
    ".config/pip/pip.conf": f"# {WORD}\n",
    ".cache/pip/keep": f"{WORD}\n",
    "ca-bundle.pem": f"# {WORD}\n",
}
_IPC_PRIVATE, _IPC_RMID = 0, 0


class PlantedHost:
    """A home with canaries and the other targets of the fixture.

    :ivar home: the home directory
    :ivar environ: the environment in which a test starts the build under attack
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        for name, text in _HOME.items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(text, encoding="utf-8")
        (root / "crontabs").mkdir()
        self.sibling = root / "sibling" / "secret.txt"
        self.sibling.parent.mkdir()
        self.sibling.write_text(WORD, encoding="utf-8")
        self.before = self.contents()
        self.connections: list[object] = []

    @property
    def environ(self) -> dict[str, str]:
        """The environment: the canaries, and those variables of this process that a program needs."""
        kept = ("PATH", "LANG", "LD_LIBRARY_PATH", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": os.fspath(self.home),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CACHE_DIR": os.fspath(self.home / ".cache/pip"),
            "DEPLOY_TOKEN": WORD,
            "CI_JOB": WORD,
        }

    def contents(self) -> dict[str, bytes]:
        """Return the state that only the test may change."""
        kept = [self.home / name for name in _HOME]
        return {os.fspath(path): path.read_bytes() for path in [*kept, self.sibling]}

    def project(self, directory: Path) -> Path:
        """Copy the fixture, fill in the paths of this host, and return its directory."""
        shutil.copytree(FIXTURE, directory, ignore=shutil.ignore_patterns("__pycache__", "dist"))
        places = {
            "home": os.fspath(self.home),
            "listener": self.address,
            "crontabs": os.fspath(self.root / "crontabs"),
            "ca-bundle": os.fspath(self.home / "ca-bundle.pem"),
            "sibling": os.fspath(self.sibling),
        }
        (directory / "places.json").write_text(json.dumps(places), encoding="utf-8")
        return directory

    @contextlib.contextmanager
    def running(self) -> Iterator[PlantedHost]:
        """Provide the process, the listener and the message queue for the duration of the context."""
        with _listener(self.connections) as self.address, _process(), _queue():
            yield self


@contextlib.contextmanager
def _listener(connections: list[object]) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, address = server.accept()
                    connections.append(address)
                    connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)  # close() alone leaves accept() waiting
            thread.join()


@contextlib.contextmanager
def _process() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "input()", WORD], stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def _queue() -> Iterator[None]:
    """Make a System V message queue, msgget(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.msgget(_IPC_PRIVATE, 0o600)
    if queue < 0:
        raise OSError(ctypes.get_errno(), "msgget")
    try:
        yield
    finally:
        libc.msgctl(queue, _IPC_RMID, None)


def report_in(directory: Path) -> dict[str, dict[str, object]]:
    """Return the report in the one wheel of build-attack in a directory."""
    (wheel,) = directory.glob("build_attack-1.0-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        report: dict[str, dict[str, object]] = json.loads(archive.read("build_attack/report.json"))
    return report


def vulnerable_in(directory: Path) -> dict[str, object]:
    """Return the probes that succeeded, with their evidence."""
    return {name: found["evidence"] for name, found in report_in(directory).items() if found["vulnerable"]}
