"""The pages on commands, from their parsers. Sphinx makes the man pages from the same pages."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import re
from collections.abc import Iterable, Iterator
from unittest import mock

from isolated_hooks import cli
from isolated_hooks.cli.options import add_output_options, add_policy_options

from .text import HEADER, definitions, heading, list_table, literal, wrapped

__all__ = ["CODES", "RUN_CODES", "pages", "parser_of"]

#: The exit codes of every command but ``run``; then what a command says in other words.
CODES = {
    0: "success",
    1: "the build failed",
    2: "wrong usage or configuration; nothing was run",
    3: "the sandbox is unavailable on this host, or could not be set up",
    130: "interrupted",
}
RUN_CODES = {
    2: "wrong usage or configuration; nothing was run",
    124: "the command reached a time limit",
    125: "the sandbox is unavailable on this host, or could not be set up",
    126: "the command could not be run",
    127: "the command was not found",
    "128+N": "signal N ended the command",
    "other": "the command's own",
}
_WORDS: dict[str, dict[int, str]] = {
    "doctor": {0: "hooks can run under the policy", 3: "they cannot, and the report says why"},
    "learn": {0: "the project builds with the printed lines, or needs none", 1: "it does not, or only with a flag"},
    "selftest": {0: "everything that the policy promises held", 1: "something did not hold, or could not be tried"},
    "verify": {0: "verified", 1: "not verified"},
    "wheelhouse": {0: "all wheels are there", 1: "some are not"},
    "explain": {0: "the plan was printed"},
    "pip": {0: "success", 1: "pip's own: the build or pip itself failed"},
    "fromager": {0: "success", 1: "fromager's own: the build or fromager itself failed"},
}
#: These have no such code.
_WITHOUT = {"doctor": {1}, "explain": {1}, "verify": {3}}
#: Commands that also take the options of another program, and a sentence about them.
_MORE = {
    "build": "It takes the options and arguments of ``python -m build``, too; ``--help`` lists all.",
    "learn": "It takes the options and arguments of ``python -m build``, too, except those that name an output.",
    "fromager": "The sandbox options come first; what follows is fromager's. A ``--`` may stand between them.",
    "pip": "The sandbox options come before pip's command, because some of pip's options have the same names.",
}
_USAGE = {
    "build": "isolated-hooks build [OPTION ...] [BUILD'S OPTION ...] [SRCDIR]",
    "learn": "isolated-hooks learn [OPTION ...] [BUILD'S OPTION ...] [SRCDIR]",
}
_SEE = {
    "build": "`the build frontend <../frontends/build.rst>`_",
    "learn": "`builds that fail <../failing-builds.rst>`_",
    "wheelhouse": "`many packages <../wheelhouse.rst>`_",
    "fromager": "`fromager <../frontends/fromager.rst>`_",
    "pip": "`pip <../frontends/pip.rst>`_",
    "run": "`uv, tox, hatch and pixi <../howto/run.rst>`_",
    "doctor": "`hosts <../hosts.rst>`_",
    "selftest": "`selftest <../selftest.rst>`_",
    "verify": "`provenance <../provenance.rst>`_",
    "explain": "`what a build knows of its caller <../environment.rst>`_",
}
_INDEX = """\
Commands
========

``isolated-hooks COMMAND`` and ``python -I -m isolated_hooks COMMAND`` are the same. Standard output holds results,
standard error progress and errors. Every command takes the `sandbox options <options.rst>`_.

"""
_OPTIONS = """\
isolated-hooks: sandbox options
===============================

Every command that runs hooks takes these. `The policy reference <../policy.rst>`_ says what each of them means, and
what the same key is called in a file and in Python.

"""
_OUTPUT = """\
Output
------

``build``, ``learn``, ``pip`` and ``fromager`` filter the output of hooks. Colours stay; every other sequence that could
control a terminal or a CI service is shown as an escape (`results <../results.rst>`_).

"""


class _CapturedError(Exception):
    """Carries a parser out of a command that was about to print its help."""


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of a command, without the options of other programs."""
    module = importlib.import_module(f"isolated_hooks.cli.{name}")
    if name in ("build", "learn"):  # build's own parser differs between its versions
        parser = argparse.ArgumentParser(prog=f"isolated-hooks {name}")
        module._add_options(parser)
        return parser
    caught: list[argparse.ArgumentParser] = []

    def format_help(self: argparse.ArgumentParser) -> str:
        caught.append(self)
        raise _CapturedError

    with (
        mock.patch.object(argparse.ArgumentParser, "format_help", format_help),
        contextlib.suppress(_CapturedError),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        module.main(["--help"])
    return caught[0]


def pages() -> dict[str, str]:
    """Return the text of each page, by its name."""
    return {
        "commands.rst": HEADER + _INDEX + _index(),
        "options.rst": HEADER + _OPTIONS + definitions(_options(_shared())) + f"\n{_OUTPUT}" + _output(),
        **{f"{name}.rst": _page(name, about) for name, about in cli._COMMANDS.items()},
    }


def _index() -> str:
    rows = [(f"`{name} <{name}.rst>`_", about) for name, about in cli._COMMANDS.items()]
    rows.append(("`sandbox options <options.rst>`_", "the options that every command takes"))
    codes = list_table(("exit code", "what it says"), _codes(CODES), (15, 85))
    return (
        list_table(("command", "what it does"), rows, (20, 80))
        + f"\n{heading('Exit codes', '-')}``run`` `has other ones <run.rst>`_.\n\n{codes}"
    )


def _codes(codes: dict[int, str] | dict[int | str, str]) -> list[tuple[str, str]]:
    return [(str(code), words) for code, words in codes.items()]


def _page(name: str, about: str) -> str:
    parser = parser_of(name)
    shared = {flag for action in _shared() for flag in action.option_strings} | {"-h", "--help"}
    own = [action for action in parser._actions if not shared.intersection(action.option_strings)]
    usage = _USAGE.get(name) or parser.usage or _usage(name, own)
    more = f"\n{wrapped(_MORE[name])}\n" if name in _MORE else ""
    body = f"{about[0].upper()}{about[1:]}.\n\n.. code-block:: text\n\n    {usage}\n{more}"
    parts = [HEADER, heading(f"isolated-hooks {name}", "="), body, f"\nSee {_SEE[name]}.\n"]
    parts += [f"\n{heading('Options', '-')}", definitions(_options(own)), "\n" if own else ""]
    parts += ["The `sandbox options <options.rst>`_ come in addition.\n"]
    codes = RUN_CODES if name == "run" else _codes_of(name)
    parts += [f"\n{heading('Exit codes', '-')}", list_table(("exit code", "what it says"), _codes(codes), (15, 85))]
    return "".join(parts)


def _codes_of(name: str) -> dict[int, str]:
    codes = {**CODES, **_WORDS.get(name, {})}
    return {code: words for code, words in codes.items() if code not in _WITHOUT.get(name, ())}


def _usage(name: str, actions: Iterable[argparse.Action]) -> str:
    positional = [_positional(action) for action in actions if not action.option_strings]
    return " ".join([f"isolated-hooks {name} [OPTION ...]", *positional])


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    forms = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}
    return forms.get(str(action.nargs), name)


def _options(actions: Iterable[argparse.Action]) -> Iterator[tuple[str, str]]:
    for action in actions:
        terms = ", ".join(literal(flag + _value(action)) for flag in action.option_strings)
        about = (action.help or "") % {**vars(action), "prog": "isolated-hooks"}
        about = f"{about[0].upper()}{about[1:]}" if about else about
        needed = " Required." if action.required and action.option_strings else ""
        yield terms or literal(_positional(action)), _escaped(about).rstrip(".") + f".{needed}"


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    value = "|".join(map(str, action.choices)) if action.choices else str(action.metavar or action.dest.upper())
    return f" [{value}]" if action.nargs == "?" else f" {value}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\*`|]|_(?=\W))", r"\\\1", text)


def _shared() -> list[argparse.Action]:
    parser = argparse.ArgumentParser(add_help=False)
    add_policy_options(parser)
    return parser._actions


def _output() -> str:
    parser = argparse.ArgumentParser(add_help=False)
    add_output_options(parser)
    return definitions(_options(parser._actions))
