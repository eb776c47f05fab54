"""Many hooks in a row and many at once, and what the frontend has afterwards that it had not before.

Prints, before and after: descriptors, resident memory, threads, processes, mounts, namespaces, inodes and blocks of the
file system of temporary files, workspaces, cgroups, and locks of uids. Everything but the memory has to be equal::

    python benchmarks/soak.py -n 1000 --at-once 32

The same code is run with smaller numbers by tests/attacks/lifecycle/test_leftovers.py.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.sandbox.status import read_status

BACKEND = """
import os
def get_requires_for_build_wheel(config_settings=None):
    for number in range(20):
        open(os.path.join(os.environ["TMPDIR"] if "TMPDIR" in os.environ else "/tmp", str(number)), "w").close()
    if os.fork() == 0:
        os.setsid()
        __import__("time").sleep(600)
    print("a line of output")
    return []
"""


_cgroups: set[str] = set()


def quiet(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    """A frontend's runner that captures the output, and takes down which cgroups there may be of the call."""
    environ = {**os.environ, **(extra_environ or {})}
    subprocess.run(cmd, cwd=cwd, env=environ, check=True, capture_output=True)
    workspace = cmd[cmd.index("--") - 1]
    _cgroups.update(map(os.fsdecode, read_status(f"{workspace}/status").get("cgroups", ())))


def used(temporary: Path) -> dict[str, int]:
    """Return how much this process and its host have of each thing that a hook call could leave behind.

    :param temporary: where temporary files go; of the host's things only those are counted that name it, and the
        cgroups of the calls that were made here: others may make calls on this host too
    """
    gc.collect()
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    named = [pid for pid in os.listdir("/proc") if pid.isdigit() and pid != str(os.getpid()) and _names(pid, temporary)]
    # Those of a sandbox: other programs on this host mount things too.
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = [line for line in lines if " - tmpfs root " in line or os.fspath(temporary) in line]
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": int(status["Threads"]),
        "children": len(_children()),
        "processes": len(named),
        "mounts": len(mounts),
        "namespaces": len({os.readlink(path) for path in Path("/proc/self/ns").iterdir()}),
        "files": sum(len(names) + len(files) for _, names, files in os.walk(temporary)),
        "cgroups": sum(map(os.path.exists, _cgroups)),
        "resident KiB": int(status["VmRSS"].split()[0]),
    }


def _children() -> list[str]:
    return [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def _names(pid: str, temporary: Path) -> bool:
    try:
        return os.fsencode(temporary) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def locks() -> set[str]:
    """Return the throw-away uids that are taken on this host, by whomever."""
    words = Path("/proc/net/unix").read_text().split()
    return {word for word in words if word.startswith("@isolated-hooks/uid")}


def soak(count: int, at_once: int, source: Path, policy: Policy) -> None:
    """Call a hook so many times, so many of them at once."""

    def call(_: int) -> None:
        caller = IsolatedHookCaller(os.fspath(source), "backend", ["."], quiet, policy=policy)
        assert caller.get_requires_for_build_wheel() == []

    if at_once == 1:
        for number in range(count):
            call(number)
        return
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(call, range(count)))


def make_source(directory: Path) -> Path:
    """Write the source tree."""
    directory.mkdir()
    (directory / "backend.py").write_text(BACKEND)
    (directory / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "backend"\n')
    return directory


def differences(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return what is not as before; memory is not compared, an interpreter keeps what it has once had."""
    names = before.keys() - {"resident KiB"}
    return {name: (before[name], after[name]) for name in sorted(names) if before[name] != after[name]}


def main() -> int:
    """Run it and return 1 where anything is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-n", type=int, default=1000, help="calls in a row")
    parser.add_argument("--at-once", type=int, default=32, help="calls at once, four rounds of them")
    parser.add_argument(
        "--memory", action="store_true", help="with a limit of memory, so with a cgroup where it can be"
    )
    options = parser.parse_args()
    policy = Policy(limits={"memory": 2**30}) if options.memory else Policy()
    failed = 0
    with tempfile.TemporaryDirectory() as base:
        temporary = Path(base) / "tmp"
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = os.fspath(temporary)
        source = make_source(Path(base) / "source")
        soak(options.at_once, options.at_once, source, policy)  # what is kept for later calls is kept by now
        for count, at_once in ((options.n, 1), (4 * options.at_once, options.at_once)):
            before, taken, began = used(temporary), locks(), time.monotonic()
            soak(count, at_once, source, policy)
            seconds, after = time.monotonic() - began, used(temporary)
            print(f"{count} calls, {at_once} at once, in {seconds:.0f} s: {1000 * seconds / count:.0f} ms each")
            for name in before:
                print(f"  {name:14} {before[name]:8} {after[name]:8}")
            print(f"  {'locks of uids':14} {len(taken):8} {len(locks()):8} (of the whole host)")
            failed += len(differences(before, after))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
