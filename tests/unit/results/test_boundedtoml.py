"""A pyproject.toml of anybody's is parsed with a bound on the work."""

from __future__ import annotations

import pytest
from support.repository import ROOT

from isolated_hooks import UntrustedResultError
from isolated_hooks.results.boundedtoml import MAX_PYPROJECT, parse_toml


def test_the_size_is_bounded() -> None:
    assert parse_toml(b"#" * MAX_PYPROJECT) == {}
    with pytest.raises(UntrustedResultError, match="must not be larger than"):
        parse_toml(b"#" * (MAX_PYPROJECT + 1))


def test_real_files_are_parsed() -> None:
    assert parse_toml((ROOT / "pyproject.toml").read_bytes())["project"]["name"] == "isolated-hooks"
    many = "".join(f'"tool-{i}.{i}" = ["a>=1.2.3,<2.0.0"]\n' for i in range(3000))
    assert len(parse_toml(f"[tool.x.y]\n{many}".encode())["tool"]["x"]["y"]) == 3000
    assert parse_toml(b"") == {}


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 200_000 + " = 1",
        '"=".' * 50_000 + "a = 1",
        "[" + ".".join("a" * 1000) + "]\n" + "".join(f"k{i} = 1\n" for i in range(20_000)),
        "".join(f"k{i}" + ".b" * 500 + " = 1\n" for i in range(250)),
        "a = " + "[" * 100_000,
        "a = " + "{a = " * 50_000,
        "x" * (600 << 10),
        "a = ",
        "\0",
    ],
)
def test_what_takes_too_long_is_refused(text: str) -> None:
    with pytest.raises(UntrustedResultError):
        parse_toml(text.encode())


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(UntrustedResultError):
        parse_toml(b"a = '\xff'")
