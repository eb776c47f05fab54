"""One column of the table of attacks: the results for one kind of user, with or without user namespaces.

As a script, this file is a frontend in its own process, because the user and the filter apply to a whole process.
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
_USER = 60999  # no account has this uid
_PYTHON = "/usr/bin/python3"  # any user can read it
_PACKAGES = ("isolated_hooks", "build", "packaging", "pyproject_hooks", "tomli")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column.

    :ivar title: the heading
    :ivar root: whether root carries out the attacks; otherwise an ordinary user does
    :ivar namespaces: whether the host allows user namespaces
    """

    title: str
    root: bool
    namespaces: bool

    def unavailable(self) -> str:
        """Return why this host cannot produce the column, or an empty string."""
        if self.root:
            return "" if os.geteuid() == 0 else "only root can produce this column"
        if os.geteuid() != 0:
            return ""
        if not shutil.which("setpriv") or not os.access(_PYTHON, os.X_OK):
            return f"to become an ordinary user, this needs setpriv(1) and {_PYTHON}"
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
    """The result of one attack in one column.

    :ivar result: the result
    :ivar weak: the protections that should stop the attack but are not active, according to the report
    :ivar evidence: the backend's evidence, without the sandbox and within
    """

    result: Result
    weak: tuple[Protection, ...]
    evidence: Any

    @property
    def word(self) -> str:
        """The text of the entry in the table."""
        return " ".join((f"{self.result.value}:", *(p.value for p in self.weak))) if self.weak else self.result.value


@functools.cache
def column(name: str) -> dict[str, Entry]:
    """Carry out every attack, without the sandbox and within, and return the entries by the attacks' names."""
    chosen = COLUMNS[name]
    with _frontend(chosen) as command:
        # The control runs without the filter: it shows that an attack works, so that the sandbox must stop it.
        without = _outcome([*command, "without"])
        refusing = [] if chosen.namespaces else [command[-2], _beside(command[-1], "narrow.py"), "docker", "--"]
        allowed = [] if chosen.namespaces else ["no-namespaces"]
        within = _outcome([*command[:-2], *refusing, *command[-2:], "within", *allowed])
    return {attack.name: _entry(attack, without, within) for attack in ATTACKS}


def _beside(script: Path, name: str) -> Path:
    """Return the path of another script. Copies are in one directory; here the scripts are in two."""
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
    """Yield the command of a frontend for a column. Its last two parts are the interpreter and this script."""
    with ExitStack() as stack:
        if chosen.root or os.geteuid() != 0:
            yield [sys.executable, Path(__file__)]
            return
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ih-column-")))
        top.chmod(0o755)
        for package in _PACKAGES:
            spec = find_spec(package)
            for directory in spec.submodule_search_locations or () if spec else ():
                shutil.copytree(directory, top / "site" / package, ignore=shutil.ignore_patterns("__pycache__"))
        for script in (Path(__file__), NARROW):
            shutil.copy(script, top)
        (top / "home").mkdir()
        os.chown(top / "home", _USER, _USER)
        become = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
        variables = {"HOME": top / "home", "PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": top / "site"}
        environ = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
        yield [*become, *environ, _PYTHON, top / Path(__file__).name]


def _outcome(command: list[Any]) -> dict[str, Any]:
    # Hooks see every installation on PATH, and the sweep visits all of its files, so use a short PATH.
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
