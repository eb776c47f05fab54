"""Progress and errors of the commands, on stderr. Results go to stdout."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from ..errors import IsolatedHooksError
from ..observe.hints import Hint
from ..protections import ProtectionState
from ..report import HookReport
from ..text import visible

__all__ = ["denials", "error", "explanation", "note", "quoted", "summary"]

_MOST_REFUSED = 10
_MOST_DENIED = 40
# What shells and terminals set for themselves.
_NOISE = frozenset(
    "PWD OLDPWD SHLVL _ SHELL LOGNAME USER HOME MAIL HISTFILE HISTSIZE LS_COLORS PS1 TERM_PROGRAM".split()
)
_OF_BUILDS = re.compile(
    r"^(?:CI|BUILD|GIT|GITHUB|GITLAB|JENKINS|BUILDKITE|CIRCLE)(?:_|$)|VERSION|FLAGS|_DIR$|_HOME$|_ROOT$"
)
_CODES = {"red": "91", "green": "92", "yellow": "93", "bold": "1", "dim": "2"}


def _styled(text: str, style: str) -> str:
    # NO_COLOR wins over FORCE_COLOR, as in build.
    colour = "NO_COLOR" not in os.environ and ("FORCE_COLOR" in os.environ or sys.stderr.isatty())
    return f"\033[{_CODES[style]}m{text}\033[0m" if colour else text


def _print(text: str) -> None:
    # A message that stderr does not take is lost. That is no reason to lose the build, or the exit code.
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def error(message: str) -> None:
    """Print an error message, escaped except for line feeds, because a hook may have written parts of it."""
    _print(f"{_styled('ERROR', 'red')} {visible(message, keep=chr(10))}")


def note(message: str) -> None:
    """Print a line of progress, escaped."""
    _print(f"{_styled('*', 'bold')} {visible(message, keep=chr(10))}")


def quoted(line: str) -> None:
    """Print a line of the output of a build, escaped, as a quotation."""
    _print(f"  {_styled('|', 'dim')} {visible(line)}")


def explanation(problem: IsolatedHooksError) -> None:
    """Print what the sandbox had to do with an error, if a hook that ran has raised it."""
    if problem.explanation:
        note(problem.explanation)


def summary(reports: Sequence[HookReport], *, noun: str = "hook") -> None:
    """Print the protections of some calls, their connections, and the variables that were kept from them.

    :param noun: the singular of what was run
    """
    if not reports:
        return
    names = ", ".join(dict.fromkeys(report.hook for report in reports))
    note(f"Ran {len(reports)} {noun}{'s' if len(reports) > 1 else ''} in a sandbox: {names}")
    explanations = dict.fromkeys(report.explanation for report in reports if report.explanation)
    for explanation in explanations:
        note(explanation)
    if not explanations:
        _protections(reports)
    for text in dict.fromkeys(text for report in reports for text in report.notes):
        _print(f"  {_styled('note', 'yellow')}: {visible(text)}")
    for text in _connections(reports):
        _print(f"  {text}")
    if not explanations:
        _dropped(reports)


def _protections(reports: Sequence[HookReport]) -> None:
    for state in ProtectionState:
        reasons = {s.protection.value: s.reason for r in reports for s in r.protections if s.state is state}
        if reasons and state is ProtectionState.ACTIVE:
            _print(f"  {_styled('active', 'green')}: {', '.join(reasons)}")
        for name, reason in reasons.items() if state is not ProtectionState.ACTIVE else ():
            _print(f"  {_styled(state.value, 'yellow')}: {name}: {reason}")


def _connections(reports: Sequence[HookReport]) -> Iterator[str]:
    """Yield a line for those that were made, and one for each host that was asked for in vain."""
    made, refused = Counter[str](), Counter[str]()
    for connection in (connection for report in reports for connection in report.connections):
        place = f"[{connection.host}]" if ":" in connection.host else connection.host or "(others)"
        place = visible(f"{place}:{connection.port}" if connection.port else place, limit=300)
        if connection.allowed:
            made[place] += connection.sent + connection.received
        else:
            refused[f"{place}: {visible(connection.problem, limit=300)}"] += connection.count
    if made:
        yield f"connected to: {', '.join(f'{place} ({size} bytes)' for place, size in made.items())}"
    for text, count in refused.most_common(_MOST_REFUSED):
        yield f"{_styled('not connected', 'yellow')}: {text}" + (f" ({count} times)" if count > 1 else "")
    if len(refused) > _MOST_REFUSED:
        yield f"{_styled('not connected', 'yellow')}: {len(refused) - _MOST_REFUSED} more"


def _dropped(reports: Sequence[HookReport]) -> None:
    """Print the names of the variables that hooks did not get: those of builds and services first, no shell noise."""
    names = {name for report in reports for name in report.dropped if name not in _NOISE}
    if names:
        count = f"{len(names)} environment variable{'s' if len(names) > 1 else ''}"
        ordered = sorted(names, key=lambda name: (_OF_BUILDS.search(name) is None, name))
        _print(f"  kept from them: {count}: {' '.join(map(visible, ordered))}")


def denials(reports: Sequence[HookReport]) -> None:
    """Print what observed hooks asked for and did not get: who, what, how often, and the line that allows it."""
    rows: dict[tuple[str, str], list[tuple[str, Hint]]] = {}
    for report in reports:
        for hint in report.denied:
            rows.setdefault((hint.sentence, hint.option), []).append((report.hook, hint))
    if not rows:
        note("Nothing that hooks asked for was denied, as far as anybody has seen" if reports else "No hook ran")
        return
    note("What hooks asked for and the sandbox denied:")
    for number, ((sentence, option), asked) in enumerate(rows.items(), 1):
        if number > _MOST_DENIED:
            _print(f"  and {len(rows) - _MOST_DENIED} more; --report FILE has up to 200 of each hook")
            break
        _print(f"  {number}. {visible(', '.join(_asker(asked)))}: {visible(sentence)}")
        key = asked[0][1].key
        _print(f"     {f'add: {option}    or to the policy: {key}' if option else 'no option allows this'}")


def _asker(asked: Sequence[tuple[str, Hint]]) -> Iterator[str]:
    """Yield who asked, and how often: the program, and the hook that it ran in."""
    for hook, hint in asked[:_MOST_REFUSED]:
        times = f", {hint.count} times" if hint.count > 1 else ""
        yield f"{hint.program} ({hook}{times})" if hint.program else f"{hook}{times}"
