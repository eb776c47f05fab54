"""``isolated-hooks doctor``: report what this host offers, protection by protection, with remedies.

Exit codes: 0, hooks can run under the policy; 3, they cannot.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from .. import __version__
from ..errors import SandboxSetupError, SandboxUnavailableError
from ..launchers import find_launcher, list_launchers
from ..launchers.warm import expect
from ..policy import Policy
from ..policy.limits import LIMITS, Unit
from ..protections import Protection, ProtectionState, ProtectionStatus
from ..run import trial
from ..run.command import check_host
from ..run.means import means_of
from ..run.platform_check import check_platform
from .options import add_policy_options, policy_of, spelled_out

#: The version of the JSON document. It changes when a key changes its meaning or disappears.
VERSION = 1
_WIDTH = 100


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="isolated-hooks doctor", description="Report what this host offers.")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of tables")
    add_policy_options(parser)
    options = parser.parse_args(spelled_out(parser, arguments))
    policy = policy_of(options)
    document = examine(policy)
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)
    return 0 if document["runs"] else 3


def examine(policy: Policy) -> dict[str, Any]:
    """Return the document that ``--json`` prints: what this host offers under a policy.

    :raises SandboxUnavailableError: the sandbox does not support this platform
    """
    check_platform()
    expect()
    statuses, problem = _statuses(policy)
    missing = [s.protection.value for s in statuses if not policy.permits(s.protection, s.state)]
    if problem is None and missing:
        try:
            check_host(policy)
        except (SandboxUnavailableError, SandboxSetupError) as error:
            problem = error
    return {
        "version": VERSION,
        "isolated-hooks": __version__,
        "host": {"kernel": platform.release(), "machine": platform.machine(), "python": platform.python_version()},
        "runs": problem is None and not missing,
        "missing": missing,
        "problem": None if problem is None else str(problem),
        "protections": {
            s.protection.value: {"state": s.state.value, "reason": s.reason, "remedy": s.remedy} for s in statuses
        },
        "limits": _limits(policy),
        "facts": {name: {"value": value, "error": error} for name, (value, error) in trial.facts().items()},
        "launcher": policy.launcher,
        "warm": _warm(policy),
        "launchers": {name: dataclasses.asdict(availability) for name, availability in list_launchers()},
    }


def _statuses(policy: Policy) -> tuple[tuple[ProtectionStatus, ...], Exception | None]:
    """Return the best status that this host offers for every protection, and the error if no hook can run at all."""
    lenient = dataclasses.replace(policy, allow_degraded=frozenset(Protection))
    try:
        return check_host(lenient), None
    except (SandboxUnavailableError, SandboxSetupError) as error:
        remedy = getattr(error, "remedy", "")
        reason = "; ".join(getattr(error, "missing", ())) or str(error)
        unavailable = ProtectionState.UNAVAILABLE
        return tuple(ProtectionStatus(p, unavailable, reason, remedy) for p in Protection), error


def _warm(policy: Policy) -> dict[str, Any]:
    """Return whether a launcher of a hook can be forked from a process that stays ready, and if not, why."""
    problem = trial.warm_problem(policy, find_launcher(policy.launcher))
    return {"available": problem is None, "reason": problem or ""}


def _limits(policy: Policy) -> dict[str, Any]:
    """Return how this host enforces each limit of the policy; an empty mapping if no hook can run."""
    identity = trial.working_identity()
    if identity is None:
        return {}
    means = means_of(policy.limits, identity=identity, root=os.geteuid() == 0, facts=trial.facts())
    return {name: dataclasses.asdict(m) for name, m in means.items()}


def _print(document: Mapping[str, Any]) -> None:
    host = document["host"]
    print(f"isolated-hooks {document['isolated-hooks']}, Linux {host['kernel']}, {host['machine']}\n")
    print(f"{'protection':12} {'state':12} reason")
    for name, status in document["protections"].items():
        _print_row(name, status["state"], status["reason"])
    _print_remedies(document["protections"])
    if document["limits"]:
        print(f"\n{'limit':12} {'value':12} enforced by")
    for name, limit in document["limits"].items():
        _print_row(name, _value(name, limit["value"]), limit["how"])
    print("\nThis host offers:")
    for name, fact in document["facts"].items():
        value, error = fact["value"], fact["error"]
        shown = ("yes" if value else "no") if isinstance(value, bool) else value
        print(f"  {name:38} {shown}" + (f"  ({error})" if error else ""))
    print("\nLaunchers:")
    for name, launcher in document["launchers"].items():
        _print_row(name, "available" if launcher["available"] else "unavailable", launcher["reason"])
        if launcher["remedy"]:
            _print_row("", "", f"remedy: {launcher['remedy']}")
    warm = document["warm"]
    print(f"\nWarm launches: {'yes' if warm['available'] else 'no, ' + warm['reason']}")
    print()
    if document["runs"]:
        print(f"Hooks can run under this policy with the launcher {document['launcher']}.")
    else:
        print(textwrap.fill(f"Hooks cannot run under this policy: {document['problem']}", _WIDTH))


def _value(name: str, value: float | int | None) -> str:
    if value is None:
        return "none"
    unit = LIMITS[name].unit
    if unit is Unit.BYTES:
        return f"{value / 2**20:g} MiB"
    return f"{value:g} s" if unit is Unit.SECONDS else f"{value}"


def _print_remedies(protections: Mapping[str, Mapping[str, str]]) -> None:
    """Print each remedy once, with the protections that it would improve."""
    remedies: dict[str, list[str]] = {}
    for name, status in protections.items():
        if status["remedy"] and status["state"] != "active":
            remedies.setdefault(status["remedy"], []).append(name)
    if remedies:
        print("\nRemedies:")
    for remedy, names in remedies.items():
        lines = textwrap.wrap(f"{', '.join(names)}: {remedy}", _WIDTH - 4, break_long_words=False)
        print("  " + "\n    ".join(lines))


def _print_row(name: str, state: str, text: str) -> None:
    lines = textwrap.wrap(text, _WIDTH - 26) or [""]
    print(f"{name:12} {state:12} {lines[0]}")
    for line in lines[1:]:
        print(f"{'':25} {line}")
