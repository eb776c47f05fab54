"""Build requirements between the packages of one run: who is built first, and which wheels are used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.index import Index, backend_sdist, write_wheel
from support.projects import CLI, clean_environ, command, nothing_left, running, write_project

from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

#: A hook that says what it needs.
NEEDS = """
def get_requires_for_build_wheel(config_settings=None):
    return {needs!r}
"""
#: A hook that builds only with a module of this value.
USES = """
_build = build_wheel
def build_wheel(*args, **kwargs):
    import {module}
    print("value", {module}.VALUE, flush=True)
    assert {module}.VALUE == {value!r}
    return _build(*args, **kwargs)
"""


def uses(module: str, version: str = "1.0", *, built: bool = True) -> str:
    """Return code for the end of a backend that needs a module, of a wheel that this run or somebody else built."""
    value = f"{module}-{version}-py3-none-any.whl"
    return USES.format(module=module, value=f"{module} from an sdist" if built else f"{module} {version}", wheel=value)


def sdist(name: str, version: str = "1.0") -> str:
    return f"{name}-{version}.tar.gz"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(place: Path, index: Index) -> Run:
    """A function that runs the command with arguments, one after the other package, and the test's index."""

    def wheelhouse(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        options = ("wheelhouse", "-w", "out", "--report", "report.json")
        return command(*options, *arguments, cwd=place, environ={**index.environ(), **environ})

    return wheelhouse


def packages(place: Path) -> dict[str, dict[str, Any]]:
    report = json.loads((place / "report.json").read_text())
    return {package["label"]: package for package in report["packages"]}


def outcomes(place: Path) -> dict[str, str]:
    return {label: package["outcome"] for label, package in packages(place).items()}


@pytest.mark.slow
def test_a_package_is_built_before_those_that_need_it(place: Path, run: Run) -> None:
    backend_sdist(place, "first", requires=["second>=1", "third; python_version < '3'"], after=uses("second"))
    backend_sdist(place, "second", after=uses("third") + NEEDS.format(needs=["Third[fast]==1.*"]))
    backend_sdist(place, "third")
    with nothing_left(place):
        done = run("-j1", sdist("first"), sdist("second"), sdist("third"))
    assert done.returncode == 0, done.stderr
    assert "first 1.0 waits for second 1.0" in done.stderr
    assert "second 1.0 waits for third 1.0" in done.stderr
    assert [line.split()[2] for line in done.stderr.splitlines() if "* Built" in line] == ["third", "second", "first"]
    first = packages(place)["first 1.0"]
    second = json.loads((place / "out" / "second-1.0-py3-none-any.whl.json").read_text())
    assert first["requirements"] == ["second>=1"]
    assert [used["name"] for used in first["used"]] == ["second"]
    assert first["used"][0]["sha256"] == second["wheel"]["sha256"]
    assert [used["name"] for used in second["used"]] == ["third"]
    assert "127.0.0.1" not in json.dumps(packages(place))


@pytest.mark.slow
def test_only_a_version_that_fits_is_used(place: Path, run: Run, index: Index) -> None:
    write_wheel(index.project("need"), "need", "2.0")
    write_wheel(index.project("need"), "need", "1.0")
    write_wheel(index.project("other"), "other", "3.0")
    backend_sdist(place, "need")
    backend_sdist(place, "new", requires=["need>=2"], after=uses("need", "2.0", built=False))
    backend_sdist(place, "any", requires=["need"], after=uses("need"))
    backend_sdist(place, "same", requires=["need==1.0", "other"], after=uses("need"))
    done = run("-j2", *map(sdist, ("new", "any", "same", "need")))
    assert done.returncode == 0, done.stderr + json.dumps(packages(place))
    used = {label: [u["name"] for u in package["used"]] for label, package in packages(place).items()}
    assert used == {"new 1.0": [], "any 1.0": ["need"], "same 1.0": ["need"], "need 1.0": []}
    done = run("--independent", sdist("need"), sdist("new"), sdist("any"))
    assert outcomes(place) == {"need 1.0": "built", "new 1.0": "built", "any 1.0": "failed"}


def test_what_a_wheel_of_the_run_depends_on_is_built_first_too(place: Path, run: Run) -> None:
    depends = "\n_B = build_wheel\ndef build_wheel(d, *a):\n    name = _B(d)\n    import shutil\n"
    depends += "    path = os.path.join(d, name)\n    with zipfile.ZipFile(path) as old:\n"
    depends += "        files = {n: old.read(n) for n in old.namelist()}\n"
    depends += "    with zipfile.ZipFile(path, 'w') as new:\n        for n, data in files.items():\n"
    depends += "            more = b'Requires-Dist: lib>=1\\nRequires-Dist: top; extra == \"no\"\\n'\n"
    depends += "            new.writestr(n, data + more if n.endswith('METADATA') else data)\n    return name\n"
    backend_sdist(place, "top", requires=["tool"], after=uses("lib"))
    backend_sdist(place, "tool", after=depends)
    backend_sdist(place, "lib")
    done = run("-j2", *map(sdist, ("top", "tool", "lib")))
    assert done.returncode == 0, done.stderr + json.dumps(packages(place))
    assert sorted(u["name"] for u in packages(place)["top 1.0"]["used"]) == ["lib", "tool"]


@pytest.mark.slow
def test_a_cycle_is_named_and_hangs_nothing(place: Path, run: Run) -> None:
    backend_sdist(place, "a", requires=["b"])
    backend_sdist(place, "b", after=NEEDS.format(needs=["c>0"]))
    backend_sdist(place, "c", requires=["a"])
    backend_sdist(place, "d", requires=["c"])
    backend_sdist(place, "own", requires=["own<1"])
    backend_sdist(place, "free")
    done = run("-j2", *map(sdist, ("a", "b", "c", "d", "own", "free")))
    assert done.returncode == 1, done.stderr
    found = packages(place)
    assert [found[f"{name} 1.0"]["outcome"] for name in "abcd"] == ["failed", "failed", "failed", "stopped"]
    for name in "abc":
        assert "build requirements form a cycle: " in found[f"{name} 1.0"]["error"]
        assert found[f"{name} 1.0"]["error"].count("->") == 3
    assert found["d 1.0"]["error"] == "it needs c 1.0, which was not built"
    assert (found["own 1.0"]["outcome"], found["free 1.0"]["outcome"]) == ("failed", "built")
    assert "Traceback" not in done.stderr


def test_what_needs_a_failed_package_says_so(place: Path, run: Run, index: Index) -> None:
    write_wheel(index.project("broken"), "broken")
    backend_sdist(place, "broken", extra="raise SystemExit(3)")
    backend_sdist(place, "needs", requires=["broken"])
    backend_sdist(place, "further", requires=["needs"])
    done = run(*map(sdist, ("further", "needs", "broken")))
    assert done.returncode == 1
    errors = {label: (package["outcome"], package["error"]) for label, package in packages(place).items()}
    assert errors["broken 1.0"][0] == "failed"
    assert errors["needs 1.0"] == ("stopped", "it needs broken 1.0, which was not built")
    assert errors["further 1.0"] == ("stopped", "it needs needs 1.0, which was not built")


@pytest.mark.slow
def test_a_pinned_package_may_need_another_one_that_no_index_has_as_a_wheel(
    place: Path, run: Run, index: Index
) -> None:
    backend_sdist(index.project("top"), "top", requires=["need"], after=uses("need"))
    backend_sdist(index.project("need"), "need")
    (place / "requirements.txt").write_text("top==1.0\nneed==1.0\n")
    done = run("-r", "requirements.txt")
    assert done.returncode == 0, done.stderr
    assert [used["name"] for used in packages(place)["top 1.0"]["used"]] == ["need"]


@pytest.mark.slow
def test_a_source_tree_is_used_if_its_version_turns_out_to_fit(place: Path, run: Run) -> None:
    write_project(place / "project", extra="del get_requires_for_build_wheel, get_requires_for_build_sdist")
    backend_sdist(place, "fits", requires=["example"])
    backend_sdist(place, "unfit", requires=["example>=100"])
    done = run("example=project", sdist("fits"), sdist("unfit"))
    found = packages(place)
    assert found["fits 1.0"]["outcome"] == "built", done.stderr
    assert [used["name"] for used in found["fits 1.0"]["used"]] == ["example"]
    assert (found["unfit 1.0"]["outcome"], found["unfit 1.0"]["used"]) == ("failed", [])


@pytest.mark.slow
def test_a_source_tree_that_calls_itself_something_supplies_nobody(place: Path, run: Run) -> None:
    """Otherwise it could call itself setuptools, or a hook of it could, and run code in the hooks of all others."""
    write_project(place / "project", extra="del get_requires_for_build_wheel, get_requires_for_build_sdist")
    backend_sdist(place, "victim", requires=["example"])
    run("project", sdist("victim"))
    assert (packages(place)["victim 1.0"]["outcome"], packages(place)["victim 1.0"]["used"]) == ("failed", [])


@pytest.mark.slow
def test_settings_that_know_no_index_and_a_proxy_are_no_obstacle(place: Path, run: Run) -> None:
    backend_sdist(place, "need")
    backend_sdist(place, "top", requires=["need[extra]"], after=uses("need"))
    proxies = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = run(sdist("need"), sdist("top"), PIP_NO_INDEX="1", PIP_PROXY="http://127.0.0.1:9", **proxies)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_resume_builds_what_needs_a_changed_package(place: Path, run: Run) -> None:
    backend_sdist(place, "base")
    backend_sdist(place, "low", extra="X = 1")
    backend_sdist(place, "mid", after=uses("low") + NEEDS.format(needs=["low"]))
    backend_sdist(place, "high", requires=["mid"])
    names = [sdist(name) for name in ("high", "mid", "low", "base")]
    assert run(*names).returncode == 0
    assert run("--resume", *names).returncode == 0
    assert {*outcomes(place).values()} == {"stands"}
    # The same wheel of another sdist changes nothing for others.
    backend_sdist(place, "low", extra="X = 2")
    assert run("--resume", *names).returncode == 0
    before = outcomes(place)
    backend_sdist(
        place,
        "low",
        after="VALUE = 3\n_b = build_wheel\ndef build_wheel(d, *a):\n    n = _b(d)\n"
        "    with zipfile.ZipFile(os.path.join(d, n), 'a') as w:\n        w.writestr('more.py', 'X = 1')\n"
        "    return n\n",
    )
    assert run("--resume", *names).returncode == 0
    assert outcomes(place) == {"high 1.0": "built", "mid 1.0": "built", "low 1.0": "built", "base 1.0": "stands"}
    assert before["base 1.0"] == "stands" and before["low 1.0"] == "built"


@pytest.mark.slow
def test_an_interrupt_ends_those_that_wait(place: Path, index: Index) -> None:
    backend_sdist(place, "hanging", extra="import time; time.sleep(300)")
    backend_sdist(place, "needs", requires=["hanging"])
    temporary = place / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [*CLI, "wheelhouse", "-w", "out", "-j2", sdist("needs"), sdist("hanging")],
        cwd=place,
        env=clean_environ(TMPDIR=os.fspath(temporary), **index.environ()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert until(lambda: any(temporary.rglob("many-*/1/tmp/isolated-hooks-*")))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert until(lambda: not running(temporary))
    assert process.returncode == 130, err
    assert [row.split()[2] for row in out.splitlines()[1:-1]] == ["stopped", "stopped"]
    assert os.listdir(temporary) == []
