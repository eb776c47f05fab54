"""Interrupts of a batch: a count, and no exception at any line of the code that waits for builds."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

__all__ = ["interrupts"]


@contextlib.contextmanager
def interrupts(pressed: Callable[[], object], *, deaf: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Call a function within the context when SIGINT comes, where it would otherwise raise KeyboardInterrupt.

    The exception could leave a lock of :mod:`concurrent.futures` held, or an artefact in its place without its result.
    A program with a handler of its own keeps it, and so does one that calls us in another thread.

    :param deaf: whether to ignore SIGINT from the end of the context on
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: pressed())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if deaf() else signal.default_int_handler)
