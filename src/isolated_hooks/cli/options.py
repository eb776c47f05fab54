"""The options that make a policy, the same for every command."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import PolicyError
from ..policy import Policy, load_policy
from ..policy.limits import parse_limit

__all__ = ["add_output_options", "add_policy_options", "leading_options", "policies_of", "policy_of"]


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that make a policy to a parser."""
    group = parser.add_argument_group("sandbox options")
    group.add_argument(
        "--config", metavar="FILE", help="read the policy from FILE: [tool.isolated-hooks], or all of it"
    )
    group.add_argument("--package", metavar="NAME", help="use the table of this package in FILE")
    group.add_argument("--network", action="store_true", default=None, help="let hooks use the network")
    group.add_argument(
        "--source", choices=("read-write", "read-only"), help="whether hooks may write to the source tree"
    )
    for name, text in (
        ("expose", "show PATH too, to be read"),
        ("writable", "show PATH too, to be read and written"),
        ("hide", "take PATH out again"),
    ):
        group.add_argument(f"--{name}", metavar="PATH", action="append", help=f"{text}; may be repeated")
    for name, text in (("env-keep", "keep"), ("env-delete", "drop")):
        group.add_argument(
            f"--{name}", metavar="NAME", action="append", help=f"{text} variables, NAME or PREFIX_*; may be repeated"
        )
    group.add_argument(
        "--env-remove", metavar="NAME", action="append", help="take a variable out, whoever set it; may be repeated"
    )
    group.add_argument(
        "--allow-degraded",
        metavar="NAME",
        action="append",
        help="let a protection be weaker or missing; no-namespaces stands for all that need user namespaces",
    )
    group.add_argument(
        "--launcher", metavar="NAME", help="what sets the sandbox up: native, bubblewrap, or one that is installed"
    )
    group.add_argument(
        "--deep-check", action="store_true", default=None, help="look into wheels and sdists before handing them over"
    )
    group.add_argument("--time-limit", dest="time", metavar="SECONDS", type=float, help="end a hook after SECONDS")
    group.add_argument(
        "--limit",
        metavar="NAME=VALUE",
        action="append",
        help="set a limit, idle-time=600, memory=8G or processes=none for instance; may be repeated",
    )


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
    changes: dict[str, Any] = {}
    for name in ("network", "source", "launcher", "deep_check"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    for name in ("expose", "writable", "hide"):
        if "" in (getattr(options, name) or ()):
            raise PolicyError(f"--{name}: an empty path was given, which would stand for the current directory")
        if getattr(options, name):
            changes[name] = (*getattr(policy, name), *(os.path.abspath(path) for path in getattr(options, name)))
    for name in ("env_keep", "env_delete", "env_remove", "allow_degraded"):
        if getattr(options, name):
            changes[name] = (*getattr(policy, name), *getattr(options, name))
    limits: dict[str, Any] = {} if options.time is None else {"wall_time": options.time}
    for text in options.limit or ():
        limits |= parse_limit(text)
    if limits:
        changes["limits"] = dataclasses.replace(policy.limits, **limits)
    return dataclasses.replace(policy, **changes)
