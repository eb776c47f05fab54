"""A plan gives a hook the settings of its caller, and says what it lacks."""

from __future__ import annotations

import pytest
from support.fakes import HOME, LAYOUT, SOURCE, host, situation

from isolated_hooks.plan import Identity, Plan
from isolated_hooks.plan.planner import plan_command
from isolated_hooks.policy import Policy
from isolated_hooks.sandbox.operations import Accounts, Bind, File

FILES = {
    f"{HOME}/.gitconfig": '[user]\nname = Me\n[filter "x"]\nclean = up\n',
    f"{HOME}/.cargo/config.toml": '[source.v]\ndirectory = "/srv/vendor"\n[registry]\ntoken = "hunter2"\n',
    "/etc/gitconfig": "[core]\neol = lf\n",
    "/etc/xml/catalog": "",
    "/srv/vendor/x": "",
    "/srv/bin/up": "",
    "/srv/bin/other": "",
    "/srv/x/lib": "",
    "/srv/.ssh/config": "",
}


def plan_of(policy: Policy | None = None, *, refused: frozenset[Identity] = frozenset(), **environ: str) -> Plan:
    where = situation(host(FILES), refused=refused, user=("me", "us"), environ={"HOME": HOME, **environ})
    return plan_command(("true",), SOURCE, policy or Policy(), where, LAYOUT, stdin="null", terminal="")


def contents(plan: Plan) -> dict[str, str]:
    return {o.target: o.content for o in plan.operations if isinstance(o, File)}


def test_a_hook_finds_the_settings_where_its_programs_look() -> None:
    plan = plan_of()
    files = contents(plan)
    assert 'name = "Me"' in files["/sandbox/.gitconfig"]
    assert 'eol = "lf"' in files["/etc/gitconfig"]
    assert "/srv/vendor" in files["/sandbox/.cargo/config.toml"]
    assert "hunter2" not in "".join(files.values())
    assert plan.files == {}
    shown = {o.source for o in plan.operations if isinstance(o, Bind)}
    assert {"/srv/vendor", "/etc/xml"} <= shown
    assert plan.environ.set["GIT_CONFIG_KEY_1"] == "core.checkStat"


def test_the_hook_has_the_names_of_its_caller() -> None:
    plan = plan_of()
    assert next(o for o in plan.operations if isinstance(o, Accounts)).files(5, 6) == (
        (b"passwd", b"me:x:5:5::/sandbox:/bin/sh\n".replace(b"5:5", b"5:6") + plan_of_nobody()),
        (b"group", b"us:x:6:\nnogroup:x:65534:\n"),
    )
    assert (plan.environ.set["USER"], plan.environ.set["LOGNAME"]) == ("me", "me")


def plan_of_nobody() -> bytes:
    return b"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"


def test_without_a_mount_namespace_the_files_go_into_the_home() -> None:
    plan = plan_of(refused=frozenset(identity for identity in Identity if not identity.confined))
    assert plan.confined
    assert set(plan.files) == {".gitconfig", ".cargo/config.toml"}
    assert {"/etc/xml", "/srv/vendor"} <= {path for path, _ in plan.rules}


@pytest.mark.parametrize(
    "hidden", [f"{HOME}/.gitconfig", f"{HOME}/.cargo", "/etc/gitconfig", "/etc/xml", "/srv/vendor"]
)
def test_what_the_policy_hides_is_not_given(hidden: str) -> None:
    plan = plan_of(Policy(hide=[hidden]))
    target = hidden.replace(HOME, "/sandbox")
    assert not [path for path in contents(plan) if path.startswith(target)]
    assert not [o for o in plan.operations if isinstance(o, Bind) and o.source == hidden]


def test_what_a_hook_lacks_is_said() -> None:
    plan = plan_of(PATH="/usr/bin", CFLAGS="-I/srv/.ssh", pybind11_DIR="/srv/.ssh", Boost_DIR="/usr/lib")
    assert plan.notes == ("CFLAGS names '/srv/.ssh', which is not shown; to show it: --expose /srv/.ssh",)
    assert "pybind11_DIR" in plan.environ.dropped
    assert [line for line in plan.describe() if line.startswith("note: CFLAGS names")]
