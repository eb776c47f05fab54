"""One column of the table of attacks: what each comes to for one kind of user, with or without user namespaces.

Run as a script it is a frontend in a process of its own, because the user and the filter are of the process:
``python column.py without|within [ALLOWED]`` carries out every attack and prints the outcome.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isolated_hooks import Policy
from isolated_hooks.protections import Protection, ProtectionState
from isolated_hooks.selftest.attacks.table import ATTACKS, Attack
from isolated_hooks.selftest.conduct import conduct
from isolated_hooks.selftest.findings import Result

NARROW = Path(__file__).parents[1] / "narrow.py"
_USER = 60999  # nobody's
_PYTHON = "/usr/bin/python3"  # that any user can read
_PACKAGES = ("isolated_hooks", "build", "packaging", "pyproject_hooks", "tomli")


@dataclasses.dataclass(frozen=True)
class Column:
    """Whose attacks, and where.

    :ivar title: the heading
    :ivar root: carried out by root, else by an ordinary user
    :ivar namespaces: whether user namespaces can be had
    """

    title: str
    root: bool
    namespaces: bool

    def unavailable(self) -> str:
        """Say why there can be no such column here, or return an empty text."""
        if self.root:
            return "" if os.geteuid() == 0 else "only root can do what root does"
        if os.geteuid() != 0:
            return ""
        if not shutil.which("setpriv") or not os.access(_PYTHON, os.X_OK):
            return f"setpriv(1) and {_PYTHON} are needed to be an ordinary user"
        version = subprocess.run([_PYTHON, "-c", _VERSION], capture_output=True, text=True, check=True).stdout
        return "" if version.strip() == "True" else f"{_PYTHON} is older than Python 3.10"


_VERSION = "import sys; print(sys.version_info >= (3, 10))"
COLUMNS = {
    "root": Column("root", root=True, namespaces=True),
    "user": Column("ordinary user", root=False, namespaces=True),
    "root-confined": Column("root, no namespaces", root=True, namespaces=False),
    "user-confined": Column("ordinary user, no namespaces", root=False, namespaces=False),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What came of one attack in one column.

    :ivar without: whether it worked without the sandbox
    :ivar within: whether it worked within
    :ivar weak: the protections meant to stop it that the report says are not active
    """

    result: Result
    weak: tuple[Protection, ...]
    evidence: Any

    @property
    def word(self) -> str:
        """The entry as the table has it."""
        return " ".join((f"{self.result.value}:", *(p.value for p in self.weak))) if self.weak else self.result.value


@functools.cache
def column(name: str) -> dict[str, Entry]:
    """Carry out every attack, without the sandbox and within, and return what came of each, by its name."""
    chosen = COLUMNS[name]
    with _frontend(chosen) as command:
        # Nothing is refused to the control: what is shown is that an attack works, and that the sandbox stops it.
        without = _outcome([*command, "without"])
        refusing = [] if chosen.namespaces else [command[-2], _beside(command[-1], "narrow.py"), "docker", "--"]
        allowed = [] if chosen.namespaces else ["no-namespaces"]
        within = _outcome([*command[:-2], *refusing, *command[-2:], "within", *allowed])
    return {attack.name: _entry(attack, without, within) for attack in ATTACKS}


def _beside(script: Path, name: str) -> Path:
    """Return another script: both are copied into one directory, and are in two here."""
    return script.parent / name if (script.parent / name).exists() else NARROW


def _entry(attack: Attack, without: dict[str, Any], within: dict[str, Any]) -> Entry:
    if attack.name not in within["succeeded"]:
        return Entry(Result.UNTRIED, (), None)
    evidence = {"without": without["evidence"][attack.name], "within": within["evidence"][attack.name]}
    if not within["succeeded"][attack.name]:
        return Entry(Result.HELD if without["succeeded"][attack.name] else Result.UNSHOWN, (), evidence)
    active = ProtectionState.ACTIVE.value
    weak = tuple(p for p in attack.stopped_by if within["states"][p.value] != active)
    return Entry(Result.OPEN if weak else Result.BROKEN, weak, evidence)


@contextmanager
def _frontend(chosen: Column) -> Iterator[list[Any]]:
    """Yield the command that is such a frontend: the last two parts are the interpreter and this script."""
    with ExitStack() as stack:
        if chosen.root or os.geteuid() != 0:
            yield [sys.executable, Path(__file__)]
            return
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ih-column-")))
        place.chmod(0o755)
        for package in _PACKAGES:
            spec = find_spec(package)
            for found in spec.submodule_search_locations or () if spec else ():
                shutil.copytree(found, place / "site" / package, ignore=shutil.ignore_patterns("__pycache__"))
        for script in (Path(__file__), NARROW):
            shutil.copy(script, place)
        (place / "home").mkdir()
        os.chown(place / "home", _USER, _USER)
        become = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
        variables = {"HOME": place / "home", "PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": place / "site"}
        environ = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
        yield [*become, *environ, _PYTHON, place / Path(__file__).name]


def _outcome(command: list[Any]) -> dict[str, Any]:
    # Of a developer's own search path hooks see every installation, and the sweep walks through all of it.
    environ = {**os.environ, "PATH": os.defpath}
    argv = [str(part) for part in command]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, cwd="/", timeout=300)
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def _main(how: str, *allowed: str) -> None:
    warnings.simplefilter("ignore")
    outcome = conduct("build_wheel", sandboxed=how == "within", policy=Policy(allow_degraded=allowed))
    protections = outcome.report.protections if outcome.report else ()
    states = {status.protection.value: status.state.value for status in protections}
    print(json.dumps({"succeeded": outcome.succeeded, "evidence": outcome.evidence, "states": states}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
