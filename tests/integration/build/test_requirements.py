"""The frontend fetches, builds and installs build requirements without running their code outside a sandbox."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.index import PASSWORD, Index, backend_sdist, write_wheel
from support.lanes import first_fast
from support.projects import (
    WHEEL,
    cannot_run,
    command,
    facts,
    nothing_left,
    run_text,
)
from support.requirements import hostile_wheel, mark, write_needy

pytestmark = pytest.mark.usefixtures("sandbox")


def build(project: Path, index: Index, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    out = project.parent / "out"
    return command(
        "build", "-w", "-o", out, *options, project, cwd=project.parent, environ={**index.environ(), **environ}
    )


def build_plainly(project: Path, index: Index, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "build", "-w", "-o", project.parent / "out", *options, project]
    return run_text(argv, cwd=project.parent, environ={**index.environ(), **environ})


# No .pth.


@pytest.mark.slow
def test_a_pth_of_a_requirement_runs_in_sandboxes_alone(
    installer: str, index: Index, canary: Path, tmp_path: Path
) -> None:
    hostile_wheel(index, canary)
    write_wheel(index.project("second"), "second", requires=["third"])
    write_wheel(index.project("third"), "third")
    project = write_needy(tmp_path / "project", ["hostile"], ["second"])
    with nothing_left(tmp_path):
        done = build(project, index, "--installer", installer)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]
    assert os.listdir(canary) == []
    asked, built = (entry for entry in facts(project) if "marks" in entry)
    assert asked["installed"] == {"hostile": "1.0"}
    assert built["installed"] == {"hostile": "1.0", "second": "1.0", "third": "1.0"}
    # It did run where the hooks were run: nothing was left out to get this far. Some versions of Python run it twice.
    assert asked["marks"] > 0
    assert built["marks"] > 0
    assert PASSWORD not in done.stderr + done.stdout


@pytest.mark.slow
def test_a_pth_runs_outside_without_us(index: Index, canary: Path, tmp_path: Path) -> None:
    hostile_wheel(index, canary)
    write_wheel(index.project("second"), "second")
    project = write_needy(tmp_path / "project", ["hostile"], ["second"])
    done = build_plainly(project, index)
    assert done.returncode == 0, done.stderr
    assert os.listdir(canary) != []


@pytest.mark.slow
def test_no_process_outside_a_sandbox_is_started_from_the_environment(
    installer: str, index: Index, canary: Path, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        cannot_run("strace is not installed")
    hostile_wheel(index, canary)
    write_wheel(index.project("second"), "second")
    project = write_needy(tmp_path / "project", ["hostile"], ["second"])
    for program, allowed in ((["isolated_hooks", "build"], True), (["build"], False)):
        argv = ["strace", "-f", "-qq", "-s", "4096", "--decode-pids=pidns", "-o", tmp_path / "trace"]
        argv += ["-e", "trace=execve,execveat,clone,clone3,fork,vfork", sys.executable, "-m", *program]
        argv += ["-w", "--installer", installer, "-o", tmp_path / "out", "--env-dir", tmp_path / "environment", project]
        done = run_text([os.fspath(part) for part in argv], tmp_path, index.environ())
        assert done.returncode == 0, done.stderr
        inside, outside = started((tmp_path / "trace").read_text(), os.fspath(tmp_path / "environment"))
        if allowed:
            # An ordinary user's strace does not see into a user namespace.
            assert inside > 1 or os.geteuid() != 0
            assert outside == []
        else:
            assert inside == 0
            assert len(outside) > 1


def started(trace: str, directory: str) -> tuple[int, list[str]]:
    """Count the programs in a directory that a launcher started, and return the lines of all other program starts."""
    parents: dict[str, str] = {}
    launchers, starts = set(), []
    for line in trace.splitlines():
        pid, call = line.split(maxsplit=1)
        made = re.search(r"(?:clone3?|v?fork)\b.* = (\d+)(?: /\* (\d+) in strace's PID NS \*/)?$", call)
        if made:
            parents[made[2] or made[1]] = pid
        if call.startswith("exec"):
            # A launcher may be a fork of the process that stays ready, which does nothing else than fork them.
            if "/sandbox/__main__.py" in call or re.search(r'/launcher", "(?:launch|serve)"', call):
                launchers.add(pid)
            elif call.startswith(f'execve("{directory}/'):
                starts.append((pid, line))
    inside, outside = 0, []
    for pid, line in starts:
        above = pid
        while above in parents and above not in launchers:
            above = parents[above]
        if above in launchers:
            inside += 1
        else:
            outside.append(line)
    return inside, outside


@pytest.mark.slow
def test_a_requirement_that_takes_the_place_of_the_interpreter(index: Index, canary: Path, tmp_path: Path) -> None:
    program = f"#!{sys.executable}\n{mark(canary, 'python-')}\n"
    write_wheel(
        index.project("hostile"),
        "hostile",
        files={"hostile-1.0.data/scripts/python": program, "hostile-1.0.data/data/pyvenv.cfg": "home = /\n"},
    )
    project = write_needy(tmp_path / "project", ["hostile"], ["second"])
    write_wheel(index.project("second"), "second")
    with nothing_left(tmp_path):
        done = build(project, index)
    assert done.returncode == 1
    assert "hostile-1.0-py3-none-any.whl" in done.stderr
    assert os.listdir(canary) == []


@pytest.mark.parametrize(
    "requirement",
    first_fast(["-r /etc/hostname", "--index-url=http://127.0.0.1:9", "./here", "a @ http://127.0.0.1:9/\n--pre", ""]),
)
def test_what_is_no_requirement_is_refused(requirement: str, index: Index, tmp_path: Path) -> None:
    project = write_needy(tmp_path / "project", [])
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace("requires = []", f'requires = ["{requirement}"]'.replace("\n", "\\n")))
    with nothing_left(tmp_path):
        done = build(project, index)
    assert done.returncode == 1
    assert "not a build requirement of an accepted form: " in done.stderr
    assert index.asked == []
    assert facts(project) == []


@pytest.mark.slow
def test_a_requirement_takes_no_variables_of_the_callers(index: Index, tmp_path: Path) -> None:
    where = index.url.removesuffix("/simple")
    project = write_needy(tmp_path / "project", ["hostile @ " + where + "/${INDEX_TOKEN}/hostile-1.0-py3-none-any.whl"])
    done = build(project, index, INDEX_TOKEN="token-of-the-caller")
    assert done.returncode == 1
    assert "must not contain '${'" in done.stderr
    assert index.asked == []
    assert build_plainly(project, index, INDEX_TOKEN="token-of-the-caller").returncode == 1
    assert [path for path in index.asked if "token-of-the-caller" in path] != []


# sdists.


@pytest.mark.slow
def test_what_exists_as_an_sdist_alone_is_built_in_a_sandbox(index: Index, canary: Path, tmp_path: Path) -> None:
    backend_sdist(index.project("inner"), "inner", extra=mark(canary, "inner-"))
    backend_sdist(index.project("outer"), "outer", extra=mark(canary, "outer-"), requires=["inner"])
    project = write_needy(tmp_path / "project", ["outer"])
    with nothing_left(tmp_path):
        done = build(project, index)
    assert done.returncode == 0, done.stderr
    assert os.listdir(canary) == []
    assert [entry["installed"] for entry in facts(project) if "installed" in entry] == [{"outer": "1.0"}] * 2
    assert build_plainly(project, index).returncode == 0
    assert {name.partition("-")[0] for name in os.listdir(canary)} == {"inner", "outer"}


def test_the_sdist_and_the_wheel_need_one_look_at_the_index(index: Index, tmp_path: Path) -> None:
    """And what each environment gets has bytecode: no hook can write any. Their hooks are launched warm."""
    write_wheel(index.project("needed"), "needed")
    tell = "import needed; tell(bytecode=os.path.exists(needed.__cached__))"
    project = write_needy(tmp_path / "project", ["needed"], extra=tell)
    for run, times in ((build, 1), (build_plainly, 2)):
        index.asked.clear()
        with nothing_left(tmp_path):
            done = run(project, index, "-s", *(("--report", tmp_path / "report") if run is build else ()))
        assert done.returncode == 0, done.stderr
        assert sum(path.endswith(".whl") for path in index.asked) == times
        assert len(os.listdir(tmp_path / "out")) == 2
        if run is build:
            assert re.findall(r'"warm": (\w+)', (tmp_path / "report").read_text()) == ["true"] * 4
        compiled = {entry["bytecode"] for entry in facts(project) if "bytecode" in entry}
        assert compiled == {True} or run is build_plainly  # where a hook may write it, if no variable says otherwise


@pytest.mark.slow
@pytest.mark.network
def test_uv_is_not_let_build_sdists(index: Index, canary: Path, uv: str, tmp_path: Path) -> None:
    backend_sdist(index.project("outer"), "outer", extra=mark(canary, "outer-"))
    project = write_needy(tmp_path / "project", ["outer"])
    path = f"{uv}:{os.environ.get('PATH', os.defpath)}"
    for options in ({}, {"UV_NO_BUILD": "0"}, {"UV_NO_BINARY": "1"}):
        with nothing_left(tmp_path):
            done = build(project, index, "--installer", "uv", PATH=path, **options)
        assert done.returncode == 1
        assert "outer" in done.stderr
        assert "--installer pip" in done.stderr
        assert os.listdir(canary) == []
    assert build_plainly(project, index, "--installer", "uv", PATH=path).returncode == 0
    assert os.listdir(canary) != []


@pytest.mark.slow
@pytest.mark.network
def test_uv_takes_no_settings_from_the_tree(index: Index, canary: Path, uv: str, tmp_path: Path) -> None:
    write_wheel(index.project("needed"), "needed")
    project = write_needy(tmp_path / "project", ["needed"])
    with open(project / "pyproject.toml", "a") as file:
        file.write(f'\n[tool.uv]\ncache-dir = "{canary}/cache"\n')
    environ = {**index.environ(), "PATH": f"{uv}:{os.environ.get('PATH', os.defpath)}", "UV_NO_CONFIG": ""}
    del environ["UV_CACHE_DIR"]
    for argv in ("-m build", "-m isolated_hooks build"):
        home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "uv-cache"), "UV_NO_CONFIG": "0"}
        run = run_text([sys.executable, *argv.split(), "-w", "--installer", "uv"], project, {**environ, **home})
        assert run.returncode == 0, run.stderr
        assert os.path.exists(canary / "cache") == (argv == "-m build")
        shutil.rmtree(canary / "cache", ignore_errors=True)


# The same as build does.


@pytest.mark.slow
def test_further_requirements_may_replace_what_is_installed(installer: str, index: Index, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        files = {f"changing-{version}.data/scripts/changing{version}": "#!python\nprint('changing')\n"}
        write_wheel(index.project("changing"), "changing", version, files=files)
    write_wheel(index.project("second"), "second", requires=["changing"])
    project = write_needy(tmp_path / "project", ["changing<2"], ["second"])
    done = build(project, index, "--installer", installer)
    assert done.returncode == 0, done.stderr
    _, built = (entry for entry in facts(project) if "installed" in entry)
    assert built["installed"] == {"changing": "1.0", "second": "1.0"}
    project = write_needy(tmp_path / "project", ["changing<2"], ["changing>=2"])
    done = build(project, index, "--installer", installer)
    assert done.returncode == 0, done.stderr
    _, built = (entry for entry in facts(project) if "installed" in entry)
    assert built["installed"] == {"changing": "2.0"}
    assert "changing2.0" in built["scripts"]
    assert "changing1.0" not in built["scripts"]


@pytest.mark.slow
def test_nothing_is_asked_for_what_is_there(installer: str, index: Index, tmp_path: Path) -> None:
    write_wheel(index.project("first"), "first", requires=["second>=1", "never; python_version < '3'"])
    write_wheel(index.project("second"), "second")
    dynamic = ["First", "second<3", "never; sys_platform == 'other'"]
    project = write_needy(tmp_path / "project", ["first"], dynamic)
    done = build(project, index, "--installer", installer)
    assert done.returncode == 0, done.stderr
    assert len([path for path in index.asked if path.endswith("/first/")]) == 1


@pytest.mark.slow
def test_scripts_run_in_the_environment(installer: str, index: Index, tmp_path: Path) -> None:
    files = {
        "tool-1.0.dist-info/entry_points.txt": "[console_scripts]\nentry = tool:main\n",
        "tool-1.0.data/scripts/other": "#!python\nimport sys; print(sys.prefix)\n",
        "tool.py": "import sys\ndef main(): print(sys.prefix)\n",
    }
    write_wheel(index.project("tool"), "tool", files=files)
    run = """
if sys.argv[1:2] == ["build_wheel"]:
    tell(printed=[subprocess.run([name], capture_output=True, text=True).stdout.strip() for name in ("entry", "other")])
"""
    project = write_needy(tmp_path / "project", ["tool"], extra=run)
    done = build(project, index, "--installer", installer)
    assert done.returncode == 0, done.stderr
    told = facts(project)
    (printed,) = (entry["printed"] for entry in told if "printed" in entry)
    (prefix,) = {entry["prefix"] for entry in told if "prefix" in entry}
    assert printed == [prefix, prefix]


@pytest.mark.slow
def test_configuration_of_pip_counts(index: Index, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for version in ("1.0", "2.0", "3.0"):
        write_wheel(links, "needed", version)
    (tmp_path / "constraints.txt").write_text("needed<3\n")
    project = write_needy(tmp_path / "project", ["needed"])
    options = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "links", "PIP_CONSTRAINT": str(tmp_path / "constraints.txt")}
    # pip would fail with any of the others: they are about its own place, and we choose the place.
    ours = {"PIP_REQUIRE_VIRTUALENV": "1", "PIP_PYTHON": "/nonexistent/python", "PIP_USER": "1"}
    done = build(project, index, **options, **ours)
    assert done.returncode == 0, done.stderr
    assert [entry["installed"] for entry in facts(project) if "installed" in entry] == [{"needed": "2.0"}] * 2
    assert index.asked == []


@pytest.mark.slow
def test_the_install_table_of_pips_configuration_counts(index: Index, tmp_path: Path) -> None:
    write_wheel(index.project("needed"), "needed")
    (tmp_path / "pip.conf").write_text(f"[install]\nindex-url = {index.url}\n")
    project = write_needy(tmp_path / "project", ["needed"])
    environ = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_RETRIES": "0", "PIP_FIND_LINKS": ""}
    done = command("build", "-w", project, cwd=tmp_path, environ=environ)
    assert done.returncode == 0, done.stderr
    assert [path for path in index.asked if path.endswith("/needed/")] != []


@pytest.mark.slow
def test_constraints_count(installer: str, index: Index, tmp_path: Path) -> None:
    if not _has_option("--dependency-constraints-txt"):
        pytest.skip("this version of build takes no constraints")
    for version in ("1.0", "2.0"):
        write_wheel(index.project("needed"), "needed", version)
    project = write_needy(tmp_path / "project", ["needed"])
    (tmp_path / "constraints.txt").write_text("needed<2\n")
    options = ["--installer", installer, "--dependency-constraints-txt", "constraints.txt"]
    done = build(project, index, *options)
    assert done.returncode == 0, done.stderr
    assert [entry["installed"] for entry in facts(project) if "installed" in entry] == [{"needed": "1.0"}] * 2
    (tmp_path / "constraints.txt").write_text(f"needed==1.0 --hash=sha256:{'0' * 64}\n")
    done = build(project, index, *options)
    assert done.returncode == 1
    assert "needed" in done.stderr
    assert facts(project) == []


def _has_option(option: str) -> bool:
    return option in run_text([sys.executable, "-m", "build", "--help"]).stdout


@pytest.mark.slow
def test_an_interpreter_that_was_given_by_a_relative_path(index: Index, tmp_path: Path) -> None:
    write_wheel(index.project("needed"), "needed")
    project = write_needy(tmp_path / "project", ["needed"])
    python = os.path.relpath(sys.executable, tmp_path)
    for options in ([], ["--no-isolation", "--skip-dependency-check"]):
        argv = [python, "-m", "isolated_hooks", "build", "-w", *options, project]
        done = run_text(argv, cwd=tmp_path, environ=index.environ())
        assert done.returncode == 0, done.stderr
        assert os.listdir(project / "dist") == [WHEEL]
        shutil.rmtree(project / "dist")


# What goes wrong.


@pytest.mark.slow
def test_a_requirement_that_does_not_exist(installer: str, index: Index, tmp_path: Path) -> None:
    project = write_needy(tmp_path / "project", ["no-such-requirement>=1"])
    with nothing_left(tmp_path):
        done = build(project, index, "--installer", installer)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot obtain these build requirements: no-such-requirement>=1" in done.stderr
    assert "Traceback" not in done.stderr
    assert facts(project) == []


@pytest.mark.slow
def test_an_index_that_is_not_there(installer: str, index: Index, tmp_path: Path) -> None:
    project = write_needy(tmp_path / "project", ["needed"])
    nowhere = "http://127.0.0.1:9/simple"
    with nothing_left(tmp_path):
        done = build(project, index, "--installer", installer, PIP_INDEX_URL=nowhere, UV_DEFAULT_INDEX=nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot obtain these build requirements: needed" in done.stderr
    assert "127.0.0.1" in done.stderr


@pytest.mark.slow
def test_an_sdist_that_cannot_be_built(index: Index, tmp_path: Path) -> None:
    backend_sdist(index.project("broken"), "broken", extra="raise RuntimeError('not today')")
    project = write_needy(tmp_path / "project", ["broken"])
    with nothing_left(tmp_path):
        done = build(project, index)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not today" in done.stderr
    assert "cannot obtain these build requirements: broken" in done.stderr


@pytest.mark.slow
def test_a_wheel_that_is_none(index: Index, tmp_path: Path) -> None:
    write_wheel(index.project("twofold"), "twofold", files={"other-1.0.dist-info/METADATA": "Name: other\n"})
    project = write_needy(tmp_path / "project", ["twofold"])
    with nothing_left(tmp_path):
        done = build(project, index)
    assert (done.returncode, done.stdout) == (1, "")
    assert "twofold" in done.stderr
    assert "Traceback" not in done.stderr
