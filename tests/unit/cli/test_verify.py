"""``isolated-hooks verify`` within this process: its output and its exit codes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import pytest
from support import statements
from support.statements import SUBJECT, a_build, calls_with

from isolated_hooks.cli import main
from isolated_hooks.policy import Policy
from isolated_hooks.protections import ProtectionState
from isolated_hooks.provenance.policies import stated_policy
from isolated_hooks.provenance.spelling import Spelling
from isolated_hooks.provenance.statements import Subject, encoded, enforcement, provenance
from isolated_hooks.results.artefacts import Artefact

STATEMENT = "s.intoto.jsonl"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a wheel, and the statements about it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / SUBJECT.name).write_bytes(b"a wheel")
    (tmp_path / STATEMENT).write_bytes(bundle())
    return tmp_path


def bundle(policy: Policy | None = None, **states: ProtectionState) -> bytes:
    """Return the statements about the wheel."""
    subject = Subject(SUBJECT.name, hashlib.sha256(b"a wheel").hexdigest())
    first, last = calls_with(**states)
    report = dataclasses.replace(last.report, artefacts=(Artefact(subject.name, 7, subject.sha256),))
    calls = [first, dataclasses.replace(last, report=report)]
    build = a_build(policy)
    return encoded([provenance(build, subject, [], calls), enforcement(build, subject, calls)])


def test_a_wheel_is_verified_and_nothing_more_is_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", SUBJECT.name, STATEMENT]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"verified: {SUBJECT.name}, SHA-256 {hashlib.sha256(b'a wheel').hexdigest()}\n")
    assert "proves nothing about who wrote it" in out
    assert err == ""


def test_a_changed_byte_is_found(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / SUBJECT.name).write_bytes(b"b wheel")
    assert main(["verify", SUBJECT.name, STATEMENT]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "is not its subject" in err
    assert "proves nothing about who wrote it" in err


def test_a_protection_is_missed_unless_it_may_be_weaker(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / STATEMENT).write_bytes(bundle(Policy(allow_degraded=["ipc"]), ipc=ProtectionState.DEGRADED))
    assert main(["verify", SUBJECT.name, STATEMENT]) == 1
    assert "the protection ipc was degraded" in capsys.readouterr().err
    assert main(["verify", SUBJECT.name, STATEMENT, "--allow-degraded", "ipc"]) == 0
    assert "which the policy accepts: ipc" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--source", "read-only"], ["--config", "policy.toml"], ["--hide", "tree"]])
def test_another_policy_is_named(options: list[str], directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "policy.toml").write_text('source = "discard"')
    assert main(["verify", SUBJECT.name, STATEMENT, *options]) == 1
    assert "more than the given policy" in capsys.readouterr().err


def test_paths_are_compared_as_they_were_typed(directory: Path) -> None:
    spelling = Spelling(typed={os.fspath(directory / "tools"): "tools"})
    build = dataclasses.replace(a_build(), policy=stated_policy(Policy(expose=[directory / "tools"]), spelling))
    assert build.policy["expose"] == ["tools"]
    text = bundle().replace(b'"expose":[]', b'"expose":["tools"]')
    (directory / STATEMENT).write_bytes(text)
    assert main(["verify", SUBJECT.name, STATEMENT, "--expose", "tools"]) == 0
    assert main(["verify", SUBJECT.name, STATEMENT, "--expose", "other"]) == 1


@pytest.mark.parametrize("data", [b"", b"no JSON\n", b'{"a":1,"a":1}\n', bundle()[:-9], b"\x1b[2J"])
def test_what_is_no_statement_is_not_verified(data: bytes, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / STATEMENT).write_bytes(data)
    assert main(["verify", SUBJECT.name, STATEMENT]) == 1
    err = capsys.readouterr().err
    assert STATEMENT in err
    assert "\x1b" not in err


def test_what_cannot_be_read_is_wrong_usage(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(directory / "fifo")
    for arguments in (["missing", STATEMENT], [".", STATEMENT], ["fifo", STATEMENT], [SUBJECT.name, "missing"]):
        assert main(["verify", *arguments]) == 2
        assert "Remedy" in (err := capsys.readouterr().err) or "is not a file" in err
    assert main(["verify", SUBJECT.name]) == 2
    assert main(["verify", SUBJECT.name, STATEMENT, "--package", "x"]) == 2
    (directory / "large").touch()
    os.truncate(directory / "large", 1 << 40)
    assert main(["verify", SUBJECT.name, "large"]) == 1
    assert "too large" in capsys.readouterr().err


def test_text_of_a_statement_cannot_control_a_terminal(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = bundle(ipc=ProtectionState.DEGRADED).replace(b"an IPC namespace", b"\\u001b[2J\\n::error::")
    (directory / STATEMENT).write_bytes(text)
    assert main(["verify", SUBJECT.name, STATEMENT]) == 1
    err = capsys.readouterr().err
    assert "\\x1b[2J\\x0a" in err
    assert "\x1b" not in err
    assert statements.SUBJECT.name in err
