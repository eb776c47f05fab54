"""Run a command where no namespace can be made and nothing mounted, as docker's default profile has it.

``python refusing.py COMMAND [ARGUMENT ...]``. A seccomp filter stays with the process and all that it starts, so it is
put around the whole frontend, and production code knows nothing of it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

# System calls by their numbers on x86_64 and on aarch64.
_CALLS = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "unshare": (272, 97), "setns": (308, 268),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "mount_setattr": (442, 442),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW* but for time, which clone(2) cannot make
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
_NUMBER, _FIRST_ARGUMENT = 0, 16  # offsets in struct seccomp_data
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2


def _program(arm: bool) -> list[tuple[int, int, int, int]]:
    """Return the filter: code, jump if true, jump if false, value."""
    lines = [(_LOAD, 0, 0, _NUMBER)]
    for numbers in _CALLS.values():
        lines += [(_EQUAL, 0, 1, numbers[arm]), (_RETURN, 0, 0, _EPERM)]
    lines += [(_EQUAL, 0, 1, _CLONE3[arm]), (_RETURN, 0, 0, _ENOSYS)]
    lines += [(_EQUAL, 0, 3, _CLONE[arm]), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_ANY_BIT, 0, 1, _NEW_NAMESPACES)]
    return [*lines, (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]


def refuse() -> None:
    """Put the filter around this process."""
    lines = _program(platform.machine() == "aarch64")
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, header):
        sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    refuse()
    os.execvp(sys.argv[1], sys.argv[1:])
