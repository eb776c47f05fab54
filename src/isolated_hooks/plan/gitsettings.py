"""What git knows of its caller: the configuration, the ignored files and the attributes, given to a hook as a subset.

Without them git inside judges a tree by other rules than git outside: a file that a filter or ``core.autocrlf`` has
changed on its way to the disk looks modified, an ignored one looks new, and a version becomes another one without a
word. We read the caller's files before the hook starts and never one in a tree that a hook may write to: it could make
such a file a link to any file of the caller. The hook gets them where git looks for them, so that the repository's own
configuration still counts for more.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping

from ..files.paths import Filesystem, resolve
from ..frozen import dataclass
from ..text import visible
from .credentials import holds_credentials
from .git import top_of
from .gitconfig import Setting, is_kept, parse, render

__all__ = ["GitSettings", "git_notes", "git_settings", "git_variables"]

_MOST_FILES = 16
_LARGEST = 65536  # what Filesystem.text reads
_MOST_VARIABLES = 256
# Settings that win over every file.
# - The owner of the tree may be unmapped in a user namespace, which git refuses as dubious, git-config(1).
# - The index holds the ids and times that stat(2) has shown outside. Inside, ids differ, so that git would read every
#   file of the tree again, and run its filter. "minimal" compares only sizes, modes and whole seconds.
_ALWAYS = (("safe.directory", "*"), ("core.checkStat", "minimal"))


@dataclass(frozen=True)
class GitSettings:
    """What a hook gets.

    :ivar system: the content of files in /etc, by path
    :ivar home: the content of files, by their path beneath HOME
    :ivar variables: the settings that the caller's environment holds, for :func:`git_variables`
    :ivar programs: the filters, with the command of each
    :ivar unread: the files that we have not read because a hook may write to them, or the policy hides them
    """

    system: Mapping[str, str]
    home: Mapping[str, str]
    variables: tuple[tuple[str, str], ...]
    programs: tuple[tuple[str, str], ...]
    unread: tuple[str, ...]


def git_variables(more: tuple[tuple[str, str], ...] = ()) -> dict[str, str]:
    """Return the variables that give git settings which win over every file, git-config(1), ENVIRONMENT."""
    settings = (*more, *_ALWAYS)
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def git_settings(
    filesystem: Filesystem, home: str, environ: Mapping[str, str], source: str, *, closed: Callable[[str], bool]
) -> GitSettings:
    """Read the settings of the caller that a hook gets.

    :param environ: the caller's environment, with the variables by which git finds its files
    :param source: the real path of the source tree, for conditional includes
    :param closed: tells whether a hook may write to the directory of a path, or the policy hides it
    """
    reader = _Reader(filesystem, home, top_of(filesystem, source) or source, closed)
    system, user = _places(environ, home)
    system_settings = [] if system is None else list(reader.settings(system))
    user_settings = [setting for path in user for setting in reader.settings(path)]
    variables = list(_from_variables(environ))
    base = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    everything = (*system_settings, *user_settings, *variables)
    etc = {
        "/etc/gitconfig": render(filter(_is_given, system_settings)),
        "/etc/gitattributes": "" if "GIT_ATTR_NOSYSTEM" in environ else reader.text("/etc/gitattributes"),
    }
    own = {
        ".gitconfig": render(filter(_is_given, user_settings)),
        ".config/git/ignore": reader.text(_named(everything, "excludesfile", home, f"{base}/git/ignore")),
        ".config/git/attributes": reader.text(_named(everything, "attributesfile", home, f"{base}/git/attributes")),
    }
    return GitSettings(
        system={path: text for path, text in etc.items() if text},
        home={path: text for path, text in own.items() if text},
        variables=tuple((s.key, s.value or "true") for s in variables if _is_given(s)),
        programs=tuple((s.part or "", s.value or "") for s in everything if _is_given(s) and s.section == "filter"),
        unread=tuple(dict.fromkeys(reader.unread)),
    )


def _places(environ: Mapping[str, str], home: str) -> tuple[str | None, list[str]]:
    """Return git's file for the system, and those for the user, git-config(1), FILES."""
    system = environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig")
    if environ.get("GIT_CONFIG_NOSYSTEM", "").lower() in ("1", "true", "yes", "on"):
        system = ""
    if "GIT_CONFIG_GLOBAL" in environ:
        return system or None, [path] if (path := environ["GIT_CONFIG_GLOBAL"]) else []
    base = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return system or None, [f"{base}/git/config", f"{home}/.gitconfig"]


def _from_variables(environ: Mapping[str, str]) -> Iterator[Setting]:
    count = environ.get("GIT_CONFIG_COUNT", "")
    for number in range(min(int(count), _MOST_VARIABLES) if count.isascii() and count.isdigit() else 0):
        key, value = environ.get(f"GIT_CONFIG_KEY_{number}", ""), environ.get(f"GIT_CONFIG_VALUE_{number}", "")
        section, _, rest = key.partition(".")
        part, dot, name = rest.rpartition(".")
        if section and name:
            yield Setting(section.lower(), part if dot else None, name.lower(), value)


def _is_given(setting: Setting) -> bool:
    """Return whether the hook gets a setting. The two that name a file do not count: it gets the file's content."""
    if setting.section == "core" and setting.name in ("excludesfile", "attributesfile"):
        return False
    return is_kept(setting) and not holds_credentials(setting.value or "")


def _named(settings: tuple[Setting, ...], name: str, home: str, default: str) -> str:
    """Return the path that the last setting of a name has, without which git reads ``default``."""
    values = [s.value or "" for s in settings if (s.section, s.part, s.name) == ("core", None, name)]
    return _expanded(values[-1], home, "") if values else default


def _expanded(path: str, home: str, directory: str) -> str:
    """Return an absolute path, or an empty text if git would not find the file without its own installation."""
    if path.startswith("~/"):
        path = f"{home}/{path[2:]}"
    path = os.path.join(directory, path) if directory else path
    return path if os.path.isabs(path) else ""


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> tuple[Setting, ...]:
    return tuple(parse(text))  # a file seldom changes between two hooks, and takes longer to parse than to read


class _Reader:
    """Reads files of the caller, a limited number of limited size.

    :ivar unread: the files that a hook may write to
    """

    def __init__(self, filesystem: Filesystem, home: str, source: str, closed: Callable[[str], bool]) -> None:
        self.filesystem = filesystem
        self.home = home
        self.source = source
        self.closed = closed
        self.left = _MOST_FILES
        self.unread: list[str] = []

    def text(self, path: str) -> str:
        """Return the text of a file, or an empty text."""
        real, links = resolve(self.filesystem, path)
        if not path or real is None:
            return ""
        if any(map(self.closed, (path, real, *links))):
            self.unread.append(path)
            return ""
        text = self.filesystem.text(real)
        if len(text) < _LARGEST:
            return text
        return text[: text.rfind("\n") + 1]  # no part of a line

    def settings(self, path: str) -> Iterator[Setting]:
        """Yield the settings of a file, with those of the files that it includes in their place."""
        if self.left == 0:
            return
        self.left -= 1
        for setting in _parsed(self.text(path)):
            if setting.name == "path" and self._includes(setting):
                yield from self.settings(_expanded(setting.value or "", self.home, os.path.dirname(path)))
            else:
                yield setting

    def _includes(self, setting: Setting) -> bool:
        """Return whether a setting includes a file, git-config(1), INCLUDES."""
        if setting.section == "include":
            return setting.part is None
        condition, _, pattern = (setting.part or "").partition(":")
        if setting.section != "includeif" or condition not in ("gitdir", "gitdir/i"):
            return False
        flags = re.IGNORECASE if condition == "gitdir/i" else 0
        regex = _regex(pattern, self.home)
        return any(re.fullmatch(regex, d, flags) for d in (f"{self.source}/.git", f"{self.source}/.git/"))


def _regex(pattern: str, home: str) -> str:
    """Return the regular expression for a pattern of paths, in which ``**`` matches slashes too."""
    if pattern.startswith("~/"):
        pattern = home + pattern[1:]
    elif not pattern.startswith("/"):
        pattern = f"**/{pattern}"
    if pattern.endswith("/"):
        pattern += "**"
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part, re.escape(part)) for part in parts)


def git_notes(
    filesystem: Filesystem, settings: GitSettings, home: str, path: list[str], *, shows: Callable[[str], bool]
) -> Iterator[str]:
    """Yield a sentence for each thing of the caller's git that the hook lacks.

    :param path: the directories of PATH
    :param shows: tells whether a real path is visible inside
    """
    for file in settings.unread:
        yield f"git inside works without {visible(file)!r}, because a hook could change it or the policy hides it"
    for name, command in settings.programs:
        try:
            word = next(iter(shlex.split(command)), "")
        except ValueError:
            continue  # the shell, too, refuses it
        paths = [_expanded(word, home, "")] if "/" in word else [f"{entry}/{word}" for entry in path]
        reals = [real for p in paths if word and (real := resolve(filesystem, p)[0]) is not None]
        if reals and not any(map(shows, reals)):
            yield (
                f"the filter {visible(name)!r} of your git configuration runs {visible(word)!r}, which is not shown: "
                f"git inside may take files for changed; to show it: --expose {visible(reals[0])}"
            )
