"""Pid 1 in what bubblewrap made: it looks at that, before it does what pid 1 of our own making does."""

from __future__ import annotations

import marshal
import os

from . import identity, mounts, privileges, syscalls
from .init import Init

if False:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: Where bwrap mounts the message queues: Landlock needs a descriptor of their root, see :meth:`.root.Root.queues`.
QUEUES = b"/.queues"


def main(arguments: list[str]) -> int:
    """Go on inside bubblewrap's namespaces, as what was left at a descriptor says: ``DESCRIPTOR``."""
    with open(int(arguments[0]), "rb") as file:
        job = marshal.load(file)
    for number in (job["report"], job["leash"]):
        os.set_inheritable(number, False)
    Inside(job).run(job["argv"], job["leash"])
    return 0


class Inside(Init):
    """Pid 1 in what bwrap made: looks at it, and goes on as pid 1 of our own making does."""

    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__(job["plan"], [], identity.Entered(identity.SANDBOX_UID, {}), b"", job["report"])
        self.job = job

    def _set_up(self) -> None:
        self.stage = "a look at what bubblewrap made"
        _check_status()
        _check_mounts(self.job["shown"], {mount.mount_point: mount.options for mount in mounts.mounted()})
        self._open_way_out()
        self._use_terminal()
        self._use_limits()
        self.stage = "privileges"
        privileges.reduce((), own=1 << privileges.CAP_SYS_PTRACE)
        if os.path.exists(QUEUES):
            self.queues = syscalls.open_path(QUEUES)
        self._build_walls()

    def _environment(self) -> dict[bytes, bytes]:
        variables: dict[bytes, bytes] = self.job["variables"]
        return variables


def _check_status() -> None:
    """Raise SyscallError if this process has or could gain another capability than it asked for, or has no filter."""
    asked = f"{1 << privileges.CAP_SETPCAP | 1 << privileges.CAP_SYS_PTRACE:016x}"
    wanted = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), asked)
    wanted |= {"NoNewPrivs": "1", "Seccomp": "2"}
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if wanted.pop(name, value.strip()) != value.strip():
                raise syscalls.SyscallError(1, name)
    if wanted:
        raise syscalls.SyscallError(1, next(iter(wanted)))


def _check_mounts(shown: Mapping[bytes, tuple[int, int, bool]], options: Mapping[bytes, Sequence[bytes]]) -> None:
    """Raise SyscallError if something else was mounted than what the plan says, or it can be written to.

    :param options: of every mount, by its place
    """
    for target in (b"/", b"/proc", *(path for path, (*_, writable) in shown.items() if not writable)):
        if b"ro" not in options.get(target, ()):
            raise syscalls.SyscallError(30, "mount", target)
    for target, (device, inode, _) in shown.items():
        status = os.lstat(target)
        if target not in options or os.path.realpath(target) != target:
            raise syscalls.SyscallError(40, "mount", target)
        if (status.st_dev, status.st_ino) != (device, inode):
            raise syscalls.SyscallError(116, "mount", target)
