"""Small archives to begin with, good ones and ones with a member more, and what a deep check says of one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from isolated_hooks.errors import UntrustedResultError

__all__ = [
    "METADATA",
    "Check",
    "Refused",
    "add",
    "checking",
    "make_sdist",
    "make_tar",
    "make_wheel",
    "make_zip",
    "refusal",
    "wheel_files",
]

#: Checks the bytes of an archive, under a name and with a limit where these are given.
Check = Callable[..., None]
#: Takes the same, and returns the text with which they are refused.
Refused = Callable[..., str]

METADATA = "Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n"
INFO = "pkg-1.0.dist-info"

Member = tuple[zipfile.ZipInfo | str, bytes]


def wheel_files(more: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """Return the files of a good wheel with some more, RECORD included."""
    texts = {
        "pkg/__init__.py": "ANSWER = 42\n",
        f"{INFO}/METADATA": METADATA,
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(more or {}),
    }
    files = {name: text.encode() for name, text in texts.items()}
    record = "".join(f"{_quoted(name)},{_digest(data)},{len(data)}\n" for name, data in files.items())
    files.setdefault(f"{INFO}/RECORD", f"{record}{INFO}/RECORD,,\n".encode())
    return files


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if set(name) & set('",\n\r') else name


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def make_zip(members: Iterable[Member], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP file of members in this order, as the standard library writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def make_wheel(more: Mapping[str, str] | None = None, *, extra: Iterable[Member] = ()) -> bytes:
    """Return a wheel; ``extra`` members are not in RECORD."""
    return make_zip([*wheel_files(more).items(), *extra])


def make_tar(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a .tar.gz of members in this order."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=format) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), 6, mtime=0)


def add(name: str, data: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of a tar file."""
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def make_sdist(*more: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return an sdist with some members more."""
    members = [add("pkg-1.0", type=tarfile.DIRTYPE, mode=0o755), add("pkg-1.0/PKG-INFO", METADATA.encode())]
    return make_tar([*members, add("pkg-1.0/pkg/__init__.py", b"ANSWER = 42\n"), *more], format=format)


def checking(check: Check, directory: Path, name: str) -> Check:
    """Return what checks bytes by one of the package's checks, which take a descriptor.

    :param directory: where to put them
    :param name: the archive's name, where another is not given
    """

    def run(data: bytes, name: str = name, *, limit: int = 1 << 20) -> None:
        path = directory / "artefact"
        path.write_bytes(data)
        fd = os.open(path, os.O_RDONLY)
        try:
            check(fd, name, limit=limit)
        finally:
            os.close(fd)

    return run


def refusal(check: Check) -> Refused:
    """Return what has bytes refused, and the refusal be fit to be printed."""

    def run(*arguments: object, **options: int) -> str:
        with pytest.raises(UntrustedResultError) as caught:
            check(*arguments, **options)
        assert str(caught.value).isprintable()
        return str(caught.value)

    return run
