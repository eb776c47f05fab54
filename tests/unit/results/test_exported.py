from __future__ import annotations

import os
import pathlib

import pytest

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.results import exported
from isolated_hooks.results.exported import check_kept, exported_in, remember, snapshot


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "_exported", {})


@pytest.fixture
def dist(tmp_path: pathlib.Path) -> pathlib.Path:
    """An output directory with a wheel and a metadata directory, both exported."""
    path = tmp_path / "tree/dist"
    (path / "x.dist-info").mkdir(parents=True)
    (path / "x.whl").write_text("wheel")
    (path / "x.dist-info/METADATA").write_text("metadata")
    (path / "other").touch()
    remember(str(path), ["x.whl", "x.dist-info", "gone.whl"])
    return path


def test_what_is_there_is_found_in_the_trees_that_hold_it(dist: pathlib.Path, tmp_path: pathlib.Path) -> None:
    both = (str(dist / "x.whl"), str(dist / "x.dist-info"))
    for tree in (dist, dist.parent, tmp_path):
        assert exported_in([str(tmp_path / "none"), str(tree)]) == both
    assert exported_in([str(tmp_path / "tre")]) == exported_in([]) == ()


def test_a_link_is_no_artefact(dist: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (dist / "x.whl").unlink()
    os.symlink("other", dist / "x.whl")
    assert exported_in([str(dist)]) == (str(dist / "x.dist-info"),)
    dist.rename(tmp_path / "moved")
    os.symlink(tmp_path / "moved", dist)
    assert exported_in([str(dist)]) == ()


@pytest.mark.parametrize("path", ["x.whl", "x.dist-info", "x.dist-info/METADATA"])
@pytest.mark.parametrize("how", ["write", "touch back", "replace", "remove", "add", "chmod"])
def test_every_change_is_seen(dist: pathlib.Path, path: str, how: str) -> None:
    before = snapshot([str(dist)])
    check_kept(before)
    changed = dist / path
    if how == "add" or changed.is_dir():
        if not changed.is_dir():
            pytest.skip("only a directory holds something")
        (changed / "new").touch()
    elif how in ("write", "touch back"):
        status = changed.stat()
        changed.write_text("hostil" if how == "write" else "x" * status.st_size)
        os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif how == "replace":
        (dist / "other").rename(changed)
    elif how == "remove":
        changed.unlink()
    else:
        changed.chmod(0o600)
    with pytest.raises(UntrustedResultError, match="an earlier hook"):
        check_kept(before)


def test_memory_is_bounded(tmp_path: pathlib.Path) -> None:
    for number in range(1000):
        remember(f"/out/{number}", ["x.whl"])
        remember(str(tmp_path), [f"{number}.whl"])
    assert len(exported._exported) == 256
    (tmp_path / "999.whl").touch()
    (tmp_path / "0.whl").touch()
    assert exported_in([str(tmp_path)]) == (str(tmp_path / "999.whl"),)


def test_what_another_thread_has_exported_again_is_no_change_by_the_hook(dist: pathlib.Path) -> None:
    before = snapshot([str(dist)])
    (dist / "x.whl").write_text("another")
    remember(str(dist), ["x.whl"])
    check_kept(before)
    (dist / "x.dist-info/METADATA").write_text("another")
    with pytest.raises(UntrustedResultError):
        check_kept(before)
