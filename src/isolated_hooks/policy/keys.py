"""The keys of a policy, one row each: its check, its option and its paragraph of the reference, ``docs/policy.rst``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..frozen import dataclass
from ..protections import ROWS, Protection, ProtectionState
from . import checks, hostauth, hosts
from .limits import Limits, limit_values
from .option import Option

__all__ = ["DEFAULT_REQUIRE", "HOOKS", "KEYS", "Key"]

#: Every hook of PEP 517 and PEP 660, and the one that pyproject_hooks adds. All of them run the backend's code.
HOOKS = (
    "get_requires_for_build_wheel",
    "get_requires_for_build_sdist",
    "get_requires_for_build_editable",
    "prepare_metadata_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "build_wheel",
    "build_sdist",
    "build_editable",
    "_supported_features",
)
#: The protections that have to be active unless ``allow_degraded`` names them.
DEFAULT_REQUIRE = frozenset(p for p, row in ROWS.items() if row.needed is ProtectionState.ACTIVE)

_SOURCES = ("read-write", "read-only", "discard")
_REPOSITORY = ("show", "hide")
_LAUNCHER = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]{0,98}[A-Z0-9])?", re.IGNORECASE | re.ASCII)


def _check_hooks(label: str, value: object) -> frozenset[str]:
    hooks = checks.choices(label, value, HOOKS)
    if not hooks:
        raise checks.wrong(label, value, "at least one hook", "without any, nothing is sandboxed")
    return hooks


def _check_source(label: str, value: object) -> str:
    return checks.choice(label, value, _SOURCES)


def _check_repository(label: str, value: object) -> str:
    return checks.choice(label, value, _REPOSITORY)


def _check_launcher(label: str, value: object) -> str:
    # We check only the form. To know the installed launchers, we would have to ask the system.
    if not isinstance(value, str) or not _LAUNCHER.fullmatch(value):
        raise checks.wrong(label, value, "the name of a launcher, such as native or bubblewrap")
    return value


def _check_limits(label: str, value: object) -> Limits:
    if isinstance(value, Limits):
        return value
    values: dict[str, Any] = limit_values(label, value, str)
    return Limits(**values)


def _check_required(label: str, value: object) -> frozenset[Protection]:
    return DEFAULT_REQUIRE | checks.protections(label, value)


@dataclass(frozen=True, kw_only=True)
class Key:
    """The row of one key of a policy.

    :ivar check: takes a label and a value, and returns the value in its normal form or raises ``PolicyError``
    :ivar about: its paragraph of the reference, in reStructuredText
    :ivar example: an example in TOML, for the reference
    :ivar default: its default in words, if the value would not be clear; otherwise empty
    :ivar option: the option of the command line that sets the key or adds to it
    :ivar paths: its values are paths, which may begin with ``~`` in a file and may be relative in an option
    """

    check: checks.Check
    about: str
    example: str
    default: str = ""
    option: Option | None = None
    paths: bool = False


#: The row of each key, by its name in Python; a file spells it with hyphens. ``--help`` lists options in this order.
KEYS: Mapping[str, Key] = {
    "hooks": Key(
        check=_check_hooks,
        default="all of them",
        about="""\
The hooks that run in a sandbox. Every hook runs the same code of the backend, so leave this key alone unless you
know why one of them cannot be sandboxed. A hook that you do not name runs unprotected, and its report says so.""",
        example='hooks = ["build_wheel", "get_requires_for_build_wheel"]',
    ),
    "network": Key(
        check=hosts.network,
        about="""\
The hosts that hooks reach, each with one port: through a proxy of ours outside of the sandbox, and nothing else,
neither UDP nor DNS (`network <network.rst>`_). ``true`` is the host's network as a whole: a hook then reaches
everything that the host reaches, services on ``localhost`` included. With ``false``, a hook has at most a loopback
interface of its own. A name that resolves to a private address, or to one of this machine, is refused unless the
entry ends in ``/private``; an address needs no such word. ``--network`` alone, or ``--network=all``, is the whole
network.""",
        example='network = ["downloads.example.org:443", "pypi-mirror:443/private", "192.0.2.7:8080"]',
        option=Option(
            flag="--network",
            metavar="HOST:PORT",
            repeated=True,
            alone=hosts.ALL,
            help="let hooks reach HOST at this port; without HOST:PORT, let them use the network",
        ),
    ),
    "network_auth": Key(
        check=hostauth.network_auth,
        about="""\
Credentials for hosts that ``network`` names. The proxy adds them outside, so no hook sees them: a user name and a
password from the file that ``NETRC`` names or ``~/.netrc``, or from the keyring, which takes
``pip install isolated-hooks[keyring]``. A program asks for ``http://HOST:PORT/...``, with GET or HEAD alone; the proxy
speaks TLS to the host, and checks its certificate (`network <network.rst>`_). ``HOST:PORT/plain`` is for a private
address without TLS.""",
        example='network = ["index.example.org:443", "files.example.org:443"]\n'
        'network-auth = ["index.example.org:443=netrc", "files.example.org:443=keyring:builder"]',
        option=Option(
            flag="--network-auth",
            metavar="HOST:PORT=netrc|keyring[:USER]",
            repeated=True,
            help="have the proxy add a credential to what hooks read from this host; hooks do not see it",
        ),
    ),
    "source": Key(
        check=_check_source,
        about="""\
Whether hooks may write to the source tree. Many backends do: setuptools puts ``build`` and ``*.egg-info`` there.
With ``"read-only"``, those fail. With ``"discard"``, hooks write to a view of the tree, one for all hooks of a caller,
which is thrown away at the end; the tree itself stays as it is, except for an output directory in it. The view is an
overlay where the host has overlayfs for us. Elsewhere it is a copy, of at most 4 GiB and 200,000 entries, and a larger
tree is refused. Without user namespaces hooks run in the copy, under another path.""",
        example='source = "read-only"',
        option=Option(
            flag="--source",
            choices=_SOURCES,
            help="let hooks write to the source tree, only read it, or write to a view of it that is thrown away",
        ),
    ),
    "repository": Key(
        check=_check_repository,
        about="""\
Whether hooks see, read-only, the repository of git that the source tree is a part of: what is beside and above the
tree in the working tree, and ``.git``, without credentials, hooks and commands in its configuration. Backends read
versions and shared files there. The repository has to say itself that the tree belongs to it: its index names something
in the tree, or it is the repository of the tree's own worktree or submodule. Hooks do not see one whose top contains
your home directory. With ``"hide"``, or where there are no user namespaces, they see none.""",
        example='repository = "hide"',
        option=Option(
            flag="--repository",
            choices=_REPOSITORY,
            help="let hooks see the repository of git that the source tree is in, or not",
        ),
    ),
    "expose": Key(
        check=checks.paths,
        paths=True,
        about="""\
Further paths that hooks can read: toolchains outside of the system directories that neither ``PATH`` nor a build
variable names, data, a home directory that holds the source tree. A path shows everything beneath it. Each path must
exist.""",
        example='expose = ["/srv/toolchains", "~/models"]',
        option=Option(flag="--expose", metavar="PATH", repeated=True, help="let hooks read PATH"),
    ),
    "writable": Key(
        check=checks.paths,
        paths=True,
        about="""\
Further paths that hooks can read and write: a compiler cache that builds share, for instance. One build can leave
files there that the next build, or a program outside of the sandbox, trusts. Each path must exist.""",
        example='writable = ["~/.cache/ccache"]',
        option=Option(flag="--writable", metavar="PATH", repeated=True, help="let hooks read and write PATH"),
    ),
    "hide": Key(
        check=checks.paths,
        paths=True,
        about="""\
Paths that hooks cannot see, for instance a directory in the source tree or in a system directory. In a directory that
hooks only read, the path does not exist for them, not even if somebody makes or replaces it later; what else is in that
directory is shown as it is when the hook starts. In a directory that they write to, or beside more than 256 other
entries, they find an empty file or directory in the place of what exists when the hook starts. ``hide`` wins over every
other key. A host without user namespaces cannot hide anything beneath a visible path: there the call is refused.""",
        example='hide = ["/usr/local/etc/licences"]',
        option=Option(flag="--hide", metavar="PATH", repeated=True, help="hide PATH from hooks"),
    ),
    "env_keep": Key(
        check=checks.keep_patterns,
        about="""\
Variables of the frontend's own environment that hooks get, besides the built-in list of build variables
(``CFLAGS``, ``CMAKE_*``, ``SOURCE_DATE_EPOCH`` and others): ``NAME``, or ``PREFIX_*`` for all with that prefix. Case
matters. ``env-keep`` wins over ``env-delete``, and it keeps variables whose name or value looks like a credential, so
name as few as possible. ``"*"`` is refused.""",
        example='env-keep = ["MY_BUILD_*", "LICENCE_SERVER"]',
        option=Option(flag="--env-keep", metavar="NAME", repeated=True, help="keep the variable NAME, or PREFIX_*"),
    ),
    "env_delete": Key(
        check=checks.patterns,
        about="""\
Variables that hooks do not get, although the built-in list keeps them or the frontend adds them: ``NAME``,
``PREFIX_*``, or ``"*"`` for all that ``env-keep`` does not name. Case does not matter. Variables that the frontend
passes with the call itself stay.""",
        example='env-delete = ["CARGO_*"]',
        option=Option(flag="--env-delete", metavar="NAME", repeated=True, help="drop the variable NAME, or PREFIX_*"),
    ),
    "env_remove": Key(
        check=checks.names,
        about="""\
Variables that no hook gets, not even if the frontend passes them with the call, its runner sets them, or ``env-keep``
names them. Only whole names work, and case matters.""",
        example='env-remove = ["INDEX_PASSWORD"]',
        option=Option(
            flag="--env-remove",
            metavar="NAME",
            repeated=True,
            help="drop the variable NAME, even if the frontend set it",
        ),
    ),
    "require": Key(
        check=_check_required,
        default="the protections that the table below requires",
        about="""\
Protections that have to be *active*, in addition to those that are required by default, which always stay required.
If the host cannot provide one, nothing runs, and the error says what to do.""",
        example='require = ["identity", "processes"]',
    ),
    "allow_degraded": Key(
        check=checks.protections,
        about="""\
Protections that may be weaker or missing. ``allow-degraded`` wins over ``require``. Each report says which protection
was weaker and why, and each call warns with ``IsolationDegradedWarning``. ``no-namespaces`` stands for all protections
that a host without user namespaces cannot provide in full.""",
        example='allow-degraded = ["no-namespaces"]',
        option=Option(
            flag="--allow-degraded",
            metavar="NAME",
            repeated=True,
            help="run hooks even if this protection is weaker or missing; no-namespaces stands for all that need user "
            "namespaces",
        ),
    ),
    "allow_url_requirements": Key(
        check=checks.flag,
        about="""\
Whether a hook may ask for a build requirement by URL (``name @ https://...``). The frontend would fetch it outside
of the sandbox, from a place that the hook has chosen. Only with it may pyproject.toml, or a dependency in metadata
under pip, name a ``file:`` URL.""",
        example="allow-url-requirements = true",
    ),
    "allow_other_names": Key(
        check=checks.flag,
        about="""\
Whether a hook may return a wheel, an sdist or metadata for a project other than the one in ``pyproject.toml``. Such a
backend could replace a package that you trust.""",
        example="allow-other-names = true",
    ),
    "launcher": Key(
        check=_check_launcher,
        about="""\
The launcher that sets up the sandbox: ``native``, which is part of this package, ``bubblewrap``, or the name of a
launcher from another distribution (`launchers <launchers.rst>`_).""",
        example='launcher = "bubblewrap"',
        option=Option(
            flag="--launcher",
            metavar="NAME",
            help="set up the sandbox with this launcher: native, bubblewrap, or an installed one",
        ),
    ),
    "warm": Key(
        check=checks.flag,
        default="``true``",
        about="""\
Whether the launcher of a hook may be a fork of a process of ours that stays ready for as long as the frontend runs,
which saves the start of an interpreter for each hook. The sandbox is the same. It is used only by the launcher
``native``, in user namespaces, under a runner whose work we know: those of pyproject_hooks, and the one of
``isolated-hooks build``; and only while the frontend's process is as it was at its first hook: ids, limits, signals,
umask, priority, cgroup, namespaces. The report of each call says whether it was used.""",
        example="warm = false",
    ),
    "deep_check": Key(
        check=checks.flag,
        about="""\
Whether wheels and sdists are inspected before the frontend gets them: names, links, sizes and ``RECORD`` of their
members (`results <results.rst>`_).""",
        example="deep-check = true",
        option=Option(flag="--deep-check", help="inspect the contents of wheels and sdists too"),
    ),
    "limits": Key(
        check=_check_limits,
        default="see the table of limits below",
        about="""\
The resources that one hook call may use. Each limit is a key of its own: setting one leaves the others alone. Times
are in seconds. Sizes are in bytes, or have a unit: ``"500M"``, ``"2GiB"``. ``"none"`` removes a limit, except for
those marked *always*.""",
        example='limits = { wall-time = 3600, memory = "8G", processes = "none" }',
        option=Option(
            flag="--limit",
            metavar="NAME=VALUE",
            repeated=True,
            help="set a limit, such as idle-time=600, memory=8G or processes=none",
        ),
    ),
}
