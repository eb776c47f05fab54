"""If the caller is root, all attacks fail and builds work in source trees of every kind of owner."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks import IsolatedHookCaller
from isolated_hooks.plan import Identity
from isolated_hooks.protections import Protection
from isolated_hooks.run import trial
from isolated_hooks.selftest.attacks.table import ATTACKS, QUICK
from isolated_hooks.selftest.conduct import Outcome, call_hook, conduct
from isolated_hooks.selftest.world.world import World

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a tree of foreign owners"),
]

_ROOT, _FOREIGN, _OTHER = (0, 0), (1001, 105), (4000, 4000)
_DIRECTORIES = {"root": _ROOT, "foreign": _FOREIGN, "other": _OTHER}
_FILES = ("append", "unlink", "utime", "chmod", "rename")
_TWO_CAPABILITIES = "000000000000000a"


@dataclasses.dataclass(frozen=True)
class Shape:
    """The owners of a source tree, and the expected outcome.

    :ivar everything: the uid and gid of all files, or ``None`` if the files have several owners
    :ivar mirror: whether the host refuses idmapped mounts
    :ivar new: the uid and gid of new files
    :ivar capabilities: the hook's capabilities in its own user namespace, in hexadecimal
    :ivar identity: the reason in the status of the identity protection
    """

    everything: tuple[int, int] | None
    mirror: bool
    new: tuple[int, int]
    capabilities: str
    identity: str = "a throw-away uid"


SHAPES = {
    "root": Shape(_ROOT, False, _ROOT, "0" * 16),
    "foreign": Shape(_FOREIGN, False, _FOREIGN, "0" * 16),
    "mixed": Shape(None, False, _ROOT, _TWO_CAPABILITIES, "a throw-away block of ids"),
    "root-mirrored": Shape(_ROOT, True, _ROOT, _TWO_CAPABILITIES),
    "foreign-mirrored": Shape(_FOREIGN, True, _ROOT, _TWO_CAPABILITIES),
    "mixed-mirrored": Shape(None, True, _ROOT, _TWO_CAPABILITIES),
}


def _prepare(shape: Shape) -> Callable[[World], None]:
    """Return a function that puts files into a tree and sets their owners. Only its owner can open one directory."""

    def prepare(world: World) -> None:
        for name, owner in _DIRECTORIES.items():
            directory = world.tree / name
            directory.mkdir(mode=0o700 if name == "other" else 0o755)
            for file in _FILES:
                (directory / file).write_text("before\n")
                (directory / file).chmod(0o600)
            if shape.everything is None:
                _give(directory, owner)
        if shape.everything is not None:
            _give(world.tree, shape.everything)

    return prepare


def _give(top: Path, owner: tuple[int, int]) -> None:
    for path in (top, *top.rglob("*")):
        os.chown(path, *owner, follow_symlinks=False)


def _owners(top: Path) -> dict[str, tuple[int, int]]:
    paths = (top, *top.rglob("*"))
    return {str(path.relative_to(top)): (path.lstat().st_uid, path.lstat().st_gid) for path in paths}


def _state(path: Path) -> tuple[str, int, float]:
    return path.read_text(), path.stat().st_mode, path.stat().st_mtime


@contextlib.contextmanager
def _host(shape: Shape) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if shape.mirror:
            patch.setattr(trial, "refused_identities", lambda *_: frozenset((Identity.SINGLE, Identity.RANGE)))
        yield


# In the fast lane one without the two capabilities, and one with them.
_FAST = ("foreign", "mixed")


@pytest.fixture(scope="module", params=[pytest.param(n, marks=() if n in _FAST else pytest.mark.slow) for n in SHAPES])
def name(request: pytest.FixtureRequest) -> str:
    """Each shape, by its name."""
    return str(request.param)


@pytest.fixture(scope="module")
def shape(name: str) -> Shape:
    """Each shape."""
    return SHAPES[name]


@pytest.fixture(scope="module")
def attacked(name: str, shape: Shape, sandbox: None) -> Outcome:
    """What came of the attacks. With the capabilities that mirroring takes, one also walks over every file."""
    attacks = ATTACKS if name == "mixed-mirrored" else QUICK
    with _host(shape):
        return conduct("build_wheel", sandboxed=True, before=_prepare(shape), attacks=attacks)


@dataclasses.dataclass(frozen=True)
class _Worked:
    """The outcome of a build that changes files of every owner."""

    failed: list[Any]
    before: dict[str, tuple[int, int]]
    after: dict[str, tuple[int, int]]
    files: dict[str, tuple[str, int, float]]
    identity: str


@pytest.fixture(scope="module")
def worked(shape: Shape, sandbox: None) -> _Worked:
    """What a build that does its chores left behind."""
    with _host(shape), World() as world:
        _prepare(shape)(world)
        chores = {"chores": {"probe": "chores", "arguments": {"directories": list(_DIRECTORIES)}}}
        before = _owners(world.tree)
        caller = IsolatedHookCaller(str(world.tree), "hostile", ["."], world.inner_runner(), str(world.python))
        call_hook(caller, "build_wheel", str(world.out), {"attacks": json.dumps(chores)})
        statuses = {s.protection: s for s in caller.reports[-1].protections}
        return _Worked(
            json.loads((world.tree / "evidence.json").read_text())["chores"]["failed"],
            before,
            _owners(world.tree),
            {
                f"{d}/{file}": _state(world.tree / d / file)
                for d in _DIRECTORIES
                for file in ("append", "utime", "chmod")
            },
            statuses[Protection.IDENTITY].reason,
        )


def test_attack_is_closed(attacked: Outcome) -> None:
    """Whatever the hook needs to work on such a tree opens nothing. That each attack works is shown elsewhere."""
    tried = [attack for attack in ATTACKS if attack.name in attacked.succeeded]
    assert {attack.name for attack in tried} >= {attack.name for attack in QUICK}
    assert [f"{a.name}, {a.tries}: {attacked.evidence[a.name]}" for a in tried if attacked.succeeded[a.name]] == []


def test_identity(shape: Shape, worked: _Worked, attacked: Outcome) -> None:
    """The report says how the hook got its user, and it holds no capability that it does not need."""
    assert worked.identity == shape.identity
    status = attacked.evidence["K08-capabilities"]
    assert status["CapEff"] == [shape.capabilities]
    assert "0" not in status["Uid"]


def test_builds_can_work_on_files_of_every_owner(worked: _Worked) -> None:
    """As root can without the sandbox: append, remove, rename, set times and modes, and it is so on the disk."""
    assert worked.failed == []
    for directory in _DIRECTORIES:
        assert worked.files[f"{directory}/append"][0] == "before\nmore"
        assert worked.files[f"{directory}/chmod"][1] & 0o777 == 0o640
        assert worked.files[f"{directory}/utime"][2] == 1
        assert f"{directory}/unlink" not in worked.after


def test_every_file_keeps_its_owner(worked: _Worked) -> None:
    """Files that were there belong to whom they belonged to, also those that were written to or renamed."""
    before = {path.replace("/rename", "/renamed"): owner for path, owner in worked.before.items()}
    gone = {f"{directory}/unlink" for directory in _DIRECTORIES}
    assert {path: worked.after.get(path) for path in before if path not in gone} == {
        path: owner for path, owner in before.items() if path not in gone
    }


def test_new_files_belong_to(shape: Shape, worked: _Worked) -> None:
    """New files, directories and links are the tree's owner's where it has one and the host can, else the caller's."""
    new = [f"{d}/{path}" for d in _DIRECTORIES for path in ("new", "new/file", "new/link")]
    assert {path: worked.after[path] for path in [*new, "evidence.json"]} == dict.fromkeys(
        [*new, "evidence.json"], shape.new
    )
