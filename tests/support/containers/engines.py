"""The engines of the lab: podman as root, podman as an ordinary user, the lab's own docker daemon, and no engine.

Each engine has its own storage, sockets and cgroups, beneath the lab's directory, and touches nothing else on this
machine. Nothing here needs systemd, a login session or a network.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "CGROUP",
    "DOCKER",
    "PODMAN",
    "Docker",
    "Engine",
    "Host",
    "Podman",
    "RootlessPodman",
    "call",
    "crio_seccomp",
    "end_process",
    "unmount_beneath",
]

IMAGE = "localhost/isolated-hooks-lab:latest"
#: The lab's own cgroup, beneath which the engines create theirs.
CGROUP = "/isolated-hooks-lab"
#: Debian's programs, even if this machine has others.
PODMAN, DOCKER = "/usr/bin/podman", "/usr/bin/docker"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEADLINE = 60.0


def call(argv: Sequence[str | Path], **options: object) -> str:
    """Run a command to its end and return its output.

    :raises RuntimeError: the command failed; the error contains all its output
    """
    done = subprocess.run(
        list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", **options
    )  # type: ignore[call-overload]
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return str(done.stdout)


def end_process(pid: int) -> None:
    """End a process that the lab has started, by force if it ignores SIGTERM, and wait until it is gone."""
    for number, seconds in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        end = time.monotonic() + seconds
        while _alive(pid):
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        else:
            return


def _owner(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Engine:
    """Starts commands in an environment.

    :ivar interpreter: the path, inside the environment, of the Python that has this package
    :ivar share: the path, inside the environment, of the lab's shared directory
    """

    interpreter = "/lab/env/bin/python"
    share = "/lab"

    def start(self, image: Path) -> None:
        """Get ready, with the image in a tar file."""

    def stop(self) -> None:
        """End every process of the engine and unmount its mounts. This also works if the engine never started."""

    def command(self, options: Sequence[str], argv: Sequence[str]) -> list[str]:
        """Return the command that runs ``argv`` in a new container."""
        raise NotImplementedError


class Host(Engine):
    """No engine: the command runs on this machine.

    :param user: the name of the user who runs the command, by default root
    """

    def __init__(self, directory: Path, user: str | None = None) -> None:
        self.share = str(directory / "share")
        self.interpreter = f"{self.share}/host-env/bin/python"
        self.user = user
        # The environment has its own directory, so that an interrupted run leaves nothing elsewhere.
        self.temporary = directory / f"tmp-{user or 'root'}"

    def start(self, image: Path) -> None:
        self.temporary.mkdir()
        if self.user is not None:
            shutil.chown(self.temporary, self.user, self.user)

    def command(self, options: Sequence[str], argv: Sequence[str]) -> list[str]:
        user = [] if self.user is None else _as_user(self.user)
        home = pwd.getpwnam(self.user or "root").pw_dir
        environ = ["env", "-i", f"PATH={_PATH}", f"HOME={home}", f"TMPDIR={self.temporary}", "LANG=C.UTF-8"]
        return [*user, *environ, "--chdir=/", *argv]


class Podman(Engine):
    """Podman, run by root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "podman"
        self.base = [
            PODMAN,
            *("--root", str(self.store / "root"), "--runroot", str(self.store / "run")),
            *("--tmpdir", str(self.store / "tmp"), "--log-level", "error"),
            *("--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file"),
        ]

    def start(self, image: Path) -> None:
        self.store.mkdir(mode=0o700, exist_ok=True)
        call([*self.base, "import", "-q", str(image), IMAGE])

    def stop(self) -> None:
        if self.store.exists():
            call([*self.base, "rm", "--all", "--force"])

    def command(self, options: Sequence[str], argv: Sequence[str]) -> list[str]:
        return [
            *self.base,
            *("--runtime", "runc", "run", "--rm", "--network", "none", "--cgroup-parent", CGROUP),
            *_limits(),
            *("--volume", f"{self.directory}/share:/lab:ro"),
            *options,
            IMAGE,
            *argv,
        ]


class RootlessPodman(Engine):
    """Podman, run by an ordinary user without a session."""

    def __init__(self, directory: Path, user: str) -> None:
        self.directory = directory
        self.user = user
        self.home, self.runtime = directory / "home", directory / "runtime"
        environ = [f"PATH={_PATH}", f"HOME={self.home}", f"XDG_RUNTIME_DIR={self.runtime}"]
        self.base = [
            *_as_user(user),
            *("env", "-i", *environ, "--chdir=/", PODMAN, "--log-level", "error"),
            *("--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file"),
        ]

    def start(self, image: Path) -> None:
        self.runtime.mkdir(mode=0o700)
        shutil.chown(self.runtime, self.user, self.user)
        call([*self.base, "import", "-q", str(image), IMAGE])

    def stop(self) -> None:
        if not self.runtime.exists():
            return
        call([*self.base, "rm", "--all", "--force"])
        # This process keeps the user namespace and the mount namespace of the storage alive.
        for path in self.runtime.rglob("pause.pid"):
            pid = int(path.read_text())
            if _owner(pid) == pwd.getpwnam(self.user).pw_uid:
                end_process(pid)

    def command(self, options: Sequence[str], argv: Sequence[str]) -> list[str]:
        return [
            *self.base,
            *("--runtime", "runc", "run", "--rm", "--network", "none"),
            *_limits(),
            *("--volume", f"{self.directory}/share:/lab:ro"),
            *options,
            IMAGE,
            *argv,
        ]


class Docker(Engine):
    """A docker daemon with its own socket, which touches neither bridges nor the firewall."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "docker"
        self.base = [DOCKER, "--host", f"unix://{self.store}/docker.sock", "--config", str(self.store / "config")]
        self.pidfile = self.store / "docker.pid"

    def start(self, image: Path) -> None:
        self.store.mkdir(mode=0o700)
        log = self.store / "log"
        with log.open("wb") as output:
            daemon = subprocess.Popen(
                self._daemon(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
            )
        end = time.monotonic() + _DEADLINE
        while subprocess.run([*self.base, "version"], capture_output=True).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"dockerd does not answer:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.2)
        call([*self.base, "import", str(image), IMAGE])

    def _daemon(self) -> list[str]:
        store = self.store
        return [
            *(
                "/usr/sbin/dockerd",
                "--host",
                f"unix://{store}/docker.sock",
                "--pidfile",
                str(self.pidfile),
                "--group",
                "root",
            ),
            *("--data-root", f"{store}/data", "--exec-root", f"{store}/exec", "--cgroup-parent", CGROUP),
            *("--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2"),
        ]

    def stop(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            pid = int(self.pidfile.read_text())
            # After an interrupted run another process may have this pid.
            if os.fsencode(self.store) in Path(f"/proc/{pid}/cmdline").read_bytes():
                end_process(pid)

    def command(self, options: Sequence[str], argv: Sequence[str]) -> list[str]:
        volume = f"{self.directory}/share:/lab:ro"
        return [*self.base, "run", "--rm", "--network", "none", "--volume", volume, *options, IMAGE, *argv]


def _as_user(user: str) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def _limits() -> list[str]:
    """Return the limits for files and processes. podman wants more than a caller without CAP_SYS_RESOURCE has."""
    options = []
    for name, number, wanted in (("nofile", resource.RLIMIT_NOFILE, 4096), ("nproc", resource.RLIMIT_NPROC, 16384)):
        hard = resource.getrlimit(number)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        options += ["--ulimit", f"{name}={value}:{value}"]
    return options


def unmount_beneath(directory: Path) -> None:
    """Unmount everything beneath a directory of the lab, the innermost mounts first."""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    mount_points = [Path(line.split()[4]) for line in lines]
    for mount_point in reversed([p for p in mount_points if p.is_relative_to(directory)]):
        call(["umount", "--lazy", mount_point])


def crio_seccomp(podman: str) -> str:
    """Return CRI-O's default seccomp profile, derived from the text of podman's.

    Since 1.24, CRI-O's profile is podman's, but without ``unshare``, ``clone`` into new namespaces and any ``clone3``
    for containers without CAP_SYS_ADMIN.
    """
    profile = json.loads(podman)
    for rule in profile["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in ("unshare", "clone", "clone3")]
    admin = {"caps": ["CAP_SYS_ADMIN"]}
    # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
    flags = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)

    def masked(mask: int, value: int) -> dict[str, object]:
        return {"index": 0, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}

    refused = {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "EPERM"}
    profile["syscalls"] += [
        _rule(["clone", "clone3", "unshare"], "SCMP_ACT_ALLOW", includes=admin),
        _rule(["clone"], "SCMP_ACT_ALLOW", args=[masked(sum(flags), 0)]),
        {**refused, "args": [masked(flag, flag) for flag in flags], "includes": {}, "excludes": admin},
        {**_rule(["clone3"], "SCMP_ACT_ERRNO"), "errnoRet": 38, "errno": "ENOSYS", "excludes": admin},
    ]
    return json.dumps(profile)


def _rule(names: list[str], action: str, *, includes: object = None, args: object = None) -> dict[str, object]:
    return {"names": names, "action": action, "args": args or [], "includes": includes or {}, "excludes": {}}
