"""Which project a hook is asked about, and that what it returns is named after that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from packaging.version import Version
from support.fakes import no_hang

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.results.projects import Expected, check_result, check_unchanged, declared_name, expected_of

WHEEL = "foo_bar-1.0-py3-none-any.whl"


def declare(path: Path, text: str | bytes) -> str | None:
    data = text.encode() if isinstance(text, str) else text
    (path / "pyproject.toml").write_bytes(data)
    return declared_name(str(path))


@pytest.mark.parametrize(
    "text",
    ['[project]\nname = "Foo.Bar"\n', "project.name = 'foo--bar'", 'project = {name = "foo_bar", version = "1"}'],
)
def test_the_name_is_read_and_normalised(tmp_path: Path, text: str) -> None:
    assert declare(tmp_path, text) == "foo-bar"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[build-system]\nrequires = []\n",
        '[tool.poetry]\nname = "x"\n',
        '[project]\ndynamic = ["name"]\n',
        "[project]\nname = 1\n",
        '[project]\nname = ""\n',
        '[project]\nname = "../x"\n',
        "project = 1\n",
        "[[project]]\nname = 'x'\n",
        "[project]\nname = 'x'\nname = 'y'\n",
        "not toml",
        b"[project]\nname = '\xff'\n",
        "x = " + "[" * 100_000,
        "a" + ".a" * 200_000 + " = 1\n[project]\nname = 'x'\n",
        "[project]\nname = 'x'\n#" + "x" * (512 << 10),
    ],
)
def test_a_file_without_a_name_gives_none(tmp_path: Path, text: str | bytes) -> None:
    with no_hang():
        assert declare(tmp_path, text) is None


@pytest.mark.parametrize("kind", ["none", "link", "fifo", "directory", "device", "sparse"])
def test_what_is_no_plain_file_gives_none_and_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pyproject.toml"
    if kind == "link":
        (tmp_path / "other.toml").write_text('[project]\nname = "x"\n')
        path.symlink_to("other.toml")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "sparse":
        path.touch()
        os.truncate(path, 10 << 30)
    with no_hang():
        assert declared_name(str(tmp_path)) is None
    assert declared_name(str(tmp_path / "missing")) is None


def test_prepared_metadata_are_read_where_the_frontend_hands_them_on(tmp_path: Path) -> None:
    metadata = tmp_path / "foo_bar-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0.0\n\nName: other\n")
    expected = expected_of(str(tmp_path), str(metadata))
    assert expected == Expected(None, ("foo-bar", Version("1.0")))
    (metadata / "METADATA").write_text("Name: foo\n")
    assert expected_of(str(tmp_path), str(metadata)) == Expected()
    assert expected_of(str(tmp_path), str(tmp_path / "missing")) == Expected()
    assert expected_of(str(tmp_path), None) == Expected()


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        ("build_wheel", WHEEL),
        ("build_wheel", "Foo_Bar-1.0.0-1-cp311-abi3-linux_x86_64.whl"),
        ("build_editable", "foo.bar-1.0-py3-none-any.whl"),
        ("build_sdist", "foo_bar-1.0.tar.gz"),
        ("build_sdist", "Foo-Bar-1.0.zip"),
        ("prepare_metadata_for_build_wheel", "Foo.Bar-1.0.dist-info"),
        ("prepare_metadata_for_build_editable", "foo-bar-1.0.0.dist-info"),
    ],
)
def test_any_spelling_of_the_name_passes(hook: str, name: str) -> None:
    check_result(hook, name, Expected("foo-bar", ("foo-bar", Version("1.0"))))
    check_result(hook, name, Expected())


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        ("build_wheel", "requests-1.0-py3-none-any.whl"),
        ("build_editable", "foo-1.0-py3-none-any.whl"),
        ("build_sdist", "foobar-1.0.tar.gz"),
        ("prepare_metadata_for_build_wheel", "bar-1.0.dist-info"),
    ],
)
def test_another_project_is_refused(hook: str, name: str) -> None:
    with pytest.raises(
        UntrustedResultError, match=r"named after the project \(expected 'foo-bar', from pyproject\.toml\)"
    ) as e:
        check_result(hook, name, Expected("foo-bar"))
    assert e.value.text == name
    with pytest.raises(UntrustedResultError, match=r"prepared metadata \(expected foo-bar 1\.0\)"):
        check_result(hook, name, Expected(None, ("foo-bar", Version("1.0"))))


def test_another_version_than_the_prepared_one_is_refused() -> None:
    with pytest.raises(UntrustedResultError, match="prepared metadata"):
        check_result("build_wheel", WHEEL, Expected("foo-bar", ("foo-bar", Version("1.1"))))


@pytest.mark.parametrize("text", [None, "", '[project]\nname = "other"\n', "not toml"])
def test_a_hook_must_not_change_what_the_next_is_compared_with(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nname = "foo"\n')
    expected = expected_of(str(tmp_path), None)
    check_unchanged(expected, str(tmp_path))
    path.write_text('[project]\nname = "FOO"\nversion = "2"\n')
    check_unchanged(expected, str(tmp_path))
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UntrustedResultError, match=r"must not change \[project\]\.name"):
        check_unchanged(expected, str(tmp_path))


def test_a_name_that_was_not_known_may_come(tmp_path: Path) -> None:
    expected = expected_of(str(tmp_path), None)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "foo"\n')
    check_unchanged(expected, str(tmp_path))
