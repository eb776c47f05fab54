from __future__ import annotations

import os
import pathlib
import tempfile
import warnings

import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller, Policy, WritablePathWarning
from isolated_hooks.run import search_paths
from isolated_hooks.run.search_paths import warn_of_search_paths


@pytest.fixture
def tree(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A source tree, and an environment that leads nowhere near it."""
    path = tmp_path / "tree"
    (path / "bin").mkdir(parents=True)
    (path / ".venv/bin").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    os.symlink(path, tmp_path / "link")
    os.symlink(tmp_path / "outside", path / "link")
    monkeypatch.setattr(search_paths, "_warned", set())
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "outside"))
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "outside")
    return path


def texts(tree: pathlib.Path, *trees: pathlib.Path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_search_paths(str(tree), [str(path) for path in trees or (tree,)], [str(tree / ".venv")])
    assert all(warning.category is WritablePathWarning for warning in caught)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("variable", ["PATH", "PYTHONPATH", "LD_LIBRARY_PATH"])
@pytest.mark.parametrize("entry", ["tree", "tree/bin", "tree/none", "link/bin", "tree/link", "outside/../tree", "."])
def test_an_entry_in_the_tree_is_named_once(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch, variable: str, entry: str
) -> None:
    path = entry if entry == "." else f"{tree.parent}/{entry}"
    monkeypatch.setenv(variable, f"/usr/bin:{path}:{path}")
    (text,) = texts(tree)
    assert text.startswith(f"{variable} names {path!r}, where hooks may write")
    assert "remove the entry" in text
    assert texts(tree) == []


def test_an_empty_entry_is_the_current_directory(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leads into the tree even if this process is elsewhere: a runner may start a program in the tree."""
    monkeypatch.setenv("PATH", "/usr/bin:")
    assert [text.partition(",")[0] for text in texts(tree)] == ["PATH names '.'"]


def test_temporary_files_in_the_tree(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tree / "tmp"))
    (text,) = texts(tree)
    assert text.startswith("TMPDIR names")
    assert "outside of the source tree" in text


def test_what_leads_elsewhere_or_is_kept_read_only_is_fine(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/usr/bin:{tree}-beside:{tree}/.venv/bin:{tree.parent}/link/.venv/bin:{tree.parent}")
    monkeypatch.setenv("PYTHONPATH", "")
    assert texts(tree) == []
    monkeypatch.setenv("PYTHONPATH", str(tree))
    assert texts(tree, tree.parent / "outside/tree") == []
    assert len(texts(tree)) == 1


def test_a_path_that_the_policy_makes_writable_counts(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/usr/bin:{tree.parent}/outside/bin")
    assert len(texts(tree, tree, tree.parent / "outside")) == 2  # TMPDIR too


def test_without_a_current_or_a_temporary_directory_the_other_entries_are_still_named(
    tree: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in []")

    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setenv("PATH", f"relative:{tree}/bin")
    # The relative entry leads into the tree once a runner starts a program there.
    assert [text.partition(",")[0] for text in texts(tree)] == ["PATH names 'relative'", f"PATH names '{tree}/bin'"]


_BACKEND = "def get_requires_for_build_wheel(config_settings=None):\n    return []\n"


@pytest.mark.usefixtures("sandbox")
def test_a_hook_call_warns(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "tiny.py").write_text(_BACKEND)
    monkeypatch.setenv("PYTHONPATH", str(tree))
    read_only = IsolatedHookCaller(str(tree), "tiny", ["."], quiet, policy=Policy(source="read-only"))
    writable = IsolatedHookCaller(str(tree), "tiny", ["."], quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_only.get_requires_for_build_wheel()
    with pytest.warns(WritablePathWarning, match="PYTHONPATH"):
        writable.get_requires_for_build_wheel()
