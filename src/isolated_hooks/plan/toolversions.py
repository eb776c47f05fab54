"""Which versions the caller has chosen for all its projects of the programs that asdf and mise start.

Both look for the choice in the home, and a hook has another one. It gets the names and versions, and nothing else:
mise's configuration may hold secrets for the environment, and commands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..files.paths import Filesystem, resolve
from .cargosettings import parsed, render

__all__ = ["tool_versions"]

_ASDF = ".tool-versions"
_MISE = ".config/mise/config.toml"
# A line of .tool-versions: a name and one version or more, https://asdf-vm.com/manage/configuration.html.
_LINE = re.compile(r"[\w.:/@+-]{1,100}(?:[ \t]+[\w.:/@+-]{1,100}){1,8}[ \t]*(?:#.*)?")
_WORD = re.compile(r"[\w.:/@+-]{1,100}")


def tool_versions(
    filesystem: Filesystem, home: str, entries: Iterable[str], *, closed: Callable[[str], bool]
) -> dict[str, str]:
    """Return the content of the files for the hook's home, by their path beneath it; none without such a manager.

    :param entries: the directories of ``PATH``
    :param closed: tells whether a hook may write to the directory of a path, or the policy hides it
    """
    shims = (os.path.dirname(entry) for entry in entries if os.path.basename(entry) == "shims")
    if not any(filesystem.kind(f"{prefix}/installs") for prefix in shims):
        return {}
    lines = "".join(f"{line}\n" for line in _text(filesystem, f"{home}/{_ASDF}", closed).splitlines() if _is_line(line))
    tools = dict(_tools(parsed(_text(filesystem, f"{home}/{_MISE}", closed))))
    return {**({_ASDF: lines} if lines else {}), **({_MISE: render({"tools": tools})} if tools else {})}


def _is_line(line: str) -> bool:
    return _LINE.fullmatch(line) is not None


def _text(filesystem: Filesystem, path: str, closed: Callable[[str], bool]) -> str:
    real, links = resolve(filesystem, path)
    if real is None or filesystem.kind(real) != "file" or any(map(closed, (path, real, *links))):
        return ""
    return filesystem.text(real)


def _tools(document: Mapping[str, Any]) -> Iterator[tuple[str, str | list[str]]]:
    """Yield the names with their versions. mise has further forms, with options that a build does not need."""
    tools = document.get("tools", {})
    for name, value in tools.items() if isinstance(tools, dict) else ():
        if isinstance(value, dict):
            value = value.get("version")
        versions = value if isinstance(value, list) else [value]
        if _WORD.fullmatch(name) and versions and all(isinstance(v, str) and _WORD.fullmatch(v) for v in versions):
            yield name, value
