"""The seccomp filter: each rule on an interpreter of classic BPF, for both machines, and the whole of it on the kernel.

Run as a script, this file is the probe of the live tests: it installs the filter on itself and reports what it may do.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import pty
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from isolated_hooks.sandbox import seccomp

ALLOW = 0x7FFF0000
KILL = 0x80000000
PRETEND = 0x00050000
EPERM = PRETEND | errno.EPERM
ENOSYS = PRETEND | errno.ENOSYS
EAFNOSUPPORT = PRETEND | errno.EAFNOSUPPORT
EOPNOTSUPP = PRETEND | errno.EOPNOTSUPP

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = tuple(AUDIT_ARCH)
HIGH = 0xDEADBEEF << 32

# Refused whatever the arguments are. Written out a second time: a name that gets lost in the table fails here.
# fmt: off
ALWAYS_EPERM = [
    "io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd", "keyctl",
    "add_key", "request_key", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "open_tree_attr", "unshare", "setns", "open_by_handle_at",
    "name_to_handle_at", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise",
    "quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "acct", "syslog", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "sethostname", "setdomainname", "iopl", "ioperm", "vhangup", "lookup_dcookie", "nfsservctl", "uselib",
    "modify_ldt", "fanotify_init",
]
# fmt: on
ALWAYS_ENOSYS = ["clone3", "openat2", "memfd_secret"]
# What builds live on, and what may look dangerous and is left alone: (x86_64, aarch64).
ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "execve": (59, 221),
    "exit_group": (231, 94),
    "wait4": (61, 260),
    "futex": (202, 98),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "renameat2": (316, 276),
    "mkdirat": (258, 34),
    "unlinkat": (263, 35),
    "connect": (42, 203),
    "kill": (62, 129),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "getrandom": (318, 278),
    "memfd_create": (319, 279),
    "execveat": (322, 281),
    "mbind": (237, 235),
    "pidfd_open": (434, 434),
    "close_range": (436, 436),
    "faccessat2": (439, 439),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
    "mseal": (462, 462),
    "file_setattr": (469, 469),
}
# Arguments of which the kernel takes 32 bits or fewer: each case is tried with rubbish in the upper halves as well.
NARROW = [
    ("clone", (0x01200011,), ALLOW),  # fork by glibc
    ("clone", (0x003D0F00,), ALLOW),  # pthread_create by glibc
    ("clone", (0x00004111,), ALLOW),  # vfork by posix_spawn
    *[("clone", (flag | signal.SIGCHLD,), EPERM) for flag in (0x20000, *(1 << bit for bit in range(25, 31)), 0x80)],
    ("ptrace", (0,), ALLOW),
    ("ptrace", (7,), ALLOW),
    ("ptrace", (16,), EPERM),
    ("ptrace", (0x4200,), ALLOW),
    ("ptrace", (0x4206,), EPERM),
    ("migrate_pages", (0,), ALLOW),
    ("migrate_pages", (1,), EPERM),
    ("move_pages", (0,), ALLOW),
    ("move_pages", (4321,), EPERM),
    ("socket", (1, 1, 0), ALLOW),
    ("socket", (1, 3, 0), ALLOW),
    *[("socket", (family, kind, 0), ALLOW) for family in (2, 10) for kind in (1, 2, 0o2000001, 0o2004002)],
    *[("socket", (family, kind, 0), EPERM) for family in (2, 10) for kind in (0, 3, 5, 6, 10, 0o2000003)],
    ("socket", (16, 3, 0), ALLOW),
    ("socket", (16, 0o2000002, 0), ALLOW),
    *[("socket", (16, 3, protocol), EAFNOSUPPORT) for protocol in (2, 4, 9, 12, 15, 16)],
    *[("socket", (family, 2, 0), EAFNOSUPPORT) for family in range(48) if family not in (1, 2, 10, 16)],
    ("socketpair", (1, 1, 0), ALLOW),
    *[("socketpair", (family, 1, 0), EAFNOSUPPORT) for family in (0, 2, 10, 16, 30, 40)],
    ("ioctl", (0, 0x5401), ALLOW),
    ("ioctl", (0, 0x5413), ALLOW),
    ("ioctl", (0, 0x540E), ALLOW),
    ("ioctl", (0x5412, 0x5421), ALLOW),
    ("ioctl", (0, 0x5412), EPERM),
    ("ioctl", (0, 0x541C), EPERM),
    ("ioctl", (0, 0x5423), EPERM),
    *[(name, (0, 0o1755), ALLOW) for name in ("chmod", "fchmod", "creat")],
    *[(name, (0, mode), EPERM) for name in ("chmod", "fchmod", "creat") for mode in (0o4755, 0o2755, 0o6000)],
    *[(name, (0, 0o6000, 0o1755), ALLOW) for name in ("fchmodat", "fchmodat2")],
    *[(name, (0, 0, mode), EPERM) for name in ("fchmodat", "fchmodat2") for mode in (0o4755, 0o2755, 0o106755)],
    ("open", (0, os.O_RDONLY, 0o6777), ALLOW),
    ("open", (0, os.O_DIRECTORY, 0o6777), ALLOW),
    ("open", (0, 0o101, 0o644), ALLOW),
    ("open", (0, 0o101, 0o4644), EPERM),
    ("open", (0, 0o101, 0o2644), EPERM),
    ("open", (0, 0o20200002, 0o4644), EPERM),
    ("openat", (0, 0o101, os.O_RDONLY, 0o6777), ALLOW),
    ("openat", (0, 0, 0o101, 0o1644), ALLOW),
    ("openat", (0, 0, 0o101, 0o4644), EPERM),
    ("openat", (0, 0, 0o101, 0o2644), EPERM),
    ("openat", (0, 0, 0o20040002, 0o4644), EPERM),
    *[("mknod", (0, kind << 12 | 0o644), EPERM if kind in (2, 6) else ALLOW) for kind in range(16)],
    *[("mknod", (0, stat.S_IFREG | mode), EPERM) for mode in (0o4755, 0o2755)],
    *[("mknodat", (0, 0o6000, kind << 12 | 0o644), EPERM if kind in (2, 6) else ALLOW) for kind in range(16)],
    *[("mknodat", (0, 0, stat.S_IFREG | mode), EPERM) for mode in (0o4755, 0o2755)],
    ("setrlimit", (7, 1), ALLOW),
    ("setrlimit", (4, 1), PRETEND),
    *[("personality", (persona,), ALLOW) for persona in (0, 8, 0x40000, 0x40008, 0xFFFFFFFF)],
    *[("personality", (persona,), EPERM) for persona in (1, 0x20000, 0x20008, 0x100000, 0x400000, 0x440000, 6)],
]
# pid, resource, new limit, old limit. A pointer is only null if both of its halves are.
POINTERS = [
    ((0, 4, 0, 0), ALLOW),
    ((0, 4, 0, 1), ALLOW),
    ((17, 4, 0, 1), ALLOW),
    ((0, 7, 1, 0), ALLOW),
    ((0, 7, 1, 1), ALLOW),
    ((0, 4, 1, 0), PRETEND),
    ((0, 4, 1 << 32, 0), PRETEND),
    ((HIGH, 4 | HIGH, 1, 0), PRETEND),
    ((0, 4, 1, 1), EPERM),
    ((0, 4, 1, 1 << 32), EPERM),
    ((17, 7, 1, 0), EPERM),
    ((17, 4, 1 << 32, 0), EPERM),
]
# Call, arguments, the argument of which one bit at a time is turned, how many bits, the answer to each such call, and
# the bits that lead to the same answer as none. So the comparison is exact, and not by a mask that covers the cases.
EXACT: list[tuple[str, tuple[int, ...], int, int, int, set[int]]] = [
    ("ptrace", (16,), 0, 32, ALLOW, set()),
    ("ptrace", (0x4206,), 0, 32, ALLOW, set()),
    ("ioctl", (0, 0x5412), 1, 32, ALLOW, set()),
    ("ioctl", (0, 0x541C), 1, 32, ALLOW, set()),
    ("ioctl", (0, 0x5423), 1, 32, ALLOW, set()),
    ("setrlimit", (4, 1), 0, 32, ALLOW, set()),
    ("personality", (0,), 0, 32, EPERM, {3, 18}),
    ("personality", (0xFFFFFFFF,), 0, 32, EPERM, set()),
    ("migrate_pages", (0,), 0, 32, EPERM, set()),
    ("move_pages", (0,), 0, 32, EPERM, set()),
    ("socket", (1, 1, 0), 0, 32, EAFNOSUPPORT, set()),
    ("socket", (2, 1, 0), 0, 32, EAFNOSUPPORT, {3}),
    ("socket", (10, 1, 0), 0, 32, EAFNOSUPPORT, {3}),
    ("socket", (2, 3, 0), 0, 32, EAFNOSUPPORT, {3}),
    ("socket", (16, 3, 0), 0, 32, EAFNOSUPPORT, set()),
    ("socket", (16, 3, 0), 2, 32, EAFNOSUPPORT, set()),
    ("socketpair", (1, 1, 0), 0, 32, EAFNOSUPPORT, set()),
    ("prlimit64", (0, 7, 1, 0), 0, 32, EPERM, set()),
    ("prlimit64", (0, 4, 1, 0), 1, 32, ALLOW, set()),
    ("prlimit64", (0, 4, 1, 1), 1, 32, ALLOW, set()),
    ("prlimit64", (0, 4, 0, 0), 2, 64, PRETEND, set()),
    ("prlimit64", (0, 4, 1, 0), 3, 64, EPERM, set()),
]


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


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def interpreter(machine: str) -> Interpreter:
    return Interpreter(seccomp.filter_program(machine))


def numbers_of(name: str) -> list[tuple[str, int]]:
    """The machines that have the call, each with its number there."""
    pairs = zip(MACHINES, seccomp.SYSCALLS[name], strict=True)
    return [(machine, number) for machine, number in pairs if number is not None]


def test_refuses_a_machine_it_has_no_filter_for() -> None:
    for machine in ("riscv64", "i686", "armv7l", "aarch64_be", ""):
        with pytest.raises(seccomp.UnsupportedMachine, match=re.escape(repr(machine))):
            seccomp.filter_program(machine)


def test_program_is_one_the_kernel_takes(interpreter: Interpreter) -> None:
    instructions = interpreter.instructions
    assert len(instructions) <= 4096
    for at, (code, yes, no, k) in enumerate(instructions):
        assert code in (0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06)
        longest = k if code == 0x05 else max(yes, no)
        assert code == 0x06 or at + 1 + longest < len(instructions)


def test_every_number_without_arguments(interpreter: Interpreter, machine: str) -> None:
    expected = dict.fromkeys(range(470), ALLOW)
    column = MACHINES.index(machine)
    for names, action in (
        (ALWAYS_EPERM, EPERM),
        (ALWAYS_ENOSYS, ENOSYS),
        (["socket", "socketpair"], EAFNOSUPPORT),
    ):
        for name in names:
            number = seccomp.SYSCALLS[name][column]
            if number is not None:
                expected[number] = action
    assert {number: interpreter.run(number, AUDIT_ARCH[machine]) for number in expected} == expected


@pytest.mark.parametrize("name", [*ALWAYS_EPERM, *ALWAYS_ENOSYS])
def test_refused_whatever_the_arguments(name: str) -> None:
    expected = ENOSYS if name in ALWAYS_ENOSYS else EPERM
    for machine, number in numbers_of(name):
        interpreter = Interpreter(seccomp.filter_program(machine))
        for arguments in ((), (HIGH,) * 6, ((1 << 64) - 1,) * 6):
            assert interpreter.run(number, AUDIT_ARCH[machine], arguments) == expected, machine


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed_without_a_look_at_the_arguments(interpreter: Interpreter, machine: str, name: str) -> None:
    number = ALLOWED[name][MACHINES.index(machine)]
    assert interpreter.run(number, AUDIT_ARCH[machine], (HIGH | 0x5412,) * 6) == ALLOW
    # Then the kernel remembers the answer; else it is a dozen instructions or so.
    assert interpreter.words_read == {0, 4}
    assert interpreter.steps <= 12


@pytest.mark.parametrize(("name", "arguments", "expected"), NARROW)
def test_rules(name: str, arguments: tuple[int, ...], expected: int) -> None:
    for machine, number in numbers_of(name):
        interpreter = Interpreter(seccomp.filter_program(machine))
        for high in (0, HIGH, 0xFFFFFFFF << 32):
            wide = tuple(argument | high for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6])
            assert interpreter.run(number, AUDIT_ARCH[machine], wide) == expected, (machine, high)


@pytest.mark.parametrize(("arguments", "expected"), POINTERS)
def test_prlimit(arguments: tuple[int, ...], expected: int) -> None:
    for machine, number in numbers_of("prlimit64"):
        interpreter = Interpreter(seccomp.filter_program(machine))
        assert interpreter.run(number, AUDIT_ARCH[machine], arguments) == expected, machine


@pytest.mark.parametrize(("name", "arguments", "turned", "width", "expected", "same"), EXACT)
def test_each_bit_counts(
    name: str, arguments: tuple[int, ...], turned: int, width: int, expected: int, same: set[int]
) -> None:
    for machine, number in numbers_of(name):
        interpreter = Interpreter(seccomp.filter_program(machine))
        unturned = interpreter.run(number, AUDIT_ARCH[machine], arguments)
        assert unturned != expected
        for bit in range(width):
            value = arguments[turned] ^ 1 << bit
            others = (*arguments[:turned], value, *arguments[turned + 1 :])
            answer = interpreter.run(number, AUDIT_ARCH[machine], others)
            assert answer == (unturned if bit in same else expected), (machine, bit)


def test_numbers_that_nobody_knows_are_missing_calls(interpreter: Interpreter, machine: str) -> None:
    x32_read, x32_ptrace, skipped_by_a_tracer = 0x40000000, 0x40000000 | 521, 0xFFFFFFFF
    for number in (470, 512, 547, 1000, x32_read, x32_ptrace, 0x7FFFFFFF, 0x80000000, skipped_by_a_tracer):
        assert interpreter.run(number, AUDIT_ARCH[machine]) == ENOSYS


def test_another_architecture_is_killed(interpreter: Interpreter, machine: str) -> None:
    i386, arm, big_endian = 0x40000003, 0x40000028, 0x800000B7
    others = [architecture for name, architecture in AUDIT_ARCH.items() if name != machine]
    for architecture in (*others, i386, arm, big_endian, 0, 0xFFFFFFFF):
        for number in (0, 4, 435, 0x40000000):
            assert interpreter.run(number, architecture) == KILL


def test_description_names_each_call_and_each_action() -> None:
    sentences = seccomp.describe()
    for name in [*ALWAYS_EPERM, *ALWAYS_ENOSYS, *(case[0] for case in NARROW), "prlimit64"]:
        assert any(name in sentence.partition(":")[0].split(", ") for sentence in sentences), name
    ptrace = next(sentence for sentence in sentences if sentence.startswith("ptrace:"))
    assert "EPERM for attaching" in ptrace
    assert next(sentence for sentence in sentences if sentence.startswith("clone3:")).startswith("clone3: ENOSYS (")
    assert any("x32" in sentence and "ENOSYS" in sentence for sentence in sentences)
    assert any("architecture" in sentence and "killed" in sentence for sentence in sentences)


_XATTRS = "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat".split()


@pytest.mark.parametrize(
    ("name", "arguments", "offline", "online"),
    [
        ("socket", (1, 1), ALLOW, EPERM),
        ("socket", (1, 2), EPERM, EPERM),
        ("socket", (2, 1), EAFNOSUPPORT, ALLOW),
        ("socket", (16, 3, 0), EAFNOSUPPORT, ALLOW),
        ("socket", (40, 1), EAFNOSUPPORT, EAFNOSUPPORT),
        ("socketpair", (1, 1 | 0o2000000), ALLOW, ALLOW),
        ("socketpair", (1, 5), ALLOW, ALLOW),
        ("socketpair", (1, 2), EPERM, EPERM),
        ("socketpair", (1, 3), EPERM, EPERM),
        ("connect", (3,), EPERM, ALLOW),
        ("sendto", (3, 1, 1, 0, 0), ALLOW, ALLOW),
        ("sendto", (3, 1, 1, 0, 1 << 32), EPERM, ALLOW),
        *((name, (), EOPNOTSUPP, EOPNOTSUPP) for name in _XATTRS),
        ("truncate", (), ALLOW, ALLOW),
        ("openat", (0, 0, 0o1000, 0), ALLOW, ALLOW),
    ],
)
def test_without_namespaces(name: str, arguments: tuple[int, ...], offline: int, online: int) -> None:
    """With the caller's network too, no unix socket can be connected: root's hooks may open any by its mode."""
    for machine, number in numbers_of(name):
        for network, expected in ((False, offline), (True, online)):
            interpreter = Interpreter(seccomp.filter_program(machine, namespaces=False, network=network))
            assert interpreter.run(number, AUDIT_ARCH[machine], arguments) == expected, (machine, network)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("truncate", (), EPERM),
        ("open", (0, 0o1000, 0), EPERM),
        ("openat", (0, 0, 0o1000, 0), EPERM),
        ("openat", (0, 0, 0o1000 | 0o100, 0o644), EPERM),
        ("openat", (0, 0, 0o1001, 0), ALLOW),
        ("openat", (0, 0, 0o1002 | 0o100, 0o644), ALLOW),
        ("openat", (0, 0, 0o1001 | 0o100, 0o4755), EPERM),
        ("openat", (0, 0, 0, 0), ALLOW),
    ],
)
def test_where_landlock_does_not_confine_truncation(name: str, arguments: tuple[int, ...], expected: int) -> None:
    for machine, number in numbers_of(name):
        interpreter = Interpreter(seccomp.filter_program(machine, namespaces=False, truncation=False))
        assert interpreter.run(number, AUDIT_ARCH[machine], arguments) == expected, machine


def test_each_conditional_refusal_has_words() -> None:
    for names, rows, reason in seccomp.RULES:
        assert reason, names
        for conditions, action, words in rows:
            assert bool(words) == (action != seccomp.ALLOW and rows != (((), action, ""),)), (names, conditions)


def test_each_number_belongs_to_one_rule_and_each_rule_has_numbers() -> None:
    named = [name for names, _, _ in seccomp.RULES for name in names.split()]
    stricter = (*seccomp.WITHOUT_NAMESPACES, *seccomp.WITHOUT_NETWORK, *seccomp.WITHOUT_TRUNCATION)
    more = [name for names, _, _ in stricter for name in names.split() if name not in named]
    assert sorted([*named, *more]) == sorted(seccomp.SYSCALLS)
    for column in (0, 1):
        numbers = [pair[column] for pair in seccomp.SYSCALLS.values() if pair[column] is not None]
        assert len(numbers) == len(set(numbers))


def _header(*candidates: str) -> dict[str, int]:
    for candidate in candidates:
        if os.path.exists(candidate):
            lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(candidate).read_text())
            return {name: int(number) for name, number in lines}
    pytest.skip("no kernel headers here")


def _check_numbers(header: dict[str, int], column: int) -> None:
    # Headers older than this package know fewer calls, so a new one may be missing, but only a new one.
    newest = max(header.values())
    for name, pair in seccomp.SYSCALLS.items():
        number = pair[column]
        if number is None or number <= newest:
            assert header.get(name) == number, name
    for name, numbers in ALLOWED.items():
        if numbers[column] <= newest:
            assert header.get(name, header.get("fstatat") if name == "newfstatat" else None) == numbers[column], name


def test_numbers_of_x86_64() -> None:
    _check_numbers(_header("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"), 0)


def test_numbers_of_aarch64() -> None:
    _check_numbers(_header("/usr/include/asm-generic/unistd.h"), 1)


@pytest.mark.parametrize("filler", [0, *range(250, 260), 700])
def test_assembler_reaches_far_targets(filler: int) -> None:
    assembler = seccomp._Assembler()
    near_end = assembler.give(1)
    first = assembler.load(16, assembler.branch(0x15, 7, assembler.give(2), near_end))
    second = assembler.load(24, assembler.branch(0x15, 8, assembler.give(3), near_end))
    for _ in range(filler):
        assembler.give(9)
    third = assembler.load(32, assembler.branch(0x15, 6, first, second))
    assembler.give(9)
    assembler.load(0, assembler.branch(0x35, 5, third, near_end))
    interpreter = Interpreter(assembler.program())
    assert interpreter.run(4, 0) == 1
    assert interpreter.run(5, 0, (7, 0, 6)) == 2
    assert interpreter.run(5, 0, (0, 0, 6)) == 1
    assert interpreter.run(5, 0, (7, 8, 5)) == 3
    assert interpreter.run(5, 0, (7, 0, 5)) == 1


def test_search_finds_each_number_in_a_large_program() -> None:
    assembler = seccomp._Assembler()
    allow = assembler.give(ALLOW)
    targets = {}
    for number in range(1, 468, 2):
        condition = (16, 0xFF, (number & 0xFF, 0xFE))
        targets[number] = assembler.check(condition, assembler.give(number), assembler.give(1000 + number))
    unknown = assembler.give(ENOSYS)
    assembler.load(0, seccomp._search(assembler, seccomp._ranges(targets, allow, unknown)))
    interpreter = Interpreter(assembler.program())
    assert len(interpreter.instructions) > 1000
    for number in range(468):
        hit, other = (number, 1000 + number) if number in targets else (ALLOW, ALLOW)
        assert interpreter.run(number, 0, (HIGH | 0x300 | number & 0xFF,)) == hit
        assert interpreter.run(number, 0, (0xFE,)) == hit
        assert interpreter.run(number, 0, (0xFF,)) == (hit if number == 255 else other)
    assert interpreter.run(470, 0) == ENOSYS


# The live tests. ---------------------------------------------------------------------------------------------------

HERE = os.uname().machine if sys.platform == "linux" else ""
live = pytest.mark.skipif(HERE not in MACHINES, reason="there is no filter for this machine")
NOBODY = 65534

REFUSED_LIVE = {
    "unshare": errno.EPERM,
    "clone into a user namespace": errno.EPERM,
    "clone3": errno.ENOSYS,
    "openat2": errno.ENOSYS,
    "keyctl": errno.EPERM,
    "io_uring_setup": errno.EPERM,
    "vsock": errno.EAFNOSUPPORT,
    "packet": errno.EAFNOSUPPORT,
    "netlink audit": errno.EAFNOSUPPORT,
    "raw": errno.EPERM,
    "chmod 4755": errno.EPERM,
    "fchmod 2755": errno.EPERM,
    "open 4755": errno.EPERM,
    "unnamed 4755": errno.EPERM,
    "mknod 4755": errno.EPERM,
    "mknod device": errno.EPERM,
    "TIOCSTI, upper half set": errno.EPERM,
    "TIOCSETD": errno.EPERM,
    "ptrace attach": errno.EPERM,
    "personality READ_IMPLIES_EXEC": errno.EPERM,
    "limit of another process": errno.EPERM,
    "unknown call": errno.ENOSYS,
}
ALLOWED_LIVE = [
    "netlink route",
    "unix",
    "inet",
    "socketpair",
    "chmod 755",
    "open 644",
    "mkdir",
    "fifo",
    "TIOCGWINSZ",
    "fork",
    "thread",
    "subprocess",
    "ptrace traceme",
    "personality ADDR_NO_RANDOMIZE",
    "RLIMIT_CORE",
    "RLIMIT_NOFILE",
]


def _run_probe(identity: str, machine: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    # Not pytest's own directory, which nobody else may enter; and made here, as a probe that is killed leaves it.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o777)
        command = [sys.executable, os.path.abspath(__file__), identity, machine, directory]
        return subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)


@live
@pytest.mark.parametrize("identity", ["caller", "nobody"])
def test_on_the_kernel(identity: str) -> None:
    if identity == "nobody" and os.geteuid() != 0:
        pytest.skip("needs root to become nobody")
    done = _run_probe(identity, HERE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("core limit afterwards") == found.pop("core limit before")
    assert found == {**REFUSED_LIVE, **dict.fromkeys(ALLOWED_LIVE, 0)}


@live
def test_without_the_filter_the_probe_finds_the_opposite() -> None:
    found = json.loads(_run_probe("caller", "none").stdout)
    always_possible = ["chmod 4755", "fchmod 2755", "open 4755", "mknod 4755", "personality READ_IMPLIES_EXEC"]
    assert {name: found[name] for name in always_possible} == dict.fromkeys(always_possible, 0)
    assert found["core limit afterwards"] == [0, 0]


@live
def test_filter_of_another_machine_kills() -> None:
    other = next(name for name in MACHINES if name != HERE)
    assert _run_probe("caller", other).returncode == -signal.SIGSYS


def _check(result: int) -> None:
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Probe:
    """What a process tries. Each method returns nothing, or raises the ``OSError`` of the kernel."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.file = os.path.join(directory, "file")
        self.descriptor = os.open(self.file, os.O_CREAT | os.O_RDWR, 0o600)
        self.master, self.terminal = pty.openpty()

    def call(self, name: str, *arguments: int | bytes | None) -> int:
        number = seccomp.SYSCALLS[name][MACHINES.index(HERE)]
        assert number is not None
        return self.number(number, *arguments)

    def number(self, number: int, *arguments: int | bytes | None) -> int:
        wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
        result: int = self.libc.syscall(ctypes.c_long(number), *wide)
        _check(result)
        return result

    def clone(self, flags: int) -> None:
        pid = self.call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    def child(self, act: Callable[[], None]) -> None:
        """Run ``act`` in a forked child and let the errno that it ends with be this call's."""
        pid = os.fork()
        if pid == 0:
            code = 255
            try:
                code = attempt(act)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if status:
            raise OSError(os.waitstatus_to_exitcode(status), "in the child")

    def attach(self) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        try:
            self.call("ptrace", 16, pid, 0, 0)
            os.waitpid(pid, 0)
            self.call("ptrace", 17, pid, 0, 0)
        finally:
            os.close(writing)
            os.close(reading)
            os.waitpid(pid, 0)

    def thread(self) -> None:
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(1))
        thread.start()
        thread.join()
        assert seen == [1]

    def open_new(self, name: str, flags: int, mode: int) -> None:
        os.close(os.open(os.path.join(self.directory, name), flags, mode))

    def socket(self, family: int, kind: int, protocol: int = 0) -> None:
        socket.socket(family, kind, protocol).close()

    def lower(self, which: int, value: int) -> None:
        resource.setrlimit(which, (value, value))

    def foreign_limit(self) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))
        finally:
            os.close(writing)
            os.close(reading)
            os.waitpid(pid, 0)

    def attempts(self) -> dict[str, Callable[[], object]]:
        inside = self.directory
        return {
            "unshare": lambda: self.child(lambda: void(self.call("unshare", 0x10000000))),
            "clone into a user namespace": lambda: self.clone(0x10000000),
            "clone3": lambda: self.call("clone3", None, 0),
            "openat2": lambda: self.call("openat2", -100, b"/", None, 0),
            "keyctl": lambda: self.call("keyctl", 0, -3, 0),
            "io_uring_setup": lambda: self.call("io_uring_setup", 0, None),
            "vsock": lambda: self.socket(40, socket.SOCK_STREAM),
            "packet": lambda: self.socket(17, socket.SOCK_RAW),
            "netlink audit": lambda: self.socket(16, socket.SOCK_RAW, 9),
            "netlink route": lambda: self.socket(16, socket.SOCK_RAW, 0),
            "raw": lambda: self.socket(socket.AF_INET, socket.SOCK_RAW, 1),
            "unix": lambda: self.socket(socket.AF_UNIX, socket.SOCK_STREAM),
            "inet": lambda: self.socket(socket.AF_INET, socket.SOCK_STREAM),
            "socketpair": lambda: [end.detach() for end in socket.socketpair()],
            "chmod 4755": lambda: os.chmod(self.file, 0o4755),
            "chmod 755": lambda: os.chmod(self.file, 0o755),
            "fchmod 2755": lambda: os.fchmod(self.descriptor, 0o2755),
            "open 4755": lambda: self.open_new("set-id", os.O_CREAT | os.O_WRONLY, 0o4755),
            "open 644": lambda: self.open_new("plain", os.O_CREAT | os.O_WRONLY, 0o644),
            "unnamed 4755": lambda: self.open_new(".", os.O_TMPFILE | os.O_WRONLY, 0o4755),
            "mkdir": lambda: os.mkdir(os.path.join(inside, "directory")),
            "mknod 4755": lambda: os.mknod(os.path.join(inside, "regular"), stat.S_IFREG | 0o4755),
            "mknod device": lambda: os.mknod(os.path.join(inside, "null"), stat.S_IFCHR | 0o600, os.makedev(1, 3)),
            "fifo": lambda: os.mkfifo(os.path.join(inside, "fifo")),
            "TIOCSTI, upper half set": lambda: self.call("ioctl", self.terminal, 0x5412 | 1 << 32, b"x"),
            "TIOCSETD": lambda: fcntl.ioctl(self.terminal, termios.TIOCSETD, bytes(4)),
            "TIOCGWINSZ": lambda: fcntl.ioctl(self.terminal, termios.TIOCGWINSZ, bytes(8)),
            "ptrace attach": self.attach,
            "ptrace traceme": lambda: self.child(lambda: void(self.call("ptrace", 0, 0, 0, 0))),
            "personality ADDR_NO_RANDOMIZE": lambda: self.child(lambda: void(self.call("personality", 0x40000))),
            "personality READ_IMPLIES_EXEC": lambda: self.child(lambda: void(self.call("personality", 0x400000))),
            "fork": lambda: self.child(lambda: None),
            "thread": self.thread,
            "subprocess": lambda: subprocess.run(["/bin/sh", "-c", "exit 0"], check=True),
            "RLIMIT_CORE": lambda: self.lower(resource.RLIMIT_CORE, 0),
            "RLIMIT_NOFILE": lambda: self.child(lambda: self.lower(resource.RLIMIT_NOFILE, 64)),
            "limit of another process": self.foreign_limit,
            "unknown call": lambda: self.number(seccomp.NEWEST + 1, 0, 0, 0),
        }


def void(_: object) -> None:
    """Drop a result, for a lambda that must not have one."""


def attempt(act: Callable[[], object]) -> int:
    try:
        act()
    except OSError as error:
        assert error.errno is not None
        return error.errno
    return 0


def install(program: bytes) -> None:
    class Fprog(ctypes.Structure):
        _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(38, 1, 0, 0, 0))
    fprog = Fprog(len(program) // 8, program)
    _check(libc.syscall(ctypes.c_long(ALLOWED["seccomp"][MACHINES.index(HERE)]), 1, 0, ctypes.byref(fprog)))


def probe(identity: str, machine: str, directory: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0) if hard == 0 else (1, 1))
    if identity == "nobody":
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    attempts = Probe(directory).attempts()
    if machine != "none":
        install(seccomp.filter_program(machine))
    found: dict[str, object] = {name: attempt(act) for name, act in attempts.items()}
    found["core limit before"] = before
    found["core limit afterwards"] = resource.getrlimit(resource.RLIMIT_CORE)
    print(json.dumps(found))


if __name__ == "__main__":
    probe(*sys.argv[1:])
