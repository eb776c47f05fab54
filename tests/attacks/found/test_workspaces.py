"""Hooks that forge what the frontend and later calls trust: workspaces, and the build environment of later hooks."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller, Policy, PolicyError
from isolated_hooks.files import register
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
from isolated_hooks.run.leftovers import sweep
from isolated_hooks.run.workspace import PrivateDirectory, Workspace

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    # The directory for temporary files lies in the source tree, as an attacker would like it.
    pytest.mark.filterwarnings("ignore::isolated_hooks.WritablePathWarning"),
    pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning"),
]

_BACKEND = """
import os

def get_requires_for_build_wheel(config_settings=None):
    try:
        exec((config_settings or {}).get("code", ""), {"os": os})
    except OSError as error:
        open("refused", "a").write(f"{error.errno} ")
    return []
"""
_UID = 61500
_NO_NAMESPACES = Policy(allow_degraded=["no-namespaces"])


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree in which the directory for temporary files lies, and a register that only the test uses."""
    path = tmp_path / "tree"
    (path / "tmp").mkdir(parents=True)
    (path / "tiny.py").write_text(_BACKEND)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(register, "_PARENTS", (str(tmp_path / "run"),))
    monkeypatch.setenv("TMPDIR", str(path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return path


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "refused_identities", lambda *_: frozenset(i for i in Identity if not i.confined))


def _call(tree: Path, code: str, policy: Policy | None = None, python: Path | None = None) -> None:
    caller = IsolatedHookCaller(
        str(tree), "tiny", ["."], quiet, python_executable=None if python is None else str(python), policy=policy
    )
    caller.get_requires_for_build_wheel({"code": code})


@pytest.mark.parametrize("digits", [16, 20])
def test_a_planted_workspace_is_not_swept(tree: Path, tmp_path: Path, digits: int) -> None:
    """It would have root give away files of a chosen user, and kill that user's processes."""
    victim = tmp_path / "outside"
    victim.mkdir()
    (victim / "file").touch()
    if os.geteuid() == 0:
        os.chown(victim / "file", _UID, _UID)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        born = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
        status = {"files_of": _UID, "confined": False, "pid": process.pid, "born": born}
        plan = {"trees": [os.fsencode(victim)]}
        name = "tmp/isolated-hooks-" + "0" * digits
        code = f"os.mkdir({name!r}, 0o700)\n"
        for file, facts in (("status", status), ("plan", plan)):
            code += f"open({name + '/' + file!r}, 'wb').write({marshal.dumps(facts)!r})\n"
        _call(tree, code)
        assert sorted(os.listdir(tree / name)) == ["plan", "status"]
        assert not sweep()
        assert process.poll() is None
        process.kill()
    assert (victim / "file").stat().st_uid == (_UID if os.geteuid() == 0 else os.geteuid())
    assert sorted(os.listdir(tree / name)) == ["plan", "status"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give away files")
def test_a_workspace_of_ours_is_swept(tree: Path, tmp_path: Path) -> None:
    """The control: with a record, the same files are given back."""
    victim = tmp_path / "outside"
    victim.mkdir()
    (victim / "file").touch()
    os.chown(victim / "file", _UID, _UID)
    workspace = Workspace([str(victim)])
    Path(workspace.path, "status").write_bytes(marshal.dumps({"files_of": _UID, "confined": False}))
    workspace._registration.release(keep=True)
    os.close(workspace._alive)
    assert not sweep()
    assert (victim / "file").stat().st_uid == 0


def test_a_hook_does_not_see_the_workspace_of_another_call(tree: Path) -> None:
    """Another build has its temporary files in this source tree, and began before this hook."""
    code = "open('seen', 'w').write(' '.join(sorted(os.listdir({path!r}))))\nos.rename({path!r}, 'tmp/moved')"
    with Workspace() as other:
        assert os.path.dirname(other.path) == str(tree / "tmp")
        _call(tree, code.format(path=other.path))
        assert (tree / "seen").read_text() == ""
        assert (tree / "refused").read_text() != ""
        _call(tree, "os.rename('tmp', 'moved')")
        assert os.path.isdir(other.layout.staging)
    assert os.listdir(tree / "tmp") == []


def test_a_hook_sees_what_is_not_hidden(tree: Path) -> None:
    """The control."""
    with PrivateDirectory(shown=True) as other:
        Path(other.path, "file").touch()
        _call(tree, f"open('seen', 'w').write(' '.join(os.listdir({other.path!r})))")
    assert (tree / "seen").read_text() == "file"


@pytest.mark.usefixtures("no_namespaces")
def test_where_a_workspace_cannot_be_hidden_the_hook_is_refused(tree: Path) -> None:
    with Workspace(), pytest.raises(PolicyError, match="TMPDIR"):
        _call(tree, "", _NO_NAMESPACES)


def test_a_workspace_is_in_no_tree_to_which_the_hook_of_another_call_writes(tree: Path, tmp_path: Path) -> None:
    """That call began first, and its hook still runs."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "tiny.py").write_text(_BACKEND)

    def runner(cmd: list[str], cwd: str | None = None, extra_environ: dict[str, str] | None = None) -> None:
        with Workspace([str(other)]) as workspace:
            assert not workspace.path.startswith(str(tree))
        quiet(cmd, cwd, extra_environ)

    IsolatedHookCaller(str(tree), "tiny", ["."], runner).get_requires_for_build_wheel()


@pytest.mark.parametrize("beneath", [True, False])
def test_no_hook_gets_the_register(tree: Path, monkeypatch: pytest.MonkeyPatch, beneath: bool) -> None:
    parent = tree if beneath else tree.parent
    monkeypatch.setattr(register, "_PARENTS", (str(parent),))
    if not beneath:
        record = parent / f"isolated-hooks-register-{os.geteuid()}"
        record.mkdir(0o700)
        (record / "tiny.py").write_text(_BACKEND)
        tree = record
    with pytest.raises(PolicyError, match="notes what its calls"):
        _call(tree, "")


_CHANGES = (
    "open({env!r} + '/bin/evil', 'w')",
    "os.unlink({env!r} + '/bin/python')",
    "os.rename({env!r}, 'moved')",
    "os.rename({parent!r}, 'moved')",
    "os.symlink('/', {env!r} + '/pyvenv.cfg')",
)


@pytest.mark.parametrize("place", [".venv", "a/b/.venv", "tmp/build-env-x"])
@pytest.mark.parametrize("launcher", ["native", pytest.param("bubblewrap", marks=pytest.mark.slow)])
def test_a_build_environment_in_the_tree_is_read_only(
    tree: Path, place: str, launcher: str, request: pytest.FixtureRequest
) -> None:
    if launcher == "bubblewrap":
        request.getfixturevalue("bubblewrap")
    venv.create(tree / place, symlinks=True, with_pip=False)
    before = sorted(os.listdir(tree / place / "bin"))
    parent = os.path.dirname(place) or "."
    for change in _CHANGES:
        (tree / "refused").unlink(missing_ok=True)
        code = change.format(env=place, parent=parent)
        _call(tree, code, Policy(launcher=launcher), tree / place / "bin/python")
        assert (tree / "refused").exists(), code
    assert sorted(os.listdir(tree / place / "bin")) == before


def test_a_build_environment_that_is_the_tree_is_read_only_as_far_as_it_goes(tree: Path) -> None:
    venv.create(tree, symlinks=True, with_pip=False)
    for change in (*_CHANGES[:2], "os.rename('bin', 'moved')", "open('pyvenv.cfg', 'w')"):
        (tree / "refused").unlink(missing_ok=True)
        _call(tree, change.format(env=str(tree)), python=tree / "bin/python")
        assert (tree / "refused").exists(), change
    _call(tree, "open('beside', 'w')", python=tree / "bin/python")
    assert (tree / "beside").exists()


def test_pips_environment_in_the_tree_is_read_only(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip runs its own interpreter, and names the environment by search paths alone."""
    site = tree / "tmp/pip-build-env-x/site"
    site.mkdir(parents=True)
    _call(tree, f"open({str(site / 'control')!r}, 'w')")
    assert (site / "control").exists()
    monkeypatch.setenv("PYTHONPATH", str(site))
    _call(tree, f"open({str(site / 'sitecustomize.py')!r}, 'w')")
    assert os.listdir(site) == ["control"]
    assert (tree / "refused").exists()


@pytest.mark.usefixtures("no_namespaces")
def test_without_a_mount_namespace_a_build_environment_in_the_tree_is_refused(tree: Path) -> None:
    venv.create(tree / ".venv", symlinks=True, with_pip=False)
    with pytest.raises(PolicyError, match="build environment"):
        _call(tree, "", _NO_NAMESPACES, tree / ".venv/bin/python")
