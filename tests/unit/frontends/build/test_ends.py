"""What build's command line shows of a program's output, whatever that is, and which tracebacks it prints."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import build.__main__
import build.env
import pyproject_hooks
import pytest
from build import _ctx

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.frontends.build import ends


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What build would print, with the marks that it puts before each line."""
    lines: list[str] = []
    token = _ctx.LOGGER.set(lambda message, *, kind=None: lines.append(message))
    yield lines
    _ctx.LOGGER.reset(token)


@contextlib.contextmanager
def verbosity(level: int) -> Iterator[None]:
    token = _ctx.VERBOSITY.set(level)
    try:
        yield
    finally:
        _ctx.VERBOSITY.reset(token)


def program(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", f"import os, sys\n{code}"]


def test_bytes_that_are_no_text_are_shown(logged: list[str]) -> None:
    """Control: build decodes them strictly, and ends with a traceback."""
    argv = program(r"os.write(1, b'\xff\xc3\n'); os.write(2, b'\xbc'); sys.exit(1)")
    with pytest.raises(UnicodeDecodeError):
        _ctx.log_subprocess_error(subprocess.CalledProcessError(1, argv, b"\xff\n"))
    logged.clear()
    with pytest.raises(subprocess.CalledProcessError):
        ends.run_bounded(argv)
    assert logged[1:] == ["\\xff\\xc3\n\\xbc"]
    logged.clear()
    with verbosity(1), pytest.raises(subprocess.CalledProcessError):
        ends.run_bounded(argv)
    assert logged[1:] == ["\\xff\\xc3", "\\xbc"]


def test_nothing_is_shown_of_what_succeeds(logged: list[str]) -> None:
    ends.run_bounded(program("print('x')"))
    assert logged == []
    with verbosity(1):
        ends.run_bounded(program("print('one\\ntwo')"))
    assert logged[1:] == ["one", "two"]


def test_the_end_of_a_long_output_is_kept(logged: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "MAX_KEPT", 1000)
    with pytest.raises(subprocess.CalledProcessError):
        ends.run_bounded(program("os.write(1, b'x' * (1 << 20)); print('the end'); sys.exit(1)"))
    kept = logged[-1]
    assert kept.endswith("the end\n")
    assert kept.startswith("(the beginning of the output is left out)\n")
    assert len(kept) < 1000 + ends._BLOCK + 100


def test_a_long_line_is_logged_in_pieces_as_it_comes(logged: list[str]) -> None:
    with verbosity(1):
        ends.run_bounded(program("os.write(1, b'x' * (1 << 20)); print('the end')"))
    assert "".join(logged[1:]) == "x" * (1 << 20) + "the end"
    assert max(map(len, logged[1:])) <= ends.MAX_LINE + ends._BLOCK


def test_the_captured_output_of_a_quiet_hook_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "MAX_KEPT", 1000)
    argv = program("os.write(2, b'x' * (1 << 20)); print(os.environ['GIVEN']); sys.exit(7)")
    with ends.bounded(tracebacks=False), pytest.raises(subprocess.CalledProcessError) as caught:
        pyproject_hooks.quiet_subprocess_runner(argv, None, {"GIVEN": "given"})
    assert caught.value.returncode == 7
    assert caught.value.output.endswith(b"given\n")
    assert len(caught.value.output) < 1000 + ends._BLOCK + 100


def test_no_line_is_wrapped_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """textwrap takes the square of a line's length: minutes for 8 MB."""
    lengths: list[int] = []
    real = textwrap.fill
    monkeypatch.setattr(
        textwrap, "fill", lambda text, *args, **options: lengths.append(len(text)) or real(text, *args, **options)
    )
    with ends.bounded(tracebacks=False):
        wrapped = build.__main__.textwrap.fill("x" * 100_000, width=78, initial_indent="< ")
        assert build.__main__.textwrap.fill("short", width=78, initial_indent="< ") == "< short"
        assert build.__main__.textwrap.fill("", width=78) == ""
    assert max(lengths) <= ends.MAX_LINE
    assert wrapped.count("x") == 100_000


def test_everything_is_put_back() -> None:
    def state() -> list[object]:
        main = build.__main__
        return [
            main.textwrap,
            main.traceback,
            _ctx.run_subprocess,
            build.env.run_subprocess,
            pyproject_hooks.quiet_subprocess_runner,
        ]

    before = state()
    with ends.bounded(tracebacks=False):
        assert all(now is not then for now, then in zip(state(), before, strict=True))
    assert state() == before


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("tracebacks", [False, True])
def test_tracebacks_are_of_backends_and_of_bugs_that_were_asked_for(tracebacks: bool) -> None:
    with ends.bounded(tracebacks=tracebacks):
        tell = build.__main__.traceback.format_exception
        assert tell(raised(OSError(28, "full")), limit=-1) == []
        assert tell(raised(UntrustedResultError("a rule")), limit=-1) == []
        assert "Traceback" in "".join(tell(raised(RuntimeError("a backend's")), limit=-1))
        try:
            raise OSError(28, "full")
        except OSError:
            assert ("Traceback" in build.__main__.traceback.format_exc()) is tracebacks
