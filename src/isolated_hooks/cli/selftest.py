"""``isolated-hooks selftest``: attack the sandbox on this host, using only planted targets, and report what held.

Exit codes: 0, everything that the policy promises held; 1, something did not; 3, the sandbox is unavailable.
"""

from __future__ import annotations

import argparse
import collections
import json
import platform
import subprocess
import textwrap
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import __version__
from ..errors import IsolationDegradedWarning
from ..policy import HOOKS, Policy
from ..run.command import check_host
from ..selftest.attacks.table import HARMLESS
from ..selftest.conduct import Outcome, conduct
from ..selftest.findings import Finding, Result, findings
from ..selftest.promises import Promise
from ..text import visible
from . import messages
from .options import add_policy_options, policy_of, spelled_out

#: The version of the JSON document. It changes when a key changes its meaning or disappears.
VERSION = 1
_WIDTH = 100


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="isolated-hooks selftest",
        description="Attack the sandbox on this host. A hostile backend, first without the sandbox and then in it, "
        "tries to reach files, processes and sockets that this command makes for it and removes afterwards. It touches "
        "nothing else.",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    parser.add_argument("--list", action="store_true", help="list the attacks, and run none of them")
    add_policy_options(parser)
    options = parser.parse_args(spelled_out(parser, arguments))
    policy = policy_of(options)
    if options.list:
        print("\n".join(f"{attack.name:24} {attack.tries}" for attack in HARMLESS))
        return 0
    hook = _hook(policy)
    check_host(policy)
    try:
        document = _document(hook, *_attack(hook, policy))
    except subprocess.CalledProcessError as problem:
        last = (problem.stderr or b"").decode(errors="replace").strip()[-2000:]
        messages.error(f"the hostile backend did not finish, so the attacks have no result: {problem}\n{last}")
        return 1
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)
    return 0 if document["held"] else 1


def _hook(policy: Policy) -> str:
    """Return a hook that the policy puts into the sandbox. Every valid policy has at least one."""
    return next(hook for hook in ("build_wheel", *HOOKS) if hook in policy.hooks)


def _attack(hook: str, policy: Policy) -> tuple[Outcome, tuple[Finding, ...]]:
    messages.note(f"Trying {len(HARMLESS)} attacks without the sandbox, to see which of them work on this host")
    without = conduct(hook, sandboxed=False, attacks=HARMLESS)
    messages.note("Trying them in the sandbox")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsolationDegradedWarning)  # the table reports it
        within = conduct(hook, sandboxed=True, attacks=HARMLESS, policy=policy)
    return within, findings(HARMLESS, without, within)


def _document(hook: str, within: Outcome, results: Iterable[Finding]) -> dict[str, Any]:
    assert within.report is not None
    attacks = [
        {
            "name": finding.attack.name,
            "tries": finding.attack.tries,
            "promise": finding.attack.promise.name.lower(),
            "stopped-by": [protection.value for protection in finding.attack.stopped_by],
            "origin": finding.attack.origin,
            "result": finding.result.value,
            "why": finding.why,
        }
        for finding in results
    ]
    return {
        "version": VERSION,
        "isolated-hooks": __version__,
        "host": {"kernel": platform.release(), "machine": platform.machine(), "python": platform.python_version()},
        "hook": hook,
        "held": all(attack["result"] != Result.BROKEN.value for attack in attacks),
        "protections": within.report.to_dict()["protections"],
        "attacks": attacks,
    }


def _print(document: Mapping[str, Any]) -> None:
    attacks = document["attacks"]
    for promise in Promise:
        tested_by = [attack for attack in attacks if attack["promise"] == promise.name.lower()]
        if tested_by:
            print(f"{promise.value}")
            for attack in tested_by:
                print(f"  {attack['result']:8} {attack['name']:24} {attack['tries']}")
                _print_why(attack)
            print()
    counts = collections.Counter(attack["result"] for attack in attacks)
    print(", ".join(f"{counts[result.value]} {_WORDS[result]}" for result in Result if counts[result.value]))
    if document["held"]:
        print("Everything that the policy promises held.")
    else:
        print("Something that the policy promises did not hold: see 'broken' above. Please report it.")


_WORDS = {
    Result.HELD: "held",
    Result.OPEN: "open, as reported",
    Result.GIVEN: "given by the policy",
    Result.BROKEN: "broken",
    Result.UNSHOWN: "not shown, because they fail on this host even without the sandbox",
    Result.UNTRIED: "not tried, because they need root",
}


def _print_why(attack: Mapping[str, Any]) -> None:
    if attack["why"] and attack["result"] not in (Result.UNTRIED.value, Result.HELD.value):
        for line in textwrap.wrap(visible(attack["why"]), _WIDTH - 36):
            print(f"{'':36}{line}")
