"""The table of causes: a kind of observation, its sentence, the option and the policy key that allow it.

Pure: a hint says what was observed, and where an option would change that, the exact line.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import shlex
from collections.abc import Iterable, Mapping

from ..frozen import dataclass
from ..text import visible

__all__ = ["Cause", "Finding", "Hint", "hints_of"]


class Cause(enum.Enum):
    """The kinds of observations."""

    LIMIT = "limit"
    FULL = "full"
    SOURCE = "source"
    WRITE = "write"
    MODE = "mode"
    SYSTEM_WRITE = "system write"
    CODE = "code"
    PROGRAM = "program"
    HEADER = "header"
    HIDDEN = "hidden"
    PRIVATE_WRITE = "private write"
    GUARDED = "guarded"
    WIDE = "wide"
    READ = "read"
    PRIVATE = "private"
    HOME = "home"
    VARIABLE = "variable"
    SECRET = "secret"
    REPOSITORY = "repository"
    SIGNAL = "signal"
    LOOKUP = "lookup"
    HOST = "host"
    DIRECT = "direct"
    CONNECTION = "connection"
    SAID_FULL = "said full"
    SAID_MEMORY = "said memory"
    SERVICE = "service"
    OFFLINE = "offline"
    NESTED = "nested"
    RAISED = "raised"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One observation.

    :ivar cause: its kind
    :ivar what: the name, path or address that it is about, as the hook or the host has it
    :ivar value: the value for the option, if the option takes one
    :ivar program: the program that asked first, if somebody has observed it
    :ivar count: how often it was asked for; 0 if nobody has counted
    """

    cause: Cause
    what: str = ""
    value: str = ""
    program: str = ""
    count: int = 0


@dataclass(frozen=True)
class Hint:
    """A sentence about a failure, and the line that would allow what was missing.

    :ivar sentence: what was observed
    :ivar option: the option of the command line, or an empty text if no option would help
    :ivar key: the same as a line of the policy, in TOML
    :ivar cause: the kind of observation, a value of :class:`Cause`
    :ivar what: the name, path or address that it is about, escaped
    :ivar value: the value that would allow it, escaped; empty if there is none
    :ivar program: the program that asked first, escaped; empty if nobody has observed it
    :ivar count: how often it was asked for; 0 if nobody has counted
    """

    sentence: str
    option: str = ""
    key: str = ""
    cause: str = ""
    what: str = ""
    value: str = ""
    program: str = ""
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class _Row:
    """How one kind is told. ``{what}`` and ``{value}`` are the parts of the finding.

    :ivar likelihood: from 0 to 100: how often this is the cause if it was observed
    :ivar flag: the option; empty if none helps
    :ivar key: the policy key
    :ivar form: how TOML spells the value: a list of one text, or the text of a limit. Without a value the option is a
        switch, and the key is true.
    """

    sentence: str
    likelihood: int
    flag: str = ""
    key: str = ""
    form: str = "[{quoted}]"


_NETWORK = {"flag": "--network", "key": "network"}
_ROWS: Mapping[Cause, _Row] = {
    Cause.LIMIT: _Row(
        sentence="it met the limit {what}",
        likelihood=100,
        flag="--limit",
        key="limits",
        form="{pair}",
    ),
    Cause.FULL: _Row(
        sentence="its temporary files fill the limit temp-size of {what}",
        likelihood=95,
        flag="--limit",
        key="limits",
        form="{pair}",
    ),
    Cause.SOURCE: _Row(
        sentence="it tried to write {what}, and the source tree is read-only by policy",
        likelihood=92,
        flag="--source",
        key="source",
        form="{quoted}",
    ),
    Cause.WRITE: _Row(
        sentence="it tried to write {what}, which hooks may not",
        likelihood=90,
        flag="--writable",
        key="writable",
    ),
    Cause.MODE: _Row(
        sentence="it was refused {what}: the modes there keep the owner from it, and they bind the hooks of root too: "
        "run chmod -R u+w on the source tree",
        likelihood=90,
    ),
    Cause.SYSTEM_WRITE: _Row(
        sentence="it tried to write {what}: hooks never change the system, so let it write to its tree or to $TMPDIR",
        likelihood=89,
    ),
    Cause.CODE: _Row(
        sentence="it tried to write {what}: programs outside of the sandbox load what lies there, so hooks may "
        "not; let it write to its tree or to $TMPDIR",
        likelihood=89,
    ),
    Cause.PROGRAM: _Row(
        sentence="it looked for the program {what}, which is on your PATH and hidden from hooks",
        likelihood=88,
        flag="--expose",
        key="expose",
    ),
    Cause.HEADER: _Row(
        sentence="it looked for the header {what}, which is in a directory that is hidden from hooks",
        likelihood=87,
        flag="--expose",
        key="expose",
    ),
    Cause.READ: _Row(
        sentence="it tried to read {what}, which exists and is hidden from hooks",
        likelihood=86,
        flag="--expose",
        key="expose",
    ),
    Cause.PRIVATE_WRITE: _Row(
        sentence="it tried to write {what}, a place of private files: hooks do not get it",
        likelihood=83,
    ),
    Cause.HIDDEN: _Row(
        sentence="it tried to read {what}, which the sandbox covers: hooks do not get it",
        likelihood=81,
    ),
    Cause.GUARDED: _Row(
        sentence="it tried to write {what}, which git or another program outside obeys: hooks never change it",
        likelihood=91,
    ),
    Cause.WIDE: _Row(
        sentence="it tried to read {what} as a whole, which holds more than one build should see",
        likelihood=68,
    ),
    Cause.VARIABLE: _Row(
        sentence="it asked for the environment variable {what}, which you have set and hooks do not get",
        likelihood=85,
        flag="--env-keep",
        key="env-keep",
    ),
    Cause.SECRET: _Row(
        sentence="it asked for the environment variable {what}, which looks like a credential: hooks do not get it",
        likelihood=84,
    ),
    Cause.PRIVATE: _Row(
        sentence="it tried to read {what}, a place of private files: hooks do not get it",
        likelihood=83,
    ),
    Cause.HOME: _Row(
        sentence="it looked for {what}, which you have; hooks have an empty home: name the real path, and expose it",
        likelihood=82,
    ),
    Cause.REPOSITORY: _Row(
        sentence="its output is about git, and the repository {what} above the source tree is hidden from hooks",
        likelihood=80,
        flag="--expose",
        key="expose",
    ),
    Cause.SIGNAL: _Row(
        sentence="a process died of SIGSYS: hooks run no programs for 32 bits, and no option allows them; "
        "`file PROGRAM` tells which one that is: use its version for 64 bits",
        likelihood=78,
    ),
    Cause.HOST: _Row(
        sentence="it asked for {what}, which is not among the hosts that the policy names",
        likelihood=72,
        **_NETWORK,
    ),
    Cause.DIRECT: _Row(
        sentence="it tried to reach {what} itself, and hooks reach named hosts only through the proxy of HTTPS_PROXY",
        likelihood=71,
        **_NETWORK,
    ),
    Cause.LOOKUP: _Row(
        sentence="it tried to look up a host name ({what}), and hooks have no network",
        likelihood=70,
        **_NETWORK,
    ),
    Cause.CONNECTION: _Row(
        sentence="it tried to connect to {what}, and hooks have no network",
        likelihood=69,
        **_NETWORK,
    ),
    Cause.SERVICE: _Row(
        sentence="it looked for {what}, of a service on this host: hooks reach none of them, and no option allows that",
        likelihood=79,
    ),
    Cause.OFFLINE: _Row(
        sentence="its output speaks of the network or of an index of packages, and hooks have no network",
        likelihood=55,
        **_NETWORK,
    ),
    Cause.NESTED: _Row(
        sentence="its output speaks of namespaces: hooks start no sandbox or container of their own, and no option "
        "allows that",
        likelihood=50,
    ),
    Cause.RAISED: _Row(
        sentence="its output speaks of sudo or another set-user-ID program: such programs give hooks no rights, and no "
        "option allows that",
        likelihood=49,
    ),
    Cause.FORBIDDEN: _Row(
        sentence="its output says that something was not permitted: hooks give no file a set-user-ID or set-group-ID "
        "bit, make no devices, mount nothing, change no owners, have no keyrings and no unix sockets for datagrams, "
        "and no option allows that",
        likelihood=40,
    ),
    Cause.SAID_MEMORY: _Row(
        sentence="its output says that memory ran out, and it has the limit {what}",
        likelihood=61,
        flag="--limit",
        key="limits",
        form="{pair}",
    ),
    Cause.SAID_FULL: _Row(
        sentence="its output speaks of a full disk, and its temporary files have the limit temp-size of {what}",
        likelihood=60,
        flag="--limit",
        key="limits",
        form="{pair}",
    ),
}


def hints_of(findings: Iterable[Finding]) -> tuple[Hint, ...]:
    """Return a hint for each finding, the most likely first, and no line twice. One that says who asked wins."""
    ordered = sorted(findings, key=lambda finding: -_ROWS[finding.cause].likelihood)
    hints: dict[object, Hint] = {}
    for finding in ordered:
        hint = _hint(finding)
        known = hints.setdefault(hint.option or hint.sentence, hint)
        if hint.program and not known.program:
            observed = dataclasses.replace(known, program=hint.program, count=hint.count)
            hints[hint.option or hint.sentence] = observed
    return tuple(hints.values())


def _hint(finding: Finding) -> Hint:
    row = _ROWS[finding.cause]
    what, value = visible(finding.what, limit=200), visible(finding.value)
    hint = Hint(
        row.sentence.format(what=what),
        cause=finding.cause.value,
        what=what,
        value=value,
        program=visible(finding.program, limit=64),
        count=finding.count,
    )
    if not row.flag:
        return hint
    if not value:
        return dataclasses.replace(hint, option=row.flag, key=f"{row.key} = true")
    name, _, amount = value.partition("=")
    pair = f"{{ {name} = {amount if amount.isdigit() else json.dumps(amount)} }}"
    line = row.form.replace("{quoted}", json.dumps(value)).replace("{pair}", pair)
    return dataclasses.replace(hint, option=f"{row.flag} {shlex.quote(value)}", key=f"{row.key} = {line}")
