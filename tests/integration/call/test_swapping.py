"""swap() replaces the class that a tool constructs by name, detects callers that bypass it, and undoes the change."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import build
import pyproject_hooks
import pytest
from support.projects import WHEEL, facts, write_project

import isolated_hooks
from isolated_hooks import IsolatedHookCaller, IsolatedHooksMixin, IsolatedRunner, Policy, Swap, SwapError, swap

ORIGINAL = pyproject_hooks.BuildBackendHookCaller
INIT = ORIGINAL.__init__
# Reports a fact that shows, from inside, whether this is the sandbox.
SANDBOXED = """
def get_requires_for_build_wheel(config_settings=None):
    tell(home=os.environ["HOME"])
    return []
"""


@pytest.fixture(autouse=True)
def asserts_everything_is_put_back() -> Iterator[None]:
    yield
    assert pyproject_hooks.BuildBackendHookCaller is ORIGINAL
    assert pyproject_hooks._impl.BuildBackendHookCaller is ORIGINAL
    assert ORIGINAL.__init__ is INIT


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A tool that has imported the class into its own namespace."""
    module = ModuleType("a_tool")
    module.Caller = ORIGINAL  # type: ignore[attr-defined]
    module.make = lambda path: module.Caller(path, "backend", ["."])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_tool", module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", extra=SANDBOXED)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("target", ["a_tool", "a_tool:Caller"])
def test_a_caller_that_a_tool_constructs_runs_hooks_in_a_sandbox(target: str, tool: Any, project: Path) -> None:
    with swap(target) as swapped:
        hooks = tool.make(project)
        assert hooks.get_requires_for_build_wheel() == []
    assert isinstance(hooks, IsolatedHooksMixin)
    assert facts(project) == [{"home": "/sandbox"}]
    assert (swapped.places, swapped.constructed) == (("a_tool:Caller",), 1)
    assert (
        [report.hook for report in swapped.reports]
        == ["get_requires_for_build_wheel"]
        == [report.hook for report in hooks.reports]
    )
    assert tool.Caller is ORIGINAL
    # A caller that exists keeps its sandbox.
    hooks.get_requires_for_build_wheel()
    assert facts(project) == [{"home": "/sandbox"}]


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("target", ["build", "build._builder", "pyproject_hooks"])
def test_build_can_be_swapped_by_its_own_name_or_the_librarys(target: str, project: Path, tmp_path: Path) -> None:
    with swap(target, Policy(env_keep=["X"])) as swapped:
        assert Path(build.ProjectBuilder(project).build("wheel", tmp_path)).name == WHEEL
    assert "pyproject_hooks:BuildBackendHookCaller" in swapped.places
    assert swapped.runner.policy == Policy(env_keep=["X"])
    assert [fact.get("hook") for fact in facts(project)][-1] == "build_wheel"
    assert [report.hook for report in swapped.reports][-1] == "build_wheel"


def test_the_swap_uses_its_policy_or_its_runner(tool: Any, project: Path) -> None:
    policy = Policy(network=True)
    with swap("a_tool", policy):
        assert tool.make(project)._isolated_runner.policy is policy

    class Own(IsolatedRunner):
        pass

    own = Own(policy)
    with swap("a_tool", runner=own) as swapped:
        runner = tool.make(project)._isolated_runner
    assert isinstance(runner, Own)
    assert runner.reports is swapped.reports is own.reports
    with pytest.raises(ValueError, match="not both"):
        swap("a_tool", policy, runner=own)


def test_the_policy_of_the_swap_overrides_that_of_the_tools_runner(tool: Any, project: Path) -> None:
    with swap("a_tool", Policy(source="read-only")):
        hooks = tool.Caller(project, "backend", ["."], runner=IsolatedRunner(Policy(network=True)))
    assert hooks._isolated_runner.policy == Policy(source="read-only")


def test_a_caller_that_bypasses_the_swap_is_refused(tool: Any, project: Path) -> None:
    with pytest.raises(SwapError, match=r"pyproject_hooks.*swap of 'a_tool' does not reach"), swap("a_tool"):
        pyproject_hooks.BuildBackendHookCaller(project, "backend")
    # Our own callers need no swap.
    with swap("a_tool", unused_ok=True):
        assert IsolatedHookCaller(project, "backend", ["."]).reports == []


def test_a_subclass_that_the_tool_defines_is_swapped_itself(tool: Any, project: Path) -> None:
    class Configured(ORIGINAL):  # like pip's class, which has an additional first argument
        def __init__(self, holder: object, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.holder = holder

    tool.Configured = Configured
    with swap("a_tool") as swapped:
        hooks = tool.Configured("holder", project, "backend", ["."])
        assert isinstance(hooks, (IsolatedHooksMixin, Configured))
        assert hooks.holder == "holder"
        assert type(hooks).__name__ == "Configured"
        with pytest.raises(SwapError, match="Configured was constructed"):
            Configured("holder", project, "backend")
    assert swapped.places == ("a_tool:Caller", "a_tool:Configured")


def test_an_unused_swap_is_an_error(tool: Any) -> None:
    with pytest.raises(SwapError, match="no hook caller was made"), swap("a_tool"):
        pass
    with swap("a_tool", unused_ok=True) as swapped:
        pass
    assert swapped.constructed == 0


@pytest.mark.parametrize("code", [None, 0])
def test_an_unused_swap_is_an_error_after_a_successful_exit_too(code: int | None, tool: Any) -> None:
    with pytest.raises(SwapError, match="no hook caller was made"), swap("a_tool"):
        raise SystemExit(code)
    with pytest.raises(SystemExit), swap("a_tool"):
        raise SystemExit(1)


def test_an_error_of_the_block_is_not_replaced(tool: Any) -> None:
    with pytest.raises(ZeroDivisionError), swap("a_tool"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("string", "neither the module nor its loaded submodules"),
        ("no_such_module_at_all", "cannot be imported"),
        ("", "cannot be imported"),
        (".relative", "cannot be imported"),
        ("a_tool:Nothing", "does not exist"),
        ("a_tool:make", "is not a hook caller"),
        ("a_tool:", "does not exist"),
        ("isolated_hooks:IsolatedHookCaller", "is in a sandbox already"),
        ("isolated_hooks.caller:IsolatedHookCaller", "is in a sandbox already"),
    ],
)
def test_nothing_to_swap_is_an_error(target: str, reason: str, tool: Any) -> None:
    with pytest.raises(SwapError, match=reason):
        swap(target)


def test_undo_may_be_called_twice(tool: Any) -> None:
    swapped = swap("a_tool")
    assert isinstance(swapped, Swap)
    assert tool.Caller is not ORIGINAL
    assert inspect.signature(tool.Caller.__mro__[3]) == inspect.signature(ORIGINAL)
    swapped.undo()
    swapped.undo()
    assert tool.Caller is ORIGINAL


def test_a_second_swap_must_be_undone_first(tool: Any) -> None:
    first = swap("a_tool")
    with pytest.raises(SwapError, match="nothing to swap in 'a_tool': it is in a sandbox already"):
        swap("a_tool")
    second = swap("pyproject_hooks")
    with pytest.raises(SwapError, match="another swap of pyproject_hooks"):
        first.undo()
    tool.Caller, ours = None, tool.Caller
    second.undo()
    with pytest.raises(SwapError, match="a_tool:Caller was replaced again"):
        first.undo()
    tool.Caller = ours
    first.undo()


def test_it_is_public() -> None:
    assert {"swap", "Swap", "SwapError"} <= set(isolated_hooks.__all__)
