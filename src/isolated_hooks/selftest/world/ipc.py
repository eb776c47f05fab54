"""Canaries outside files and processes: shared memory, semaphores, queues (sysvipc(7), mq_overview(7)) and a key."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable

from .janitor import Janitor, library

__all__ = ["HostIPC"]

# add_key(2) on x86_64 and aarch64.
_ADD_KEY = 217 if platform.machine() == "aarch64" else 248
_SESSION_KEYRING = -3
_IPC_PRIVATE = 0


class HostIPC:
    """One object of each kind with a canary. A :class:`Janitor` removes the objects.

    :param janitor: removes the objects
    :param new_canary: returns a new canary of a name
    :param name: a unique part for the names of the objects
    :ivar identifiers: the identifiers of the System V objects by kind; negative if an object could not be made
    :ivar queue_name: the name of the POSIX message queue
    :ivar key_name: the description of the key
    """

    def __init__(self, janitor: Janitor, new_canary: Callable[[str], str], *, name: str) -> None:
        self._janitor = janitor
        self._new_canary = new_canary
        self.queue_name = f"/isolated-hooks-{name}"
        self.key_name = f"isolated-hooks-{name}"
        self._make_system_v()
        self._make_named_queue()
        self._make_key()

    def _make_system_v(self) -> None:
        libc = library()
        self.identifiers = {
            "segment": libc.shmget(_IPC_PRIVATE, 4096, 0o666),
            "semaphore": libc.semget(_IPC_PRIVATE, 1, 0o666),
            "queue": libc.msgget(_IPC_PRIVATE, 0o666),
        }
        for kind, identifier in self.identifiers.items():
            if identifier >= 0:
                self._janitor.register(kind, identifier)
        libc.shmat.restype = ctypes.c_void_p
        address = libc.shmat(self.identifiers["segment"], None, 0)
        if address not in (None, ctypes.c_void_p(-1).value):
            secret = self._new_canary("segment").encode()
            ctypes.memmove(address, secret, len(secret))
            libc.shmdt(ctypes.c_void_p(address))
        text = self._new_canary("queue").encode()
        message = ctypes.create_string_buffer(bytes(ctypes.c_long(1)) + text)
        libc.msgsnd(self.identifiers["queue"], message, ctypes.c_size_t(len(text)), 0)

    def _make_named_queue(self) -> None:
        try:
            libc = library("mq_open", "mq_send")
        except OSError:
            return  # then the attack on it fails without the sandbox too, and the finding says so
        self._janitor.register("named queue", self.queue_name)
        size = (ctypes.c_long * 8)(0, 1, 64)
        queue = libc.mq_open(self.queue_name.encode(), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, size)
        if queue >= 0:
            os.fchmod(queue, 0o666)
            text = self._new_canary("named-queue").encode()
            libc.mq_send(queue, text, ctypes.c_size_t(len(text)), 0)
            os.close(queue)

    def _make_key(self) -> None:
        secret = self._new_canary("key").encode()
        keyring = ctypes.c_long(_SESSION_KEYRING)
        size = ctypes.c_size_t(len(secret))
        key = library().syscall(_ADD_KEY, b"user", self.key_name.encode(), secret, size, keyring)
        if key >= 0:
            self._janitor.register("key", key)
