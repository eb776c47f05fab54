"""Options, sdists and wheels that the user gives to build's command line."""

from __future__ import annotations

import argparse
import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support.archivebuilders import METADATA, add, make_sdist, make_zip
from support.fakes import no_hang

from isolated_hooks.errors import IsolatedHooksError, PolicyError
from isolated_hooks.frontends.build.given import check_given
from isolated_hooks.policy import Policy


def check(srcdir: Path | str = ".", **options: Any) -> None:
    with no_hang():
        check_given(argparse.Namespace(srcdir=os.fspath(srcdir), **options), Policy())


def bomb() -> bytes:
    """Return an sdist whose members all have a large header: it takes gigabytes in tarfile."""
    header = add("pkg-1.0/x", pax_headers={"comment": "x" * 6000})[0].tobuf(tarfile.PAX_FORMAT)
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 1, packed, 0) as file:
        for _ in range(30_000):
            file.write(header)
    return packed.getvalue()


def test_a_given_sdist_is_never_listed_before_its_members_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: 3.1 GB for 3 MB, when all members were listed first."""
    path = tmp_path / "pkg-1.0.tar.gz"
    path.write_bytes(bomb())
    monkeypatch.setattr(tarfile.TarFile, "getmembers", lambda _: pytest.fail("it lists them"))
    with pytest.raises(IsolatedHooksError, match="was not unpacked"):
        check(path)


@pytest.mark.parametrize("kind", ["gzip of no tar", "a cut one", "xz", "bz2", "no compression"])
def test_a_given_sdist_that_tarfile_might_read_and_we_do_not_is_refused(kind: str, tmp_path: Path) -> None:
    good = make_sdist()
    data = {
        "gzip of no tar": gzip.compress(b"no archive" * 1000),
        "a cut one": good[: len(good) // 2],
        "xz": b"\xfd7zXZ\0...",
        "bz2": b"BZh91AY...",
        "no compression": gzip.decompress(good),
    }[kind]
    path = tmp_path / "pkg-1.0.tar.gz"
    path.write_bytes(data)
    with pytest.raises(IsolatedHooksError, match="was not unpacked"):
        check(path)


@pytest.mark.parametrize("data", [b"", b"no archive", b"x" * 10_000, None])
def test_what_nobody_can_read_is_left_to_build(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "pkg-1.0.tar.gz"
    path.write_bytes(make_sdist() if data is None else data)
    check(path)


def test_a_given_wheel_is_weighed_before_its_metadata_are_printed(tmp_path: Path) -> None:
    path = tmp_path / "pkg-1.0-py3-none-any.whl"
    heavy = METADATA + "".join(f"X{number}: y\n" for number in range(200))
    path.write_bytes(make_zip([("pkg-1.0.dist-info/METADATA", heavy.encode())]))
    check(path)
    with pytest.raises(IsolatedHooksError, match="was not read"):
        check(path, metadata=True)
    path.write_bytes(make_zip([("pkg-1.0.dist-info/METADATA", METADATA.encode())]))
    check(path, metadata=True)


@pytest.mark.parametrize("kind", ["fifo", "directory", "no parent", "parent is a file", "empty", "too long"])
def test_a_report_that_cannot_be_written_or_must_not_be_replaced_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    """build renames its report into place: a device such as /dev/full would be gone."""
    (tmp_path / "file").write_text("")
    path = {"no parent": tmp_path / "no" / "r", "parent is a file": tmp_path / "file" / "r", "empty": ""}.get(
        kind, tmp_path / "r"
    )
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "too long":
        path = "x" * 300 + "/r"
    with pytest.raises(PolicyError, match=r"--report: .*cannot be written"):
        check(report=os.fspath(path))


def test_good_reports_and_constraints_are_let_through(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check(report=str(tmp_path / "new"), dependency_constraints_txt=str(tmp_path / "file"), config_json='{"a": 1}')
    check(report=str(tmp_path / "file"), config_json="{not JSON, which is build's to say")
    check(report=None, dependency_constraints_txt=None, config_json=None)
    read_end, write_end = os.pipe()
    check(dependency_constraints_txt=f"/dev/fd/{read_end}")
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("kind", ["fifo", "directory", "missing"])
def test_constraints_that_build_would_wait_for_or_cannot_read_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "constraints"
    if kind != "missing":
        (os.mkfifo if kind == "fifo" else os.mkdir)(path)
    with pytest.raises(PolicyError, match="--dependency-constraints-txt: "):
        check(dependency_constraints_txt=str(path))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_settings_that_json_does_not_read_are_refused(text: str) -> None:
    try:
        check(config_json=text)
    except PolicyError as error:
        assert "--config-json" in str(error)
    else:
        assert text.startswith("{")  # Python before 3.10.7 reads any number of digits
