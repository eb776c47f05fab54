"""An interpreter of classic BPF, as far as the filters of seccomp(2) use it."""

from __future__ import annotations


class Interpreter:
    """Runs a filter as the kernel does, and refuses what the kernel's checker refuses."""

    def __init__(self, program: bytes) -> None:
        assert program and len(program) % 8 == 0
        self.instructions = [
            (
                int.from_bytes(program[at : at + 2], "little"),
                program[at + 2],
                program[at + 3],
                int.from_bytes(program[at + 4 : at + 8], "little"),
            )
            for at in range(0, len(program), 8)
        ]
        self.words_read: set[int] = set()
        self.steps = 0

    def run(self, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
        fields = [(number, 4), (architecture, 4), (0x7F0000001234, 8)]
        fields += [(argument & (1 << 64) - 1, 8) for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
        data = b"".join(value.to_bytes(size, "little") for value, size in fields)
        self.words_read, self.steps = set(), 0
        at, accumulator = 0, 0
        while True:
            code, yes, no, k = self.instructions[at]
            at += 1
            self.steps += 1
            if code == 0x06:
                return k
            if code == 0x20:
                assert k % 4 == 0 and k + 4 <= len(data)
                self.words_read.add(k)
                accumulator = int.from_bytes(data[k : k + 4], "little")
            elif code == 0x54:
                accumulator &= k
            elif code == 0x05:
                at += k
            else:
                holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[code]
                at += yes if holds else no
