"""What is gathered of this host for one call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from isolated_hooks.errors import PolicyError
from isolated_hooks.policy import Policy
from isolated_hooks.run import situation


@pytest.mark.parametrize(
    ("source", "policy"),
    [("/", Policy()), ("/proc", Policy()), ("HOME", Policy()), ("tree", Policy(writable=["/sys/kernel"]))],
    ids=["root", "proc", "home", "writable"],
)
def test_what_no_plan_can_show_is_refused_and_not_walked(
    source: str, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole file system takes seconds, or minutes."""
    (tmp_path / "tree").mkdir()
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    named = {"HOME": os.fspath(tmp_path), "tree": os.fspath(tmp_path / "tree")}

    def walked(paths: tuple[str, ...]) -> NoReturn:
        raise AssertionError(f"{paths} were walked")

    monkeypatch.setattr(situation, "survey", walked)
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # only root needs the owners
    with pytest.raises(PolicyError):
        situation.situation_of(named.get(source, source), policy)
    with pytest.raises(AssertionError, match="were walked"):
        situation.situation_of(named["tree"], Policy())
