"""The words of a seccomp filter's rules: actions, and conditions on the arguments of a system call."""

from __future__ import annotations

from .bpf import WORD, Condition

# Conditions that must all hold, the action to take then, and the words for it (none if the action allows the call).
Row = tuple[tuple[Condition, ...], int, str]
# System calls, rows, and the reason. The first row that applies decides; if none applies, the call is allowed.
Rule = tuple[str, tuple[Row, ...], str]

# Actions. The error numbers are the same on both machines (asm-generic/errno.h).
ALLOW = 0x7FFF0000
KILL = 0x80000000
_ERRNO = 0x00050000
PRETEND = _ERRNO
EPERM = _ERRNO | 1
EMFILE = _ERRNO | 24
ENOTTY = _ERRNO | 25
ENOSYS = _ERRNO | 38
EOPNOTSUPP = _ERRNO | 95
EAFNOSUPPORT = _ERRNO | 97
NOTIFY = 0x7FC00000
ACTIONS = {
    NOTIFY: "pid 1 makes the call",
    KILL: "the process is killed",
    PRETEND: "success without effect",
    EPERM: "EPERM",
    EMFILE: "EMFILE",
    ENOTTY: "ENOTTY",
    ENOSYS: "ENOSYS",
    EOPNOTSUPP: "EOPNOTSUPP",
    EAFNOSUPPORT: "EAFNOSUPPORT",
}

# The offset of the six 64-bit arguments in struct seccomp_data, linux/seccomp.h. Both machines are little-endian.
_ARGUMENTS = 16


def equals(argument: int, *values: int, mask: int = WORD) -> Condition:
    """Return the condition that an argument, of which the mask leaves some bits, is one of the values."""
    return _ARGUMENTS + 8 * argument, mask, values


def has_any(argument: int, bits: int) -> Condition:
    """Return the condition that an argument has one of the bits at least."""
    return _ARGUMENTS + 8 * argument, bits, ()


def null(argument: int) -> tuple[Condition, Condition]:
    """Return the conditions for a null pointer: both halves of its 64 bits are zero."""
    offset = _ARGUMENTS + 8 * argument
    return (offset, WORD, (0,)), (offset + 4, WORD, (0,))
