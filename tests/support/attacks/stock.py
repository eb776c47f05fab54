"""A frontend with pyproject_hooks' own caller, in a process of its own, as what a hook leaves can make it hang.

``python stock.py TREE SETTINGS``: the backend is ``tiny``, the settings are JSON. What comes of
``get_requires_for_build_wheel`` is printed.
"""

from __future__ import annotations

import json
import resource
import sys

import pyproject_hooks

_MEMORY = 2 << 30


def main(tree: str, settings: str) -> None:
    """Call the hook."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    caller = pyproject_hooks.BuildBackendHookCaller(tree, "tiny", ["."], pyproject_hooks.quiet_subprocess_runner)
    try:
        print("returned", repr(caller.get_requires_for_build_wheel(json.loads(settings))))
    except BaseException as error:
        print(type(error).__name__, error, getattr(error, "doc", ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
