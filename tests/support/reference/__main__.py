"""Write the pages, or check them."""

from __future__ import annotations

import sys

from . import pages


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments == ["--check"]:
        print(*stale, sep="\n", end="\n" if stale else "")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(pages()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
