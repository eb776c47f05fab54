"""What this host offers, found when it is first needed by trying it, and remembered for the process."""

from __future__ import annotations

import errno
import functools
import marshal
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .child import child_command
from .errors import SandboxSetupError, SandboxUnavailableError
from .filesystem import is_within
from .launchers import Launcher
from .plan import Identity, Plan
from .protections import ProtectionStatus
from .text import visible
from .workspace import Workspace

__all__ = [
    "bound_sockets",
    "check_platform",
    "degradations",
    "facts",
    "is_kernel_root",
    "namespaces_refused",
    "refusal",
    "refused_identities",
    "refuses_wrapped",
    "remedy",
    "require_sandbox",
    "started_with",
    "working_identity",
]

_MACHINES = ("x86_64", "aarch64")
_MINIMUM = (5, 12)  # mount_setattr(2)
# The stages of the child in which only the host can be to blame.
_HOST_STAGES = frozenset(
    (
        "identity",
        "starting pid 1",
        "network and host name",
        "mounts",
        "keyring and terminal",
        "privileges",
        "system call filter",
    )
)
# What a program that is not ours failed at; it tells only people why.
_LAUNCHER_STAGES = frozenset(("bubblewrap",))
# The calls that a host refuses as such, by errno: they are made with all capabilities in a namespace of our own.
_HOST_CALLS = frozenset(("unshare", "mount", "open_tree", "mount_setattr", "move_mount", "pivot_root", "umount2"))
_LANDLOCK_CALLS = frozenset(("landlock_create_ruleset", "landlock_restrict_self"))
_REFUSALS = frozenset((errno.EPERM, errno.ENOSYS, errno.ENOSPC))
# What runs out, or is limited by the policy or the caller, and is no word of the host on what it allows.
_SCARCE = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN))
# Where one of these is refused, by one of these calls, another one is tried. Not where something else goes wrong on the
# way, such as a path that is gone: which way is taken must not be up to the hook.
_IDENTITY_CALLS = frozenset(("unshare", "write", "setresuid", "kill", "open_tree", "mount_setattr"))
_REFUSED = frozenset((errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOSPC))
_LADDER = (Identity.SINGLE, Identity.RANGE, Identity.MIRROR, Identity.SHARED, Identity.SEPARATE, Identity.USER)
# What root tries before its own uid, and the calls that are refused where the ids for it are not mapped.
_WRAPPED = (Identity.SINGLE, Identity.RANGE, Identity.MIRROR)
_ID_CALLS = frozenset(("write", "setresuid"))
_MAPPED = (Identity.SINGLE, Identity.RANGE)
_tried: dict[tuple[Identity, tuple[int, ...], bool, str], dict[str, Any]] = {}


def check_platform() -> None:
    """Raise SandboxUnavailableError where this cannot work at all, without trying anything."""
    if sys.platform != "linux":
        raise SandboxUnavailableError(
            [f"this is {platform.system() or sys.platform}, and the sandbox is made of Linux namespaces"],
            "build on Linux, for instance in a virtual machine or a container on this host",
        )
    if platform.machine() not in _MACHINES:
        raise SandboxUnavailableError(
            [f"there is no system call filter for {platform.machine()}"], f"build on {' or '.join(_MACHINES)}"
        )
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdigit())
    if release < _MINIMUM:
        raise SandboxUnavailableError(
            [f"Linux {platform.release()} has no mount_setattr(2)"], "use Linux 5.12 or newer"
        )


@functools.lru_cache(maxsize=1)
def started_with() -> dict[str, str]:
    """Return the environment that this process was started with, proc_pid_environ(5), or as it is now."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [entry.partition(b"=") for entry in file.read().split(b"\0") if entry]
    except OSError:
        return dict(os.environ)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def is_kernel_root() -> bool:
    """Say whether this process's user is the kernel's own root, which may change its settings without any capability.

    Its number does not say: in a user namespace 0 may be anybody, and root any number. The settings belong to the
    kernel's root, and stat(2) shows them as a user of this namespace only if that one is mapped here.
    """
    try:
        return os.stat("/proc/sys/kernel/core_pattern").st_uid == os.geteuid()
    except OSError:
        return os.geteuid() == 0


def refused_identities(paths: Iterable[str], launcher: str = "native") -> frozenset[Identity]:
    """Return the identities that earlier trials have shown to be refused, for the filesystems of ``paths``."""
    devices = _devices(paths)
    refused = ((i, d, name) for (i, d, _, name), outcome in _tried.items() if not _worked(outcome))
    return frozenset(i for i, d, name in refused if i in _LADDER and d in (devices, ()) and name == launcher)


def require_sandbox(plan: Plan, workspace: Workspace, paths: Iterable[str], launcher: Launcher) -> bool:
    """Try the plan without a command, once for each kind of identity, set of filesystems and launcher.

    :param paths: what is to be mounted idmapped
    :return: whether it worked; ``False`` means that this identity is refused, so another one is to be tried
    :raises SandboxUnavailableError: the host does not allow the sandbox
    :raises SandboxSetupError: something about this very plan does not work
    """
    mapped = plan.identity in _MAPPED
    key = _key(plan, paths if mapped else ())
    if key not in _tried:
        _tried[key] = _try(workspace, launcher.command(plan, workspace.path, ()))
    outcome = _tried[key]
    if _worked(outcome):
        return True
    if plan.identity in _LADDER and _is_refusal(outcome):
        return False
    _tried.pop(key, None)  # another thread may have come to the same
    raise refusal(outcome)


def refuses_wrapped(status: Mapping[str, Any], plan: Plan) -> bool:
    """Say whether an identity that works here was refused where the launcher was started, so that nothing was run.

    The inner runner may have entered a user namespace of its own first, as ``unshare --map-root-user`` does, where one
    id is mapped and no other can be taken. Only what maps and changes ids counts: that is not up to a source tree.
    """
    call, number = status.get("syscall"), status.get("errno")
    failed = status.get("state") == "failed" and plan.identity in _WRAPPED
    return failed and call in _ID_CALLS and number in (errno.EPERM, errno.EINVAL)


def _is_refusal(outcome: Mapping[str, Any]) -> bool:
    """Say whether the host refuses an identity as such, or all mounts in a user namespace, as AppArmor may."""
    if outcome.get("stage") == "mounts":
        return outcome.get("errno") in (errno.EPERM, errno.EACCES, errno.ENOSYS)
    return outcome.get("syscall") in _IDENTITY_CALLS and outcome.get("errno") in _REFUSED


def degradations(plan: Plan, paths: Iterable[str]) -> Mapping[str, str]:
    """Return what the trial of a plan has found weaker, and why."""
    mapped = plan.identity in _MAPPED
    degraded: Mapping[str, str] = _tried[_key(plan, paths if mapped else ())].get("degraded", {})
    return degraded


def working_identity() -> Identity | None:
    """Return how hooks get a user of their own here, as the last trial that worked has shown."""
    return next((i for (i, *_), outcome in reversed(_tried.items()) if _worked(outcome)), None)


@functools.lru_cache(maxsize=1)
def facts() -> Mapping[str, tuple[int, str]]:
    """Return what this host offers, fact by fact: whether it works or a number, and the error where it does not."""
    done = subprocess.run(child_command("--facts"), stdin=subprocess.DEVNULL, capture_output=True, check=True, cwd="/")
    found: dict[str, tuple[int, str]] = marshal.loads(done.stdout)
    return found


def _key(plan: Plan, paths: Iterable[str]) -> tuple[Identity, tuple[int, ...], bool, str]:
    return plan.identity, _devices(paths), plan.policy.network, plan.policy.launcher


def _try(workspace: Workspace, command: Sequence[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
            cwd="/",  # nothing of a tree that may be the current directory is to be loaded
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxSetupError("starting the launcher", path=command[0], reason=str(error)) from error
    status = workspace.take_status()
    workspace.clear()
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if not status:
        raise SandboxSetupError("starting the launcher", path=command[0], reason=last or f"exit {done.returncode}")
    return {**status, "said": last}


def _worked(outcome: dict[str, Any]) -> bool:
    return outcome.get("state") == "exited" and outcome.get("code") == 0


def _devices(paths: Iterable[str]) -> tuple[int, ...]:
    """Return the filesystems of some paths and of the mounts beneath them, as device numbers."""
    real = [os.path.realpath(path) for path in paths if os.path.exists(path)]
    beneath = (device for device, place in _mounts() if any(is_within(place, path) for path in real))
    return tuple(sorted({*(os.stat(path).st_dev for path in real), *beneath}))


def _mounts() -> Iterator[tuple[int, str]]:
    """Yield the device number and the place of every mount, proc_pid_mountinfo(5)."""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields = line.split()
            major, _, minor = fields[2].partition(b":")
            place = re.sub(rb"\\(\d{3})", lambda match: bytes((int(match[1], 8),)), fields[4])
            yield os.makedev(int(major), int(minor)), os.fsdecode(place)


def refusal(status: dict[str, Any]) -> SandboxSetupError | SandboxUnavailableError:
    """Return the error for a set-up that failed: the host's fault where only the host can be at fault."""
    stage, syscall = str(status.get("stage", "")), str(status.get("syscall", ""))
    path = os.fsdecode(status.get("path", b"")) or None
    number = int(status.get("errno", 0))
    said = "" if number else visible(str(status.get("said", "")), limit=200)
    error = SandboxSetupError(stage or "starting the launcher", syscall=syscall, path=path, errno=number, reason=said)
    if stage in _LAUNCHER_STAGES:
        missing = f"the launcher {stage} does not work here: {said or error}"
        return SandboxUnavailableError([missing], "use the launcher native, which works in more places")
    missing = f"{stage}: {syscall or 'it'} fails with {error.strerror}"
    if syscall in _LANDLOCK_CALLS:
        return SandboxUnavailableError([missing], f"{_LANDLOCK_REMEDY}; or {remedy()}")
    if number in _SCARCE or (stage not in _HOST_STAGES and not (syscall in _HOST_CALLS and number in _REFUSALS)):
        return error
    return SandboxUnavailableError([missing], remedy())


_LANDLOCK_REMEDY = "use Linux 5.19 or newer, with landlock among its security modules (the boot parameter lsm=)"


def namespaces_refused(missing: Iterable[ProtectionStatus]) -> SandboxUnavailableError:
    """Return the error for a host without user namespaces, and a policy that does not allow what is weaker then."""
    refused = next(o for (i, *_), o in _tried.items() if i in (Identity.USER, Identity.SHARED) and not _worked(o))
    call = f"{refused.get('syscall')} fails with {os.strerror(int(refused.get('errno', 0)))}"
    names = ", ".join(status.protection.value for status in missing)
    return SandboxUnavailableError(
        [f"user namespaces: {call}", f"so these would be degraded: {names}"],
        f"{remedy()}; or allow what is weaker without: --allow-degraded no-namespaces",
    )


def remedy() -> str:
    """Return what to do where user namespaces are refused, by what this host says of them."""
    unprivileged = os.geteuid() != 0
    for path, bad, binds_root, advice in _SWITCHES:
        if _read(path) == bad and (unprivileged or binds_root):
            return advice.format(python=os.path.realpath(sys.executable))
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return (
            "give the pod a seccomp profile that allows user namespaces (securityContext.seccompProfile of type "
            "Localhost, with podman's /usr/share/containers/seccomp.json on the node)"
        )
    if _in_container() or _filtered():
        return (
            "start the container with a seccomp profile that allows user namespaces, such as podman's default one "
            "(docker run --security-opt seccomp=/usr/share/containers/seccomp.json ...), or run it with podman"
        )
    return "allow unprivileged user namespaces on this host (see user_namespaces(7)), or run as root"


# A file, what it holds where it stands in the way, whether it binds root too, and the remedy.
_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", True, "sysctl user.max_user_namespaces=15000, as root"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", False, "sysctl kernel.unprivileged_userns_clone=1, as root"),
    # Ubuntu 24.04: unshare(2) succeeds, and the id map or the first mount is refused.
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        False,
        "AppArmor restricts user namespaces here: sysctl kernel.apparmor_restrict_unprivileged_userns=0, as root, or "
        "an AppArmor profile for this Python: 'abi <abi/4.0>, profile isolated-hooks {python} flags=(unconfined) "
        "{{ userns, }}' in /etc/apparmor.d/isolated-hooks, loaded with apparmor_parser -r",
    ),
)


def bound_sockets() -> tuple[str, ...]:
    """Return the paths that unix sockets of this network namespace are bound to, /proc/net/unix of proc(5)."""
    try:
        with open("/proc/net/unix", "rb") as file:
            fields = [line.rstrip(b"\n").split(None, 7) for line in file]
    except OSError:
        return ()
    # The eighth field is the name: of an abstract one it begins with an @, of an unnamed one it is missing.
    return tuple(dict.fromkeys(os.fsdecode(f[7]) for f in fields if len(f) == 8 and f[7].startswith(b"/")))


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _filtered() -> bool:
    """Say whether this process runs under a seccomp filter, proc_pid_status(5)."""
    return any(line.split() == ["Seccomp:", "2"] for line in _read("/proc/self/status").splitlines())


def _in_container() -> bool:
    return any(os.path.exists(path) for path in ("/.dockerenv", "/run/.containerenv"))
