"""A laboratory of real container engines on this machine, set up only from Debian's packages and removed again.

It pulls no image: debootstrap creates one. The lab consists of one directory, one user and the cgroups of the engines.
It removes all of them, even after an interrupted run. The Debian packages stay.

    python tests/support/containers/lab.py NAME COMMAND...    run a command in one environment
    python tests/support/containers/lab.py --remove           clean up after an interrupted run

With ISOLATED_HOOKS_CONTAINERS_CACHE=DIRECTORY, the lab keeps the root filesystem there for the next run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

if __name__ == "__main__":  # the directory of the package support
    sys.path.insert(0, str(Path(__file__).parents[2]))

from support.containers.engines import (
    CGROUP,
    Docker,
    Engine,
    Host,
    Podman,
    RootlessPodman,
    call,
    crio_seccomp,
    end_process,
    unmount_beneath,
)
from support.containers.environments import ENVIRONMENTS, Environment

__all__ = ["Lab", "cannot_be_set_up"]

PROJECT = Path(__file__).resolve().parents[3]
DIRECTORY = Path("/var/tmp/isolated-hooks-lab")
USER = "isolated-hooks-lab"
_PROFILE = Path("/usr/share/containers/seccomp.json")
_PACKAGES = (
    "podman docker.io containerd runc crun uidmap fuse-overlayfs slirp4netns golang-github-containers-common "
    "debootstrap bubblewrap gcc libc6-dev python3 python3-dev python3-venv util-linux"
).split()
_IN_IMAGE = "python3,python3-dev,python3-venv,gcc,libc6-dev"
# Files that no build of a C extension reads. Without them there is less to unpack three times, and to remove.
_NOT_IN_IMAGE = """
    dev/* usr/share/doc/* usr/share/locale/* usr/share/man/* var/cache/apt/* var/lib/apt/lists/* var/lib/dpkg/info/*
    usr/bin/*-lto-dump* usr/lib/gcc/*/*/lto1 usr/lib/*/libasan.so* usr/lib/*/libtsan.so* usr/lib/*/liblsan.so*
    usr/lib/*/libubsan.so* usr/lib/gcc/*/*/*san.a usr/lib/python3*/config-*/*.a usr/lib/*/gconv/*
""".split()
# The build requirements of the C extension, besides the requirements of this package.
_BACKEND = "setuptools>=77"
# Programs of the engines that outlive their parents.
_DAEMONS = ("conmon", "containerd", "containerd-shim-runc-v2", "dockerd", "podman")
# Seconds to wait for another lab to end.
_PATIENCE = 900.0
_SHARED = ("tests/support/containers", "fixtures")
_COPIED = ("pyproject.toml", "setup.cfg", "README.rst", "LICENSE", "src")


def cannot_be_set_up() -> str:
    """Return the reason why the lab cannot be set up here, or an empty text."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can set up the lab of containers"
    if _release().get("ID") != "debian":
        return "the lab of containers needs Debian's packages, and this system is not Debian"
    return ""


def _release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


class Lab:
    """The laboratory, as a context manager; see the module."""

    def __init__(self) -> None:
        self.engines: dict[str, Engine] = {
            "host": Host(DIRECTORY),
            "host-user": Host(DIRECTORY, USER),
            "podman": Podman(DIRECTORY),
            "rootless": RootlessPodman(DIRECTORY, USER),
            "docker": Docker(DIRECTORY),
        }
        self.crio = DIRECTORY / "crio-seccomp.json"
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Lab:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_lock())
            self.remove()
            stack.callback(self.remove)
            self._set_up()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def command(self, environment: Environment, argv: Sequence[str]) -> list[str]:
        """Return the command that runs ``argv`` in an environment. We fill in ``{python}`` and ``{share}``."""
        engine = self.engines[environment.engine]
        profiles = {"podman-seccomp": _PROFILE, "crio-seccomp": self.crio}
        options = [option.format_map(profiles) for option in environment.options]
        filled = [part.replace("{python}", engine.interpreter).replace("{share}", engine.share) for part in argv]
        return engine.command(options, filled)

    def run(self, environment: Environment, *argv: str, seconds: float = 240.0) -> subprocess.CompletedProcess[str]:
        """Run a command in an environment to its end, without input."""
        command = self.command(environment, argv)
        nothing = subprocess.DEVNULL
        return subprocess.run(command, stdin=nothing, capture_output=True, text=True, timeout=seconds, cwd="/")

    def _set_up(self) -> None:
        _install_packages()
        DIRECTORY.mkdir(mode=0o755)
        DIRECTORY.chmod(0o755)
        self.crio.write_text(crio_seccomp(_PROFILE.read_text()))
        image = self._image()
        self._share()
        _make_user()
        for engine in self.engines.values():
            engine.start(image)
        self._fill_environments()

    def _image(self) -> Path:
        """Return the root filesystem of all containers, as a tar file."""
        cache = os.environ.get("ISOLATED_HOOKS_CONTAINERS_CACHE")
        image = (Path(cache) if cache else DIRECTORY) / "root.tar"
        if not image.exists():
            root, suite = DIRECTORY / "root", _release()["VERSION_CODENAME"]
            # We unpack in memory: writing and removing ten thousand files takes a slow disk minutes.
            root.mkdir()
            call(["mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "isolated-hooks-lab", root])
            call(["debootstrap", "--variant=minbase", f"--include={_IN_IMAGE}", suite, root])
            excluded = [f"--exclude=./{pattern}" for pattern in _NOT_IN_IMAGE]
            unfinished = image.with_suffix(".unfinished")
            call(["tar", "--directory", root, "--create", "--file", unfinished, *excluded, "."])
            unfinished.chmod(0o644)
            unfinished.rename(image)
            unmount_beneath(root)
        return image

    def _share(self) -> None:
        """Fill the shared directory with the tests, the project to build, and this package as wheels."""
        share = DIRECTORY / "share"
        for name in _SHARED:
            built = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
            shutil.copytree(PROJECT / name, share / name, ignore=built)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in _COPIED:
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
            target = DIRECTORY / "project" / name
            target.parent.mkdir(exist_ok=True)
            copy(PROJECT / name, target, **({"ignore": ignored} if copy is shutil.copytree else {}))
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        wheels = share / "wheels"
        call([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, DIRECTORY / "project"])
        built = next(wheels.glob("isolated_hooks-*.whl"))
        call([*pip, "download", "--only-binary=:all:", "--dest", wheels, built, _BACKEND])
        for path in (share, *share.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def _fill_environments(self) -> None:
        """Install the wheels for the containers' Python, inside a container, and for this machine's own Python."""
        share = DIRECTORY / "share"
        (share / "env").mkdir()
        writable = ("--volume", f"{share}/env:/lab/env:rw")
        call(self.engines["podman"].command(writable, ["sh", "-euc", _filling("/lab/env", "/lab/wheels")]))
        call(["sh", "-euc", _filling(f"{share}/host-env", f"{share}/wheels")], env={"PATH": "/usr/bin:/bin"})

    def remove(self) -> None:
        """Remove everything, even a lab that is set up only in part.

        :raises RuntimeError: some parts could not be removed; all others were
        """
        steps = (*(engine.stop for engine in self.engines.values()), _end_processes, _remove_user, _remove_cgroups)
        problems = []
        for step in (*steps, _remove_directory):
            try:
                step()
            except (RuntimeError, OSError) as error:
                problems.append(f"{getattr(step, '__qualname__', step)}: {error}")
        if problems:
            raise RuntimeError("the lab was not removed completely:\n" + "\n".join(problems))


def _filling(env: str, wheels: str) -> str:
    """Return a script that creates a virtual environment of the Python on PATH and installs this package in it."""
    install = f"-m pip install --quiet --disable-pip-version-check --no-index --find-links {wheels}"
    return f"python3 -m venv {env} && {env}/bin/python {install} isolated-hooks '{_BACKEND}'"


def _lock() -> socket.socket:
    """Wait until no other lab is on this machine, because they would share the user and the directory.

    The kernel releases the name when its last holder has ended, in any way.
    """
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            lock.bind("\0isolated-hooks/lab")
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                lock.close()
                raise RuntimeError("another lab is running on this machine") from error
            time.sleep(1)
        else:
            return lock


def _install_packages() -> None:
    missing = [name for name in _PACKAGES if not _installed(name)]
    if not missing:
        return
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_daemons():
        call(["apt-get", "update", "-qq"], env=environ)
        call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=environ)


def _installed(package: str) -> bool:
    done = subprocess.run(["dpkg-query", "--show", "--showformat=${Status}", package], capture_output=True, text=True)
    return done.stdout == "install ok installed"


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    """Keep packages from starting daemons when they are installed, as invoke-rc.d(8) describes."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _make_user() -> None:
    """Create the ordinary user, with a home in the lab and with ids for containers, subuid(5)."""
    home = DIRECTORY / "home"
    call(["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", USER])
    for path, option in (("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")):
        lines = [line.split(":") for line in Path(path).read_text().splitlines() if line.count(":") == 2]
        if not any(name == USER for name, _, _ in lines):
            first = max([100000, *(int(start) + int(count) for _, start, count in lines)])
            call(["usermod", option, f"{first}-{first + 65535}", USER])


def _end_processes() -> None:
    """End processes that have outlived their engine: the user's, and daemons with the directory in their arguments."""
    try:
        user = pwd.getpwnam(USER).pw_uid
    except KeyError:
        user = None
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name, *arguments = (path / "cmdline").read_bytes().split(b"\0")
            owner = path.stat().st_uid
        except OSError:
            continue  # the process has just ended
        ours = os.path.basename(os.fsdecode(name)) in _DAEMONS and os.fsencode(DIRECTORY) in b" ".join(arguments)
        if ours or owner == user:
            end_process(int(path.name))


def _remove_user() -> None:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return
    call(["userdel", USER])


def _remove_directory() -> None:
    if DIRECTORY.exists():
        unmount_beneath(DIRECTORY)
        shutil.rmtree(DIRECTORY)


def _remove_cgroups() -> None:
    for top in Path("/sys/fs/cgroup").glob(f"**{CGROUP}"):
        for directory in sorted((top, *top.rglob("*")), key=lambda path: -len(path.parts)):
            if directory.is_dir():
                directory.rmdir()


def main(arguments: Sequence[str]) -> int:
    """Run the command line of the module."""
    if problem := cannot_be_set_up():
        print(problem, file=sys.stderr)
        return 2
    if list(arguments) == ["--remove"]:
        Lab().remove()
        return 0
    names = {environment.name: environment for environment in ENVIRONMENTS}
    if len(arguments) < 2 or arguments[0] not in names:
        print(__doc__, f"\nEnvironments: {' '.join(names)}", file=sys.stderr)
        return 2
    with Lab() as lab:
        return subprocess.run(lab.command(names[arguments[0]], arguments[1:])).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
