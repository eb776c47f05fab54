"""The kernels that we boot, the variants of each, and where a kernel comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

__all__ = ["BOOTS", "KERNELS", "VARIANTS", "Boot", "Kernel", "Variant"]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel.

    :ivar name: the name in the table and of tests
    :ivar pattern: a regular expression for names of Debian's packages; of the names that match, the newest version is
        taken
    :ivar machine: ``qemu``, ``uml`` or ``qemu-arm64``
    :ivar shown: why it is in the table
    """

    name: str
    pattern: str
    machine: str
    shown: str


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to set a kernel up.

    :ivar name: the name in the table and of tests
    :ivar parameters: parameters for the kernel's command line
    :ivar settings: values that the machine writes below its own ``/proc/sys`` before the tests
    :ivar profile: text of an AppArmor profile that the machine loads, or an empty string
    :ivar shown: what it is, in words
    """

    name: str
    shown: str
    parameters: tuple[str, ...] = ()
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    profile: str = ""


@dataclasses.dataclass(frozen=True)
class Boot:
    """One kernel with one variant."""

    kernel: Kernel
    variant: Variant

    @property
    def name(self) -> str:
        """Return the key in the file of results."""
        return f"{self.kernel.name} {self.variant.name}"


def _series(series: str, shown: str) -> Kernel:
    # Before 6.4 or so, Debian names the ABI and not the release: 6.1.0-50. Both begin with the series.
    return Kernel(series, rf"linux-image-{series.replace('.', '[.]')}[.]\d[^-]*(-\d+)?-cloud-amd64", "qemu", shown)


#: Every kernel, in the order of the table. Which of them Debian offers is found when they are booted.
KERNELS: tuple[Kernel, ...] = (
    _series("5.10", "older than the oldest that is supported: hooks have to be refused with a remedy"),
    _series("5.12", "the oldest that is supported"),
    _series("5.15", "a kernel with long support, Ubuntu 22.04"),
    _series("6.1", "a kernel with long support, Debian 12"),
    _series("6.6", "a kernel with long support"),
    _series("6.12", "a kernel with long support, Debian 13"),
    _series("6.18", "a kernel with long support"),
    Kernel("newest", r"linux-image-\d+[.]\d+[.]\d[^-]*(-\d+)?-cloud-amd64", "qemu", "the newest that Debian offers"),
    Kernel("user-mode", "user-mode-linux", "uml", "user-mode Linux, which is a process of the host"),
    Kernel("arm64", r"linux-image-6[.]12[.]\d[^-]*-cloud-arm64", "qemu-arm64", "aarch64, each instruction emulated"),
)

_PLAIN = Variant("plain", "as Debian sets it up, with cgroup v2 alone")
_PROFILE = """abi <abi/4.0>,
profile isolated-hooks-test /usr/bin/python3* flags=(unconfined) {
}
"""

#: Every variant, in the order of the table.
VARIANTS: tuple[Variant, ...] = (
    _PLAIN,
    Variant(
        "userns-root-only",
        "user namespaces for root alone, by kernel.unprivileged_userns_clone, as Debian did before version 11",
        settings={"kernel/unprivileged_userns_clone": "0"},
    ),
    Variant("no-userns", "no user namespaces, by user.max_user_namespaces", settings={"user/max_user_namespaces": "0"}),
    Variant("no-landlock", "without Landlock, by lsm=", parameters=("lsm=lockdown,capability,yama,bpf",)),
    Variant(
        "no-userns-no-landlock",
        "without both, so that nothing could confine a hook",
        parameters=("lsm=lockdown,capability,yama,bpf",),
        settings={"user/max_user_namespaces": "0"},
    ),
    Variant("yama", "Yama lets nobody trace, by kernel.yama.ptrace_scope", settings={"kernel/yama/ptrace_scope": "3"}),
)

_MORE = {
    "6.1": ("userns-root-only", "no-userns", "no-landlock", "no-userns-no-landlock", "yama"),
    "6.12": ("no-landlock", "yama"),
    "newest": ("userns-root-only", "no-userns", "no-landlock", "no-userns-no-landlock", "yama"),
}

#: Every boot, in the order of the table.
BOOTS: tuple[Boot, ...] = tuple(
    Boot(kernel, variant)
    for kernel in KERNELS
    for variant in VARIANTS
    if variant is _PLAIN or variant.name in _MORE.get(kernel.name, ())
)
