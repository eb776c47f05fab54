"""The name server of a hook without the network: pid 1 learns which names the hook looks up, and knows none of them.

A resolver without a name server in its configuration asks 127.0.0.1, resolv.conf(5). There, in the sandbox's own
network, pid 1 answers each query at once with "no such name". So a look-up ends as with a resolver that only reads
files, and the launcher can say which host the hook wanted. Of a query we read the one name that it is about, RFC 1035.
"""

from __future__ import annotations

import os

from . import syscalls
from .operations import File

if False:
    from .operations import Operation

#: The most names that we keep. The later ones are left out.
MOST = 16
#: The most queries that one turn of the broker answers: other calls of the hook wait meanwhile.
_AT_ONCE = 16
_LARGEST = 512  # RFC 1035 2.3.4
_LONGEST_NAME = 253
_AF_INET, _SOCK_DGRAM, _DONTWAIT = 2, 2, 0x40
_ADDRESS = _AF_INET.to_bytes(2, "little") + b"\0\x35" + bytes((127, 0, 0, 1)) + bytes(8)


class Lookups:
    """A name server for the network of this process.

    :ivar fd: its socket, which can be read when a query waits
    :ivar names: the names that it was asked for, in order
    :raises SyscallError: this host lets nobody listen there
    """

    def __init__(self) -> None:
        self.fd = syscalls.call("socket", _AF_INET, _SOCK_DGRAM | os.O_CLOEXEC, 0)
        self.names: dict[bytes, None] = {}
        try:
            syscalls.call("bind", self.fd, _ADDRESS, len(_ADDRESS))
        except syscalls.SyscallError:
            os.close(self.fd)
            raise

    def answer(self) -> None:
        """Answer the queries that wait, some at most. One that is none gets no answer."""
        for _ in range(_AT_ONCE):
            try:
                query, sender = syscalls.receive_from(self.fd, _LARGEST)
            except OSError:
                return
            name, end = question_of(query)
            if not name:
                continue
            if len(self.names) < MOST:
                self.names[name] = None
            # An answer, that no such name exists, with the question: QR, the bits OPCODE and RD as they came, RCODE 3.
            answer = query[:2] + bytes((0x80 | query[2] & 0x79, 0x83)) + b"\0\1" + bytes(6) + query[12:end]
            try:
                syscalls.call("sendto", self.fd, answer, len(answer), _DONTWAIT, sender, len(sender))
            except OSError:
                pass  # it waits for no answer any more


def asked_too(operations: list[Operation]) -> list[Operation]:
    """Return the operations, with a resolver that asks us for the names that its files lack, nsswitch.conf(5)."""
    return [
        File(o.target, os.fsdecode(o.content).replace("hosts: files\n", "hosts: files dns\n"))
        if isinstance(o, File) and o.at == b"/etc/nsswitch.conf"
        else o
        for o in operations
    ]


def question_of(data: bytes) -> tuple[bytes, int]:
    """Return the name in a query of one name, RFC 1035 4.1, and where its question ends.

    The name is empty if this is no such query, or one for the root.
    """
    if len(data) < 17 or data[2] & 0xF8 or data[4:10] != b"\0\1\0\0\0\0":
        return b"", 0
    labels, place = [], 12
    while place < len(data) and data[place]:
        size = data[place]
        label = data[place + 1 : place + 1 + size]
        if size > 63 or len(label) < size:
            return b"", 0
        labels.append(label)
        place += size + 1
    end = place + 5  # the empty label, type and class
    return (b".".join(labels)[:_LONGEST_NAME], end) if end <= len(data) else (b"", 0)
