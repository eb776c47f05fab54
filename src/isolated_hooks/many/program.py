"""The script that builds one package. It runs under ``-I``, and takes the path of its order as its only argument.

Nothing that lies in a source tree is on its search path: the order names the directories.
"""

from __future__ import annotations

import importlib
import json
import sys

__all__ = ["main"]


def main(path: str) -> int:
    """Carry out the order in a file, and return an exit code."""
    with open(path, encoding="utf-8") as file:
        order = json.load(file)
    sys.path.extend(entry for entry in order["path"] if entry not in sys.path)
    if sys.flags.no_site:
        sys.prefix, sys.exec_prefix = order["prefix"]
    # No relative import, because the interpreter runs this file by its path.
    return int(importlib.import_module("isolated_hooks.many.child").main(order))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
