"""What a sandbox costs a hook: the same call bare, in our sandbox, and under bubblewrap with the same binds.

One run measures all of them in turn, so that a machine whose speed drifts slows them alike; quote the ratios. Needs
``bwrap`` on PATH for the last column and setuptools 70.1 or newer beside isolated-hooks for the second hook::

    python benchmarks/hook_call.py -n 20
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyproject_hooks

from isolated_hooks import IsolatedRunner, Policy
from isolated_hooks.hookcall import HookCall
from isolated_hooks.plan import Layout, Plan
from isolated_hooks.plan.planner import plan_hook
from isolated_hooks.run.situation import situation_of
from isolated_hooks.sandbox.operations import Bind, Proc, Scratch, Symlink

BACKEND = "def get_requires_for_build_wheel(config_settings=None):\n    return []\n"
SETUPTOOLS = '[project]\nname = "measured"\nversion = "1.0"\n'


def quiet(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    """Run a command without its output."""
    environ = {**os.environ, **(extra_environ or {})}
    subprocess.run(cmd, cwd=cwd, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def bubblewrap(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    """Run a hook under bwrap with the binds that our plan for it has, which the first call of a hook makes."""
    call = HookCall.parse(cmd, cwd)
    key = (call.hook, call.source_dir)
    if key not in _binds:
        nowhere = Layout("/nonexistent", "/nonexistent", "/nonexistent", "/nonexistent", "/nonexistent")
        plan = plan_hook(call, Policy(), situation_of(call.source_dir, Policy()), nowhere, extra_environ or {})
        _binds[key] = [*binds(plan)]
    own = [path for path in (call.control_dir, call.output_directory) if path is not None]
    arguments = ["--unshare-all", "--die-with-parent", "--new-session", *_binds[key]]
    arguments += [word for path in own for word in ("--bind", path, path)]
    quiet(["bwrap", *arguments, "--chdir", call.source_dir, *cmd], None, extra_environ)


_binds: dict[tuple[str, str], list[str]] = {}


def binds(plan: Plan) -> Iterator[str]:
    """Yield a plan's operations as bwrap takes them."""
    yield from ("--dev", "/dev")
    for operation in plan.operations:
        if isinstance(operation, Scratch):
            for path, _ in operation.targets:
                yield from ("--tmpfs", path)
        elif isinstance(operation, Proc):
            yield from ("--proc", operation.target)
        elif isinstance(operation, Symlink) and not operation.target.startswith("/dev/"):
            yield from ("--symlink", operation.destination, operation.target)
        elif isinstance(operation, Bind) and not operation.device and os.path.exists(operation.source):
            yield from ("--bind" if operation.writable else "--ro-bind", operation.source, operation.target)


@dataclasses.dataclass(frozen=True)
class Hook:
    """A hook to measure."""

    name: str
    backend: str
    backend_path: list[str] | None
    file: str
    text: str
    call: Callable[[pyproject_hooks.BuildBackendHookCaller, str], object]


HOOKS = (
    Hook("in-tree get_requires_for_build_wheel", "measured", ["."], "measured.py", BACKEND,
         lambda caller, _: caller.get_requires_for_build_wheel()),
    Hook("setuptools build_wheel", "setuptools.build_meta", None, "pyproject.toml", SETUPTOOLS,
         lambda caller, output: caller.build_wheel(output)),
)  # fmt: skip


def measure(hook: Hook, runners: Mapping[str, object], count: int, directory: Path) -> dict[str, list[float]]:
    """Return the seconds of each call by runner, the runners in turn, after one round that is not counted."""
    source, output = directory / "source", directory / "output"
    source.mkdir()
    output.mkdir()
    (source / hook.file).write_text(hook.text)
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(count + 1):
        for name, runner in runners.items():
            caller = pyproject_hooks.BuildBackendHookCaller(str(source), hook.backend, hook.backend_path, runner)
            began = time.perf_counter()
            hook.call(caller, str(output))
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=20, metavar="COUNT", help="calls to count (default: %(default)s)")
    count = parser.parse_args().n
    runners: dict[str, object] = {"bare": quiet, "isolated-hooks": IsolatedRunner(inner=quiet)}
    if shutil.which("bwrap"):
        runners["bwrap"] = bubblewrap
    else:
        print("bwrap is not installed: its rows are left out", file=sys.stderr)
    for hook in HOOKS:
        with tempfile.TemporaryDirectory() as directory:
            seconds = measure(hook, runners, count, Path(directory))
        print(f"{hook.name}, {count} calls")
        for name, values in seconds.items():
            ratios = [value / bare for value, bare in zip(values, seconds["bare"], strict=True)]
            low, middle, high = (1000 * f(values) for f in (min, statistics.median, max))
            ratio = f"x{statistics.median(ratios):.2f}"
            print(f"  {name:15} median {middle:7.1f} ms  (min {low:.1f}, max {high:.1f})  {ratio} of bare")


if __name__ == "__main__":
    main()
