"""What a hook left in its HOME: the names, for a report. Pid 1 looks, because nobody else sees that directory."""

from __future__ import annotations

import os

_DEEPEST = 3
_MOST = 200
_MOST_SEEN = 2000
_MOST_BYTES = 16384
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def names_in(home: bytes) -> list[bytes]:
    """Return names beneath a directory, without following a link: at most 200 of them, three directories deep.

    A directory ends with a slash. What cannot be read has no names.
    """
    names: list[bytes] = []
    todo = [b""]
    seen = size = 0
    while todo:
        path = todo.pop(0)
        try:
            fd = os.open(os.path.join(home, path), _FLAGS)
        except OSError:
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    here = path + os.fsencode(entry.name)
                    seen += 1
                    size += len(here)
                    if seen > _MOST_SEEN or len(names) == _MOST or size > _MOST_BYTES:
                        return names
                    directory = entry.is_dir(follow_symlinks=False)
                    names.append(here + b"/" * directory)
                    if directory and here.count(b"/") + 1 < _DEEPEST:
                        todo.append(here + b"/")
        except OSError:
            continue
        finally:
            os.close(fd)
    return names
