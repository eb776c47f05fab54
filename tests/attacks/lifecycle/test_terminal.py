"""The frontend's terminal: a hook can neither write to it past the frontend nor type into it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from support.attacks.place import Place

pytestmark = pytest.mark.usefixtures("sandbox")

_TEXT = "typed by the hostile backend"
_WRITE = {"terminal": {"probe": "terminal", "arguments": {"text": _TEXT}}}
_TYPE = {"typed": {"probe": "typed", "arguments": {"text": _TEXT}}}


def _shown(place: Place, attacks: Mapping[str, Any], *, sandboxed: bool) -> str:
    """Run a frontend on a terminal, and return the terminal's output and the echo of its input."""
    ours, theirs = os.openpty()
    parts: list[bytes] = []

    def watch() -> None:
        try:
            while part := os.read(ours, 4096):
                parts.append(part)
        except OSError:
            pass  # EIO: no process has the other end open, pty(7)

    options = {"terminal": True, "sandboxed": sandboxed}
    frontend = place.frontend(attacks, options=options, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    watcher = threading.Thread(target=watch)
    watcher.start()
    code = frontend.wait(60)
    watcher.join(60)
    os.close(ours)
    shown = b"".join(parts).decode(errors="replace")
    assert code == 0, shown
    return shown


def test_a_hook_cannot_write_to_the_controlling_terminal(place: Place) -> None:
    """H07: the hook has no controlling terminal. Standard output, which the frontend may capture, still works."""
    assert _TEXT not in _shown(place, _WRITE, sandboxed=True)
    assert _TEXT in _shown(place, _WRITE, sandboxed=False)


def test_a_hook_cannot_type_into_the_terminal(place: Place) -> None:
    """H05: TIOCSTI on the standard descriptors, which are the terminal if the frontend does not capture output."""
    assert _TEXT not in _shown(place, _TYPE, sandboxed=True)
    if _TEXT not in _shown(place, _TYPE, sandboxed=False):
        pytest.skip("this kernel forbids TIOCSTI altogether, so its failure inside proves nothing")
