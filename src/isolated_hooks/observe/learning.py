"""The search for the smallest policy under which a project builds, and its text.

Pure: the caller says how to build. Each build is a new one, in a view of the tree that is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..frozen import dataclass
from ..policy import Policy
from ..text import visible
from .candidates import Judge, Line, policy_with, toml_value
from .hints import Hint

__all__ = ["Learned", "Outcome", "document", "learn"]

#: The most lines that are taken out again one by one.
MOST_REMOVALS = 12
# The riskiest line is the first to be taken out again.
_ORDER = ("network", "writable", "env-keep", "expose", "limits")
_MOST_REFUSED = 20
_LONGEST = 400


@dataclass(frozen=True)
class Outcome:
    """How one build ended.

    :ivar built: it succeeded
    :ivar failure: which hook failed, and how, in words; empty if it succeeded
    :ivar failed: what the hook that failed was denied, each with the name of the hook
    :ivar others: what the other hooks were denied
    """

    built: bool
    failure: str = ""
    failed: tuple[tuple[str, Hint], ...] = ()
    others: tuple[tuple[str, Hint], ...] = ()


@dataclass(frozen=True)
class Learned:
    """What the search has found.

    :ivar built: the project builds with the lines
    :ivar lines: the lines to add to the policy
    :ivar refused: the lines that were not tried, each with its flag
    :ivar unchecked: the lines that nobody has tried to leave out
    :ivar runs: how many builds there were
    """

    built: bool
    lines: tuple[Line, ...]
    refused: tuple[Line, ...]
    runs: int
    unchecked: tuple[Line, ...] = ()


def learn(
    run: Callable[[Policy], Outcome],
    policy: Policy,
    judge: Judge,
    *,
    most: int,
    tell: Callable[[str], object] = lambda _: None,
) -> Learned:
    """Add lines to the policy until the project builds, and take out again what it does not need.

    :param run: builds the project under a policy
    :param most: the most builds, those to take lines out again not among them
    :param tell: gets a sentence about each build
    """
    lines: dict[tuple[str, str], Line] = {}
    refused: dict[tuple[str, str], Line] = {}
    earlier = ""
    for number in range(1, most + 1):
        outcome = run(policy_with(policy, lines.values()))
        if outcome.built:
            tell(f"run {number}: it builds")
            return _smallest(run, policy, tuple(lines.values()), tuple(refused.values()), number, tell)
        other = bool(earlier) and outcome.failure != earlier
        tell(f"run {number}: {outcome.failure}" + (", which is otherwise than in the run before" if other else ""))
        earlier = outcome.failure
        new = _new(outcome, judge, lines, refused)
        if not new:
            tell("no further line would change that" if not refused else "nothing that needs no flag would change that")
            break
        for line in new:
            tell(f"to try next: {line.key} {line.value} ({line.why})")
            lines[line.place] = line
    else:
        tell(f"it does not build after {most} runs: --max-runs allows more")
        number = most
    return Learned(False, tuple(lines.values()), tuple(refused.values()), number)


def _new(
    outcome: Outcome, judge: Judge, lines: dict[tuple[str, str], Line], refused: dict[tuple[str, str], Line]
) -> list[Line]:
    """Return the lines to try next. Note those that need a flag. The hook that failed goes first."""
    for asked in (outcome.failed, outcome.others):
        candidates = [line for hook, hint in asked if (line := judge.line(hook, hint)) is not None]
        refused.update((line.place, line) for line in candidates if line.flag and line.place not in refused)
        new = [line for line in candidates if not line.flag and lines.get(line.place) != line]
        if new:
            return new
    return []


def _smallest(
    run: Callable[[Policy], Outcome],
    policy: Policy,
    lines: tuple[Line, ...],
    refused: tuple[Line, ...],
    runs: int,
    tell: Callable[[str], object],
) -> Learned:
    """Leave out each line once, and keep it if the project does not build without it."""
    kept = list(lines)
    # A single line is needed: the build before it has failed.
    tried = sorted(lines, key=lambda line: _ORDER.index(line.key))[:MOST_REMOVALS] if len(lines) > 1 else []
    for line in tried:
        rest = [other for other in kept if other != line]
        runs += 1
        if run(policy_with(policy, rest)).built:
            tell(f"run {runs}: it builds without {line.key} {line.value} too")
            kept = rest
        else:
            tell(f"run {runs}: it needs {line.key} {line.value}")
    unchecked = tuple(line for line in kept if len(lines) > 1 and line not in tried)
    return Learned(True, tuple(kept), refused, runs, unchecked)


def document(learned: Learned, source: str) -> str:
    """Return the policy in TOML, with a comment on each line.

    :param source: the source tree, as the caller names it
    """
    shown, runs = visible(source, limit=300), f"{learned.runs} run{'s' if learned.runs > 1 else ''}"
    if learned.built and not learned.lines:
        return f"# {shown} builds under the present policy ({runs}): it needs no line.\n[tool.isolated-hooks]\n"
    if learned.built:
        head = [f"# {shown} builds with these lines besides the present policy ({runs})."]
        return "\n".join([*head, "[tool.isolated-hooks]", *_lines(learned)]) + "\n"
    text = [f"# {shown} does not build ({runs}), so this is no policy."]
    if learned.lines:
        text += ["# Tried, and not enough:", *(f"#   {key}" for key in _lines(learned))]
    if learned.refused:
        text += ["# Not tried, because each needs a flag of learn's:"]
        text += [f"#   {_alone(line)}" for line in learned.refused[:_MOST_REFUSED]]
    if len(learned.refused) > _MOST_REFUSED:
        text += [f"#   and {len(learned.refused) - _MOST_REFUSED} more"]
    return "\n".join(text) + "\n"


def _alone(line: Line) -> str:
    form = {"limits": "{{ {} }}"}.get(line.key, "[{}]" if toml_value(line) != "true" else "{}")
    return f"{line.key} = {form.format(toml_value(line))}  # pass {visible(line.flag)}: {_comment(line)}"


def _lines(learned: Learned) -> Iterator[str]:
    """Yield the lines of the table, one key after the other."""
    for key in sorted({line.key for line in learned.lines}):
        mine = [line for line in learned.lines if line.key == key]
        if key == "limits":
            # A table on one line has no place for a comment, TOML 1.0.
            yield from (f"# {_comment(line, learned.unchecked)}" for line in mine)
            yield f"limits = {{ {', '.join(map(toml_value, mine))} }}"
        elif any(toml_value(line) == "true" for line in mine):
            yield f"{key} = true  # {_comment(mine[0], learned.unchecked)}"
        else:
            yield f"{key} = ["
            yield from (f"    {toml_value(line)},  # {_comment(line, learned.unchecked)}" for line in mine)
            yield "]"


def _comment(line: Line, unchecked: Sequence[Line] = ()) -> str:
    return visible(line.why, limit=_LONGEST) + ("; nobody has tried without it" if line in unchecked else "")
