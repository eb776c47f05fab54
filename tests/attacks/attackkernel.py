"""Attacks on the kernel's own files, mounts, namespaces and system calls: families F, G and K."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attackkinds import Attack, changed, done, leaks, nothing, paths
from attackworld import TEXT, World

_DEVICES = "null zero full random urandom tty fd stdin stdout stderr ptmx pts shm".split()
_SETTINGS = (
    "/proc/sysrq-trigger /proc/sys/vm/overcommit_memory /proc/sys/kernel/modprobe /proc/sys/fs/suid_dumpable "
    "/proc/sys/kernel/hostname /sys/kernel/uevent_helper /sys/power/state"
).split()
_WITH_CAPABILITIES = {"0000000000000000", "000000000000000a"}  # none, or DAC_OVERRIDE and FOWNER


_CORE_PATTERN = "/proc/sys/kernel/core_pattern"


def _kernel_file_attacks() -> Iterable[Attack]:
    yield Attack("F01-core-pattern", "write core_pattern", "rewrite", lambda _: {"path": _CORE_PATTERN}, done, "root")
    yield Attack("F02-settings", "open kernel settings for writing", "open_for_writing", paths(_SETTINGS), done, "root")
    logs = ("/dev/kmsg", "/proc/kcore")
    yield Attack("F05-files", "open the kernel's log and memory", "open_for_reading", paths(logs), done, "root")
    yield Attack("F05-syslog", "ask the kernel for its log", "kernel_log", nothing, done, "root")
    yield Attack("F06-disks", "open a disk", "open_for_reading", _disks, done, "a host may show no disk")
    yield Attack(
        "F07-devices",
        "find other devices than the harmless ones",
        "devices",
        lambda _: {"allowed": _DEVICES},
        lambda _, evidence: bool(evidence["others"]),
        "a container may show no others",
    )
    yield Attack(
        "F08-node",
        "make a device node in the source tree",
        "device_node",
        lambda w: {"path": str(w.tree / "node"), "major": 7, "minor": 0},
        lambda w, _: (w.tree / "node").exists(),
        "root",
    )


def _disks(_world: World) -> dict[str, Any]:
    return {"paths": [str(path) for path in Path("/dev").glob("*") if path.is_block_device()]}


def _namespace_attacks() -> Iterable[Attack]:
    without = "a host may forbid user namespaces"
    yield Attack("G04-user-namespace", "enter a user namespace", "new_user_namespace", nothing, done, without)
    yield Attack("K10-clone3", "make a user namespace by clone3", "cloned_namespace", nothing, done, without)
    yield Attack("G03-mount", "mount, by old and new calls", "mount_over", _mountpoint, done, without)
    yield Attack("G01-unmount", "unmount", "unmount", _mountpoint, done, without)
    yield Attack("G01-unmount-tree", "unmount the source tree", "unmount", _tree, done, without)
    yield Attack(
        "G02-remount",
        "make the build environment writable again",
        "write_after_remount",
        lambda w: {"directory": str(w.env / "lib"), "path": w.target(w.env / "lib"), "text": TEXT},
        changed(lambda w: w.env / "lib" / f"isolated-hooks-written-{w.random}"),
    )
    yield Attack(
        "G05-chroot",
        "leave the root by chroot and an open directory",
        "change_root",
        lambda w: {"directory": str(w.tree / "mountpoint"), "outside": str(w.home / ".netrc")},
        leaks("A01/.netrc"),
    )
    yield Attack(
        "G06-old-root",
        "find the host's root where it was left",
        "old_roots",
        lambda w: {"names": ["", "/..", "/oldroot", "/.old", "/proc/1/root", "/mnt"], "path": str(w.home / ".netrc")},
        leaks("A01/.netrc"),
    )
    yield Attack(
        "G07-setns",
        "enter another process's mount namespace",
        "enter_mount_namespace",
        lambda w: {"pid": w.victim.pid, "path": str(w.home / ".netrc")},
        leaks("A01/.netrc"),
    )
    yield Attack(
        "K05-handle",
        "open a file by its handle",
        "file_handle",
        lambda w: dict(zip(("kind", "handle"), w.handle(w.home / ".netrc"), strict=True), directory=str(w.tree)),
        leaks("A01/.netrc"),
        "root",
    )
    yield Attack(
        "A10-keyring",
        "read a key of the caller's session keyring",
        "session_key",
        lambda w: {"description": w.key_name},
        leaks("key"),
        "a host may have no keyrings",
    )


def _mountpoint(world: World) -> dict[str, Any]:
    return {"directory": str(world.tree / "mountpoint")}


def _tree(world: World) -> dict[str, Any]:
    return {"directory": str(world.tree)}


def _system_call_attacks() -> Iterable[Attack]:
    lacks = "a kernel may lack or forbid it"
    calls = {
        "K02-io-uring": "ring",
        "K03-userfaultfd": "page_faults",
        "K04-bpf": "programs",
        "K04-perf": "performance_counters",
    }
    for name, probe in calls.items():
        yield Attack(name, f"use a system call that much of the kernel is behind: {probe}", probe, nothing, done, lacks)
    yield Attack("K07-new-privileges", "gain privileges by exec", "status", nothing, _may_gain_privileges)
    yield Attack("K08-capabilities", "have capabilities", "status", nothing, _has_capabilities)
    yield Attack("K08-root", "become root", "become_root", nothing, done, "root")
    yield Attack(
        "K08-groups",
        "keep the caller's groups",
        "status",
        nothing,
        lambda _, e: bool(_foreign_groups(e)),
        "the caller may have none",
    )
    yield Attack(
        "K07-filter",
        "run without a system call filter",
        "status",
        nothing,
        lambda _, e: e["Seccomp"] == ["0"],
        "a container may have a filter of its own",
    )
    yield Attack(
        "E09-host-name", "change the host's name", "host_name", nothing, lambda _, e: e["set"] == "done", "root"
    )


def _may_gain_privileges(_world: World, evidence: Any) -> bool:
    return evidence["NoNewPrivs"] != ["1"]


def _has_capabilities(_world: World, evidence: Any) -> bool:
    held = {evidence[name][0] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    return not held <= _WITH_CAPABILITIES or evidence["CapBnd"] != ["0000000000000000"]


def _foreign_groups(evidence: Any) -> set[str]:
    return set(evidence["Groups"]) - set(evidence["Gid"])


KERNEL_ATTACKS = (*_kernel_file_attacks(), *_namespace_attacks(), *_system_call_attacks())
