"""What the release session accepts and refuses; the session itself builds, and is run before each release."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest
from support import release
from support.repository import ROOT

import isolated_hooks

_WHEEL = [
    "isolated_hooks/py.typed",
    "isolated_hooks/sandbox/__main__.py",
    "isolated_hooks-1.dist-info/licenses/LICENSE",
]


def _changelog(heading: str) -> str:
    return f"Changelog\n=========\n\n{heading}\n{'-' * len(heading)}\n"


def test_only_the_package_itself_has_the_version() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert isolated_hooks.__version__ not in re.findall(r'^version = "(.*)"', project, re.MULTILINE)
    assert 'version = { attr = "isolated_hooks.__version__" }' in project


def test_the_changelog_has_a_section_for_the_version() -> None:
    text = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    assert list(release.changelog_problems(text, isolated_hooks.__version__, unreleased=True)) == []


@pytest.mark.parametrize("heading", ["1.0 (unreleased)", "0.9 (2026-01-01)", "1.0 (soon)", "Notes"])
def test_a_changelog_without_version_or_date_is_refused(heading: str) -> None:
    assert len(list(release.changelog_problems(_changelog(heading), "1.0"))) == 1


def test_a_date_makes_a_release() -> None:
    assert list(release.changelog_problems(_changelog("1.0 (2026-01-01)"), "1.0")) == []


def test_a_wheel_with_what_it_needs_and_nothing_else_is_accepted() -> None:
    assert list(release.content_problems("wheel", _WHEEL)) == []


@pytest.mark.parametrize("name", ["tests/conftest.py", "isolated_hooks/a.pyc", "isolated_hooks/a.so", "signing.pem"])
def test_other_files_in_a_wheel_are_refused(name: str) -> None:
    assert list(release.content_problems("wheel", [*_WHEEL, name])) == [f"wheel, unexpected file {name}"]


def test_a_wheel_without_its_licence_is_refused() -> None:
    assert len(list(release.content_problems("wheel", _WHEEL[:2]))) == 1


def _sdist(directory: Path, content: bytes, time: int) -> None:
    directory.mkdir()
    with tarfile.open(directory / "a-1.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("a-1/file")
        member.size, member.mtime = len(content), time
        archive.addfile(member, io.BytesIO(content))


def test_sdists_are_compared_without_times_and_wheels_with_every_byte(tmp_path: Path) -> None:
    _sdist(tmp_path / "one", b"x", 1)
    _sdist(tmp_path / "two", b"x", 2)
    _sdist(tmp_path / "three", b"y", 1)
    assert list(release.differences(tmp_path / "one", tmp_path / "two")) == []
    assert list(release.differences(tmp_path / "one", tmp_path / "three")) == ["a-1.tar.gz, not the same in two builds"]
    (tmp_path / "one" / "a-1.whl").write_bytes(b"1")
    (tmp_path / "two" / "a-1.whl").write_bytes(b"2")
    assert list(release.differences(tmp_path / "one", tmp_path / "two")) == ["a-1.whl, not the same in two builds"]
