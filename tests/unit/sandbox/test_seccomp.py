"""The seccomp filter: an interpreter of classic BPF runs each rule, for both machines."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import re
import signal
import stat
from pathlib import Path

import pytest
from support.bpfinterpreter import Interpreter
from support.each import each

from isolated_hooks.sandbox import broker, listener, seccomp, seccomprules, syscalls
from isolated_hooks.sandbox.numbers import KNOWN, NUMBERS

ALLOW = 0x7FFF0000
KILL = 0x80000000
PRETEND = 0x00050000
EPERM = PRETEND | errno.EPERM
ENOTTY = PRETEND | errno.ENOTTY
ENOSYS = PRETEND | errno.ENOSYS
EAFNOSUPPORT = PRETEND | errno.EAFNOSUPPORT
NOTIFY = 0x7FC00000
EOPNOTSUPP = PRETEND | errno.EOPNOTSUPP

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = tuple(AUDIT_ARCH)
HIGH = 0xDEADBEEF << 32

# Calls that the filter refuses with any arguments. We list them a second time, so that these tests notice if the table
# loses a name.
# fmt: off
ALWAYS_EPERM = [
    "io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd", "keyctl",
    "add_key", "request_key", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "open_tree_attr", "unshare", "setns", "open_by_handle_at",
    "name_to_handle_at", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise",
    "quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "acct", "syslog", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "sethostname", "setdomainname", "iopl", "ioperm", "vhangup", "lookup_dcookie", "nfsservctl", "uselib",
    "modify_ldt", "fanotify_init", "lsm_set_self_attr",
]
# fmt: on
ALWAYS_ENOSYS = ["clone3", "openat2", "memfd_secret"]
# Calls that builds depend on, and calls that look dangerous but that we allow: (x86_64, aarch64).
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
    "mkdirat": (258, 34),
    "unlinkat": (263, 35),
    "listen": (50, 201),
    "accept": (43, 202),
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
# Arguments of which the kernel uses at most 32 bits. The tests also try each case with garbage in the upper halves.
NARROW = [
    ("clone", (0x01200011,), ALLOW),  # fork by glibc
    ("clone", (0x003D0F00,), ALLOW),  # pthread_create by glibc
    ("clone", (0x00004111,), ALLOW),  # vfork by posix_spawn
    *[("clone", (flag | signal.SIGCHLD,), EPERM) for flag in (0x20000, *(1 << bit for bit in range(25, 31)), 0x80)],
    ("migrate_pages", (0,), ALLOW),
    ("migrate_pages", (1,), EPERM),
    ("move_pages", (0,), ALLOW),
    ("move_pages", (4321,), EPERM),
    ("socket", (1, 1, 0), ALLOW),
    *[(name, (1, kind, 0), ALLOW) for name in ("socket", "socketpair") for kind in (1, 5, 0o2000005, 0o4001)],
    *[(name, (1, kind, 0), EPERM) for name in ("socket", "socketpair") for kind in (0, 2, 3, 4, 10, 0o2000002)],
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
    *[(name, (0, mode), NOTIFY) for name in ("chmod", "fchmod") for mode in (0o4755, 0o2755, 0o6000)],
    *[("creat", (0, mode), EPERM) for mode in (0o4755, 0o2755, 0o6000)],
    *[(name, (0, 0o6000, 0o1755), ALLOW) for name in ("fchmodat", "fchmodat2")],
    *[(name, (0, 0, mode), NOTIFY) for name in ("fchmodat", "fchmodat2") for mode in (0o4755, 0o2755, 0o106755)],
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
# pid, resource, new limit, old limit. A pointer is null only if both halves are.
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
# Call, arguments, the index of the argument in which we flip one bit at a time, the number of bits, the answer to each
# such call, and the bits that do not change the answer. This shows that the filter compares whole values, and not just
# a mask that happens to cover the cases above.
EXACT: list[tuple[str, tuple[int, ...], int, int, int, set[int]]] = [
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


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def interpreter(machine: str) -> Interpreter:
    return Interpreter(seccomp.filter_program(machine))


@functools.cache
def _filter(machine: str) -> Interpreter:
    return Interpreter(seccomp.filter_program(machine))


def numbers_of(name: str) -> list[tuple[str, int]]:
    """Return the machines that have the call, each with the number of the call."""
    pairs = zip(MACHINES, NUMBERS[name], strict=True)
    return [(machine, number) for machine, number in pairs if number is not None]


def test_refuses_a_machine_it_has_no_filter_for() -> None:
    for machine in ("riscv64", "i686", "armv7l", "aarch64_be", ""):
        with pytest.raises(ValueError, match=re.escape(repr(machine))):
            seccomp.filter_program(machine)


def test_the_kernel_accepts_the_program(interpreter: Interpreter) -> None:
    instructions = interpreter.instructions
    assert len(instructions) <= 4096
    for at, (code, yes, no, k) in enumerate(instructions):
        assert code in (0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06)
        longest = k if code == 0x05 else max(yes, no)
        assert code == 0x06 or at + 1 + longest < len(instructions)


def test_every_number_without_arguments(interpreter: Interpreter, machine: str) -> None:
    known = {number for first, last in KNOWN[machine] for number in range(first, last + 1)}
    expected = {number: ALLOW if number in known else ENOSYS for number in range(470)}
    column = MACHINES.index(machine)
    for names, action in (
        (ALWAYS_EPERM, EPERM),
        (ALWAYS_ENOSYS, ENOSYS),
        (["socket", "socketpair"], EAFNOSUPPORT),
        (["connect", "bind", "rename", "renameat", "renameat2", "link", "linkat"], NOTIFY),
    ):
        for name in names:
            number = NUMBERS[name][column]
            if number is not None:
                expected[number] = action
    assert {number: interpreter.run(number, AUDIT_ARCH[machine]) for number in expected} == expected


def test_refused_with_any_arguments() -> None:
    def check(name: str) -> None:
        expected = ENOSYS if name in ALWAYS_ENOSYS else EPERM
        for machine, number in numbers_of(name):
            for arguments in ((), (HIGH,) * 6, ((1 << 64) - 1,) * 6):
                answer = _filter(machine).run(number, AUDIT_ARCH[machine], arguments)
                assert answer == expected, machine

    each([*ALWAYS_EPERM, *ALWAYS_ENOSYS], check)


@pytest.mark.parametrize("machine", MACHINES)
def test_allowed_without_reading_the_arguments(machine: str) -> None:
    def check(name: str) -> None:
        interpreter, number = _filter(machine), ALLOWED[name][MACHINES.index(machine)]
        assert interpreter.run(number, AUDIT_ARCH[machine], (HIGH | 0x5412,) * 6) == ALLOW
        # So the kernel can cache the answer. Otherwise the filter takes about a dozen instructions.
        assert interpreter.words_read == {0, 4}
        assert interpreter.steps <= 12

    each(ALLOWED, check)


def test_rules() -> None:
    def check(case: tuple[str, tuple[int, ...], int]) -> None:
        name, arguments, expected = case
        for machine, number in numbers_of(name):
            interpreter = _filter(machine)
            for high in (0, HIGH, 0xFFFFFFFF << 32):
                wide = tuple(argument | high for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6])
                assert interpreter.run(number, AUDIT_ARCH[machine], wide) == expected, (machine, high)

    each(NARROW, check)


@pytest.mark.parametrize(("arguments", "expected"), POINTERS)
def test_prlimit(arguments: tuple[int, ...], expected: int) -> None:
    for machine, number in numbers_of("prlimit64"):
        interpreter = Interpreter(seccomp.filter_program(machine))
        assert interpreter.run(number, AUDIT_ARCH[machine], arguments) == expected, machine


@pytest.mark.parametrize(("name", "arguments", "flipped", "width", "expected", "same"), EXACT)
def test_each_bit_counts(
    name: str, arguments: tuple[int, ...], flipped: int, width: int, expected: int, same: set[int]
) -> None:
    for machine, number in numbers_of(name):
        interpreter = Interpreter(seccomp.filter_program(machine))
        unflipped = interpreter.run(number, AUDIT_ARCH[machine], arguments)
        assert unflipped != expected
        for bit in range(width):
            value = arguments[flipped] ^ 1 << bit
            others = (*arguments[:flipped], value, *arguments[flipped + 1 :])
            answer = interpreter.run(number, AUDIT_ARCH[machine], others)
            assert answer == (unflipped if bit in same else expected), (machine, bit)


_NAMES = [*ALWAYS_EPERM, "connect", "bind", "socket"]


def test_the_two_filters_of_a_hook_are_together_the_whole_one() -> None:
    """Pid 1 has the first alone: it needs the memory and the descriptors of the hook, and connects and binds."""

    def check(name: str) -> None:
        for machine, number in numbers_of(name):
            shared = Interpreter(seccomp.shared_program(machine))
            for brokered in (True, False):
                more = Interpreter(seccomp.hook_program(machine, brokered=brokered))
                for arguments in ((1, 1), (1, 2), (2, 1), (40, 1)):
                    # The kernel takes the strictest answer, which has the smallest number, seccomp(2).
                    both = min(f.run(number, AUDIT_ARCH[machine], arguments) for f in (shared, more))
                    if brokered:
                        assert both == _filter(machine).run(number, AUDIT_ARCH[machine], arguments), arguments
                    elif name == "socket" and arguments[0] == 1:
                        assert both == EPERM
                    elif name in ("connect", "bind"):
                        assert both == ALLOW

    each(_NAMES, check)


_OF_OTHERS = ("process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp")
_SET_ID_MODES = (
    ("chmod", (0, 0o2755)),
    ("fchmod", (3, 0o4755)),
    ("fchmodat", (3, 0, 0o2755)),
    ("fchmodat2", (3, 0, 0o4755)),
)


@pytest.mark.parametrize("tier", ["alone", "confined", "confined, online"])
def test_what_no_hook_may_do_where_pid_1_does_not_listen(tier: str) -> None:
    """The whole filter of a hook with a broker has these rules a second time."""
    for machine in MACHINES:
        if tier == "alone":
            program = seccomp.hook_program(machine, brokered=False)
        else:
            program = seccomp.filter_program(machine, namespaces=False, network="online" in tier)
        filtered = Interpreter(program)
        for name, arguments in (*((name, ()) for name in _OF_OTHERS), *_SET_ID_MODES):
            number = NUMBERS[name][MACHINES.index(machine)]
            if number is not None:
                assert filtered.run(number, AUDIT_ARCH[machine], arguments) == EPERM, name
                if arguments:
                    plain = (*arguments[:-1], arguments[-1] & 0o777)
                    assert filtered.run(number, AUDIT_ARCH[machine], plain) == ALLOW, name


@pytest.mark.parametrize("watches", [True, False])
def test_instances_of_inotify_that_are_the_callers(watches: bool) -> None:
    for machine in MACHINES:
        filtered = Interpreter(seccomp.shared_program(machine, watches=watches))
        for name in ("inotify_init", "inotify_init1"):
            number = NUMBERS[name][MACHINES.index(machine)]
            if number is not None:
                expected = ALLOW if watches else PRETEND | errno.EMFILE
                assert filtered.run(number, AUDIT_ARCH[machine]) == expected, name


def test_pid_1_may_do_what_the_hook_may_not() -> None:
    for machine in MACHINES:
        shared = Interpreter(seccomp.shared_program(machine))
        for name in ("process_vm_readv", "pidfd_getfd", "connect", "bind"):
            assert shared.run(NUMBERS[name][MACHINES.index(machine)], AUDIT_ARCH[machine]) == ALLOW


def test_a_hook_that_nobody_observes_has_the_same_filter_as_ever() -> None:
    """Nothing of what an observed hook is asked for costs another hook anything."""
    looked_at = {name for names, _, _ in seccomprules.OBSERVED for name in names.split()}
    for machine in MACHINES:
        plain, observed = (
            seccomp.hook_program(machine, brokered=True, observed=observed) for observed in (False, True)
        )
        assert seccomp.hook_program(machine, brokered=True) == plain != observed
        alone = seccomp.hook_program(machine, brokered=False)
        assert seccomp.hook_program(machine, brokered=False, observed=True) == alone
        for name, pair in NUMBERS.items():
            number = pair[MACHINES.index(machine)]
            if number is None:
                continue
            before, now = (Interpreter(p).run(number, AUDIT_ARCH[machine]) for p in (plain, observed))
            assert now == (NOTIFY if name in looked_at else before), name
            assert name not in looked_at or before == ALLOW, name


def test_an_observed_hook_is_not_asked_about_open_files() -> None:
    """The C library finds the size of an open file with these calls, more often than anything else."""
    for machine in MACHINES:
        observed = Interpreter(seccomp.hook_program(machine, brokered=True, observed=True))
        for name, arguments in (("newfstatat", (3, 0, 0, 0x1000)), ("statx", (3, 0, 0x1000, 0))):
            number = NUMBERS[name][MACHINES.index(machine)]
            assert observed.run(number, AUDIT_ARCH[machine], arguments) == ALLOW


def test_observing_allows_nothing() -> None:
    """The shared filter refuses what it refuses, and the kernel takes the strictest answer of both."""
    for machine in MACHINES:
        shared = Interpreter(seccomp.shared_program(machine))
        column = MACHINES.index(machine)
        for name, arguments in (("openat", (0, 0, 0o100, 0o4755)), ("mkdirat", (0, 0, 0, 0)), ("openat2", ())):
            answer = shared.run(NUMBERS[name][column], AUDIT_ARCH[machine], arguments)
            assert answer == {"openat": EPERM, "mkdirat": ALLOW, "openat2": ENOSYS}[name]


def test_unknown_numbers_get_enosys(interpreter: Interpreter, machine: str) -> None:
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
    ptrace = next(s for s in seccomp.describe(namespaces=False) if s.startswith("ptrace:"))
    assert "EPERM for attaching" in ptrace
    assert next(sentence for sentence in sentences if sentence.startswith("clone3:")).startswith("clone3: ENOSYS (")
    assert any("x32" in sentence and "ENOSYS" in sentence for sentence in sentences)
    assert any("architecture" in sentence and "killed" in sentence for sentence in sentences)


_XATTRS = """setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat getxattr
    lgetxattr getxattrat listxattr llistxattr listxattrat file_getattr file_setattr""".split()
_SCHEDULING = "sched_setaffinity sched_setattr sched_setparam sched_setscheduler".split()
_FLAGS = (0x40086602, 0x401C5820, 0x40087602, 0x5000940E, 0x40047211, 0x4004F50E, 0x40806685)


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
        ("socketpair", (2, 1), EAFNOSUPPORT, EAFNOSUPPORT),
        ("socket", (2, 3), EAFNOSUPPORT, EPERM),
        ("connect", (3,), EPERM, ALLOW),
        ("sendto", (3, 1, 1, 0, 0), ALLOW, ALLOW),
        ("sendto", (3, 1, 1, 0, 1 << 32), EPERM, ALLOW),
        *((name, (), EOPNOTSUPP, EOPNOTSUPP) for name in _XATTRS),
        ("listen", (3,), EPERM, ALLOW),
        ("bind", (3, 1, 110), EPERM, ALLOW),
        ("inotify_init", (), ENOSYS, ENOSYS),
        ("inotify_init1", (), ENOSYS, ENOSYS),
        *((name, (0,), ALLOW, ALLOW) for name in _SCHEDULING),
        *((name, (77,), EPERM, EPERM) for name in _SCHEDULING),
        ("setpriority", (0, 0, 19), ALLOW, ALLOW),
        ("setpriority", (1, 0, 19), ALLOW, ALLOW),
        ("setpriority", (0, 77, 19), EPERM, EPERM),
        ("setpriority", (2, 0, 19), EPERM, EPERM),
        ("ioprio_set", (1, 0), ALLOW, ALLOW),
        ("ioprio_set", (1, 77), EPERM, EPERM),
        ("ioprio_set", (3, 0), EPERM, EPERM),
        *(("ioctl", (0, request), EPERM, EPERM) for request in (0x5412, 0x541C, 0x5423)),
        *(("ioctl", (0, request), ENOTTY, ENOTTY) for request in (*_FLAGS, 0xC0044501, 1, 0xFFFFFFFF)),
        *(("ioctl", (0, request), ALLOW, ALLOW) for request in (0x5401, 0x541B, 0x80045430, 0x8912, 2)),
        *(("ioctl", (0, request), ALLOW, ALLOW) for request in (0x80086601, 0x40049409, 0x4020940D, 0xC020660B)),
        ("truncate", (), ALLOW, ALLOW),
        ("fchmod", (3, 0o2755), EPERM, EPERM),
        *(("ptrace", (request,), ALLOW, ALLOW) for request in (0, 7, 0x4200)),
        *(("ptrace", (request,), EPERM, EPERM) for request in (16, 0x4206)),
        ("fchmodat", (3, 0, 0o2755), EPERM, EPERM),
        ("openat", (0, 0, 0o1000, 0), ALLOW, ALLOW),
    ],
)
def test_without_namespaces(name: str, arguments: tuple[int, ...], offline: int, online: int) -> None:
    """No unix socket can be connected, even with the caller's network: modes do not restrict root's hooks."""
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
        ("open", (0, 0o101, 0o4755), EPERM),
        ("open", (0, 0o101, 0o755), ALLOW),
        ("openat", (0, 0, 0, 0), ALLOW),
    ],
)
def test_truncation_is_refused_if_landlock_does_not_confine_it(
    name: str, arguments: tuple[int, ...], expected: int
) -> None:
    for machine, number in numbers_of(name):
        interpreter = Interpreter(seccomp.filter_program(machine, namespaces=False, truncation=False))
        assert interpreter.run(number, AUDIT_ARCH[machine], arguments) == expected, machine


def test_a_device_of_the_policys_takes_any_request_but_files_take_none_that_changes_them() -> None:
    for machine, number in numbers_of("ioctl"):
        interpreter = Interpreter(seccomp.filter_program(machine, namespaces=False, devices=True))
        answers = {}
        for request in (0x5412, *_FLAGS, 0xC0044501, 0x5401, 0x80086601):
            answers[request] = interpreter.run(number, AUDIT_ARCH[machine], (0, request))
        assert answers == {
            0x5412: EPERM,
            **dict.fromkeys(_FLAGS, ENOTTY),
            **dict.fromkeys((0xC0044501, 0x5401, 0x80086601), ALLOW),
        }


def test_each_conditional_refusal_has_a_description() -> None:
    for names, rows, reason in (
        *seccomprules.rules(),
        *seccomprules.OF_HOOK_ALONE,
        *seccomprules.rules(namespaces=False),
    ):
        assert reason, names
        for conditions, action, words in rows:
            assert bool(words) == (action != ALLOW and rows != (((), action, ""),)), (names, conditions)


def test_each_number_is_called_or_filtered_and_no_call_has_two_rules() -> None:
    rules = seccomprules.rules()
    stricter = (*seccomprules.WITHOUT_NAMESPACES, *seccomprules.WITHOUT_NETWORK, *seccomprules.WITHOUT_TRUNCATION)
    stricter += (*seccomprules.WITHOUT_WATCHES, *seccomprules.OBSERVED)
    named, more = ([name for names, _, _ in table for name in names.split()] for table in (rules, stricter))
    assert len(named) == len(set(named))
    called = re.findall(r'\b(?:call\(|NUMBERS\[)"(\w+)"', "".join(map(inspect.getsource, (syscalls, listener, broker))))
    assert {*named, *more, *called} == set(NUMBERS)
    for column in (0, 1):
        numbers = [pair[column] for pair in NUMBERS.values() if pair[column] is not None]
        assert len(numbers) == len(set(numbers))


def _header(*candidates: str) -> dict[str, int]:
    for candidate in candidates:
        if os.path.exists(candidate):
            lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(candidate).read_text())
            return {name: int(number) for name, number in lines}
    pytest.skip("no kernel headers here")


def _check_numbers(header: dict[str, int], column: int) -> None:
    # Headers that are older than this package may lack new calls, but only those.
    newest = max(header.values())
    for name, pair in NUMBERS.items():
        number = pair[column]
        if number is None or number <= newest:
            assert header.get(name, header.get("fstatat") if name == "newfstatat" else None) == number, name
    for name, numbers in ALLOWED.items():
        if numbers[column] <= newest:
            assert header.get(name, header.get("fstatat") if name == "newfstatat" else None) == numbers[column], name


def test_numbers_of_x86_64() -> None:
    _check_numbers(_header("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"), 0)


def test_numbers_of_aarch64() -> None:
    _check_numbers(_header("/usr/include/asm-generic/unistd.h"), 1)
