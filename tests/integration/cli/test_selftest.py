"""``isolated-hooks selftest``: attacks on this host that use only planted targets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.lanes import first_fast
from support.projects import FEW_FILES, clean_environ
from support.repository import NARROW, ROOT, not_sources

from isolated_hooks import Protection
from isolated_hooks.cli import main
from isolated_hooks.cli import selftest as command
from isolated_hooks.selftest import findings
from isolated_hooks.selftest.attacks.table import HARMLESS
from isolated_hooks.selftest.world.processes import until
from isolated_hooks.selftest.world.world import BACKEND

pytestmark = pytest.mark.usefixtures("sandbox")

COMMAND = [sys.executable, "-m", "isolated_hooks", "selftest"]
NO_NAMESPACES = [sys.executable, os.fspath(NARROW), "docker", "--"]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A temporary directory with a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="ih-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _run(*options: str, prefix: tuple[str, ...] | list[str] = ()) -> subprocess.CompletedProcess[str]:
    argv = [*prefix, *COMMAND, *options]
    environ = clean_environ(**FEW_FILES)
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=300)


def _results(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {attack["name"]: attack["result"] for attack in json.loads(done.stdout)["attacks"]}


def test_everything_holds_and_the_document_says_so() -> None:
    done = _run("--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["version"] == 1
    assert document["held"] is True
    assert document["hook"] == "build_wheel"
    assert set(document["protections"]) == {protection.value for protection in Protection}
    assert [attack["name"] for attack in document["attacks"]] == [attack.name for attack in HARMLESS]
    results = _results(done)
    assert set(results.values()) <= {"held", "unshown", "untried"}
    assert results["A01-home"] == results["E08-tcp"] == results["D01-signal"] == "held"
    assert sum(result == "held" for result in results.values()) > 80
    keys = {"name", "tries", "promise", "stopped-by", "origin", "result", "why"}
    assert all(set(attack) == keys for attack in document["attacks"])


@pytest.mark.slow
def test_the_table_has_every_attack() -> None:
    done = _run()
    assert done.returncode == 0, done.stderr
    for attack in HARMLESS:
        assert f" {attack.name} " in done.stdout
    assert "Everything that the policy promises held." in done.stdout
    assert "without the sandbox" in done.stderr


@pytest.mark.slow
def test_targets_that_the_policy_allows_are_no_failure(directory: Path) -> None:
    """The network is open as reported, a variable and a directory are given, and a read-only tree changes nothing."""
    options = ["--network", "--env-keep", "TWINE_PASSWORD", "--source", "read-only", "--expose", "/srv"]
    done = _run("--json", *options)
    assert done.returncode == 0, done.stderr
    results = _results(done)
    assert results["E08-tcp"] == "open"
    assert results["A12-environment"] == "given"
    assert results["C14-set-user-id"] == results["A01-home"] == "held"


@pytest.mark.slow
def test_without_namespaces_it_is_refused_or_reports_open_attacks() -> None:
    """By default the exit code is 3. If the policy allows a weaker sandbox, the results agree with the report."""
    refused = _run(prefix=NO_NAMESPACES)
    assert refused.returncode == 3
    assert refused.stdout == ""
    assert "Remedy: " in refused.stderr
    done = _run("--json", "--allow-degraded", "no-namespaces", prefix=NO_NAMESPACES)
    assert done.returncode == 0, done.stderr
    results = _results(done)
    assert results["A01-home"] == "held"
    assert results["D01-visible"] == results["K11-exists"] == "open"
    why = next(a["why"] for a in json.loads(done.stdout)["attacks"] if a["name"] == "D01-visible")
    assert "processes is degraded" in why


def test_a_broken_promise_gives_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The attack really works, over an open network; the patch hides that the report admits it."""
    attacks = tuple(attack for attack in HARMLESS if attack.name in ("E08-tcp", "A01-home"))
    monkeypatch.setattr(command, "HARMLESS", attacks)
    monkeypatch.setattr(findings, "inactive_protections", lambda _attack, _states: ())
    assert main(["selftest", "--network"]) == 1
    printed = capsys.readouterr().out
    assert "  broken   E08-tcp" in printed
    assert "network should have stopped it" in printed
    assert "did not hold" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    first_fast(
        [
            (["--nothing"], "unrecognized arguments"),
            (["--expose", "/nonexistent/path"], "does not exist"),
            (["--allow-degraded", "everything"], "everything"),
            (["--config", "/nonexistent.toml"], "nonexistent.toml"),
        ]
    ),
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_usage_error_gives_exit_code_2(options: list[str], message: str) -> None:
    done = _run(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_policy_with_one_sandboxed_hook_is_enough(tmp_path: Path) -> None:
    config = tmp_path / "policy.toml"
    config.write_text('hooks = ["build_sdist"]\n')
    done = _run("--json", "--config", os.fspath(config))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["hook"] == "build_sdist"


def test_the_attacks_can_be_listed() -> None:
    done = _run("--list")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(HARMLESS)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "number", first_fast([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]), ids=lambda number: number.name
)
@pytest.mark.parametrize("moment", first_fast(["world", "without", "within"]))
def test_nothing_is_left_if_it_is_ended_at_any_moment(number: int, moment: str, directory: Path) -> None:
    environ = clean_environ(TMPDIR=os.fspath(directory), **FEW_FILES)
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(COMMAND, env=environ, start_new_session=True, text=True, **pipes) as process:
        assert until(lambda: _reached(moment, directory))
        time.sleep({"world": 0.02, "without": 0.1, "within": 0.2}[moment])  # at some point within that stage
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == (130 if number == signal.SIGINT else -number)
        assert "Traceback" not in stderr
    assert until(lambda: not _commands_naming(directory)), _commands_naming(directory)
    assert until(lambda: not list(directory.glob("ih-*"))), list(directory.rglob("*"))[:5]


def _reached(moment: str, directory: Path) -> bool:
    if moment == "world":
        return bool(list(directory.glob("ih-*")))
    if moment == "without":
        return bool(list(directory.glob(os.path.join("ih-*", "work", "pkg", "attacks.json"))))
    return bool(list(directory.glob("ih-*/tmp/*isolated-hooks*/")))


def _commands_naming(path: Path) -> list[str]:
    """Return the command lines of processes that contain a path."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(path) in line:
            commands.append(line.decode(errors="replace"))
    return commands


@pytest.mark.slow
def test_the_wheel_has_the_backend(tmp_path: Path) -> None:
    """The command runs from an installed wheel, where the backend is package data."""
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=not_sources)
    shutil.rmtree(copy / "tests")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    installed = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--no-build-isolation", "--target", installed, copy], check=True)
    names = sorted(path.name for path in (installed / "isolated_hooks/selftest/backend").glob("*.py"))
    assert names == sorted(path.name for path in BACKEND.glob("*.py"))
    environ = clean_environ(PYTHONPATH=os.fspath(installed), **FEW_FILES)
    done = subprocess.run([*COMMAND, "--json"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
