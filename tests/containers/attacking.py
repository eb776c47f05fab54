"""The attack suite, carried out in one environment: every attack without the sandbox and within it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from isolated_hooks import IsolatedHookCaller, Policy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "attacks"))

import attackrun

# Which protections are to stop an attack, by how its name begins: the longest that fits.
_STOPPED_BY = {
    "A": "filesystem",
    "A09": "temporary",
    "A10": "keyring",
    "A11": "processes",
    "A11-parent": "processes environment",
    "A12": "environment",
    "C": "filesystem",
    "C11-read": "temporary",
    "C11-write": "temporary",
    "C14": "privileges syscalls",
    "D": "processes",
    "E": "network",
    "E01": "ipc",
    "E04": "ipc",
    "E05": "ipc",
    "E09-host-name": "hostname privileges",
    "F": "filesystem",
    "F01": "identity filesystem",
    "F02": "identity filesystem",
    "F05": "filesystem syscalls",
    "F08": "privileges syscalls",
    "G": "privileges syscalls",
    "G06": "filesystem",
    "G12": "processes filesystem",
    "G13": "filesystem",
    "H": "descriptors",
    "H10": "terminal",
    "K": "syscalls",
    "K05": "privileges syscalls",
    "K07": "privileges syscalls",
    "K08": "privileges",
    "K08-root": "identity",
}


def attack(policy: Policy) -> dict[str, Any]:
    """Return for each attack whether it succeeded with and without the sandbox, what is to stop it, and the report."""

    class Caller(IsolatedHookCaller):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, policy=policy)

    attackrun.IsolatedHookCaller = Caller  # type: ignore[misc]
    inside, outside = (attackrun.conduct("build_wheel", sandboxed=sandboxed) for sandboxed in (True, False))
    assert inside.report is not None
    return {
        "tried": {
            attack.name: {
                "tries": attack.tries,
                "inside": inside.succeeded[attack.name],
                "outside": outside.succeeded[attack.name],
                "evidence": inside.evidence[attack.name],
                "stopped by": _stopped_by(attack.name),
            }
            for attack in attackrun.ATTACKS
            if attack.name in inside.succeeded
        },
        "report": inside.report.to_dict()["protections"],
    }


def _stopped_by(name: str) -> list[str]:
    longest = max((start for start in _STOPPED_BY if name.startswith(start)), key=len)
    return _STOPPED_BY[longest].split()
