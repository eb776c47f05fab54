"""The policy of a build of fromager's: its environment and settings, combined with our policy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from isolated_hooks import Policy, PolicyError
from isolated_hooks.frontends.fromager.policies import policy_of_build, policy_of_query, requested, scrubbing


def context(*, keep: tuple[str, ...] = (), delete: tuple[str, ...] = (), network_isolation: bool = True) -> Any:
    filters = SimpleNamespace(
        keep_env=list(keep), delete_env=list(delete), DEFAULT_KEEP_ENV=("HOSTNAME", "LC_*", "PATH")
    )
    return SimpleNamespace(settings=SimpleNamespace(external_commands=filters), network_isolation=network_isolation)


def build(policy: Policy, ctx: Any, *, part: str = "", injected: tuple[str, ...] = ()) -> Policy:
    tree = "/nonexistent/tree"
    return policy_of_build(policy, ctx, injected=injected, build_dir=tree + part, sdist_root_dir=tree)


@pytest.mark.parametrize("word", ["", "0"])
def test_nothing_is_asked_for(word: str) -> None:
    assert requested({"ISOLATED_HOOKS_FROMAGER": word}) is None
    assert requested({}) is None


def test_the_switch_asks_for_the_default_policy_or_for_that_of_a_file(tmp_path: Path) -> None:
    policies = requested({"ISOLATED_HOOKS_FROMAGER": "1"})
    assert policies is not None
    assert policies("anything") == Policy()
    file = tmp_path / "policy.toml"
    file.write_text("env-keep = ['A']\n[packages.Some_Package]\nenv-keep = ['B']\n")
    policies = requested({"ISOLATED_HOOKS_FROMAGER": str(file)})
    assert policies is not None
    assert policies("some.package").env_keep == ("B",)
    assert policies("").env_keep == ("A",)


@pytest.mark.parametrize("word", ["yes", "true", "2", "policy.toml", "/nonexistent/policy.toml"])
def test_any_other_word_is_refused(word: str) -> None:
    with pytest.raises(PolicyError, match=r"ISOLATED_HOOKS_FROMAGER|policy\.toml"):
        requested({"ISOLATED_HOOKS_FROMAGER": word})


def test_scrubbed_names_are_added() -> None:
    policy = Policy(env_remove=["A"])
    assert scrubbing(policy, {"FROMAGER_SCRUB_ENV_VARS": " B,,C , "}).env_remove == ("A", "B", "C")
    assert scrubbing(policy, {}) == policy
    for wrong in ("B C", "B=1", "B_*"):
        with pytest.raises(PolicyError, match="FROMAGER_SCRUB_ENV_VARS"):
            scrubbing(policy, {"FROMAGER_SCRUB_ENV_VARS": wrong})


def test_the_settings_filter_beside_the_policy() -> None:
    policy = build(Policy(env_keep=["A"], env_delete=["B"]), context(keep=("K_*",), delete=("D_*",)), injected=("I",))
    assert policy.env_keep[:3] == ("A", "K_*", "I")
    assert policy.env_delete == ("B", "D_*")
    # What both keep whatever is deleted, and nothing that only fromager does.
    assert {"PATH", "LC_ALL"} <= {*policy.env_keep}
    assert {"HOSTNAME", "LC_*", "TERM"}.isdisjoint(policy.env_keep)
    assert build(Policy(), context()).env_keep == ()


def test_the_network_has_to_be_allowed_by_both() -> None:
    for ours in (True, False):
        for isolated in (True, False):
            policy = build(Policy(network=ours), context(network_isolation=isolated))
            assert policy.network == (ours and not isolated)


def test_a_part_of_a_tree_is_built_within_the_whole() -> None:
    whole = ("/nonexistent/tree",)
    assert build(Policy(), context(), part="/python").writable == whole
    read_only = build(Policy(source="read-only"), context(), part="/python")
    assert (read_only.writable, read_only.expose) == ((), whole)
    assert build(Policy(), context()).writable == ()


def test_a_question_gets_nothing_but_files_to_read() -> None:
    policy = policy_of_query(Policy(network=True, writable=["/opt"], env_keep=["TOKEN"], env_remove=["R"]))
    assert not policy.network
    assert (policy.source, policy.writable, policy.env_keep) == ("read-only", (), ())
    assert policy.env_delete == ("*",)
    assert policy.env_remove == ("R",)
