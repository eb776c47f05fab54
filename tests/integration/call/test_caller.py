"""IsolatedHookCaller returns what BuildBackendHookCaller returns, directly and through the APIs of frontends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import build
import build.util
import pyproject_hooks
import pytest
from support.projects import INFO, SDIST, WHEEL, caller, contents, facts, nothing_left, plain_caller, write_project

from isolated_hooks import IsolatedHookCaller, IsolatedHooksMixin, IsolatedRunner, Policy

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.filterwarnings("error::ResourceWarning")]

SETTINGS = {"--global": "a b", "list": ["x", "ü\n"], "nested": {"empty": None, "yes": True}}
# Calls each hook, with a directory for its result.
CALLS: dict[str, Callable[[Any, str], Any]] = {
    "_supported_features": lambda hooks, _: hooks._supported_features(),
    "get_requires_for_build_wheel": lambda hooks, _: hooks.get_requires_for_build_wheel(SETTINGS),
    "get_requires_for_build_sdist": lambda hooks, _: hooks.get_requires_for_build_sdist(SETTINGS),
    "get_requires_for_build_editable": lambda hooks, _: hooks.get_requires_for_build_editable(SETTINGS),
    "prepare_metadata_for_build_wheel": lambda hooks, out: hooks.prepare_metadata_for_build_wheel(out, SETTINGS),
    "prepare_metadata_for_build_editable": lambda hooks, out: hooks.prepare_metadata_for_build_editable(out, SETTINGS),
    "build_wheel": lambda hooks, out: hooks.build_wheel(out, SETTINGS),
    "build_editable": lambda hooks, out: hooks.build_editable(out, SETTINGS),
    "build_sdist": lambda hooks, out: hooks.build_sdist(out, SETTINGS),
}
# Reports facts that show, from inside, whether this is the sandbox: the visible processes, and the home directory.
SANDBOXED = """
def get_requires_for_build_sdist(config_settings=None):
    tell(pids=sorted(int(p) for p in os.listdir("/proc") if p.isdigit()), home=os.environ["HOME"])
    return []
"""


class Recorder:
    """A frontend's runner that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Sequence[str], str | None, Mapping[str, str]]] = []

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        self.calls.append((cmd, cwd, dict(extra_environ or {})))
        subprocess.run(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})}, check=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def is_sandboxed(project: Path) -> bool:
    """Return whether the only call of SANDBOXED since the last check ran in a sandbox."""
    (hook_facts,) = facts(project)
    pids = hook_facts["pids"]
    return os.getpid() not in pids and 1 in pids and len(pids) < 5


@pytest.mark.parametrize("hook", CALLS)
def test_a_hook_returns_the_same(hook: str, project: Path, out: Path, tmp_path: Path) -> None:
    plain_out = tmp_path / "plain"
    plain_out.mkdir()
    expected, plain_facts = CALLS[hook](plain_caller(project), os.fspath(plain_out)), facts(project)
    hooks = caller(project)
    with nothing_left(tmp_path):
        assert CALLS[hook](hooks, os.fspath(out)) == expected
    assert facts(project) == plain_facts
    assert contents(out) == contents(plain_out)
    modes = [{p.name: oct(p.stat().st_mode) for p in d.rglob("*")} for d in (out, plain_out)]
    assert modes[0] == modes[1]
    assert {path.stat().st_uid for path in (out, *out.rglob("*"))} == {os.geteuid()}
    assert [report.hook for report in hooks.reports] == [hook]


@pytest.mark.parametrize("hook", CALLS)
def test_the_frontends_runner_starts_a_hook(hook: str, project: Path, out: Path) -> None:
    recorder = Recorder()
    CALLS[hook](caller(project, runner=recorder), os.fspath(out))
    ((command, cwd, extra),) = recorder.calls
    assert command[0] == sys.executable  # the frontend's own interpreter sets up the sandbox
    assert cwd == os.fspath(project)
    assert "backend" in extra.values()


def test_a_runner_within_a_context_is_sandboxed_and_the_first_one_restored(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=SANDBOXED)
    first, other = Recorder(), Recorder()
    hooks = caller(project, runner=first)
    with hooks.subprocess_runner(other):
        hooks.get_requires_for_build_sdist()
        assert is_sandboxed(project)
    assert (len(first.calls), len(other.calls)) == (0, 1)
    hooks.get_requires_for_build_sdist()
    assert is_sandboxed(project)
    assert (len(first.calls), len(other.calls)) == (1, 1)
    assert len(hooks.reports) == 2


def test_contexts_of_runners_nest_and_survive_errors(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=SANDBOXED)
    runners = [Recorder(), Recorder(), Recorder()]
    hooks = caller(project, runner=runners[0])
    with pytest.raises(KeyError), hooks.subprocess_runner(runners[1]), hooks.subprocess_runner(runners[2]):
        hooks.get_requires_for_build_sdist()
        assert is_sandboxed(project)
        raise KeyError
    hooks.get_requires_for_build_sdist()
    assert is_sandboxed(project)
    assert [len(r.calls) for r in runners] == [1, 0, 1]


def test_an_isolated_runner_is_not_wrapped_twice(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=SANDBOXED)
    runner = IsolatedRunner(Policy())
    hooks = caller(project, runner=runner)
    hooks.get_requires_for_build_sdist()
    with hooks.subprocess_runner(IsolatedRunner()):
        hooks.get_requires_for_build_sdist()
    assert [len(entry["pids"]) < 5 for entry in facts(project)] == [True, True]
    assert hooks.reports is runner.reports
    assert len(runner.reports) >= 1


def test_arguments_may_be_positional(project: Path) -> None:
    recorder = Recorder()
    hooks = IsolatedHookCaller(os.fspath(project), "backend", ["."], recorder, sys.executable)
    assert hooks.get_requires_for_build_wheel() == ["packaging>=1"]
    assert len(recorder.calls) == 1
    plain = plain_caller(project)
    for name in ("source_dir", "build_backend", "backend_path", "python_executable"):
        assert getattr(hooks, name) == getattr(plain, name)
    assert isinstance(hooks, pyproject_hooks.BuildBackendHookCaller)


@pytest.mark.parametrize("path", ["../project-evil", "/", "..", "sub/../../project-evil"])
def test_a_backend_path_out_of_the_tree_is_refused(path: str, project: Path) -> None:
    (project.parent / "project-evil").mkdir()
    with pytest.raises(ValueError, match="paths must be"):
        IsolatedHookCaller(os.fspath(project), "backend", [path])


def test_the_backend_gets_prepared_metadata(project: Path, out: Path, tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    hooks = caller(project)
    name = hooks.prepare_metadata_for_build_wheel(os.fspath(prepared))
    assert hooks.build_wheel(os.fspath(out), metadata_directory=os.fspath(prepared / name)) == WHEEL
    assert facts(project)[-1]["prepared"] == ["METADATA", "WHEEL"]
    assert sorted(os.listdir(prepared)) == [INFO]


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_a_wheel_built_in_place_of_metadata_is_used_again(kind: str, tmp_path: Path, out: Path) -> None:
    project = write_project(tmp_path / "project", without=[f"prepare_metadata_for_build_{kind}"])
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    hooks = caller(project)
    name = getattr(hooks, f"prepare_metadata_for_build_{kind}")(os.fspath(prepared))
    assert name == INFO
    assert [entry["hook"] for entry in facts(project)] == [f"build_{kind}"]
    # Metadata and wheel are the same as from a caller without the sandbox.
    plain = tmp_path / "plain"
    plain.mkdir()
    getattr(plain_caller(project), f"prepare_metadata_for_build_{kind}")(os.fspath(plain))
    assert contents(prepared) == contents(plain)
    facts(project)
    assert getattr(hooks, f"build_{kind}")(os.fspath(out), metadata_directory=os.fspath(prepared / name)) == WHEEL
    assert facts(project) == []
    assert (out / WHEEL).read_bytes() == (prepared / WHEEL).read_bytes()


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_without_fallback_a_missing_hook_raises_hook_missing(kind: str, tmp_path: Path, out: Path) -> None:
    hook = f"prepare_metadata_for_build_{kind}"
    project = write_project(tmp_path / "project", without=[hook])
    with pytest.raises(pyproject_hooks.HookMissing) as caught:
        getattr(caller(project), hook)(os.fspath(out), _allow_fallback=False)
    assert caught.value.hook_name == hook
    assert os.listdir(out) == []


def test_an_editable_wheel_points_back_to_the_source(project: Path, out: Path) -> None:
    caller(project).build_editable(os.fspath(out))
    with zipfile.ZipFile(out / WHEEL) as wheel:
        assert wheel.read("example.pth").decode() == f"{project}\n"


@pytest.mark.parametrize("hook", ["build_wheel", "build_sdist"])
def test_an_output_directory_in_the_source_tree_is_created(hook: str, project: Path) -> None:
    name = getattr(caller(project), hook)(os.fspath(project / "new" / "dist"))
    assert os.listdir(project / "new" / "dist") == [name]


def test_an_artefact_replaces_an_earlier_one(project: Path, out: Path) -> None:
    (out / WHEEL).write_bytes(b"old")
    (out / "other.txt").write_bytes(b"stays")
    caller(project).build_wheel(os.fspath(out))
    assert zipfile.is_zipfile(out / WHEEL)
    assert (out / "other.txt").read_bytes() == b"stays"


def test_a_hook_that_the_policy_leaves_out_runs_without_a_sandbox_and_the_report_says_so(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=SANDBOXED)
    hooks = caller(project, Policy(hooks=["build_wheel"]))
    hooks.get_requires_for_build_sdist()
    assert not is_sandboxed(project)
    assert {s.state.value for s in hooks.reports[0].protections} == {"disabled"}


# The APIs of frontends.


@pytest.fixture
def asserts_same_directory() -> Iterator[None]:
    before = os.getcwd()
    yield
    assert os.getcwd() == before


@pytest.mark.usefixtures("asserts_same_directory")
def test_project_builder_of_build_with_our_runner(project: Path, out: Path) -> None:
    runner = IsolatedRunner()
    builder = build.ProjectBuilder(project, sys.executable, runner)
    assert builder.get_requires_for_build("wheel") == {"packaging>=1"}
    assert builder.build("wheel", out) == os.fspath(out / WHEEL)
    assert builder.build("sdist", out) == os.fspath(out / SDIST)
    assert builder.metadata_path(out) == os.fspath(out / INFO)
    assert [report.hook for report in runner.reports] == [
        "get_requires_for_build_wheel",
        "build_wheel",
        "build_sdist",
        "prepare_metadata_for_build_wheel",
    ]


def test_project_builder_of_an_isolated_environment(tmp_path: Path, out: Path) -> None:
    project = write_project(tmp_path / "project", extra=SANDBOXED + "\ntell(prefix=sys.prefix)\n")
    runner = IsolatedRunner()
    with build.env.DefaultIsolatedEnv() as environment:
        builder = build.ProjectBuilder.from_isolated_env(environment, project, runner)
        assert builder.build("wheel", out) == os.fspath(out / WHEEL)
        assert facts(project)[0]["prefix"] == environment.path
    assert [report.hook for report in runner.reports] == ["build_wheel"]


def test_wheel_metadata_of_build(project: Path) -> None:
    runner = IsolatedRunner(inner=pyproject_hooks.quiet_subprocess_runner)
    metadata = build.util.project_wheel_metadata(project, isolated=False, runner=runner)
    assert metadata["Name"] == "example"
    assert [report.hook for report in runner.reports] == ["prepare_metadata_for_build_wheel"]


def test_a_runner_call_by_position(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=SANDBOXED)

    class Positional(pyproject_hooks.BuildBackendHookCaller):
        def _call_hook(self, hook_name: str, kwargs: Mapping[str, Any]) -> Any:
            runner = self._subprocess_runner
            self._subprocess_runner = lambda cmd, cwd=None, extra_environ=None: runner(cmd, cwd, extra_environ)
            try:
                return super()._call_hook(hook_name, kwargs)
            finally:
                self._subprocess_runner = runner

    runner = IsolatedRunner()
    assert Positional(os.fspath(project), "backend", ["."], runner).get_requires_for_build_sdist() == []
    assert is_sandboxed(project)


def test_the_mixin_wraps_a_subclass_with_its_own_constructor(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=SANDBOXED)

    class Theirs(pyproject_hooks.BuildBackendHookCaller):
        def __init__(self, place: str, source_dir: str, **options: Any) -> None:
            super().__init__(source_dir, "backend", ["."], **options)
            self.place = place

    class Ours(IsolatedHooksMixin, Theirs):
        pass

    hooks = Ours("here", os.fspath(project))
    hooks.get_requires_for_build_sdist()
    assert hooks.place == "here"
    assert is_sandboxed(project)


def test_a_mixin_behind_the_other_class_is_refused() -> None:
    """There it would have no effect."""
    with pytest.raises(TypeError, match="list IsolatedHooksMixin before BuildBackendHookCaller"):

        class Wrong(pyproject_hooks.BuildBackendHookCaller, IsolatedHooksMixin):
            pass

    class Right(IsolatedHookCaller):
        @contextlib.contextmanager
        def subprocess_runner(self, runner: Any) -> Any:
            with super().subprocess_runner(runner):
                yield
