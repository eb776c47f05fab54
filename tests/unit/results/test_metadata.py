"""Core metadata whose size says nothing about the work that they make: METADATA of a directory, and of a wheel."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import zipfile
from pathlib import Path

import packaging.metadata
import pytest
from support.archivebuilders import METADATA, make_sdist, make_wheel, make_zip
from support.fakes import no_hang

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.results import metadata
from isolated_hooks.results.archives import weight
from isolated_hooks.results.archives.deepcheck import check_artefact, check_metadata, check_weight
from isolated_hooks.results.archives.rules import read_identity
from isolated_hooks.results.metadata import MAX_DOCUMENT, vet_metadata

INFO = "pkg-1.0.dist-info"
HEAD = METADATA.encode()
HEAVY = {
    "names of fields": HEAD + b"".join(b"X%d: y\n" % number for number in range(101)),
    "fields": HEAD + b"Requires-Dist: y\n" * 20_000,
    "lines": HEAD + b"Description: a\n" + b" b\n" * 200_000,
    "lines that end otherwise": HEAD + b"Description: a\r" + b" b\r" * 200_000,
    "size": HEAD + b"\n" + b"x" * MAX_DOCUMENT,
    "requirements": HEAD + b"Requires-Dist: a " + b">1," * (1 << 20) + b">1\n",
    "requirements of many lines": HEAD + b"Requires-Dist: a\n" + b" >1,\n" * 150_000 + (b" " + b">1," * 500_000),
    "parentheses": HEAD + b"Requires-Dist: a; " + b"(" * 1000 + b"os_name=='a'" + b")" * 1000 + b"\n",
    "parentheses of many lines": HEAD + b"requires-DIST : a;\n" + b" (((\n" * 100,
    "parts": HEAD + b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\n" * 1000,
    "folded parts": HEAD + b"content-type:\n multipart/mixed;\n boundary=a\n\n",
    "a message": HEAD + b"Content-Type: message/rfc822\n\n" * 1000,
}
REFUSED = {
    "names of fields": "100 names",
    "fields": "20000 fields",
    "lines": "200000 lines",
    "size": "larger than",
    "requirements": "requirements",
    "parentheses": "64 parentheses",
    "parts": "parts",
    "folded parts": "parts",
    "a message": "parts",
}


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_metadata_are_refused_before_any_parser_sees_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: packaging takes 46 s for the fields of 20,000 names, in 200 KB, and readers the memory of the size."""
    if "parts" not in name and "message" not in name:
        monkeypatch.setattr(metadata, "BytesHeaderParser", lambda: pytest.fail("it is parsed"))
    with no_hang(), pytest.raises(UntrustedResultError) as caught:
        vet_metadata(HEAVY[name], "pkg-1.0.dist-info/METADATA")
    assert REFUSED.get(name, REFUSED.get(name.partition(" ")[0], "")) in caught.value.rule
    assert len(str(caught.value)) < 1000
    with pytest.raises(UntrustedResultError):
        read_identity(HEAVY[name], "METADATA")


GOOD = {
    "none": b"",
    "plain": HEAD,
    "a long description": HEAD + b"Description: x\n" + b"        (line) 1 of : many\n" * 50_000 + b"\nbody\n" * 100_000,
    "a long body": HEAD + b"\n" + b"Name: y\nContent-Type: multipart/mixed\n" * 50_000,
    "many requirements": HEAD + b"".join(b"Requires-Dist: p%d (>=1) ; extra == 'e'\n" % n for n in range(15_000)),
    "the type of a body": HEAD + b"Content-Type: text/markdown; charset=UTF-8\n\nbody",
    "other line ends": HEAD.replace(b"\n", b"\r\n") + b"\r\n" + b"X: \r\n" * 300_000,
    "no text": HEAD + b"Author: \xff\xfe\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_metadata_of_real_projects_are_let_through(name: str) -> None:
    vet_metadata(GOOD[name], "METADATA")
    with no_hang():
        packaging.metadata.parse_email(GOOD[name])


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / INFO).mkdir()
    return tmp_path


def checked(staging: Path, *, deep: bool = False) -> None:
    fd = os.open(staging, os.O_RDONLY)
    try:
        check_metadata(fd, INFO, deep=deep)
    finally:
        os.close(fd)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("document", sorted(metadata.DOCUMENTS))
def test_a_document_of_a_directory_is_not_read_above_its_limit(document: str, deep: bool, staging: Path) -> None:
    """Control: build takes 9.4 GB for METADATA of 1 GiB."""
    (staging / INFO / "METADATA").write_bytes(HEAD)
    with open(staging / INFO / document, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(UntrustedResultError, match="larger than the limit"):
        checked(staging, deep=deep)


def test_a_directory_without_metadata_is_refused_by_the_deep_check_alone(staging: Path) -> None:
    checked(staging)
    with pytest.raises(UntrustedResultError):
        checked(staging, deep=True)


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
@pytest.mark.parametrize("document", ["METADATA", "entry_points.txt"])
def test_a_document_that_is_no_file_is_refused(document: str, kind: str, staging: Path) -> None:
    (staging / INFO / "METADATA").write_bytes(HEAD)
    path = staging / INFO / document
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    else:
        path.mkdir()
    with no_hang(), pytest.raises(UntrustedResultError):
        checked(staging)


def test_heavy_metadata_of_a_directory_are_refused(staging: Path) -> None:
    (staging / INFO / "METADATA").write_bytes(HEAVY["names of fields"])
    with pytest.raises(UntrustedResultError, match="100 names"):
        checked(staging)


# Wheels


def weighed(data: bytes, directory: Path) -> None:
    path = directory / "wheel"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        with no_hang():
            check_weight(fd, "pkg-1.0-py3-none-any.whl")
    finally:
        os.close(fd)


def wheel_with(content: bytes, name: str = f"{INFO}/METADATA", **attributes: int) -> bytes:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    for key, value in attributes.items():
        setattr(info, key, value)
    return make_zip([(info, content)])


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\5\6", b"PK\5\6" + bytes(18), b"x" * 100_000 + b"PK\5\6"])
def test_what_is_no_archive_costs_nothing(data: bytes, tmp_path: Path) -> None:
    weighed(data, tmp_path)


@pytest.mark.parametrize("front", [b"", b"#!/bin/sh\n"])
@pytest.mark.parametrize("comment", [b"", b"a comment"])
def test_a_good_wheel_is_light_and_its_metadata_are_looked_at(front: bytes, comment: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made"
    for content, refused in ((HEAD, False), (HEAVY["names of fields"], True)):
        with open(path, "wb") as file:
            file.write(front)
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.comment = comment
                archive.writestr(f"{INFO}/METADATA", content)
                archive.writestr("pkg/x.py", "1")
        data = path.read_bytes()
        if not refused:
            weighed(data, tmp_path)
            continue
        with pytest.raises(UntrustedResultError, match="100 names"):
            weighed(data, tmp_path)


def test_a_bomb_in_a_document_is_refused_by_what_it_announces(tmp_path: Path) -> None:
    """Control: pip and fromager read such a file as a whole. The wheel has a thousandth of its size."""
    for name in (f"{INFO}/METADATA", f"{INFO}/entry_points.txt", "other.dist-info/RECORD", f"{INFO}/WHEEL\0x"):
        data = wheel_with(bytes(MAX_DOCUMENT + 1), name.replace("\0", "!"))
        with pytest.raises(UntrustedResultError, match="read as a whole"):
            weighed(data.replace(name.replace("\0", "!").encode(), name.encode()), tmp_path)


def test_metadata_under_a_second_name_are_found(tmp_path: Path) -> None:
    """zipfile of newer versions of Python prefers the name in this extra field."""
    info = zipfile.ZipInfo("harmless")
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(f"{INFO}/METADATA"), 1, 0) + f"{INFO}/METADATA".encode()
    with pytest.raises(UntrustedResultError, match="100 names"):
        weighed(make_zip([(info, HEAVY["names of fields"])]), tmp_path)


def test_metadata_that_we_cannot_read_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo(f"{INFO}/METADATA")
    info.compress_type = zipfile.ZIP_BZIP2
    with pytest.raises(UntrustedResultError, match="stored or deflated"):
        weighed(make_zip([(info, HEAD)]), tmp_path)


def test_more_files_of_metadata_than_readers_accept_are_refused(tmp_path: Path) -> None:
    files = [(f"a{number}.dist-info/METADATA", HEAD) for number in range(5)]
    weighed(make_zip(files[:4]), tmp_path)
    with pytest.raises(UntrustedResultError, match="more than 4 files METADATA"):
        weighed(make_zip(files), tmp_path)


def test_extra_fields_are_bounded(tmp_path: Path) -> None:
    """Control: zipfile takes the square of their size."""
    info = zipfile.ZipInfo("x")
    info.extra = b"".join(struct.pack("<HH", number, 0) for number in range(2, 300))
    with pytest.raises(UntrustedResultError, match="extra fields"):
        weighed(make_zip([(info, b"")]), tmp_path)


def test_the_directory_is_bounded_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_wheel()
    monkeypatch.setattr(weight, "MAX_ENTRIES", 2)
    with pytest.raises(UntrustedResultError, match="more than 2 members"):
        weighed(data, tmp_path)
    read: list[int] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, place: read.append(size) or real(fd, size, place))
    monkeypatch.setattr(weight, "MAX_DIRECTORY", 100)
    with pytest.raises(UntrustedResultError, match="directory must not be larger than 100"):
        weighed(data, tmp_path)
    assert sum(read) <= len(data) + 200


@pytest.mark.skipif(sys.maxsize < 1 << 32, reason="needs 64-bit sizes")
def test_the_directory_of_a_zip64_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
    data = wheel_with(HEAVY["names of fields"])
    assert b"PK\6\6" in data
    with pytest.raises(UntrustedResultError, match="100 names"):
        weighed(data, tmp_path)


@pytest.mark.parametrize("name", ["pkg-1.0-py3-none-any.whl", "pkg-1.0.tar.gz"])
def test_the_deep_check_looks_at_the_weight_too(name: str, tmp_path: Path) -> None:
    good, bad = (make_wheel(), wheel_with(HEAVY["names of fields"])) if name.endswith("l") else (make_sdist(), b"")
    path = tmp_path / name
    for data, refused in ((good, False), (bad, True)):
        path.write_bytes(data)
        fd = os.open(path, os.O_RDONLY)
        try:
            with pytest.raises(UntrustedResultError) if refused else contextlib.nullcontext():
                check_artefact(fd, name, limit=1 << 20)
        finally:
            os.close(fd)
