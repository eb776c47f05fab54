"""The thread that waits for an answer, on kernels with and without pidfds for threads."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Iterator

import pytest

from isolated_hooks.sandbox import broker, listener, syscalls


@pytest.fixture
def thread() -> Iterator[int]:
    """The id of a thread that is not the first of this process."""
    ids: list[int] = []
    started, end = threading.Event(), threading.Event()

    def work() -> None:
        ids.append(threading.get_native_id())
        started.set()
        end.wait(60)

    one = threading.Thread(target=work)
    one.start()
    started.wait(60)
    yield ids[0]
    end.set()
    one.join()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOENT, None])
def test_a_thread_is_opened(thread: int, number: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.9 a pidfd is one of a whole process."""
    real = os.pidfd_open

    def old(pid: int, flags: int = 0) -> int:
        if flags or pid == thread:
            raise OSError(number, "")
        return real(pid, flags)

    if number is not None:
        monkeypatch.setattr(os, "pidfd_open", old)
    pidfd = listener.open_task(thread)
    read, write = os.pipe()
    try:
        os.close(listener.take(pidfd, read))
    finally:
        for fd in (pidfd, read, write):
            os.close(fd)


@pytest.mark.parametrize("distance", [-7, 0, 7])
def test_a_thread_may_have_a_lower_number_than_its_process(
    thread: int, distance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel begins again with low numbers after the highest, proc_sys_kernel(5)."""
    monkeypatch.setattr(syscalls, "is_thread_of", lambda process, task: process == task + distance)
    opened: list[int] = []

    def old(pid: int, flags: int = 0) -> int:
        if flags or (distance and pid == thread):
            raise OSError(errno.EINVAL, "")
        opened.append(pid)
        return -1

    monkeypatch.setattr(os, "pidfd_open", old)
    listener.open_task(thread)
    assert opened == [thread + distance]


def test_a_thread_that_has_ended_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int, flags: int = 0) -> int:
        raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(os, "pidfd_open", gone)
    with pytest.raises(OSError, match="No such process"):
        listener.open_task(2**22 + 1)


def test_memory_is_read_whole_or_not_at_all() -> None:
    data = ctypes.create_string_buffer(b"some memory")
    assert syscalls.read_memory(os.getpid(), ctypes.addressof(data), 4) == b"some"
    assert syscalls.read_memory(os.getpid(), 0, 0) == b""
    with pytest.raises(OSError, match="Bad address"):
        syscalls.read_memory(os.getpid(), 8, 4)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (b"\1\0/a/b\0junk", b"/a/b"),
        (b"\1\0" + b"x" * 108, b"x" * 108),
        (b"\1\0" + b"x" * 109, b""),
        (b"\1\0\0abstract", b""),
        (b"\1\0", b""),
        (b"\1", b""),
        (b"", b""),
        (b"\2\0/a/b", b""),
    ],
)
def test_the_path_of_an_address(address: bytes, path: bytes) -> None:
    assert broker._path_of(address) == path


def test_a_thread_that_is_ending_is_an_error() -> None:
    """A process that nobody has waited for has no umask any more, and one that is gone has no directory in /proc."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    caller = listener.Caller(pid)
    try:
        with pytest.raises(OSError, match="No such process"):
            caller.umask()
        os.waitpid(pid, 0)
        with pytest.raises(OSError, match="No such"):
            caller.umask()
    finally:
        caller.close()
