"""The first process of a machine that we boot: it runs the tests as root and as an ordinary user, and switches off.

Nothing else of the tests is in the machine. It writes one JSON document to its second disk, behind eight bytes that
tell its length. ``/run/guest/job.json`` says what to set up.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

_JOB = Path("/run/guest/job.json")
_POWER_OFF = 0x4321FEDC  # reboot(2), LINUX_REBOOT_CMD_POWER_OFF
_MOUNTS = (
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("tmpfs", "/tmp", "mode=1777"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("devpts", "/dev/pts", "mode=620,ptmxmode=666"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("securityfs", "/sys/kernel/security", ""),
    ("mqueue", "/dev/mqueue", ""),
)
_USERS = {"root": (0, "/root"), "ordinary": (1000, "/home/builder")}
_PACKAGE = ("/usr/bin/python3", "-I", "-m", "isolated_hooks")


def main() -> None:
    """Run everything. Only the first process of a machine may: it sets the machine up and switches it off."""
    if os.getpid() != 1:
        sys.exit("this is the first process of a machine, and nothing else")
    try:
        child = os.fork()
        if child == 0:
            os.setsid()
            _work()
            os._exit(0)
        while os.wait()[0] != child:
            pass  # what the tests have left behind
    finally:
        os.sync()
        ctypes.CDLL(None).reboot(_POWER_OFF)


def _work() -> None:
    try:
        found = _found(json.loads(_JOB.read_text()))
    except BaseException:
        found = {"crashed": traceback.format_exc()}
    content = json.dumps(found).encode()
    with open(json.loads(_JOB.read_text())["ledger"], "r+b", buffering=0) as ledger:
        ledger.write(len(content).to_bytes(8, "big") + content)
        os.fsync(ledger.fileno())


def _found(job: dict[str, Any]) -> dict[str, Any]:
    _mount_all()
    problems = [*_set(job["settings"]), *_load(job["profile"])]
    return {
        "release": os.uname().release,
        "machine": os.uname().machine,
        "problems": problems,
        "modules": _text("/sys/kernel/security/lsm"),
        "users": {name: _tried(*user) for name, user in _USERS.items()},
    }


def _mount_all() -> None:
    for kind, place, options in _MOUNTS:
        if not os.path.ismount(place):
            os.makedirs(place, exist_ok=True) if not place.startswith("/sys/") else None
            subprocess.run(["mount", "-t", kind, *(("-o", options) if options else ()), kind, place])


def _set(settings: dict[str, str]) -> list[str]:
    """Write values below this machine's own /proc/sys, and return those that it does not have."""
    problems = []
    for name, value in settings.items():
        try:
            Path("/proc/sys", name).write_text(value)
        except OSError as error:
            problems.append(f"{name} cannot be set: {error.strerror}")
    return problems


def _load(profile: str) -> list[str]:
    """Load a profile of AppArmor, and return the problem if there is one."""
    if not profile:
        return []
    done = subprocess.run(["apparmor_parser", "--replace"], input=profile, capture_output=True, text=True)
    return [f"AppArmor: {done.stderr}"] if done.returncode else []


def _tried(uid: int, home: str) -> dict[str, Any]:
    doctor = _run(uid, home, "doctor", "--json")
    tried = {"doctor": doctor, "selftest": _run(uid, home, "selftest", "--json")}
    if not (doctor["document"] or {}).get("runs"):
        weaker = ("--allow-degraded", "no-namespaces")
        tried["weaker"] = _run(uid, home, "selftest", "--json", *weaker)
    return tried


def _run(uid: int, home: str, *arguments: str) -> dict[str, Any]:
    environ = {"HOME": home, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [*_PACKAGE, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=home,
        env=environ,
        user=uid,
        group=uid,
        extra_groups=[],
    )
    try:
        document = json.loads(done.stdout)
    except ValueError:
        document = None
    return {"code": done.returncode, "document": document, "stderr": done.stderr[-4000:]}


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
