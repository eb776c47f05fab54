"""Limits: each ends the hook or makes its call fail, the error names the limit, and nothing is left."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.lanes import first_fast
from support.projects import CLI, WHEEL, WITH_PYTHON, caller, command, facts, nothing_left, run_text, write_project

from isolated_hooks import (
    HookKilledError,
    HookProcessError,
    HookTimeoutError,
    IsolatedHookCaller,
    Limits,
    Policy,
    UntrustedResultError,
)
from isolated_hooks.run import trial
from isolated_hooks.sandbox import cgroup

pytestmark = pytest.mark.usefixtures("sandbox")


def limited(
    code: str, tmp_path: Path, runner: Any = pyproject_hooks.quiet_subprocess_runner, **limits: Any
) -> IsolatedHookCaller:
    """Return a caller of a project whose first hook runs some code under limits."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    extra = f"import errno, signal\ndef get_requires_for_build_wheel(_=None):\n{body}\n    return []\n"
    project = write_project(tmp_path / "project", extra=extra)
    return caller(project, Policy(limits=Limits(**limits)), runner=runner)


def test_a_hook_within_its_limits_is_not_disturbed(tmp_path: Path) -> None:
    limits = {"wall_time": 300, "cpu_time": 300, "file_size": 10**6, "open_files": 256, "processes": 100}
    hooks = limited("subprocess.run(['true'], check=True)", tmp_path, **limits, temp_size=10**7, output_size=10**6)
    assert hooks.get_requires_for_build_wheel() == []
    assert hooks.build_wheel(os.fspath(tmp_path / "out")) == WHEEL


def test_wall_time(tmp_path: Path) -> None:
    # A child in another session gets SIGTERM, and ends, too.
    code = "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\ntime.sleep(600)"
    hooks = limited(code, tmp_path, wall_time=0.5)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError, match=r"0\.5 seconds.*wall_time") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.seconds) == ("wall_time", 0.5)
    assert "wall_time" in hooks.reports[0].error


@pytest.mark.slow
def test_wall_time_lets_a_hook_clean_up_first(tmp_path: Path) -> None:
    code = "signal.signal(15, lambda *_: (tell(asked=True), sys.exit(1)))\ntime.sleep(600)"
    hooks = limited(code, tmp_path, wall_time=3)
    with pytest.raises(HookTimeoutError):
        hooks.get_requires_for_build_wheel()
    assert facts(tmp_path / "project") == [{"asked": True}]


@pytest.mark.slow
def test_wall_time_ends_processes_that_ignore_signals(tmp_path: Path) -> None:
    code = "for n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nos.fork()\nwhile True: time.sleep(600)"
    hooks = limited(code, tmp_path, wall_time=0.5)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError):
        hooks.get_requires_for_build_wheel()


@pytest.mark.slow
def test_wall_time_is_an_error_even_if_the_hook_then_succeeds(tmp_path: Path) -> None:
    code = "signal.signal(15, lambda *_: tell(asked=True))\ntime.sleep(1.5)"
    hooks = limited(code, tmp_path, wall_time=0.5)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError):
        hooks.get_requires_for_build_wheel()


def test_cpu_time(tmp_path: Path) -> None:
    hooks = limited("while True: pass", tmp_path, cpu_time=1)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError, match="cpu_time") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.seconds, caught.value.returncode) == ("cpu_time", 1, -24)


@pytest.mark.slow
def test_cpu_time_of_a_process_that_ignores_its_signal(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    hooks = limited(code, tmp_path, cpu_time=1)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError, match="cpu_time") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.seconds) == ("cpu_time", 1)


@pytest.mark.parametrize("place", ["HERE", "'/tmp'"])
def test_file_size(place: str, tmp_path: Path) -> None:
    # Python ignores SIGXFSZ and gets EFBIG instead; the signal would end a compiler.
    code = f"""
path = os.path.join({place}, "large")
try:
    with open(path, "wb") as file:
        file.write(bytes(2000))
except OSError as error:
    tell(errno=errno.errorcode[error.errno], size=os.path.getsize(path))
"""
    hooks = limited(code, tmp_path, file_size=1000)
    hooks.get_requires_for_build_wheel()
    assert facts(tmp_path / "project") == [{"errno": "EFBIG", "size": 1000}]


def test_file_size_kills_a_hook_that_does_not_ignore_the_signal(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nopen(HERE + '/large', 'wb').write(bytes(2000))"
    hooks = limited(code, tmp_path, file_size=1000)
    with nothing_left(tmp_path), pytest.raises(HookKilledError, match="file_size") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.value) == ("file_size", 1000)


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm", "/run", "HOME"])
def test_all_temporary_directories_share_temp_size(place: str, tmp_path: Path) -> None:
    code = f"""
place = os.environ.get({place!r}, {place!r})
try:
    for number in range(8):
        with open(f"{{place if number % 2 else '/tmp'}}/{{number}}", "wb") as file:
            file.write(bytes(2**20))
except OSError as error:
    tell(errno=errno.errorcode[error.errno], number=number)
"""
    hooks = limited(code, tmp_path, temp_size=4 * 2**20)
    hooks.get_requires_for_build_wheel()
    (hook_facts,) = facts(tmp_path / "project")
    assert hook_facts["errno"] == "ENOSPC"
    assert 2 <= hook_facts["number"] <= 4


def test_output_size(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    hooks = limited("pass", tmp_path, output_size=100)
    with nothing_left(tmp_path), pytest.raises(UntrustedResultError, match="100"):
        hooks.build_wheel(os.fspath(out))
    with nothing_left(tmp_path), pytest.raises(UntrustedResultError):
        limited("pass", tmp_path, output_size=50).prepare_metadata_for_build_wheel(os.fspath(out))
    assert os.listdir(out) == []


def test_open_files(tmp_path: Path) -> None:
    code = """
held = []
try:
    while len(held) < 1000: held.append(open("/dev/null"))
except OSError as error:
    number = error.errno
count = len(held)
del held
tell(errno=errno.errorcode[number], below=count < 40)
"""
    limited(code, tmp_path, open_files=40).get_requires_for_build_wheel()
    assert facts(tmp_path / "project") == [{"errno": "EMFILE", "below": True}]


def test_processes(tmp_path: Path) -> None:
    code = """
held = []
try:
    while len(held) < 100: held.append(subprocess.Popen(["sleep", "600"]))
except OSError as error:
    tell(errno=errno.errorcode[error.errno], below=len(held) < 30)
"""
    hooks = limited(code, tmp_path, processes=30)
    with nothing_left(tmp_path):
        hooks.get_requires_for_build_wheel()
    assert facts(tmp_path / "project") == [{"errno": "EAGAIN", "below": True}]


def test_a_core_is_never_dumped(tmp_path: Path) -> None:
    # This holds for any limit of the caller, because a handler in core_pattern would run as the host's root.
    hooks = limited("import resource\ntell(core=resource.getrlimit(resource.RLIMIT_CORE))\nos.abort()", tmp_path)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        hooks.get_requires_for_build_wheel()
    assert caught.value.returncode == -6
    (hook_facts,) = facts(tmp_path / "project")
    assert hook_facts["core"] in ([0, 0], [1, 1])  # soft and hard limit; -1 would be unlimited


def captured(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    """A frontend's runner that captures stdout and stderr separately, and puts them into its error."""
    environ = {**os.environ, **(extra_environ or {})}
    subprocess.run(cmd, cwd=cwd, env=environ, capture_output=True, check=True)


def test_idle_time(tmp_path: Path) -> None:
    # Only output counts: the hook is busy all the time.
    hooks = limited("print('begun', flush=True)\nwhile True: pass", tmp_path, idle_time=1)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError, match=r"1 seconds.*idle_time") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.seconds, caught.value.returncode) == ("idle_time", 1.0, -15)


@pytest.mark.slow
@pytest.mark.parametrize("stream", first_fast(["stdout", "stderr"]))
@pytest.mark.parametrize("target", first_fast(["pipe", "file", "null"]))
def test_a_hook_that_prints_now_and_then_is_not_idle(stream: str, target: str, tmp_path: Path) -> None:
    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        with open(os.devnull if target == "null" else tmp_path / "log", "wb") as file:
            out: Any = subprocess.PIPE if target == "pipe" else file
            subprocess.run(cmd, cwd=cwd, env=environ, stdout=out, stderr=out, check=True)

    code = f"for _ in range(20):\n    time.sleep(0.25)\n    print('.', file=sys.{stream}, flush=True)"
    hooks = limited(code, tmp_path, runner=runner, idle_time=3)
    assert hooks.get_requires_for_build_wheel() == []


@pytest.mark.slow
def test_a_hook_that_waits_for_its_reader_is_not_idle(tmp_path: Path) -> None:
    """The frontend pauses for longer than the limit, while the hook prints more than a pipe holds."""

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        with subprocess.Popen(cmd, cwd=cwd, env=environ, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            time.sleep(2.5)
            read.append(process.stdout.read())
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, cmd)

    read: list[bytes] = []
    project = write_project(
        tmp_path / "project", extra="def get_requires_for_build_wheel(_=None):\n    print('x' * 10**6)\n    return []\n"
    )
    hooks = caller(project, Policy(limits=Limits(idle_time=1)), runner=runner)
    assert hooks.get_requires_for_build_wheel() == []
    assert read == [b"x" * 10**6 + b"\n"]


@pytest.mark.parametrize("size", [100, 65536, 65537, 1_000_000])
def test_the_output_of_a_hook_arrives_unchanged(size: int, tmp_path: Path) -> None:
    code = f"""
data = bytes(n * 7 % 256 for n in range({size}))
for stream, step in ((sys.stdout, 1021), (sys.stderr, 17 if {size} < 10**5 else 40009)):
    for start in range(0, {size}, step):
        stream.buffer.write(data[start : start + step])
        stream.buffer.flush()
    os.write(stream.fileno(), b"end")
"""
    outputs: list[tuple[bytes, bytes]] = []

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        done = subprocess.run(cmd, cwd=cwd, env=environ, capture_output=True, check=True)
        outputs.append((done.stdout, done.stderr))

    body = "\n".join(f"    {line}" for line in code.splitlines())
    project = write_project(
        tmp_path / "project", extra=f"def get_requires_for_build_wheel(_=None):\n{body}\n    return []"
    )
    caller(project, runner=runner).get_requires_for_build_wheel()
    data = bytes(n * 7 % 256 for n in range(size)) + b"end"
    assert outputs == [(data, data)]


def test_unread_output_fits_as_without_the_sandbox(tmp_path: Path) -> None:
    """The frontend waits for the end before it reads. A pipe holds sixty thousand bytes in writes of one byte."""

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        with subprocess.Popen(cmd, cwd=cwd, env=environ, stdout=subprocess.PIPE) as process:
            assert process.wait(60) == 0
            assert process.stdout is not None
            read.append(process.stdout.read())

    read: list[bytes] = []
    extra = "def get_requires_for_build_wheel(_=None):\n    for _ in range(60000): os.write(1, b'x')\n    return []\n"
    hooks = caller(write_project(tmp_path / "project", extra=extra), runner=runner)
    assert hooks.get_requires_for_build_wheel() == []
    assert read == [b"x" * 60000]


def test_a_hook_gets_sigpipe_if_its_reader_has_closed_the_pipe(tmp_path: Path) -> None:
    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        with subprocess.Popen(cmd, cwd=cwd, env=environ, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            process.stdout.close()
        codes.append(process.returncode)

    codes: list[int] = []
    ends = "import signal\n    signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n    os.execvp('yes', ['yes'])\n"
    extra = f"def get_requires_for_build_wheel(_=None):\n    {ends}"
    hooks = caller(write_project(tmp_path / "project", extra=extra), runner=runner)
    with pytest.raises(HookProcessError):
        hooks.get_requires_for_build_wheel()
    assert codes == [-13]


def test_wall_time_applies_if_nobody_reads_the_output(tmp_path: Path) -> None:
    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(extra_environ or {})}
        with subprocess.Popen(cmd, cwd=cwd, env=environ, stdout=subprocess.PIPE) as process:
            process.wait(60)

    extra = "def get_requires_for_build_wheel(_=None):\n    os.execvp('yes', ['yes'])\n"
    hooks = caller(write_project(tmp_path / "project", extra=extra), Policy(limits=Limits(wall_time=1)), runner=runner)
    with pytest.raises(HookTimeoutError, match="wall_time"):
        hooks.get_requires_for_build_wheel()


@pytest.mark.parametrize("where", first_fast(["os.write(1, bytes(65536))", "os.write(2, b'x')", "os.system('yes')"]))
def test_log_size(where: str, tmp_path: Path) -> None:
    hooks = limited(f"while True: {where}", tmp_path, log_size=100_000)
    with nothing_left(tmp_path), pytest.raises(HookKilledError, match=r"log_size.*100000") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.value, caught.value.returncode) == ("log_size", 100_000, -9)


@pytest.mark.slow
def test_cpu_time_of_many_processes(tmp_path: Path) -> None:
    """No single process comes near the limit, because each works only for a moment."""
    code = """
while True:
    if os.fork() == 0:
        end = time.process_time() + 0.2
        while time.process_time() < end: pass
        os._exit(0)
    os.wait()
"""
    hooks = limited(code, tmp_path, cpu_time=1)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError, match="cpu_time") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.seconds, caught.value.returncode) == ("cpu_time", 1, -15)


EATERS = {
    "one process": "held = bytearray(400 * 2**20)\nfor n in range(0, len(held), 4096): held[n] = 1\ntime.sleep(600)",
    "many": """
for _ in range(8):
    if os.fork() == 0:
        held = bytearray(50 * 2**20)
        for n in range(0, len(held), 4096): held[n] = 1
        time.sleep(600)
for _ in range(8): os.wait()
sys.exit(3)
""",
    "shared": """
import mmap
held = mmap.mmap(-1, 400 * 2**20)
for n in range(0, len(held), 4096): held[n] = 1
time.sleep(600)
""",
}


def has_cgroup() -> bool:
    return bool(trial.facts()["memory cgroup"][0])


@pytest.mark.parametrize("eater", EATERS)
def test_memory(eater: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cgroup, the kernel kills a process. Without, RLIMIT_DATA refuses memory, or the watching process acts."""
    hooks = limited(EATERS[eater], tmp_path, memory=200 * 2**20)
    paths = removed_cgroups(monkeypatch)
    with nothing_left(tmp_path), pytest.raises(subprocess.CalledProcessError) as caught:
        hooks.get_requires_for_build_wheel()
    if has_cgroup() or eater != "one process":
        assert isinstance(caught.value, HookKilledError)
        assert (caught.value.limit, caught.value.value) == ("memory", 200 * 2**20)
        assert "memory" in hooks.reports[0].error
    assert paths or not has_cgroup()
    assert [path for path in paths if os.path.exists(path)] == []


def removed_cgroups(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list to which the calls of this test add the path of each cgroup that they remove."""
    paths: list[bytes] = []
    remove = cgroup.remove
    monkeypatch.setattr(cgroup, "remove", lambda path: (paths.append(path), remove(path)))
    return paths


@pytest.mark.slow
def test_memory_that_is_shared_is_counted_once(tmp_path: Path) -> None:
    code = """
held = bytearray(80 * 2**20)
for n in range(0, len(held), 4096): held[n] = 1
for _ in range(8):
    if os.fork() == 0:
        sum(held[n] for n in range(0, len(held), 4096))
        time.sleep(2)
        os._exit(0)
for _ in range(8): os.wait()
"""
    limited(code, tmp_path, memory=250 * 2**20).get_requires_for_build_wheel()


@pytest.mark.parametrize("place", ["staging", "control"])
def test_output_size_while_the_hook_runs(place: str, tmp_path: Path) -> None:
    where = "wheel_directory" if place == "staging" else "sys.argv[2]"
    extra = f"""
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    os.makedirs({where} + "/a/b")
    os.chdir({where} + "/a/b")
    for number in range(40):
        with open(str(number), "wb") as file: file.write(bytes(2**20))
    time.sleep(600)
"""
    project = write_project(tmp_path / "project", extra=extra)
    out = tmp_path / "out"
    out.mkdir()
    hooks = caller(project, Policy(limits=Limits(output_size=2**20)), runner=captured)
    with nothing_left(tmp_path), pytest.raises(HookKilledError, match="output_size") as caught:
        hooks.build_wheel(os.fspath(out))
    assert (caught.value.limit, caught.value.value) == ("output_size", 2**20)
    assert os.listdir(out) == []


@pytest.mark.parametrize("option", first_fast(["wall-time=1", "idle-time=1", "log-size=1K", "memory=100M"]))
def test_limits_on_the_command_line(option: str, tmp_path: Path) -> None:
    code = "import time\nprint('x' * 2000, flush=True)\nheld = b'x' * 2**28\ntime.sleep(600)"
    code = code.replace("held", "time.sleep(600); held") if option != "memory=100M" else code
    done = command("run", "--limit", option, "--", sys.executable, "-c", code, cwd=tmp_path, environ=WITH_PYTHON)
    name = option.partition("=")[0].replace("-", "_")
    if name == "memory" and not has_cgroup():
        assert done.returncode == 1
        assert "MemoryError" in done.stderr
        return
    assert done.returncode == (124 if name.endswith("time") else 137)
    assert name in done.stderr


@pytest.mark.slow
def test_a_limit_with_no_room_for_the_hook_is_named(tmp_path: Path) -> None:
    """In a frontend that watches which files it opens, so that the search for the reason is watched too."""
    project = write_project(tmp_path / "project")
    done = command("build", "-n", "-w", "--limit", "processes=1", project, cwd=tmp_path)
    if os.geteuid() == 0:  # as an ordinary user it counts the user's other processes as well, and gives them room
        assert done.returncode == 3
        assert "the sandbox may have 1 processes (limits: processes)" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_limit_is_a_usage_error(tmp_path: Path) -> None:
    done = command("run", "--limit", "walltime=5", "--", "true", cwd=tmp_path)
    assert done.returncode == 2
    assert "wall-time" in done.stderr


def test_the_doctor_reports_how_each_limit_is_enforced() -> None:
    done = command("doctor", "--json", "--limit", "memory=1G", "--allow-degraded", "no-namespaces")
    limits = json.loads(done.stdout)["limits"]
    assert list(limits) == [field.name for field in dataclasses.fields(Limits)]
    assert limits["memory"]["value"] == 2**30
    assert limits["memory"]["exact"] is has_cgroup()
    assert ("cgroup" in limits["memory"]["how"]) is has_cgroup()
    assert "1024 MiB" in command("doctor", "--limit", "memory=1G").stdout


@pytest.mark.parametrize("files", first_fast([64, 32, 100, 128, 200]))
def test_the_doctor_and_the_hook_agree_on_few_descriptors(files: int, tmp_path: Path) -> None:
    """The view of some identities takes a descriptor for each mount, and a hook has more mounts than the doctor's."""
    shell = f'ulimit -n {files}; exec "$@"'
    options = ("--allow-degraded", "no-namespaces")
    doctor = run_text(["sh", "-c", shell, "sh", *CLI, "doctor", *options])
    hook = run_text(["sh", "-c", shell, "sh", *CLI, "run", *options, "--", "true"], tmp_path)
    assert (doctor.returncode, hook.returncode) in ((0, 0), (3, 125)), doctor.stdout + hook.stderr
    if hook.returncode:
        assert f"got {files}" in " ".join(hook.stderr.split())
        assert f"got {files}" in " ".join(doctor.stdout.split())
    assert files < 128 or hook.returncode == 0


def test_a_soft_limit_on_descriptors_binds_the_hook_but_not_the_launcher(tmp_path: Path) -> None:
    shell = 'ulimit -S -n 40; exec "$@"'
    hook = run_text(
        [
            "sh",
            "-c",
            shell,
            "sh",
            *CLI,
            "run",
            "--allow-degraded",
            "no-namespaces",
            "--",
            "sh",
            "-c",
            "ulimit -S -n; ulimit -H -n",
        ],
        tmp_path,
    )
    outside = run_text(["sh", "-c", f"{shell} -c 'ulimit -H -n'", "sh", "sh"])
    assert hook.stdout.splitlines() == ["40", outside.stdout.strip()]
