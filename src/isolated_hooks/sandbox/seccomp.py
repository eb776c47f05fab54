"""A hook's seccomp filter: the rules of :mod:`.seccomprules` as a program, and as sentences.

The kernel runs the program at each system call of the build, so the program finds numbers by binary search. It reads
the arguments of a call only if the answer depends on them. For all other calls, Linux 5.11 and newer cache the answer
and do not run the program at all (the kernel's Documentation/userspace-api/seccomp_filter.rst).
"""

from __future__ import annotations

from .bpf import JEQ, JGE, Assembler
from .numbers import KNOWN, MACHINES, NUMBERS
from .seccomprules import OBSERVED, OF_HOOK, OF_HOOK_ALONE, rules, shared_rules
from .seccompterms import ACTIONS, ALLOW, ENOSYS, KILL, Row, Rule

# Offsets in struct seccomp_data, linux/seccomp.h, of the number of the call and of AUDIT_ARCH_*, linux/audit.h.
_NR, _ARCH = 0, 4
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


#: Programs that were made before, by the kind, the machine and the option, as :func:`usual_programs` lists them. The
#: frontend puts them here, in the copy of this module that a launcher runs.
MADE: dict[tuple[str, str, bool], bytes] = {}


def usual_programs(machine: str) -> tuple[tuple[tuple[str, str, bool], bytes], ...]:
    """Return the programs for :data:`MADE`: those of a hook with namespaces. There are none for an unknown machine."""
    if machine not in MACHINES:
        return ()
    rows = []
    for on in (False, True):
        rows.append((("shared", machine, on), shared_program(machine, watches=on)))
        rows.append((("hook", machine, on), hook_program(machine, brokered=on)))
    return tuple(rows)


def filter_program(
    machine: str,
    *,
    namespaces: bool = True,
    network: bool = False,
    truncation: bool = True,
    devices: bool = False,
    watches: bool = True,
) -> bytes:
    """Return the filter as an array of struct sock_filter, ready for seccomp(2).

    :param namespaces, network, truncation, devices, watches: as for :func:`rules`
    :param machine: the machine, as in ``os.uname().machine``; the filter kills a 32-bit interpreter at once
    :raises ValueError: we have no filter for this machine
    """
    options = {"network": network, "truncation": truncation, "devices": devices, "watches": watches}
    return _program(machine, rules(namespaces=namespaces, **options))


def shared_program(machine: str, *, watches: bool = True) -> bytes:
    """Return the filter of pid 1 and of the hook, where there are namespaces.

    :param watches: as for :func:`rules`
    :raises ValueError: as :func:`filter_program`
    """
    return MADE.get(("shared", machine, watches)) or _program(machine, shared_rules(watches=watches))


def hook_program(machine: str, *, brokered: bool, observed: bool = False) -> bytes:
    """Return the filter that the hook gets besides: together they are :func:`filter_program`.

    :param brokered: pid 1 listens, and connects and binds for the hook; otherwise unix sockets are pairs
    :param observed: pid 1, if it listens, looks at further calls too
    :raises ValueError: as :func:`filter_program`
    """
    table = OF_HOOK if brokered else OF_HOOK_ALONE
    if observed and brokered:
        return _program(machine, (*table, *OBSERVED))
    return MADE.get(("hook", machine, brokered)) or _program(machine, table)


def _program(machine: str, table: tuple[Rule, ...]) -> bytes:
    if machine not in MACHINES:
        raise ValueError(f"there is no seccomp filter for {machine!r}, only for {' and '.join(MACHINES)}")
    assembler = Assembler()
    allow = assembler.answer(ALLOW)
    targets: dict[int, int] = {}
    for names, rows, _ in table:
        target = _rows(assembler, rows, allow)
        for name in names.split():
            number = NUMBERS[name][MACHINES[machine]]
            if number is not None:
                targets[number] = target
    search = _search(assembler, _ranges(KNOWN[machine], targets, allow, assembler.answer(ENOSYS)))
    known = assembler.load(_NR, search)
    assembler.load(_ARCH, assembler.branch(JEQ, _ARCHITECTURES[machine], known, assembler.answer(KILL)))
    return assembler.program()


def describe(*, namespaces: bool = True, network: bool = False, watches: bool = True) -> list[str]:
    """Return a sentence for each rule that says what the filter refuses, from the tables that the filter is made from.

    :param namespaces, network, watches: as for :func:`rules`
    """
    sentences = []
    for names, rows, reason in rules(namespaces=namespaces, network=network, watches=watches):
        refusals = [f"{ACTIONS[action]} {words}".rstrip() for _, action, words in rows if action != ALLOW]
        sentences.append(f"{names.replace(' ', ', ')}: {'; '.join(refusals)} ({reason})")
    sentences.append(f"any call that is newer than this package, and every x32 call: {ACTIONS[ENOSYS]} (unknown to us)")
    sentences.append(f"any call of another architecture, such as 32-bit code: {ACTIONS[KILL]} (its numbers differ)")
    return sentences


def _rows(assembler: Assembler, rows: tuple[Row, ...], allow: int) -> int:
    """Assemble the rows of a rule and return their entry point."""
    otherwise = allow
    for conditions, action, _ in reversed(rows):
        then = allow if action == ALLOW else assembler.answer(action)
        for condition in reversed(conditions):
            then = assembler.check(condition, then, otherwise)
        otherwise = then
    return otherwise


def _ranges(
    known: tuple[tuple[int, int], ...], targets: dict[int, int], allow: int, unknown: int
) -> list[tuple[int, int]]:
    """Return the ranges of all numbers as (first number, target). Neighbours with the same target share a range.

    :param known: the first and the last number of each range in which a number that is not in ``targets`` is allowed
    """
    starts = dict.fromkeys((0, *(last + 1 for _, last in known)), unknown)
    starts.update((first, allow) for first, _ in known)
    for number in sorted(targets):
        after = starts.get(number + 1, allow)
        starts[number], starts[number + 1] = targets[number], after
    ranges: list[tuple[int, int]] = []
    for start in sorted(starts):
        if not ranges or ranges[-1][1] != starts[start]:
            ranges.append((start, starts[start]))
    return ranges


def _search(assembler: Assembler, ranges: list[tuple[int, int]]) -> int:
    """Assemble a binary search over the ranges for the number in the accumulator and return its entry point."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    upper = _search(assembler, ranges[middle:])
    lower = _search(assembler, ranges[:middle])
    return assembler.branch(JGE, ranges[middle][0], upper, lower)
