"""An index, projects and settings for tests of fromager, and the code that runs fromager with them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support.plantedhost import PlantedHost
from support.projects import cannot_run
from support.repository import FETCH_SDISTS

#: From the index that pip knows: a C extension, and a backend that builds itself.
SDISTS = ("markupsafe==3.0.2", "flit_core==3.12.0")
#: Too long in the making to be built here.
PREBUILT = ("setuptools==80.9.0", "cython==3.1.4")

# Every Python that starts in the environment runs those lines of a .pth file that begin with "import".
_PTH = """import os; exec("try:\\n open({mark!r}, 'a').write('ran')\\nexcept OSError:\\n pass")\n"""
_BACKEND = """\
import base64, hashlib, json, os, zipfile

INFO, NAME = "startup-1.0.dist-info", "startup-1.0-py3-none-any.whl"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = {
        "startup.pth": open("startup.pth").read(),
        "startup_environ.json": json.dumps(dict(os.environ)),
        INFO + "/METADATA": "Metadata-Version: 2.1\\nName: startup\\nVersion: 1.0\\n",
        INFO + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = ""
    with zipfile.ZipFile(os.path.join(wheel_directory, NAME), "w") as wheel:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(text.encode())}\\n"
            wheel.writestr(name, text)
        wheel.writestr(INFO + "/RECORD", record + INFO + "/RECORD,,\\n")
    return NAME
"""
_IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
_CYTHON = {
    "pyproject.toml": '[build-system]\nrequires = ["setuptools", "cython"]\nbuild-backend = "setuptools.build_meta"\n'
    '[project]\nname = "cyfast"\nversion = "1.0"\n',
    "setup.py": "from Cython.Build import cythonize\nfrom setuptools import setup\n"
    'setup(ext_modules=cythonize(["cyfast.pyx"]))\n',
    "cyfast.pyx": "def double(int number):\n    return 2 * number\n",
}
_PURE = {
    "pyproject.toml": '[build-system]\nrequires = ["flit_core", "startup"]\nbuild-backend = "flit_core.buildapi"\n'
    '[project]\nname = "pure"\nversion = "1.0"\ndescription = "pure"\n'
    'dependencies = ["markupsafe", "cyfast", "build-attack"]\n',
    "pure.py": "ANSWER = 42\n",
}


class World:
    """An index on the loopback interface, the settings that make fromager use it, and a planted host.

    :ivar host: the planted host, which no build may reach
    :ivar mark: the file that the ``.pth`` file of a build requirement tries to write
    :ivar served: the paths of all requests to the index
    """

    def __init__(self, host: PlantedHost, index: Path) -> None:
        self.host = host
        self.index = index
        self.mark = host.home / "startup-ran"
        self.served: list[str] = []
        self.url = ""
        startup = {"pyproject.toml": _IN_TREE, "backend.py": _BACKEND, "startup.pth": _PTH.format(mark=str(self.mark))}
        self.write_sdist("cyfast", _CYTHON)
        self.write_sdist("pure", _PURE)
        self.write_sdist("startup", startup)
        # The same as "startup", which is installed in its build environment.
        pyproject, backend = (
            _IN_TREE.replace("requires = []", 'requires = ["startup"]'),
            _BACKEND.replace("startup", "needy"),
        )
        self.write_sdist("needy", {"pyproject.toml": pyproject, "backend.py": backend, "needy.pth": ""})

    def write_sdist(self, name: str, files: Mapping[str, str]) -> None:
        """Add an sdist of version 1.0 to the index."""
        info = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        path = self.index / f"{name}-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as sdist:
            for member, text in {**files, "PKG-INFO": info}.items():
                data = text.encode()
                entry = tarfile.TarInfo(f"{name}-1.0/{member}")
                entry.size, entry.mode, entry.mtime = len(data), 0o644, 1700000000
                sdist.addfile(entry, io.BytesIO(data))

    def add_attack(self) -> None:
        """Add fixtures/build-attack to the index, with the paths of the planted host filled in."""
        project = self.host.project(self.host.root / "build-attack")
        self.write_sdist("build_attack", {path.name: path.read_text() for path in project.iterdir() if path.is_file()})

    @contextlib.contextmanager
    def serving(self) -> Iterator[World]:
        """Serve the index for the duration of the context, according to PEP 503."""
        root = self.host.root / "index" / "simple"
        for path in self.index.iterdir():
            place = root / path.name.split("-")[0].replace("_", "-").lower()
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
            (place / "index.html").write_text(f'<!DOCTYPE html><html><body><a href="{path.name}">{path.name}</a>')
        served = self.served

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                served.append(self.path)

        handler = functools.partial(Handler, directory=os.fspath(root.parent))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def settings(self, output: Path, **more: str) -> list[str]:
        """Write fromager's settings to a directory, and return the options that name them.

        :param more: further lines of settings, by package; the key ``settings`` applies to all packages
        """
        directory = output / "settings"
        directory.mkdir(parents=True)
        for package in (
            "markupsafe",
            "flit-core",
            "cyfast",
            "pure",
            "startup",
            "needy",
            "build-attack",
            "setuptools",
            "cython",
        ):
            text = f"resolver_dist:\n  sdist_server_url: {self.url}\n"
            if any(pin.startswith(f"{package}=") for pin in PREBUILT):
                text += f"variants:\n  cpu:\n    pre_built: true\n    wheel_server_url: {self.url}\n"
            (directory / f"{package}.yaml").write_text(text + more.get(package.replace("-", "_"), ""))
        (output / "settings.yaml").write_text(more.get("settings", ""))
        return ["--settings-dir", str(directory), "--settings-file", str(output / "settings.yaml")]

    def run(
        self,
        program: Sequence[str],
        *arguments: str,
        output: Path,
        environ: Mapping[str, str] | None = None,
        **more: str,
    ) -> Done:
        """Run fromager to its end, with all its files in ``output``."""
        options = self.settings(output, **more)
        log = output / "log.txt"
        done = subprocess.run(
            [*program, *options, "-O", output, "--no-cleanup", "--log-file", log, *arguments],
            cwd=output,
            env={**self.host.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=170,
        )
        return Done(done.returncode, done.stdout, done.stderr, log.read_text() if log.exists() else "", output)


@dataclasses.dataclass(frozen=True)
class Done:
    """The result of one run of fromager."""

    code: int
    stdout: str
    stderr: str
    log: str
    output: Path

    @property
    def wheels(self) -> Path:
        """The directory with the wheels of the run."""
        return self.output / "wheels-repo" / "downloads"

    @property
    def hooks(self) -> list[str]:
        """The hooks that fromager's own runner has started, according to its log lines."""
        starts = (line for line in self.log.splitlines() if "external_commands" in line and "running:" in line)
        return [found[1] for line in starts if (found := re.search(r"_in_process\.py ([a-z_]+)", line))]

    @property
    def sandboxed(self) -> list[str]:
        """The hooks that our own log lines name."""
        return re.findall(r"([a-z_]+) ran in a sandbox", self.log)

    def contents(self, name: str) -> dict[str, bytes]:
        """Return the members of the one wheel of a package."""
        (path,) = self.wheels.glob(f"{name}-*.whl")
        with zipfile.ZipFile(path) as wheel:
            return {member: wheel.read(member) for member in wheel.namelist()}

    def environ(self) -> dict[str, str]:
        """Return the environment in which the wheel of ``startup`` was built."""
        found: dict[str, str] = json.loads(self.contents("startup")["startup_environ.json"])
        return found


def fill_index(directory: Path) -> Path:
    """Fetch the real packages from the index that pip is configured to use."""
    directory.mkdir()
    python = sys.executable
    fetch = [python, os.fspath(FETCH_SDISTS), os.fspath(directory), *SDISTS]
    wheels = [python, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", directory, *PREBUILT]
    for command in (fetch, wheels):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=170)
        if done.returncode != 0:
            cannot_run(f"no index that pip knows can be asked: {done.stdout.strip()[-500:]}")
    return directory
