"""The laboratory of kernels: fetches kernels and a root filesystem, and boots each variant of the table once.

Everything lies in one directory and is removed again; the Debian packages stay. With
ISOLATED_HOOKS_KERNELS_CACHE=DIRECTORY the lab keeps there what it has fetched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from support.containers.lab import cannot_be_set_up as containers_cannot
from support.containers.lab import install_packages
from support.kernels import image, machine
from support.kernels.image import PROJECT
from support.kernels.machine import CannotBootError
from support.kernels.matrix import Boot, Kernel
from support.kernels.packages import Archive

__all__ = ["PROJECT", "Lab", "cannot_be_set_up"]

_PACKAGES = "qemu-system-x86 user-mode-linux busybox-static cpio kmod e2fsprogs zstd debian-archive-keyring".split()
_ARM64 = ["qemu-system-arm"]
# Which of what a kernel's package depends on belongs to the kernel.
_KERNEL = "linux-(image|binary|modules)-.*"
_ARCHITECTURES = {"qemu": "amd64", "uml": "amd64", "qemu-arm64": "arm64"}
# Seconds for one boot with both users' tests.
_SECONDS = {"kvm": 240.0, "tcg": 1500.0}


def cannot_be_set_up() -> str:
    """Return the reason why no kernel can be booted here, or an empty text."""
    return containers_cannot().replace("lab of containers", "lab of kernels")


class Lab(contextlib.ExitStack):
    """The laboratory, as a context manager; see the module."""

    def __enter__(self) -> Lab:
        super().__enter__()
        install_packages([*_PACKAGES, *_ARM64])
        self._directory = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="kernels-", dir="/var/tmp")))
        cache = os.environ.get("ISOLATED_HOOKS_KERNELS_CACHE")
        self._kept = Path(cache) if cache else self._directory / "kept"
        self._kept.mkdir(exist_ok=True)
        self._images: dict[str, Path] = {}
        self._kernels: dict[str, tuple[Path, str, list[Path]]] = {}
        return self

    def boot(self, boot: Boot) -> dict[str, Any]:
        """Boot one variant and return what was found in it.

        :raises CannotBootError: Debian does not offer the kernel, or it does not boot here
        """
        kind = boot.kernel.machine
        kernel, _, modules = self._kernel(boot.kernel)
        disk, ledger = machine.DISKS[kind]
        job = {"settings": dict(boot.variant.settings), "profile": boot.variant.profile, "ledger": ledger}
        with tempfile.TemporaryDirectory(dir=self._directory) as work:
            initrd = Path(work, "initrd")
            busybox = self._busybox(_ARCHITECTURES[kind])
            image.initramfs(initrd, disk=disk, busybox=busybox, job=job, modules=modules)
            how = "tcg" if kind == "qemu-arm64" else "kvm" if kind == "uml" else machine.accelerator()
            found = machine.boot(
                kind,
                kernel,
                image=self._image(_ARCHITECTURES[kind]),
                initrd=initrd,
                parameters=boot.variant.parameters,
                work=Path(work),
                seconds=_SECONDS[how],
            )
        return {"accelerator": {"uml": "none"}.get(kind, how), **found}

    def _kernel(self, kernel: Kernel) -> tuple[Path, str, list[Path]]:
        if kernel.name not in self._kernels:
            self._kernels[kernel.name] = self._fetched(kernel)
        return self._kernels[kernel.name]

    def _fetched(self, kernel: Kernel) -> tuple[Path, str, list[Path]]:
        if kernel.machine == "uml":  # it is linked with this machine's C library, so it is this machine's package
            return Path("/usr/bin/linux.uml"), "", []
        archive = Archive(self._kept / f"kernels-{_ARCHITECTURES[kernel.machine]}", _ARCHITECTURES[kernel.machine])
        package = archive.newest(kernel.pattern)
        if not package:
            raise CannotBootError("Debian's suites no longer have it, or never had it")
        directory = self._directory / f"kernel-{kernel.name}"
        path, release = image.kernel_of(directory, archive.fetch([package], keep=_KERNEL))
        return path, release, image.modules_of(directory, release)

    def _image(self, architecture: str) -> Path:
        if architecture not in self._images:
            archive = Archive(self._kept / f"root-{architecture}", architecture, only=[image.SUITE])
            root = self._directory / f"root-{architecture}"
            image.make_root(root, archive)
            path = root.with_suffix(".ext4")
            image.make_image(path, root)
            shutil.rmtree(root)
            self._images[architecture] = path
        return self._images[architecture]

    def _busybox(self, architecture: str) -> Path:
        path = self._directory / f"busybox-{architecture}"
        if not path.exists():
            archive = Archive(self._kept / f"root-{architecture}", architecture, only=[image.SUITE])
            path = image.busybox(self._directory / f"busybox-of-{architecture}", archive)
        return path
