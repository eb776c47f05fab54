"""The program that each environment's own Python runs: ``python inside.py`` prints its findings as one JSON object.

This program judges nothing. The tests outside do that.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.selftest.attacks.table import ATTACKS
from isolated_hooks.selftest.conduct import conduct

HERE = Path(__file__).resolve().parent
SHARE = HERE.parents[2]
WORD = "no-namespaces"
CLI = (sys.executable, "-m", "isolated_hooks")
_VARIABLE = "ISOLATED_HOOKS_LAB_TOKEN"
# The owners in trees of mixed owners: root, the owners from a tar file or a patch, and one without an account.
_OWNERS = ((0, 0), (1001, 105), (4000, 4000))
_PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "witness"\nbackend-path = ["."]\n'


def main() -> None:
    """Do everything and print the findings.

    We fork so as not to be pid 1: as the leader of a process group, its number would mean every process, kill(2).
    """
    if pid := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os.setsid()
    json.dump(_everything(), sys.stdout)


def _everything() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ih-lab-") as directory:
        work = Path(directory)
        work.chmod(0o755)
        doctor = _doctor()
        policy = Policy() if doctor["code"] == 0 else Policy(allow_degraded=[WORD])
        word = () if doctor["code"] == 0 else (f"--allow-degraded={WORD}",)
        parts: Mapping[str, Callable[[], Any]] = {
            "uid": os.getuid,
            "probes": lambda: json.loads(_run([sys.executable, "-I", str(HERE / "probes.py")])["stdout"]),
            "build": lambda: _build(work / "plain", ()),
            "allowed": lambda: _build(work / "allowed", word),
            "hook": lambda: _hook(work / "witness", policy),
            "owners": lambda: _owners(work / "owners", word),
            "attacks": lambda: _attacks(policy),
        }
        return {"doctor": doctor, **{name: _part(part) for name, part in parts.items()}}


def _part(part: Callable[[], Any]) -> Any:
    try:
        return part()
    except Exception:
        return {"crashed": traceback.format_exc()}


def _run(argv: Sequence[str], **options: Any) -> dict[str, Any]:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", **options)
    return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def _doctor() -> dict[str, Any]:
    done = _run([*CLI, "doctor", "--json"])
    try:
        return {**done, "document": json.loads(done["stdout"])}
    except ValueError:
        return {**done, "document": {}}


def _build(directory: Path, options: Sequence[str]) -> dict[str, Any]:
    """Build the C extension as a user would, then install the wheel and use it."""
    project = shutil.copytree(SHARE / "fixtures/c-extension", directory)
    before = set(project.rglob("*"))
    command = [*CLI, "build", "--no-isolation", "--wheel", *options, str(project)]
    done = _run(command)
    wheels = sorted(path.name for path in project.glob("dist/*"))
    new = sorted(str(path.relative_to(project)) for path in set(project.rglob("*")) - before)
    answer = _use(project / "dist" / wheels[0], directory) if len(wheels) == 1 else ""
    return {**done, "wheels": wheels, "new": new, "answer": answer}


def _use(wheel: Path, directory: Path) -> str:
    target = str(directory / "installed")
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, str(wheel)])
    script = f"import sys; sys.path.insert(0, {target!r}); import fastsum; print(fastsum.fastsum(10))"
    done = _run([sys.executable, "-c", script])
    return done["stdout"].strip() or done["stderr"]


def _hook(tree: Path, policy: Policy) -> dict[str, Any]:
    """Call one hook of the backend ``witness``, and return its observations and its report."""
    tree.mkdir()
    shutil.copy(HERE / "witness.py", tree)
    (tree / "pyproject.toml").write_text(_PYPROJECT)
    with contextlib.ExitStack() as stack:
        given = _given(stack)
        caller = IsolatedHookCaller(str(tree), "witness", ["."], policy=policy)
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        caller.get_requires_for_build_wheel({"given": json.dumps(given)})
    return {
        "seen": json.loads((tree / "seen.json").read_text()),
        "report": caller.reports[-1].to_dict()["protections"],
        "warned": [str(warning.message) for warning in caught],
    }


def _given(stack: contextlib.ExitStack) -> dict[str, Any]:
    """Create the files, sockets and variables for the hook to look for, open to everybody, and return their names."""
    secret = stack.enter_context(tempfile.TemporaryDirectory(prefix="ih-secret-", dir="/tmp"))
    os.chmod(secret, 0o755)
    name = os.path.basename(secret)
    for address in (f"{secret}/socket", f"\0{name}"):
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(address)
        listener.listen()
    os.chmod(f"{secret}/socket", 0o777)
    os.environ[_VARIABLE] = value = os.urandom(8).hex()
    stack.callback(os.environ.pop, _VARIABLE)
    return {
        "secret": secret,
        "name": name,
        "socket": f"{secret}/socket",
        "abstract socket": name,
        "variable": _VARIABLE,
        "value": value,
        "uid": os.getuid(),
        "user namespace": os.readlink("/proc/self/ns/user"),
    }


def _owners(directory: Path, options: Sequence[str]) -> dict[str, Any] | None:
    """Build from a tree with many owners and modes, and return the owners and modes before and after."""
    if not _may_give_away(directory):
        return None
    project = shutil.copytree(SHARE / "fixtures/c-extension", directory)
    (project / "data").mkdir()
    for number, owner in enumerate(_OWNERS):
        for mode in (0o600, 0o640, 0o444):
            path = project / f"data/{number}-{mode:o}"
            path.write_text("kept\n")
            path.chmod(mode)
            os.chown(path, *owner)
    sources = sorted(path for path in project.rglob("*") if path.is_file() and path.parent.name != "data")
    for number, path in enumerate(sources):
        path.chmod(0o600)
        os.chown(path, *_OWNERS[number % len(_OWNERS)])
    before = _kept(project)
    done = _run([*CLI, "build", "--no-isolation", "--wheel", *options, str(project)])
    after = _kept(project)
    new = {name: (kept[0], kept[1]) for name, kept in after.items() if name not in before}
    return {**done, "before": before, "after": {name: after.get(name) for name in before}, "new": new}


def _may_give_away(place: Path) -> bool:
    path = place.with_name("given")
    path.touch()
    try:
        os.chown(path, *_OWNERS[-1])
    except PermissionError:
        return False
    finally:
        path.unlink()
    return True


def _kept(top: Path) -> dict[str, tuple[int, int, int]]:
    paths = (top, *top.rglob("*"))
    found = {str(path.relative_to(top)): path.lstat() for path in paths}
    return {name: (status.st_uid, status.st_gid, status.st_mode) for name, status in found.items()}


def _attacks(policy: Policy) -> dict[str, Any]:
    """Carry out every attack, without the sandbox and in it."""
    without, within = conduct("build_wheel", sandboxed=False), conduct("build_wheel", sandboxed=True, policy=policy)
    assert within.report is not None
    return {
        "tried": {
            attack.name: {
                "outside": without.succeeded[attack.name],
                "inside": within.succeeded[attack.name],
                "evidence": within.evidence[attack.name],
                "stopped by": [protection.value for protection in attack.stopped_by],
            }
            for attack in ATTACKS
            if attack.name in within.succeeded
        },
        "report": within.report.to_dict()["protections"],
    }


if __name__ == "__main__":
    main()
