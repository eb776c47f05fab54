"""What is known of a hook that failed: facts of the launcher, the end of its output, and what lies outside.

The output is hostile: it may add a finding about something that we have checked outside, and never more. Of a path we
only ask whether it exists, and of a secret place not even that.
"""

from __future__ import annotations

import itertools
import os
import socket
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..files.paths import Filesystem, is_within, resolve
from ..files.spelling import normal
from ..frozen import dataclass
from ..plan import Plan
from ..plan.toolchains import CREDENTIAL_NAMES, SHARED_NAMES
from ..sandbox.landlock import READ, WRITE
from ..sandbox.operations import Bind, Cover

__all__ = ["Evidence", "Outside", "evidence_of", "last_lines"]

#: The most bytes of the end of the output that we look at, the most lines, and the most characters of a line.
MOST_BYTES, _MOST_LINES, _LONGEST = 1 << 16, 400, 2000
# Nobody adds a line for these: the system, what the sandbox has its own version of, and what is too wide.
_SYSTEM = tuple("/bin /boot /dev /etc /lib /lib32 /lib64 /libx32 /proc /root /run /sbin /sys /usr /var/lib".split())
_WIDE_DEPTH = 2
# Directories of tools in a home; everything else there that begins with a dot may hold secrets.
_TOOLS = frozenset(".asdf .cache .cargo .conda .linuxbrew .local .npm .nvm .nix-profile .pyenv .rustup .volta".split())
_SECRET_NAMES = CREDENTIAL_NAMES - SHARED_NAMES - _TOOLS
_MOST_LEVELS = 40
# What lies beneath such a directory runs by itself, or with the next command of another program.
_CODE = frozenset((".git", "bin", "sbin", "site-packages", "dist-packages", "node_modules"))


@dataclass(frozen=True)
class Outside:
    """What lies outside, and how much of it the hook sees.

    :ivar filesystem: the filesystem of the host
    :ivar home: the caller's home directory
    :ivar source: the real path of the source tree
    :ivar environ: the caller's environment
    :ivar shown: pairs of a path that the plan shows or covers, and its access: 0 hidden, 1 readable, 2 writable
    """

    filesystem: Filesystem
    home: str
    source: str
    environ: Mapping[str, str]
    shown: tuple[tuple[str, int], ...]

    def access(self, real: str) -> int:
        """Return what the hook may do with a real path: nothing (0), read it (1), or write it (2)."""
        above = [row for row in self.shown if is_within(real, row[0])]
        return max(above, key=lambda row: (len(row[0]), row[1]))[1] if above else 0

    def real(self, path: str) -> str | None:
        """Return the real path of something that exists and is no secret place, or ``None``."""
        if not path.startswith("/") or "\0" in path or self.is_private(path):
            return None
        try:
            real = resolve(self.filesystem, normal(path))[0]
        except (OSError, ValueError):
            return None
        return None if real is None or self.is_private(real) else real

    def existing(self, path: str) -> str | None:
        """Return the real path of a path, or of the nearest directory above it that exists; ``None`` for ``/``."""
        path = normal(path)
        for _ in range(_MOST_LEVELS):
            if path in ("/", "."):
                return None
            real = self.real(path)
            if real is not None:
                return real
            path = os.path.dirname(path)
        return None

    def may_write(self, directory: str) -> bool:
        """Return whether the caller may write to a directory. If not, the build fails without a sandbox too."""
        return os.access(directory, os.W_OK)

    def bars_its_owner(self, path: str) -> bool:
        """Return whether the mode of a path that exists keeps its owner from writing to it."""
        try:
            return not os.stat(path, follow_symlinks=False).st_mode & stat.S_IWUSR
        except OSError:
            return False

    def is_private(self, path: str) -> bool:
        """Return whether a path is a place of credentials, or another hidden place in the home."""
        parts = path.split("/")
        if not _SECRET_NAMES.isdisjoint(parts):
            return True
        return is_within(path, self.home) and any(
            part.startswith(".") and part not in _TOOLS for part in path[len(self.home) :].split("/")[:2]
        )

    def is_system(self, path: str) -> bool:
        """Return whether a path belongs to the system. A home or a source tree there does not."""
        own = (self.home, os.path.dirname(self.source))
        return any(is_within(path, top) for top in _SYSTEM) and not any(is_within(path, top) for top in own)

    def is_wide(self, path: str) -> bool:
        """Return whether a path holds more than one build should see: the home, the tree, or half of the host."""
        return any(is_within(top, path) for top in (self.home, self.source)) or path.count("/") < _WIDE_DEPTH

    def is_public(self, real: str) -> bool:
        """Return whether a path belongs to the system or holds more than one build should see."""
        return self.is_system(real) or self.is_wide(real)

    def is_covered(self, real: str) -> bool:
        """Return whether the sandbox shows a path, and something else in its place."""
        return not self.access(real) and any(is_within(real, path) for path, _ in self.shown)

    def holds_code(self, directory: str) -> bool:
        """Return whether programs outside run or load what somebody writes to a directory, or beneath it.

        That is a directory of programs or modules, one that leads there, an installation, or a tool's own in the home.
        """
        lists = (self.environ.get(name, "").split(":") for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH"))
        entries = [*itertools.chain.from_iterable(lists), *sys.path, sys.prefix]
        prefixes = (os.path.dirname(entry) for entry in entries if os.path.basename(entry) == "bin")
        reals = (self.real(path) for path in dict.fromkeys((*entries, *prefixes)))
        tops = [real for real in reals if real is not None and not self.is_wide(real)]
        if any(is_within(directory, top) or is_within(top, directory) for top in tops):
            return True
        parts = directory.split("/")
        in_home = is_within(directory, self.home) and any(part[:1] == "." for part in parts[self.home.count("/") + 1 :])
        return in_home or not _CODE.isdisjoint(parts)

    def offered(self, real: str, *, prefix: bool = False) -> str:
        """Return the path to offer for what lies at ``real``: its directory, or itself where that would be too wide.

        :param prefix: it is a program: offer the directory that holds its ``bin``
        """
        parent = os.path.dirname(real)
        choices = [os.path.dirname(parent)] if prefix and os.path.basename(parent) == "bin" else []
        choices += [parent] if prefix else []
        return next(
            (c for c in choices if not (self.is_wide(c) or self.is_system(c) or c == f"{self.home}/.local")), real
        )


@dataclass(frozen=True)
class Evidence:
    """Everything from which the hints follow.

    :ivar outside: what lies outside
    :ivar lines: the last lines of the output; empty if we have not seen it
    :ivar dropped: the variables that the hook did not get
    :ivar network: hooks have all of the caller's network
    :ivar hosts: the hosts and ports that the policy names
    :ivar asked: the hosts and ports that the hook asked the proxy for, and that the policy does not name
    :ivar read_only: the policy makes the source tree read-only
    :ivar bound: modes bind the hook, and do not bind its caller
    :ivar temp_size: the limit of the temporary files, in bytes
    :ivar memory: the limit of the memory, in bytes, or ``None``
    :ivar limit: the limit that ended the hook and its value, or ``None``
    :ivar code: the exit code of the hook
    :ivar tried: the destinations that it could not reach: name or address, and port
    :ivar names: the names of hosts that it looked up in vain, in order
    :ivar full: sizes of the full temporary filesystems, in bytes
    """

    outside: Outside
    lines: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    network: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    asked: tuple[tuple[str, int], ...] = ()
    read_only: bool = False
    bound: bool = False
    temp_size: int = 0
    memory: int | None = None
    limit: tuple[str, Any] | None = None
    code: int = 0
    tried: tuple[tuple[str, int], ...] = ()
    names: tuple[bytes, ...] = ()
    full: tuple[int, ...] = ()


def evidence_of(
    plan: Plan,
    status: Mapping[str, Any],
    *,
    output: str,
    outside: tuple[Filesystem, str, Mapping[str, str]],
    dropped: Sequence[str],
    limit: tuple[str, Any] | None,
    asked: Sequence[tuple[str, int]] = (),
) -> Evidence:
    """Return the evidence for one call.

    :param status: the facts of the launcher
    :param output: the end of the output, or an empty text
    :param outside: the filesystem of the host, the caller's home and environment
    """
    filesystem, home, environ = outside
    policy = plan.policy
    return Evidence(
        outside=Outside(filesystem, normal(home), plan.source, environ, tuple(_shown(plan))),
        lines=last_lines(output),
        dropped=tuple(dropped),
        network=policy.whole_network,
        hosts=tuple((host.name, host.port) for host in policy.hosts),
        asked=tuple(asked),
        read_only=policy.source == "read-only",
        bound=plan.identity.traits.throw_away and "CAP_DAC_OVERRIDE" not in plan.identity.traits.capabilities,
        temp_size=policy.limits.temp_size,
        memory=policy.limits.memory,
        limit=limit,
        code=int(status.get("code") or 0),
        tried=tuple(_destinations(status.get("tried", ()))),
        names=tuple(status.get("names", ())),
        full=tuple(size for _, size in status.get("full", ())),
    )


def last_lines(output: str) -> tuple[str, ...]:
    """Return the last lines of an output, none of them very long."""
    return tuple(line[:_LONGEST] for line in output[-MOST_BYTES:].splitlines()[-_MOST_LINES:])


def _shown(plan: Plan) -> Iterator[tuple[str, int]]:
    if plan.confined:
        yield from ((path, 2 if kind == WRITE else 1) for path, kind in plan.rules if kind >= READ)
        return
    for operation in plan.operations:
        if isinstance(operation, Bind):
            yield operation.target, 0 if isinstance(operation, Cover) else 2 if operation.writable else 1


def _destinations(rows: Sequence[tuple[int, bytes, int, int]]) -> Iterator[tuple[str, int]]:
    for family, address, port, _ in rows:
        yield socket.inet_ntop(family, address), port
