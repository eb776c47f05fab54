"""The error for a set-up that failed, and the remedy for this host."""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections.abc import Mapping
from typing import Any

from ..errors import SandboxSetupError, SandboxUnavailableError
from ..launchers import BUILT_IN
from ..protections import ROWS
from ..sandbox import attempts, bubblewrap_guard
from ..text import visible
from .shortage import shortage_of

__all__ = ["HOST_CALLS", "REFUSALS", "is_load", "refusal", "remedy", "remedy_of"]

# The stages of the child in which only the host can be at fault: those of each protection, and that of the limits.
_HOST_STAGES = frozenset(("limits", *(stage for row in ROWS.values() for stage in row.stages)))
# The calls that a host may refuse altogether: the child makes them with all capabilities in its own namespace.
HOST_CALLS = frozenset(
    ("unshare", "mount", "open_tree", "mount_setattr", "move_mount", "pivot_root", "umount2", "statx")
)
_LANDLOCK_CALLS = frozenset(("landlock_create_ruleset", "landlock_restrict_self"))
REFUSALS = frozenset((errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOSPC))
# Errors of things that run out, that the policy or the caller limits, or that a path causes. A hook can cause most of
# them on purpose, so they say nothing of what the host allows.
_SCARCE = frozenset(
    getattr(errno, name)
    for name in "EAGAIN EBUSY EDQUOT EINTR ELOOP EMFILE ENAMETOOLONG ENFILE ENOMEM ENOSPC ETIMEDOUT EUSERS".split()
)
# A host may set one of these to 0. unshare(2) then fails with ENOSPC, namespaces(7), as it does if too many exist.
_NUMBERS = tuple(f"/proc/sys/user/max_{kind}_namespaces" for kind in "user mnt pid net ipc uts cgroup".split())


def is_load(syscall: str, number: int) -> bool:
    """Return whether load, or a hook, may have caused an error of the set-up, so that it says nothing about the host.

    :param syscall: the name of the call that failed
    :param number: its errno
    """
    if syscall == "unshare" and number == errno.ENOSPC:
        return not any(_read(path) == "0" for path in _NUMBERS)
    return number in _SCARCE


def refusal(status: Mapping[str, Any], *, processes: int | None = None) -> SandboxSetupError | SandboxUnavailableError:
    """Return the error for a set-up that failed: the host's fault where only the host can be at fault.

    :param processes: how many processes the policy allows a sandbox, if it has such a limit
    """
    stage, syscall = str(status.get("stage", "")), str(status.get("syscall", ""))
    path = os.fsdecode(status.get("path", b"")) or None
    number = int(status.get("errno", 0))
    words = "" if number else visible(str(status.get("said", "")), limit=200)
    reason = (
        words
        or visible(str(status.get("reason", "")), limit=400)
        or shortage_of(syscall, number, stage=stage, processes=processes)
        or _shortage(number)
    )
    error = SandboxSetupError(stage or "starting the launcher", syscall=syscall, path=path, errno=number, reason=reason)
    if syscall == bubblewrap_guard.CVE:
        advice = f"install bubblewrap 0.12 or newer; or {remedy()}"
        return SandboxUnavailableError([f"the launcher {stage}: {bubblewrap_guard.UNGUARDED}"], advice)
    if stage == attempts.OBSERVING:
        return SandboxUnavailableError([f"{stage}: the host lets pid 1 of the sandbox listen to none"], _UNOBSERVED)
    if stage in BUILT_IN:
        # The program that this launcher starts is not ours, and it states the reason only in a message for people.
        missing = f"the launcher {stage} does not work here: {words or error}"
        return SandboxUnavailableError([missing], "use the launcher native, which works in more places")
    missing = f"{stage}: {syscall or 'it'} fails with {error.strerror}"
    load = is_load(syscall, number)
    if syscall in _LANDLOCK_CALLS and not load:
        return SandboxUnavailableError([missing], f"{_LANDLOCK_REMEDY}; or {remedy()}")
    lost = syscall in ("openat2", "openat") and number in (errno.ENOENT, errno.ENOTDIR)  # somebody has removed the path
    if load or lost or (stage not in _HOST_STAGES and not (syscall in HOST_CALLS and number in REFUSALS)):
        return error
    return SandboxUnavailableError([missing], remedy())


def _shortage(number: int) -> str:
    """Return the words for an error that a limit of this process causes, or an empty text."""
    name, option = _LIMITS.get(number, ("", ""))
    soft, hard = resource.getrlimit(getattr(resource, name)) if name else (resource.RLIM_INFINITY, 0)
    if soft == resource.RLIM_INFINITY:
        return ""
    return f"{os.strerror(number)} (the limit {name} is {soft}, at most {hard}: raise it, for instance with {option})"


_UNOBSERVED = (
    "use a host that allows seccomp user notification, seccomp_unotify(2), and pidfd_getfd(2) in the sandbox; or build "
    "without --explain-denials"
)
_LIMITS = {errno.EMFILE: ("RLIMIT_NOFILE", "ulimit -n"), errno.EAGAIN: ("RLIMIT_NPROC", "ulimit -u")}
_LANDLOCK_REMEDY = "use Linux 5.19 or newer, with landlock among its security modules (the boot parameter lsm=)"


def remedy_of(outcome: Mapping[str, Any]) -> str:
    """Return what to do about what a trial has met."""
    if outcome.get("syscall") == "write" and outcome.get("errno") == errno.EROFS:
        return "mount /proc read-write, as bwrap --proc /proc does: the id map of a user namespace is written there"
    return remedy()


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


# A file, its content if it stands in the way, whether it restricts root too, and the remedy.
_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", True, "sysctl user.max_user_namespaces=15000, as root"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", False, "sysctl kernel.unprivileged_userns_clone=1, as root"),
    # Ubuntu 24.04: unshare(2) succeeds, and the kernel refuses the id map or the first mount.
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        False,
        "AppArmor restricts user namespaces here: sysctl kernel.apparmor_restrict_unprivileged_userns=0, as root, or "
        "an AppArmor profile for this Python: 'abi <abi/4.0>, profile isolated-hooks {python} flags=(unconfined) "
        "{{ userns, }}' in /etc/apparmor.d/isolated-hooks, loaded with apparmor_parser -r",
    ),
)


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
