"""Programs in the home, directories that variables name, and the limits of a container: a build finds them inside."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.projects import caller, facts, plain_caller, write_project

from isolated_hooks import Policy
from isolated_hooks.files.cgroups import own_limits
from isolated_hooks.launchers import warm

pytestmark = pytest.mark.usefixtures("sandbox")

RUNS = """
def run(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None

tell(**{name: run(command) for name, command in json.load(open(os.path.join(HERE, "commands.json"))).items()})
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def both(project: Path, out: Path, **commands: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what commands say in a hook, outside and inside."""

    write_project(project, extra=RUNS, files={"commands.json": json.dumps(commands)})
    out.mkdir()
    plain_caller(project, python_executable="/usr/bin/python3").build_wheel(os.fspath(out))
    outside = facts(project)[0]
    caller(project, python_executable="/usr/bin/python3").build_wheel(os.fspath(out))
    return outside, facts(project)[0]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    program(home / "tools/real", "#!/bin/sh\necho linked\n")
    (home / ".local/bin").mkdir(parents=True)
    (home / ".local/bin/linked").symlink_to(home / "tools/real")
    program(
        home / ".local/share/pipx/venvs/t/bin/pipxed", '#!/bin/sh\ncat "$(dirname "$(readlink -f "$0")")/../lib/t"\n'
    )
    (home / ".local/share/pipx/venvs/t/pyvenv.cfg").write_text("home = /usr/bin\n")
    (home / ".local/share/pipx/venvs/t/lib").mkdir()
    (home / ".local/share/pipx/venvs/t/lib/t").write_text("pipx\n")
    (home / ".local/bin/pipxed").symlink_to("../share/pipx/venvs/t/bin/pipxed")
    program(home / ".asdf/installs/t/bin/t", "#!/bin/sh\necho asdf\n")
    (home / ".asdf/asdf.sh").write_text("")
    program(home / ".asdf/shims/shimmed", '#!/bin/sh\nexec "$ASDF_DATA_DIR/installs/t/bin/t"\n')
    program(home / ".linuxbrew/Cellar/t/1/bin/brewed", "#!/bin/sh\necho brew\n")
    (home / ".linuxbrew/bin").mkdir()
    (home / ".linuxbrew/bin/brewed").symlink_to("../Cellar/t/1/bin/brewed")
    program(home / "own/bin/sh", '#!/bin/sh\nexec /bin/sh "$@"\n')
    program(home / ".local/bin/interpreted", f"#!{home}/own/bin/sh\necho interpreted\n")
    # Managers write such scripts: rbenv's shims, pixi's, a compiler's wrapper.
    program(home / "kept/bin/started", "#!/bin/sh\necho started\n")
    program(home / ".local/bin/wrapper", f'#!/usr/bin/env bash\nexec "{home}/kept/bin/started" "$@"\n')
    (home / ".local/share/cmake-3.30").mkdir()
    (home / ".local/share/cmake-3.30/modules").write_text("modules\n")
    program(home / ".local/bin/own-cmake", '#!/bin/sh\ncat "$(dirname "$0")/../share/cmake-3.30/modules"\n')
    (home / ".tool-versions").write_text("nodejs 20.1.0 # of this user\nTOKEN=hunter2\n")
    monkeypatch.setenv("HOME", os.fspath(home))
    monkeypatch.setenv("ASDF_DATA_DIR", f"{home}/.asdf")
    directories = (f"{home}/.local/bin", f"{home}/.asdf/shims", f"{home}/.linuxbrew/bin", os.defpath)
    monkeypatch.setenv("PATH", ":".join(directories))
    # These are the caller's own, and no frontend has added them.
    monkeypatch.setattr("isolated_hooks.run.situation.started_with", lambda: dict(os.environ))
    return home


def test_programs_in_the_home_find_what_they_need(home: Path, tmp_path: Path) -> None:
    names = ("linked", "pipxed", "shimmed", "brewed", "interpreted", "wrapper", "own-cmake")
    outside, inside = both(tmp_path / "project", tmp_path / "out", **{name: name for name in names})
    assert outside == dict(
        zip(names, ("linked", "pipx", "asdf", "brew", "interpreted", "started", "modules"), strict=True)
    )
    assert inside == outside


def test_what_a_script_on_path_merely_mentions_stays_hidden(home: Path, tmp_path: Path) -> None:
    (home / "diary").write_text("private\n")
    program(home / ".ssh/key", "#!/bin/sh\necho key\n")
    program(home / ".local/bin/mentions", f"#!/bin/sh\ncat {home}/diary\n{home}/.ssh/key\n")
    outside, inside = both(tmp_path / "project", tmp_path / "out", diary=f"cat {home}/diary", key=f"{home}/.ssh/key")
    assert outside == {"diary": "private", "key": "key"}
    assert inside == {"diary": None, "key": None}


def test_the_caller_s_choice_of_versions_counts(home: Path, tmp_path: Path) -> None:
    (home / ".asdf/installs").mkdir(exist_ok=True)
    outside, inside = both(tmp_path / "project", tmp_path / "out", versions="cat ~/.tool-versions")
    assert outside["versions"] == "nodejs 20.1.0 # of this user\nTOKEN=hunter2"
    assert inside["versions"] == "nodejs 20.1.0 # of this user"


def test_modules_of_the_user_are_found(home: Path, tmp_path: Path) -> None:
    version = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    site = home / ".local/lib" / version / "site-packages"
    site.mkdir(parents=True)
    (site / "of_the_user.py").write_text("")
    told = both(tmp_path / "project", tmp_path / "out", user="/usr/bin/python3 -c 'import of_the_user; print(1)'")
    assert told == ({"user": "1"}, {"user": "1"})


@pytest.mark.skipif(shutil.which("gcc") is None or shutil.which("pkg-config") is None, reason="no compiler")
def test_what_build_variables_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "deps"
    program(tmp_path / "cc/bin/mycc", '#!/bin/sh\nexec gcc "$@"\n')
    for name in ("include/foo.h", "lib/pkgconfig/foo.pc"):
        (top / name).parent.mkdir(parents=True)
        (top / name).write_text(
            "" if name.endswith(".h") else f"Name: f\nDescription: f\nVersion: 1\nCflags: -I{top}/include\n"
        )
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "nobody"))
    variables = {
        "CC": tmp_path / "cc/bin/mycc",
        "PKG_CONFIG_PATH": top / "lib/pkgconfig",
        "CFLAGS": f"-isystem {top}/include",
    }
    for name, value in {**variables, "CMAKE_PREFIX_PATH": top, "Foo_ROOT": top}.items():
        monkeypatch.setenv(name, str(value))
    compiles = "echo '#include <foo.h>' | $CC {} -xc - -c -o /dev/null && echo ok"
    commands = {"flags": compiles.format("$CFLAGS"), "pkg": compiles.format("$(pkg-config --cflags foo)")}
    outside, inside = both(tmp_path / "project", tmp_path / "out", **commands, prefix="ls $CMAKE_PREFIX_PATH $Foo_ROOT")
    assert outside["flags"] == outside["pkg"] == "ok"
    assert inside == outside


@contextlib.contextmanager
def limited_memory(limit: int) -> Iterator[None]:
    """Move this process into a new memory cgroup."""
    places = [own for own in own_limits() if dict(own.files).keys() & {"memory.limit_in_bytes", "memory.max"}]
    group = Path(places[0].source if places else "/nonexistent") / f"isolated-hooks-test-{os.getpid()}"
    try:
        group.mkdir()
        name = next(name for name in ("memory.max", "memory.limit_in_bytes") if (group / name).exists())
        (group / name).write_text(str(limit))
        (group / "cgroup.procs").write_text("0")
    except (OSError, StopIteration):
        if group.exists():
            group.rmdir()
        pytest.skip("this host lets nobody make a memory cgroup here")
    try:
        yield
    finally:
        (Path(places[0].source) / "cgroup.procs").write_text("0")
        warm.end()  # it is in there, too
        group.rmdir()


def test_a_limit_on_memory_is_seen_and_nothing_else_of_the_cgroup(tmp_path: Path) -> None:
    find = "find /sys/fs/cgroup -type f | sort | xargs -n1 basename"
    read = "cat $(find /sys/fs/cgroup -name memory.limit_in_bytes -o -name memory.max)"
    project = write_project(tmp_path / "project", extra=RUNS, files={"commands.json": "{}"})

    commands = {"find": find, "read": read, "write": "touch $(find /sys/fs/cgroup -name 'memory.*')"}
    (project / "commands.json").write_text(json.dumps(commands))
    with limited_memory(1 << 30):
        caller(project).build_wheel(os.fspath(tmp_path / "out"))
        told = facts(project)[0]
        caller(project, policy=Policy(limits={"memory": 1 << 29})).build_wheel(os.fspath(tmp_path / "out"))
        less = facts(project)[0]
    assert (told["read"], less["read"]) == (str(1 << 30), str(1 << 29))
    assert told["write"] is None
    assert not {"cgroup.procs", "tasks", "memory.usage_in_bytes", "memory.current"} & set(told["find"].split())
