"""An assembler of classic BPF, the language of seccomp filters (linux/bpf_common.h, linux/filter.h)."""

from __future__ import annotations

# A condition: offset of a 32-bit word in struct seccomp_data, mask, values. It holds if the masked word is one of the
# values or, without values, if any bit of the mask is set.
Condition = tuple[int, int, tuple[int, ...]]

WORD = 0xFFFFFFFF  # the mask of a whole word

# Codes of classic BPF, linux/bpf_common.h, and the longest way that a conditional jump can go.
_LOAD, _AND, _JUMP, JEQ, JGE, _JSET, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06
_FARTHEST = 255


class Assembler:
    """Assembles a program from its end to its start.

    Jumps in classic BPF only go forward, so everything that an instruction leads to is there already. A position is
    counted from the end, 1 being the last instruction, and never changes.
    """

    def __init__(self) -> None:
        self._backwards: list[bytes] = []

    def program(self) -> bytes:
        """The program assembled so far, from the position assembled last."""
        return b"".join(reversed(self._backwards))

    def give(self, action: int) -> int:
        """Return ``action`` to the kernel."""
        return self._place(_RETURN, action)

    def load(self, offset: int, then: int) -> int:
        """Load a word of struct seccomp_data into the accumulator and go on at ``then``."""
        self._lead_to(then)
        return self._place(_LOAD, offset)

    def branch(self, test: int, value: int, yes: int, no: int) -> int:
        """Compare the accumulator with ``value`` and go on at ``yes`` or at ``no``."""
        # Bringing one target near puts an instruction before the other, so one is kept in reserve.
        yes = self._near(yes, _FARTHEST - 1)
        no = self._near(no, _FARTHEST)
        end = len(self._backwards)
        return self._place(test, value, end - yes, end - no)

    def check(self, condition: Condition, yes: int, no: int) -> int:
        """Go on at ``yes`` if the condition holds, else at ``no``."""
        offset, mask, values = condition
        if not values:
            return self.load(offset, self.branch(_JSET, mask, yes, no))
        for value in reversed(values):
            no = self.branch(JEQ, value, yes, no)
        if mask != WORD:
            self._lead_to(no)
            no = self._place(_AND, mask)
        return self.load(offset, no)

    def _place(self, code: int, k: int, yes: int = 0, no: int = 0) -> int:
        self._backwards.append(code.to_bytes(2, "little") + bytes((yes, no)) + k.to_bytes(4, "little"))
        return len(self._backwards)

    def _lead_to(self, target: int) -> None:
        """See to it that the next instruction placed, which does not jump, is followed by ``target``."""
        if target != len(self._backwards):
            self._place(_JUMP, len(self._backwards) - target)

    def _near(self, target: int, farthest: int) -> int:
        """A position that does what ``target`` does and is within reach of a conditional jump."""
        distance = len(self._backwards) - target
        if distance <= farthest:
            return target
        instruction = self._backwards[target - 1]
        if instruction[0] != _RETURN:
            return self._place(_JUMP, distance)
        self._backwards.append(instruction)
        return len(self._backwards)
