"""``isolated-hooks wheelhouse``: sdists and pinned requirements in, wheels and a report out."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.each import each
from support.index import Index, backend_sdist, write_sdist, write_wheel
from support.lanes import first_fast
from support.projects import CLI, WHEEL, clean_environ, command, nothing_left, running, write_project
from support.together import commands, refused

from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

PLAIN = "del get_requires_for_build_wheel"
FAILS = "raise SystemExit('it fails\\x1b]0;title\\x07')"
HANGS = "import time; time.sleep(300)"
ONE, TWO = "one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with some sdists, a source tree, and a file of requirements."""
    for name, extra in {"one": "", "two": "", "failing": FAILS, "hanging": HANGS}.items():
        backend_sdist(tmp_path, name, extra=extra)
    write_project(tmp_path / "project", extra=PLAIN)
    (tmp_path / "requirements.txt").write_text("one==1.0\n")
    return tmp_path


def sdist(name: str) -> str:
    return f"{name}-1.0.tar.gz"


def wheels(directory: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory) if name.endswith(".whl"))


def test_what_is_built_and_what_is_not(place: Path) -> None:
    arguments = ("wheelhouse", "-w", "out", "-j", "2", "--report", "report.json")
    with nothing_left(place):
        done = command(*arguments, sdist("one"), sdist("failing"), "project", cwd=place)
    assert done.returncode == 1, done.stderr
    head, *rows, total = done.stdout.splitlines()
    assert head.split() == ["package", "result", "seconds", "wheel,", "or", "why", "there", "is", "none"]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [("one", ONE), ("failing", "1"), ("example", WHEEL)]
    assert total == "2 built, 1 failed"
    assert "Built one 1.0 in " in done.stderr
    assert "(3 of 3)" in done.stderr
    assert "  | it fails\\x1b]0;title\\x07" in done.stderr
    assert "\x1b]" not in done.stdout + done.stderr
    assert sorted(os.listdir(place / "out")) == sorted([WHEEL, ONE, f"{ONE}.json"])
    report = json.loads((place / "report.json").read_text())
    one, failing, example = report["packages"]
    assert [package["outcome"] for package in report["packages"]] == ["built", "failed", "built"]
    assert one["source_sha256"] == hashlib.sha256((place / sdist("one")).read_bytes()).hexdigest()
    assert one["wheel"]["hashes"]["sha256"] == hashlib.sha256((place / "out" / ONE).read_bytes()).hexdigest()
    assert {hook["protections"]["filesystem"]["state"] for hook in one["hooks"]} == {"active"}
    assert (failing["wheel"], example["source_sha256"]) == (None, "")


def test_all_built_is_success(place: Path) -> None:
    done = command("wheelhouse", "--wheel-dir", "new/out", sdist("one"), sdist("two"), cwd=place)
    assert done.returncode == 0, done.stderr
    assert wheels(place / "new" / "out") == [ONE, TWO]


WRONG: dict[tuple[str, ...], str] = {
    (): "the following arguments are required: -w",
    ("-w", "out"): "expected an SDIST or -r FILE, got neither",
    ("-w", "out", "none-1.0.tar.gz"): "SDIST: source: ",
    ("-w", "out", "requirements.txt"): "is neither an sdist nor a directory",
    ("-w", "out", "-r", "none.txt"): "none.txt: cannot be read",
    ("-w", "out", "-r", "project/pyproject.toml"): "line 1",
    ("-w", "out", "-j", "0", "project"): "expected a number from 1 to",
    ("-w", "out", "-j", "many", "project"): "expected a number from 1 to",
    ("-w", "project/dist", "project"): "output: 'project/dist' lies in a source tree",
    ("-w", "project", "project", "one-1.0.tar.gz"): "output: 'project' lies in a source tree",
    ("-w", "out", "project", "./project"): "is or lies in the source tree of",
    ("-w", "requirements.txt", "one-1.0.tar.gz"): "is not a directory",
    ("-w", "requirements.txt/out", "one-1.0.tar.gz"): "cannot be used for the artefacts",
    ("-w", "out", "--report", "none/report.json", "project"): "--report: ",
    ("-w", "out", "--package", "one", "one-1.0.tar.gz"): "each package has its own table in --config",
    ("-w", "out", "--keep-going", "--fail-fast", "project"): "not allowed with argument",
    ("-w", "out", "--limit", "memory=lots", "project"): "memory",
    ("-w", "out", "--raw", "project"): "unrecognized arguments",
}


def test_wrong_usage_is_refused_before_anything_is_built(place: Path) -> None:
    before = sorted(os.listdir(place))
    refused(WRONG, commands([("wheelhouse", *arguments) for arguments in WRONG], place))
    assert sorted(os.listdir(place)) == before


def test_a_host_without_a_sandbox_builds_nothing(place: Path) -> None:
    program = "import sys; sys.platform = 'darwin'; from isolated_hooks.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "wheelhouse", "-w", "out", sdist("one")],
        cwd=place,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "Remedy" in done.stderr
    assert not (place / "out").exists()


def test_each_package_has_its_table_of_the_policy(place: Path) -> None:
    tables = "[packages.hanging]\nlimits = { wall-time = 1 }\n[packages.two]\nnetwork = true\n"
    (place / "policy.toml").write_text(tables)
    arguments = ("wheelhouse", "-w", "out", "--config", "policy.toml", "--report", "report.json")
    done = command(*arguments, sdist("one"), sdist("two"), sdist("hanging"), cwd=place)
    assert done.returncode == 1, done.stderr
    one, two, hanging = json.loads((place / "report.json").read_text())["packages"]
    states = [package["hooks"][0]["protections"]["network"]["state"] for package in (one, two)]
    assert states == ["active", "disabled"]
    assert (hanging["outcome"], hanging["error_class"]) == ("limit", "HookTimeoutError")


def test_resume_builds_nothing_again(place: Path) -> None:
    arguments = ("wheelhouse", "-w", "out", "--resume", sdist("one"))
    built, stands = (command(*arguments, cwd=place) for _ in range(2))
    assert (built.returncode, stands.returncode) == (0, 0)
    assert (built.stdout.splitlines()[-1], stands.stdout.splitlines()[-1]) == ("1 built", "1 stands")
    assert "one 1.0 stands (1 of 1)" in stands.stderr


@pytest.mark.slow
def test_resume_builds_what_is_missing_and_what_has_other_inputs(place: Path) -> None:
    out = place / "out"

    def outcomes(*options: str) -> list[str]:
        done = command("wheelhouse", "-w", "out", *options, sdist("one"), sdist("two"), cwd=place)
        assert done.returncode == 0, done.stderr
        return [row.split()[2] for row in done.stdout.splitlines()[1:-1]]

    assert outcomes() == ["built", "built"]
    first = (out / ONE).read_bytes(), (out / ONE).stat().st_mtime_ns
    assert outcomes("--resume") == ["stands", "stands"]
    assert ((out / ONE).read_bytes(), (out / ONE).stat().st_mtime_ns) == first
    (out / TWO).unlink()
    assert outcomes("--resume") == ["stands", "built"]
    (out / TWO).write_bytes(b"half")
    assert outcomes("--resume") == ["stands", "built"]
    assert (out / TWO).read_bytes() != b"half"
    (out / f"{ONE}.json").write_text("{}")
    assert outcomes("--resume") == ["built", "stands"]
    assert outcomes("--resume", "--source", "discard") == ["built", "built"]
    backend_sdist(place, "one", extra="X = 1")
    assert outcomes("--resume", "--source", "discard") == ["built", "stands"]
    assert outcomes() == ["built", "built"]


def test_fail_fast_begins_no_further_package(place: Path) -> None:
    names = ("failing", "one", "two")
    done = command("wheelhouse", "-w", "out", "-j1", "--fail-fast", *map(sdist, names), cwd=place)
    assert done.returncode == 1
    assert "two 1.0: another package has failed before it began" in done.stderr
    assert "two 1.0      stopped" in done.stdout


def test_a_pinned_requirement_is_fetched_and_built(place: Path, index: Index) -> None:
    backend_sdist(index.project("demo"), "demo")
    (place / "requirements.txt").write_text("Demo==1.0\n")
    with nothing_left(place):
        done = command("wheelhouse", "-r", "requirements.txt", "-w", "out", cwd=place, environ=index.environ())
    assert done.returncode == 0, done.stderr
    assert wheels(place / "out") == ["demo-1.0-py3-none-any.whl"]


@pytest.mark.slow
def test_pinned_requirements_are_fetched_outside_and_their_hooks_run_inside(
    place: Path, index: Index, canary: Path
) -> None:
    marks = f"open({os.fspath(canary / 'mark')!r}, 'w')"
    looks = f"import os\ntry:\n    {marks}\nexcept OSError:\n    pass"
    write_wheel(index.project("need"), "need")
    demo = backend_sdist(index.project("demo"), "demo", extra=f"{looks}\nimport need", requires=["need"])
    # pip would take the wheel if it might.
    write_wheel(index.project("demo"), "demo")
    backend_sdist(index.project("other-name"), "other-name", extra=looks, version="2.0")
    write_sdist(index.project("bad"), "bad", {"pyproject.toml": "[build-system"})
    digest = hashlib.sha256(demo.read_bytes()).hexdigest()
    (place / "requirements.txt").write_text(
        f"demo==1.0 \\\n  --hash=sha256:{digest}\nOther.Name==2.0\nbad==1.0\nmissing==1.0\n"
    )
    (place / "more.txt").write_text(f"wrong==1.0 --hash=sha256:{'0' * 64}\n")
    backend_sdist(index.project("wrong"), "wrong")
    arguments = ("-r", "requirements.txt", "-r", "more.txt", "-w", "out", "--report", "report.json")
    with nothing_left(place):
        done = command("wheelhouse", *arguments, sdist("one"), cwd=place, environ=index.environ())
    assert done.returncode == 1, done.stderr
    report = json.loads((place / "report.json").read_text())
    assert {p["label"]: p["outcome"] for p in report["packages"]} == {
        "demo 1.0": "built",
        "other-name 2.0": "built",
        "bad 1.0": "failed",
        "missing 1.0": "failed",
        "wrong 1.0": "refused",
        "one 1.0": "built",
    }
    packages = {package["label"]: package for package in report["packages"]}
    assert packages["demo 1.0"]["source_sha256"] == digest
    assert [hook["hook"] for hook in packages["demo 1.0"]["hooks"]] == ["get_requires_for_build_wheel", "build_wheel"]
    assert "has another SHA-256" in packages["wrong 1.0"]["error"]
    assert "pip did not fetch missing==1.0" in packages["missing 1.0"]["error"]
    assert wheels(place / "out") == ["demo-1.0-py3-none-any.whl", ONE, "other_name-2.0-py3-none-any.whl"]
    assert not (canary / "mark").exists()
    again = command(
        "wheelhouse", *arguments, "--resume", sdist("one"), cwd=place, environ=index.environ()
    ).stdout.splitlines()
    assert [line.split()[2] for line in again[1:-1]] == ["stands", "stands", "failed", "failed", "refused", "stands"]


class Run:
    """A wheelhouse with a package that hangs, in a process group of its own.

    :ivar temporary: the directory for temporary files
    """

    def __init__(self, place: Path) -> None:
        self.temporary = place / "temporary"
        self.temporary.mkdir(exist_ok=True)
        arguments = ("wheelhouse", "-w", "out", "-j1", sdist("one"), sdist("hanging"), sdist("two"))
        self.process = subprocess.Popen(
            [*CLI, *arguments],
            cwd=place,
            env=clean_environ(TMPDIR=os.fspath(self.temporary)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert until(lambda: (place / "out" / f"{ONE}.json").exists())
        assert until(lambda: any(self.temporary.rglob("many-*/1/tmp/isolated-hooks-*")))

    def end(self) -> tuple[int, str, str]:
        """Return the exit code and the output."""
        out, err = self.process.communicate(timeout=100)
        assert until(lambda: not running(self.temporary))
        return self.process.returncode, out, err


def test_one_interrupt_ends_what_runs_and_prints_the_summary(place: Path) -> None:
    run = Run(place)
    os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does
    code, out, err = run.end()
    assert code == 130
    assert [row.split()[2] for row in out.splitlines()[1:-1]] == ["built", "stopped", "stopped"]
    assert err.endswith("ERROR interrupted\n")
    assert "Traceback" not in err
    assert (wheels(place / "out"), os.listdir(run.temporary)) == ([ONE], [])


def test_a_second_interrupt_ends_everything_at_once(place: Path) -> None:
    run = Run(place)
    os.kill(run.process.pid, signal.SIGINT)
    time.sleep(0.1)  # of two that are pending, only one arrives
    os.kill(run.process.pid, signal.SIGINT)
    code, out, err = run.end()
    assert code in (130, -signal.SIGINT)
    assert [row.split()[2] for row in out.splitlines()[1:-1]] == ["built", "stopped", "stopped"]
    assert "Traceback" not in err
    assert (wheels(place / "out"), os.listdir(run.temporary)) == ([ONE], [])
    assert len(os.listdir(place / "out")) == 2


@pytest.mark.parametrize("number", first_fast([signal.SIGKILL, signal.SIGTERM]))
def test_a_killed_run_leaves_no_process_and_the_next_one_resumes(place: Path, number: int) -> None:
    run = Run(place)
    os.kill(run.process.pid, number)
    code, _, _ = run.end()
    assert code == -number
    assert wheels(place / "out") == [ONE]
    backend_sdist(place, "hanging")
    names = map(sdist, ("one", "hanging", "two"))
    arguments = ("wheelhouse", "-w", "out", "--resume", *names)
    done = command(*arguments, cwd=place, environ={"TMPDIR": os.fspath(run.temporary)})
    assert done.returncode == 0, done.stderr
    assert [row.split()[2] for row in done.stdout.splitlines()[1:-1]] == ["stands", "built", "built"]
    assert len(os.listdir(place / "out")) == 6, "neither staging nor half a wheel is left"
    assert os.listdir(run.temporary) == []


def test_names_with_characters_of_a_path_get_nowhere(place: Path) -> None:
    (place / "deep").mkdir()
    odd = {
        "a name that leads upwards": "..-1.0.tar.gz",
        "a version that leads upwards": "demo-...tar.gz",
        "a line feed": "de\nmo-1.0.tar.gz",
        "a control character": "de\x1b[31mmo-1.0.tar.gz",
    }
    data = (place / sdist("one")).read_bytes()

    def check(what: str) -> None:
        (place / "deep" / odd[what]).write_bytes(data)
        done = command("wheelhouse", "-w", "out", place / "deep" / odd[what], cwd=place)
        assert (done.returncode, done.stdout) == (2, ""), what
        assert "\x1b[31mmo" not in done.stderr

    each(odd, check)
    assert not (place / "out").exists()


def test_a_wheel_cannot_take_the_place_of_another_project_s(place: Path) -> None:
    poses = """
_build = build_wheel
def build_wheel(directory, config_settings=None, metadata_directory=None):
    os.rename(os.path.join(directory, _build(directory)), os.path.join(directory, "one-1.0-py3-none-any.whl"))
    return "one-1.0-py3-none-any.whl"
"""
    backend_sdist(place, "posing", after=poses)
    done = command("wheelhouse", "-w", "out", "-j1", sdist("posing"), sdist("one"), cwd=place)
    assert done.returncode == 1, done.stderr
    assert [row.split()[2] for row in done.stdout.splitlines()[1:-1]] == ["refused", "built"]
