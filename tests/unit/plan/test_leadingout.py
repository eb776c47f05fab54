"""Links of a source tree that lead to what a hook does not see are told, and no secret is offered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isolated_hooks.files.paths import RealFilesystem
from isolated_hooks.plan.leadingout import notes_of_links


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "package" / "deep").mkdir(parents=True)
    (tree / ".hidden").mkdir()
    return tree


def notes(tree: Path, *, home: str = "/nobody", shown: tuple[str, ...] = ()) -> list[str]:
    return list(notes_of_links(RealFilesystem(), str(tree), home=home, shows=lambda path: path in shown))


def test_a_link_to_what_is_hidden_is_told_with_the_option(tree: Path) -> None:
    outside = tree.parent / "the shared"
    outside.mkdir()
    (tree / "package" / "link").symlink_to("../../the shared")
    (note,) = notes(tree)
    assert f"the link 'package/link' in the source tree leads to '{outside}', which is not shown" in note
    assert note.endswith(f"if you trust the source tree, show it: --expose '{outside}'")
    assert notes(tree, shown=(str(outside),)) == []


@pytest.mark.parametrize("target", ("inside.txt", "/no/such/place", "link", "../tree/inside.txt"))
def test_a_link_that_works_or_works_nowhere_is_not_told(target: str, tree: Path) -> None:
    (tree / "inside.txt").touch()
    (tree / "link").symlink_to(target)
    for place in ("package/deep/link", ".hidden/link"):  # where we do not look
        (tree / place).symlink_to(tree.parent)
    assert notes(tree) == []


@pytest.mark.parametrize("name", ("etc", "home/.secret/key", "other/.netrc", "home", ".", "/"))
def test_no_private_place_is_offered(name: str, tree: Path) -> None:
    target = Path("/etc/passwd") if name == "etc" else tree.parent / name
    if name not in ("etc", "/"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir(exist_ok=True)
    (tree / "link").symlink_to(target)
    (note,) = notes(tree, home=str(tree.parent / "home"))
    assert note.endswith("hooks find nothing there")


def test_there_are_few_notes_and_one_line_each(tree: Path) -> None:
    for number in range(9):
        (tree.parent / f"x\n{number}").touch()
        (tree / f"y\n{number}").symlink_to(f"../x\n{number}")
    told = notes(tree)
    assert len(told) == 4 and not any("\n" in note for note in told)
    assert told[-1] == "further links in the source tree lead to what is not shown"


def test_a_large_tree_is_not_read_to_its_end(tree: Path) -> None:
    for number in range(600):
        (tree / f"{number}").touch()
    assert len(RealFilesystem().links_near(os.fspath(tree), 0)) == 0
    (tree.parent / "a").touch()
    (tree / "package" / "link").symlink_to("../../a")
    assert notes(tree) == []  # more than 512 entries come first
