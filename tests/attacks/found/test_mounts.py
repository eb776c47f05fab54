"""Mounts of the host below paths that a hook sees: they become read-only with the path, and keep their flags."""

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
    """A separate file system in the build environment, with a file."""
    directory = place.base / "env/lib/mounted"
    directory.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(_NOSUID | _NODEV | _NOEXEC)
    if libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", flags, b"size=64k,mode=0777"):
        pytest.skip(f"this host refuses to mount a tmpfs: {os.strerror(ctypes.get_errno())}")
    try:
        (directory / "file").touch(0o666)
        yield directory
    finally:
        libc.umount2(os.fsencode(directory), 2)


def test_a_mount_beneath_the_build_environment_is_read_only_too(place: Place, mounted: Path) -> None:
    """G10: without the sandbox it is writable. A remount that is not recursive would leave it writable."""
    paths = {sandboxed: str(mounted / f"made-{sandboxed}") for sandboxed in (False, True)}
    results = {}
    for sandboxed, path in paths.items():
        attacks = {"write": {"probe": "create", "arguments": {"paths": [path], "text": "x"}}}
        results[sandboxed] = place.call(attacks, sandboxed=sandboxed)["write"][path]
    assert results == {False: "done", True: "EROFS"}
    assert sorted(os.listdir(mounted)) == ["file", "made-False"]


def test_a_mount_keeps_its_flags(place: Place, mounted: Path) -> None:
    """G11: a mount on which the host forbids execution stays so in the sandbox."""
    flags = {"flags": {"probe": "mount_flags", "arguments": {"path": str(mounted)}}}
    assert place.call(flags)["flags"] & (_NOSUID | _NODEV | _NOEXEC) == _NOSUID | _NODEV | _NOEXEC
