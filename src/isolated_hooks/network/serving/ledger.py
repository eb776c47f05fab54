"""The connections that a hook has asked for, added up: host, port, outcome, number and bytes, and nothing else."""

from __future__ import annotations

import threading

__all__ = ["Entry", "Ledger"]

# A hook may ask for as many hosts as it likes. The rest is added up.
_MOST = 256
_OTHERS = ("", 0, "others")


class Entry:
    """Connections of one kind.

    :ivar count: how many
    :ivar sent: bytes to the host
    :ivar received: bytes from the host
    """

    def __init__(self) -> None:
        self.count = self.sent = self.received = 0
        self._lock = threading.Lock()

    def add(self, *, count: int = 0, sent: int = 0, received: int = 0) -> None:
        """Add to the numbers."""
        with self._lock:
            self.count += count
            self.sent += sent
            self.received += received


class Ledger:
    """All of them."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int, str], Entry] = {}
        self._lock = threading.Lock()

    def entry(self, host: str, port: int, problem: str = "") -> Entry:
        """Count one more connection, and return the entry to add its bytes to.

        :param problem: why it was refused or failed; empty if neither
        """
        key = host, port, problem
        with self._lock:
            if key not in self._entries and len(self._entries) >= _MOST:
                key = _OTHERS
            entry = self._entries.setdefault(key, Entry())
        entry.add(count=1)
        return entry

    def to_list(self) -> list[dict[str, object]]:
        """Return the entries as JSON values."""
        with self._lock:
            entries = sorted(self._entries.items())
        return [
            {"host": host, "port": port, "problem": problem, "count": e.count, "sent": e.sent, "received": e.received}
            for (host, port, problem), e in entries
        ]
