"""What an observed hook asked for and did not get: from the records of pid 1 to findings.

The records are facts, but the hook chooses what it asks for. So of each path we only ask whether it exists outside, and
of a secret place not even that.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..files.paths import is_within
from .causes import hidden, lacked, refused
from .evidence import Evidence
from .hints import Cause, Finding
from .hosts import looked_up

__all__ = ["LEFT_OUT", "Record", "denied_findings", "left_out"]

#: A kind of record, what was asked for, who asked first, and how often.
Record = tuple[str, bytes, bytes, int]
#: The kind of the record that counts what was not kept.
LEFT_OUT = "left"

# The interpreter compiles modules that it imports, and does without if it cannot keep the result.
_COMPILED = "/__pycache__"
# The sandbox has its own.
_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")
_DNS = 53
_WRITABLE = 2  # Outside.access


def denied_findings(records: Sequence[Record], evidence: Evidence) -> tuple[Finding, ...]:
    """Return a finding for each record of something that exists outside, or that the sandbox refuses."""
    findings: list[Finding] = []
    for kind, what, who, count in records:
        finder = _FINDERS.get(kind)
        for finding in () if finder is None else finder(evidence, what):
            findings.append(dataclasses.replace(finding, program=os.fsdecode(who), count=int(count)))
    return tuple(_narrowest(findings))


def left_out(records: Sequence[Record]) -> int:
    """Return how many records pid 1 has not kept."""
    return sum(count for kind, _, _, count in records if kind == LEFT_OUT)


def _read(evidence: Evidence, what: bytes) -> Iterator[Finding]:
    path, outside = os.fsdecode(what), evidence.outside
    if _COMPILED in path:
        return
    real = outside.real(path)
    if real is not None and outside.is_covered(real):
        yield Finding(cause=Cause.HIDDEN, what=path)
    elif real is not None and outside.is_wide(real) and not outside.access(real) and not outside.is_system(real):
        yield Finding(cause=Cause.WIDE, what=path, value=real)
    else:
        yield from hidden(evidence, path)


def _written(evidence: Evidence, what: bytes) -> Iterator[Finding]:
    path, outside = os.fsdecode(what), evidence.outside
    if _COMPILED in path:
        return
    if is_within(path, outside.source) and not evidence.read_only:
        if outside.access(outside.existing(path) or outside.source) < _WRITABLE:
            yield Finding(cause=Cause.GUARDED, what=path)
    elif outside.is_private(path):
        yield Finding(cause=Cause.PRIVATE_WRITE, what=path)
    elif outside.existing(path) not in _SCRATCH:
        yield from refused(evidence, path)


def _program(evidence: Evidence, what: bytes) -> Iterator[Finding]:
    yield from lacked(evidence, os.fsdecode(what))


def _destination(evidence: Evidence, what: bytes) -> Iterator[Finding]:
    _, port, raw = what.split(b" ", 2)
    address = ipaddress.ip_address(raw)
    if evidence.network or (int(port) == _DNS and address.is_loopback):
        return  # the resolver asks there, sandbox/lookups.py, and the record of the name says more
    place = f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"
    if evidence.hosts:
        yield Finding(cause=Cause.DIRECT, what=place)
    else:
        usable = int(port) > 0 and not (address.is_unspecified or address.is_multicast)
        yield Finding(cause=Cause.CONNECTION, what=f"{address} port {int(port)}", value=place if usable else "")


def _narrowest(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Leave out directories on the way to something else that was asked for: programs look at each part of a path."""
    left = [*findings]
    reads = [f.value for f in left if f.cause in (Cause.READ, Cause.PROGRAM)]
    ways = {os.path.dirname(value) for value in reads}
    while above := {os.path.dirname(way) for way in ways} - ways:
        ways |= above
    for finding in left:
        if finding.cause not in (Cause.READ, Cause.WIDE) or finding.value not in ways:
            yield finding


_FINDERS: Mapping[str, Callable[[Evidence, bytes], Iterator[Finding]]] = {
    "read": _read,
    "write": _written,
    "program": _program,
    "name": looked_up,
    "connect": _destination,
}
