"""The assembler for classic BPF and the search for a number among many. The tests run the assembled programs."""

from __future__ import annotations

import pytest
from support.bpfinterpreter import Interpreter

from isolated_hooks.sandbox import seccomp
from isolated_hooks.sandbox.bpf import Assembler
from isolated_hooks.sandbox.numbers import NEWEST
from isolated_hooks.sandbox.seccompterms import ALLOW, ENOSYS

# The upper half of an argument, which the program does not load.
HIGH = 0xDEADBEEF << 32


@pytest.mark.parametrize("filler", [0, *range(250, 260), 700])
def test_the_assembler_reaches_distant_targets(filler: int) -> None:
    assembler = Assembler()
    near_end = assembler.answer(1)
    first = assembler.load(16, assembler.branch(0x15, 7, assembler.answer(2), near_end))
    second = assembler.load(24, assembler.branch(0x15, 8, assembler.answer(3), near_end))
    for _ in range(filler):
        assembler.answer(9)
    third = assembler.load(32, assembler.branch(0x15, 6, first, second))
    assembler.answer(9)
    assembler.load(0, assembler.branch(0x35, 5, third, near_end))
    interpreter = Interpreter(assembler.program())
    assert interpreter.run(4, 0) == 1
    assert interpreter.run(5, 0, (7, 0, 6)) == 2
    assert interpreter.run(5, 0, (0, 0, 6)) == 1
    assert interpreter.run(5, 0, (7, 8, 5)) == 3
    assert interpreter.run(5, 0, (7, 0, 5)) == 1


def test_the_search_finds_each_number_in_a_large_program() -> None:
    assembler = Assembler()
    allow = assembler.answer(ALLOW)
    targets = {}
    for number in range(1, 468, 2):
        condition = (16, 0xFF, (number & 0xFF, 0xFE))
        targets[number] = assembler.check(condition, assembler.answer(number), assembler.answer(1000 + number))
    unknown = assembler.answer(ENOSYS)
    assembler.load(0, seccomp._search(assembler, seccomp._ranges(((0, NEWEST),), targets, allow, unknown)))
    interpreter = Interpreter(assembler.program())
    assert len(interpreter.instructions) > 1000
    for number in range(468):
        hit, other = (number, 1000 + number) if number in targets else (ALLOW, ALLOW)
        assert interpreter.run(number, 0, (HIGH | 0x300 | number & 0xFF,)) == hit
        assert interpreter.run(number, 0, (0xFE,)) == hit
        assert interpreter.run(number, 0, (0xFF,)) == (hit if number == 255 else other)
    assert interpreter.run(470, 0) == ENOSYS
