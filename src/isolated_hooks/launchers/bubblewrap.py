"""Bubblewrap, bwrap(1), for those whose own policy says "a known tool": it makes the namespaces and the mounts."""

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

# Never by PATH, where a source tree may have an entry.
_PATHS = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap", "/run/current-system/sw/bin/bwrap")
_MINIMUM = (0, 8)  # --disable-userns
_INSTALL = (
    "install bubblewrap 0.8 or newer (apt-get install bubblewrap, dnf install bubblewrap, apk add bubblewrap), "
    "or use the launcher native"
)
_REASONS = {
    Protection.FILESYSTEM: "a root of its own, in which only what the hook and the sandbox's own pid 1 need is visible",
    Protection.TEMPORARY: "empty /tmp, /var/tmp, /run, /dev/shm and home, each with its share of the size limit",
}
_SHARED = (
    "bubblewrap gives a hook of root no other uid where a filesystem takes no idmapped mounts or the source tree has "
    "several owners: it has the caller's uid, behind a read-only /proc, and cannot change files of others"
)


class Bubblewrap:
    """The same plan as arguments of bwrap; ``sandbox/bubblewrap.py`` does what it has no words for."""

    name = "bubblewrap"
    # The others need ids, or capabilities, that bwrap gives to nobody.
    identities = frozenset((Identity.USER, Identity.SINGLE, Identity.SHARED))

    @property
    def paths(self) -> tuple[str, ...]:
        """Our own pid 1, and the interpreter that runs it; the one of the build environment is the attacker's."""
        python = os.path.realpath(sys.executable)
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return (*interpreter_paths(RealFilesystem(), python), os.path.join(package, "sandbox"))

    def availability(self) -> Availability:
        return _examine()[1]

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        return [self._status(status, plan) for status in protections_of(plan)]

    def _status(self, status: ProtectionStatus, plan: Plan) -> ProtectionStatus:
        if status.protection is Protection.IDENTITY and plan.identity is Identity.SHARED and plan.root:
            remedy = "use the launcher native, or run as an ordinary user"
            return ProtectionStatus(status.protection, ProtectionState.DEGRADED, _SHARED, remedy)
        if status.state is ProtectionState.ACTIVE and status.protection in _REASONS:
            return dataclasses.replace(status, reason=_REASONS[status.protection])
        return status

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """:raises SandboxUnavailableError: there is no bwrap, or none that can be used"""
        program, availability = _examine()
        if not availability.available:
            raise SandboxUnavailableError([f"the launcher bubblewrap: {availability.reason}"], availability.remedy)
        return child_command("bubblewrap", program, workspace, "--", *argv)


@functools.lru_cache(maxsize=1)
def _examine() -> tuple[str, Availability]:
    """Return the path of bwrap and whether it can be used."""
    program = next((path for path in _PATHS if os.path.exists(path)), "")
    if not program:
        return "", Availability(False, f"there is no {' nor '.join(_PATHS)}", _INSTALL)
    mode = os.stat(program).st_mode
    if not stat.S_ISREG(mode) or not os.access(program, os.X_OK) or mode & (stat.S_IWGRP | stat.S_IWOTH):
        return program, Availability(
            False, f"{program} is not a program, or others than its owner can change it", _INSTALL
        )
    if mode & (stat.S_ISUID | stat.S_ISGID):
        return program, Availability(
            False,
            f"{program} is set-user-ID, so it would not be confined as the one that starts it is",
            f"allow user namespaces on this host and run: chmod u-s {program}; or use the launcher native",
        )
    return program, _try_version(program)


def _try_version(program: str) -> Availability:
    try:
        done = subprocess.run(
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
        return Availability(False, f"{program} cannot be run: {error}", _INSTALL)
    version = re.fullmatch(r"bubblewrap (\d+)\.(\d+)[.\d]*\s*", done.stdout)
    if version is None:
        return Availability(False, f"{program} does not say which version it is", _INSTALL)
    if (int(version[1]), int(version[2])) < _MINIMUM:
        return Availability(False, f"{program} is {done.stdout.strip()}, which has no --disable-userns", _INSTALL)
    return Availability(True, f"{program}, {done.stdout.strip()}")
