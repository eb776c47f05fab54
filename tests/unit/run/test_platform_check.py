"""A platform on which the sandbox cannot work is refused before anything is tried, with a remedy."""

from __future__ import annotations

import os
import platform
import sys
from typing import NoReturn

import pytest

from isolated_hooks.errors import SandboxUnavailableError
from isolated_hooks.run.platform_check import check_platform


def test_this_platform_is_accepted() -> None:
    check_platform()


@pytest.mark.parametrize(
    ("module", "name", "value", "problem", "remedy"),
    [
        (sys, "platform", "darwin", "the sandbox needs Linux namespaces", "build on Linux"),
        (platform, "machine", lambda: "sparc64", "no system call filter for sparc64", "x86_64"),
        (platform, "release", lambda: "5.11.9-generic", "Linux 5.11.9-generic has no mount_setattr", "Linux 5.12"),
    ],
    ids=["system", "machine", "kernel"],
)
def test_another_one_is_refused(
    module: object, name: str, value: object, problem: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, value)
    with pytest.raises(SandboxUnavailableError) as caught:
        check_platform()
    assert problem in str(caught.value)
    assert remedy in caught.value.remedy


def test_a_proc_of_other_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(path: str) -> NoReturn:
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr(os, "readlink", absent)
    with pytest.raises(SandboxUnavailableError, match="/proc is not mounted") as caught:
        check_platform()
    assert "mount -t proc proc /proc" in caught.value.remedy
