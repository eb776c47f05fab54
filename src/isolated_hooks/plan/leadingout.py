"""Symbolic links in the source tree that lead to what a hook does not see: there, a build lacks files without a word.

setuptools includes each licence that exists, and each module that it finds. So a link that leads nowhere inside gives
another wheel, and no error.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator

from ..files.paths import Filesystem, is_within, resolve
from ..text import visible
from .toolchains import CREDENTIAL_NAMES, SHARED_NAMES

__all__ = ["notes_of_links"]

# We look at so many entries of the tree, and speak of so many links.
_MOST_ENTRIES, _MOST_LINKS = 512, 3
_SECRET_NAMES = CREDENTIAL_NAMES - SHARED_NAMES
# Nobody exposes these, or a part of them, because a source tree has a link to it.
_SYSTEM = tuple("/boot /dev /etc /proc /root /run /sys /var/lib /var/run".split())


def notes_of_links(filesystem: Filesystem, source: str, *, home: str, shows: Callable[[str], bool]) -> Iterator[str]:
    """Yield a sentence for each of the first links near the top of the tree that lead to something hidden.

    The tree chooses where its links lead. So a sentence offers no place where credentials are usual, nothing of the
    system, and nothing that holds the tree or the home.

    :param source: the real path of the source tree
    :param shows: tells whether a real path is visible inside
    """
    count = 0
    for path in filesystem.links_near(source, _MOST_ENTRIES):
        real, _ = resolve(filesystem, path)
        if real is None or is_within(real, source) or shows(real):
            continue
        count += 1
        if count > _MOST_LINKS:
            yield "further links in the source tree lead to what is not shown"
            return
        name, where = visible(os.path.relpath(path, source)), visible(real)
        text = f"the link {name!r} in the source tree leads to {where!r}, which is not shown: hooks find nothing there"
        if _is_offered(real, source, home):
            text += f"; if you trust the source tree, show it: --expose {shlex.quote(where)}"
        yield text


def _is_offered(real: str, source: str, home: str) -> bool:
    hidden = is_within(real, home) and any(part.startswith(".") for part in real[len(home) :].split("/"))
    wide = any(is_within(place, real) for place in (source, home)) or real.count("/") < 2
    system = any(is_within(real, place) for place in _SYSTEM) and not is_within(real, home)
    return not (hidden or wide or system or not _SECRET_NAMES.isdisjoint(real.split("/")))
