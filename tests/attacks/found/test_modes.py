"""Directories get their set-group-ID bit, and no file gets a set-ID bit, whatever a hook does at the same time."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.sandbox.numbers import MACHINES, NUMBERS
from isolated_hooks.sandbox.syscalls import MACHINE

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import ctypes, errno, json, os, stat, subprocess, threading, time

def get_requires_for_build_wheel(config_settings=None):
    found = {}
    exec(config_settings["code"], {"found": found, "numbers": config_settings["numbers"], **globals()})
    with open("answer", "w") as file:
        json.dump(found, file)
    return []

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    ctypes.set_errno(0)
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    libc.syscall(ctypes.c_long(number), *wide)
    return errno.errorcode.get(ctypes.get_errno(), "")
"""
_NUMBERS = {
    name: NUMBERS[name][MACHINES[MACHINE]]
    for name in ("chmod", "fchmod", "fchmodat", "fchmodat2")
    if NUMBERS[name][MACHINES[MACHINE]] is not None
}


class Tree:
    """A source tree, in which a hook runs the code that a test hands it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "tree"
        (self.path / "directory").mkdir(parents=True)
        (self.path / "backend.py").write_text(_BACKEND)
        (self.path / "file").write_text("x")
        (self.path / "file").chmod(0o755)
        (self.path / "link").symlink_to("directory")

    def run(self, code: str, **options: Any) -> dict[str, Any]:
        """Return what ``code`` has found in a hook."""
        return self._run(code, lambda: IsolatedHookCaller(self.path, "backend", ["."], runner=quiet, **options))

    def run_bare(self, code: str) -> dict[str, Any]:
        """Return what ``code`` has found without a sandbox."""
        return self._run(
            code, lambda: pyproject_hooks.BuildBackendHookCaller(self.path, "backend", ["."], runner=quiet)
        )

    def _run(self, code: str, caller: Callable[[], pyproject_hooks.BuildBackendHookCaller]) -> dict[str, Any]:
        settings: Any = {"code": code, "numbers": _NUMBERS}
        caller().get_requires_for_build_wheel(settings)
        found: dict[str, Any] = json.loads((self.path / "answer").read_text())
        return found

    def mode(self, name: str) -> int:
        """Return the mode of a file of the tree, without its kind."""
        return stat.S_IMODE((self.path / name).lstat().st_mode)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


_EVERY_CALL = """
for kind in ("directory", "file"):
    here, full = os.open(".", os.O_RDONLY), os.path.abspath(kind).encode()
    name, fd, path_fd = kind.encode(), os.open(kind, os.O_RDONLY), os.open(kind, os.O_PATH)
    ways = {
        "chmod": (numbers.get("chmod"), name, MODE),
        "chmod, absolute": (numbers.get("chmod"), full, MODE),
        "chmod, by descriptor": (numbers.get("chmod"), b"/proc/self/fd/%d" % path_fd, MODE),
        "fchmod": (numbers["fchmod"], fd, MODE),
        "fchmod, O_PATH": (numbers["fchmod"], path_fd, MODE),
        "fchmodat": (numbers["fchmodat"], here, name, MODE),
        "fchmodat, cwd": (numbers["fchmodat"], -100, name, MODE),
        "fchmodat, absolute": (numbers["fchmodat"], -1, full, MODE),
        "fchmodat2": (numbers["fchmodat2"], here, name, MODE, 0x100),
        "fchmodat2, empty": (numbers["fchmodat2"], fd, b"", MODE, 0x1000),
    }
    for way, arguments in ways.items():
        if arguments[0] is not None:
            os.chmod(kind, 0o755)
            error = call(*arguments)
            found[kind + ": " + way] = [error, stat.S_IMODE(os.stat(kind).st_mode)]
"""


def _without_missing(found: dict[str, Any]) -> dict[str, Any]:
    return {way: result for way, result in found.items() if result[0] != "ENOSYS"}  # fchmodat2 before Linux 6.6


@pytest.mark.parametrize("mode", [0o2775, 0o2755, 0o3777])
def test_a_directory_gets_its_bit_as_without_a_sandbox(mode: int, tree: Tree) -> None:
    code = f"MODE = {mode}\n{_EVERY_CALL}"
    bare, inside = (_without_missing(run(code)) for run in (tree.run_bare, tree.run))
    assert {way: r for way, r in bare.items() if way.startswith("directory")} == {
        way: r for way, r in inside.items() if way.startswith("directory")
    }
    assert inside["directory: fchmod"] == ["", mode]
    files = {way: result for way, result in inside.items() if way.startswith("file")}
    assert files["file: fchmod, O_PATH"] == ["EBADF", 0o755]
    assert {tuple(r) for way, r in files.items() if "fchmod, O_PATH" not in way} == {("", mode & ~0o2000)}
    assert bare["file: fchmod"] == ["", mode]


def test_no_file_gets_the_set_user_id_bit(tree: Tree) -> None:
    found = _without_missing(tree.run(f"MODE = 0o6755\n{_EVERY_CALL}"))
    files = {way: result for way, result in found.items() if way.startswith("file") and "fchmod, O_PATH" not in way}
    assert {tuple(result) for result in files.values()} == {("EPERM", 0o755)}
    assert found["directory: fchmod"] == ["", 0o6755]


def test_errors_are_the_kernels(tree: Tree) -> None:
    code = """
page = ctypes.create_string_buffer(b"x" * 5000)
found["answers"] = [
    call(numbers["fchmodat"], -100, b"missing", 0o2755),
    call(numbers["fchmodat"], -100, b"", 0o2755),
    call(numbers["fchmodat"], -100, b"file/x", 0o2755),
    call(numbers["fchmodat"], -100, 1, 0o2755),
    call(numbers["fchmodat"], -100, page, 0o2755),
    call(numbers["fchmodat"], 999, b"file", 0o2755),
    call(numbers["fchmod"], 999, 0o2755),
    call(numbers["fchmodat"], -100, b"/usr/bin", 0o2755),
]
"""
    expected = ["ENOENT", "ENOENT", "ENOTDIR", "EFAULT", "ENAMETOOLONG", "EBADF", "EBADF"]
    answers = tree.run(code)["answers"]
    assert answers[:-1] == expected == tree.run_bare(code.replace("/usr/bin", "missing"))["answers"][:-1]
    assert answers[-1] in ("EROFS", "EPERM")


def test_a_link_is_followed_or_refused(tree: Tree) -> None:
    code = """
found["followed"] = call(numbers["fchmodat"], -100, b"link", 0o2755)
found["link"] = call(numbers["fchmodat2"], -100, b"link", 0o2755, 0x100)
found["flags"] = call(numbers["fchmodat2"], -100, b"link", 0o2755, 0x4000)
"""
    found = tree.run(code)
    assert (found["followed"], tree.mode("directory")) == ("", 0o2755)
    assert found["link"] in ("EOPNOTSUPP", "ENOTSUP", "ENOSYS")
    assert found["flags"] in ("EINVAL", "ENOSYS")


_RACE = """
swapped, stop = 0, time.monotonic() + 3
os.mkdir("a")
def swap():
    while time.monotonic() < stop:
        os.rename("a", "b")
        os.link("file", "a")
        os.unlink("a")
        os.rename("b", "a")
thread = threading.Thread(target=swap)
thread.start()
fd = os.dup(0)
errors = set()
while time.monotonic() < stop:
    errors.add(call(numbers["fchmodat"], -100, b"a", 0o2755))
    swapped |= stat.S_IMODE(os.stat("file").st_mode)
thread.join()
found.update(modes=swapped & 0o6000, errors=sorted(errors))
"""
_RACE_OF_MEMORY = """
name = ctypes.create_string_buffer(b"aaaa", 16)
os.mkdir("aaaa")
os.link("file", "bbbb")
stop = time.monotonic() + 3
def change():
    while time.monotonic() < stop:
        for text in (b"aaaa", b"bbbb"):
            ctypes.memmove(name, text, 4)
thread = threading.Thread(target=change)
thread.start()
modes, errors = 0, set()
while time.monotonic() < stop:
    errors.add(call(numbers["fchmodat"], -100, name, 0o2755))
    modes |= stat.S_IMODE(os.stat("file").st_mode)
thread.join()
found.update(modes=modes & 0o6000, errors=sorted(errors))
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [_RACE, _RACE_OF_MEMORY], ids=["names", "memory"])
def test_no_race_gives_a_file_the_bit(code: str, tree: Tree) -> None:
    assert tree.run_bare(code)["modes"] == 0o2000
    shutil.rmtree(tree.path)
    fresh = Tree(tree.path.parent)
    found = fresh.run(code)
    assert found["modes"] == 0
    assert "" in found["errors"]
    assert fresh.mode("file") & 0o6000 == 0


def test_an_inherited_bit_needs_no_access_list(tree: Tree) -> None:
    """A file without permission to execute keeps no bit that an access control list could make worth something."""
    code = """
os.chmod("file", 0o644)
found["error"] = call(numbers["fchmodat"], -100, b"file", 0o2644)
"""
    assert tree.run(code) == {"error": ""}
    assert tree.mode("file") == 0o644


def test_what_the_tree_has_is_kept(tree: Tree) -> None:
    (tree.path / "file").chmod(0o2755)
    code = """
found["same"] = call(numbers["fchmodat"], -100, b"file", 0o2710)
found["mode"] = stat.S_IMODE(os.stat("file").st_mode)
"""
    assert tree.run(code) == {"same": "", "mode": 0o2710}
    code = 'found["more"] = call(numbers["fchmodat"], -100, b"file", 0o2711)'
    assert tree.run(code) == {"more": ""}
    assert tree.mode("file") == 0o711


_COPIES = """
import shutil, sys, tarfile
shutil.copytree("shared", "copytree")
for name, words in {
    "cp": ["cp", "-a", "shared", "cp"],
    "tar": ["sh", "-c", "mkdir tar && tar cf - -C shared . | tar xpf - -C tar"],
    "install": ["install", "-d", "-m", "2775", "install"],
}.items():
    if shutil.which(words[0]):
        done = subprocess.run(words, capture_output=True, text=True)
        found[name] = done.stderr
"""


def test_trees_of_a_group_can_be_copied(tree: Tree) -> None:
    """As every plain setuptools wheel does, by build_py and install_lib."""
    deep = tree.path / "shared" / "deep"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    for path in (deep.parent, deep, deep / "file"):
        path.chmod(path.stat().st_mode | 0o2070)
    found = tree.run(_COPIES)
    assert set(found.values()) <= {""}
    for copy in ("copytree", "cp", "tar"):
        if (tree.path / copy).exists():
            assert tree.mode(f"{copy}/deep") == tree.mode("shared/deep")
            assert tree.mode(f"{copy}/deep/file") == tree.mode("shared/deep/file") & ~0o2000


@pytest.mark.slow
def test_without_a_broker_the_bit_is_refused(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(allow_degraded=["no-namespaces"])
    monkeypatch.setattr("isolated_hooks.run.trial.refused_identities", _only_confined)
    code = 'found["error"] = call(numbers["fchmodat"], -100, b"directory", 0o2755)'
    assert tree.run(code, policy=policy) == {"error": "EPERM"}


def _only_confined(*_: object) -> frozenset[Any]:
    from isolated_hooks.plan import Identity

    return frozenset(identity for identity in Identity if not identity.confined)
