"""Hooks that exchange what the frontend opens: the output directory, a parent of it, or an earlier artefact."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.attacks.place import quiet
from support.lanes import fast, first_fast

from isolated_hooks import IsolatedHookCaller, Policy, UntrustedResultError
from isolated_hooks.plan import Identity
from isolated_hooks.results import exported
from isolated_hooks.run import trial

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import os

def run(config_settings, **names):
    try:
        exec((config_settings or {}).get("code", ""), {"os": os, **names})
    except OSError as error:
        open("refused", "a").write(f"{error.errno} ")

def get_requires_for_build_wheel(config_settings=None):
    run(config_settings)
    return []

def build_sdist(sdist_directory, config_settings=None):
    open(os.path.join(sdist_directory, "x-1.tar.gz"), "w").write("vetted")
    run(config_settings, out=sdist_directory)
    return "x-1.tar.gz"

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    open(os.path.join(wheel_directory, "x-1-py3-none-any.whl"), "w").write("vetted")
    run(config_settings, out=wheel_directory)
    return "x-1-py3-none-any.whl"

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    os.mkdir(os.path.join(metadata_directory, "x-1.dist-info"))
    open(os.path.join(metadata_directory, "x-1.dist-info", "METADATA"), "w").write("vetted")
    run(config_settings, out=metadata_directory)
    return "x-1.dist-info"
"""
# Rename each directory on the way to the output directory, and put the hook's own there, or a link.
_EXCHANGE = """
for top in {names!r}:
    try:
        os.rename(top, top + ".moved")
    except OSError:
        continue
    {then}
    break
"""
_OWN = "os.makedirs({out!r}); open({out!r} + '/{name}', 'w').write('evil')"
_LINK = "os.symlink({target!r}, top)"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "_exported", {})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "tiny.py").write_text(_BACKEND)
    return path


@dataclasses.dataclass
class World:
    """A tree, and callers for it in one tier."""

    tree: Path
    policy: Policy

    def caller(self, *, sandboxed: bool = True) -> pyproject_hooks.BuildBackendHookCaller:
        arguments: tuple[Any, ...] = (str(self.tree), "tiny", ["."], quiet)
        if sandboxed:
            return IsolatedHookCaller(*arguments, policy=self.policy)
        return pyproject_hooks.BuildBackendHookCaller(*arguments)


_TIERS = ["native", pytest.param("bubblewrap", marks=pytest.mark.slow), "no-namespaces"]


@pytest.fixture(params=_TIERS)
def world(request: pytest.FixtureRequest, tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The tree under each launcher, and without user namespaces."""
    if request.param == "no-namespaces":
        monkeypatch.setattr(trial, "refused_identities", lambda *_: frozenset(i for i in Identity if not i.confined))
        yield World(tree, Policy(allow_degraded=["no-namespaces"]))
        return
    if request.param == "bubblewrap":
        request.getfixturevalue("bubblewrap")
    yield World(tree, Policy(launcher=request.param))


Hook = tuple[str, str, Callable[[Any, str, str], str]]
_HOOKS: dict[str, Hook] = {
    "sdist": ("x-1.tar.gz", "", lambda c, out, code: str(c.build_sdist(out, {"code": code}))),
    "wheel": ("x-1-py3-none-any.whl", "", lambda c, out, code: str(c.build_wheel(out, {"code": code}))),
    "metadata": (
        "x-1.dist-info",
        "/METADATA",
        lambda c, out, code: str(c.prepare_metadata_for_build_wheel(out, {"code": code})),
    ),
}


def _contents(path: Path) -> str:
    return (path / "METADATA").read_text() if path.is_dir() else path.read_text()


@pytest.mark.parametrize("how", first_fast(["own", "link", "link outside"]))
@pytest.mark.parametrize("place", fast(["dist", "build/dist", "build/a/b/dist"], ["build/dist"]))
@pytest.mark.parametrize("hook", ["wheel", "metadata"])
@pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning")
def test_the_frontend_opens_what_was_vetted(world: World, tmp_path: Path, hook: str, place: str, how: str) -> None:
    """The hook moves a directory on the way to the output directory away, and makes another one there."""
    name, file, call = _HOOKS[hook]
    out = world.tree / place
    parents = [str(Path(*Path(place).parts[:n])) for n in range(1, len(Path(place).parts) + 1)]
    target = world.tree if how == "link" else tmp_path
    if how == "own":
        then = _OWN.format(out=os.path.dirname(f"{place}/{name}{file}"), name=os.path.basename(name + file))
    else:
        then = _LINK.format(target=str(target))
    code = _EXCHANGE.format(names=parents, then=then)
    try:
        returned = call(world.caller(), str(out), code)
    except UntrustedResultError:
        assert not [path for path in world.tree.rglob(name) if path.is_dir() == (hook == "metadata") and _ours(path)]
        return
    assert returned == name
    assert _contents(out / name) == "vetted"
    assert not any(parent.is_symlink() for parent in (out, *out.parents) if parent.is_relative_to(world.tree))
    assert world.policy.launcher != "native" or not world.policy.allow_degraded


def _ours(path: Path) -> bool:
    """Return whether an artefact is a copy of ours: the confined hook's own staging is elsewhere."""
    return _contents(path) == "vetted"


def test_without_a_sandbox_the_frontend_opens_what_the_hook_has_put_there(tree: Path) -> None:
    """The control."""
    code = _EXCHANGE.format(names=["build"], then=_OWN.format(out="build/dist", name="x-1-py3-none-any.whl"))
    caller = World(tree, Policy()).caller(sandboxed=False)
    (tree / "build/dist").mkdir(parents=True)
    caller.build_wheel(str(tree / "build/dist"), {"code": code})
    assert _contents(tree / "build/dist/x-1-py3-none-any.whl") == "evil"


_LATER = {
    "write": "open({path!r}, 'w').write('evil')",
    "unlink": "os.unlink({path!r}); open({path!r}, 'w').write('evil')",
    "rename": "open('evil', 'w').write('evil'); os.rename('evil', {path!r})",
    "link": "os.unlink({path!r}); os.symlink('/etc/hostname', {path!r})",
    "truncate": "os.truncate({path!r}, 0)",
    "move the directory": "os.rename('a/dist', 'a/other'); os.mkdir('a/dist'); open({path!r}, 'w').write('evil')",
    "move the parent": "os.rename('a', 'b'); os.makedirs('a/dist'); open({path!r}, 'w').write('evil')",
}


@pytest.mark.parametrize("how", first_fast(_LATER, 3))
@pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning")
def test_a_later_hook_cannot_change_an_artefact(world: World, how: str) -> None:
    """Without a mount namespace it can, and then its call fails."""
    caller, out = world.caller(), world.tree / "a/dist"
    caller.build_sdist(str(out))
    code = _LATER[how].format(path="a/dist/x-1.tar.gz")
    confined = bool(world.policy.allow_degraded)
    for _ in range(2):
        try:
            caller.get_requires_for_build_wheel({"code": code})
        except UntrustedResultError as error:
            assert confined
            assert "an earlier hook" in str(error)
            return
    assert not confined
    assert _contents(out / "x-1.tar.gz") == "vetted"


@pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning")
def test_later_hooks_cannot_change_metadata(world: World) -> None:
    caller, out = world.caller(), world.tree / "meta"
    caller.prepare_metadata_for_build_wheel(str(out))
    code = "open('meta/x-1.dist-info/METADATA', 'a').write('evil')"
    if world.policy.allow_degraded:
        with pytest.raises(UntrustedResultError, match="earlier hook"):
            caller.get_requires_for_build_wheel({"code": code})
    else:
        caller.get_requires_for_build_wheel({"code": code})
        assert _contents(out / "x-1.dist-info") == "vetted"


def test_a_later_hook_without_a_sandbox_changes_an_artefact(tree: Path) -> None:
    """The control."""
    caller = World(tree, Policy()).caller(sandboxed=False)
    (tree / "a/dist").mkdir(parents=True)
    caller.build_sdist(str(tree / "a/dist"))
    caller.get_requires_for_build_wheel({"code": _LATER["unlink"].format(path="a/dist/x-1.tar.gz")})
    assert _contents(tree / "a/dist/x-1.tar.gz") == "evil"


@pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning")
def test_the_tree_itself_as_the_output_directory(world: World) -> None:
    """The staging directory does not cover the tree, so the artefact of the first hook is shown read-only."""
    caller = world.caller()
    caller.build_sdist(str(world.tree))
    code = "open('x-1.tar.gz', 'w').write('evil')"
    if world.policy.allow_degraded:
        with pytest.raises(UntrustedResultError, match="earlier hook"):
            caller.build_wheel(str(world.tree), {"code": code})
        return
    caller.build_wheel(str(world.tree), {"code": code})
    assert _contents(world.tree / "x-1.tar.gz") == "vetted"
    assert _contents(world.tree / "x-1-py3-none-any.whl") == "vetted"


@pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning")
def test_builds_go_on_working(world: World) -> None:
    """Again into the same directory; beside the artefact; and after the frontend has taken the artefact away."""
    caller, out = world.caller(), world.tree / "build/dist"
    for _ in range(2):
        caller.build_sdist(str(out))
        caller.build_wheel(str(out))
        caller.get_requires_for_build_wheel({"code": "open('build/dist/log', 'w'); os.mkdir('build/lib')"})
        assert sorted(os.listdir(out)) == ["log", "x-1-py3-none-any.whl", "x-1.tar.gz"]
        (out / "log").unlink()
        (world.tree / "build/lib").rmdir()
    (out / "x-1.tar.gz").rename(world.tree / "elsewhere.tar.gz")
    caller.get_requires_for_build_wheel()
    assert not (world.tree / "refused").exists()


def test_an_output_directory_in_a_writable_path(tree: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    caller = World(tree, Policy(writable=[str(cache)])).caller()
    top, out = str(cache / "a"), str(cache / "a/dist")
    code = f"os.rename({top!r}, {top + '.moved'!r}); os.makedirs({out!r})"
    caller.build_wheel(out, {"code": code})
    assert _contents(cache / "a/dist/x-1-py3-none-any.whl") == "vetted"
    caller.get_requires_for_build_wheel({"code": f"os.symlink('/', {str(cache / 'link')!r})"})
    with pytest.raises(UntrustedResultError, match="link within"):
        caller.build_wheel(str(cache / "link/tmp"))


def test_a_link_of_the_operator_goes_on_working(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.symlink("elsewhere", tmp_path / "link")
    caller = World(tree, Policy()).caller()
    caller.build_sdist(str(tmp_path / "link/out"))
    caller.build_wheel(str(tmp_path / "link/out"))
    assert sorted(os.listdir(tmp_path / "elsewhere/out")) == ["x-1-py3-none-any.whl", "x-1.tar.gz"]
