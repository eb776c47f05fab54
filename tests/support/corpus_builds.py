"""The packages of the corpus, and how one is fetched, unpacked, built and compared."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyproject_hooks
from build import ProjectBuilder
from build.env import DefaultIsolatedEnv, IsolatedEnv

from isolated_hooks import IsolatedHookCaller, IsolatedRunner
from isolated_hooks.hookcall import SubprocessRunner
from support.repository import FETCH_SDISTS

_C, _CXX, _RUST = "cc", "c++", "cargo"


@dataclasses.dataclass(frozen=True)
class Package:
    """One sdist.

    :ivar sha256: of the sdist, so that what is compared is the same everywhere and always
    :ivar needs: the programs without which it cannot be built, sandboxed or not
    :ivar settings: config settings for the wheel
    """

    name: str
    version: str
    sha256: str
    needs: tuple[str, ...] = ()
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


PACKAGES = (
    Package("six", "1.17.0", "ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81"),
    Package("iniconfig", "2.1.0", "3abbd2e30b36733fee78f9c7f7308f2d0050e88f0087fd25c2645f63c773e1c7"),
    Package("flit_core", "3.12.0", "18f63100d6f94385c6ed57a72073443e1a71a4acb4339491615d0f16d6ff01b2"),
    Package("pdm-backend", "2.4.5", "56c019c440308adad5d057c08cbb777e65f43b991a3b0920749781258972fe5b"),
    Package("poetry-core", "2.1.3", "0522a015477ed622c89aad56a477a57813cace0c8e7ff2a2906b7ef4a2e296a4"),
    Package("setuptools-scm", "8.3.1", "3d555e92b75dacd037d32bafdf94f97af51ea29ae8c7b234cf94b7a5bd242a63"),
    Package("markupsafe", "3.0.2", "ee55d3edf80167e48ea11a923c7386f4669df67d7994554387f84e7d8b0a2bf0", (_C,)),
    Package("pyyaml", "6.0.2", "d584d9ec91ad65861cc08d42e834324ef890a082e591037abe114850ff7bbc3e", (_C,)),
    Package("psutil", "7.0.0", "7be9c3eba38beccb6495ea33afd982a44074b78f28c434a1f51cc07fd315c456", (_C,)),
    Package("levenshtein", "0.27.1", "3e18b73564cfc846eec94dd13fab6cb006b5d2e0cc56bad1fd7d5585881302e3", (_CXX,)),
    Package(
        "contourpy",
        "1.3.2",
        "b6945942715a034c671b7fc54f9588126b0b8bf23db2696e3ca8328f3ff0ab54",
        (_CXX,),
        {"build-dir": "build"},  # by default it has a random name, which the wheel tells
    ),
    Package("orjson", "3.10.18", "e8da3947d92123eda795b68228cafe2724815621fe35e8e320a9e9593a4bcd53", (_C, _RUST)),
)


_ASKING = """
import os

def get_requires_for_build_wheel(config_settings=None):
    with open("answer", "w") as file:
        file.write(os.__file__)
    return []
"""


class NoNetworkError(Exception):
    """An sdist could not be had."""


def missing_programs(package: Package) -> list[str]:
    """Return the programs that the package needs and that this user cannot run."""
    return [name for name in package.needs if not _runs(name)]


def _runs(name: str) -> bool:
    # A name on PATH may be a rustup that has no toolchain, so ask the program itself.
    try:
        return subprocess.run([name, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def fetch_sdist(package: Package, directory: Path) -> Path:
    """Return the sdist of a package, downloaded into ``directory``.

    :raises NoNetworkError: no index has it, or none can be reached
    :raises AssertionError: the index has another one than the corpus names
    """
    sdist = download(package.requirement, directory)
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
    assert digest == package.sha256, f"{sdist.name} is not the sdist that the corpus names: {digest}"
    return sdist


def download(requirement: str, directory: Path) -> Path:
    """Return the newest sdist of a requirement, downloaded into ``directory``, which must not exist.

    :raises NoNetworkError: no index has one, or none can be reached
    """
    directory.mkdir()
    command = [sys.executable, str(FETCH_SDISTS), str(directory), requirement]
    fetched = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if fetched.returncode != 0:
        raise NoNetworkError(fetched.stdout.strip()[-500:])
    (sdist,) = directory.iterdir()
    return sdist


def unpack(sdist: Path, directory: Path) -> Path:
    """Unpack an sdist as tarfile does by itself and return its tree: for root with the archive's owners."""
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "fully_trusted_filter"):
            archive.extraction_filter = tarfile.fully_trusted_filter  # the default of 3.14 drops the owners
        archive.extractall(directory)
    (tree,) = directory.iterdir()
    return tree


@dataclasses.dataclass(frozen=True)
class Member:
    """One member of a wheel: its bytes, and its type and permissions."""

    content: bytes
    mode: int

    def __str__(self) -> str:
        return f"mode {self.mode:o}, {len(self.content)} bytes, sha256 {hashlib.sha256(self.content).hexdigest()[:12]}"


@dataclasses.dataclass(frozen=True)
class Inode:
    """A file or directory of a source tree.

    :ivar identity: the same before and after a build where the build has not written it anew
    """

    owner: tuple[int, int]
    mode: int
    identity: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> Inode:
        """Return that of ``path``, links not followed."""
        info = path.lstat()
        return cls((info.st_uid, info.st_gid), info.st_mode, (info.st_ino, info.st_mtime_ns))


@dataclasses.dataclass(frozen=True)
class Built:
    """What came of one build: the wheel's name, digest and members, the requirements, and the tree before and after."""

    wheel: str
    digest: str
    members: Mapping[str, Member]
    requires: frozenset[str]
    before: Mapping[str, Inode]
    after: Mapping[str, Inode]


@dataclasses.dataclass(frozen=True)
class BareEnv:
    """A build environment in which nothing is installed, as ``build`` describes one."""

    python_executable: str

    def make_extra_environ(self) -> Mapping[str, str]:
        return {}


class Workshop:
    """One build environment, and one path at which every build finds a new copy of the same source."""

    def __init__(self, package: Package, sdist: Path, env: IsolatedEnv, directory: Path) -> None:
        self._package = package
        self._sdist = sdist
        self._env = env
        self._source = directory / "source"
        self._out = directory / "out"

    def equip(self, env: DefaultIsolatedEnv) -> None:
        """Install what the package asks for: its backend is asked in the sandbox."""
        with self._builder(IsolatedRunner(inner=pyproject_hooks.quiet_subprocess_runner)) as builder:
            env.install(builder.build_system_requires)
            env.install(builder.get_requires_for_build("wheel"))

    def build(self, runner: SubprocessRunner) -> Built:
        """Build a wheel from a new copy of the source, at the same path each time."""
        with self._builder(runner) as builder:
            tree = Path(builder.source_dir)
            before = inodes_of(tree)
            requires = frozenset(builder.get_requires_for_build("wheel"))
            wheel = Path(builder.build("wheel", self._out, self._package.settings))
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            return Built(wheel.name, digest, members_of(wheel), requires, before, inodes_of(tree))

    @contextlib.contextmanager
    def _builder(self, runner: SubprocessRunner) -> Iterator[ProjectBuilder]:
        for directory in (self._source, self._out):
            directory.mkdir()
        try:
            tree = unpack(self._sdist, self._source)
            yield ProjectBuilder.from_isolated_env(self._env, tree, runner)
        finally:
            for directory in (self._source, self._out):
                shutil.rmtree(directory)


def members_of(wheel: Path) -> dict[str, Member]:
    """Return the members of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        assert len(names) == len(set(names)), f"{wheel.name} has a member twice"
        return {info.filename: Member(archive.read(info), info.external_attr >> 16) for info in infos}


def inodes_of(tree: Path) -> dict[str, Inode]:
    """Return whatever is in a tree, itself included, by relative path."""
    paths = (Path(directory, name) for directory, names, files in os.walk(tree) for name in (*names, *files))
    return {str(path.relative_to(tree)): Inode.of(path) for path in (tree, *paths)}


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> set[str]:
    """Return the names under which two mappings do not hold the same."""
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def told(names: Iterable[str], one: Mapping[str, object], other: Mapping[str, object]) -> str:
    """Return what the wheels of two builds hold under the names, a line each."""
    found = ((name, one.get(name, "missing"), other.get(name, "missing")) for name in sorted(names))
    return "\n".join(f"  {name}: {plain} unsandboxed, {sandboxed} sandboxed" for name, plain, sandboxed in found)


def interpreter_under_home(directory: Path) -> tuple[Path, str]:
    """Return a home directory and an interpreter in it: this one if it is, otherwise a copy of it in ``directory``."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base, home = Path(sys.base_prefix), Path("~").expanduser()
    if base.resolve().is_relative_to(home.resolve()):
        return home, str(base / "bin" / name)
    home = directory / "home"
    prefix = home / "python"
    left_out = "__pycache__ config-* *-packages ensurepip idlelib test tkinter".split()
    shutil.copytree(Path(os.__file__).parent, prefix / "lib" / name, ignore=shutil.ignore_patterns(*left_out))
    (prefix / "bin").mkdir()
    shutil.copy(base / "bin" / name, prefix / "bin" / name)
    home.chmod(0o700)
    return home, str(prefix / "bin" / name)


def library_of(python: str, directory: Path) -> Path:
    """Return where an interpreter finds its standard library while it runs a hook in the sandbox."""
    tree = directory / "asking"
    tree.mkdir()
    (tree / "asking.py").write_text(_ASKING)
    caller = IsolatedHookCaller(str(tree), "asking", ["."], python_executable=python)
    caller.get_requires_for_build_wheel()
    return Path((tree / "answer").read_text()).parent
