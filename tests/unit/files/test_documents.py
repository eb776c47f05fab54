"""Documents that somebody else wrote: nothing of their kind, size or content makes us wait or work without end."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from pathlib import Path

import pytest
from support.fakes import no_hang

from isolated_hooks.files import documents
from isolated_hooks.files.documents import DocumentError, parse_toml, read_document


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    assert read_document(str(path), limit=100_000) == b"x" * 100_000
    with pytest.raises(DocumentError, match=r"expected at most 99999 bytes, got 100000"):
        read_document(str(path), limit=99_999)


def test_a_huge_file_is_not_read_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(10 << 30)
    monkeypatch.setattr(documents, "_read", lambda *_: pytest.fail("it is read"))
    with pytest.raises(DocumentError, match="too large"):
        read_document(str(path), limit=1 << 20)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full"])
def test_a_device_without_end_is_left_at_the_limit(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, count: read.append(count) or real(fd, count))
    with no_hang(), pytest.raises(DocumentError, match="expected at most 100000 bytes, got more"):
        read_document(path, limit=100_000)
    assert sum(read) <= 100_000 + 2 * (1 << 16)


def test_an_empty_device_is_an_empty_document() -> None:
    assert read_document("/dev/null", limit=10) == b""


@pytest.mark.parametrize("path", [".", "missing", "x" * 5000, "a\udcffb"])
def test_what_is_no_file_is_an_error_of_the_system(path: str) -> None:
    with pytest.raises(OSError):
        read_document(path, limit=10)


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with no_hang(), pytest.raises(DocumentError, match="nothing came from the pipe"):
        read_document(str(tmp_path / "fifo"), limit=10)


def test_a_pipe_whose_writer_writes_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_SECONDS", 0.05)
    read_end, write_end = os.pipe()
    try:
        with no_hang(), pytest.raises(DocumentError, match=r"no end within 0\.05 seconds"):
            read_document(f"/dev/fd/{read_end}", limit=10)
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_slow_pipe_is_read_to_its_end() -> None:
    """A shell's <(COMMAND) is one."""
    read_end, write_end = os.pipe()

    def write() -> None:
        for piece in (b"net", b"work = ", b"true\n"):
            os.write(write_end, piece)
        os.close(write_end)

    timer = threading.Timer(0.05, write)
    timer.start()
    try:
        assert read_document(f"/dev/fd/{read_end}", limit=100) == b"network = true\n"
    finally:
        timer.join()
        os.close(read_end)


QUADRATIC = {
    "a key of many parts": b"a" + b".a" * 10_000 + b" = 1\n",
    "a key whose parts hold what ends keys": b'"=".' * 10_000 + b"a = 1\n",
    "a table of many parts with many keys": b"[a"
    + b".a" * 1000
    + b"]\n"
    + b"".join(b"b%d=1\n" % i for i in range(1000)),
    "an indented one": b" \t[ a" + b" . a" * 1000 + b" ]\n" + b"".join(b"b%d=1\n" % i for i in range(1000)),
    "many keys of many parts": (b"a" + b".a" * 999 + b".%d=1\n") * 80,
    "within an inline table": b"a={b" + b".b" * 10_000 + b"=1}\n",
    "one of an array of tables": b"[[a" + b".a" * 1000 + b"]]\n" + b"b=1\n" * 1000,
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_what_takes_the_parser_too_many_steps_is_never_parsed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser takes the square of their size: 131 seconds for 400 KB of the second."""
    with pytest.raises(DocumentError, match="too many dots"):
        parse_toml(QUADRATIC[name])


def test_dots_that_are_no_work_are_no_reason_to_refuse() -> None:
    text = (
        "# "
        + "x." * 1000
        + "\n[a.b.c.d.e]\n"
        + "".join(f'k{i} = "a sentence. and another. 1.2.3"\n' for i in range(5000))
    )
    assert len(parse_toml(text.encode())["a"]["b"]["c"]["d"]["e"]) == 5000


def test_nesting_is_an_error_of_the_document() -> None:
    with pytest.raises(ValueError):
        parse_toml(b"a = " + b"[" * 100_000)


@pytest.mark.parametrize("data", [b"\xff", b"a", b"a = '\xff'", b"a = " + b"9" * 10_000 + b"x"])
def test_what_is_no_toml_is_an_error_of_the_document(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_toml(data)


def test_an_interpreter_without_a_parser_says_so_only_when_it_has_to_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frontend that runs under an old Python needs none, so the package has to load there."""
    for name in ("tomllib", "tomli"):
        monkeypatch.setitem(sys.modules, name, None)
    found = importlib.util.spec_from_file_location("isolated_hooks.files.documents_of_old_python", documents.__file__)
    assert found is not None and found.loader is not None
    old = importlib.util.module_from_spec(found)
    found.loader.exec_module(old)
    assert old.read_document("/dev/null", limit=1) == b""
    with pytest.raises(ImportError, match="tomli"):
        old.parse_toml(b"a = 1")
