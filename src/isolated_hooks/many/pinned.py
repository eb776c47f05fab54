"""The lines of a requirements file that pin packages, ``NAME==VERSION``: the packages of a wheelhouse."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ..errors import PolicyError, UntrustedResultError
from ..files.documents import DocumentError, read_document
from ..frozen import dataclass
from ..results.markers import vet_marker
from ..results.names import Project
from ..text import visible

__all__ = ["Pin", "read_pins"]

_MAX_FILE = 16 << 20
_MAX_LINE = 64 << 10
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_HASH = re.compile(r"\s--hash(?:=|\s+)(\S*)")
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
# packaging accepts more in names and versions, which pip gets as an argument.
_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Pin:
    """A pinned package.

    :ivar project: its normalised name and its version
    :ivar hashes: the SHA-256 digests that the line allows; if it names none, any
    """

    project: Project
    hashes: frozenset[str] = frozenset()

    def refusal(self, digest: str) -> str:
        """Return why an sdist is not the one that the line names, or an empty text.

        :param digest: its SHA-256
        """
        if not self.hashes or digest in self.hashes:
            return ""
        expected = ", ".join(sorted(self.hashes)[:3])
        return f"the sdist of {self.text} has another SHA-256 (expected {expected}, got {digest})"

    @property
    def text(self) -> str:
        """The requirement, for pip."""
        return f"{self.project[0]}=={self.project[1]}"


def read_pins(path: str) -> list[Pin]:
    """Return the packages that a requirements file pins, without those whose marker is false here.

    :raises PolicyError: the file cannot be read, or a line does not pin a package; the text names the line
    """
    shown = visible(path, limit=300)
    try:
        text = read_document(path, limit=_MAX_FILE).decode("utf-8-sig")
    except OSError as error:
        raise PolicyError(f"{shown}: cannot be read: {error.strerror}") from error
    except (DocumentError, UnicodeDecodeError) as error:
        raise PolicyError(f"{shown}: not a requirements file: {visible(str(error), limit=200)}") from error
    pins: dict[str, int] = {}
    checked = []
    for number, line in _lines(text):
        pin = _pin(f"{shown}: line {number}", line)
        if pin is None:
            continue
        first = pins.setdefault(pin.project[0], number)
        if first != number:
            raise PolicyError(f"{shown}: line {number}: {pin.project[0]} is in line {first}, too (expected it once)")
        checked.append(pin)
    return checked


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold something, joined and without comments, each with the number of its first line."""
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1] + " "
            continue
        if whole := _COMMENT.sub("", joined + line).strip():
            yield first, whole
        joined, first = "", 0
    if joined.strip():
        yield first, joined.strip()


def _pin(label: str, line: str) -> Pin | None:
    shown = repr(visible(line, limit=200))
    if len(line) > _MAX_LINE:
        raise PolicyError(f"{label}: too long (expected at most {_MAX_LINE} characters, got {len(line)})")
    if line.startswith("-"):
        raise PolicyError(
            f"{label}: {shown} is an option (expected NAME==VERSION). Remedy: give options to pip with its variables, "
            "such as PIP_INDEX_URL, and name each file with -r"
        )
    try:
        requirement = Requirement(_HASH.sub("", line))
    except (InvalidRequirement, ValueError, RecursionError):
        raise PolicyError(
            f"{label}: {shown} is no requirement (expected NAME==VERSION, which --hash=sha256:DIGEST may follow). "
            "Remedy: name files and directories as arguments"
        ) from None
    version = _version(requirement)
    if version is None or not _NAME.fullmatch(requirement.name):
        raise PolicyError(
            f"{label}: {shown} does not pin a package (expected NAME==VERSION). Remedy: let 'pip freeze' or another "
            "tool write the file"
        )
    hashes = _HASH.findall(line)
    try:
        vet_marker(requirement)
    except UntrustedResultError as problem:
        raise PolicyError(f"{label}: {shown}: {problem.rule}. Remedy: write another marker") from None
    digests = [match[1] for text in hashes if (match := _SHA256.fullmatch(text))]
    if len(digests) != len(hashes):
        raise PolicyError(f"{label}: expected --hash=sha256: with 64 hexadecimal digits, got {shown}")
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return None
    return Pin((canonicalize_name(requirement.name), version), frozenset(digests))


def _version(requirement: Requirement) -> Version | None:
    """Return the version that a requirement pins, or ``None`` if it pins none."""
    specifiers = [*requirement.specifier]
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "===") or requirement.url is not None:
        return None
    try:
        return Version(specifiers[0].version)
    except (InvalidVersion, ValueError):  # a wildcard, or more digits than Python reads
        return None
