"""The way of a call through what a host may refuse: the next identity, a copy in place of an overlay, or an error."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import subprocess
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from support.scripted import WORKED, Scripted, Started, failed, has_overlay, start

from isolated_hooks import (
    HookReport,
    HookTimeoutError,
    IsolationDegradedWarning,
    Limits,
    Policy,
    PolicyError,
    Protection,
    ProtectionState,
    SandboxSetupError,
    SandboxUnavailableError,
)
from isolated_hooks.files import register, repositories
from isolated_hooks.files.ownership import Owners
from isolated_hooks.files.paths import RealFilesystem
from isolated_hooks.observe.denials import LEFT_OUT
from isolated_hooks.plan import Identity
from isolated_hooks.protections import ProtectionStatus
from isolated_hooks.run import situation
from isolated_hooks.run.command import _CommandRun, check_host, run_command
from isolated_hooks.run.discard import DiscardedTrees

ROOT = os.geteuid() == 0
root_only = pytest.mark.skipif(not ROOT, reason="only root's hooks get another uid")
WEAKER = Policy(allow_degraded=["no-namespaces"])
UNSHARE = failed("unshare", errno.EPERM)


@pytest.fixture(autouse=True)
def no_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans without namespaces ask which files of the whole host are private, which takes seconds."""
    monkeypatch.setattr(RealFilesystem, "private", lambda *_: ())


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "tree"
    path.mkdir()
    return path


def run(
    tree: pathlib.Path,
    policy: Policy | None = None,
    begin: Callable[[list[str]], None] = start,
) -> HookReport:
    """Run a command in a tree, as the command line does, and return the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsolationDegradedWarning)
        return run_command(["/bin/true"], str(tree), policy or Policy(), begin)


def refusing(*identities: Identity, status: Mapping[str, Any] = UNSHARE) -> Callable[[Started], Mapping[str, Any]]:
    """Return the answers of a host that refuses some identities."""
    return lambda started: status if started.identity in identities else WORKED


NAMESPACES = tuple(identity for identity in Identity if not identity.confined)


# Identities.


def test_the_next_identity_is_tried_where_the_host_refuses_one_and_once_for_all_calls(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch, refusing(*NAMESPACES))
    report = run(tree, WEAKER)
    expected = [Identity.SINGLE, Identity.MIRROR, Identity.SHARED, Identity.SEPARATE]
    assert launcher.tried == (expected if ROOT else [Identity.USER, Identity.CONFINED])
    assert [plan.identity for plan in launcher.commands] == [launcher.tried[-1]]
    states = {status.protection: status.state for status in report.protections}
    assert states[Protection.TEMPORARY] is ProtectionState.DEGRADED
    assert report.returncode == 0
    before = len(launcher.started)
    run(tree, WEAKER)
    assert len(launcher.started) == before + 1, "the second call has tried the host again"


@pytest.mark.filterwarnings("ignore::isolated_hooks.IsolationDegradedWarning")
def test_a_degraded_protection_is_a_warning(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted(monkeypatch, refusing(*NAMESPACES))
    with pytest.warns(IsolationDegradedWarning, match="temporary is degraded: without user namespaces: a home and"):
        run_command(["/bin/true"], str(tree), WEAKER, start)


def test_without_namespaces_the_error_names_the_call_and_what_is_weaker(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch, refusing(*NAMESPACES))
    with pytest.raises(SandboxUnavailableError) as caught:
        run(tree)
    assert caught.value.missing[0] == "user namespaces: unshare fails with Operation not permitted"
    assert "temporary" in caught.value.missing[1]
    assert caught.value.remedy.endswith("or allow what is weaker without: --allow-degraded no-namespaces")
    assert launcher.commands == []


@root_only
def test_a_policy_that_allows_no_capability_gets_the_callers_own_user(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch, refusing(*NAMESPACES))
    run(tree, Policy(allow_degraded=["filesystem", "temporary", "processes", "hostname", "identity", "ipc"]))
    assert [plan.identity for plan in launcher.commands] == [Identity.CONFINED]


@pytest.mark.parametrize(
    ("call", "number"), [("mount", errno.EMFILE), ("unshare", errno.ENOMEM), ("fork", errno.EAGAIN)]
)
def test_load_says_nothing_about_the_host(
    call: str, number: int, tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the next call tries the same identity again."""
    answers = iter([failed(call, number)])
    launcher = Scripted(monkeypatch, lambda _: next(answers, WORKED))
    with pytest.raises(SandboxSetupError) as caught:
        run(tree)
    assert (caught.value.syscall, caught.value.errno) == (call, number)
    assert len(launcher.started) == 1
    run(tree)
    assert len({started.identity for started in launcher.started}) == 1
    assert len(launcher.commands) == 1


@pytest.mark.parametrize("raises", [True, False])
def test_an_identity_that_a_wrapper_of_the_runner_refuses_is_not_the_hosts_fault(
    raises: bool, tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial has worked, and then the runner enters a namespace in which nobody may take another uid."""
    refused = failed("setresuid", errno.EINVAL, code=1)
    launcher = Scripted(monkeypatch, lambda s: refused if s.argv and s.identity.traits.other_ids else WORKED)
    begin = start if raises else lambda command: subprocess.run(command, check=False)
    report = run(tree, Policy(allow_degraded=["identity"]), begin)
    identities = [plan.identity for plan in launcher.commands]
    assert identities == ([Identity.SINGLE, Identity.MIRROR, Identity.SHARED] if ROOT else [Identity.USER])
    assert report.returncode == 0


def test_a_launcher_that_knows_no_user_for_this_host_is_refused(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch)
    launcher.identities = frozenset((Identity.RANGE,))  # for root alone, and for a tree of several owners
    with pytest.raises(SandboxUnavailableError, match="knows no user of the hook's own") as caught:
        run(tree)
    assert caught.value.remedy == "use the launcher native"
    assert launcher.started == []


@root_only
def test_a_tree_that_may_have_more_owners_than_we_have_found_is_not_mapped(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch)
    monkeypatch.setattr(situation, "survey", lambda _: Owners((0, 0), "/closed/directory"))
    with pytest.raises(SandboxSetupError, match="may not look into it") as caught:
        run(tree)
    assert caught.value.path == "/closed/directory"
    assert launcher.commands == []
    # Where the identity does not map the owners, nothing depends on them.
    launcher = Scripted(monkeypatch, refusing(Identity.SINGLE))
    run(tree)
    assert [plan.identity for plan in launcher.commands] == [Identity.MIRROR]


# What a launcher or an identity cannot do.


@pytest.mark.parametrize("confined", [False, True])
def test_named_hosts_take_a_launcher_and_an_identity_that_can_lead_there(
    confined: bool, tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch, refusing(*NAMESPACES) if confined else lambda _: WORKED)
    launcher.proxied = confined
    with pytest.raises(SandboxUnavailableError) as caught:
        run(tree, Policy(network=["index.example.org:443"], allow_degraded=["no-namespaces"]))
    missing, remedy = " ".join(caught.value.missing), caught.value.remedy
    assert remedy.endswith("; or set network = false")
    if confined:
        assert missing.endswith("a network namespace of their own, which takes user namespaces")
    else:
        assert missing == "the launcher native cannot lead hooks to named hosts alone"
    assert launcher.commands == []


@pytest.mark.parametrize("confined", [False, True])
def test_a_hook_is_observed_or_refused(confined: bool, tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Scripted(monkeypatch, refusing(*NAMESPACES) if confined else lambda _: WORKED)
    call = _CommandRun(["/bin/true"], str(tree), WEAKER, start)
    call.observes = True
    if not confined:
        call.execute()
        (plan,) = launcher.commands
        assert plan.observed
    launcher.observes = confined
    with pytest.raises(SandboxUnavailableError) as caught:
        call.execute()
    assert caught.value.remedy.endswith("build without --explain-denials")
    assert ("takes user namespaces" if confined else "launcher native cannot observe") in caught.value.missing[0]
    assert len(launcher.commands) == (not confined)


@pytest.mark.parametrize("code", [0, 1])
def test_an_observed_call_tells_what_it_was_denied_and_only_a_failure_hints(
    code: int, tree: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sdk").mkdir()
    seen = [("read", os.fsencode(tmp_path / "sdk"), b"cc1", 3), (LEFT_OUT, b"", b"", 5)]
    Scripted(monkeypatch, ended({"state": "exited", "code": code, "seen": seen}))
    reports: list[HookReport] = []
    call = _CommandRun(["/bin/cc"], str(tree), Policy(), start, reports.append)
    call.observes = True
    with pytest.raises(subprocess.CalledProcessError) if code else contextlib.nullcontext():
        call.execute()
    (report,) = reports
    (denied,) = report.denied
    assert f"{tmp_path}/sdk" in str(denied)
    assert report.hints == (report.denied if code else ())
    assert bool(report.explanation) is bool(code)
    assert any("5 further calls" in note for note in report.notes)


def test_what_the_policy_requires_and_the_launcher_lacks_is_named_before_anything_runs(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = ProtectionStatus(Protection.NETWORK, ProtectionState.UNAVAILABLE, "it has no way to do it", "use another")
    launcher = Scripted(monkeypatch, wrong=[lacks])
    with pytest.raises(SandboxUnavailableError) as caught:
        run(tree)
    assert caught.value.missing == ("network is unavailable: it has no way to do it",)
    assert caught.value.remedy == "use another"
    assert launcher.started == []
    assert run(tree, Policy(allow_degraded=["network"])).returncode == 0


def test_a_tree_with_the_register_in_it_is_refused(
    tree: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Scripted(monkeypatch)
    monkeypatch.setattr(register, "_PARENTS", (f"{tmp_path}/tree",))
    register._real_paths.cache_clear()
    for policy, source in ((Policy(), tree), (Policy(writable=[str(tree)]), tmp_path / "other")):
        source.mkdir(exist_ok=True)
        with pytest.raises(PolicyError, match="isolated-hooks notes what its calls have to remove"):
            run(source, policy)
    assert launcher.started == []


# How a command ended.


def ended(status: Mapping[str, Any] | None) -> Callable[[Started], Mapping[str, Any] | None]:
    """Return the answers of a host on which everything works, and the command ends in some way."""
    return lambda started: status if started.argv else WORKED


def test_the_code_of_a_command_is_reported_and_no_error(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted(monkeypatch, ended({"state": "exited", "code": 3}))
    for begin in (start, lambda command: subprocess.run(command, check=False)):
        if begin is start:
            with pytest.raises(subprocess.CalledProcessError):
                run(tree, begin=begin)
        else:
            report = run(tree, begin=begin)
            assert report.returncode == 3
            assert report.error


def test_a_limit_is_an_error_with_its_value(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted(monkeypatch, ended({"state": "exited", "code": 124, "limit": "wall_time"}))
    with pytest.raises(HookTimeoutError) as caught:
        run(tree, Policy(limits=Limits(wall_time=7)))
    assert (caught.value.limit, caught.value.seconds) == ("wall_time", 7)


def test_a_launcher_that_was_killed_is_reported_as_killed(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        pass
    Scripted(monkeypatch, ended({"pid": process.pid, "born": b"1", "code": 0}))
    assert run(tree).returncode == -9


def test_what_the_runner_raises_before_it_starts_anything_passes_through(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scripted(monkeypatch)
    error = OSError(errno.EACCES, "the frontend's own")

    def refuse(_: list[str]) -> None:
        raise error

    with pytest.raises(OSError) as caught:
        run(tree, begin=refuse)
    assert caught.value is error


# What a command leaves in its tree.


def test_a_repository_that_a_command_leaves_is_renamed_with_a_warning(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scripted(monkeypatch)

    def begin(command: list[str]) -> None:
        (tree / ".git").mkdir(exist_ok=True)
        start(command)

    with pytest.warns(UserWarning, match=r"a repository of git that /bin/true left at '.*/\.git' was renamed"):
        report = run(tree, begin=begin)
    assert report.set_aside == (f"{tree}/.git",)
    assert not (tree / ".git").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no hook can have made it
        assert run(tree, Policy(source="read-only"), begin).set_aside == ()
    assert (tree / ".git").exists()


def test_a_tree_that_a_command_makes_too_large_to_search_is_told(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scripted(monkeypatch)
    monkeypatch.setattr(repositories, "_MOST_NEW", 20)

    def begin(command: list[str]) -> None:
        for number in range(30):
            (tree / str(number)).mkdir()
        start(command)

    (note,) = (note for note in run(tree, begin=begin).notes if "repositories of git" in note)
    assert f"more directories in {tree} than we search" in note
    assert "-c core.hooksPath=/dev/null" in note


# Changes that are discarded.


@pytest.mark.parametrize("works", [True, False])
def test_changes_go_to_an_overlay_or_where_the_host_has_none_to_a_copy(
    works: bool, tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "file").write_text("text")
    refused = failed("mount", errno.EINVAL, "filesystem")
    launcher = Scripted(monkeypatch, lambda s: refused if has_overlay(s.plan) and not works else WORKED)
    seen: list[list[str]] = []

    def begin(command: list[str]) -> None:
        (plan,) = launcher.commands[-1:]
        assert plan.discarded is not None
        seen.append(sorted(os.listdir(plan.discarded.path)))
        start(command)

    assert run(tree, Policy(source="discard"), begin).returncode == 0
    (plan,) = launcher.commands
    assert plan.discarded is not None
    assert plan.discarded.overlay is has_overlay(plan) is works
    assert seen == ([["upper", "work"]] if works else [["file"]])
    assert not os.path.exists(plan.discarded.path)
    run(tree, Policy(source="discard"), begin)
    assert len([s for s in launcher.started if not s.argv and has_overlay(s.plan)]) == 1, "it was tried twice"


def test_load_does_not_turn_an_overlay_into_a_copy(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = failed("mount", errno.ENOMEM, "filesystem")
    launcher = Scripted(monkeypatch, lambda s: full if has_overlay(s.plan) else WORKED)
    with pytest.raises(SandboxSetupError) as caught:
        run(tree, Policy(source="discard"))
    assert caught.value.errno == errno.ENOMEM
    assert launcher.commands == []


@pytest.mark.parametrize("ran", [True, False])
def test_only_a_command_that_has_run_binds_the_later_ones_to_its_overlay(
    ran: bool, tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then there are no changes that a copy would lose."""
    Scripted(monkeypatch, ended({**WORKED, "running": True} if ran else failed("chdir", errno.ENOENT, "directory")))
    views = DiscardedTrees()
    call = _CommandRun(["/bin/true"], str(tree), Policy(source="discard"), start)
    call.discards = views
    try:
        with contextlib.nullcontext() if ran else pytest.raises(SandboxSetupError):
            call.execute()
        assert views.of(str(tree), (), overlay=True).used is ran
    finally:
        views.close()


def test_a_host_is_checked_without_any_command(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Scripted(monkeypatch, lambda _: {**WORKED, "degraded": {"hostname": "another one was refused"}})
    found = {status.protection: status for status in check_host(Policy())}
    assert launcher.commands == []
    assert found[Protection.HOSTNAME].state is ProtectionState.DEGRADED
    assert found[Protection.HOSTNAME].reason == "another one was refused"
    assert found[Protection.FILESYSTEM].state is ProtectionState.ACTIVE
