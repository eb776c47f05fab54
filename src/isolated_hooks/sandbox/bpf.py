"""An assembler for classic BPF, the language of seccomp filters (linux/bpf_common.h, linux/filter.h)."""

from __future__ import annotations

# A condition: the offset of a 32-bit word in struct seccomp_data, a mask, and values. It holds if the masked word
# equals one of the values or, without values, if any bit of the mask is set.
Condition = tuple[int, int, tuple[int, ...]]

WORD = 0xFFFFFFFF  # the mask for a whole word

# Instruction codes, linux/bpf_common.h, and the longest distance that a conditional jump can cover.
_LOAD, _AND, _JUMP, JEQ, JGE, _JSET, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06
_FARTHEST = 255


class Assembler:
    """Assembles a program from its end to its start.

    Jumps in classic BPF only go forward, so the target of every jump already exists. We count positions from the end:
    the last instruction has position 1. A position never changes.
    """

    def __init__(self) -> None:
        self._backwards: list[bytes] = []

    def program(self) -> bytes:
        """Return the program assembled so far. It starts at the position assembled last."""
        return b"".join(reversed(self._backwards))

    def answer(self, action: int) -> int:
        """Assemble: return ``action`` to the kernel."""
        return self._append(_RETURN, action)

    def load(self, offset: int, then: int) -> int:
        """Assemble: load a word of struct seccomp_data into the accumulator and go on at ``then``."""
        self._lead_to(then)
        return self._append(_LOAD, offset)

    def branch(self, test: int, value: int, yes: int, no: int) -> int:
        """Assemble: compare the accumulator with ``value`` and go on at ``yes`` or at ``no``."""
        # Bringing the second target near may put one more instruction before the first, so we keep one in reserve.
        yes = self._near(yes, _FARTHEST - 1)
        no = self._near(no, _FARTHEST)
        end = len(self._backwards)
        return self._append(test, value, end - yes, end - no)

    def check(self, condition: Condition, yes: int, no: int) -> int:
        """Assemble: go on at ``yes`` if the condition holds, else at ``no``."""
        offset, mask, values = condition
        if not values:
            return self.load(offset, self.branch(_JSET, mask, yes, no))
        for value in reversed(values):
            no = self.branch(JEQ, value, yes, no)
        if mask != WORD:
            self._lead_to(no)
            no = self._append(_AND, mask)
        return self.load(offset, no)

    def _append(self, code: int, k: int, yes: int = 0, no: int = 0) -> int:
        self._backwards.append(code.to_bytes(2, "little") + bytes((yes, no)) + k.to_bytes(4, "little"))
        return len(self._backwards)

    def _lead_to(self, target: int) -> None:
        """Ensure that ``target`` follows the next instruction we append, which does not jump."""
        if target != len(self._backwards):
            self._append(_JUMP, len(self._backwards) - target)

    def _near(self, target: int, farthest: int) -> int:
        """Return a position that does the same as ``target`` and is within reach of a conditional jump."""
        distance = len(self._backwards) - target
        if distance <= farthest:
            return target
        instruction = self._backwards[target - 1]
        if instruction[0] != _RETURN:
            return self._append(_JUMP, distance)
        self._backwards.append(instruction)
        return len(self._backwards)
