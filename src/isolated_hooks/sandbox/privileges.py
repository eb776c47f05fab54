"""Privileges that a process gives up before it becomes the hook: capabilities, system calls, resources, stdin."""

from __future__ import annotations

import os
import resource
from errno import EINVAL, EPERM

from . import seccomp, syscalls

if False:
    from collections.abc import Sequence

    from . import listener

CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_FOWNER = 3
CAP_KILL = 5
CAP_SETPCAP = 8
CAP_SYS_PTRACE = 19
#: The capabilities that a hook may hold, by their names in a plan.
CAPABILITIES = {b"CAP_DAC_OVERRIDE": CAP_DAC_OVERRIDE, b"CAP_FOWNER": CAP_FOWNER}

# securebits, capabilities(7): NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each with its lock, and the lock of
# KEEP_CAPS. With these, no later exec or change of ids can bring a capability back.
_SECUREBITS = 0b1110_1111
# The set-up changes ids and must not lose capabilities on the way.
NO_SETUID_FIXUP = 0b0100
# A special value, core(5): the kernel neither runs the program of a piped core_pattern nor writes a file.
_CORE_LIMIT = 1
_CPU_MORE = 5


# An idmapped view takes a descriptor for each of its mounts, about seventy, and the launcher some more. A fixed number,
# so that it is the same for an empty tree, which the doctor tries, and for any hook.
_FEWEST_FILES = 128


class ShortageError(Exception):
    """Too little is left of something that this host, or a limit of the caller's, gives. The text says of what."""


def raise_files() -> tuple[int, int]:
    """Raise the soft limit of descriptors to the hard one, which takes no privilege, setrlimit(2).

    :return: the soft and the hard limit as they were
    """
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    return limits


def require_files() -> None:
    """Raise ShortageError if this process may have too few descriptors for an idmapped view."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FEWEST_FILES:
        raise ShortageError(
            f"the hard limit RLIMIT_NOFILE is too low (expected at least {_FEWEST_FILES} descriptors, got {hard}): "
            f"raise it, for instance with ulimit -n {_FEWEST_FILES * 8} before the frontend starts"
        )


def keep_capabilities_over_setuid() -> None:
    """Keep the capabilities of this process over setresuid(2), capabilities(7)."""
    syscalls.prctl(syscalls.PR_SET_SECUREBITS, NO_SETUID_FIXUP)


def keep_permitted_over_setuid() -> None:
    """Keep the permitted set over setresuid(2), prctl(2) with PR_SET_KEEPCAPS. This needs no privilege."""
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)


def require(*capabilities: int) -> None:
    """Raise SyscallError unless all these capabilities are effective in this process, proc_pid_status(5)."""
    with open("/proc/self/status", "rb") as file:
        effective = int(next(line.split()[1] for line in file if line.startswith(b"CapEff:")), 16)
    if any(not effective >> capability & 1 for capability in capabilities):
        raise syscalls.SyscallError(EPERM, "capget")


def reduce(keep: Sequence[int], own: int = 0) -> None:
    """Empty the bounding set and every other set, except for ``keep``, which stays over exec as ambient.

    :param own: more capabilities for this process alone, as bits; see :func:`drop_own`
    """
    bits = sum(1 << capability for capability in keep)
    # This comes first because a capability has to be in the bounding set when it becomes inheritable. Dropping from the
    # bounding set and locking securebits need CAP_SETPCAP, which the last capset drops.
    syscalls.capset(bits | own | 1 << CAP_SETPCAP)
    _empty_bounding_set()
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in keep:
        syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_RAISE, capability)
    syscalls.prctl(syscalls.PR_SET_SECUREBITS, _SECUREBITS)
    syscalls.capset(bits | own)


def drop_own(keep: Sequence[int]) -> None:
    """Drop every capability but ``keep``."""
    syscalls.capset(sum(1 << capability for capability in keep))


def _empty_bounding_set() -> None:
    """Drop one capability after the other with PR_CAPBSET_DROP, up to the last one that the kernel knows."""
    for capability in range(64):
        try:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
        except syscalls.SyscallError as error:
            if error.errno != EINVAL or capability == 0:
                raise
            return


def reduce_what_can_be(keep: Sequence[int]) -> None:
    """Do the same as :func:`reduce`, but keep the bounding set if the host refuses to empty it.

    With no_new_privs, a process cannot gain anything from the bounding set, capabilities(7).
    """
    try:
        reduce(keep)
    except syscalls.SyscallError:
        syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
        syscalls.capset(sum(1 << capability for capability in keep))
        for capability in keep:
            syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_RAISE, capability)


def forbid(*, watches: bool = True) -> None:
    """Install the filter of pid 1 and all its descendants. The process needs no_new_privs, seccomp(2).

    :param watches: as for :func:`seccomp.rules`
    """
    syscalls.seccomp_filter(seccomp.shared_program(syscalls.MACHINE, watches=watches))


def forbid_hook(handover: listener.Handover | None, *, observed: bool = False) -> None:
    """Install the second filter of a hook, and hand over its listener if there is a broker to take it.

    :param observed: as for :func:`seccomp.hook_program`
    """
    program = seccomp.hook_program(syscalls.MACHINE, brokered=handover is not None, observed=observed)
    if handover is None:
        syscalls.seccomp_filter(program)
    else:
        handover.offer(program)


def forbid_confined(*, network: bool, truncation: bool, devices: bool = False) -> None:
    """Install the filter of pid 1 and the hook where there are no namespaces.

    :param network, truncation, devices: as for :func:`seccomp.rules`
    """
    options = {"network": network, "truncation": truncation, "devices": devices}
    syscalls.seccomp_filter(seccomp.filter_program(syscalls.MACHINE, namespaces=False, **options))


def limit_files(before: tuple[int, int], most: int | None) -> None:
    """Limit the descriptors of this process, soft and hard.

    :param before: the caller's own limits, from :func:`raise_files`
    :param most: the limit instead, and never above the caller's hard limit; ``None`` for the caller's own
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    if most is not None:
        _limit("NOFILE", most)


def limit(limits: dict[str, int]) -> None:
    """Set resource limits, setrlimit(2), soft and hard to the same value, and never above the caller's hard limit.

    :param limits: limits by name without ``RLIMIT_``, in seconds, in bytes or as a number
    """
    resource.setrlimit(resource.RLIMIT_CORE, _core_limit())
    for name, value in limits.items():
        _limit(name, value)


def _limit(name: str, value: int) -> None:
    number: int = getattr(resource, f"RLIMIT_{name}")
    _, hard = resource.getrlimit(number)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # At the hard limit of processor time the kernel sends SIGKILL, which does not tell the reason. SIGXCPU, which does,
    # comes at the soft limit. If the hook ignores it, the watching process ends the hook in between.
    more = _CPU_MORE if name == "CPU" and hard == resource.RLIM_INFINITY else 0
    resource.setrlimit(number, (bound, bound + more))


def _core_limit() -> tuple[int, int]:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    value = _CORE_LIMIT if hard == resource.RLIM_INFINITY or hard >= _CORE_LIMIT else 0
    return value, value


def stdin_from_null() -> None:
    """Open /dev/null as descriptor 0."""
    null = os.open("/dev/null", os.O_RDONLY)
    if null != 0:
        os.dup2(null, 0, inheritable=True)
        os.close(null)
