"""What git obeys in a tree is read-only, wherever it lies, and no credential of a repository is shown."""

from __future__ import annotations

import pytest
from support.fakes import DIR, SOURCE, Entry, FakeFilesystem, Link, Shown, host, make_plan

from isolated_hooks.files.paths import Repositories
from isolated_hooks.plan import Plan
from isolated_hooks.policy import Policy
from isolated_hooks.sandbox.operations import Hold, Masked

GIT = f"{SOURCE}/.git"
TOKEN_URL = "\turl = https://hunter2@example.org/a\n"


def _repository(path: str, config: str = "[core]\n") -> dict[str, Entry]:
    return {f"{path}/HEAD": "ref", f"{path}/config": config, f"{path}/objects": DIR, f"{path}/refs": DIR}


def _look(more: dict[str, Entry], **changes: object) -> tuple[Plan, Shown, FakeFilesystem]:
    files = host(more)
    plan = make_plan(files, **changes)  # type: ignore[arg-type]
    return plan, Shown(plan.operations, files), files


def test_a_repository_that_a_file_names_is_read_only() -> None:
    _, inside, _ = _look({GIT: "gitdir: meta/repo\n", **_repository(f"{SOURCE}/meta/repo")})
    for path in (GIT, f"{SOURCE}/meta/repo/config", f"{SOURCE}/meta/repo/HEAD"):
        assert inside.origin(path) == path
        assert not inside.writable(path)
    assert f"{SOURCE}/meta" in inside.mounts, "it could be renamed"


def test_a_link_is_held_and_what_it_leads_to_is_read_only() -> None:
    plan, inside, _ = _look({GIT: Link("../proj/real"), **_repository(f"{SOURCE}/real")})
    assert Hold(GIT) in plan.operations
    assert not inside.writable(f"{SOURCE}/real/config")
    plan, _, _ = _look({GIT: Link("real"), **_repository(f"{SOURCE}/real")}, policy=Policy(source="read-only"))
    assert not [o for o in plan.operations if isinstance(o, Hold)]


def test_the_common_directory_hooks_and_included_files_are_read_only() -> None:
    config = "[core]\n\thooksPath = .husky\n[include]\n\tpath = ../tools/git.config\n\tpath = /etc/x\n"
    more = {
        **_repository(GIT, config),
        f"{GIT}/commondir": "../common\n",
        **_repository(f"{SOURCE}/common"),
        f"{SOURCE}/.husky/pre-commit": "",
        f"{SOURCE}/tools/git.config": "",
        f"{SOURCE}/tools/other": "",
    }
    _, inside, _ = _look(more)
    for path in ("common/config", ".husky/pre-commit", "tools/git.config"):
        assert not inside.writable(f"{SOURCE}/{path}")
    assert inside.writable(f"{SOURCE}/tools/other")


@pytest.mark.parametrize("value", [".", "..", "../..", "/", ""])
def test_a_configuration_that_leads_to_the_tree_itself_does_not_make_it_read_only(value: str) -> None:
    _, inside, _ = _look(_repository(GIT, f"[core]\n\thooksPath = {value}\n"))
    assert inside.writable(f"{SOURCE}/setup.py")


def test_submodules_are_read_only_and_their_credentials_masked() -> None:
    module = f"{GIT}/modules/third/zlib"
    deeper = f"{module}/modules/inner"
    more = {
        **_repository(GIT),
        **_repository(module, f"[core]\n\tworktree = ../../../../third/zlib\n{TOKEN_URL}"),
        **_repository(deeper, "[core]\n\tworktree = ../../../../../../third/zlib/inner\n"),
        f"{SOURCE}/third/zlib/.git": "gitdir: ../../.git/modules/third/zlib\n",
        f"{SOURCE}/third/zlib/inner/.git": "gitdir: x\n",
        f"{SOURCE}/third/zlib/a.c": "",
    }
    plan, inside, _ = _look(more)
    assert not inside.writable(f"{SOURCE}/third/zlib/.git")
    assert not inside.writable(f"{SOURCE}/third/zlib/inner/.git")
    assert inside.writable(f"{SOURCE}/third/zlib/a.c")
    masked = {o.target: o.content for o in plan.operations if isinstance(o, Masked)}
    assert "hunter2" not in masked[f"{module}/config"]
    assert masked.keys() == {f"{module}/config"}


def test_nested_repositories_that_were_found_are_read_only() -> None:
    nested, bare = f"{SOURCE}/a/b/.git", f"{SOURCE}/bare"
    entries = frozenset(((nested, "40000"), (f"{bare}/HEAD", "100000")))
    more = {**_repository(nested, TOKEN_URL), **_repository(bare)}
    plan, inside, _ = _look(more, repositories=(Repositories(SOURCE, entries, complete=True),))
    assert not inside.writable(f"{nested}/config")
    assert not inside.writable(f"{bare}/config")
    assert {f"{SOURCE}/a", f"{SOURCE}/a/b"} <= inside.mounts.keys()
    assert [o.target for o in plan.operations if isinstance(o, Masked)] == [f"{nested}/config"]
    assert plan.repositories[0].paths == (nested, bare)


@pytest.mark.parametrize("policy", [Policy(), Policy(source="read-only")], ids=["read-write", "read-only"])
@pytest.mark.parametrize("name", ["config", "config.worktree"])
def test_credentials_of_the_configuration_are_masked(policy: Policy, name: str) -> None:
    more = {**_repository(GIT), f"{GIT}/{name}": f"[a]\n{TOKEN_URL}", f"{GIT}/credentials": "hunter2"}
    plan, inside, _ = _look(more, policy=policy)
    (masked,) = [o for o in plan.operations if isinstance(o, Masked)]
    assert (masked.target, masked.content) == (f"{GIT}/{name}", "[a]\n\turl = https://example.org/a\n")
    assert inside.reveals(f"{GIT}/{name}") == []
    assert inside.reveals(f"{GIT}/credentials") == []


def test_exposed_and_writable_repositories_are_masked_too() -> None:
    more = {**_repository("/data/one/.git", TOKEN_URL), **_repository("/data/two/.git", TOKEN_URL)}
    plan, inside, _ = _look(more, policy=Policy(expose=["/data/one"], writable=["/data/two"]))
    masked = [o.target for o in plan.operations if isinstance(o, Masked)]
    assert masked == ["/data/one/.git/config", "/data/two/.git/config"]
    assert not inside.writable("/data/two/.git/HEAD")


def test_a_configuration_that_is_too_large_to_look_through_is_not_shown() -> None:
    plan, _, _ = _look(_repository(GIT, "# " + "x" * 70_000 + f"\n{TOKEN_URL}"))
    (masked,) = [o for o in plan.operations if isinstance(o, Masked)]
    assert masked.content.startswith("[core]\n")
    assert len(masked.content) < 100


def test_the_policy_may_make_a_repository_writable() -> None:
    _, inside, _ = _look(_repository(GIT), policy=Policy(writable=[GIT]))
    assert inside.writable(f"{GIT}/config")
