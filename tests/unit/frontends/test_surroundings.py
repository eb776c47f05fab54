"""The environment of programs that we start outside the sandbox, and of this process."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from isolated_hooks import Policy, PolicyError
from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.files.steered import Trees
from isolated_hooks.frontends import imports
from isolated_hooks.frontends.copies import Copies
from isolated_hooks.frontends.imports import python_flags
from isolated_hooks.frontends.surroundings import Guarded, check_packages, outside_environ


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "file.txt").write_text("first==1\n")
    return tree


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PATH": "{tree}/bin:/usr/bin::bin:."}, {"PATH": "/usr/bin"}),
        ({"PATH": "{tree}/bin"}, {"PATH": os.defpath}),
        ({"PYTHONPATH": "{tree}/src:"}, {}),
        ({"PYTHONPYCACHEPREFIX": "{tree}/cache", "PYTHONUSERBASE": "/usr"}, {"PYTHONUSERBASE": "/usr"}),
        ({"PIP_CACHE_DIR": "{tree}/cache", "PIP_PYTHON": "{tree}/bin/python"}, {}),
        ({"PIP_CACHE_DIR": "~/cache", "GIT_SSH": "ssh"}, {"PIP_CACHE_DIR": "~/cache", "GIT_SSH": "ssh"}),
        ({"GIT_SSH_COMMAND": "ssh -F {tree}/config"}, {}),
        ({"GIT_SSH_COMMAND": "ssh -F /etc/config"}, {"GIT_SSH_COMMAND": "ssh -F /etc/config"}),
        ({"UNKNOWN_PATH": "/usr:{tree}/x"}, {"UNKNOWN_PATH": "/usr"}),
        ({"LD_PRELOAD": "{tree}/x.so"}, {"LD_PRELOAD": ""}),
        ({"HOME": "{tree}"}, {"HOME": "/nonexistent"}),
        ({"CFLAGS": "-I{tree}/include", "CMAKE_PREFIX_PATH": "{tree}/x"}, None),
        ({"PIP_FIND_LINKS": "{tree}", "PWD": "{tree}", "EMPTY": "", "NUL": "a"}, None),
    ],
)
def test_what_leads_into_the_tree_is_left_out(
    tree: Path, environ: Mapping[str, str], expected: Mapping[str, str] | None
) -> None:
    given = {"PATH": "/bin", **{name: value.format(tree=tree) for name, value in environ.items()}}
    result = outside_environ(given, Copies(Trees((str(tree),), ())))
    wanted = environ if expected is None else expected
    assert result == {"PATH": "/bin", **{name: value.format(tree=tree) for name, value in wanted.items()}}
    assert outside_environ(given, Copies(Trees(()))) == given


def test_files_that_variables_name_are_copied(tree: Path) -> None:
    environ = {
        "PIP_CONSTRAINT": f"{tree}/file.txt /etc/hostname",
        "PIP_CONFIG_FILE": f"{tree}/file.txt",
        "PATH": "/bin",
    }
    with Copies(Trees((str(tree),), ())) as copies:
        result = outside_environ(environ, copies)
        (tree / "file.txt").write_text("other")
        first, second = result["PIP_CONSTRAINT"].split()
        assert second == "/etc/hostname"
        assert Path(first).read_text() == Path(result["PIP_CONFIG_FILE"]).read_text() == "first==1\n"
    assert not os.path.exists(first)


def test_requirements_that_a_file_includes_are_copied_too(tree: Path) -> None:
    (tree / "file.txt").write_text("-r more.txt\n-cmore.txt\n--constraint=more.txt\nx @ https://h/-r\n")
    (tree / "more.txt").write_text("-r file.txt\nsecond\n")
    with Copies(Trees((str(tree),), ())) as copies:
        lines = Path(copies.requirements(f"{tree}/file.txt")).read_text().splitlines()
        more = copies.made[f"{tree}/more.txt"]
        assert lines == [f"-r {more}", f"-c{more}", f"--constraint={more}", "x @ https://h/-r"]
        assert Path(more).read_text() == f"-r {copies.made[f'{tree}/file.txt']}\nsecond\n"


def test_not_too_many_files_are_included(tree: Path) -> None:
    for number in range(150):
        (tree / f"{number}.txt").write_text(f"-r {number + 1}.txt\n")
    with Copies(Trees((str(tree),), ())) as copies, pytest.raises(UntrustedResultError, match="more than 100"):
        copies.requirements(f"{tree}/0.txt")


@pytest.mark.parametrize("kind", ["fifo", "link", "directory", "zero"])
def test_no_copy_is_made_of_anything_but_a_file_of_the_tree(tree: Path, kind: str) -> None:
    path = tree / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "zero" else "/etc/hostname")
    with Copies(Trees((str(tree),), ())) as copies, pytest.raises(UntrustedResultError):
        copies.plain(str(path))


def test_this_process_searches_nothing_in_the_tree(tree: Path, monkeypatch: pytest.MonkeyPatch, restored: None) -> None:
    (tree / "planted_module.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tree), *sys.path])
    monkeypatch.setattr(tempfile, "tempdir", str(tree))
    monkeypatch.setenv("PATH", f"{tree}/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(tree))
    with Guarded(Policy()) as guard:
        guard.add(str(tree))
        assert (os.environ["PATH"], os.environ.get("PYTHONPATH")) == ("/bin", None)
        assert not tempfile.gettempdir().startswith(str(tree))
        assert str(tree) not in sys.path
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("planted_module")
        assert python_flags(Trees((str(tree),))) == ["-I", "-S"]
    assert os.environ["PYTHONPATH"] == sys.path[0] == str(tree)
    assert tempfile.tempdir == str(tree)


def test_a_finder_that_leads_into_the_tree_is_passed_over(
    tree: Path, monkeypatch: pytest.MonkeyPatch, restored: None
) -> None:
    """An editable install has a finder of its own."""
    (tree / "planted_module.py").write_text("")

    class Finder:
        @classmethod
        def find_spec(cls, name: str, *_: object) -> object:
            path = tree / f"{name}.py"
            return importlib.util.spec_from_file_location(name, path) if path.exists() else None

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with Guarded(Policy()) as guard:
        guard.add(str(tree))
        with pytest.raises(ModuleNotFoundError, match="source tree"):
            importlib.import_module("planted_module")
        importlib.import_module("colorsys")


def test_a_package_of_ours_must_not_lie_in_the_tree() -> None:
    where = os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))
    with pytest.raises(PolicyError, match="lies in a source tree"):
        check_packages(Trees((where,), ()), ["pytest"])
    check_packages(Trees((where,), (where,)), ["pytest"])


def test_flags_of_an_interpreter_without_editable_installs(tree: Path) -> None:
    assert python_flags(Trees((str(tree),))) == ["-I"]
    assert python_flags(Trees(())) == ["-I"]


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the trees of this test, and what it dropped, at its end."""
    monkeypatch.setattr("isolated_hooks.files.steered._recorded", Trees(()))
    monkeypatch.setattr(imports, "_dropped", set())
