"""Launchers: chosen by name, listed by the doctor, installed by other distributions, never silently replaced."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.documents import code_block
from support.each import each
from support.lanes import first_fast
from support.projects import caller, clean_environ, facts, write_project
from support.together import commands

import isolated_hooks
from isolated_hooks import Policy, PolicyError, Protection, ProtectionState, SandboxUnavailableError
from isolated_hooks.launchers import BUILT_IN, find_launcher
from isolated_hooks.launchers import bubblewrap as bubblewrap_launcher
from isolated_hooks.run import trial

pytestmark = pytest.mark.usefixtures("sandbox")

Installer = Callable[..., dict[str, str]]


@pytest.fixture
def install(tmp_path: Path) -> Installer:
    """Return a function that installs the code as a distribution, and returns an environment with all installed ones.

    The name of the distribution, module and launcher is ``polite`` or the function's second argument.
    """

    def install(code: str, name: str = "polite") -> dict[str, str]:
        target = tmp_path / "installed"
        info = target / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        entry = re.search(r"polite = \"(.*)\"", code_block("launchers.rst", "toml", "entry-points"))
        assert entry is not None
        (target / f"{name}.py").write_text(code.replace("polite", name))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[isolated_hooks.launchers]\n{name} = {entry[1].replace('polite', name)}\n"
        )
        package = os.path.dirname(os.path.dirname(isolated_hooks.__file__))
        return clean_environ(PYTHONPATH=f"{target}{os.pathsep}{package}")

    return install


def _isolated_hooks(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isolated_hooks", *arguments]
    environ = clean_environ() if env is None else env
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=120)


def _tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir(parents=True)
    return tree


# Choosing one.


@pytest.mark.slow
def test_every_way_to_choose_one_reaches_the_report(tmp_path: Path, launcher: str) -> None:
    project = write_project(tmp_path / "project")
    hooks = caller(project, Policy(launcher=launcher))
    hooks.build_wheel(os.fspath(tmp_path / "out"))
    assert hooks.reports[-1].launcher == launcher
    assert hooks.reports[-1].to_dict()["launcher"] == launcher
    assert {status.state for status in hooks.reports[-1].protections} == {ProtectionState.ACTIVE}

    config = tmp_path / "policy.toml"
    config.write_text(f'launcher = "{launcher}"\n')
    shown = "tr '\\0' ' ' < /proc/1/cmdline"
    for options in (["--config", os.fspath(config)], ["--launcher", launcher]):
        done = _isolated_hooks("run", *options, "--", "sh", "-c", shown, cwd=_tree(tmp_path / options[0][2:]))
        assert done.returncode == 0, done.stderr
        assert ("bubblewrap_inside" in done.stdout) == (launcher == "bubblewrap")


def test_explain_and_the_doctor_work_with_each_launcher(tmp_path: Path, launcher: str) -> None:
    project = write_project(tmp_path / "project")
    explained = _isolated_hooks("explain", "--launcher", launcher, os.fspath(project), cwd=tmp_path)
    assert explained.returncode == 0, explained.stderr
    sandbox = os.path.join(os.path.dirname(isolated_hooks.__file__), "sandbox")
    assert (f"read-only   {sandbox} (the launcher)\n" in explained.stdout) == (launcher == "bubblewrap")

    document = json.loads(_isolated_hooks("doctor", "--json", "--launcher", launcher, cwd=tmp_path).stdout)
    assert (document["runs"], document["launcher"]) == (True, launcher)
    assert document["launchers"]["native"]["available"] is True
    assert document["launchers"]["bubblewrap"].keys() == {"available", "reason", "remedy"}
    table = _isolated_hooks("doctor", "--launcher", launcher, cwd=tmp_path).stdout
    assert f"with the launcher {launcher}." in table
    assert re.search(r"^native +available", table, re.MULTILINE)


@pytest.mark.slow
def test_a_launcher_that_is_not_installed_is_a_configuration_error(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    with pytest.raises(PolicyError, match=r"'firecracker' is not installed; there are: native, bubblewrap"):
        caller(project, Policy(launcher="firecracker")).get_requires_for_build_wheel()
    assert facts(project) == []
    for command in (["build", "-n"], ["run", "--", "touch", "ran"], ["doctor"], ["explain"]):
        done = _isolated_hooks(command[0], "--launcher", "firecracker", *command[1:], cwd=project)
        assert done.returncode == 2, command
        assert "'firecracker' is not installed" in done.stderr
        assert "isolated_hooks.launchers" in done.stderr
    assert not (project / "ran").exists()


# bubblewrap.


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the launcher look for bwrap in other places."""

    def places(*paths: Path) -> None:
        monkeypatch.setattr(bubblewrap_launcher, "_PATHS", tuple(map(os.fspath, paths)))
        monkeypatch.setattr(trial, "_tried", {})  # of the real one
        bubblewrap_launcher._examine.cache_clear()

    yield places
    bubblewrap_launcher._examine.cache_clear()


def _program(path: Path, version: str, mode: int = 0o755) -> Path:
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("version", "mode", "reason"),
    [
        (None, 0, "there is no"),
        ("bubblewrap 0.8.0", 0o777, "users other than its owner can change it"),
        ("bubblewrap 0.8.0", 0o644, "is not a program"),
        ("bubblewrap 0.8.0", 0o4755, "set-user-ID"),
        ("bubblewrap 0.4.1", 0o755, "bubblewrap 0.4.1"),
        ("something else", 0o755, "does not say which version"),
    ],
)
def test_an_unusable_bwrap_is_refused_with_the_remedy(
    tmp_path: Path, places: Callable[..., None], version: str | None, mode: int, reason: str
) -> None:
    path = tmp_path / "bwrap"
    places(path if version is None else _program(path, version, mode))
    project = write_project(tmp_path / "project")
    with pytest.raises(SandboxUnavailableError) as caught:
        caller(project, Policy(launcher="bubblewrap")).get_requires_for_build_wheel()
    assert reason in caught.value.missing[0]
    assert "the launcher native" in caught.value.remedy
    assert version is None or mode != 0o755 or "apt-get install bubblewrap" in caught.value.remedy
    assert facts(project) == []


def test_a_bwrap_in_path_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of PATH may be in the source tree."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    program = _program(tmp_path / "bwrap", "bubblewrap 0.8.0")
    assert os.fspath(program) not in find_launcher("bubblewrap").availability().reason


@pytest.mark.usefixtures("bubblewrap")
@pytest.mark.parametrize(
    ("script", "message"),
    first_fast(
        [
            ("echo 'bwrap: nothing works here' >&2; exit 1", "nothing works here"),
            # This program ignores all its options, and starts the command.
            ('while [ "$1" != -- ]; do shift; done; shift; exec "$@"', "a look at what bubblewrap made"),
        ]
    ),
)
def test_a_bwrap_that_fails_or_ignores_options_runs_no_hook(
    tmp_path: Path, places: Callable[..., None], script: str, message: str
) -> None:
    path = tmp_path / "bwrap"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo bubblewrap 0.8.0 && exit\n{script}\n')
    path.chmod(0o755)
    places(path)
    project = write_project(tmp_path / "project")
    if os.geteuid() == 0:
        # With a second owner, the launcher starts this program as root. No other user can reach its path.
        os.chown(project / "pyproject.toml", 1001, 1001)
    with pytest.raises((SandboxUnavailableError, isolated_hooks.SandboxSetupError)) as caught:
        caller(project, Policy(launcher="bubblewrap")).get_requires_for_build_wheel()
    assert message in str(caught.value)
    assert facts(project) == []


@pytest.mark.usefixtures("bubblewrap")
def test_a_tree_of_several_owners_is_refused_if_the_policy_requires_identity(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can have a tree of several owners")
    project = write_project(tmp_path / "project")
    os.chown(project / "pyproject.toml", 1001, 1001)
    with pytest.raises(SandboxUnavailableError) as caught:
        caller(project, Policy(launcher="bubblewrap", require=["identity"])).get_requires_for_build_wheel()
    assert "identity is degraded" in caught.value.missing[0]
    assert "native" in caught.value.remedy
    assert facts(project) == []
    hooks = caller(project, Policy(launcher="bubblewrap"))
    with pytest.warns(isolated_hooks.IsolationDegradedWarning, match="several owners"):
        hooks.get_requires_for_build_wheel()
    assert hooks.reports[-1].state(Protection.IDENTITY) is ProtectionState.DEGRADED


@pytest.mark.slow
def test_limits_and_exit_codes_are_the_same_with_each_launcher(tmp_path: Path, launcher: str) -> None:
    tree = _tree(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        done = _isolated_hooks("run", "--launcher", launcher, *arguments, cwd=tree)
        return done.returncode, done.stdout

    assert run("--", "no-such-command") == (127, "")
    assert run("--", os.fspath(tree)) == (126, "")
    assert run("--", "sh", "-c", "kill -9 $$")[0] == 128 + 9
    assert run("--time-limit", "0.5", "--", "sleep", "60")[0] == 124
    config = tmp_path / "policy.toml"
    config.write_text("limits = { processes = 77, open-files = 88, file-size = 4096, cpu-time = 60 }\n")
    code, shown = run("--config", os.fspath(config), "--", "bash", "-c", "ulimit -u; ulimit -n; ulimit -t; ulimit -c")
    assert (code, shown.split()) == (0, ["77", "88", "60", "0"])
    assert run("--config", os.fspath(config), "--", "sh", "-c", "head -c 9000 /dev/zero > x")[0] != 0


# Launchers from other distributions.

_EXAMPLE = code_block("launchers.rst", "python", "import os")


def test_the_example_of_the_document_runs_hooks(tmp_path: Path, install: Installer) -> None:
    env = install(_EXAMPLE)
    tree = _tree(tmp_path)
    done = _isolated_hooks("run", "-v", "--launcher", "polite", "--", "nice", cwd=tree, env=env)
    politeness = min(7 + os.nice(0), 19)
    assert (done.returncode, done.stdout) == (0, f"{politeness}\n"), done.stderr
    document = json.loads(_isolated_hooks("doctor", "--json", "--launcher", "polite", cwd=tree, env=env).stdout)
    assert document["runs"] is True
    assert document["launchers"]["polite"] == {"available": True, "reason": "native, by /usr/bin/nice", "remedy": ""}
    assert list(document["launchers"]) == [*BUILT_IN, "polite"]


def test_a_launcher_that_is_not_available_says_so(tmp_path: Path, install: Installer) -> None:
    env = install(_EXAMPLE.replace("/usr/bin/nice", "/usr/bin/no-such-program"))
    done = _isolated_hooks("run", "--launcher", "polite", "--", "touch", "ran", cwd=_tree(tmp_path), env=env)
    assert done.returncode == 125
    assert "there is no /usr/bin/no-such-program. Remedy: install coreutils" in done.stderr
    assert not (tmp_path / "tree" / "ran").exists()


_DEGRADES = """
        statuses = {status.protection: status for status in self.native.protections(plan)}
        network = Protection("network")
        statuses[network] = ProtectionStatus(network, ProtectionState.DEGRADED, "it leaks", "do not use it")
        return list(statuses.values())
"""


@pytest.mark.slow
def test_the_policy_refuses_a_protection_that_a_launcher_degrades_and_the_report_lists_it(
    tmp_path: Path, install: Installer
) -> None:
    code = _EXAMPLE.replace("import ProtectionStatus", "import Protection, ProtectionState, ProtectionStatus")
    env = install(code.replace("        return self.native.protections(plan)\n", _DEGRADES))
    tree = _tree(tmp_path)
    done = _isolated_hooks("run", "--launcher", "polite", "--", "touch", "ran", cwd=tree, env=env)
    assert done.returncode == 125
    assert "network is degraded: it leaks. Remedy: do not use it" in done.stderr
    assert not (tree / "ran").exists()
    options = ["run", "-v", "--launcher", "polite", "--allow-degraded", "network", "--", "true"]
    done = _isolated_hooks(*options, cwd=tree, env=env)
    assert done.returncode == 0, done.stderr
    assert "degraded: network: it leaks" in done.stderr


#: Changes of the example that break it, each with what the error says; ``polite`` stands for the launcher's own name.
BROKEN = (
    ("import os\n", "import no_such_module\n", "cannot be loaded: ModuleNotFoundError"),
    ("import os\n", "import os(\n", "cannot be loaded: SyntaxError"),
    ("class Polite", "class Rude", "cannot be loaded: AttributeError"),
    ("def __init__(self)", "def __init__(self, needed)", "cannot be loaded: TypeError"),
    ('name = "polite"', 'name = "native"', "expected the name 'polite'"),
    ('    name = "polite"\n', "", "is not a launcher: AttributeError: 'Polite' object has no attribute 'name'"),
    ("= frozenset(Identity)", "= ['user']", "is not a launcher: ValueError: expected the name"),
    ("= frozenset(Identity)", "= frozenset()", "members of Identity"),
    ("...] = ()", "...] = ('bin',)", "absolute paths"),
    ("return Availability(True", "return (True", "cannot report its availability: AttributeError: 'tuple'"),
    ("def availability(self)", "def available(self)", "cannot report its availability: AttributeError"),
    (
        "return self.native.protections(plan)",
        "return self.native.protections(plan)[1:]",
        "every protection once",
    ),
    ("return self.native.protections(plan)", "return ['all']", "report its protections: AttributeError: 'str'"),
    (
        "return self.native.protections(plan)",
        "raise ValueError('odd')",
        "cannot report its protections: ValueError: odd",
    ),
    ("return [NICE", "return ['nice'", "absolute path of a program"),
    ("return [NICE", "return [7", "cannot make a command: TypeError"),
    ("return [NICE", "return [] and [NICE", "absolute path of a program"),
    ("return [NICE", "return 1 / 0 and [NICE", "cannot make a command: ZeroDivisionError"),
    ('NICE = "/usr/bin/nice"', 'NICE = "/usr/bin/false"', "exit 1"),
)


@pytest.mark.slow
def test_a_broken_launcher_is_an_error_that_names_it_and_is_not_replaced(tmp_path: Path, install: Installer) -> None:
    """All of them are installed at once."""
    names = {f"polite{number}": case for number, case in enumerate(BROKEN)}
    for name, (old, new, _) in names.items():
        assert old in _EXAMPLE
        env = install(_EXAMPLE.replace(old, new, 1), name)
    tree = _tree(tmp_path)
    ended = commands([("run", "--launcher", name, "--", "touch", "ran") for name in names], tree, env)

    def check(case: tuple[str, subprocess.CompletedProcess[str]]) -> None:
        name, done = case
        message = names[name][2].replace("polite", name)
        assert done.returncode == 125, done.stderr
        assert message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        if message != "exit 1":
            assert f"{name} 1.0" in done.stderr
            assert f"Remedy: repair or remove {name} 1.0, or choose another launcher" in done.stderr

    each(zip(names, ended, strict=True), check)
    assert not (tree / "ran").exists()
    # The doctor still lists them, and they do not affect frontends that choose another launcher.
    listed = json.loads(_isolated_hooks("doctor", "--json", cwd=tree, env=env).stdout)["launchers"]
    assert sorted(listed) == sorted([*BUILT_IN, *names])
    assert _isolated_hooks("run", "--", "true", cwd=tree, env=env).returncode == 0
