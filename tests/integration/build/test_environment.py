"""The environment of a build as library users have it, with every version of build, and where build is unknown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import build
import build.__main__
import build.env
import build.util
import pytest
from support.index import Index, backend_sdist, write_wheel
from support.projects import CLI, WHEEL, cannot_run, clean_environ, command, facts, nothing_left, run_text, running
from support.requirements import hostile_wheel, mark, write_needy

from isolated_hooks import IsolatedRunner, Limits, Policy, PolicyError, SandboxUnavailableError
from isolated_hooks.frontends.build import SandboxedEnv, environments
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

VERSIONS = ("1.3.0", "1.4.4", "1.5.0")


@pytest.fixture
def indexed(index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The test's own index, for installers that this process starts."""
    for name, value in index.environ().items():
        monkeypatch.setenv(name, value)
    yield index


@pytest.mark.slow
def test_an_environment_for_library_users(installer: str, indexed: Index, canary: Path, tmp_path: Path) -> None:
    hostile_wheel(indexed, canary)
    write_wheel(indexed.project("second"), "second")
    project = write_needy(tmp_path / "project", ["hostile"], ["second"])
    runner = IsolatedRunner()
    with nothing_left(tmp_path), SandboxedEnv(installer=installer) as env:
        builder = build.ProjectBuilder.from_isolated_env(env, project, runner)
        env.install(builder.build_system_requires)
        env.install(builder.get_requires_for_build("wheel"))
        assert os.path.basename(builder.build("wheel", tmp_path / "out")) == WHEEL
    assert [report.hook for report in runner.reports] == ["get_requires_for_build_wheel", "build_wheel"]
    assert os.listdir(canary) == []
    assert [len(entry["installed"]) for entry in facts(project) if "installed" in entry] == [1, 2]


@pytest.mark.slow
def test_an_environment_tells_what_its_sdists_were_built_by(indexed: Index, tmp_path: Path) -> None:
    backend_sdist(indexed.project("outer"), "outer")
    with nothing_left(tmp_path), SandboxedEnv() as env:
        env.install(["outer"])
        assert [report.hook for report in env.reports if report.hook == "build_wheel"] == ["build_wheel"]
        env.install(["outer"])
        assert len([report for report in env.reports if report.hook == "build_wheel"]) == 1


@pytest.mark.slow
def test_the_metadata_of_a_wheel(indexed: Index, canary: Path, tmp_path: Path) -> None:
    hostile_wheel(indexed, canary)
    write_wheel(indexed.project("second"), "second")
    project = write_needy(tmp_path / "project", ["hostile"], ["second"])
    runner = IsolatedRunner()
    original = build.util.DefaultIsolatedEnv
    with nothing_left(tmp_path), environments(Policy()):
        metadata = build.util.project_wheel_metadata(project, runner=runner)
    assert (metadata["Name"], metadata["Version"]) == ("example", "1.0")
    assert len(runner.reports) == 2
    assert os.listdir(canary) == []
    assert build.util.DefaultIsolatedEnv is build.env.DefaultIsolatedEnv is original
    # By the same function without the swap, which is what counts here, it runs outside.
    build.util.project_wheel_metadata(project, runner=runner)
    assert os.listdir(canary) != []


@pytest.mark.slow
def test_the_option_metadata(index: Index, canary: Path, tmp_path: Path) -> None:
    if "--metadata" not in run_text([sys.executable, "-m", "build", "--help"]).stdout:
        pytest.skip("this version of build has no --metadata")
    hostile_wheel(index, canary)
    write_wheel(index.project("second"), "second")
    project = write_needy(tmp_path / "project", ["hostile"], ["second"])
    with nothing_left(tmp_path):
        done = command("build", "--metadata", project, cwd=tmp_path, environ=index.environ())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "example"
    assert os.listdir(canary) == []


@pytest.mark.slow
def test_what_the_user_has_there_is_not_written_to(index: Index, tmp_path: Path) -> None:
    """The cache of pip is pip's own: what is built in a sandbox finds none."""
    look = "import os; os.makedirs(os.path.expanduser('~/.cache/pip/poisoned'))"
    backend_sdist(index.project("outer"), "outer", extra=look)
    project = write_needy(tmp_path / "project", ["outer"])
    home = tmp_path / "home"
    home.mkdir()
    environ = {**index.environ(), "HOME": str(home), "XDG_CACHE_HOME": ""}
    del environ["PIP_NO_CACHE_DIR"]
    for _ in range(2):
        done = command("build", "-w", "-o", tmp_path / "out", project, cwd=tmp_path, environ=environ)
        assert done.returncode == 0, done.stderr
    assert os.path.isdir(home / ".cache" / "pip")
    assert not os.path.exists(home / ".cache" / "pip" / "poisoned")
    # The second time pip has taken the wheel from its cache: it was built once.
    assert len([path for path in index.asked if path.endswith(".tar.gz")]) == 1


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("version", VERSIONS)
def test_other_versions_of_build(version: str, index: Index, canary: Path, tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(libraries), f"build=={version}"]
    if run_text(argv).returncode:
        cannot_run(f"build {version} cannot be installed")
    hostile_wheel(index, canary)
    write_wheel(index.project("second"), "second")
    backend_sdist(index.project("inner"), "inner", extra=mark(canary, "inner-"))
    project = write_needy(tmp_path / "project", ["hostile"], ["second", "inner"])
    environ = {**index.environ(), "PYTHONPATH": str(libraries)}
    shown = run_text([sys.executable, "-m", "isolated_hooks", "build", "--version"], tmp_path, environ).stdout
    assert shown.startswith(f"build {version} ")
    with nothing_left(tmp_path):
        done = command("build", "-w", "-o", tmp_path / "out", project, cwd=tmp_path, environ=environ)
    assert done.returncode == 0, done.stderr
    assert os.listdir(canary) == []
    told = facts(project)
    assert [entry["installed"] for entry in told if "installed" in entry][-1].keys() == {"hostile", "second", "inner"}


@pytest.mark.parametrize("found", ["", "class ProjectBuilder: pass\n"], ids=["older", "another"])
def test_a_build_that_is_too_old_is_told_so(found: str, tmp_path: Path) -> None:
    package = tmp_path / "old" / "build"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(found)
    done = command("build", "--help", environ={"PYTHONPATH": os.fspath(package.parent)})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ERROR cannot import build into {sys.executable}: ")
    assert "Remedy: install build 1.3 or newer" in done.stderr


def test_a_build_that_installs_in_another_way_is_refused(
    indexed: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = build.env._PipBackend
    monkeypatch.setattr(backend, "sync_dependencies", backend.install_dependencies, raising=False)
    for place in (backend, build.env._EnvBackend):
        monkeypatch.delattr(place, "install_dependencies")
    with nothing_left(tmp_path), pytest.raises(SandboxUnavailableError, match="installs build requirements in a way"):
        SandboxedEnv().__enter__()


def test_a_build_that_makes_environments_in_another_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.__main__, "DefaultIsolatedEnv", object)
    with pytest.raises(SandboxUnavailableError, match=build.__version__), environments(Policy()):
        pass
    assert build.util.DefaultIsolatedEnv is build.env.DefaultIsolatedEnv


def test_an_environment_of_another_kind_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    project = write_needy(tmp_path / "project", [])
    before = build.ProjectBuilder.__dict__["from_isolated_env"]
    with build.env.DefaultIsolatedEnv() as other, environments(Policy()):
        with pytest.raises(SandboxUnavailableError, match=build.__version__):
            build.ProjectBuilder.from_isolated_env(other, project)
        with build.env.DefaultIsolatedEnv() as ours:
            assert build.ProjectBuilder.from_isolated_env(ours, project).python_executable == ours.python_executable
    assert build.ProjectBuilder.__dict__["from_isolated_env"] is before


@pytest.mark.slow
def test_a_python_without_pip_is_told_so(indexed: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import isolated_hooks.frontends.pip.command as pip

    monkeypatch.setattr(pip, "_find_pip", lambda _path: None)
    with nothing_left(tmp_path), SandboxedEnv() as env, pytest.raises(build.BuildException) as caught:
        env.install(["needed"])
    assert isinstance(caught.value.exception, PolicyError)  # type: ignore[attr-defined]
    assert "ensurepip" in str(caught.value)


@pytest.mark.slow
def test_limits_hold_for_sdists_of_requirements(indexed: Index, tmp_path: Path) -> None:
    backend_sdist(indexed.project("slow"), "slow", extra="import time; time.sleep(600)")
    policy = Policy(limits=Limits(wall_time=10))  # it holds for the sandbox that unpacks the sdist, too
    with nothing_left(tmp_path), SandboxedEnv(policy=policy) as env, pytest.raises(build.BuildException, match="slow"):
        env.install(["slow"])
    assert "limit 'wall_time'" in env.reports[-1].error


def _made(directory: Path, name: str) -> bool:
    """Say whether there is a file of that name, in a tree that others change meanwhile (``rglob`` may raise)."""
    return any(name in files for _, _, files in os.walk(directory))


@pytest.mark.slow
def test_an_interrupted_build_leaves_nothing(index: Index, tmp_path: Path) -> None:
    backend_sdist(index.project("slow"), "slow", extra="import time; open('started', 'w'); time.sleep(600)")
    project = write_needy(tmp_path / "project", ["slow"])
    with nothing_left(tmp_path) as temporary:
        environ = clean_environ(**index.environ(), TMPDIR=str(temporary))
        argv = [*CLI, "build", "-w", os.fspath(project)]
        process = subprocess.Popen(
            argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        until = time.monotonic() + 90
        while not _made(temporary, "started") and time.monotonic() < until:
            time.sleep(0.1)
        assert _made(temporary, "started")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(60) != 0


@pytest.mark.slow
def test_the_hooks_of_a_requirement_end_with_a_killed_build(index: Index, tmp_path: Path) -> None:
    """A pip is between the build and these hooks."""
    backend_sdist(index.project("slow"), "slow", extra="import time; open('started', 'w'); time.sleep(600)")
    project = write_needy(tmp_path / "project", ["slow"])
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environ = clean_environ(**index.environ(), TMPDIR=str(temporary))
    argv = [*CLI, "build", "-w", os.fspath(project)]
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _made(temporary, "started"), seconds=90)
    finally:
        process.kill()
        process.wait()
    until(lambda: not running(temporary), seconds=30)
    assert running(temporary) == []
    command("run", "--", "true", cwd=project, environ={"TMPDIR": str(temporary)})
    assert os.listdir(temporary) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "identity", [Identity.MIRROR, Identity.SHARED, Identity.SEPARATE, Identity.CONFINED], ids=lambda i: i.value
)
@pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning")
def test_hosts_that_refuse_something(
    identity: Identity, installer: str, indexed: Index, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0 and identity is not Identity.CONFINED:
        pytest.skip("only root is given another uid")
    refused = frozenset([*Identity][: [*Identity].index(identity)])
    monkeypatch.setattr(trial, "refused_identities", lambda *_: refused)
    first = (Identity.USER, (), False, "native")
    monkeypatch.setattr(trial, "_tried", {first: {"syscall": "unshare", "errno": 1, "stage": "identity"}})
    hostile_wheel(indexed, canary)
    write_wheel(indexed.project("second"), "second", files={"second-1.0.data/scripts/tool": "#!python\n"})
    project = write_needy(tmp_path / "project", ["hostile"], ["second"])
    policy = Policy(allow_degraded=["no-namespaces"])
    runner = IsolatedRunner(policy)
    with nothing_left(tmp_path), SandboxedEnv(installer=installer, policy=policy) as env:
        builder = build.ProjectBuilder.from_isolated_env(env, project, runner)
        env.install(builder.build_system_requires)
        env.install(builder.get_requires_for_build("wheel"))
        assert os.path.basename(builder.build("wheel", tmp_path / "out")) == WHEEL
        owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in Path(env.path).rglob("*")}
        assert owners == {(os.geteuid(), os.getegid())}
    assert os.listdir(canary) == []
    assert [entry["scripts"].count("tool") for entry in facts(project) if "scripts" in entry] == [0, 1]
