"""A ``backend-path`` that leads out of the source tree loads no module from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.attacks.place import Place, quiet

from isolated_hooks import IsolatedHookCaller

pytestmark = pytest.mark.usefixtures("sandbox")

_EVIL = """
def get_requires_for_build_wheel(config_settings=None):
    return ["loaded-from-outside"]
"""


def _requirements(make: Callable[..., Any], place: Place, path: str) -> list[str]:
    caller = make(str(place.tree), "evil", [path], quiet, str(place.python))
    requirements: list[str] = caller.get_requires_for_build_wheel()
    return requirements


@pytest.fixture
def outside(place: Place) -> Path:
    """A directory beside the source tree, with a backend. Its name begins with the tree's name."""
    directory = place.base / f"{place.tree.name}-evil"
    directory.mkdir()
    (directory / "evil.py").write_text(_EVIL)
    return directory


def test_a_neighbour_by_the_prefix_of_its_name_is_not_loaded(place: Place, outside: Path) -> None:
    """B02: pyproject_hooks before 1.3 compares paths as text and accepts it, but the sandbox does not show it."""
    path = f"../{outside.name}"
    try:
        assert _requirements(pyproject_hooks.BuildBackendHookCaller, place, path) == ["loaded-from-outside"]
    except ValueError as error:
        pytest.skip(f"this pyproject_hooks refuses it too: {error}")
    with pytest.raises(pyproject_hooks.BackendUnavailable):
        _requirements(IsolatedHookCaller, place, path)


def test_a_link_out_of_the_tree_is_not_followed(place: Place, outside: Path) -> None:
    """B04: the target of the link does not exist in the sandbox."""
    (place.tree / "backend").symlink_to(outside)
    assert _requirements(pyproject_hooks.BuildBackendHookCaller, place, "backend") == ["loaded-from-outside"]
    with pytest.raises(pyproject_hooks.BackendUnavailable):
        _requirements(IsolatedHookCaller, place, "backend")
