"""Attacks on the kernel's own files, mounts, namespaces and system calls: families F, G and K."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...protections import Protection
from ..attack import Attack, changed, done, fixed_paths, leaks, no_arguments
from ..world.janitor import library
from ..world.world import TEXT, World

__all__ = ["KERNEL_ATTACKS"]

_DEVICES = "null zero full random urandom tty fd stdin stdout stderr ptmx pts shm".split()
_CORE_PATTERN = "/proc/sys/kernel/core_pattern"
_FOR_WRITING = {
    "F02-settings": (
        "open kernel settings for writing",
        "/proc/sys/vm/overcommit_memory /proc/sys/fs/suid_dumpable /proc/sys/kernel/hostname /sys/power/state",
    ),
    "F03-helpers": (
        "open for writing what makes the kernel run something",
        "/proc/sysrq-trigger /proc/sys/kernel/modprobe /sys/kernel/uevent_helper",
    ),
    "F09-formats": ("open the kernel's list of program formats for writing", "/proc/sys/fs/binfmt_misc/register"),
}
_WITH_CAPABILITIES = {"0000000000000000", "000000000000000a"}  # none, or DAC_OVERRIDE and FOWNER


def _kernel_file_attacks() -> Iterable[Attack]:
    yield Attack(
        "F01-core-pattern", "write core_pattern", "rewrite", lambda _: {"path": _CORE_PATTERN}, done, root=True
    )
    for name, (tries, files) in _FOR_WRITING.items():
        unless = "" if name == "F02-settings" else "a kernel may lack them"
        yield Attack(name, tries, "open_for_writing", fixed_paths(files.split()), done, unless, root=True)
    no_groups = "a host may show no control groups that can be written to"
    yield Attack(
        "F04-control-groups",
        "leave or change its control group",
        "open_for_writing",
        _cgroups,
        done,
        no_groups,
        root=True,
    )
    logs = ("/dev/kmsg", "/proc/kcore")
    yield Attack(
        "F05-files", "open the kernel's log and memory", "open_for_reading", fixed_paths(logs), done, root=True
    )
    yield Attack("F05-syslog", "ask the kernel for its log", "kernel_log", no_arguments, done, root=True)
    yield Attack("F06-disks", "open a disk", "open_for_reading", _disks, done, "a host may show no disk", root=True)
    yield Attack(
        "F07-devices",
        "find other devices than the harmless ones",
        "devices",
        lambda _: {"allowed": _DEVICES},
        # "core" is a link to /proc/kcore, not a device. F05-files attacks its target.
        lambda _, evidence: bool(set(evidence["others"]) - {"core"}),
        "a container may show no others",
        harmless=True,
    )
    yield Attack(
        "F08-node",
        "make a device node in the source tree",
        "device_node",
        lambda w: {"path": str(w.tree / "node"), "major": 7, "minor": 0},
        lambda w, _: (w.tree / "node").exists(),
        root=True,
    )


def _disks(_world: World) -> dict[str, Any]:
    return {"paths": [str(path) for path in Path("/dev").glob("*") if path.is_block_device()]}


def _cgroups(_world: World) -> dict[str, Any]:
    names = ("cgroup.procs", "cgroup.subtree_control", "*/release_agent", "*/cgroup.procs")
    return {"paths": sorted(str(path) for name in names for path in Path("/sys/fs/cgroup").glob(name))[:8]}


def _namespace_attacks() -> Iterable[Attack]:
    without = "a host may forbid user namespaces"
    yield Attack(
        "G04-user-namespace", "enter a user namespace", "new_user_namespace", no_arguments, done, without, harmless=True
    )
    tries = "make a user namespace by clone3"
    yield Attack("K10-clone3", tries, "cloned_namespace", no_arguments, done, without, harmless=True)
    # Not harmless: without user namespaces, root mounts on the host for a moment.
    yield Attack("G03-mount", "mount, by old and new calls", "mount_over", _mountpoint, done, without)
    yield Attack("G01-unmount", "unmount", "unmount", _mountpoint, done, without, harmless=True)
    yield Attack("G01-unmount-tree", "unmount the source tree", "unmount", _tree, done, without, harmless=True)
    yield Attack(
        "G02-remount",
        "make the build environment writable again",
        "write_after_remount",
        lambda w: {"directory": str(w.env / "lib"), "path": w.path_to_create(w.env / "lib"), "text": TEXT},
        changed(lambda w: w.env / "lib" / f"isolated-hooks-written-{w.random}"),
        harmless=True,
        stopped=(Protection.FILESYSTEM,),
    )
    tries = "see mounts that the host makes later, or show it its own"
    private = "the mounts of a container are often private"
    yield Attack(
        "G09-propagation", tries, "propagation", no_arguments, lambda _, e: bool(e["shared"]), private, harmless=True
    )


def _escape_attacks() -> Iterable[Attack]:
    yield Attack(
        "G05-chroot",
        "leave the root by chroot and an open directory",
        "change_root",
        lambda w: {"directory": str(w.tree / "mountpoint"), "outside": str(w.home / ".netrc")},
        leaks("A01/.netrc"),
        harmless=True,
        stopped=(Protection.FILESYSTEM,),
    )
    yield Attack(
        "G06-old-root",
        "find the host's root where it was left",
        "old_roots",
        lambda w: {"names": ["", "/..", "/oldroot", "/.old", "/proc/1/root", "/mnt"], "path": str(w.home / ".netrc")},
        leaks("A01/.netrc"),
        harmless=True,
    )
    yield Attack(
        "G07-setns",
        "enter another process's mount namespace",
        "enter_mount_namespace",
        lambda w: {"pid": w.victim.pid, "path": str(w.home / ".netrc")},
        leaks("A01/.netrc"),
        harmless=True,
        stopped=(Protection.FILESYSTEM,),
    )
    yield Attack(
        "K05-handle",
        "open a file by its handle",
        "file_handle",
        lambda w: {**_handle(w.home / ".netrc"), "directory": str(w.tree)},
        leaks("A01/.netrc"),
        "a filesystem may have no handles",
        root=True,
        harmless=True,
    )
    yield Attack(
        "A10-keyring",
        "read a key of the caller's session keyring",
        "session_key",
        lambda w: {"description": w.ipc.key_name},
        leaks("key"),
        "a host may have no keyrings",
        harmless=True,
    )


def _system_call_attacks() -> Iterable[Attack]:
    lacks = "a kernel may lack or forbid it"
    calls = {
        "K02-io-uring": ("ring", "use io_uring"),
        "K03-userfaultfd": ("page_faults", "use userfaultfd"),
        "K04-bpf": ("programs", "use bpf"),
        "K04-perf": ("performance_counters", "count events of the processor"),
    }
    for name, (probe, tries) in calls.items():
        yield Attack(name, tries, probe, no_arguments, done, lacks, harmless=True)
    tries, unless = "gain privileges by exec", "a container may forbid it already"
    yield Attack("K07-new-privileges", tries, "status", no_arguments, _may_gain_privileges, unless, harmless=True)
    tries, unless = "have capabilities", "a container may have none"
    yield Attack("K08-capabilities", tries, "status", no_arguments, _has_capabilities, unless, harmless=True)
    identity = (Protection.IDENTITY,)
    yield Attack(
        "K08-root", "become root", "become_root", no_arguments, done, root=True, harmless=True, stopped=identity
    )
    yield Attack(
        "K08-groups",
        "keep the caller's groups",
        "status",
        no_arguments,
        lambda _, e: bool(set(e["Groups"]) - set(e["Gid"])),
        "the caller may have none",
        harmless=True,
        stopped=identity,
    )
    yield Attack(
        "K07-filter",
        "run without a system call filter",
        "status",
        no_arguments,
        lambda _, e: e["Seccomp"] == ["0"],
        "a container may have a filter of its own",
        harmless=True,
        stopped=(Protection.SYSCALLS,),
    )
    hostname = (Protection.HOSTNAME, Protection.PRIVILEGES)
    tries = "change the host's name"
    yield Attack("E09-host-name", tries, "host_name", no_arguments, _name_was_set, root=True, stopped=hostname)


def _mountpoint(world: World) -> dict[str, Any]:
    return {"directory": str(world.tree / "mountpoint")}


def _tree(world: World) -> dict[str, Any]:
    return {"directory": str(world.tree)}


def _handle(path: Path) -> dict[str, Any]:
    """Return the type and the bytes of a file's handle, name_to_handle_at(2)."""
    buffer = (ctypes.c_ubyte * 136)(128)
    mount = ctypes.c_int()
    if library().name_to_handle_at(-100, os.fsencode(path), buffer, ctypes.byref(mount), 0) != 0:
        return {"kind": 0, "handle": ""}
    data = bytes(buffer)
    size = int.from_bytes(data[:4], sys.byteorder)
    return {"kind": int.from_bytes(data[4:8], sys.byteorder), "handle": data[8 : 8 + size].hex()}


def _name_was_set(_world: World, evidence: Any) -> bool:
    return bool(evidence["set"] == "done")


def _may_gain_privileges(_world: World, evidence: Any) -> bool:
    return bool(evidence["NoNewPrivs"] != ["1"])


def _has_capabilities(_world: World, evidence: Any) -> bool:
    held = {evidence[name][0] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    # A process without capabilities cannot empty the bounding set. It need not: the set only limits what exec grants.
    may_gain = evidence["CapBnd"] != ["0000000000000000"] and evidence["NoNewPrivs"] != ["1"]
    return may_gain or not held <= _WITH_CAPABILITIES


KERNEL_ATTACKS = (*_kernel_file_attacks(), *_namespace_attacks(), *_escape_attacks(), *_system_call_attacks())
