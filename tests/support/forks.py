"""Work in a fork of the test's process: what changes a process for good leaves the other tests as they were."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

__all__ = ["in_child"]


def in_child(work: Callable[[], None]) -> None:
    """Do something in a fork of this process, with nothing left of it here."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
