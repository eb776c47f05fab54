"""The deep check of a wheel: what readers of ZIP files disagree on, and what attacks on installers are made of."""

from __future__ import annotations

import contextlib
import csv
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archivebuilders import INFO, METADATA, Check, Refused, checking, make_wheel, make_zip, refusal, wheel_files

from isolated_hooks.results.archives import rules as archives
from isolated_hooks.results.archives import wheels, ziparchive
from isolated_hooks.results.archives.wheels import check_wheel

WHEEL = "pkg-1.0-py3-none-any.whl"
_END = 22


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return checking(check_wheel, tmp_path, WHEEL)


@pytest.fixture
def refused(check: Check) -> Refused:
    return refusal(check)


def member(name: str, *, mode: int = 0o100644, system: int = 3, **attributes: object) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = system
    info.external_attr = mode << 16
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def recorded(more: dict[str, str]) -> bytes:
    """Return a wheel whose RECORD names everything, so that RECORD is not the reason."""
    return make_wheel(more)


# What is taken.


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wheel_as_backends_write_it_is_taken(check: Check, compression: int) -> None:
    check(make_zip(wheel_files().items(), compression=compression))


@pytest.mark.parametrize(
    "more",
    [
        {"pkg/ünïcode 名.txt": "x"},
        {'pkg/a,b".txt': "x"},
        {"pkg-1.0.data/scripts/tool": "#!python\n", "pkg-1.0.data/purelib/x.py": ""},
        {f"{INFO}/licenses/LICENSE": "x", f"{INFO}/top_level.txt": "pkg\n"},
        {f"{INFO}/entry_points.txt": "[console_scripts]\na-b.c = pkg:main\n\n[x.y]\nsome/thing = pkg\n# ../x = y\n"},
        {"pkg/empty": "", "pkg.pth": "import pkg\n"},
    ],
)
def test_what_wheels_have_in_them_is_taken(check: Check, more: dict[str, str]) -> None:
    check(make_wheel(more))


@pytest.mark.parametrize(
    ("name", "info", "metadata"),
    [
        ("Foo_Bar-1.0-py3-none-any.whl", "foo_bar-1.0.dist-info", "Name: foo-bar\nVersion: 1.0\n"),
        ("foo_bar-1.0.0-1-py3-none-any.whl", "Foo.Bar-1.0.dist-info", "Name: Foo.Bar\nVersion: 1.0.0\n"),
    ],
)
def test_the_name_may_be_spelled_in_other_ways(check: Check, name: str, info: str, metadata: str) -> None:
    files = wheel_files({f"{INFO}/METADATA": "Metadata-Version: 2.1\n" + metadata})
    renamed = {path.replace(INFO, info): data.replace(INFO.encode(), info.encode()) for path, data in files.items()}
    check(make_zip(renamed.items()), name)


def test_directories_and_sizes_behind_the_data_are_taken(check: Check) -> None:
    class Pipe(io.RawIOBase):
        """A file that cannot be sought in: the sizes then come in a descriptor behind the data."""

        data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("pkg") if hasattr(archive, "mkdir") else archive.writestr(member("pkg/", mode=0o40755), b"")
        for name, data in wheel_files().items():
            with archive.open(name, "w", force_zip64=name.endswith("METADATA")) as file:
                file.write(data)
    check(pipe.data)


def test_a_signature_of_record_is_not_recorded(check: Check) -> None:
    check(make_wheel(extra=[(f"{INFO}/RECORD.jws", b"{}")]))


# Names.


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "pkg/../../evil.py",
        "/etc/evil",
        "./evil.py",
        "pkg//evil.py",
        "pkg/./evil.py",
        "pkg\\..\\evil.py",
        "C:/evil.py",
        "pkg/evil\n.py",
        "pkg/\x1b[2J.py",
        "pkg/\u202egnp.py",
        "x" * 256,
        "/".join(["x" * 200] * 6),
        "pkg-1.0.data/../evil.py",
        "pkg-1.0.data/scripts/../../evil",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(refused: Refused, name: str) -> None:
    assert "a member's name must" in refused(recorded({name: "x"}))


def test_the_name_in_front_of_a_nul_is_not_the_name(refused: Refused) -> None:
    data = make_wheel({"pkg/evil.py_X.txt": "x"}).replace(b"evil.py_X.txt", b"evil.py\0X.txt")
    assert "a member's name must" in refused(data)


@pytest.mark.parametrize(
    ("one", "other"), [("a.py", "a.py"), ("a.py", "A.py"), ("straße", "STRASSE"), ("é", "e\u0301"), ("a", "a/b")]
)
def test_a_member_that_another_replaces_is_refused(refused: Refused, one: str, other: str) -> None:
    for first, second in ((one, other), (other, one)):
        with pytest.warns(UserWarning) if first == second else _nothing():
            data = make_wheel(extra=[(f"pkg/{first}", b"1"), (f"pkg/{second}", b"2")])
        assert "there once" in (said := refused(data)) or "within a file" in said


def _nothing() -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


@pytest.mark.parametrize("flag", [0, 1 << 11])
def test_a_name_that_readers_decode_differently_is_refused(refused: Refused, flag: int) -> None:
    data = make_wheel({"pkg/\u00fcber.py": "x"})
    if flag:
        data = data.replace("\u00fcber".encode(), b"\xfc\xfcber")
    else:
        data = data.replace(b"\x00\x08\x08\x00", b"\x00\x00\x08\x00")  # the flag of UTF-8, in both headers
    assert "marked as UTF-8" in refused(data)


def test_a_second_name_in_an_extra_field_is_refused(refused: Refused) -> None:
    extra = struct.pack("<HHBL", 0x7075, 9, 1, 0) + b"evil"
    data = make_zip([*wheel_files().items(), (member("pkg/x", extra=extra), b"")])
    assert "second name" in refused(data)


# Kinds and modes.


@pytest.mark.parametrize("mode", [0o120777, 0o20644, 0o60644, 0o10644, 0o140644, 0o40755])
def test_a_member_that_is_no_file_is_refused(refused: Refused, mode: int) -> None:
    assert "regular file" in refused(make_wheel(extra=[(member("pkg/link", mode=mode), b"/etc/passwd")]))
    assert "regular file" in refused(make_wheel(extra=[(member("pkg/link", mode=mode, system=0), b"/etc/passwd")]))


@pytest.mark.parametrize("bit", [0o4000, 0o2000, 0o1000])
def test_a_member_with_a_special_bit_is_refused(refused: Refused, bit: int) -> None:
    assert "setuid" in refused(make_wheel(extra=[(member("pkg/x", mode=0o100755 | bit), b"")]))


def test_a_directory_with_data_is_refused(refused: Refused) -> None:
    data = make_wheel(extra=[(member("pkg/x!", mode=0o40755), b"data")]).replace(b"pkg/x!", b"pkg/x/")
    assert "directory" in refused(data)


# Structure.


def test_what_stands_before_the_first_member_is_refused(refused: Refused) -> None:
    assert "central directory must lie" in refused(b"#!/bin/sh\n" + make_wheel())
    moved = io.BytesIO(b"#!/bin/sh\n")
    moved.seek(0, 2)
    with zipfile.ZipFile(moved, "a") as archive:  # with every offset right
        for name, data in wheel_files().items():
            archive.writestr(name, data)
    assert "begin with its first member" in refused(moved.getvalue())


def test_what_stands_behind_the_end_is_refused(refused: Refused) -> None:
    assert "end record" in refused(make_wheel() + b"x")
    buffer = io.BytesIO(make_wheel())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"a comment, which may hold another end record"
    assert "without a comment" in refused(buffer.getvalue())


def test_a_second_end_record_is_refused(refused: Refused) -> None:
    """Readers that search from the back see another archive than those that search from the front."""
    good, evil = make_wheel(), make_wheel({"pkg/evil.py": "x"})
    assert "refused" in refused(good + evil)
    assert "refused" in refused(good[:-2] + struct.pack("<H", len(evil)) + evil)


def test_a_gap_between_members_is_refused(refused: Refused) -> None:
    """A reader of the local headers would see a member that the central directory does not name."""
    files = [*wheel_files().items(), ("pkg/hidden.py", b"x")]
    data = make_zip(files, compression=zipfile.ZIP_STORED)
    end = struct.unpack("<4s4H2LH", data[-_END:])
    begin = data.rindex(b"PK\1\2")
    shorter = len(data) - _END - begin
    fields = (end[0], 0, 0, len(files) - 1, len(files) - 1, end[5] - shorter, end[6], 0)
    assert "without a gap" in refused(data[:begin] + struct.pack("<4s4H2LH", *fields))


@pytest.mark.parametrize("field", ["name", "size", "crc", "method", "flags"])
def test_a_header_that_differs_from_the_directory_is_refused(refused: Refused, field: str) -> None:
    data = bytearray(make_zip([("pkg/first.py", b"12345"), *wheel_files().items()], compression=zipfile.ZIP_STORED))
    place = {"name": 30, "size": 22, "crc": 14, "method": 8, "flags": 6}[field]
    data[place] ^= 2
    assert "own header" in refused(bytes(data))


@pytest.mark.parametrize("count", [0, 1, 3, 5, 65534])
def test_a_directory_of_another_number_of_members_is_refused(refused: Refused, count: int) -> None:
    data = make_wheel()
    assert len(wheel_files()) == 4
    assert "as many members" in (said := refused(data[:-14] + struct.pack("<HH", count, count) + data[-10:])) or (
        "only its members" in said
    )


def test_members_that_overlap_are_refused(refused: Refused) -> None:
    """As in a bomb of which every member is the same data."""
    data = bytearray(make_wheel({"pkg/a.py": "x" * 100, "pkg/b.py": "x" * 100}))
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    assert "refused" in refused(bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_than_deflate_are_refused(refused: Refused, method: int) -> None:
    assert "deflated" in refused(make_zip(wheel_files().items(), compression=method))


def test_an_encrypted_member_is_refused(refused: Refused) -> None:
    data = bytearray(make_wheel())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    assert "encrypted" in refused(bytes(data))


@pytest.mark.parametrize("place", ["data", "crc"])
def test_damaged_data_are_refused(refused: Refused, place: str) -> None:
    data = bytearray(make_zip([*wheel_files().items()], compression=zipfile.ZIP_STORED))
    if place == "data":
        data[30 + len("pkg/__init__.py")] ^= 1
    else:
        data[14] ^= 1
        data[data.index(b"PK\1\2") + 16] ^= 1
    assert "checksum" in refused(bytes(data))


def test_data_that_unpack_to_more_than_they_announce_are_refused(refused: Refused) -> None:
    """Python's own reader stops where the size says, and other tools go on."""
    files = {**wheel_files({"pkg/long.py": "x" * 10}), "pkg/long.py": b"x" * 1000}
    data = bytearray(make_zip(files.items()))
    for place in (data.index(b"pkg/long.py") - 30 + 14, data.rindex(b"pkg/long.py") - 46 + 16):
        data[place : place + 4] = struct.pack("<L", zlib.crc32(b"x" * 10))
        data[place + 8 : place + 12] = struct.pack("<L", 10)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("pkg/long.py") == b"x" * 10
    assert "size and checksum" in refused(bytes(data))


def test_a_bomb_is_refused_before_it_is_unpacked(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = make_wheel({"pkg/bomb": "\0" * (2 << 20)})
    monkeypatch.setattr(ziparchive.ZipArchive, "blocks", None)
    assert "must not unpack to more than 1048576 bytes" in refused(bomb)
    monkeypatch.setattr(archives, "RATIO_FROM", 1 << 20)
    assert "200 times its size" in refused(bomb, limit=1 << 30)


def test_a_flood_of_members_is_refused(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    assert "more than 3 members" in refused(make_wheel())


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\5\6" + bytes(18), b"not a zip file at all, but long enough"])
def test_what_is_no_wheel_at_all_is_refused(refused: Refused, data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize("cut", [1, 21, 22, 23, 100, 300])
def test_half_a_wheel_is_refused(refused: Refused, cut: int) -> None:
    refused(make_wheel()[:-cut])


# What a wheel says of itself.


@pytest.mark.parametrize("missing", ["METADATA", "WHEEL", "RECORD"])
def test_a_wheel_without_its_metadata_is_refused(refused: Refused, missing: str) -> None:
    files = {name: data for name, data in wheel_files().items() if not name.endswith(missing)}
    assert "METADATA, WHEEL and RECORD" in refused(make_zip(files.items()))


@pytest.mark.parametrize(
    "info",
    ["other-1.0.dist-info", "pkg-2.0.dist-info", "pkg.dist-info", "PKG-1.0.0.DIST-INFO", "other-1.0.data/scripts"],
)
def test_a_second_special_directory_is_refused(refused: Refused, info: str) -> None:
    said = refused(make_wheel({f"{info}/METADATA": METADATA}))
    assert "named after the wheel" in said or "exactly one .dist-info" in said


def test_an_unknown_scheme_is_refused(refused: Refused) -> None:
    assert ".data directory must hold only" in refused(make_wheel({"pkg-1.0.data/etc/passwd": "x"}))


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ("Name: other\nVersion: 1.0\n", "the name"),
        ("Name: pkg\nVersion: 1.1\n", "the version"),
        ("Name: pkg\n", "one valid"),
        ("Version: 1.0\n", "one valid"),
        ("Name: pkg\nName: other\nVersion: 1.0\n", "one valid"),
        ("Name: p kg\nVersion: 1.0\n", "one valid"),
        ("Name: pkg\nVersion: " + "9" * 100_000 + "\n", "one valid"),
        ("\nName: pkg\nVersion: 1.0\n", "one valid"),
    ],
)
def test_metadata_of_another_project_are_refused(refused: Refused, metadata: str, what: str) -> None:
    assert what in refused(make_wheel({f"{INFO}/METADATA": "Metadata-Version: 2.1\n" + metadata}))


def _with_record(change: Callable[[list[list[str]]], list[list[str]]]) -> bytes:
    files = wheel_files()
    name = f"{INFO}/RECORD"
    rows = change(list(csv.reader(files[name].decode().splitlines())))
    files[name] = "".join(",".join(row) + "\n" for row in rows).encode()
    return make_zip(files.items())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda rows: rows[1:], "every file"),
        (lambda rows: [*rows, rows[0]], "each once"),
        (lambda rows: [*rows, ["pkg/none.py", "", ""]], "each once"),
        (lambda rows: [*rows, ["../../etc/passwd", "", ""]], "each once"),
        (lambda rows: [[rows[0][0], "", ""], *rows[1:]], "digests of"),
        (lambda rows: [[rows[0][0], "md5=x", rows[0][2]], *rows[1:]], "digests of"),
        (lambda rows: [[rows[0][0], "sha256=x", rows[0][2]], *rows[1:]], "the digest"),
        (lambda rows: [[rows[0][0], rows[1][1], rows[0][2]], *rows[1:]], "the digest"),
        (lambda rows: [[*rows[0][:2], "1"], *rows[1:]], "the size"),
        (lambda rows: [*rows[:-1], [rows[-1][0], "sha256=x", ""]], "itself"),
        (lambda rows: [["a"], *rows], "three fields"),
        (lambda rows: [['"', "", ""], *rows], "CSV"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    refused: Refused, change: Callable[[list[list[str]]], list[list[str]]], what: str
) -> None:
    assert what in refused(_with_record(change))


def test_a_record_without_sizes_is_taken(check: Check) -> None:
    check(_with_record(lambda rows: [[*row[:2], ""] for row in rows]))


@pytest.mark.parametrize("listed", [False, True])
def test_a_damaged_signature_of_record_is_refused(refused: Refused, listed: bool) -> None:
    files = {**wheel_files(), f"{INFO}/RECORD.jws": b"a signature"}
    files[f"{INFO}/RECORD"] += f"{INFO}/RECORD.jws,,\n".encode() * listed
    data = make_zip(files.items(), compression=zipfile.ZIP_STORED)
    assert "checksum" in refused(data.replace(b"a signature", b"b signature"))


@pytest.mark.parametrize("section", ["console_scripts", "gui_scripts", "DEFAULT"])
@pytest.mark.parametrize("name", ["../../bin/x", "/bin/x", "..", ".", "a/b", "a\\b", " : x", "\x1b[2J", "a\u202eb"])
def test_a_script_that_leads_elsewhere_is_refused(refused: Refused, section: str, name: str) -> None:
    points = f"[other]\nx = y\n[{section}]\ngood = pkg:main\n{name} = pkg:main\n"
    assert "name of a file" in refused(make_wheel({f"{INFO}/entry_points.txt": points}))


def test_text_that_is_no_text_is_refused(refused: Refused) -> None:
    files = {**wheel_files(), f"{INFO}/RECORD": b"\xff"}
    assert "UTF-8" in refused(make_zip(files.items()))


def test_extra_fields_are_bounded_before_any_reader_takes_their_square(refused: Refused) -> None:
    """A directory of 64 MiB has a thousand members with 64 KiB of extra fields each, 0.1 s a member."""
    extra = b"".join(struct.pack("<HH", number, 0) for number in range(2, 300))
    assert "extra fields" in refused(make_zip([*wheel_files().items(), (member("pkg/x", extra=extra), b"")]))


def test_a_record_of_more_lines_than_files_is_refused_unparsed(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = wheel_files()
    monkeypatch.setattr(wheels.csv, "reader", lambda *_, **__: pytest.fail("it is parsed"))
    for line in (b",,\n", b"\n", b"\r", "\u2028".encode()):
        assert "RECORD" in refused(make_zip([*{**files, f"{INFO}/RECORD": line * 100_000}.items()]))


def test_entry_points_are_bounded(refused: Refused) -> None:
    assert "larger than" in refused(make_wheel(more={f"{INFO}/entry_points.txt": "#" * ((1 << 20) + 1)}), limit=1 << 22)


@pytest.mark.parametrize("size", [(1 << 18) - 1, 1 << 18, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (1 << 20) + 258])
def test_output_that_zlib_holds_back_is_read(size: int, check: Check) -> None:
    """zlib has taken the whole input of the last but one before it has given all output."""
    check(make_wheel(more={"pkg/x": "#" * size}), limit=1 << 22)
