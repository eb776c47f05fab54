"""Pid 1 moves nothing for a request that is no longer valid: its paths may be those of another process."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from isolated_hooks.sandbox import listener, renames, syscalls

_NUMBER = next(number for number, name in renames.CALLS.items() if name == "renameat")


@pytest.mark.parametrize("valid", [True, False])
def test_a_request_that_is_not_valid_any_more_moves_nothing(
    valid: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here/name").write_text("content")
    # As if each of the two directories were a mount.
    monkeypatch.setattr(syscalls, "mount_id", lambda fd: "/there" in os.readlink(f"/proc/self/fd/{fd}"))
    monkeypatch.setattr(
        renames, "_directory", lambda task, at, path: os.open(tmp_path / os.fsdecode(path), os.O_RDONLY)
    )
    monkeypatch.setattr(listener, "is_valid", lambda *_: valid)
    request: Any = SimpleNamespace(number=_NUMBER, task=1, cookie=1, arguments=[3, 0, 4, 0, 0, 0])
    paths: Any = SimpleNamespace(read=lambda *_: (b"here/name", b"there/other"))
    assert renames.change(0, request, paths) == 0
    assert (tmp_path / "there/other").exists() == valid
    assert (tmp_path / "here/name").exists() != valid
