"""Which paths lead through a tree that a hook may write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from isolated_hooks.files.spelling import absolute, normal
from isolated_hooks.files.steered import Trees
from isolated_hooks.launchers.linker_variables import trusted_libraries


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "to-sub").symlink_to("tree/sub")
    (tree / "out").symlink_to("../other")
    (tmp_path / "through").symlink_to(tree / "out")
    return tree


@pytest.mark.parametrize(
    "path",
    [
        "tree",
        "tree/",
        "tree/sub",
        "tree/none/bin",
        "to-sub",
        "to-sub/bin",
        "tree/out",
        "through",
        "through/bin",
        "tree/sub/../../other",
        "other/../tree/./bin",
    ],
)
def test_paths_that_a_hook_can_steer(tree: Path, path: str) -> None:
    assert Trees((str(tree),), ()).steer(f"{tree.parent}/{path}")


@pytest.mark.parametrize("path", ["other", "other/bin", "tree2", "tree/../other", "none/bin", "../tree-not"])
def test_paths_that_no_hook_can_steer(tree: Path, path: str) -> None:
    assert not Trees((str(tree),), ()).steer(f"{tree.parent}/{path}")


@pytest.mark.parametrize("path", ["/", "", "/etc", "//", "//etc", "///etc/./x/..", "/nothing//of/this/name"])
def test_two_slashes_at_the_start_are_one(tree: Path, path: str) -> None:
    """Tried on Linux: path_resolution(7) knows no other place for them. And no question about them takes for ever."""
    trees = Trees([str(tree)])
    for text in (normal(path or "."), absolute(path)):
        assert not text.startswith("//")
        assert not trees.hold(text)
    assert not trees.hold(path)
    assert not trees.steer(absolute(path))
    assert trees.hold(absolute(f"/{tree}/sub"))
    assert trees.steer(f"/{tree}/sub")


def test_the_tree_may_be_named_by_a_link(tree: Path) -> None:
    link = tree.parent / "link"
    link.symlink_to(tree)
    assert Trees((str(link),), ()).steer(f"{tree}/bin")
    assert Trees((str(tree),), ()).steer(f"{link}/bin")


def test_kept_directories_within_the_tree_count_as_outside(tree: Path) -> None:
    trees = Trees((str(tree),), (f"{tree}/sub/.venv",))
    assert not trees.steer(f"{tree}/sub/.venv/bin")
    assert trees.steer(f"{tree}/sub")
    assert trees.steer(f"{tree}/sub/bin")


def test_links_in_a_circle_count_as_steered(tree: Path) -> None:
    (tree.parent / "circle").symlink_to("circle")
    assert Trees((str(tree),), ()).steer(f"{tree.parent}/circle")
    assert not Trees((), ()).steer(f"{tree.parent}/circle")


def test_the_linker_is_not_led_into_a_tree(tree: Path) -> None:
    trees = Trees((str(tree),), ())
    environ = {
        "LD_LIBRARY_PATH": f"/usr/lib:{tree}/lib:{tree.parent}/through",
        "LD_PRELOAD": f"libm.so.6 {tree}/evil.so",
        "LD_DEBUG_OUTPUT": f"{tree}/debug",
        "LD_BIND_NOW": "1",
        "PATH": f"{tree}",
    }
    assert trusted_libraries(environ, trees) == {
        "LD_LIBRARY_PATH": "/usr/lib",
        "LD_PRELOAD": "",
        "LD_DEBUG_OUTPUT": "",
    }
    assert trusted_libraries(environ, Trees(())) == {}
