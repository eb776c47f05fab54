"""fromager with its hooks in a sandbox: a graph of packages from an index of its own, hostile ones among them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fromagerworld import Done, World, fill_index
from support.plantedhost import PROBES, WORD, PlantedHost, report_in, vulnerable_in
from support.projects import CLI
from support.repository import ROOT

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info < (3, 12), reason="fromager needs Python 3.12 or newer"),
    pytest.mark.skipif(importlib.util.find_spec("fromager") is None, reason="fromager is not installed"),
]

PLAIN = (sys.executable, "-m", "fromager")
OURS = (*CLI, "fromager")
#: Built the same with and without a sandbox; the others tell of what they found.
SAME = ("pure", "markupsafe", "cyfast", "flit_core")
PATCH = ROOT / "docs" / "frontends" / "fromager.patch"
# What startup is built with: from the environment, from the package's settings, and taken out again.
ENVIRON = {
    "FROMAGER_SCRUB_ENV_VARS": "SCRUBBED, SCRUBBED_TOO",
    "SCRUBBED": "1",
    "NINJA_STATUS": "x",
    "LDFLAGS": "-s",
    "KEPT": "1",
}
SETTINGS = {
    "settings": "external_commands:\n  keep_env: [KEPT, LDFLAGS]\n  delete_env: ['ninja_*', 'LDFLAG*', 'INJ*']\n",
    "startup": "env:\n  INJECTED: '1'\n  SCRUBBED_TOO: '1'\n",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_index(tmp_path_factory.mktemp("index") / "files")


@pytest.fixture
def world(tmp_path: Path, index: Path) -> Iterator[World]:
    files = tmp_path / "files"
    shutil.copytree(index, files)
    with PlantedHost(tmp_path).running() as host:
        world = World(host, files)
        world.add_attack()
        with world.serving():
            yield world


def bootstrap(world: World, program: tuple[str, ...], *arguments: str, **more: str) -> Done:
    """Bootstrap the whole graph, always in the same directory, and return the result."""
    output = world.host.root / "output"
    done = world.run(program, *arguments, "bootstrap", "pure", output=output, environ=ENVIRON, **{**SETTINGS, **more})
    assert done.code == 0, done.stderr[-3000:]
    return done


def test_a_graph_is_built_as_without_us_and_nothing_is_vulnerable(world: World) -> None:
    done = bootstrap(world, OURS)
    ours = {name: done.contents(name) for name in SAME}
    assert vulnerable_in(done.wheels) == {}
    assert report_in(done.wheels).keys() >= PROBES
    assert world.host.contents() == world.host.before
    assert not world.mark.exists(), "a .pth file of a build requirement was run outside of a sandbox"
    assert WORD not in done.log
    # Each hook that fromager's runner started, in the sandbox, without its wrapper, and with its log file.
    assert len(done.hooks) == len(done.sandboxed) >= 3 * 5
    assert f"Ran {len(done.hooks)} hooks in a sandbox" in done.stderr
    assert "network isolation: True" in done.log
    starts = [line for line in done.log.splitlines() if "_in_process.py" in line and "running:" in line]
    assert all("-I -S" in line and "run_network_isolation" not in line for line in starts)
    assert "identity is degraded" not in done.log
    assert list(done.output.glob("work-dir/*/build.log"))
    # Build requirements are installed by uv, from fromager's own server.
    assert "installed dependencies" in done.log
    assert "GET /simple/startup/" in done.stdout
    assert "/simple/pure/pure-1.0.tar.gz" in world.served
    environ = done.environ()
    assert environ["KEPT"] == environ["INJECTED"] == "1"
    assert environ["LDFLAGS"] == "-s"
    assert environ["CARGO_NET_OFFLINE"] == "true"
    assert environ.keys() >= {"MAX_JOBS", "VIRTUAL_ENV", "UV_PYTHON"}
    assert environ.keys().isdisjoint(("NINJA_STATUS", "SCRUBBED", "SCRUBBED_TOO", "DEPLOY_TOKEN", "CI_JOB"))
    shutil.rmtree(done.output)

    plain = bootstrap(world, PLAIN, "--no-network-isolation")
    theirs = {name: plain.contents(name) for name in SAME}
    assert [(n, m) for n in SAME for m in {**theirs[n], **ours[n]} if theirs[n].get(m) != ours[n].get(m)] == []
    assert vulnerable_in(plain.wheels).keys() == PROBES
    assert world.mark.exists()
    assert world.host.contents() != world.host.before
    assert sorted(plain.hooks) == sorted(done.hooks)
    assert plain.environ()["DEPLOY_TOKEN"] == WORD


def test_the_entry_point_and_parallel_builds(world: World) -> None:
    switched = {"ISOLATED_HOOKS_FROMAGER": "1"}
    tops = ("build-attack", "needy")
    first = world.run(PLAIN, "bootstrap", "--sdist-only", *tops, output=world.host.root / "first", environ=switched)
    assert first.code == 0, first.stderr[-3000:]
    graph = str(first.output / "work-dir" / "graph.json")
    done = world.run(PLAIN, "-j", "2", "build-parallel", graph, output=world.host.root / "second", environ=switched)
    assert done.code == 0, done.stderr[-3000:]
    for run in (first, done):
        assert len(run.hooks) == len(run.sandboxed) > 0
    assert done.sandboxed.count("build_wheel") == 3
    assert vulnerable_in(done.wheels) == {}
    assert world.host.contents() == world.host.before
    # fromager asks the environment that needy is built in what it has, by its Python.
    assert "importlib.metadata import distributions" in done.log
    assert not world.mark.exists(), "a .pth file of a build requirement was run outside of a sandbox"


def test_the_patch_applies_and_is_enough(world: World, tmp_path: Path) -> None:
    found = importlib.util.find_spec("fromager.dependencies")
    assert found is not None
    assert found.origin is not None
    source = tmp_path / "source" / "src" / "fromager"
    shutil.copytree(Path(found.origin).parent, source, ignore=shutil.ignore_patterns("__pycache__"))
    applied = subprocess.run(
        ["patch", "-p1", "-i", PATCH], cwd=source.parents[1], capture_output=True, text=True, timeout=60
    )
    assert applied.returncode == 0, applied.stdout
    assert "fuzz" not in applied.stdout
    environ = {"PYTHONPATH": str(source.parent)}
    for number, network in enumerate(("--no-network-isolation", "--network-isolation")):
        output = tmp_path / f"output-{number}"
        done = world.run(PLAIN, network, "bootstrap", "build-attack", output=output, environ=environ)
        assert done.code == 0, done.stderr[-3000:]
        # In fromager's own network wrapper there is one uid, called 0. For root it is root's, and the report says so.
        wrapped = network == "--network-isolation"
        assert vulnerable_in(done.wheels).keys() == ({"uid"} if wrapped else set())
        assert ("identity is degraded" in done.stderr) == (wrapped and os.geteuid() == 0)
        assert len(done.hooks) >= 3
        assert world.host.contents() == world.host.before


def test_what_fromager_says_and_exits_with_is_its_own(world: World) -> None:
    failing = 'import sys\ndef build_wheel(*_):\n    sys.exit("no wheel today")\n'
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    world.write_sdist("startup", {"pyproject.toml": pyproject, "backend.py": failing})
    with world.serving():
        done = world.run(OURS, "bootstrap", "startup", output=world.host.root / "output")
        plain = world.run(PLAIN, "bootstrap", "startup", output=world.host.root / "plain")
    assert done.code == plain.code == 1
    assert "no wheel today" in done.log
    assert "command failed with exit code 1" in done.log
    version = subprocess.run([*OURS, "--version"], capture_output=True, text=True, timeout=60)
    assert version.stdout == subprocess.run([*PLAIN, "--version"], capture_output=True, text=True, timeout=60).stdout
    wrong = subprocess.run([*OURS, "--no-such-option"], capture_output=True, text=True, timeout=60, cwd=world.host.root)
    assert wrong.returncode == 2
    assert "No such option" in wrong.stderr


@pytest.mark.parametrize(("word", "code"), [("", 1), ("0", 1), ("1", 0), ("yes", 2), ("/nonexistent/policy.toml", 2)])
def test_the_command_of_the_entry_point_says_what_is_done(tmp_path: Path, word: str, code: int) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "ISOLATED_HOOKS_FROMAGER": word}
    done = subprocess.run(
        [*PLAIN, "isolated-hooks"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert ("Hooks are run in a sandbox." in done.stdout) == (code == 0)
    assert ("ISOLATED_HOOKS_FROMAGER" in done.stderr or "policy.toml" in done.stderr) == (code == 2)


def test_the_policy_file_has_tables_for_packages(world: World) -> None:
    config = world.host.root / "policy.toml"
    config.write_text("env-keep = ['KEPT']\n[packages.startup]\nenv-keep = ['KEPT', 'CI_JOB']\n")
    done = world.run(
        (*OURS, "--config", str(config), "--env-delete", "KEPT2"),
        "bootstrap",
        "startup",
        output=world.host.root / "output",
        environ={"KEPT": "1"},
    )
    assert done.code == 0, done.stderr[-3000:]
    assert done.environ()["CI_JOB"] == WORD
    assert "DEPLOY_TOKEN" not in done.environ()
    assert json.loads((done.output / "work-dir" / "build-order.json").read_text())


def test_recorded_answers_are_given_and_nobody_asks_again(world: World) -> None:
    file = os.fspath(world.host.root / "answers.json")
    recorded = bootstrap(world, (*OURS, "--record-answers", file))
    built = {name: recorded.contents(name) for name in SAME}
    assert any(name.startswith("get_requires_for_build_") for name in recorded.hooks)
    shutil.rmtree(recorded.output)
    done = bootstrap(world, (*OURS, "--answers", file))
    assert {name: done.contents(name) for name in SAME} == built
    assert done.sandboxed
    assert not [name for name in done.hooks + done.sandboxed if name.startswith("get_requires_for_build_")]
