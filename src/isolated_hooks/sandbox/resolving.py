"""Paths of the hook, as pid 1 opens them for it: no link in /proc leads to what pid 1 itself has open.

The kernel resolves ``/proc/self`` and the links in ``/proc/PID`` for the process that asks. Pid 1 has an executable and
pipes that lie outside of what the sandbox shows. So we go name by name, let ``self`` mean the hook's thread, and follow
the links of its process alone.
"""

from __future__ import annotations

import os
import stat
from errno import EACCES, ELOOP, ENOENT

_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40  # as in the kernel, path_resolution(7)
_ROOT_OF_PROC = 1  # its inode


def open_as(process: bytes, path: bytes, directory: int, *, follow: bool = True) -> int:
    """Return an O_PATH descriptor of what a path means to a process.

    :param process: the directory of the process, ``/proc/PID``
    :param directory: where a relative path begins
    :param follow: follow a link at the end of the path too
    """
    if not path:
        raise OSError(ENOENT, os.strerror(ENOENT))
    proc = os.stat("/proc").st_dev
    here = os.open(b"/" if path.startswith(b"/") else b".", _FLAGS, dir_fd=directory)
    todo, links, own = path.split(b"/"), 0, False
    try:
        while todo:
            name = todo.pop(0)
            if name in (b"", b".") and todo:
                continue
            above = os.fstat(here)
            at_root = above.st_dev == proc and above.st_ino == _ROOT_OF_PROC
            own = b"/proc/" + name == process if at_root else own and name != b".."
            if at_root and name in (b"self", b"thread-self"):
                name, own = os.path.basename(process), True
            there = os.open(name or b".", _FLAGS | (0 if name else os.O_DIRECTORY), dir_fd=here)
            status = os.fstat(there)
            if not stat.S_ISLNK(status.st_mode) or not (todo or follow):
                os.close(here)
                here = there
                continue
            links += 1
            os.close(there)
            if links > _MOST_LINKS:
                raise OSError(ELOOP, os.strerror(ELOOP))
            if (
                status.st_dev == proc and not at_root
            ):  # it leads to an open file, whatever its text says, proc_pid_fd(5)
                if not own:
                    raise OSError(EACCES, os.strerror(EACCES))
                target, own = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=here), False
                os.close(here)
                here = target
                continue
            text = os.readlink(name, dir_fd=here)
            if text.startswith(b"/"):
                os.close(here)
                here = os.open(b"/", _FLAGS)
            todo = text.split(b"/") + todo
        result, here = here, -1
        return result
    finally:
        if here >= 0:
            os.close(here)
