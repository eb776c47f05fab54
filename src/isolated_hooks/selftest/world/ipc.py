"""What is in no file and in no process: shared memory, semaphores, queues and keys of the host, sysvipc(7)."""

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
    """Objects that hold canaries, of each kind one. A :class:`Janitor` removes them.

    :param plant: gives a canary of a name
    :param name: part of the names of those that have one, that nothing else has
    :ivar identifiers: of the System V objects by kind, negative where one could not be made
    """

    def __init__(self, janitor: Janitor, plant: Callable[[str], str], *, name: str) -> None:
        self._janitor = janitor
        self._plant = plant
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
                self._janitor.told(kind, identifier)
        libc.shmat.restype = ctypes.c_void_p
        address = libc.shmat(self.identifiers["segment"], None, 0)
        if address not in (None, ctypes.c_void_p(-1).value):
            secret = self._plant("segment").encode()
            ctypes.memmove(address, secret, len(secret))
            libc.shmdt(ctypes.c_void_p(address))
        text = self._plant("queue").encode()
        message = ctypes.create_string_buffer(bytes(ctypes.c_long(1)) + text)
        libc.msgsnd(self.identifiers["queue"], message, ctypes.c_size_t(len(text)), 0)

    def _make_named_queue(self) -> None:
        try:
            libc = library("mq_open", "mq_send")
        except OSError:
            return  # the attack on it will not work without the sandbox either, and say so
        self._janitor.told("named queue", self.queue_name)
        size = (ctypes.c_long * 8)(0, 1, 64)
        queue = libc.mq_open(self.queue_name.encode(), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, size)
        if queue >= 0:
            os.fchmod(queue, 0o666)
            text = self._plant("named-queue").encode()
            libc.mq_send(queue, text, ctypes.c_size_t(len(text)), 0)
            os.close(queue)

    def _make_key(self) -> None:
        secret = self._plant("key").encode()
        keyring = ctypes.c_long(_SESSION_KEYRING)
        size = ctypes.c_size_t(len(secret))
        key = library().syscall(_ADD_KEY, b"user", self.key_name.encode(), secret, size, keyring)
        if key >= 0:
            self._janitor.told("key", key)
