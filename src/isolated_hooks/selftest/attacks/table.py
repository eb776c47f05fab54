"""All attacks. A name begins with the kind, a key of :data:`isolated_hooks.selftest.promises.KINDS`.

The letter of a kind is its family: A, reading; B, making programs load something; C, changing; D, processes; E, sockets
and IPC; F, /proc and devices; G, mounts and namespaces; H, descriptors and terminals; J, resources; K, system calls; S,
the sweep of everything that a hook can see.
"""

from __future__ import annotations

from ..attack import Attack
from .files import FILE_ATTACKS
from .kernel import KERNEL_ATTACKS
from .reach import REACH_ATTACKS
from .sweep import FIRST, SLOW, SWEEPS

__all__ = ["ATTACKS", "HARMLESS", "QUICK", "Attack"]

#: Every attack, in the order in which a hook carries them out.
ATTACKS: tuple[Attack, ...] = (FIRST, *FILE_ATTACKS, *REACH_ATTACKS, *KERNEL_ATTACKS, *SWEEPS)
#: The attacks without those that take seconds, for tests that run many times.
QUICK: tuple[Attack, ...] = tuple(attack for attack in ATTACKS if attack not in SLOW)
#: The attacks that ``isolated-hooks selftest`` runs on a user's own host.
HARMLESS: tuple[Attack, ...] = tuple(attack for attack in ATTACKS if attack.harmless)
