"""How this host keeps each limit."""

from __future__ import annotations

from collections.abc import Mapping

from ..frozen import dataclass
from ..plan import Identity
from ..plan.identities import Nproc
from ..policy.limits import LIMITS, WATCHER, Limits

__all__ = ["Means", "means_of"]


@dataclass(frozen=True)
class Means:
    """How a limit is kept on a host.

    :ivar value: the limit's value under the policy, ``None`` for no limit
    :ivar how: the part of the kernel, or the process, that keeps it, in words
    :ivar exact: it cannot be exceeded for a moment, and what it stops sees an error or a signal of the kernel
    """

    value: float | int | None
    how: str
    exact: bool


def means_of(
    limits: Limits, *, identity: Identity, root: bool, facts: Mapping[str, tuple[int, str]]
) -> dict[str, Means]:
    """Return how each limit is kept, by name.

    :param identity: the identity of the hook
    :param root: the caller is root
    :param facts: what the host offers, as :func:`isolated_hooks.run.trial.facts`
    """
    means = {name: (limit.how, limit.exact) for name, limit in LIMITS.items()}
    means["cpu_time"] = _processor_time(facts)
    means |= {"memory": _memory(facts), "processes": _processes(identity, root), "temp_size": _temp(identity)}
    return {name: Means(getattr(limits, name), *means[name]) for name in LIMITS}


def _memory(facts: Mapping[str, tuple[int, str]]) -> tuple[str, bool]:
    if facts.get("memory cgroup", (False, ""))[0]:
        return "a memory cgroup of the hook's own; where the kernel kills a process in it, the hook is ended", True
    what = "the proportional set sizes of all processes; memory that no process has mapped is not seen"
    return f"RLIMIT_DATA for each process; for their sum, {WATCHER}: {what}", False


def _processor_time(facts: Mapping[str, tuple[int, str]]) -> tuple[str, bool]:
    how = "RLIMIT_CPU for each process; for their sum, {}: {}"
    if facts.get("processor time counter", (False, ""))[0]:
        return how.format(WATCHER, "a counter that all processes inherit, perf_event_open(2)"), False
    lost = "the processes that exist and the children they have waited for; others of less than a tenth of a second"
    return how.format(WATCHER, f"{lost} are not seen, because the host refuses perf_event_open(2)"), False


def _processes(identity: Identity, root: bool) -> tuple[str, bool]:
    nproc = identity.traits.nproc
    if nproc is Nproc.CALLER and root:
        nproc = Nproc.NOBODY
    return _COUNTED[nproc], nproc.exact


_COUNTED = {
    Nproc.NAMESPACE: "RLIMIT_NPROC, which counts the processes of the sandbox's user namespace",
    Nproc.UID: "RLIMIT_NPROC, which counts the processes of the throw-away uid",
    Nproc.CALLER: f"RLIMIT_NPROC, with room for the caller's other processes, which it counts as well; {WATCHER}",
    Nproc.NOBODY: f"{WATCHER}: RLIMIT_NPROC does not bind root",
}


def _temp(identity: Identity) -> tuple[str, bool]:
    if identity.confined:
        return f"{WATCHER}: without a mount namespace, temporary files are on disk, in the workspace", False
    if identity.traits.unmapped:
        return f"the size of a tmpfs; if the user namespace gets no map, {WATCHER}", False
    return "the size of a tmpfs, and a million files", True
