"""What a process takes over from whoever started it, made what every program expects."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself imports enum: ten milliseconds
import os


def settle() -> None:
    """Open what is closed of descriptors 0, 1 and 2, and have children be waited for.

    A daemon may have closed some of the three: the next file that is opened gets that number, and would be taken for
    the caller's output. Where SIGCHLD is ignored, children are gone before anybody can wait for them, waitpid(2).
    """
    while True:
        fd = os.open("/dev/null", os.O_RDWR)
        if fd > 2:
            os.close(fd)
            break
        os.set_inheritable(fd, True)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
