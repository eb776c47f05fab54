"""The launcher for bubblewrap, bwrap(1), which makes the namespaces and the mounts.

It exists for users whose own security rules demand a tool that is widely known.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import stat
import subprocess
import sys
from collections.abc import Sequence

from ..errors import SandboxUnavailableError
from ..files.paths import RealFilesystem
from ..plan import Identity, Plan
from ..plan.holds import protections_of
from ..plan.interpreter import interpreter_paths
from ..protections import Protection, ProtectionState, ProtectionStatus
from .child import child_command
from .protocol import Availability

__all__ = ["Bubblewrap"]

# Fixed paths, because PATH may have an entry inside a source tree.
_PATHS = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap", "/run/current-system/sw/bin/bwrap")
_MINIMUM = (0, 8)  # the first version with --disable-userns
# The first version with each of these. Older ones than 0.12 follow links while they set up, CVE-2026-87766.
_FEATURES = {"bind-fd": (0, 10), "beneath": (0, 12)}
_FOLLOWS_LINKS = (
    "before 0.12 it follows links out of its new root while it sets up (CVE-2026-87766), so it gets a mount namespace "
    "in which the host's files are read-only; without that, hooks are refused unless filesystem may be degraded"
)
_READ_ONLY = "; this bubblewrap has CVE-2026-87766, so the host's files are read-only for it while it sets up"
_INSTALL = (
    "install bubblewrap 0.8 or newer (apt-get install bubblewrap, dnf install bubblewrap, apk add bubblewrap), "
    "or use the launcher native"
)
_REASONS = {
    Protection.FILESYSTEM: "a root of its own, in which only what the hook and the sandbox's own pid 1 need is visible",
    Protection.TEMPORARY: "empty /tmp, /var/tmp, /run, /dev/shm and home, each with its share of the size limit",
}
_SHARED = (
    "under root, bubblewrap cannot give a hook another uid where a filesystem lacks idmapped mounts or the source tree "
    "has several owners: the hook has the caller's uid, behind a read-only /proc, and cannot change files of others"
)


class Bubblewrap:
    """Carries out the plan by arguments of bwrap. ``sandbox/bubblewrap.py`` does the steps that bwrap cannot do."""

    name = "bubblewrap"
    # The other identities need ids or capabilities that bwrap never gives to its child.
    proxied = True
    identities = frozenset((Identity.USER, Identity.SINGLE, Identity.SHARED))

    @property
    def paths(self) -> tuple[str, ...]:
        """Our own pid 1 and the frontend's interpreter, which runs it. The build environment's is the attacker's."""
        python = os.path.realpath(sys.executable)
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return (*interpreter_paths(RealFilesystem(), python, bases=None), os.path.join(package, "sandbox"))

    def availability(self) -> Availability:
        return _examine()[1]

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        return [self._status(status, plan) for status in protections_of(plan)]

    def _status(self, status: ProtectionStatus, plan: Plan) -> ProtectionStatus:
        if status.protection is Protection.IDENTITY and plan.identity is Identity.SHARED and plan.root:
            remedy = "use the launcher native, or run as an ordinary user"
            return ProtectionStatus(status.protection, ProtectionState.DEGRADED, _SHARED, remedy)
        if status.state is ProtectionState.ACTIVE and status.protection in _REASONS:
            reason = _REASONS[status.protection]
            if status.protection is Protection.FILESYSTEM and _examine()[2] < _FEATURES["beneath"]:
                reason += _READ_ONLY
            return dataclasses.replace(status, reason=reason)
        return status

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """:raises SandboxUnavailableError: bwrap is missing, unsafe to run, or too old"""
        program, availability, version = _examine()
        if not availability.available:
            raise SandboxUnavailableError([f"the launcher bubblewrap: {availability.reason}"], availability.remedy)
        features = ",".join(name for name, since in _FEATURES.items() if version >= since)
        return child_command("bubblewrap", program, features, workspace, "--", *argv)


@functools.lru_cache(maxsize=1)
def _examine() -> tuple[str, Availability, tuple[int, int]]:
    """Return the path of bwrap, ``""`` if there is none, whether this package can use it, and its version."""
    program = next((path for path in _PATHS if os.path.exists(path)), "")
    if not program:
        return "", Availability(False, f"there is no {' nor '.join(_PATHS)}", _INSTALL), (0, 0)
    mode = os.stat(program).st_mode
    if not stat.S_ISREG(mode) or not os.access(program, os.X_OK) or mode & (stat.S_IWGRP | stat.S_IWOTH):
        reason = f"{program} is not a program, or users other than its owner can change it"
        return program, Availability(False, reason, _INSTALL), (0, 0)
    if mode & (stat.S_ISUID | stat.S_ISGID):
        reason = f"{program} is set-user-ID or set-group-ID, so it would have privileges that its caller does not have"
        remedy = f"allow user namespaces on this host and run: chmod u-s {program}; or use the launcher native"
        return program, Availability(False, reason, remedy), (0, 0)
    return program, *_try_version(program)


def _try_version(program: str) -> tuple[Availability, tuple[int, int]]:
    none = (0, 0)
    try:
        completed = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={},
            cwd="/",
            timeout=30,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return Availability(False, f"{program} cannot be run: {error}", _INSTALL), none
    match = re.fullmatch(r"(bubblewrap ([0-9]{1,4})\.([0-9]{1,4})(?:\.[0-9]{1,4})*)\n?", completed.stdout)
    if match is None:
        return Availability(False, f"{program} does not say which version it is", _INSTALL), none
    version = (int(match[2]), int(match[3]))
    if version < _MINIMUM:
        return Availability(False, f"{program} is {match[1]}, which has no --disable-userns", _INSTALL), none
    follows = "" if version >= _FEATURES["beneath"] else f"; {_FOLLOWS_LINKS}"
    return Availability(True, f"{program}, {match[1]}{follows}"), version
