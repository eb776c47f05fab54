"""The environments in which we test the package: the command that starts each, and its name in the docs."""

from __future__ import annotations

import dataclasses

__all__ = ["ENVIRONMENTS", "Environment"]


@dataclasses.dataclass(frozen=True)
class Environment:
    """One environment for hooks.

    :ivar name: a short name, for the table and for the names of tests
    :ivar engine: the engine of the lab that starts the environment
    :ivar options: options for the engine's ``run``; ``{podman-seccomp}`` and ``{crio-seccomp}`` stand for profiles
    :ivar shown: the description in the docs
    """

    name: str
    engine: str
    options: tuple[str, ...]
    shown: str


def _container(name: str, engine: str, options: str, shown: str = "") -> Environment:
    program = "docker run" if engine == "docker" else "podman run"
    return Environment(name, engine, tuple(options.split()), shown or f"{program} {options}".strip())


#: Every environment, in the order of the table.
ENVIRONMENTS: tuple[Environment, ...] = (
    Environment("host-root", "host", (), "root, on the host itself"),
    Environment("host-user", "host-user", (), "an ordinary user, on the host itself"),
    _container("podman", "podman", ""),
    _container("podman-user", "podman", "--user 1000"),
    _container("podman-no-caps", "podman", "--cap-drop all"),
    _container("podman-read-only", "podman", "--read-only"),
    _container("podman-no-new-privs", "podman", "--security-opt no-new-privileges"),
    _container("podman-unmask", "podman", "--security-opt unmask=ALL"),
    _container("rootless", "rootless", "", "podman run, by an ordinary user"),
    _container("docker", "docker", ""),
    _container("docker-user", "docker", "--user 1000"),
    _container(
        "docker-seccomp",
        "docker",
        "--security-opt seccomp={podman-seccomp}",
        "docker run --security-opt seccomp=/usr/share/containers/seccomp.json, podman's profile",
    ),
    _container("docker-sys-admin", "docker", "--cap-add SYS_ADMIN"),
    _container(
        "crio", "podman", "--security-opt seccomp={crio-seccomp}", "CRI-O's default seccomp rules, as in OpenShift"
    ),
    _container(
        "crio-restricted",
        "podman",
        "--security-opt seccomp={crio-seccomp} --security-opt no-new-privileges --cap-drop all --user 1000",
        "the same with no capability, no new privileges and --user 1000, as OpenShift runs pods",
    ),
)
