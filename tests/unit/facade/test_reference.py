"""The pages of ``docs/reference`` are what the code says, and the other pages name options that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import reference
from support.reference.commands import CODES, RUN_CODES, parser_of
from support.reference.picture import CALL, untrue
from support.repository import ROOT

from isolated_hooks import cli
from isolated_hooks.frontends import build as frontend

PAGES = sorted([*ROOT.glob("*.rst"), *(ROOT / "docs").rglob("*.rst")])
#: A command of ours in a line of a page, with what follows it.
_CALL = re.compile(r"isolated-hooks (" + "|".join(cli._COMMANDS) + r")\b([^\n`#|>]*)")
#: What follows may be an option of the program that they run.
_OTHERS = {"pip", "fromager"}


def test_every_page_is_what_the_code_says() -> None:
    stale = [path.name for path, text in reference.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], f"run: {reference.COMMAND}"


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_every_option_is_on_the_page_of_its_command(name: str) -> None:
    page = (reference.PLACE / f"{name}.rst").read_text(encoding="utf-8")
    shared = (reference.PLACE / "options.rst").read_text(encoding="utf-8")
    flags = {flag for action in parser_of(name)._actions for flag in action.option_strings} - {"-h", "--help"}
    assert [flag for flag in flags if f"``{flag}" not in page + shared] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_that_a_page_names_exists(page: Path) -> None:
    unknown = []
    for name, rest in _CALL.findall(page.read_text(encoding="utf-8")):
        ours = rest.partition(" -- ")[0]
        parsers = [parser_of(name), *([frontend.parser(name)] if name in ("build", "learn") else ())]
        flags = {flag for parser in parsers for action in parser._actions for flag in action.option_strings}
        found = re.findall(r"(?:^| )(--[a-z][a-z-]+)", ours)
        unknown += [f"{name} {flag}" for flag in found if name not in _OTHERS and flag not in flags]
    assert unknown == []


@pytest.mark.parametrize("name", [name for name in cli._COMMANDS if name not in ("pip", "fromager")])
def test_wrong_usage_has_its_exit_code(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--no-such-option"]) == 2
    assert 2 in CODES and 2 in RUN_CODES
    capsys.readouterr()


def test_the_exit_codes_of_run_are_those_of_its_help() -> None:
    described = parser_of("run").description or ""
    codes = [str(code) for code in RUN_CODES if code not in (2, "other")]
    assert [code for code in codes if code not in described] == []


def test_the_picture_of_a_call_shows_modules_and_imports_that_there_are() -> None:
    assert untrue() == []
    page = (ROOT / "docs/explanation/call.rst").read_text(encoding="utf-8")
    assert [step.name for step in CALL if step.name.endswith(".py") and f"``{step.name}``" not in page] == []


def test_every_line_of_ours_that_the_page_on_broken_builds_explains_is_in_the_code() -> None:
    page = (ROOT / "docs/howto/broken-builds.rst").read_text(encoding="utf-8")
    ours, _, theirs = page.partition("Words of other programs")
    terms = re.findall(r"^``.+``$", ours + theirs.partition("Warnings and notes")[2], re.MULTILINE)
    lines = [line for term in terms for line in re.findall(r"``(.+?)``", term)]
    assert len(lines) > 20
    files = (ROOT / "src/isolated_hooks").rglob("*.py")
    code = _plain("".join(path.read_text(encoding="utf-8") for path in files))
    assert [line for line in lines for part in line.split("...") if _plain(part) not in code] == []


def _plain(text: str) -> str:
    """Return text without quotes, the ends of literals over two lines, and spaces."""
    return re.sub(r"\"\s+f?\"|[\"'\s]", "", text)
