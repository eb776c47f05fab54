"""The attacks: what each tries, how its success is seen from outside, and who could do it without a sandbox.

Names begin with the family: A what is read, C what is changed, D processes, E sockets and IPC, F /proc and devices,
G mounts and namespaces, H descriptors and terminals, K system calls.

``needs`` says why an attack may fail without a sandbox too, so that nothing would be proved by its failure inside:
``root`` is the rights of an ordinary user; anything else is a host that may lack it. Where it is empty the attack has
to succeed without the sandbox.
"""

from __future__ import annotations

from attackfiles import FILE_ATTACKS
from attackkernel import KERNEL_ATTACKS
from attackkinds import Attack
from attackreach import REACH_ATTACKS

__all__ = ["ATTACKS", "Attack"]

ATTACKS: tuple[Attack, ...] = (*FILE_ATTACKS, *REACH_ATTACKS, *KERNEL_ATTACKS)
