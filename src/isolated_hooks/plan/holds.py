"""Which protections a plan keeps, and in which words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..protections import Protection, ProtectionState, ProtectionStatus
from .plan import Plan

__all__ = ["protections_of", "unprotected", "with_degradations"]

_ACTIVE = {
    Protection.FILESYSTEM: "a root of its own, in which only what the hook needs is visible",
    Protection.TEMPORARY: "empty /tmp, /var/tmp, /run, /dev/shm and home, gone afterwards",
    Protection.ENVIRONMENT: "variables of the caller are kept by a list of names",
    Protection.NETWORK: "a network namespace with nothing but its own loopback",
    Protection.PROCESSES: "a PID namespace and a fresh /proc: no process outside is visible, none is left behind",
    Protection.IPC: "an IPC namespace, and no socket of the host is visible",
    Protection.HOSTNAME: "a UTS namespace whose host name is localhost",
    Protection.PRIVILEGES: "no capability, an empty bounding set, no_new_privs, no further user namespace",
    Protection.SYSCALLS: "a seccomp filter",
    Protection.TERMINAL: "a new session without a controlling terminal, stdin from /dev/null",
    Protection.KEYRING: "a new, empty session keyring",
    Protection.DESCRIPTORS: "no descriptor but 0, 1 and 2",
    Protection.RESULTS: "staging for every output, vetted after every process was dead",
}
_REMEDIES = {
    Protection.IPC: "network = false, or Linux 6.12",
    Protection.PROCESSES: "start the container with --security-opt unmask=ALL, or systempaths=unconfined in docker",
    Protection.HOSTNAME: "none is needed: the hook sees localhost in /etc/hostname and /etc/hosts",
    Protection.KEYRING: "none is needed: keyctl(2) is refused to the hook",
    Protection.IDENTITY: (
        "give the container CAP_SETUID, CAP_SETGID, CAP_SETFCAP, CAP_CHOWN and CAP_DAC_OVERRIDE, or run it as an "
        "ordinary user"
    ),
}


def protections_of(plan: Plan) -> tuple[ProtectionStatus, ...]:
    """Return the state of every protection under a plan whose every step has succeeded."""
    traits = plan.identity.traits
    reasons = {**_ACTIVE, Protection.IDENTITY: traits.user}
    if plan.capabilities and not plan.confined:
        reasons[Protection.PRIVILEGES] = (
            f"{' and '.join(plan.capabilities)} in its own user namespace alone, because "
            f"{traits.because}; an empty bounding set, no_new_privs, no further user namespace"
        )
    if plan.terminal:
        reasons[Protection.TERMINAL] = "a new session on a pseudo-terminal made for this command"
    elif plan.stdin != "null":
        reasons[Protection.TERMINAL] = "a new session without a controlling terminal; stdin is the caller's"
    statuses = {p: ProtectionStatus(p, ProtectionState.ACTIVE, reasons[p]) for p in Protection}
    if plan.root and traits.kernel_root:
        # Known before anything is run, so that a policy that requires an identity refuses it.
        identity, remedy = Protection.IDENTITY, _REMEDIES[Protection.IDENTITY]
        statuses[identity] = ProtectionStatus(identity, ProtectionState.DEGRADED, traits.kernel_root, remedy)
    if plan.confined:
        statuses |= _confined(plan)
    if plan.policy.network:
        statuses[Protection.NETWORK] = ProtectionStatus(
            Protection.NETWORK, ProtectionState.DISABLED, "the policy allows the caller's network", "network = false"
        )
    return tuple(statuses[p] for p in Protection)


def with_degradations(
    statuses: Iterable[ProtectionStatus], degraded: Mapping[str, str]
) -> tuple[ProtectionStatus, ...]:
    """Return the state of every protection after a run.

    :param degraded: the reasons, by name, of the protections that the child found weaker, and the policy allowed
    """
    found = {status.protection: status for status in statuses}
    for name, reason in degraded.items():
        protection = Protection(name)
        remedy = _REMEDIES.get(protection, "")
        found[protection] = ProtectionStatus(protection, ProtectionState.DEGRADED, reason, remedy)
    return tuple(found[p] for p in Protection)


_CONFINED_ACTIVE = {
    Protection.NETWORK: "no socket but unix ones can be made, so there is no loopback either",
    Protection.IPC: "no unix socket can be connected, and no System V or POSIX IPC be used",
    Protection.PRIVILEGES: "no capability, no_new_privs",
    Protection.KEYRING: "keyctl(2) is refused",
}
_CONFINED = {
    Protection.FILESYSTEM: (
        "what a hook may not open it can still stat, and change in mode and times where it is the owner; .git in the "
        "source tree can be written to"
    ),
    Protection.TEMPORARY: "a home and a directory for temporary files of its own; the shared ones cannot be opened",
    Protection.PROCESSES: "processes outside can be listed, not signalled or traced; what is left is killed at the end",
    Protection.HOSTNAME: "the host's own",
}
_SEPARATE = {
    Protection.FILESYSTEM: (
        "what a hook may not open it can still stat and watch, and set the times of to now; .git in the source tree "
        "can be written to"
    ),
    Protection.PRIVILEGES: "CAP_DAC_OVERRIDE, confined by Landlock to what the hook may open; no_new_privs",
}


def _confined(plan: Plan) -> dict[Protection, ProtectionStatus]:
    """Return what is otherwise where there are no namespaces."""
    weaker = dict(_CONFINED)
    if plan.identity.traits.throw_away:
        weaker.update(_SEPARATE)
    else:
        weaker[Protection.IDENTITY] = plan.identity.traits.user
    degraded = ProtectionState.DEGRADED
    return {
        **{p: ProtectionStatus(p, ProtectionState.ACTIVE, reason) for p, reason in _CONFINED_ACTIVE.items()},
        **{
            p: ProtectionStatus(p, degraded, f"without user namespaces: {why}", plan.remedy)
            for p, why in weaker.items()
        },
    }


def unprotected() -> tuple[ProtectionStatus, ...]:
    """Return the state of every protection of a hook that the policy leaves out of the sandbox."""
    reason = "the policy's 'hooks' leaves this hook out of the sandbox"
    return tuple(ProtectionStatus(p, ProtectionState.DISABLED, reason, "name it in 'hooks'") for p in Protection)
