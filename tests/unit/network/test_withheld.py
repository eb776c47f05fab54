"""The credential for the operator's own proxy does not come back to the hook, in one piece or in many."""

from __future__ import annotations

import base64

import pytest

from isolated_hooks.network.serving.withheld import ShownError, Withheld

WORD = base64.b64encode(b"operator:>>>???word~").decode()
AUTHORIZATION = f"Basic {WORD}"


def _passed(answer: bytes, size: int, authorization: str = AUTHORIZATION) -> tuple[bytes, bool]:
    """Return what passes of an answer in pieces of a size, and whether it was ended."""
    withheld, passed = Withheld(authorization), b""
    try:
        for start in range(0, len(answer), size):
            passed += withheld.pass_on(answer[start : start + size])
        passed += withheld.pass_on(b"")
    except ShownError:
        return passed, True
    return passed, False


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    "shown",
    [
        AUTHORIZATION,
        AUTHORIZATION.rstrip("="),
        AUTHORIZATION.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        AUTHORIZATION.replace("+", "%2b").replace("/", "%2f"),
        "operator:>>>???word~",
        "operator%3A%3E%3E%3E%3F%3F%3Fword~",
    ],
)
def test_it_does_not_come_back(shown: str, size: int) -> None:
    assert {"+", "/"} < set(WORD)
    answer = b"HTTP/1.1 200 OK\r\n\r\nProxy-Authorization: " + shown.encode() + b" and more"
    passed, ended = _passed(answer, size)
    assert ended
    assert answer.startswith(passed)
    assert WORD[:4].encode() not in passed
    assert b"oper" not in passed


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("authorization", [AUTHORIZATION, "", "Basic YTpi"])
def test_everything_else_passes(authorization: str, size: int) -> None:
    # The second one ends as the credential begins, and the credential of the third is a word like others.
    for answer in (b"HTTP/1.1 200 OK\r\n\r\nYTpi", b"x" + WORD[:-4].encode(), b"operator:", b""):
        assert _passed(answer, size, authorization) == (answer, False)
