"""``isolated-hooks learn`` around the builds: options, exit codes, and what it writes, with builds that are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks import HookReport, Policy, PolicyError, SandboxUnavailableError, UntrustedResultError
from isolated_hooks.cli import learn
from isolated_hooks.observe.hints import Cause, Finding, hints_of

Build = Callable[[Policy, list[HookReport]], int]


def report(*causes: tuple[Cause, str], error: str = "exit 1") -> HookReport:
    hints = hints_of(Finding(cause=c, what=value, value=value, program="cc1", count=2) for c, value in causes)
    return HookReport("build_wheel", "/src", (), returncode=1, error=error, hints=hints, denied=hints)


@pytest.fixture
def project(tmp_path: Path) -> str:
    (tmp_path / "project").mkdir()
    return str(tmp_path / "project")


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Callable[[Build], list[Policy]]:
    """Replace the builds. The list gets the policy of each."""

    def use(build: Build) -> list[Policy]:
        policies: list[Policy] = []

        def run(arguments: Sequence[str], policy: Policy, **options: Any) -> tuple[int, list[HookReport]]:
            assert options["observes"] and "--outdir" in arguments
            policies.append(policy)
            print("from a build")
            return build(policy, options["detailed"]), options["detailed"]

        monkeypatch.setattr(learn.build, "run", run)
        monkeypatch.setattr(learn, "check_host", lambda policy, observes: None)
        return policies

    return use


def needing(key: str, value: str, cause: Cause) -> Build:
    def build(policy: Policy, reports: list[HookReport]) -> int:
        if value in getattr(policy, key):
            return 0
        reports.append(report((cause, value), (Cause.HOST, "evil.example:443")))
        return 1

    return build


def test_the_policy_goes_to_stdout_alone(
    project: str, builds: Callable[[Build], list[Policy]], capfd: pytest.CaptureFixture[str]
) -> None:
    policies = builds(needing("expose", "/srv/sdk", Cause.READ))
    assert learn.main(["-w", project]) == 0
    out, err = capfd.readouterr()
    assert '"/srv/sdk",  # cc1, build_wheel: it tried to read /srv/sdk' in out
    assert "from a build" not in out and "run 2: it builds" in err
    assert [policy.source for policy in policies] == ["discard", "discard"]
    assert not any(policy.network for policy in policies)


def test_what_takes_a_flag_ends_with_1_and_names_it(
    project: str, builds: Callable[[Build], list[Policy]], capfd: pytest.CaptureFixture[str]
) -> None:
    builds(lambda policy, reports: _failing(reports))
    assert learn.main([project]) == 1
    out, err = capfd.readouterr()
    assert "pass --allow-host evil.example:443" in out and "to try it, pass --allow-host evil.example:443" in err


def _failing(reports: list[HookReport]) -> int:
    reports.append(report((Cause.HOST, "evil.example:443")))
    return 1


def test_an_allowed_host_is_tried(project: str, builds: Callable[[Build], list[Policy]]) -> None:
    def build(policy: Policy, reports: list[HookReport]) -> int:
        return 0 if policy.network == ("evil.example:443",) else _failing(reports)

    assert len(builds(build)) == 0
    assert learn.main(["--allow-host", "evil.example:443", project]) == 0


@pytest.mark.parametrize("error", (UntrustedResultError("a name", "/x"), PolicyError("a path")))
def test_an_error_of_a_later_build_is_a_failure_of_it(
    error: Exception, project: str, builds: Callable[[Build], list[Policy]], capfd: pytest.CaptureFixture[str]
) -> None:
    def build(policy: Policy, reports: list[HookReport]) -> int:
        if policy.expose:
            raise error
        reports.append(report((Cause.READ, "/srv/sdk")))
        return 1

    builds(build)
    assert learn.main([project]) == 1
    err = capfd.readouterr().err
    assert "which is otherwise than in the run before" in err and str(error)[:6] in err


@pytest.mark.parametrize("error", (PolicyError("a path"), SandboxUnavailableError(["it"], "do")))
def test_an_error_of_the_first_build_is_the_commands(
    error: Exception, project: str, builds: Callable[[Build], list[Policy]]
) -> None:
    def build(policy: Policy, reports: list[HookReport]) -> int:
        raise error

    builds(build)
    with pytest.raises(type(error)):
        learn.main([project])


def test_a_build_that_fails_outside_of_hooks(
    project: str, builds: Callable[[Build], list[Policy]], capfd: pytest.CaptureFixture[str]
) -> None:
    builds(lambda policy, reports: 1)
    assert learn.main([project]) == 1
    assert "run 1: the build fails outside of hooks" in capfd.readouterr().err


def test_the_output_does_not_replace_a_file_by_itself(
    project: str, tmp_path: Path, builds: Callable[[Build], list[Policy]]
) -> None:
    builds(lambda policy, reports: 0)
    path = tmp_path / "policy.toml"
    assert learn.main([project, "--output", str(path)]) == 0
    assert "it needs no line" in path.read_text()
    path.write_text("mine")
    with pytest.raises(PolicyError, match="--force"):
        learn.main([project, "--output", str(path)])
    assert path.read_text() == "mine"
    assert learn.main([project, "--output", str(path), "--force"]) == 0
    assert path.read_text() != "mine"


@pytest.mark.parametrize(
    "options",
    (
        ("--source", "read-only"),
        ("--outdir", "x"),
        ("--allow-home", "/usr"),
        ("--allow-home", ""),
        ("--allow-write", "/absent/place"),
        ("--allow-host", "example.org"),
        ("--output", "/absent/place"),
    ),
)
def test_bad_input(options: tuple[str, str], project: str, builds: Callable[[Build], list[Policy]]) -> None:
    policies = builds(lambda policy, reports: 0)
    with pytest.raises(PolicyError, match=options[0]):
        learn.main([*options, project])
    assert policies == []


def test_other_bad_input_and_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PolicyError, match="is no directory"):
        learn.main([str(tmp_path / "absent")])
    for number in ("0", "51", "x", "-1"):
        with pytest.raises(SystemExit) as end:
            learn.main([f"--max-runs={number}", str(tmp_path)])
        assert end.value.code == 2
    assert learn.main(["--help"]) == 0
    assert "--allow-credentials" in capsys.readouterr().out


def test_credentials_are_named_by_path_or_by_name(tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    learn._add_options(parser)
    given = ["--allow-credentials", "MY_TOKEN", "--allow-credentials", f"{tmp_path}/x/../.netrc", "--allow-network"]
    allowed = learn._allowances(parser.parse_args(given))
    assert (allowed.credentials, allowed.network) == (("MY_TOKEN", f"{tmp_path}/.netrc"), True)
