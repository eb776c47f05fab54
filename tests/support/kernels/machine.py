"""Start a kernel in qemu or as user-mode Linux, wait until it has switched itself off, and read its results."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.kernels.image import LEDGER

__all__ = ["CannotBootError", "accelerator", "boot"]

_MEGABYTES = "1536"


class CannotBootError(RuntimeError):
    """A kernel did not come up, or did not get to the end of the tests."""


def accelerator() -> str:
    """Return ``tcg``, which translates every instruction, or ``kvm`` if ISOLATED_HOOKS_KERNELS_ACCELERATOR says so.

    A machine that is virtual itself may have a ``/dev/kvm`` that stops in the middle of a boot: cmpxchg16b did here.
    """
    return "kvm" if os.environ.get("ISOLATED_HOOKS_KERNELS_ACCELERATOR") == "kvm" else "tcg"


def boot(
    machine: str, kernel: Path, *, image: Path, initrd: Path, parameters: Sequence[str], work: Path, seconds: float
) -> dict[str, Any]:
    """Boot a kernel and return what its first process has found.

    :param machine: ``qemu``, ``uml`` or ``qemu-arm64``
    :param image: the root filesystem; the machine does not change it
    :param work: an empty directory for what the machine writes
    :param seconds: the time that it has
    :raises CannotBootError: with the end of the console's text
    """
    ledger = work / "ledger"
    with ledger.open("wb") as file:
        file.truncate(LEDGER)
    command = _COMMANDS[machine](kernel, image, initrd, parameters, ledger, work)
    console = work / "console"
    with console.open("wb") as output:
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=work, timeout=seconds,
                env={"PATH": os.environ["PATH"], "HOME": str(work), "TMPDIR": str(work)},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise CannotBootError(f"not done after {seconds:.0f} seconds: {_end(console)}") from None
    return _read(ledger, console)


def _read(ledger: Path, console: Path) -> dict[str, Any]:
    with ledger.open("rb") as file:
        content = file.read(int.from_bytes(file.read(8), "big"))
    if not content:
        raise CannotBootError(f"it wrote no results: {_end(console)}")
    found: dict[str, Any] = json.loads(content)
    if "crashed" in found:
        raise CannotBootError(found["crashed"])
    return found


def _end(console: Path) -> str:
    return console.read_bytes()[-3000:].decode(errors="replace")


def _qemu(
    kernel: Path, image: Path, initrd: Path, parameters: Sequence[str], ledger: Path, work: Path
) -> list[str | Path]:
    kind = accelerator()
    processor = "host,cx16=off" if kind == "kvm" else "max"
    return [
        *("qemu-system-x86_64", "-accel", kind, "-cpu", processor, "-smp", "2"),
        *_options(kernel, image, initrd, ("console=ttyS0", *parameters), ledger),
    ]


def _qemu_arm64(
    kernel: Path, image: Path, initrd: Path, parameters: Sequence[str], ledger: Path, work: Path
) -> list[str | Path]:
    return [
        *("qemu-system-aarch64", "-machine", "virt", "-accel", "tcg,thread=multi", "-cpu", "cortex-a76", "-smp", "2"),
        *_options(kernel, image, initrd, ("console=ttyAMA0", *parameters), ledger),
    ]


def _options(
    kernel: Path, image: Path, initrd: Path, parameters: Sequence[str], ledger: Path
) -> tuple[str | Path, ...]:
    return (
        *("-m", _MEGABYTES, "-nodefaults", "-nographic", "-no-reboot", "-net", "none", "-serial", "stdio"),
        *("-kernel", kernel, "-initrd", initrd, "-append", " ".join(("panic=-1", "quiet", *parameters))),
        *("-drive", f"file={image},format=raw,if=virtio,snapshot=on"),
        *("-drive", f"file={ledger},format=raw,if=virtio"),
    )


def _uml(
    kernel: Path, image: Path, initrd: Path, parameters: Sequence[str], ledger: Path, work: Path
) -> list[str | Path]:
    """Return the command of user-mode Linux: a copy-on-write file beside the image, and one file for its memory."""
    return [
        kernel,
        *(f"mem={_MEGABYTES}M", f"initrd={initrd}", f"ubd0={work / 'changes'},{image}", f"ubd1={ledger}"),
        *("con=null", "con0=null,fd:1", "panic=-1", "quiet", *parameters),
    ]


_COMMANDS = {"qemu": _qemu, "qemu-arm64": _qemu_arm64, "uml": _uml}
#: The disks of each machine, as the guest names them.
DISKS = {
    "qemu": ("/dev/vda", "/dev/vdb"),
    "qemu-arm64": ("/dev/vda", "/dev/vdb"),
    "uml": ("/dev/ubda", "/dev/ubdb"),
}
