"""The command-line options for a policy, which every command that runs hooks has."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import PolicyError
from ..files.spelling import absolute
from ..policy import Policy, load_policy
from ..policy.hosts import ALL
from ..policy.keys import KEYS
from ..policy.limits import LIMITS, parse_limit, parse_limit_value
from ..policy.option import Option

__all__ = ["add_output_options", "add_policy_options", "leading_options", "policies_of", "policy_of", "spelled_out"]


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Add the policy options to a parser."""
    group = parser.add_argument_group("sandbox options")
    group.add_argument(
        "--config",
        metavar="FILE",
        help="read the policy from FILE: from its table [tool.isolated-hooks], or the whole file",
    )
    group.add_argument("--package", metavar="NAME", help="use the table of this package in the file")
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
    if option.alone:
        settings |= {"nargs": "?", "const": option.alone}
    if option.repeated:
        settings |= {"action": "append", "help": f"{option.help}; may be repeated"}
    group.add_argument(option.flag, **settings)


def leading_options(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments into the parser's own leading options and the arguments of another program, which follow.

    A ``--`` between the two is dropped.
    """
    arguments = spelled_out(parser, arguments, leading=True)
    position = 0
    while position < len(arguments) and (size := _size(parser, arguments[position])):
        position += size
    following = arguments[position:]
    return arguments[:position], following[1:] if following[:1] == ["--"] else following


def spelled_out(parser: argparse.ArgumentParser, arguments: Sequence[str], *, leading: bool = False) -> list[str]:
    """Write an option that stands alone, although it may have a value, with its value for that: ``--network=all``.

    argparse would take the next argument for its value, whatever that is. A value has a colon; a path that has one
    begins with ``/`` or ``.``.

    :param leading: only until the first argument that is neither an option of the parser nor the value of one
    """
    result, position = [*arguments], 0
    while position < len(result) and result[position] != "--":
        argument = result[position]
        size = _size(parser, argument)
        if size == 0 and leading:
            break
        action = parser._option_string_actions.get(argument)
        if action is not None and action.nargs == "?":
            following = "".join(result[position + 1 : position + 2])
            if ":" in following and not following.startswith(("-", "/", ".")):
                result[position : position + 2] = [f"{argument}={following}"]
            else:
                result[position] = f"{argument}={action.const}"
            size = 1
        position += size or 1
    return result


def _size(parser: argparse.ArgumentParser, argument: str) -> int:
    """Return how many arguments an option has, with itself; 0 if this is no option of the parser."""
    name, equals, _ = argument.partition("=")
    action = parser._option_string_actions.get(name)
    if action is None:
        return 0
    return 1 if equals or action.nargs == 0 else 2


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the output options to the parser of a command that shows the output of hooks."""
    parser.add_argument(
        "--raw-output",
        action="store_true",
        help="print the output of hooks unchanged; by default, only its colours can control the terminal or the CI",
    )


def policy_of(options: argparse.Namespace) -> Policy:
    """Return the policy of the options and of the file that they name. The options win.

    :raises PolicyError: the policy is not valid
    """
    if options.package is not None and options.config is None:
        raise PolicyError("--package: no policy file to choose a table from; add --config FILE")
    return policies_of(options)(options.package)


def policies_of(options: argparse.Namespace) -> Callable[[str | None], Policy]:
    """Return a function from the name of a package to its policy. It reads the policy file only once, at the start.

    :raises PolicyError: a policy is not valid
    """
    file = None if options.config is None else load_policy(options.config)
    _with_options(Policy() if file is None else file.default, options)
    return lambda name: _with_options(Policy() if file is None else file.for_package(name), options)


def _with_options(policy: Policy, options: argparse.Namespace) -> Policy:
    """Return the policy changed by the options: a single value replaces the policy's, and a list extends it."""
    changes: dict[str, Any] = {}
    for name, key in KEYS.items():
        if key.option is None or name == "limits":
            continue
        value = getattr(options, key.option.attribute)
        if value is None:
            continue
        if name == "network":
            changes[name] = _network(policy, key.option.flag, value)
            continue
        if key.paths:
            value = [_absolute(key.option.flag, path) for path in value]
        changes[name] = (*getattr(policy, name), *value) if key.option.repeated else value
    if limits := _limits(options):
        changes["limits"] = dataclasses.replace(policy.limits, **limits)
    return dataclasses.replace(policy, **changes)


def _network(policy: Policy, flag: str, values: Sequence[str]) -> bool | tuple[str, ...]:
    """Return the whole network, or the hosts of the file and of the options: these replace a ``true`` of the file."""
    if ALL not in values:
        earlier = () if isinstance(policy.network, bool) else policy.network
        return (*earlier, *values)
    if set(values) != {ALL}:
        raise PolicyError(f"{flag}: expected either the whole network or HOST:PORT, got both: leave {flag} alone out")
    return True


def _absolute(flag: str, path: str) -> str:
    if not path:
        raise PolicyError(f"{flag}: expected a path, got an empty text; write '.' for the current directory")
    return absolute(path)


def _limits(options: argparse.Namespace) -> dict[str, Any]:
    """Return the limits that the options set. ``--limit`` comes last, because it wins over a limit's own option."""
    limits: dict[str, Any] = {}
    for name, limit in LIMITS.items():
        value = getattr(options, limit.option.attribute) if limit.option else None
        if limit.option and value is not None:
            limits[name] = parse_limit_value(limit.option.flag, name, value)
    for text in options.limit or ():
        limits |= parse_limit(text)
    return limits
