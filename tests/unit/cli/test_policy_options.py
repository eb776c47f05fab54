"""The options that make a policy: what they add, what they replace, and what they say of a wrong value."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from isolated_hooks import Policy, PolicyError
from isolated_hooks.cli.options import add_policy_options, leading_options, policies_of, policy_of, spelled_out

FILE = """
expose = ["/srv/one"]
env-keep = ["A"]
launcher = "mine"
source = "read-only"
limits = { wall-time = 5, processes = 7 }
[packages.other]
expose = ["/srv/other"]
"""


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_policy_options(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(FILE)
    return str(path)


def test_no_option_is_the_default_policy() -> None:
    assert policy_of(options()) == Policy()


def test_every_option_has_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = """--network --source read-only --expose more --writable /w --writable w --hide /h --env-keep A
        --env-delete B_* --env-remove C --allow-degraded ipc --allow-degraded network --launcher bubblewrap --deep-check
        --time-limit 9 --limit memory=1K --limit processes=none""".split()
    assert policy_of(options(*arguments)) == Policy(
        network=True,
        source="read-only",
        expose=[tmp_path / "more"],
        writable=["/w", tmp_path / "w"],
        hide=["/h"],
        env_keep=["A"],
        env_delete=["B_*"],
        env_remove=["C"],
        allow_degraded=["ipc", "network"],
        launcher="bubblewrap",
        deep_check=True,
        limits={"wall_time": 9, "memory": 1024, "processes": None},
    )


def test_lists_are_added_to_and_the_rest_is_replaced(file: str) -> None:
    more = ("--expose", "/srv/two", "--env-keep", "B", "--launcher", "native", "--source", "read-write")
    policies = policies_of(options("--config", file, *more, "--limit", "processes=8"))
    assert policies(None).expose == ("/srv/one", "/srv/two")
    assert policies("Other").expose == ("/srv/other", "/srv/two")
    for policy in (policies(None), policies("other")):
        assert (policy.env_keep, policy.launcher, policy.source) == (("A", "B"), "native", "read-write")
        assert (policy.limits.wall_time, policy.limits.processes) == (5, 8)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_limit_of_a_name_wins_over_the_option_of_its_own(order: slice) -> None:
    arguments = [("--time-limit", "9"), ("--limit", "wall-time=none")][order]
    assert policy_of(options(*(word for pair in arguments for word in pair))).limits.wall_time is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--time-limit", "-1"), "--time-limit: expected a positive number of seconds up to 2147483647, got -1"),
        (
            ("--limit", "wall-time=-1"),
            "--limit wall-time: expected a positive number of seconds up to 2147483647, got -1",
        ),
        (("--limit", "memory"), "--limit: expected NAME=VALUE, such as wall-time=3600 or memory=8G, got 'memory'"),
        (("--expose", ""), "--expose: expected a path, got an empty text"),
        (("--launcher", ""), "launcher: expected the name of a launcher, such as native or bubblewrap, got ''"),
        (
            ("--env-keep", "=A"),
            "env_keep: expected the name of a variable as NAME or PREFIX_*, with '*' only at the end, got '=A'",
        ),
        (("--package", "example"), "add --config FILE"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_it(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_of(options(*arguments))
    assert message in str(caught.value)


NAMED = """
network = ["files.example:443"]
[packages.whole]
network = true
[packages.none]
network = false
"""


def test_hosts_are_added_to_those_of_the_file_and_replace_the_whole_network(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(NAMED)
    config = ("--config", str(tmp_path / "policy.toml"))
    policies = policies_of(options(*config, "--network", "a.example:1", "--network=b.example:2"))
    more = ("a.example:1", "b.example:2")
    assert policies(None).network == ("files.example:443", *more)
    assert policies("whole").network == policies("none").network == more
    for alone in ("--network", "--network=all"):
        assert policies_of(options(*config, alone))(None).network is True
    with pytest.raises(PolicyError, match="got both"):
        policy_of(options("--network", "--network=a.example:1"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--network", "."], ["--network=all", "."]),
        (["--network", "tree"], ["--network=all", "tree"]),
        (["--network", "./a:1"], ["--network=all", "./a:1"]),
        (["--network", "/a:1"], ["--network=all", "/a:1"]),
        (["--network", "--deep-check"], ["--network=all", "--deep-check"]),
        (["--network"], ["--network=all"]),
        (
            ["--network", "a:1", "--network", "--network", "[::1]:2"],
            ["--network=a:1", "--network=all", "--network=[::1]:2"],
        ),
        (["--network", "https://a", "."], ["--network=https://a", "."]),
        (["--expose", "--network", "a:1"], ["--expose", "--network", "a:1"]),
        (["--", "--network", "."], ["--", "--network", "."]),
        (["tree", "--theirs", "--network", "."], ["tree", "--theirs", "--network=all", "."]),
    ],
)
def test_the_network_alone_takes_no_path_for_its_value(arguments: list[str], expected: list[str]) -> None:
    parser = argparse.ArgumentParser()
    add_policy_options(parser)
    assert spelled_out(parser, arguments) == expected


def test_only_leading_options_are_ours() -> None:
    parser = argparse.ArgumentParser()
    add_policy_options(parser)
    own, theirs = leading_options(parser, ["--network", "make", "--network", "x"])
    assert (own, theirs) == (["--network=all"], ["make", "--network", "x"])
    own, theirs = leading_options(parser, ["--network", "a:1", "--", "make", "--network"])
    assert (own, theirs) == (["--network=a:1"], ["make", "--network"])
