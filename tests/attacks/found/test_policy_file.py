"""Found by attack: a hook that rewrites the policy file in its source tree chooses what the next hook may do."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.factory import Factory, plain_context
from support.projects import caller, facts, write_project

from isolated_hooks import Policy, PolicyError, load_policy
from isolated_hooks.frontends import fromager_plugin

pytestmark = pytest.mark.usefixtures("sandbox")

REWRITES = """
def get_requires_for_build_wheel(config_settings=None):
    with open("policy.toml", "w") as file:
        file.write("network = true\\n")
    tell(ran=True)
    return []
"""


def test_a_policy_file_that_hooks_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isolated_hooks.policy.file._read", {})
    tree = write_project(tmp_path / "tree", extra=REWRITES, files={"policy.toml": "network = false\n"})
    caller(tree, Policy()).get_requires_for_build_wheel()
    assert load_policy(tree / "policy.toml").default.network is True, "the attack works on a file that nobody looks at"
    (tmp_path / "way").symlink_to(tree)
    assert facts(tree) == [{"ran": True}]
    for path in (tree / "policy.toml", tmp_path / "way" / "policy.toml"):
        monkeypatch.setattr("isolated_hooks.policy.file._read", {})
        policy = load_policy(path).default
        with pytest.raises(PolicyError, match="lies where hooks may write"):
            caller(tree, policy).get_requires_for_build_wheel()
    assert facts(tree) == [], "no hook has run again"


def test_a_policy_file_that_hooks_cannot_write_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isolated_hooks.policy.file._read", {})
    tree = write_project(tmp_path / "tree", files={"policy.toml": "source = 'discard'\n"})
    (tmp_path / "policy.toml").write_text("network = false\n")
    for path in (tree / "policy.toml", tmp_path / "policy.toml"):
        monkeypatch.setattr("isolated_hooks.policy.file._read", {})
        assert caller(tree, load_policy(path).default).get_requires_for_build_wheel() == ["packaging>=1"]


def test_the_plug_in_takes_no_policy_from_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the file for each command."""
    monkeypatch.setattr("isolated_hooks.policy.file._read", {})
    factory = Factory(fromager_plugin, plain_context(tmp_path))
    (factory.tree / "policy.toml").write_text("network = false\n")
    monkeypatch.setenv("ISOLATED_HOOKS_FROMAGER", str(factory.tree / "policy.toml"))
    with pytest.raises(PolicyError, match="lies where hooks may write"):
        factory.shell("echo network = true > policy.toml")
    assert (factory.tree / "policy.toml").read_text() == "network = false\n"
