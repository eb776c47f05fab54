"""Git's configuration as text: read it, keep the settings that decide what git says about a tree, and write it again.

The format is that of git-config(1), CONFIGURATION FILE. We keep a setting only if its name is in a table here. The
tables name settings that change the content that git compares, the files that it ignores, or the text that it prints,
and a build may turn any of these into a version. They name no credential, no server, no hook, and no command but those
of filters, without which a file in the tree looks changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Setting", "is_kept", "parse", "render"]


class Setting(NamedTuple):
    """A setting.

    :ivar section: the section, in lower case
    :ivar part: the subsection, as written, or ``None`` if there is none
    :ivar name: the name, in lower case
    :ivar value: the value, or ``None`` if the name stands alone, which means "true"
    """

    section: str
    part: str | None
    name: str
    value: str | None

    @property
    def key(self) -> str:
        """The whole name, as ``git config`` takes it."""
        return ".".join(part for part in (self.section, self.part, self.name) if part is not None)


# Settings outside of subsections. git ignores the case of these names.
_KEPT = frozenset(
    """
    core.autocrlf core.eol core.safecrlf core.checkroundtripencoding core.ignorecase core.filemode core.symlinks
    core.precomposeunicode core.trustctime core.abbrev core.quotepath core.bigfilethreshold core.whitespace
    core.excludesfile core.attributesfile core.commentchar core.logallrefupdates core.protecthfs core.protectntfs
    core.sharedrepository core.usereplacerefs core.preloadindex

    init.defaultbranch user.name user.email author.name author.email committer.name committer.email
    user.useconfigonly commit.cleanup commit.status tag.sort versionsort.suffix versionsort.prereleasesuffix
    branch.sort column.ui i18n.commitencoding i18n.logoutputencoding format.pretty log.date log.abbrevcommit
    log.decorate log.follow log.mailmap log.showroot log.excludedecoration mailmap.blob
    status.showuntrackedfiles status.relativepaths status.short status.branch status.renames status.submodulesummary
    diff.ignoresubmodules diff.noprefix diff.mnemonicprefix diff.renames diff.renamelimit diff.algorithm diff.context
    diff.interhunkcontext diff.submodule diff.suppressblankempty diff.indentheuristic diff.orderfile
    grep.patterntype grep.extendedregexp grep.linenumber grep.column grep.fullname submodule.recurse feature.manyfiles
    index.version core.untrackedcache
    """.split()
)
# Settings of subsections, such as filter.lfs.clean.
_KEPT_PARTS = frozenset(
    ("filter.clean", "filter.smudge", "filter.process", "filter.required", "submodule.ignore", "diff.xfuncname")
)
_HEADER = re.compile(r'\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n]|\\[^\n])*)")?\]')
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b", "\\": "\\", '"': '"'}
_WRITTEN = {"\n": "\\n", "\t": "\\t", "\b": "\\b", "\\": "\\\\", '"': '\\"'}
_UNWRITABLE = re.compile(r"[\x00-\x07\x0b-\x1f\x7f]")


def is_kept(setting: Setting) -> bool:
    """Return whether a hook may know a setting, judged by its name."""
    if setting.part is None:
        return f"{setting.section}.{setting.name}" in _KEPT
    return f"{setting.section}.{setting.name}" in _KEPT_PARTS


def parse(text: str) -> Iterator[Setting]:
    """Yield the settings of a file in order, up to the first line that git would refuse."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    section, part, at = "", None, 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] in "#;":
            at = _line_end(text, at)
        elif text[at] == "[":
            header = _HEADER.match(text, at)
            if header is None:
                return
            section, _, old = header[1].lower().partition(".")
            part = re.sub(r"\\(.)", r"\1", header[2]) if header[2] is not None else old or None
            at = header.end()
        else:
            name = _NAME.match(text, at)
            if name is None or not section:
                return
            value, after = _value(text, name.end())
            if after < 0:
                return
            yield Setting(section, part, name[0].lower(), value)
            at = after


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _value(text: str, at: int) -> tuple[str | None, int]:
    """Return the value that follows a name and where it ends, or -1 if git would refuse it."""
    while at < len(text) and text[at] in " \t":
        at += 1
    if at == len(text) or text[at] == "\n":
        return None, at
    if text[at] != "=":
        return None, -1
    return _after_sign(text, at + 1)


def _after_sign(text: str, at: int) -> tuple[str, int]:
    value, quoted, kept = "", False, 0  # the length without white space at the end, which counts only in quotes
    while at < len(text):
        char = text[at]
        if char == "\n":
            break
        if char == "\\":
            follows = text[at + 1 : at + 2]
            if follows != "\n":
                if follows not in _ESCAPES:
                    return "", -1
                value += _ESCAPES[follows]
                kept = len(value)
            at += 2
            continue
        if char == '"':
            quoted = not quoted
            kept = len(value)
        elif not quoted and char in "#;":
            at = _line_end(text, at)
            break
        elif quoted or not char.isspace():
            value += char
            kept = len(value)
        elif value:
            value += char
        at += 1
    return ("", -1) if quoted else (value[:kept], at)


def render(settings: Iterable[Setting]) -> str:
    """Return a file with these settings, in this order. We leave out what the format cannot hold."""
    lines, last = [], None
    for setting in settings:
        if any(_UNWRITABLE.search(text or "") for text in setting) or "\n" in (setting.part or ""):
            continue
        if (setting.section, setting.part) != last:
            last = setting.section, setting.part
            lines.append(f"[{setting.section}{_quoted(setting.part)}]")
        value = "" if setting.value is None else f' = "{_escaped(setting.value)}"'
        lines.append(f"\t{setting.name}{value}")
    return "".join(f"{line}\n" for line in lines)


def _quoted(part: str | None) -> str:
    if part is None:
        return ""
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return f' "{escaped}"'


def _escaped(value: str) -> str:
    return "".join(_WRITTEN.get(char, char) for char in value)
