"""All attacks. Names begin with the kind, a key of :data:`isolated_hooks.selftest.promises.KINDS`; the letters are

A what is read, B what programs are made to load, C what is changed, D processes, E sockets and IPC, F /proc and
devices, G mounts and namespaces, H descriptors and terminals, K system calls, S the sweep of all that can be seen.
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
#: Without those that take seconds, for what is run many times.
QUICK: tuple[Attack, ...] = tuple(attack for attack in ATTACKS if attack not in SLOW)
#: Those that ``isolated-hooks selftest`` carries out on a user's own host.
HARMLESS: tuple[Attack, ...] = tuple(attack for attack in ATTACKS if attack.harmless)
