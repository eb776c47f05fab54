"""Mounts of the host within what a hook sees: as read-only as what they are in, and with the flags that they had."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.attacks.place import Place

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts filesystems"),
]

_NOSUID, _NODEV, _NOEXEC = 2, 4, 8


@pytest.fixture
def mounted(place: Place) -> Iterator[Path]:
    """A filesystem of its own in the build environment, with a file in it."""
    directory = place.base / "env/lib/mounted"
    directory.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(_NOSUID | _NODEV | _NOEXEC)
    if libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", flags, b"size=64k,mode=0777"):
        pytest.skip(f"no tmpfs can be mounted: {os.strerror(ctypes.get_errno())}")
    try:
        (directory / "file").touch(0o666)
        yield directory
    finally:
        libc.umount2(os.fsencode(directory), 2)


def test_a_mount_beneath_the_build_environment_is_read_only_too(place: Place, mounted: Path) -> None:
    """G10: without the sandbox it can be written to; a remount that is not recursive would leave it so."""
    made = {sandboxed: str(mounted / f"made-{sandboxed}") for sandboxed in (False, True)}
    said = {}
    for sandboxed, path in made.items():
        attacks = {"write": {"probe": "create", "arguments": {"paths": [path], "text": "x"}}}
        said[sandboxed] = place.call(attacks, sandboxed=sandboxed)["write"][path]
    assert said == {False: "done", True: "EROFS"}
    assert sorted(os.listdir(mounted)) == ["file", "made-False"]


def test_a_mount_keeps_its_flags(place: Place, mounted: Path) -> None:
    """G11: what the host has mounted so that nothing there can be run stays so."""
    flags = {"flags": {"probe": "mount_flags", "arguments": {"path": str(mounted)}}}
    assert place.call(flags)["flags"] & (_NOSUID | _NODEV | _NOEXEC) == _NOSUID | _NODEV | _NOEXEC
