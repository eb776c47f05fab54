"""Finds causes in the evidence. Every pattern is linear, because a hook chooses the text that it searches."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from ..files.paths import is_within
from ..files.spelling import normal
from ..plan.credentials import holds_credentials
from ..plan.environ import looks_secret
from ..policy.limits import LIMITS, Unit
from .evidence import Evidence
from .hints import Cause, Finding
from .hosts import looked_up

__all__ = ["findings_of", "hidden", "hosts_asked", "lacked", "refused"]

_MOST = 64  # candidates of each kind that we look up outside
_MIB = 1 << 20
_HOME = "/sandbox"
_RUN = ("/run/", "/var/run/")
# The devices that a policy may show to a build that tests what it has compiled.
_ACCELERATOR = re.compile(r"/dev/(?:kvm|kfd|dxg|nvidia[\w-]*(?:/\w+)?|dri/\w+|accel/\w+|davinci\w*)")

_QUOTED = re.compile(r"'(/[^'\n]{1,1000})'|\"(/[^\"\n]{1,1000})\"")
_ABSOLUTE = re.compile(r"(?<![\w.)}\]/~-])/[^\s:;,\"'=()<>|&`]{1,1000}")
_ABOVE = re.compile(r"(?<![\w.)}\]/~-])\.\./[^\s:;,\"'=()<>|&`]{1,1000}")
_MISSING = re.compile(
    r"no such file|not found|cannot find|can't find|could not find|unable to find|does not exist|doesn't exist"
    r"|cannot open|can't open|could not open|not a directory|is missing|could not load|cannot access",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"read-only file system|permission denied|not permitted", re.IGNORECASE)
_DENIED = re.compile(r"permission denied|not permitted|EACCES", re.IGNORECASE)
_RELATIVE = re.compile(r"['\"]([\w.+-][^'\"\n]{0,500})['\"]")
_WORD = re.compile(r"[^\s:;,\"'=()<>|&`]{1,1000}")
_PROGRAMS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"no such file or directory: '([\w.+-]{1,64})'",
        r"(?<![\w.+-])([\w.+-]{1,64}): (?:command )?not found",
        r"(?:program|command|executable)[ :]{1,2}['\"`]?([\w.+-]{1,64})['\"`]?,? (?:was |is )?(?:not found|found: NO)",
        r"(?:could not|cannot|can't|unable to) find (?:the )?(?:program |command )?['\"`]?([\w.+-]{1,64})",
        r"['\"`]([\w.+-]{1,64})['\"`]? (?:was |is )?(?:not found|not installed|required)",
    )
)
_HEADER = re.compile(
    r"(?<![\w./+-])([\w./+-]{1,200}\.h\w{0,3})['\"]?(?: file)?(?:: No such file| not found)", re.IGNORECASE
)
_INCLUDE = re.compile(r"-(?:I|isystem) ?(/[^\s:;,\"']{1,1000})")
_INCLUDE_FLAGS = ("CFLAGS", "CXXFLAGS", "CPPFLAGS")
_INCLUDE_PATHS = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "INCLUDE")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_ASKS = re.compile(r"environ|variable|keyerror|not set|unset|undefined|unbound|parameter|export ", re.IGNORECASE)
# No name server is within reach without the network, so these words have one cause.
_LOOKUP = re.compile(
    r"name or service not known|name resolution|could not resolve|couldn't resolve|failed to resolve|no such host"
    r"|no address associated|getaddrinfo|dns error|\bEAI_AGAIN\b|\bENOTFOUND\b|nodename nor servname|failed to lookup",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"(?:resolve host(?:name)?:? |failed to resolve |host=|ENOTFOUND |EAI_AGAIN |lookup |https?://)['\"]?"
    r"([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})"
)
_OF_GIT = re.compile(r"(?<![\w])(?:\.?git|setuptools[-_]scm|hatch[-_]vcs|vcs)(?![\w])", re.IGNORECASE)
_SAID = tuple(
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"network is unreachable|no route to host|\bENETUNREACH\b|offline mode|error network"
         r"|no matching distribution|could not find a version that satisfies", Cause.OFFLINE),
        (r"namespace|\bunshare\b", Cause.NESTED),
        (r"no new privileges|effective uid is not 0|must be setuid|setuid root", Cause.RAISED),
        (r"operation not permitted|\bEPERM\b", Cause.FORBIDDEN),
    )
)  # fmt: skip
_NO_MEMORY = re.compile(r"MemoryError|cannot allocate memory|out of memory|bad_alloc|\bENOMEM\b", re.IGNORECASE)
_SIGSYS = 31
_DNS = 53


def findings_of(evidence: Evidence) -> Iterator[Finding]:
    """Yield what the evidence points to, in no order."""
    for find in _FINDERS:
        yield from find(evidence)


def _limits(evidence: Evidence) -> Iterator[Finding]:
    if evidence.limit is not None and evidence.limit[0] in LIMITS:
        name, value = evidence.limit
        yield Finding(cause=Cause.LIMIT, what=_words(name, value), value=_doubled(name, value))
    elif any(0 < size <= evidence.temp_size + _MIB for size in evidence.full):
        yield _space(Cause.FULL, evidence)
    elif any("No space left on device" in line or "Errno 28" in line for line in evidence.lines):
        yield _space(Cause.SAID_FULL, evidence)


def _space(cause: Cause, evidence: Evidence) -> Finding:
    size = evidence.temp_size
    return Finding(cause=cause, what=_words("temp_size", size).split()[-1], value=_doubled("temp_size", size))


def _words(name: str, value: float) -> str:
    unit = {Unit.SECONDS: " seconds", Unit.NUMBER: ""}.get(LIMITS[name].unit)
    return f"{name.replace('_', '-')} of {_size(int(value)) if unit is None else f'{value:g}{unit}'}"


def _doubled(name: str, value: float) -> str:
    text = _size(int(value) * 2) if LIMITS[name].unit is Unit.BYTES else f"{value * 2:g}"
    return f"{name.replace('_', '-')}={text}"


def _size(size: int) -> str:
    shifts = ((30, "G"), (20, "M"), (10, "K"))
    return next((f"{size >> shift}{unit}" for shift, unit in shifts if size >> shift << shift == size), str(size))


def hosts_asked(evidence: Evidence) -> Iterator[Finding]:
    """Yield a finding for each host that the proxy has refused."""
    for host, port in evidence.asked:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        yield Finding(cause=Cause.HOST, what=place, value=place)


def _network(evidence: Evidence) -> Iterator[Finding]:
    yield from hosts_asked(evidence)
    names = [finding for query in evidence.names for finding in looked_up(evidence, query)]
    # What the output names last is what the hook could not do without.
    said = [f for f in names if any(f.what in line for line in evidence.lines)]
    yield from said or names[::-1]
    for address, port in () if evidence.network else evidence.tried:
        if port != _DNS:
            yield Finding(cause=Cause.CONNECTION, what=f"{address} port {port}")
        elif not names:
            yield Finding(cause=Cause.LOOKUP, what=f"at the name server {address}")
    if not names:
        yield from _said_lookup(evidence)


def _said_lookup(evidence: Evidence) -> Iterator[Finding]:
    """Find a look-up in the words of the output: pid 1 is not asked where the launcher or the host is another one."""
    lines = [] if evidence.network else [line for line in evidence.lines if _LOOKUP.search(line)]
    if lines:
        hosts = _some(match[1] for line in lines for match in _HOST.finditer(line))
        for host in hosts[:1]:
            port = 80 if any(f"http://{host}" in line for line in lines) else 443
            yield Finding(cause=Cause.LOOKUP, what=host, value=f"{host}:{port}")
        if not hosts:
            yield Finding(cause=Cause.LOOKUP, what="its output does not say which")


def _signals(evidence: Evidence) -> Iterator[Finding]:
    printed = any("SIGSYS" in line or "Bad system call" in line for line in evidence.lines)
    if printed or evidence.code in (-_SIGSYS, 128 + _SIGSYS):
        yield Finding(cause=Cause.SIGNAL)


def _programs(evidence: Evidence) -> Iterator[Finding]:
    names = (match[1] for line in evidence.lines for pattern in _PROGRAMS for match in pattern.finditer(line))
    for name in _some(names):
        yield from lacked(evidence, name)


def lacked(evidence: Evidence, name: str) -> Iterator[Finding]:
    """Yield a finding about a program that a hook has looked for, if it is on the caller's PATH and hidden."""
    outside = evidence.outside
    for directory in outside.environ.get("PATH", "").split(":")[:_MOST]:
        real = outside.real(f"{directory}/{name}")
        if real is None:
            continue
        if not outside.access(real) and not outside.is_system(real):
            value = outside.offered(real, prefix=True)
            yield Finding(cause=Cause.PROGRAM, what=f"{directory}/{name}", value=value)
        break


def _headers(evidence: Evidence) -> Iterator[Finding]:
    outside = evidence.outside
    names = _some(match[1] for line in evidence.lines for match in _HEADER.finditer(line))
    if not names:
        return
    flags = (*evidence.lines, *(outside.environ.get(name, "") for name in _INCLUDE_FLAGS))
    directories = [match[1] for text in flags for match in _INCLUDE.finditer(text)]
    directories += [path for name in _INCLUDE_PATHS for path in outside.environ.get(name, "").split(":")]
    for directory in _some(iter(directories)):
        for name in names:
            real, top = outside.real(f"{directory}/{name}"), outside.real(directory)
            if real and top and not outside.access(real) and not outside.is_system(top):
                yield Finding(cause=Cause.HEADER, what=name, value=real if outside.is_wide(top) else top)


def _paths(evidence: Evidence) -> Iterator[Finding]:
    for path in _some(_named(evidence, _MISSING)):
        yield from _missing(evidence, path)
    for path in _some(_named(evidence, _REFUSED)):
        yield from refused(evidence, path)


def _named(evidence: Evidence, pattern: re.Pattern[str]) -> Iterator[str]:
    for line in reversed(evidence.lines):
        if pattern.search(line):
            for match in _QUOTED.finditer(line):
                yield normal(match[1] or match[2])
            for match in _ABSOLUTE.finditer(line):
                yield normal(match[0].rstrip(".!"))
            for match in _ABOVE.finditer(line):
                yield normal(os.path.join(evidence.outside.source, match[0].rstrip(".!")))


def _missing(evidence: Evidence, path: str) -> Iterator[Finding]:
    """Yield a finding about a path that a hook says it has not found."""
    outside = evidence.outside
    if outside.is_private(path) or outside.real(path) is not None or _is_in_home(evidence, path):
        yield from hidden(evidence, path)
        return
    # It does not exist outside either, so nobody could have read it there: the hook wanted to make it. A service that
    # does not run has no socket in /run, though.
    if path.startswith(_RUN):
        return
    directory = outside.existing(path)
    if directory is not None and not outside.access(directory):
        yield from _write(evidence, path, directory)


def hidden(evidence: Evidence, path: str) -> Iterator[Finding]:
    """Yield a finding about a path that a hook could not read, if it exists outside or is a secret place."""
    outside = evidence.outside
    real = outside.real(path)
    if outside.is_private(path):
        yield Finding(cause=Cause.PRIVATE, what=path, value="" if path.startswith(f"{_HOME}/") else path)
    elif real is None:
        if _is_in_home(evidence, path):
            yield Finding(cause=Cause.HOME, what="~" + path[len(_HOME) :])
    elif path.startswith(_RUN) and not outside.access(real):
        yield Finding(cause=Cause.SERVICE, what=path)
    elif not outside.access(real) and (_ACCELERATOR.fullmatch(real) or not outside.is_public(real)):
        yield Finding(cause=Cause.READ, what=path, value=real)


def _is_in_home(evidence: Evidence, path: str) -> bool:
    """Return whether a path in the hook's home exists in the caller's."""
    return (
        path.startswith(f"{_HOME}/") and evidence.outside.real(evidence.outside.home + path[len(_HOME) :]) is not None
    )


def refused(evidence: Evidence, path: str) -> Iterator[Finding]:
    """Yield a finding about a path that a hook could not write."""
    outside = evidence.outside
    existing = outside.existing(path)
    if existing is None or outside.is_private(path):
        return
    if existing != outside.source and outside.filesystem.kind(existing) != "directory":
        existing = os.path.dirname(existing)
    if outside.access(existing) < 2:
        yield from _write(evidence, path, existing)


def _write(evidence: Evidence, path: str, directory: str) -> Iterator[Finding]:
    outside = evidence.outside
    if (directory + "/").startswith(outside.source + "/"):
        if evidence.read_only:
            yield Finding(cause=Cause.SOURCE, what=path, value="read-write")
    elif outside.is_system(directory):
        if outside.may_write(directory):  # otherwise it fails without a sandbox too
            yield Finding(cause=Cause.SYSTEM_WRITE, what=path)
    elif outside.holds_code(directory):
        # Whoever may write there runs code outside of the sandbox, and a hook may ask for it on purpose.
        yield Finding(cause=Cause.CODE, what=path)
    elif not outside.is_wide(directory) and outside.may_write(directory):
        yield Finding(cause=Cause.WRITE, what=path, value=directory)


def _source(evidence: Evidence) -> Iterator[Finding]:
    """Find a path in the source tree, relative to it, that the policy makes read-only."""
    outside, refusing = evidence.outside, (line for line in reversed(evidence.lines) if _REFUSED.search(line))
    if evidence.read_only:
        for word in _some(match[1] for line in refusing for match in _RELATIVE.finditer(line)):
            path = normal(os.path.join(outside.source, word))
            existing = outside.existing(path)
            if existing is not None and is_within(existing, outside.source):
                yield from _write(evidence, path, existing)
                return


def _modes(evidence: Evidence) -> Iterator[Finding]:
    """Find a place in the source tree whose mode keeps its owner from writing: without a sandbox, root may."""
    outside, denied = evidence.outside, (line for line in reversed(evidence.lines) if _DENIED.search(line))
    if not evidence.bound or evidence.read_only:
        return
    for word in _some(match[0] for line in denied for match in _WORD.finditer(line)):
        path = normal(os.path.join(outside.source, word))
        existing = outside.existing(path)
        if existing is not None and is_within(existing, outside.source) and outside.bars_its_owner(existing):
            yield Finding(cause=Cause.MODE, what=path)
            return


def _variables(evidence: Evidence) -> Iterator[Finding]:
    dropped = frozenset(evidence.dropped)
    # A name with an underscore is hardly anything else; the others count where a line speaks of variables.
    names = (
        match[0]
        for line in evidence.lines
        for match in _NAME.finditer(line)
        if match[0] in dropped and ("_" in match[0] or _ASKS.search(line))
    )
    for name in _some(names):
        secret = looks_secret(name) or holds_credentials(evidence.outside.environ.get(name, ""))
        cause = Cause.SECRET if secret else Cause.VARIABLE
        yield Finding(cause=cause, what=name, value=name)


def _repositories(evidence: Evidence) -> Iterator[Finding]:
    outside, directory = evidence.outside, os.path.dirname(evidence.outside.source)
    if not any(_OF_GIT.search(line) for line in evidence.lines):
        return
    while directory not in ("", "/"):
        if outside.filesystem.kind(f"{directory}/.git") is not None:
            wide = outside.home == directory or outside.home.startswith(f"{directory}/")
            if not wide and not outside.access(f"{directory}/.git"):
                yield Finding(cause=Cause.REPOSITORY, what=directory, value=directory)
            return
        directory = os.path.dirname(directory)


def _said(evidence: Evidence) -> Iterator[Finding]:
    """Find what words alone point to. No fact speaks for it, so it comes last."""
    for pattern, cause in _SAID:
        offered = cause is not Cause.OFFLINE or not evidence.network
        if offered and any(pattern.search(line) for line in evidence.lines):
            yield Finding(cause=cause)
    if evidence.memory is not None and any(_NO_MEMORY.search(line) for line in evidence.lines):
        size = evidence.memory
        yield Finding(cause=Cause.SAID_MEMORY, what=_words("memory", size), value=_doubled("memory", size))


def _some(values: Iterator[str]) -> list[str]:
    """Return the first of some values, each once."""
    names: dict[str, None] = {}
    for value in values:
        names[value] = None
        if len(names) >= _MOST:
            break
    return list(names)


_FINDERS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    _limits,
    _network,
    _signals,
    _programs,
    _headers,
    _paths,
    _source,
    _modes,
    _variables,
    _repositories,
    _said,
)
