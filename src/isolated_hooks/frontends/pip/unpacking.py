"""Unpacks an sdist for pip, in the sandbox, with pip's own function.

An sdist can hold links, names and sizes of any kind. Versions of pip and of Python's ``tarfile`` have followed links
out of the directory, and none bounds the size. So the directory is all that can be written while an sdist is unpacked.

The interpreter that runs pip runs this file as a script under ``-I -S``. The script imports nothing from this package.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["main"]


def main(text: str) -> int:
    """Carry out the order that :class:`.runner.PipRunner` wrote as JSON.

    :return: an exit code: 0, or 1 after it has printed the error
    """
    try:
        order: Mapping[str, Any] = json.loads(text)
        sys.path.insert(0, order["pip"])
        unpacking = importlib.import_module("pip._internal.utils.unpacking")
        unpacking.unpack_file(order["file"], order["location"], order["content_type"])
    except Exception as problem:  # a malformed archive can cause any exception
        print(problem or type(problem).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
