"""The trial of an identity on this host. It happens when its result is first needed; this process remembers the result.

The trial runs a plan that contains nothing that a hook can change: an empty tree, no search path, and, for idmapped
mounts, which some file systems do not support, the top directories of the trees alone. So no hook chooses what the next
one runs under: if the plan of a call fails where the trial of its identity worked, that is an error.

Where nobody sees a launch that fails, the launch of the first hook takes the place of the trial. It has more in it, so
it works only where the trial does; if it fails, before it has run anything, the trial follows and decides.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import marshal
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import SandboxSetupError, SandboxUnavailableError
from ..launchers import Launcher, warm
from ..launchers.child import child_command, child_environ
from ..plan import Identity, Plan
from ..policy import Policy
from ..protections import ProtectionStatus
from ..sandbox import mounts
from .remedies import HOST_CALLS, REFUSALS, is_load, refusal, remedy_of
from .workspace import Workspace

__all__ = [
    "beginning",
    "degradations",
    "facts",
    "hosts_refused",
    "is_tried",
    "may_be_warm",
    "namespaces_refused",
    "overlays",
    "refused_identities",
    "refuses_wrapped",
    "remember",
    "require_sandbox",
    "warm_problem",
    "working_identity",
]

# If one of these calls fails with one of these errors, another identity is tried. Not after any other error, such as
# one that load causes.
_IDENTITY_CALLS = frozenset(("unshare", "write", "setresuid", "capget", "open_tree", "mount_setattr"))
_REFUSED = frozenset((errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOSPC, errno.EROFS))
# The calls that fail where the ids of an identity are not mapped, or its capabilities are missing.
_ID_CALLS = frozenset(("write", "setresuid", "capget"))
# More than a launcher without a command takes on any host.
_SECONDS = 60.0
_tried: dict[tuple[Identity, tuple[int, ...], bool, str], dict[str, Any]] = {}
_overlays: dict[tuple[Identity, tuple[int, ...]], bool] = {}


def refused_identities(paths: Iterable[str], launcher: str = "native") -> frozenset[Identity]:
    """Return the identities that this host refused in earlier trials, for the filesystems of ``paths``."""
    refused = [(i, d, name) for (i, d, _, name), outcome in _tried.items() if not _worked(outcome)]
    devices = _devices(paths) if any(d for _, d, _ in refused) else ()
    return frozenset(i for i, d, name in refused if not i.traits.last and d in (devices, ()) and name == launcher)


def require_sandbox(
    plan: Plan, bare: Callable[[], Plan], workspace: Workspace, paths: Iterable[str], launcher: Launcher
) -> bool:
    """Try the identity of a plan without a command, once for each kind of identity, set of filesystems and launcher.

    :param bare: returns a plan with the same identity and nothing of the tree in it, which is the one that we try
    :param paths: the paths to mount idmapped
    :return: whether it worked; ``False`` means that the host refuses this identity, so the caller tries another one
    :raises SandboxUnavailableError: the host does not allow the sandbox
    :raises SandboxSetupError: the trial failed for a reason that says nothing about the host
    """
    key = _key(plan, paths)
    if key not in _tried:
        tried = bare()
        workspace.write_plan(tried)
        _tried[key] = _try(tried, workspace, launcher)
    outcome = _tried[key]
    if _worked(outcome):
        return True
    if not plan.identity.traits.last and _is_refusal(outcome):
        return False
    _tried.pop(key, None)  # another thread may have removed it
    raise refusal(outcome)


def overlays(plan: Plan, bare: Plan, workspace: Workspace, paths: Iterable[str], launcher: Launcher) -> bool:
    """Return whether this host lets the identity of a plan that works mount an overlay, tried once as above.

    :param bare: a plan of a trial, with the overlay
    :param paths: the source tree and the directory for the changes
    :raises SandboxSetupError: the trial failed for a reason that says nothing about the host
    """
    key = (plan.identity, _devices(paths))
    if key not in _overlays:
        workspace.write_plan(bare)
        outcome = _try(bare, workspace, launcher)
        if not _worked(outcome) and is_load(str(outcome.get("syscall", "")), int(outcome.get("errno", 0))):
            raise refusal(outcome)
        _overlays[key] = _worked(outcome)
    return _overlays[key]


def refuses_wrapped(status: Mapping[str, Any], plan: Plan) -> bool:
    """Return whether an identity that works here was refused where the launcher started, before it ran anything.

    The inner runner may enter a user namespace first, as ``unshare --map-root-user`` does. It maps one id, and nobody
    can take another one there. Only the calls that take other ids count, because a source tree cannot make them fail.
    """
    call, number = status.get("syscall"), status.get("errno")
    failed = status.get("state") == "failed" and call in _ID_CALLS and number in (errno.EPERM, errno.EINVAL)
    return failed and plan.identity.traits.other_ids


def _is_refusal(outcome: Mapping[str, Any]) -> bool:
    """Return whether the host refuses an identity as such, or a call that makes a root in a user namespace."""
    call, number = str(outcome.get("syscall", "")), int(outcome.get("errno", 0))
    if is_load(call, number):
        return False
    return (call in HOST_CALLS and number in REFUSALS) or (call in _IDENTITY_CALLS and number in _REFUSED)


def degradations(plan: Plan, paths: Iterable[str]) -> Mapping[str, str]:
    """Return the protections that the trial of a plan found weaker, by name, each with the reason."""
    degraded: Mapping[str, str] = _tried[_key(plan, paths)].get("degraded", {})
    return degraded


def working_identity() -> Identity | None:
    """Return the identity that hooks get on this host, from the last trial that worked; ``None`` if none has."""
    return next((i for (i, *_), outcome in reversed(_tried.items()) if _worked(outcome)), None)


@functools.lru_cache(maxsize=1)
def facts() -> Mapping[str, tuple[int, str]]:
    """Return the facts of this host by name: whether a feature works, or a number; and the error if it does not."""
    done = subprocess.run(
        child_command("probe"), stdin=subprocess.DEVNULL, capture_output=True, check=True, cwd="/", env=child_environ()
    )
    problems: dict[str, tuple[int, str]] = marshal.loads(done.stdout)
    return problems


def _key(plan: Plan, paths: Iterable[str]) -> tuple[Identity, tuple[int, ...], bool, str]:
    devices = _devices(paths) if plan.identity.traits.idmapped else ()
    return plan.identity, devices, plan.policy.whole_network, plan.policy.launcher


def may_be_warm(plan: Plan, launcher: Launcher) -> bool:
    """Return whether the launcher of a plan may be a fork of the process that stays ready.

    Without a PID namespace, a hook of the same user could reach that process.
    """
    return plan.policy.warm and not plan.confined and getattr(launcher, "warm", False)


def beginning(policy: Policy, launcher: Launcher, workspace: Workspace) -> contextlib.AbstractContextManager[None]:
    """Return a context in which the process that stays ready starts, if the next launch is likely to be warm."""
    identity = working_identity()
    likely = policy.warm and warm.is_expected() and not (identity is not None and identity.confined)
    entry: Callable[[str], str | None] | None = getattr(launcher, "entry", None) if likely else None
    return warm.beginning(None if entry is None or warm.is_ready() else entry(workspace.path))


def is_tried(plan: Plan, paths: Iterable[str]) -> bool:
    """Return whether this process knows whether this host allows the identity of a plan."""
    return _key(plan, paths) in _tried


def remember(plan: Plan, paths: Iterable[str], status: Mapping[str, Any]) -> None:
    """Remember that a plan has started its command: no trial can say more about this host.

    :param status: the status of the launch
    """
    _tried[_key(plan, paths)] = {"state": "exited", "code": 0, "degraded": status.get("degraded", {})}


def warm_problem(policy: Policy, launcher: Launcher) -> str | None:
    """Return ``None`` if launches of the last trial that worked can be warm, and otherwise why not."""
    identity = working_identity()
    if not policy.warm:
        return "the policy says warm = false"
    if not getattr(launcher, "warm", False):
        return f"the launcher {launcher.name} starts a process for each hook"
    if identity is None or identity.confined:
        return "hooks have no user namespaces here"
    return warm.problem()


def _try(plan: Plan, workspace: Workspace, launcher: Launcher) -> dict[str, Any]:
    command = launcher.command(plan, workspace.path, ())
    try:
        with warm.permitted(warm.is_expected() and may_be_warm(plan, launcher)):
            code, output = _run(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxSetupError("starting the launcher", path=command[0], reason=str(error)) from error
    status = workspace.take_status()
    workspace.clear()
    last = output.decode(errors="replace").strip().rpartition("\n")[2]
    if not status:
        raise SandboxSetupError("starting the launcher", path=command[0], reason=last or f"exit {code}")
    return {**status, "said": last}


def _run(command: Sequence[str]) -> tuple[int, bytes]:
    """Run a launcher without a command. Return its exit code and what it said.

    :raises subprocess.TimeoutExpired: it takes longer than a minute
    """
    with warm.popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",  # the current directory may be a tree, and nothing of it may be loaded
        env=child_environ(),
    ) as process:
        assert process.stdout is not None
        try:
            output = _read(process.stdout.fileno(), command)
            return process.wait(), output
        except BaseException:
            process.kill()
            raise


def _read(fd: int, command: Sequence[str]) -> bytes:
    """Return everything until the end of a pipe."""
    poll, pieces, end = select.poll(), [b""], time.monotonic() + _SECONDS
    poll.register(fd, select.POLLIN)
    while True:
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            raise subprocess.TimeoutExpired(command, _SECONDS)
        pieces.append(os.read(fd, 1 << 16))
        if not pieces[-1]:
            return b"".join(pieces)


def _worked(outcome: dict[str, Any]) -> bool:
    return outcome.get("state") == "exited" and outcome.get("code") == 0


def _devices(paths: Iterable[str]) -> tuple[int, ...]:
    """Return the filesystems of some paths and of the mounts beneath them, as device numbers."""
    real = [os.path.realpath(path) for path in paths if os.path.exists(path)]
    beneath = (mount.device for mount in mounts.mounted_beneath(tuple(map(os.fsencode, real))))
    return tuple(sorted({*(os.stat(path).st_dev for path in real), *beneath}))


def hosts_refused(plan: Plan, launcher: str) -> SandboxUnavailableError:
    """Return the error for a list of hosts where no plan or launcher can keep a hook from all other hosts."""
    reason = "hooks reach named hosts through a network namespace of their own"
    return _beyond(plan, launcher, "lead hooks to named hosts alone", reason, "set network = false")


def observation_refused(plan: Plan, launcher: str) -> SandboxUnavailableError:
    """Return the error for a hook that is to be observed where no pid 1 of ours can look at its calls."""
    reason = "pid 1 of a sandbox of its own observes what a hook asks for"
    return _beyond(plan, launcher, "observe what hooks ask for", reason, "build without --explain-denials")


def _beyond(plan: Plan, launcher: str, what: str, reason: str, without: str) -> SandboxUnavailableError:
    """Return the error for something that takes the launcher native and user namespaces."""
    if not plan.confined:
        missing = f"the launcher {launcher} cannot {what}"
        return SandboxUnavailableError([missing], f"use the launcher native; or {without}")
    return SandboxUnavailableError([f"{reason}, which takes user namespaces"], f"{plan.remedy}; or {without}")


def namespaces_refused(missing: Iterable[ProtectionStatus]) -> SandboxUnavailableError:
    """Return the error for a host without user namespaces, under a policy that does not allow weaker protections."""
    refused = next(o for (i, *_), o in _tried.items() if i.traits.only_namespaces and not _worked(o))
    call = f"{refused.get('syscall')} fails with {os.strerror(int(refused.get('errno', 0)))}"
    names = ", ".join(status.protection.value for status in missing)
    return SandboxUnavailableError(
        [f"user namespaces: {call}", f"so these would be degraded: {names}"],
        f"{remedy_of(refused)}; or allow what is weaker without: --allow-degraded no-namespaces",
    )
