"""A policy in a statement: its form, and which of two allows more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from isolated_hooks.errors import PolicyError
from isolated_hooks.policy import Policy
from isolated_hooks.policy.checks import hyphened
from isolated_hooks.policy.hosts import PRIVATE
from isolated_hooks.policy.keys import HOOKS, KEYS
from isolated_hooks.provenance.policies import RULES, check_stated, stated_policy, weaknesses
from isolated_hooks.provenance.spelling import Spelling


def stated(**values: Any) -> dict[str, Any]:
    return json.loads(json.dumps(stated_policy(Policy(**values), Spelling("/home/me"))))  # type: ignore[no-any-return]


FULL: dict[str, Any] = {
    "network": ["index.example.org:443", f"mirror:443{PRIVATE}"],
    "network_auth": ["index.example.org:443=keyring:somebody"],
    "expose": ["/srv/tools"],
    "writable": ["/srv/cache"],
    "hide": ["/etc/licences"],
    "env_keep": ["MY_*"],
    "env_delete": ["CARGO_*"],
    "env_remove": ["INDEX_PASSWORD"],
    "limits": {"wall_time": 1.5, "memory": 1 << 30, "processes": None},
    "require": ["identity"],
    "allow_degraded": ["hostname"],
    "deep_check": True,
}


def test_each_key_of_a_policy_has_a_rule() -> None:
    assert [*RULES] != []
    assert {*RULES} == {hyphened(name) for name in KEYS}


@pytest.mark.parametrize("values", [{}, FULL], ids=["default", "full"])
def test_a_stated_policy_passes_its_own_check_and_allows_no_more_than_itself(values: dict[str, Any]) -> None:
    policy = stated(**values)
    assert check_stated(policy) == policy
    assert [*weaknesses(policy, policy)] == []


def test_neither_a_user_name_nor_the_home_stands_in_a_policy() -> None:
    policy = stated(**{**FULL, "expose": ["/home/me/tools", "/srv/tools"]})
    text = json.dumps(policy)
    assert "somebody" not in text
    assert "/home/me" not in text
    assert policy["expose"] == ["~/tools", "/srv/tools"]
    assert policy["network-auth"] == ["index.example.org:443=keyring"]
    assert policy["limits"]["wall-time"] == "1.5"


#: The stricter values, those that allow more, and the key.
PAIRS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"hooks": HOOKS}, {"hooks": ["build_wheel"]}, "hooks"),
    ({}, {"network": True}, "network"),
    ({}, {"network": ["a.example.org:443"]}, "network"),
    ({"network": ["a.example.org:443"]}, {"network": True}, "network"),
    ({"network": ["a.example.org:443"]}, {"network": ["a.example.org:443", "b.example.org:443"]}, "network"),
    ({"source": "read-only"}, {"source": "discard"}, "source"),
    ({"source": "discard"}, {}, "source"),
    ({"repository": "hide"}, {}, "repository"),
    ({}, {"expose": ["/srv/x"]}, "expose"),
    ({"expose": ["/srv/x/y"]}, {"expose": ["/srv/x"]}, "expose"),
    ({}, {"writable": ["/srv/x"]}, "writable"),
    ({"hide": ["/srv"]}, {"hide": ["/srv/x"]}, "hide"),
    ({"env_keep": ["A"]}, {"env_keep": ["A", "B"]}, "env-keep"),
    ({"env_keep": ["MY_BUILD_*", "MY_X"]}, {"env_keep": ["MY_*"]}, "env-keep"),
    ({"env_delete": ["*"]}, {"env_delete": ["cargo_*"]}, "env-delete"),
    ({"env_remove": ["A"]}, {}, "env-remove"),
    ({"limits": {"memory": 1}}, {"limits": {"memory": 2}}, "limits"),
    ({"limits": {"memory": 1}}, {}, "limits"),
    ({"limits": {"wall_time": 0.5}}, {"limits": {"wall_time": 0.75}}, "limits"),
    ({"limits": {"free_space": 2}}, {"limits": {"free_space": 1}}, "limits"),
    ({}, {"limits": {"free_space": None}}, "limits"),
    ({"require": ["identity"]}, {}, "require"),
    ({}, {"allow_degraded": ["identity"]}, "allow-degraded"),
    ({}, {"allow_url_requirements": True}, "allow-url-requirements"),
    ({}, {"allow_other_names": True}, "allow-other-names"),
    ({"deep_check": True}, {}, "deep-check"),
]


@pytest.mark.parametrize(("strict", "wide", "key"), PAIRS)
def test_of_two_policies_the_wider_one_is_named(strict: dict[str, Any], wide: dict[str, Any], key: str) -> None:
    assert [*weaknesses(stated(**strict), stated(**wide))] == []
    (sentence,) = weaknesses(stated(**wide), stated(**strict))
    assert sentence.startswith(f"{key} allows more")


def test_another_launcher_is_another_policy_and_a_warm_one_is_not() -> None:
    assert [*weaknesses(stated(launcher="bubblewrap"), stated())] != []
    assert [*weaknesses(stated(), stated(launcher="bubblewrap"))] != []
    assert [*weaknesses(stated(warm=False), stated())] == []


def test_a_path_with_dots_is_not_beneath_another() -> None:
    policy = {**stated(), "expose": ["/srv/x/../../etc"]}
    assert [*weaknesses(check_stated(policy), stated(expose=["/srv/x"]))] != []


WRONG: dict[str, Any] = {
    "network": "yes",
    "hooks": [],
    "source": "anywhere",
    "expose": [1],
    "writable": "/srv",
    "network-auth": [None],
    "env-keep": [{}],
    "limits": {"memory": 1},
    "require": ["filesystem"],
    "allow-degraded": ["nothing"],
    "launcher": 1,
    "deep-check": "true",
    "other": True,
}


@pytest.mark.parametrize("key", WRONG)
def test_a_policy_of_another_form_is_refused(key: str) -> None:
    with pytest.raises(PolicyError):
        check_stated({**stated(), key: WRONG[key]})


def test_what_is_no_policy_is_refused() -> None:
    without = stated()
    del without["launcher"]
    wrong = [None, [], "policy", without, {**stated(), "limits": {**stated()["limits"], "memory": "much"}}]
    for values in (*wrong, {**stated(), "limits": {**stated()["limits"], "memory": -1}}):
        with pytest.raises(PolicyError):
            check_stated(values)


TOKEN = "/srv/ghp_" + "a" * 36
LONG = "/srv" + "/directory" * 300


@pytest.mark.parametrize(
    ("path", "other"),
    [(TOKEN, TOKEN.replace("a", "b")), (LONG, LONG[:-1]), ("/srv/a\\x0a", "/srv/a\n")],
    ids=["withheld", "cut", "escaped"],
)
@pytest.mark.parametrize("name", ["expose", "writable", "hide"])
def test_two_paths_that_share_a_spelling_are_not_taken_for_one(name: str, path: str, other: str) -> None:
    built, given = stated(**{name: [path]}), stated(**{name: [other]})
    assert built[name] == given[name]
    (sentence,) = weaknesses(check_stated(built), given)
    assert sentence.startswith(f"{name} allows more")


@pytest.mark.parametrize("name", ["expose", "writable", "hide", "network-auth"])
def test_an_empty_text_is_no_part_of_a_policy(name: str) -> None:
    with pytest.raises(PolicyError, match=f"{name}: .*none of them empty"):
        check_stated({**stated(), name: [""]})


def test_a_typed_tilde_is_not_the_home() -> None:
    spelling = Spelling("/home/me", typed={"/trees/~/tools": "~/tools"})
    assert spelling.paths(["/trees/~/tools", "/home/me/tools"]) == ["./~/tools", "~/tools"]
