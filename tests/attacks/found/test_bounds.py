"""What a hook leaves that is small for the hook, and takes its frontend gigabytes or minutes (faults K7 and K9).

Each attack is shown to work first, by the step of a frontend that it is aimed at, in a size that takes a moment.
"""

from __future__ import annotations

import os
from email.message import Message
from pathlib import Path

import packaging.metadata
import pytest
from support.projects import caller, command, plain_caller, write_project

from isolated_hooks import UntrustedResultError

pytestmark = pytest.mark.usefixtures("sandbox")

_LEAVES = """
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    os.mkdir(os.path.join(directory, INFO))
    with open(os.path.join(directory, INFO, "METADATA"), "wb") as file:
        CONTENT
    return INFO
"""
_WHEEL = """
def build_wheel(directory, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(os.path.join(directory, WHEEL), "w", zipfile.ZIP_DEFLATED) as wheel:
        with wheel.open(INFO + "/METADATA", "w", force_zip64=True) as file:
            CONTENT
    return WHEEL
"""
MANY_NAMES = "file.write(METADATA.encode() + b''.join(b'X%d: y\\n' % number for number in range(2000)))"
CONTENTS = {
    "many names": MANY_NAMES,
    "parts": "file.write((METADATA + 'Content-Type: multipart/mixed; boundary=a\\n\\n' + '--a\\n\\n' * 5000).encode())",
    "parentheses": "file.write((METADATA + 'Requires-Dist: a; ' + '(' * 5000 + '\\n').encode())",
    "a gibibyte": "[file.write(bytes(1 << 20)) for _ in range(17)]",
}


def test_the_work_that_names_of_fields_make_without_us_is_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: packaging asks for each name, and email looks at each field for it."""
    looked_at = 0
    real = Message.get_all

    def get_all(self: Message, name: str, failobj: object = None) -> object:
        nonlocal looked_at
        looked_at += len(self)
        return real(self, name, failobj)

    monkeypatch.setattr(Message, "get_all", get_all)
    for number in (100, 200, 400):
        looked_at = 0
        packaging.metadata.parse_email(b"".join(b"X%d: y\n" % n for n in range(number)))
        assert looked_at >= number * number


@pytest.mark.parametrize("name", CONTENTS)
def test_metadata_that_take_their_reader_too_much(name: str, tmp_path: Path) -> None:
    extra = _LEAVES.replace("CONTENT", CONTENTS[name])
    project = write_project(tmp_path / "project", extra=extra)
    for way in ("plain", "ours"):
        (tmp_path / way).mkdir()
    plain_caller(project).prepare_metadata_for_build_wheel(tmp_path / "plain")
    assert (tmp_path / "plain" / "example-1.0.dist-info" / "METADATA").stat().st_size > 5000
    with pytest.raises(UntrustedResultError):
        caller(project).prepare_metadata_for_build_wheel(tmp_path / "ours")
    assert os.listdir(tmp_path / "ours") == []


@pytest.mark.parametrize("name", CONTENTS)
def test_a_wheel_whose_metadata_take_their_reader_too_much(name: str, tmp_path: Path) -> None:
    """The wheel of a gibibyte has a thousandth of it; pip and fromager read METADATA of each wheel."""
    extra = _WHEEL.replace("CONTENT", CONTENTS[name])
    project = write_project(tmp_path / "project", extra=extra)
    for way in ("plain", "ours"):
        (tmp_path / way).mkdir()
    plain_caller(project).build_wheel(tmp_path / "plain")
    assert (tmp_path / "plain" / "example-1.0-py3-none-any.whl").stat().st_size < 1 << 20
    with pytest.raises(UntrustedResultError):
        caller(project).build_wheel(tmp_path / "ours")
    assert os.listdir(tmp_path / "ours") == []


_FAILING = """
def prepare_metadata_for_build_wheel(*_):
    os.write(1, TEXT)
    sys.exit("the end")
build_wheel = prepare_metadata_for_build_wheel
"""


@pytest.mark.parametrize("options", ["--metadata", pytest.param("--metadata -v", marks=pytest.mark.slow), "-w -q"])
@pytest.mark.parametrize("text", ["b'\\xff\\xc3\\n'", "b'x' * (8 << 20)"], ids=["no text", "one line"])
def test_output_of_a_failing_hook(text: str, options: str, tmp_path: Path) -> None:
    """Controls: a UnicodeDecodeError, and minutes in textwrap: see tests/unit/frontends/build/test_ends.py."""
    project = write_project(tmp_path / "project", extra=_FAILING.replace("TEXT", text))
    done = command("build", "-n", *options.split(), project, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "ERROR Backend subprocess exited when trying to invoke" in done.stderr
    if "metadata" in options:
        assert "the end" in done.stderr


@pytest.mark.slow
def test_a_marker_that_nobody_can_evaluate(tmp_path: Path) -> None:
    extra = "def get_requires_for_build_wheel(_=None): return [\"nosuch; 'x' in extras\"]"
    project = write_project(tmp_path / "project", extra=extra)
    assert plain_caller(project).get_requires_for_build_wheel() == ["nosuch; 'x' in extras"]
    done = command("build", "-n", "-w", project, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "build requirement must" in done.stderr or "a requirement must" in done.stderr
