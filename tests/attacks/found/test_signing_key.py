"""Found by attack: places where a hook could read the key of ``--sign-key``, besides the tree and exposed paths."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.projects import WITH_PYTHON, command, facts, write_project

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.slow]

READS = """
def build_wheel(directory, config_settings=None, metadata_directory=None):
    for path in PATHS:
        try:
            with open(path) as file:
                tell(read=file.read())
        except OSError as problem:
            tell(read=problem.strerror)
    return _wheel(directory, {})
"""


def hard_link(place: Path) -> tuple[Path, Path, Mapping[str, str]]:
    os.link(place / "key.pem", place / "work" / "project" / "data.txt")
    return place / "key.pem", place / "work" / "project" / "data.txt", {}


def repository(place: Path) -> tuple[Path, Path, Mapping[str, str]]:
    """The key lies in the repository around the source tree, beside it."""
    key = place / "work" / "key.pem"
    os.rename(place / "key.pem", key)
    for arguments in (["init", "-q"], ["add", "project"]):
        subprocess.run(["git", *arguments], cwd=place / "work", check=True)
    return key, key, {}


def programs(place: Path) -> tuple[Path, Path, Mapping[str, str]]:
    """The key lies beside programs on PATH."""
    (place / "bin").mkdir()
    (place / "bin" / "tool").write_text("#!/bin/sh\n")
    (place / "bin" / "tool").chmod(0o755)
    os.rename(place / "key.pem", place / "bin" / "key.pem")
    return place / "bin" / "key.pem", place / "bin" / "key.pem", {"PATH": f"{place}/bin:{WITH_PYTHON['PATH']}"}


@pytest.mark.parametrize("put", [hard_link, repository, programs], ids=lambda put: put.__name__)
def test_a_key_that_a_hook_can_read_signs_nothing(tmp_path: Path, put: object) -> None:
    pytest.importorskip("securesystemslib", reason="signatures need isolated-hooks[sign]")
    assert callable(put)
    project = write_project(tmp_path / "work" / "project")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "key.pem"], check=True)
    (tmp_path / "key.pem").chmod(0o644)
    secret = (tmp_path / "key.pem").read_text()
    key, seen, environ = put(tmp_path)
    with open(project / "backend.py", "a", encoding="utf-8") as file:
        file.write(READS.replace("PATHS", repr([os.fspath(seen)])))
    environ = {**WITH_PYTHON, **environ}
    plain = command("build", "-n", "-w", "-o", "out", "work/project", cwd=tmp_path, environ=environ)
    assert plain.returncode == 0, plain.stderr
    assert [fact["read"] for fact in facts(project) if "read" in fact] == [secret], "the attack works on any other file"
    before = len(facts(project))
    options = ("--provenance", "stated", "--sign-key", os.fspath(key))
    done = command("build", "-n", "-w", "-o", "out", *options, "work/project", cwd=tmp_path, environ=environ)
    assert done.returncode == 2, done.stderr
    assert "--sign-key: " in done.stderr
    assert len(facts(project)) == before, "no hook has run"
