"""The tutorial, and the attack in the README: each command is run, and each line that the pages show is printed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest
from support.consoles import Command, commands_of, mistakes, run
from support.projects import cannot_run
from support.repository import FIXTURES, ROOT, not_sources

pytestmark = pytest.mark.usefixtures("sandbox")

TUTORIAL = (ROOT / "docs/tutorial.rst").read_text(encoding="utf-8")
_INSTALLING = re.compile(r"-m venv|-m pip install")
_PROGRAMS = Path(sys.executable).parent


def environ(home: Path, *programs: Path) -> dict[str, str]:
    """Return the environment of a reader who has nothing but a home, Python and the settings of pip."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    path = ":".join([*map(os.fspath, programs), "/usr/local/bin", "/usr/bin", "/bin"])
    return {**settings, "PIP_NO_CACHE_DIR": "1", "PATH": path, "HOME": os.fspath(home), "LANG": "C.UTF-8"}


def with_a_route(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines of a page that hold here: a host without a route has no way to the internet to show."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        routed = channel.connect_ex(("192.0.2.1", 9)) == 0
    return tuple(line for line in lines if routed or not line.endswith("a way to the internet: yes"))


@pytest.fixture
def installed() -> Path:
    """The environment that runs the tests, in the place of the one that the reader makes."""
    if not (_PROGRAMS / "isolated-hooks").exists():
        cannot_run(f"there is no isolated-hooks beside {sys.executable}")
    return _PROGRAMS


def checked(command: Command) -> Command:
    return Command(command.text, with_a_route(command.lines))


@pytest.mark.slow
def test_the_tutorial_from_its_third_command_on(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "isolated-hooks/fixtures").mkdir(parents=True)
    shutil.copytree(FIXTURES / "thief", tmp_path / "isolated-hooks/fixtures/thief", ignore=not_sources)
    (tmp_path / "tools").symlink_to(installed.parent)
    commands = [checked(command) for command in commands_of(TUTORIAL) if not _INSTALLING.search(command.text)]
    assert len(commands) > 12
    assert mistakes(commands, tmp_path, environ(tmp_path)) == []


@pytest.mark.network
@pytest.mark.slow
def test_the_whole_tutorial(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "isolated-hooks", ignore=not_sources)
    commands = [checked(command) for command in commands_of(TUTORIAL)]
    assert mistakes(commands, tmp_path, environ(Path.home(), _PROGRAMS)) == []


@pytest.mark.slow
def test_the_attack_of_the_readme(installed: Path, tmp_path: Path) -> None:
    """The two columns of the README are what the two commands print; they stand side by side in a block of text."""
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"code-block:: text\n\n((?:    .*\n)+)", text) if "thief" in block)
    columns = zip(*(re.split(r" {4,}", line.strip()) for line in block.splitlines()), strict=True)
    shutil.copytree(FIXTURES / "thief", tmp_path / "fixtures/thief", ignore=not_sources)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine index.example.org login me password example\n")
    variables = {**environ(home, installed), "GITHUB_TOKEN": "example-token-0123456"}
    for column in columns:
        page = ".. code-block:: console\n\n" + "".join(f"    {line}\n" for line in column)
        commands = [checked(command) for command in commands_of(page.replace("/home/you", os.fspath(home)))]
        assert [command.text.split()[0] for command in commands] in (["python", "ls"], ["isolated-hooks", "ls"])
        assert mistakes(commands, tmp_path, variables) == []
        (home / ".thief").unlink(missing_ok=True)


def test_a_line_that_is_not_printed_is_noticed(tmp_path: Path) -> None:
    lines = ("$ export A=12", "$ echo one \\", "    two $A", "one two 3", "two", "$ false")
    commands = commands_of(".. code-block:: console\n\n" + "".join(f"    {line}\n" for line in lines))
    assert [command.text for command in commands] == ["export A=12", "echo one \\\n    two $A", "false"]
    assert [code for code, _ in run(commands, tmp_path, {"PATH": os.defpath})] == [0, 0, 1]
    first, second = mistakes(commands, tmp_path, {"PATH": os.defpath})
    assert "not printed: ['two']" in first and second.startswith("false: exit code 1")


def test_a_shell_that_ends_is_noticed(tmp_path: Path) -> None:
    commands = [Command("exit 0", ()), Command("echo one", ("one",))]
    assert mistakes(commands, tmp_path, {"PATH": os.defpath}) == ["the shell ended in: exit 0"]
