"""The lines of a requirements file that pin packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from packaging.version import Version
from support.each import each

from isolated_hooks import PolicyError
from isolated_hooks.many.pinned import Pin, read_pins

DIGEST = "0123456789abcdef" * 4
OTHER = "f" * 64

GOOD = {
    "demo==1.0": ["demo==1.0"],
    "Demo_Thing == 1.0": ["demo-thing==1.0"],
    "demo===1.0": ["demo==1.0"],
    "demo[extra]==1.0": ["demo==1.0"],
    "# nothing\n\n  \ndemo==1.0 # a comment": ["demo==1.0"],
    "demo==1.0\nother==2.0rc1+local": ["demo==1.0", "other==2.0rc1+local"],
    "demo==1.0; python_version > '3'": ["demo==1.0"],
    "demo==1.0; python_version < '3'": [],
    "demo==1.0; python_version < '3'\nother==1": ["other==1"],
    "\ufeffdemo==1.0": ["demo==1.0"],
    "demo==\\\n1.0": ["demo==1.0"],
    f"demo==1.0 \\\n    --hash=sha256:{DIGEST} \\\n    --hash=sha256:{OTHER}\nother==2": ["demo==1.0", "other==2"],
    "": [],
}
BAD = {
    "demo==" + "9" * 5000: "does not pin",
    "demo==1!" + "9" * 4400: "does not pin",
    "demo==1.0; python_version ~= 'abc'": "marker that this Python can evaluate",
    "demo==1.0; 'a' ~= os_name": "marker that this Python can evaluate",
    f"demo==1.0; python_version > '{'9' * 5000}'": "marker that this Python can evaluate",
    "demo": "line 1: 'demo' does not pin a package (expected NAME==VERSION)",
    "demo>=1.0": "does not pin",
    "demo==1.*": "does not pin",
    "demo==1.0,!=1.1": "does not pin",
    "demo @ https://index.example.org/demo-1.0.tar.gz": "does not pin",
    "demo @ file:///etc/passwd": "does not pin",
    "./demo-1.0.tar.gz": "is no requirement",
    "../../demo==1.0": "is no requirement",
    "a/b==1.0": "is no requirement",
    "demo==1.0/../..": "is no requirement",
    "-e .": "is an option",
    "--index-url https://index.example.org": "is an option",
    "-r other.txt": "is an option",
    "\n\ndemo": "line 3",
    "demo==1.0\n\nDEMO==1.0": "line 3: demo is in line 1, too",
    "demo==1.0 --hash=md5:00": "expected --hash=sha256:",
    "demo==1.0 --hash=sha256:00": "expected --hash=sha256:",
    "demo==1.0 --config-settings=a=b": "is no requirement",
    "demo==1.0\x1b[31m": "is no requirement",
}


def write(directory: Path, text: str) -> str:
    path = directory / "requirements.txt"
    path.write_text(text, encoding="utf-8")
    return os.fspath(path)


def test_pinned_lines_are_read(tmp_path: Path) -> None:
    def check(text: str) -> None:
        assert [pin.text for pin in read_pins(write(tmp_path, text))] == GOOD[text]

    each(GOOD, check)


def test_every_other_line_is_refused_by_its_number(tmp_path: Path) -> None:
    def check(text: str) -> None:
        with pytest.raises(PolicyError) as caught:
            read_pins(write(tmp_path, text))
        assert BAD[text] in str(caught.value)
        assert "requirements.txt: line " in str(caught.value)
        assert "\x1b" not in str(caught.value)

    each(BAD, check)


def test_the_hashes_of_a_line_are_those_of_its_sdist(tmp_path: Path) -> None:
    (pin,) = read_pins(write(tmp_path, f"demo==1.0 --hash=sha256:{DIGEST} --hash sha256:{OTHER}"))
    assert pin.refusal(DIGEST) == pin.refusal(OTHER) == ""
    assert "another SHA-256" in pin.refusal("0" * 64)
    assert Pin(("demo", Version("1.0"))).refusal("0" * 64) == ""


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_bytes(b"#" * (17 << 20))
    for name, problem in {"none": "cannot be read", "binary": "not a requirements file", "large": "too large"}.items():
        with pytest.raises(PolicyError, match=problem):
            read_pins(os.fspath(tmp_path / name))
