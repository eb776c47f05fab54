"""Run the console blocks of a page, as a reader would type them, and compare the lines that the page shows.

A line that begins with ``$ `` is a command, with the lines after a backslash at its end. The other lines are what the
command prints: each has to be among its lines, where ``...`` stands for any text and a number for any number. The
commands of a page run in one shell, one after the other, so that a directory and a variable last.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Command", "commands_of", "missing", "mistakes", "run"]

_BLOCK = re.compile(r"^( *)\.\. code-block:: console\n\n((?:\1    .*\n|\n)+)", re.MULTILINE)
_PROMPT = "$ "
_END = "the end of a command of the page"


@dataclass(frozen=True)
class Command:
    """A command of a page.

    :ivar text: what the reader types, with line ends
    :ivar lines: what the page shows of the output
    """

    text: str
    lines: tuple[str, ...]


def commands_of(page: str) -> list[Command]:
    """Return the commands in the console blocks of the text of a page."""
    return [command for _, block in _BLOCK.findall(page) for command in _commands(textwrap.dedent(block))]


def _commands(block: str) -> list[Command]:
    found: list[tuple[list[str], list[str]]] = []
    for line in block.rstrip().splitlines():
        if line.startswith(_PROMPT):
            found.append(([line.removeprefix(_PROMPT)], []))
        elif found and found[-1][0][-1].endswith("\\") and not found[-1][1]:
            found[-1][0].append(line)
        elif found and line.strip():
            found[-1][1].append(line)
    return [Command("\n".join(text), tuple(lines)) for text, lines in found]


def run(commands: Sequence[Command], directory: Path, environ: Mapping[str, str]) -> list[tuple[int, str]]:
    """Run commands in one shell, and return the exit code and the output of each, standard error with it.

    :param environ: the whole environment
    :raises subprocess.TimeoutExpired: they take longer than ten minutes
    """
    script = "".join(f"{command.text}\nprintf '\\n%s %d\\n' '{_END}' $?\n" for command in commands)
    done = subprocess.run(
        ["bash", "--norc", "-c", f"exec 2>&1\n{script}"],
        cwd=directory,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=580,
        check=False,
    )
    parts = re.split(rf"^{_END} (\d+)\n", done.stdout, flags=re.MULTILINE)
    return [(int(code), output) for output, code in zip(parts[::2], parts[1::2], strict=False)]


def missing(command: Command, output: str) -> list[str]:
    """Return the lines of the page that the output does not have."""
    printed = [line.rstrip() for line in output.splitlines()]
    return [line for line in command.lines if not any(_pattern(line).fullmatch(each) for each in printed)]


def _pattern(line: str) -> re.Pattern[str]:
    parts = re.split(r"(\.\.\.|\d+)", line.rstrip())
    kinds = {"...": ".*"}
    return re.compile("".join(r"\d+" if part.isdigit() else kinds.get(part, re.escape(part)) for part in parts))


def mistakes(commands: Sequence[Command], directory: Path, environ: Mapping[str, str]) -> list[str]:
    """Run commands and return, in words, what is not as the page says.

    A command that prints nothing on the page has to end with exit code 0.
    """
    wrong = []
    results = run(commands, directory, environ)
    for command, (code, output) in zip(commands, results, strict=False):
        if absent := missing(command, output):
            wrong.append(f"{command.text}: not printed: {absent}; printed, with exit code {code}: {output}")
        elif code and not command.lines:
            wrong.append(f"{command.text}: exit code {code}: {output}")
    if len(results) < len(commands):
        wrong.append(f"the shell ended in: {commands[len(results)].text}")
    return wrong
