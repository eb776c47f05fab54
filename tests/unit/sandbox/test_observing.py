"""What pid 1 notes of an observed hook: distinct records with a bound, and of a packet only the name in a query."""

from __future__ import annotations

import os
from typing import Any

import pytest

from isolated_hooks.sandbox import attempts, observing, pipes
from isolated_hooks.sandbox.observing import LONGEST, MOST, Observer

QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"


class _Caller:
    def name(self) -> bytes:
        return b"cc1"


def told(observer: Observer, monkeypatch: pytest.MonkeyPatch, failed: Any = ()) -> list[tuple[Any, ...]]:
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(pipes, "send", lambda fd, *message: sent.append(message))
    observer.tell(0, failed)
    return sent


def test_records_are_distinct_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    observer, caller = Observer(), _Caller()
    for number in range(MOST + 5):
        observer._note("read", b"/srv/%d" % number, caller)  # type: ignore[arg-type]
    observer._note("read", b"/srv/0", caller)  # type: ignore[arg-type]
    observer._note("read", b"/" + b"x" * LONGEST, caller)  # type: ignore[arg-type]
    sent = told(observer, monkeypatch)
    assert len(sent) == MOST + 1
    assert sent[0] == ("seen", "read", b"/srv/0", b"cc1", 2)
    assert sent[-1] == ("seen", "left", b"", b"", 6)


def test_a_record_fits_into_a_pipe_at_once() -> None:
    """A larger message may be written in parts, pipe(7), and a signal would cut it."""
    read, write = os.pipe()
    pipes.send(write, "seen", "program", b"x" * LONGEST, b"y" * 64, 1 << 40)
    assert len(os.read(read, 1 << 16)) < 4096
    os.close(read)
    os.close(write)


def test_a_connection_that_was_made_and_a_program_that_was_found_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    observer, caller = Observer(), _Caller()
    good, bad = (b"\x02\x00\x01\xbb\xc0\x00\x02" + bytes((last,)) + bytes(8) for last in (1, 2))
    for address in (good, bad, b"\x01\x00/run/socket"):
        assert observer.connecting(caller, -1, address, 101) == 101  # type: ignore[arg-type]
    for name in (b"there", b"absent"):
        observer._note("program", name, caller)  # type: ignore[arg-type]
    observer._found.add(b"there")
    destination = attempts.destination_of(bad)
    assert destination is not None
    sent = told(observer, monkeypatch, [(*destination, 101)])
    assert [message[1:3] for message in sent] == [("connect", b"2 443 \xc0\x00\x02\x02"), ("program", b"absent")]


def test_every_call_has_a_shape() -> None:
    from isolated_hooks.sandbox.seccomprules import OBSERVED

    named = {name for names, _, _ in OBSERVED for name in names.split()}
    assert named == {*observing._SHAPES, *observing._SENDS}
