"""The parser of /proc/self/mountinfo, which lists the mounts."""

from __future__ import annotations

import io
import os
import pathlib
import subprocess

import pytest

from isolated_hooks.sandbox import mounts
from isolated_hooks.sandbox.mounts import Mount, mounted, mounted_beneath


def test_a_line_is_parsed() -> None:
    mount = Mount(b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n")
    assert (mount.device, mount.root, mount.mount_point) == (os.makedev(98, 0), b"/mnt1", b"/mnt2")
    assert (mount.options, mount.kind) == ([b"rw", b"noatime"], b"ext3")
    assert mount.settings == [b"rw", b"errors=continue"]


@pytest.mark.parametrize("fields", ["", "shared:5 ", "shared:5 master:1 unbindable "])
@pytest.mark.parametrize("source", ["none", "", "a\\040b", "-"])
def test_optional_fields_and_odd_sources_do_not_shift_other_fields(fields: str, source: str) -> None:
    mount = Mount(f"1 2 0:3 / /x ro {fields}- cgroup {source} rw,memory\n".encode())
    assert (mount.kind, mount.settings, mount.options) == (b"cgroup", [b"rw", b"memory"], [b"ro"])


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (rb"/a\040b", b"/a b"),
        (rb"/\134040", rb"/\040"),
        (rb"/\011\012", b"/\t\n"),
        (b"/\r\x0b\xff", b"/\r\x0b\xff"),
        (b"/-", b"/-"),
    ],
)
def test_escaped_names_are_decoded(written: bytes, name: bytes) -> None:
    mount = Mount(b"1 2 0:3 %b %b rw - tmpfs none rw\n" % (written, written))
    assert (mount.mount_point, mount.root) == (name, name)


def test_the_mounts_agree_with_findmnt() -> None:
    done = subprocess.run(
        ["findmnt", "--kernel", "--raw", "--noheadings", "--output", "FSTYPE,MAJ:MIN"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [tuple(line.split()) for line in done.stdout.splitlines()]
    ours = [(m.kind.decode(), f"{os.major(m.device)}:{os.minor(m.device)}") for m in mounted()]
    assert sorted(ours) == sorted(theirs)
    assert any(mount.mount_point == b"/" for mount in mounted())


def test_the_mounts_beneath_some_paths_are_found_among_all() -> None:
    points = [mount.mount_point for mount in mounted()]
    for path in (b"/", b"/proc", b"/dev", b"/dev/", b"/de", b"/none"):
        top = path.rstrip(b"/")
        expected = [point for point in points if point == top or point.startswith(top + b"/")]
        assert [mount.mount_point for mount in mounted_beneath((path,))] == expected
    assert [m.mount_point for m in mounted_beneath((b"/dev", b"/proc"))] == [
        point for point in points if f"{point.decode()}/".startswith(("/dev/", "/proc/"))
    ]


@pytest.mark.parametrize("name", ["with space", "with\ttab", "with\nline", "with\\backslash", "plain"])
def test_mounts_are_found_by_the_escaped_path(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    path = f"/trees/{name}".encode()
    escaped = b"".join(b"\\%03o" % c if c in b" \t\n\\" else b"%c" % c for c in path)
    line = b"30 1 0:7 / %b rw - tmpfs none rw\n"
    other = b"31 1 0:8 %b/root /elsewhere rw - tmpfs none rw\n" % escaped
    (tmp_path / "mountinfo").write_bytes(line % escaped + line % (escaped + b"/beneath") + line % b"/trees" + other)
    monkeypatch.setattr(mounts, "open", lambda *_: io.FileIO(tmp_path / "mountinfo"), raising=False)
    assert [mount.mount_point for mount in mounted_beneath((path,))] == [path, path + b"/beneath"]
