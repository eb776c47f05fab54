"""The deep check of a wheel: its structure, its names, and whether it agrees with its file name and its RECORD.

These are the rules of the binary distribution format (PEP 427, PEP 491, PEP 627) that an installer relies on, and that
attacks on installers break. We do not ask whether the code in a wheel is good.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re

from packaging.utils import parse_wheel_filename

from ...errors import UntrustedResultError
from ...text import is_visible
from ..names import DIST_INFO, Project, is_named_after
from .rules import MAX_DOCUMENT, check_identity
from .ziparchive import ZipArchive, ZipMember

__all__ = ["check_wheel"]

_DATA = ".data"
_SCHEMES = frozenset(("purelib", "platlib", "headers", "scripts", "data"))
_DIGESTS = {"sha256": 32, "sha384": 48, "sha512": 64}
# RECORD cannot hold its own digest, and signers sign it after it is complete.
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")
# str.splitlines() ends a line at each of these.
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_MORE_LINES = 16
_SCRIPT_SECTIONS = ("console_scripts", "gui_scripts", "DEFAULT")
_MAX_ENTRY_POINTS = 1 << 20
_SCRIPT = re.compile(r"[^/\\]+")


def check_wheel(fd: int, name: str, *, limit: int) -> None:
    """Check a wheel.

    :param fd: a descriptor open for reading, of a regular file that no process changes
    :param name: its file name
    :param limit: the most bytes that it may unpack to
    :raises UntrustedResultError: the wheel breaks a rule
    """
    project, version, *_ = parse_wheel_filename(name)
    archive = ZipArchive(fd, limit=limit)
    files = {member.name: member for member in archive.members if not member.directory}
    info = _dist_info(archive, (project, version))
    for needed in ("METADATA", "WHEEL", "RECORD"):
        if f"{info}/{needed}" not in files:
            raise UntrustedResultError("a wheel must have METADATA, WHEEL and RECORD", f"{info}/{needed}")
    check_identity(archive.read(files[f"{info}/METADATA"]), (project, version), f"{info}/METADATA")
    _check_record(archive, files, info)
    if (points := files.get(f"{info}/entry_points.txt")) is not None:
        _check_entry_points(_text(archive, points, limit=_MAX_ENTRY_POINTS))


def _dist_info(archive: ZipArchive, expected: Project) -> str:
    """Return the name of the one ``.dist-info`` directory."""
    infos = set()
    for path in (member.name for member in archive.members):
        top, _, rest = path.partition("/")
        special = top.lower().endswith((DIST_INFO, _DATA))
        if special and not any(is_named_after(expected, top, ending=ending) for ending in (DIST_INFO, _DATA)):
            raise UntrustedResultError("a .dist-info or .data directory must be named after the wheel", top)
        if top.endswith(DIST_INFO):
            infos.add(top)
        elif top.endswith(_DATA) and rest and rest.split("/")[0] not in _SCHEMES:
            raise UntrustedResultError(f"a .data directory must hold only {', '.join(sorted(_SCHEMES))}", path)
    if len(infos) != 1:
        raise UntrustedResultError("a wheel must have exactly one .dist-info directory", ", ".join(sorted(infos)))
    return infos.pop()


def _check_record(archive: ZipArchive, files: dict[str, ZipMember], info: str) -> None:
    """Check that RECORD names every file once, with its digest and size. This reads every file.

    ``installer.sources.WheelFile.validate_record`` accepts the last of two lines for a file, lines for missing files,
    and any digest, such as MD5; it refuses lines without sizes, which installers accept.
    """
    unrecorded = {f"{info}/{name}" for name in _UNRECORDED}
    unlisted = dict(files)
    for path, digest, size in _rows(_text(archive, files[f"{info}/RECORD"]), len(files)):
        member = unlisted.pop(path, None)
        if member is None:
            raise UntrustedResultError("RECORD must name only files of the wheel, each once", path)
        if path in unrecorded:
            if digest or size:
                raise UntrustedResultError("RECORD must not have a digest or size of itself or its signature", path)
            continue
        if size and size != str(member.size):
            raise UntrustedResultError("RECORD must have the size of each file", path)
        if digest != _digest(archive, member, digest.partition("=")[0]):
            raise UntrustedResultError("RECORD must have the digest of each file", path)
    missing = sorted(unlisted.keys() - unrecorded)
    if missing:
        raise UntrustedResultError("RECORD must name every file of the wheel", missing[0])
    for path in unrecorded & files.keys():
        for _ in archive.blocks(files[path]):
            pass


def _rows(text: str, files: int) -> list[list[str]]:
    # Each line becomes objects of fifty times its size. Some writers end lines with two characters, or leave one empty.
    if sum(map(text.count, _LINE_ENDS)) > 2 * files + _MORE_LINES:
        raise UntrustedResultError("RECORD must name only files of the wheel, each once", f"more than {files} lines")
    try:
        rows = [row for row in csv.reader(text.splitlines(), strict=True) if row]
    except csv.Error as error:
        raise UntrustedResultError("RECORD must be CSV", error) from None
    for row in rows:
        if len(row) != 3:
            raise UntrustedResultError("RECORD must have three fields in each line", ",".join(row[:4]))
    return rows


def _digest(archive: ZipArchive, member: ZipMember, algorithm: str) -> str:
    if algorithm not in _DIGESTS:
        raise UntrustedResultError(f"RECORD must have digests of {', '.join(_DIGESTS)}", f"{member.name}: {algorithm}")
    digest = hashlib.new(algorithm)
    for block in archive.blocks(member):
        digest.update(block)
    return f"{algorithm}={base64.urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()}"


def _check_entry_points(text: str) -> None:
    """Check that the name of each script that an installer makes stays within the directory of scripts."""
    # Readers differ on where the names of sections and entries end, so we check both ends, and every line.
    within = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            within = any(section in line for section in _SCRIPT_SECTIONS)
        elif within and line and not line.startswith(("#", ";")):
            name = line.partition("=")[0].strip()
            names = (name, name.partition(":")[0].strip())
            if not _SCRIPT.fullmatch(name) or not is_visible(name) or any(n in ("", ".", "..") for n in names):
                raise UntrustedResultError("the name of a script in entry_points.txt must be the name of a file", name)


def _text(archive: ZipArchive, member: ZipMember, *, limit: int = MAX_DOCUMENT) -> str:
    try:
        return archive.read(member, limit=limit).decode()
    except UnicodeDecodeError:
        raise UntrustedResultError("a text in a wheel must be UTF-8", member.name) from None
