"""From the records of pid 1 to findings: only what exists outside counts, and of a secret place we do not even ask."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from isolated_hooks.files.paths import RealFilesystem
from isolated_hooks.observe.denials import Record, denied_findings, left_out
from isolated_hooks.observe.evidence import Evidence, Outside
from isolated_hooks.observe.hints import Cause, hints_of


def evidence(base: Path, **facts: object) -> Evidence:
    for name in ("tree/.git/hooks", "home", "shown/covered", "bin"):
        (base / name).mkdir(parents=True, exist_ok=True)
    shown = (
        (f"{base}/tree", 2),
        (f"{base}/tree/.git", 1),
        ("/usr", 1),
        (f"{base}/shown", 1),
        (f"{base}/shown/covered", 0),
    )
    environ = {"PATH": f"{base}/bin:/usr/bin"}
    outside = Outside(RealFilesystem(), f"{base}/home", f"{base}/tree", environ, shown)
    return Evidence(outside, **facts)  # type: ignore[arg-type]


def found(base: Path, *records: tuple[str, str | bytes], **facts: object) -> list[tuple[Cause, str, str]]:
    rows: list[Record] = [(kind, os.fsencode(what), b"cc1", 2) for kind, what in records]
    findings = denied_findings(rows, evidence(base, **facts))
    assert {(f.program, f.count) for f in findings} <= {("cc1", 2)}
    return [(f.cause, f.what, f.value) for f in findings]


def test_what_exists_outside_and_is_hidden_is_found(tmp_path: Path) -> None:
    (tmp_path / "sdk/include").mkdir(parents=True)
    path = f"{tmp_path}/sdk/include"
    assert found(tmp_path, ("read", path)) == [(Cause.READ, path, path)]


@pytest.mark.parametrize(
    "path", ("absent/file", "tree/absent", "shown/absent", "shown", "bin/__pycache__/a.pyc", "absent/__pycache__/a.pyc")
)
def test_what_nobody_misses_is_not(path: str, tmp_path: Path) -> None:
    assert found(tmp_path, ("read", f"{tmp_path}/{path}")) == []


def test_of_the_parts_of_a_path_only_the_last_counts(tmp_path: Path) -> None:
    """realpath(3) looks at each of them."""
    (tmp_path / "a/b/c").mkdir(parents=True)
    parts = [f"{tmp_path}/a", f"{tmp_path}/a/b", f"{tmp_path}/a/b/c"]
    assert found(tmp_path, *(("read", part) for part in parts)) == [(Cause.READ, parts[-1], parts[-1])]
    # A directory that somebody asked for alone is what they wanted.
    assert found(tmp_path, ("read", parts[1])) == [(Cause.READ, parts[1], parts[1])]


def test_the_home_as_a_whole_and_a_covered_path_are_named_and_not_offered(tmp_path: Path) -> None:
    rows = [("read", f"{tmp_path}/home"), ("read", f"{tmp_path}/shown/covered")]
    causes = [cause for cause, _, _ in found(tmp_path, *rows)]
    assert causes == [Cause.WIDE, Cause.HIDDEN]
    findings = denied_findings([(kind, what.encode(), b"a", 1) for kind, what in rows], evidence(tmp_path))
    assert [hint.option for hint in hints_of(findings)] == ["", ""]


def test_nobody_asks_whether_a_secret_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("read", f"{tmp_path}/home/.netrc"), ("write", f"{tmp_path}/home/.ssh/rc"), ("read", "/sandbox/.netrc")]
    given = evidence(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(Outside, "existing", lambda _, path: asked.append(path))
    findings = denied_findings([(kind, what.encode(), b"a", 1) for kind, what in rows], given)
    assert [f.cause for f in findings] == [Cause.PRIVATE, Cause.PRIVATE_WRITE, Cause.PRIVATE]
    assert asked == []
    assert not any(hint.option for hint in hints_of(findings))


def test_writes(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    hook = f"{tmp_path}/tree/.git/hooks/post-commit"
    assert found(tmp_path, ("write", hook)) == [(Cause.GUARDED, hook, "")]
    assert found(tmp_path, ("write", f"{tmp_path}/tree/build/lib")) == []  # it looks whether that works
    out = f"{tmp_path}/site/new/out"
    assert found(tmp_path, ("write", out)) == [(Cause.WRITE, out, f"{tmp_path}/site")]
    for harmless in ("/tmp/a/b", "/var/tmp/a/b", f"{tmp_path}/shown/__pycache__/a.pyc"):
        assert found(tmp_path, ("write", harmless)) == []


def test_a_program_on_the_path_of_the_caller(tmp_path: Path) -> None:
    evidence(tmp_path)
    (tmp_path / "bin/tool").write_text("")
    # The directory that holds its bin holds the tree and the home, too, so that is too wide.
    assert found(tmp_path, ("program", "tool"), ("program", "absent"), ("program", "sh")) == [
        (Cause.PROGRAM, f"{tmp_path}/bin/tool", f"{tmp_path}/bin")
    ]


def test_hosts(tmp_path: Path) -> None:
    rows: list[tuple[str, str | bytes]] = [
        ("name", "Downloads.example.org"),
        ("name", "1.0.0.127.in-addr.arpa"),
        ("name", b"\xff\n"),
        ("connect", b"2 443 " + socket.inet_aton("192.0.2.1")),
        ("connect", b"10 443 " + socket.inet_pton(socket.AF_INET6, "2001:db8::1")),
        ("connect", b"2 53 " + socket.inet_aton("127.0.0.1")),
    ]
    assert found(tmp_path, *rows) == [
        (Cause.LOOKUP, "downloads.example.org", "downloads.example.org:443"),
        (Cause.CONNECTION, "192.0.2.1 port 443", "192.0.2.1:443"),
        (Cause.CONNECTION, "2001:db8::1 port 443", "[2001:db8::1]:443"),
    ]
    named = found(tmp_path, *rows, hosts=(("index.example.org", 443),))
    assert {cause for cause, _, _ in named} == {Cause.DIRECT}
    assert found(tmp_path, *rows, network=True) == []


def test_what_was_left_out_is_counted_and_an_unknown_kind_ignored(tmp_path: Path) -> None:
    assert left_out([("left", b"", b"", 7), ("read", b"/a", b"", 1)]) == 7
    assert found(tmp_path, ("left", ""), ("later", "x")) == []


def test_a_hostile_name_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J").mkdir()
    rows: list[Record] = [("read", os.fsencode(f"{tmp_path}/a\x1b[2J"), b"\x1b]0;x\x07", 1)]
    (hint,) = hints_of(denied_findings(rows, evidence(tmp_path)))
    assert "\x1b" not in "".join((hint.sentence, hint.option, hint.key, hint.program, hint.what, hint.value))
