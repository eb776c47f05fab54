"""What a hook may use: each limit ends it or stops it there, says which limit it was, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from projects import WHEEL, caller, facts, nothing_left, write_project

from isolated_hooks import (
    HookKilledError,
    HookTimeoutError,
    IsolatedHookCaller,
    Limits,
    Policy,
    UntrustedResultError,
)

pytestmark = pytest.mark.usefixtures("sandbox")


def limited(code: str, tmp_path: Path, **limits: Any) -> IsolatedHookCaller:
    """Return a caller of a project whose first hook runs that code under limits."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    extra = f"import errno, signal\ndef get_requires_for_build_wheel(_=None):\n{body}\n    return []\n"
    project = write_project(tmp_path / "project", extra=extra)
    return caller(project, Policy(limits=Limits(**limits)), runner=pyproject_hooks.quiet_subprocess_runner)


def test_within_its_limits_a_hook_is_left_alone(tmp_path: Path) -> None:
    limits = {"wall_time": 300, "cpu_time": 300, "file_size": 10**6, "open_files": 256, "processes": 100}
    hooks = limited("subprocess.run(['true'], check=True)", tmp_path, **limits, temp_size=10**7, output_size=10**6)
    assert hooks.get_requires_for_build_wheel() == []
    assert hooks.build_wheel(os.fspath(tmp_path / "out")) == WHEEL


def test_wall_time(tmp_path: Path) -> None:
    # A child in a session of its own is asked, and ended, as well.
    code = "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\ntime.sleep(600)"
    hooks = limited(code, tmp_path, wall_time=0.5)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError, match=r"0\.5 seconds.*wall_time") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.seconds) == ("wall_time", 0.5)
    assert "wall_time" in hooks.reports[0].error


def test_wall_time_lets_a_hook_clean_up_first(tmp_path: Path) -> None:
    code = "signal.signal(15, lambda *_: (tell(asked=True), sys.exit(1)))\ntime.sleep(600)"
    hooks = limited(code, tmp_path, wall_time=3)
    with pytest.raises(HookTimeoutError):
        hooks.get_requires_for_build_wheel()
    assert facts(tmp_path / "project") == [{"asked": True}]


def test_wall_time_ends_what_does_not_want_to_end(tmp_path: Path) -> None:
    code = "for n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nos.fork()\nwhile True: time.sleep(600)"
    hooks = limited(code, tmp_path, wall_time=0.5)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError):
        hooks.get_requires_for_build_wheel()


def test_wall_time_that_a_hook_cannot_put_off_by_ending_well(tmp_path: Path) -> None:
    code = "signal.signal(15, lambda *_: tell(asked=True))\ntime.sleep(1.5)"
    hooks = limited(code, tmp_path, wall_time=0.5)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError):
        hooks.get_requires_for_build_wheel()


def test_cpu_time(tmp_path: Path) -> None:
    hooks = limited("while True: pass", tmp_path, cpu_time=1)
    with nothing_left(tmp_path), pytest.raises(HookTimeoutError, match="cpu_time") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.seconds, caught.value.returncode) == ("cpu_time", 1, -24)


@pytest.mark.parametrize("place", ["HERE", "'/tmp'"])
def test_file_size(place: str, tmp_path: Path) -> None:
    # Python ignores the signal and gets an error instead; a compiler is ended.
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


def test_file_size_that_kills(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nopen(HERE + '/large', 'wb').write(bytes(2000))"
    hooks = limited(code, tmp_path, file_size=1000)
    with nothing_left(tmp_path), pytest.raises(HookKilledError, match="file_size") as caught:
        hooks.get_requires_for_build_wheel()
    assert (caught.value.limit, caught.value.value) == ("file_size", 1000)


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm", "/run", "HOME"])
def test_temp_size_is_one_for_all_places(place: str, tmp_path: Path) -> None:
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
    (told,) = facts(tmp_path / "project")
    assert told["errno"] == "ENOSPC"
    assert 2 <= told["number"] <= 4


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
    # Whatever the caller's limit is: a handler that core_pattern names would run as the host's root.
    hooks = limited("import resource\ntell(core=resource.getrlimit(resource.RLIMIT_CORE))\nos.abort()", tmp_path)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        hooks.get_requires_for_build_wheel()
    assert caught.value.returncode == -6
    (told,) = facts(tmp_path / "project")
    assert max(told["core"]) <= 1
