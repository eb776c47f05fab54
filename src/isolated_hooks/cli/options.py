"""The options that make a policy, the same for every command."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import PolicyError
from ..policy import Policy, load_policy
from ..policy.keys import KEYS
from ..policy.limits import LIMITS, limit_value, parse_limit
from ..policy.option import Option

__all__ = ["add_output_options", "add_policy_options", "leading_options", "policies_of", "policy_of"]


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that make a policy to a parser."""
    group = parser.add_argument_group("sandbox options")
    group.add_argument(
        "--config", metavar="FILE", help="read the policy from FILE: [tool.isolated-hooks], or all of it"
    )
    group.add_argument("--package", metavar="NAME", help="use the table of this package in FILE")
    for name, key in KEYS.items():
        if name == "limits":
            for limit in LIMITS.values():
                _add(group, limit.option)
        _add(group, key.option)


def _add(group: argparse._ArgumentGroup, option: Option | None) -> None:
    if option is None:
        return
    settings: dict[str, Any] = {"help": option.help}
    if not (option.metavar or option.choices):
        settings |= {"action": "store_true", "default": None}
    if option.metavar:
        settings["metavar"] = option.metavar
    if option.choices:
        settings["choices"] = option.choices
    if option.number:
        settings["type"] = float
    if option.repeated:
        settings |= {"action": "append", "help": f"{option.help}; may be repeated"}
    group.add_argument(option.flag, **settings)


def leading_options(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the parser's own options at the beginning of the arguments, and the rest, which is another program's.

    A ``--`` between the two is left out.
    """
    position = 0
    while position < len(arguments):
        name, equals, _ = arguments[position].partition("=")
        action = parser._option_string_actions.get(name)
        if action is None:
            break
        position += 1 if equals or action.nargs == 0 else 2
    rest = list(arguments[position:])
    return list(arguments[:position]), rest[1:] if rest[:1] == ["--"] else rest


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that show what hooks print to a parser."""
    parser.add_argument(
        "--raw-output",
        action="store_true",
        help="print what hooks print as it is; by default nothing in it but colours can steer the terminal or the CI",
    )


def policy_of(options: argparse.Namespace) -> Policy:
    """Return the policy that the options make, over that of the file they name.

    :raises PolicyError: it is not valid
    """
    if options.package is not None and options.config is None:
        raise PolicyError("--package: it chooses a table of a file, and no file was given; name it by --config")
    return policies_of(options)(options.package)


def policies_of(options: argparse.Namespace) -> Callable[[str | None], Policy]:
    """Return what gives the policy for a package, by name: the options, over the file they name, which is read once.

    :raises PolicyError: one of them is not valid
    """
    file = None if options.config is None else load_policy(options.config)
    _over(Policy() if file is None else file.default, options)
    return lambda name: _over(Policy() if file is None else file.for_package(name), options)


def _over(policy: Policy, options: argparse.Namespace) -> Policy:
    """Return the policy with what the options say: a single value replaces the policy's, a list is added to it."""
    changes: dict[str, Any] = {}
    for name, key in KEYS.items():
        if key.option is None or name == "limits":
            continue
        value = getattr(options, key.option.attribute)
        if value is None:
            continue
        if key.paths:
            value = [_absolute(key.option.flag, path) for path in value]
        changes[name] = (*getattr(policy, name), *value) if key.option.repeated else value
    if limits := _limits(options):
        changes["limits"] = dataclasses.replace(policy.limits, **limits)
    return dataclasses.replace(policy, **changes)


def _absolute(flag: str, path: str) -> str:
    if not path:
        raise PolicyError(f"{flag}: an empty path was given, which would stand for the current directory")
    return os.path.abspath(path)


def _limits(options: argparse.Namespace) -> dict[str, Any]:
    """Return the limits that options set: those with an option of their own first, so ``--limit`` has the last word."""
    limits: dict[str, Any] = {}
    for name, limit in LIMITS.items():
        value = getattr(options, limit.option.attribute) if limit.option else None
        if limit.option and value is not None:
            limits[name] = limit_value(limit.option.flag, name, value)
    for text in options.limit or ():
        limits |= parse_limit(text)
    return limits
