"""The deep check of an sdist: what leads out of the directory, and what nobody may make a reader of tar files do."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.archivebuilders import METADATA, Check, Refused, add, checking, make_sdist, make_tar, make_zip, refusal
from support.fakes import no_hang

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.results.archives import rules as archives
from isolated_hooks.results.archives import tararchive
from isolated_hooks.results.archives.sdists import check_sdist

#: Returns what tarfile, as build calls it, makes of a .tar.gz: the content of each file, by path.
Unpacked = Callable[[bytes], "dict[str, bytes]"]

SDIST = "pkg-1.0.tar.gz"
TOP = "pkg-1.0"

FORMATS = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return checking(check_sdist, tmp_path, SDIST)


@pytest.fixture
def refused(check: Check) -> Refused:
    return refusal(check)


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpacked:
    def unpack(data: bytes) -> dict[str, bytes]:
        outside = set(tmp_path.iterdir())
        place = tmp_path / "unpacked"
        options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            archive.extractall(place, **options)
        assert set(tmp_path.iterdir()) == {*outside, place}
        files = [path for path in place.rglob("*") if path.is_file()]
        assert all(path.resolve().is_relative_to(place.resolve()) for path in files)
        return {str(path.relative_to(place)): path.read_bytes() for path in files}

    return unpack


def raw(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.USTAR_FORMAT) -> bytearray:
    """Return the tar file within an sdist with these members, to be changed."""
    return bytearray(gzip.decompress(make_sdist(*members, format=format)))


def packed(data: bytes) -> bytes:
    return gzip.compress(bytes(data), mtime=0)


def change(data: bytearray, name: bytes, place: int, value: bytes) -> bytearray:
    """Change a header, and its checksum with it."""
    start = data.rindex(name, 0, len(data)) // 512 * 512
    data[start + place : start + place + len(value)] = value
    block = data[start : start + 512]
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    data[start + 148 : start + 156] = b"%06o\0 " % total
    return data


def pax(name: str, headers: dict[str, str], data: bytes = b"x", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    return add(f"{TOP}/{name}", data, pax_headers=headers, **attributes)


# What is taken.


@pytest.mark.parametrize("format", FORMATS)
def test_an_sdist_as_backends_write_it_is_taken(check: Check, format: int) -> None:
    check(make_sdist(add(f"{TOP}/setup.py", b"x" * 1000), format=format))


@pytest.mark.parametrize("format", FORMATS[:2])
def test_names_of_every_kind_are_taken(check: Check, format: int) -> None:
    names = ("ünïcode 名.txt", "n" * 120, "a b,c", "/".join(["d" * 60] * 4))
    check(make_sdist(*(add(f"{TOP}/{name}", b"x") for name in names), format=format))


def test_many_members_are_taken(check: Check) -> None:
    check(make_sdist(*(add(f"{TOP}/{number}/ü{'n' * 120}") for number in range(100))))


def test_links_within_the_sdist_are_taken(check: Check) -> None:
    check(
        make_sdist(
            add(f"{TOP}/sub", type=tarfile.DIRTYPE),
            add(f"{TOP}/sub/link", type=tarfile.SYMTYPE, linkname="../pkg/__init__.py"),
            add(f"{TOP}/again", type=tarfile.SYMTYPE, linkname="./sub/link"),
            add(f"{TOP}/hard", type=tarfile.LNKTYPE, linkname=f"{TOP}/PKG-INFO"),
            add(f"{TOP}/{'l' * 50}", type=tarfile.SYMTYPE, linkname="t" * 150),
        )
    )


@pytest.mark.parametrize("format", FORMATS)
def test_what_tar_files_have_in_their_headers_is_taken(check: Check, format: int) -> None:
    directory = add(f"{TOP}/sub", type=tarfile.DIRTYPE, mode=0o2775, uname="builder", gname="users", uid=1000)
    check(make_sdist(directory, add(f"{TOP}/x", b"x", mtime=1.5, mode=0o644), format=format))


def test_the_commit_that_git_archive_names_is_taken(check: Check) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "0" * 40}) as archive:
        for info, data in (add(TOP, type=tarfile.DIRTYPE), add(f"{TOP}/PKG-INFO", METADATA.encode())):
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    check(packed(buffer.getvalue()))


@pytest.mark.parametrize(
    ("name", "top"), [("Foo.Bar-1.0.tar.gz", "foo_bar-1.0"), ("foo_bar-1.0.0.tar.gz", "Foo-Bar-1.0")]
)
def test_the_name_may_be_spelled_in_other_ways(check: Check, name: str, top: str) -> None:
    check(make_tar([add(f"{top}/PKG-INFO", b"Metadata-Version: 2.1\nName: foo.bar\nVersion: 1.0\n")]), name)


def test_a_zip_file_is_taken_too(check: Check, refused: Refused) -> None:
    files = [(f"{TOP}/PKG-INFO", METADATA.encode()), (f"{TOP}/setup.py", b"x")]
    check(make_zip(files), "pkg-1.0.zip")
    assert "relative path" in refused(make_zip([*files, ("../x", b"x")]), "pkg-1.0.zip")
    data = make_zip(files, compression=zipfile.ZIP_STORED).replace(b"setup.pyx", b"setup.pyy")
    assert "checksum" in refused(data, "pkg-1.0.zip")


# Names and kinds.


@pytest.mark.parametrize(
    "name", ["../evil", f"{TOP}/../../evil", "/etc/evil", f"./{TOP}/x", f"{TOP}//x", f"{TOP}\\x", f"{TOP}/\x1b[2J"]
)
@pytest.mark.parametrize("format", FORMATS)
def test_a_name_that_leads_elsewhere_is_refused(refused: Refused, name: str, format: int) -> None:
    assert "a member's name must" in refused(make_sdist(add(name, b"x"), format=format))


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("a", "A"), ("é", "e\u0301"), ("a", "a/b")])
def test_a_member_that_another_replaces_is_refused(refused: Refused, one: str, other: str) -> None:
    said = refused(make_sdist(add(f"{TOP}/{one}", b"1"), add(f"{TOP}/{other}", b"2")))
    assert "there once" in said or "within a file" in said


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"S", b"V", b"M", b"Z"]
)
def test_a_member_that_is_no_file_is_refused(refused: Refused, kind: bytes) -> None:
    assert "regular file, a directory or a link" in refused(make_sdist(add(f"{TOP}/x", type=kind)))


@pytest.mark.parametrize("bit", [0o4000, 0o2000, 0o1000])
def test_a_file_with_a_special_bit_is_refused(refused: Refused, bit: int) -> None:
    assert "setuid" in refused(make_sdist(add(f"{TOP}/x", mode=0o755 | bit)))


@pytest.mark.parametrize("bit", [0o4000, 0o1000])
def test_a_directory_with_a_special_bit_is_refused(refused: Refused, bit: int) -> None:
    assert "setuid" in refused(make_sdist(add(f"{TOP}/x", type=tarfile.DIRTYPE, mode=0o755 | bit)))


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../..",
        "../../etc/passwd",
        "..",
        "../other-1.0/x",
        "a//b",
        "",
        "sub/",
        "sub/../../../x",
        "\x1b[2J",
    ],
)
def test_a_link_that_leads_out_is_refused(refused: Refused, target: str) -> None:
    assert "within it" in refused(make_sdist(add(f"{TOP}/link", type=tarfile.SYMTYPE, linkname=target)))


def test_a_link_longer_than_any_path_is_refused(refused: Refused) -> None:
    """Each of its parts would be looked at."""
    link = add(f"{TOP}/link", type=tarfile.SYMTYPE, linkname="./" * 600)
    assert "longer than 1024" in refused(make_sdist(link, format=tarfile.PAX_FORMAT))


def test_a_link_through_another_is_refused(refused: Refused) -> None:
    """CVE-2025-4517 and its kind: each of both looks as if it stayed within."""
    links = (
        add(f"{TOP}/a/b/c", type=tarfile.SYMTYPE, linkname="../.."),
        add(f"{TOP}/out", type=tarfile.SYMTYPE, linkname="a/b/c/../../x"),
    )
    for order in (links, links[::-1]):
        assert "within it" in refused(make_sdist(*order))


def test_a_member_behind_a_link_is_refused(refused: Refused) -> None:
    link, behind = add(f"{TOP}/l", type=tarfile.SYMTYPE, linkname="pkg"), add(f"{TOP}/l/x", b"x")
    for order in ((link, behind), (behind, link)):
        said = refused(make_sdist(*order))
        assert "within a file" in said or "there once" in said or "behind a link" in said


@pytest.mark.parametrize(
    "target", ["/etc/passwd", f"{TOP}/../x", f"{TOP}/later", f"{TOP}/link", f"{TOP}/self", "PKG-INFO"]
)
def test_a_hard_link_to_no_earlier_file_is_refused(refused: Refused, target: str) -> None:
    """A hard link to a link that leads out is one way to write through it."""
    members = (
        add(f"{TOP}/link", type=tarfile.SYMTYPE, linkname="pkg/__init__.py"),
        add(f"{TOP}/self", type=tarfile.LNKTYPE, linkname=target),
        add(f"{TOP}/later", b"x"),
    )
    assert "hard link" in refused(make_sdist(*members))


def test_a_link_with_data_is_refused(refused: Refused) -> None:
    data = raw(add(f"{TOP}/l", type=tarfile.SYMTYPE, linkname="pkg"))
    assert "must not have data" in refused(packed(change(data, b"pkg-1.0/l", 124, b"00000001000\0")))


# Headers that tarfile, or another reader, is led astray by.


@pytest.mark.parametrize("size", ["0", "1024", "0512", "x", "-1", "-512", "-1024"])
def test_two_sizes_of_a_member_are_refused(refused: Refused, size: str) -> None:
    """CVE-2025-62518: one reader skips by one of them, another by the other; what lies between is a member or not."""
    data = make_sdist(pax("x", {"size": size}, b"x" * 512), format=tarfile.PAX_FORMAT)
    with no_hang():
        assert "extended header" in (said := refused(data)) or "Python's tarfile" in said


def test_a_size_that_both_headers_have_is_accepted(check: Check) -> None:
    """As in every sdist of uv_build."""
    check(make_sdist(pax("x", {"size": "512"}, b"x" * 512), format=tarfile.PAX_FORMAT))


def record(key: str, value: object) -> bytes:
    """Return one record of an extended header."""
    text = f" {key}={value}\n".encode()
    size = next(n for n in range(len(text), len(text) + 9) if n == len(text) + len(str(n)))
    return str(size).encode() + text


def described(*headers: bytes, data: bytes = b"x") -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return a member behind extended headers, of which tarfile names only the first as those of the member."""
    first = add(f"{TOP}/h", record("path", f"{TOP}/x"), type=tarfile.XHDTYPE)
    return [first, *(add(f"{TOP}/h", body, type=tarfile.XHDTYPE) for body in headers), add(f"{TOP}/x", data)]


@pytest.mark.parametrize("size", [1200, 4096, 1 << 40])
@pytest.mark.parametrize("behind", [0, 9])
@pytest.mark.parametrize("key", ["GNU.sparse.realsize", "GNU.sparse.size"])
def test_a_size_that_one_extended_header_hides_behind_another_is_refused(
    refused: Refused, key: str, behind: int, size: int
) -> None:
    """tarfile would unpack so much of the archive, and go on where the size of the header itself leads to."""
    more = [add(f"{TOP}/{number}", b"x" * 512) for number in range(behind)]
    refused(packed(raw(*described(record(key, size)), *more)))


def test_a_hidden_size_that_leads_back_is_refused(refused: Refused) -> None:
    """CVE-2025-8194: tarfile goes backwards, and on for ever."""
    members = described(record("GNU.sparse.realsize", 1), record("size", -1024))
    with no_hang():
        refused(packed(raw(*members)))


@pytest.mark.parametrize(
    ("records", "data"),
    [
        (record("GNU.sparse.map", "0,1,1000000000000,1"), b"xx"),
        *(
            (record("GNU.sparse.major", 1) + record("GNU.sparse.minor", 0), data.ljust(len(data) + 512, b"\0"))
            for data in (b"1\n0\n1\n", b"1\n1000000000000\n1\n", b"9999999999\n" + b"1\n" * 20_000, b"x", b"")
        ),
    ],
)
def test_a_sparse_file_behind_another_extended_header_is_refused(refused: Refused, records: bytes, data: bytes) -> None:
    with no_hang():
        refused(packed(raw(*described(records, data=data))))


@pytest.mark.parametrize(
    "key",
    [
        "GNU.sparse.major",
        "GNU.sparse.name",
        "GNU.sparse.map",
        "SCHILY.xattr.security.capability",
        "LIBARCHIVE.xattr.user.x",
        "SCHILY.acl.access",
        "hdrcharset",
        "unknown",
    ],
)
def test_what_else_an_extended_header_may_say_is_refused(refused: Refused, key: str) -> None:
    assert "extended header" in refused(make_sdist(pax("x", {key: "1"})))


def test_a_global_header_that_changes_members_is_refused(refused: Refused) -> None:
    for key in ("path", "size", "linkpath"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", pax_headers={key: "1"}) as archive:
            info, data = add(f"{TOP}/PKG-INFO", METADATA.encode())
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        assert "extended header" in refused(packed(buffer.getvalue()))


@pytest.mark.parametrize(
    "records",
    [
        b"12 path=evil\n",
        b"13 path=evil",
        b"99 path=evil\n",
        b"0 path=x\n",
        b"13 path=evil\n13 path=good\n",
        b"9 path=\xff\n",
    ],
)
def test_an_extended_header_that_is_not_well_formed_is_refused(refused: Refused, records: bytes) -> None:
    data = raw(add(f"{TOP}/header", records, type=tarfile.XHDTYPE), add(f"{TOP}/x"))
    refused(packed(data))


@pytest.mark.parametrize("kinds", [b"xx", b"LL", b"xL", b"Lx", b"KK", b"Lg", b"xg", b"XL"])
def test_a_member_that_is_described_twice_has_the_name_that_tarfile_gives_it(
    check: Check, unpacked: Unpacked, kinds: bytes
) -> None:
    body = {b"x": b"18 path=pkg-1.0/z\n", b"g": b"11 mtime=1\n", b"L": b"pkg-1.0/y\0", b"K": b"target\0"}
    body[b"X"] = body[b"x"]
    headers = [add(f"{TOP}/h", body[kinds[i : i + 1]], type=kinds[i : i + 1]) for i in range(2)]
    data = packed(raw(*headers, add(f"{TOP}/x", b"text")))
    check(data)
    assert b"text" in unpacked(data).values()
    evil = packed(
        raw(*headers, add(f"{TOP}/x")).replace(b"pkg-1.0/y\0", b"../../../y").replace(b"=pkg-1.0/z", b"=../../../z")
    )
    with contextlib.suppress(UntrustedResultError):
        check(evil)
        assert b"" in unpacked(evil).values()


def test_an_extended_header_without_a_member_is_refused(refused: Refused) -> None:
    assert "Python's tarfile" in refused(packed(raw(add(f"{TOP}/h", b"11 mtime=1\n", type=tarfile.XHDTYPE))))


@pytest.mark.parametrize("kind", [b"x", b"g", b"X", b"L", b"K"])
@pytest.mark.parametrize("size", [b"77777777777\0", b"00000020001\0", b"\x80" + bytes(6) + b"\x7f" * 5, b"\xff" * 12])
def test_a_large_extended_header_is_refused_unread(refused: Refused, kind: bytes, size: bytes) -> None:
    data = raw(add(f"{TOP}/h", b"x", type=kind))
    said = refused(packed(change(data, b"pkg-1.0/h", 124, size)))
    assert "larger than" in said or "checksum" in said


def test_many_extended_headers_of_one_member_are_refused(refused: Refused) -> None:
    """tarfile calls itself for each of them, and holds what the earlier ones say."""
    headers = [add(f"{TOP}/h", b"11 mtime=1\n", type=tarfile.XHDTYPE) for _ in range(500)]
    assert "larger than" in refused(packed(raw(*headers, add(f"{TOP}/x"))))


@pytest.mark.parametrize("kind", [b"S", b"x"])
def test_a_long_map_of_a_sparse_file_is_refused_unread(refused: Refused, kind: bytes) -> None:
    data = raw(add(f"{TOP}/x", b"\xff" * 200_000, type=kind))
    change(data, b"pkg-1.0/x", 482, b"\1")
    assert "larger than" in refused(packed(data))


@pytest.mark.parametrize("records", [record("comment", "1" * 6000), b"2 " * 3000 + b"="])
def test_records_that_tarfile_takes_long_for_are_refused_at_once(refused: Refused, records: bytes) -> None:
    """CVE-2024-6232, and records that overlap: to the square each, in time or in memory."""
    headers = (pair for n in range(1000) for pair in (add("h", records, type=tarfile.XHDTYPE), add(f"{TOP}/{n}")))
    with no_hang():
        refused(packed(raw(*headers)), limit=1 << 25)


@pytest.mark.parametrize(
    "size", [b"-0000000001\0", b"-0000001000\0", b"-0000002000\0", b"\xff" * 12, b"\xff" * 10 + b"\0\0"]
)
def test_a_negative_size_is_refused(refused: Refused, size: bytes) -> None:
    """CVE-2025-8194: tarfile goes backwards, and on for ever."""
    with no_hang():
        refused(packed(change(raw(add(f"{TOP}/x", b"12345678")), b"pkg-1.0/x", 124, size)))


@pytest.mark.parametrize(
    ("place", "value", "name"),
    [
        (124, b"\x80" + bytes(10) + b"\x08", f"{TOP}/x"),
        (100, b"\x80\0\0\0\0\0\1\xa4", f"{TOP}/x"),
        (257, b"evil\0\0\0\0", f"{TOP}/sub/{TOP}/x"),
        (257, b"ustar  \0", f"{TOP}/sub/{TOP}/x"),
    ],
)
def test_a_header_that_readers_read_differently_says_what_tarfile_reads(
    check: Check, refused: Refused, unpacked: Unpacked, place: int, value: bytes, name: str
) -> None:
    prefix = b"pkg-1.0/sub" if "sub" in name else b""
    data = change(raw(add(f"{TOP}/x", b"12345678")), b"pkg-1.0/x", 345, prefix)
    change(data, b"pkg-1.0/x", place, value)
    check(packed(data))
    assert unpacked(packed(data))[name] == b"12345678"
    if prefix:
        assert "relative path" in refused(packed(change(data, b"pkg-1.0/x", 345, b"../../../x\0")))


def test_a_hard_link_with_a_special_bit_is_refused(refused: Refused) -> None:
    """Its mode becomes the one of the file that it names."""
    assert "setuid" in refused(
        make_sdist(add(f"{TOP}/x", type=tarfile.LNKTYPE, linkname=f"{TOP}/PKG-INFO", mode=0o4755))
    )


def test_a_wrong_checksum_is_refused(refused: Refused) -> None:
    data = raw(add(f"{TOP}/x"))
    data[data.index(b"pkg-1.0/x") + 8] ^= 1
    assert "checksum" in refused(packed(data))


# The end, and the beginning.


def test_what_stands_behind_the_end_is_refused(refused: Refused) -> None:
    end = bytes(1024)
    data = raw()
    assert "behind its end" in refused(packed(data + b"x"))
    assert "behind its end" in refused(packed(data.rstrip(b"\0").ljust(2048 + 512, b"\0")[:2560] + bytes(512) + data))
    assert "nothing behind" in refused(packed(data) + b"x")
    assert "nothing behind" in refused(packed(data) + packed(data + end))
    assert "nothing behind" in refused(packed(data) + bytes(100))


@pytest.mark.parametrize("cut", [1, 8, 20, 100])
def test_half_an_sdist_is_refused(refused: Refused, cut: int) -> None:
    refused(make_sdist()[:-cut])


@pytest.mark.parametrize("size", [0, 100, 512, 600, 1500])
def test_half_a_tar_file_is_refused(refused: Refused, size: int) -> None:
    refused(packed(raw(add(f"{TOP}/x", b"x" * 5000))[:size]))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x1f\x8b", b"no gzip at all", gzip.compress(b"", mtime=0), gzip.compress(bytes(1024), mtime=0)],
)
def test_what_is_no_sdist_at_all_is_refused(refused: Refused, data: bytes) -> None:
    refused(data)


def test_a_bomb_is_refused(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = make_sdist(add(f"{TOP}/x", bytes(2 << 20)))
    assert "more than 1048576 bytes" in refused(bomb)
    monkeypatch.setattr(archives, "RATIO_FROM", 1 << 20)
    assert "200 times its size" in refused(bomb, limit=1 << 30)


def test_a_bomb_behind_the_end_is_refused_within_the_limit(refused: Refused) -> None:
    assert "more than 1048576 bytes" in refused(packed(raw() + bytes(4 << 20)))


def test_a_bomb_is_read_in_pieces(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """One piece of deflate unpacks to a thousand times its size, so what a piece may come to is bounded too."""
    pieces: list[int] = []
    spend = archives.Budget.spend
    monkeypatch.setattr(archives.Budget, "spend", lambda self, size: pieces.append(size) or spend(self, size))
    refused(zlib.compressobj(9, wbits=31).compress(b"") + packed(bytes(64 << 20)), limit=64 << 20)
    refused(packed(bytes(64 << 20)), limit=64 << 20)
    assert max(pieces) <= 1 << 18


# What an sdist says of itself.


def test_another_directory_at_the_top_is_refused(refused: Refused) -> None:
    assert "exactly one directory" in refused(make_sdist(add("other/x")))
    assert "exactly one directory" in refused(make_sdist(add("x")))


@pytest.mark.parametrize("name", ["other-1.0.tar.gz", "pkg-1.1.tar.gz"])
def test_an_sdist_of_another_project_is_refused(refused: Refused, name: str) -> None:
    assert "named after it" in refused(make_sdist(), name)


def test_an_sdist_without_metadata_is_refused(refused: Refused) -> None:
    assert "PKG-INFO" in refused(make_tar([add(f"{TOP}/setup.py", b"x")]))


def test_metadata_that_are_a_link_are_refused(refused: Refused) -> None:
    link = add(f"{TOP}/PKG-INFO", type=tarfile.SYMTYPE, linkname="x")
    assert "PKG-INFO" in refused(make_tar([add(f"{TOP}/x", METADATA.encode()), link]))


def test_metadata_of_another_project_are_refused(refused: Refused) -> None:
    assert "the name" in refused(make_tar([add(f"{TOP}/PKG-INFO", METADATA.replace("pkg", "other").encode())]))


def test_large_metadata_are_refused_unread(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isolated_hooks.results.archives.sdists.MAX_DOCUMENT", 10)
    assert "larger than 10" in refused(make_sdist())


def test_the_headers_of_all_members_together_are_bounded(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """tarfile keeps them all: 65,535 members with 8 KiB each pack into three megabytes."""
    monkeypatch.setattr(tararchive, "_MAX_ALL_HEADERS", 64 << 10)
    members = [add(f"{TOP}/{number}", pax_headers={"comment": "x" * 6000}) for number in range(20)]
    assert "all headers" in refused(make_sdist(*members))
