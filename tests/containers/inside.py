"""What is done in each environment, by its own Python: ``python inside.py`` prints one JSON object of what was found.

Nothing is judged here: that is for the tests, outside.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isolated_hooks import IsolatedHookCaller, Policy

HERE = Path(__file__).resolve().parent
SHARE = HERE.parents[1]
WORD = "no-namespaces"
CLI = (sys.executable, "-m", "isolated_hooks")
# For the trees of mixed owners: root's, those that a tar file or a patch brought, one that is nobody's.
_OWNERS = ((0, 0), (1001, 105), (4000, 4000))
_PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "witness"\nbackend-path = ["."]\n'


def main() -> None:
    """Do everything and print what was found."""
    # A way out of the container's own set of limits on what may be read is not what is tried here.
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
        found = {"doctor": doctor, **{name: _part(part) for name, part in parts.items()}}
    json.dump(found, sys.stdout)


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
    """Build the C extension as a user would, install what came of it, and use it."""
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
    """Call one hook of the backend that looks around, and return what it saw and what its report says."""
    tree.mkdir()
    shutil.copy(HERE / "witness.py", tree)
    (tree / "pyproject.toml").write_text(_PYPROJECT)
    with tempfile.TemporaryDirectory(prefix="ih-secret-", dir="/tmp") as secret:
        Path(secret).chmod(0o755)
        os.environ["ISOLATED_HOOKS_LAB_TOKEN"] = value = os.urandom(8).hex()
        given = {
            "secret": secret,
            "name": os.path.basename(secret),
            "variable": "ISOLATED_HOOKS_LAB_TOKEN",
            "value": value,
            "uid": os.getuid(),
            "user namespace": os.readlink("/proc/self/ns/user"),
        }
        caller = IsolatedHookCaller(str(tree), "witness", ["."], policy=policy)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            caller.get_requires_for_build_wheel({"given": json.dumps(given)})
    return {
        "seen": json.loads((tree / "seen.json").read_text()),
        "report": caller.reports[-1].to_dict()["protections"],
        "warned": [str(warning.message) for warning in caught],
    }


def _owners(directory: Path, options: Sequence[str]) -> dict[str, Any] | None:
    """Build from a tree whose files have many owners and modes, and return those before and after."""
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
    # Not before it is needed: the suite has more to import.
    from attacking import attack

    return attack(policy)


if __name__ == "__main__":
    main()
