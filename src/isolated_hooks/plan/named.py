"""The paths that the values of variables name, as in ``-I/x/include`` or ``/x/bin:/y/bin``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping

from ..files.paths import Filesystem, resolve
from ..text import visible
from .environ import EnvironRules

__all__ = ["hidden_paths"]

_PATH = re.compile(r"(?:(?<![\w.)}\]/~-])|(?<=-[ILFB]))/[^\s:;,\"'=()<>|&]+")
_LONGEST, _MOST = 65536, 64


def hidden_paths(
    filesystem: Filesystem, rules: EnvironRules, ambient: Mapping[str, str], *, shows: Callable[[str], bool]
) -> Iterator[str]:
    """Yield a sentence for each build variable that the hook gets and that names something that is not shown.

    :param ambient: the caller's environment
    :param shows: tells whether a real path is visible inside
    """
    for name, decision in sorted(rules.decisions.items()):
        if decision.keep and decision.reason == "build":
            for number, match in enumerate(_PATH.finditer(ambient[name][:_LONGEST])):
                path = os.path.normpath(match[0])
                real, _ = resolve(filesystem, path)
                if number < _MOST and real is not None and real != "/" and not shows(real):
                    where = visible(path)
                    yield f"{visible(name)} names {where!r}, which is not shown; to show it: --expose {where}"
                    break
