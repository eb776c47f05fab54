"""Each field of a ZIP file that readers interpret differently has its own check, and its own words."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from support.archivebuilders import Check, Refused, checking, make_wheel, make_zip, refusal, wheel_files

from isolated_hooks.results.archives import ziparchive
from isolated_hooks.results.archives.wheels import check_wheel

# Where a field begins: in a member's own header, in its entry of the central directory, and in the end record.
_LOCAL = {"flags": 6, "method": 8, "crc": 14, "packed": 18, "size": 22, "name": 30}
_CENTRAL = {"signature": 0, "flags": 8, "method": 10, "crc": 16, "packed": 20, "size": 24, "disk": 34, "offset": 42}
_END = {"disk": 4, "first": 6, "here": 8, "count": 10, "size": 12, "begin": 16}
_FORMATS = {"crc": "<L", "packed": "<L", "size": "<L", "offset": "<L", "begin": "<L"}


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return checking(check_wheel, tmp_path, "pkg-1.0-py3-none-any.whl")


@pytest.fixture
def refused(check: Check) -> Refused:
    return refusal(check)


def _put(data: bytearray, place: int, field: str, value: int) -> None:
    packed = struct.pack(_FORMATS.get(field, "<H"), value)
    data[place : place + len(packed)] = packed


def with_entry(data: bytes, name: bytes, **values: int) -> bytes:
    """Return a ZIP file with other values in the central directory."""
    changed = bytearray(data)
    for field, value in values.items():
        _put(changed, changed.rindex(name) - 46 + _CENTRAL[field], field, value)
    return bytes(changed)


def with_member(data: bytes, name: bytes, **values: int) -> bytes:
    """Return a ZIP file with other values in both headers of a member."""
    changed = bytearray(with_entry(data, name, **values))
    for field, value in values.items():
        _put(changed, changed.index(name) - _LOCAL["name"] + _LOCAL[field], field, value)
    return bytes(changed)


def with_end(data: bytes, **values: int) -> bytes:
    """Return a ZIP file with other values in its end record."""
    changed = bytearray(data)
    for field, value in values.items():
        _put(changed, len(data) - 22 + _END[field], "offset" if field in ("size", "begin") else field, value)
    return bytes(changed)


def test_the_same_values_change_nothing(check: Check) -> None:
    data = make_wheel({"pkg/x.py": "12345"})
    same = with_member(data, b"pkg/x.py", size=5, method=zipfile.ZIP_DEFLATED, flags=0)
    assert with_end(with_entry(same, b"pkg/x.py", disk=0), disk=0, first=0, here=5, count=5) == data
    check(data)


@pytest.mark.parametrize("values", [{"signature": 0x4B51}, {"disk": 1}, {"offset": 0xFFFFFFFF}])
def test_an_entry_of_another_kind_is_refused(refused: Refused, values: dict[str, int]) -> None:
    assert "plain entries" in refused(with_entry(make_wheel({"pkg/x.py": "12345"}), b"pkg/x.py", **values))


@pytest.mark.parametrize(
    "values", [{"disk": 1}, {"first": 1}, {"here": 3}, {"size": 0xFFFFFFFF}, {"begin": 0xFFFFFFFF}]
)
def test_a_second_volume_is_refused(refused: Refused, values: dict[str, int]) -> None:
    assert "single volume" in refused(with_end(make_wheel(), **values))


@pytest.mark.parametrize("values", [{"flags": 8}, {"size": 4}])
def test_a_stored_member_of_two_sizes_is_refused(refused: Refused, values: dict[str, int]) -> None:
    """A reader that goes by the descriptor behind the data finds another end."""
    data = make_zip(wheel_files({"pkg/x.py": "12345"}).items(), compression=zipfile.ZIP_STORED)
    assert "announce its size" in refused(with_member(data, b"pkg/x.py", **values))


def test_extra_fields_with_a_rest_are_refused(refused: Refused) -> None:
    info = zipfile.ZipInfo("pkg/x.py")
    info.extra = b"xyz"
    assert "well-formed" in refused(make_zip([*wheel_files().items(), (info, b"")]))


def test_data_without_an_end_are_refused(refused: Refused) -> None:
    """Where a stream of deflate has no last block, a reader may read on into the next member."""
    text = b"x" * 100
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    endless = deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)
    files = {**wheel_files({"pkg/x.py": text.decode()}), "pkg/x.py": endless}
    data = make_zip(files.items(), compression=zipfile.ZIP_STORED)
    values = {"method": zipfile.ZIP_DEFLATED, "size": len(text), "crc": zlib.crc32(text)}
    assert "must end at the announced size" in refused(with_member(data, b"pkg/x.py", **values))


def test_the_central_directory_is_bounded(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ziparchive, "_MAX_DIRECTORY", 100)
    assert "larger than 100 bytes" in refused(make_wheel())
