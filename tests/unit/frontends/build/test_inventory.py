"""The distributions in an environment, and the requirements that they meet."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from isolated_hooks.frontends.build import inventory
from isolated_hooks.frontends.build.installation import RequirementsError, scheme_of
from isolated_hooks.frontends.build.inventory import installed_in, is_met, parsed


def put(prefix: Path, name: str, version: str, requires: Iterable[str] = (), directory: str = "") -> None:
    info = Path(scheme_of(str(prefix))["purelib"]) / (directory or f"{name}-{version}.dist-info")
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("plain", True),
        ("Plain>=1", True),
        ("plain>=2", False),
        ("plain==1.0", True),
        ("absent", False),
        ("absent; python_version < '3'", True),
        ("absent; python_version > '3'", False),
        ("absent; extra == 'some'", True),
        ("early", True),
        ("early>=1.0b1", True),
        ("needy", True),
        ("needy[less]", True),
        ("needy[more]", False),
        ("needy[unknown]", True),
        ("broken", False),
        ("above", False),
        ("invalid", False),
        ("circle", True),
        ("plain @ https://localhost/plain.whl", False),
    ],
)
def test_which_requirements_are_met(text: str, met: bool, tmp_path: Path) -> None:
    put(tmp_path, "plain", "1.0")
    put(tmp_path, "early", "1.0b2")
    more = ("absent; extra == 'more'", "plain>=1; extra == 'less'", "absent; sys_platform == 'other'")
    put(tmp_path, "needy", "3", ["plain", *more])
    put(tmp_path, "broken", "3", ["plain>=2"])
    put(tmp_path, "invalid", "3", ["plain (>=1"])
    put(tmp_path, "above", "3", ["needy", "broken"])
    put(tmp_path, "circle", "1", ["round"])
    put(tmp_path, "round", "1", ["circle", "plain"])
    assert is_met(parsed(text), installed_in(str(tmp_path))) is met


def test_what_has_no_proper_name_or_version_is_not_installed(tmp_path: Path) -> None:
    """Both go into a file that pip reads."""
    put(tmp_path, "good", "1.0")
    put(tmp_path, "--index-url", "1.0", directory="bad-1.dist-info")
    put(tmp_path, "bad", "1.0 --index-url=x", directory="bad-2.dist-info")
    put(tmp_path, "ba d", "1.0", directory="bad-3.dist-info")
    site = Path(scheme_of(str(tmp_path))["purelib"])
    (site / "empty-1.0.dist-info").mkdir()
    (site / "latin-1.0.dist-info").mkdir()
    (site / "latin-1.0.dist-info" / "METADATA").write_bytes(b"Name: latin\nVersion: 1.0\nSummary: \xff\n")
    assert set(installed_in(str(tmp_path))) == {"good"}


def test_a_distribution_whose_metadata_is_not_there_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backport of importlib.metadata says so by an error."""

    class Absent:
        @property
        def metadata(self) -> None:
            raise FileNotFoundError("No package metadata was found.")

    monkeypatch.setattr(inventory, "distributions", lambda path: [Absent()])
    assert installed_in(str(tmp_path)) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-r requirements.txt",
        "--index-url=https://localhost",
        "-e .",
        ".",
        "./directory",
        "/etc/hostname",
        "https://localhost/a.whl",
        "a b",
        "a>=1 --hash=sha256:00",
        "a @ https://localhost/\n--pre",
        "a @ https://localhost/\r--pre",
        "a>=1\n",
        "a\\\n--pre",
        "a @ ../../dir",
        "a @ ../b.whl",
        "a @ /etc/b.whl",
        "a @ //h/b.whl",
        "a @ b.whl",
        "a @ ftp://localhost/b.whl",
        "a @ git+ext::sh",
        "a @ https:b.whl",
        "a @ https:///b.whl",
        "a @ https://user@localhost/b.whl",
        "a @ https://user:word@localhost/b.whl",
        "a @ https://localhost/${HOME}/b.whl",
        "a @ https://localhost/{HOME}/b.whl",
        "a @ https://localhost:port/b.whl",
        "a @ git+ssh://git:word@localhost/b",
        "a @ git+ssh://-oProxyCommand=x/b",
        "a>=1 # ${HOME}",
        "a; os_name == '${HOME}'",
        "a" * 5000,
    ],
)
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(RequirementsError, match="not a build requirement"):
        parsed(text)


@pytest.mark.parametrize("url", ["file:///etc/a.whl", "FILE:/etc/a.whl", "git+file:///srv/a", "hg+FILE:///srv/a"])
def test_a_file_of_this_host_is_for_the_policy_to_allow(url: str) -> None:
    with pytest.raises(RequirementsError, match="allow-url-requirements"):
        parsed(f"a @ {url}")
    assert parsed(f"a @ {url}", local=True).name == "a"
    assert parsed("a @ git+https://localhost/a").name == "a"


def test_an_error_shows_what_it_refuses() -> None:
    with pytest.raises(RequirementsError, match=r"\\x1b"):
        parsed("\033[2Ja b")


def test_the_scheme_is_that_of_a_virtual_environment(tmp_path: Path) -> None:
    scheme = scheme_of(str(tmp_path))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert scheme["purelib"] == str(tmp_path / "lib" / version / "site-packages")
    assert scheme["scripts"] == str(tmp_path / "bin")
    assert scheme["data"] == str(tmp_path)
    assert all(Path(path).is_relative_to(tmp_path) for path in scheme.values())


@pytest.mark.parametrize("marker", ["'x' in extras", "python_version ~= 'x'"])
def test_a_marker_that_nobody_can_evaluate_is_an_error_of_its_own(marker: str) -> None:
    with pytest.raises(RequirementsError):
        is_met(parsed(f"nosuch; {marker}"), {})
