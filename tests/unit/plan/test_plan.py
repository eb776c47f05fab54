from __future__ import annotations

import dataclasses
import json
import marshal
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import CONTROL, DIR, SOURCE, FakeFilesystem, Link, hook_call, host, make_plan

from isolated_hooks.files.ownership import Owners
from isolated_hooks.plan import Identity, Plan
from isolated_hooks.policy import Policy
from isolated_hooks.sandbox.operations import OPERATIONS, from_wire

KEY = bytes(range(32))
CANARIES = {
    "AWS_SECRET_ACCESS_KEY": "canary-secret-key",
    "GITHUB_TOKEN": "canary-token",
    "UNHEARD_OF": "canary-unlisted",
    "LD_PRELOAD": "/canary/preload.so",
    "PIP_INDEX_URL": "https://canary-user:canary-password@index.example/simple",
    "PYTHONPATH": "/canary/pythonpath",
    "CFLAGS": "-Dproxy=http://canary-in-cflags:canary@proxy",
    "DROPPED_BY_POLICY": "canary-dropped-by-policy",
    "CARGO_HOME": "/canary/cargo-home",
    "HTTPS_PROXY": "http://canary-proxy:3128",
    "SSH_AUTH_SOCK": "/canary/agent.sock",
}
KEPT = {"MAX_JOBS": "12", "LANG": "C.UTF-8"}


def root(**changes: Any) -> Plan:
    return make_plan(owners=Owners((0, 0)), **changes)


def plans() -> dict[str, Plan]:
    """Return one plan for each kind."""
    big = Owners(None)
    mapped = frozenset((Identity.SINGLE, Identity.RANGE))
    return {
        "user": make_plan(),
        "single": root(),
        "range": make_plan(owners=big),
        "mirror": make_plan(owners=big, refused=mapped),
        "shared": make_plan(owners=big, refused=mapped | {Identity.MIRROR}),
        "separate": make_plan(owners=big, refused=mapped | {Identity.MIRROR, Identity.SHARED}),
        "confined": make_plan(refused=frozenset((Identity.USER,))),
        "network": make_plan(policy=Policy(network=True)),
        "no output": make_plan(call=hook_call("get_requires_for_build_wheel")),
    }


def wire(plan: Plan) -> dict[str, Any]:
    """Return the plan as the child receives it."""
    received: dict[str, Any] = marshal.loads(marshal.dumps(plan.to_wire(KEY)))
    return received


@pytest.mark.parametrize("kind", plans())
def test_a_plan_arrives_in_the_child_unchanged(kind: str) -> None:
    plan = plans()[kind]
    received = wire(plan)
    assert received == plan.to_wire(KEY)
    operations = [from_wire(name, values) for name, values in received["operations"]]
    sent = () if plan.confined else plan.operations
    assert [o.describe() for o in operations] == [o.describe() for o in sent]
    assert received["confined"] == plan.confined == bool(received["rules"])
    assert received["identity"]["enter"] == plan.identity.value.encode()
    assert [name.decode() for name in received["identity"]["capabilities"]] == list(plan.capabilities)
    assert received["cwd"] == os.fsencode(plan.cwd)
    assert received["hostname"] == b"localhost"


def test_these_tests_cover_every_identity() -> None:
    assert {plan.identity for plan in plans().values()} == set(Identity)


def texts(value: object) -> list[str]:
    """Return every text in nested containers, without the keys of dictionaries."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    return [text for item in value for text in texts(item)] if isinstance(value, (list, tuple)) else []


@pytest.mark.parametrize("kind", plans())
def test_the_kernel_gets_bytes(kind: str) -> None:
    """The child has no locale, so it cannot encode text."""
    assert set(texts(wire(plans()[kind]))) <= set(OPERATIONS)


def with_canaries() -> Plan:
    environ = {"PATH": "/usr/bin:/bin", **CANARIES, **KEPT}
    return make_plan(environ=environ, started_with=environ, policy=Policy(env_delete=("DROPPED_*",)))


def test_the_value_of_a_dropped_variable_is_neither_sent_nor_shown() -> None:
    plan = with_canaries()
    data = marshal.dumps(plan.to_wire(KEY))
    shown = "\n".join((json.dumps(plan.to_dict()), *plan.describe(), repr(plan), str(plan)))
    assert all("canary" in value for value in CANARIES.values())
    assert b"canary" not in data
    assert "canary" not in shown


def test_the_caller_and_the_child_get_the_name_of_a_dropped_variable() -> None:
    plan = with_canaries()
    dropped = set(CANARIES) - {"CARGO_HOME"}  # adapted to the sandbox
    assert set(plan.environ.dropped) == dropped
    line = next(line for line in plan.describe() if line.startswith("environment, dropped: "))
    assert set(line.partition(": ")[2].split()) == dropped
    assert {name.decode() for name in wire(plan)["environ"]["dropped"]} == dropped


def test_without_the_key_nobody_can_guess_a_dropped_value() -> None:
    plan = with_canaries()
    one, other = (plan.to_wire(key)["environ"]["dropped"] for key in (KEY, bytes(32)))
    assert one.keys() == other.keys()
    assert not set(one.values()) & set(other.values())


def test_a_kept_variable_is_not_sent_because_the_child_inherits_it() -> None:
    data = marshal.dumps(with_canaries().to_wire(KEY))
    assert b"C.UTF-8" not in data


def test_only_the_limits_of_the_policy_are_sent() -> None:
    nothing = {"processes": None, "log_size": None, "free_space": None, "temp_size": 5, "output_size": 6}
    received = wire(make_plan(policy=Policy(limits=nothing)))
    assert (received["limits"], received["supervised"]) == ({}, {})
    assert received["watched"] == {"output_size": 6}  # temporary files are on a tmpfs
    limits = {"cpu_time": 1, "processes": 2, "open_files": 3, "file_size": 4, "wall_time": 1.5, "idle_time": 7}
    more = {"memory": 8, "log_size": 9, "free_space": 10}
    policy = Policy(limits=nothing | limits | more)
    received = wire(make_plan(policy=policy))
    assert received["limits"] == {"CPU": 1, "NPROC": 2, "NOFILE": 3, "FSIZE": 4}
    assert received["supervised"] == {"wall_time": 1.5, "idle_time": 7.0, "log_size": 9}
    watched = {"cpu_time": 1, "memory": 8, "free_space": 10, "output_size": 6}
    assert received["watched"] == watched
    confined = wire(make_plan(policy=policy, refused=frozenset((Identity.USER,))))
    # Without namespaces the kernel also counts the caller's other processes.
    assert confined["watched"] == {**watched, "processes": 2, "temp_size": 5}


@pytest.mark.parametrize(("source", "writes"), [("read-write", [SOURCE]), ("read-only", [])])
def test_free_space_is_watched_in_every_directory_the_hook_can_write_to(source: Any, writes: list[str]) -> None:
    received = wire(make_plan(policy=Policy(source=source)))
    assert received["writes"] == [os.fsencode(path) for path in writes]


@pytest.mark.parametrize("network", [False, True])
def test_the_hook_has_the_callers_network_only_if_the_policy_allows_it(network: bool) -> None:
    received = wire(make_plan(policy=Policy(network=network)))
    assert received["network"] is network
    assert received["scope"] is network  # only then can the hook reach the host's abstract sockets
    words = "\n".join(make_plan(policy=Policy(network=network)).describe())
    assert ("network: the caller's" in words) is network


def test_only_protections_that_the_policy_names_may_be_degraded() -> None:
    assert {b"processes", b"identity"} <= set(wire(make_plan())["degradable"])
    assert not {b"ipc", b"filesystem", b"network", b"syscalls"} & set(wire(make_plan())["degradable"])
    assert b"ipc" in wire(make_plan(policy=Policy(allow_degraded=("ipc",))))["degradable"]
    assert b"processes" not in wire(make_plan(policy=Policy(require=("processes",))))["degradable"]


def test_the_plan_names_every_tree_with_new_files() -> None:
    files = host({"/data/out": DIR, "/src": Link("/home/u/code/proj")})
    plan = make_plan(files, call=hook_call(source_dir="/src"), policy=Policy(writable=("/data/out",)))
    assert wire(plan)["trees"] == [b"/home/u/code/proj", b"/data/out"]


def test_the_single_owner_of_the_tree_is_sent() -> None:
    plan = make_plan(owners=Owners((1001, 105)))
    assert wire(plan)["owner"] == (1001, 105)


@pytest.mark.parametrize("kind", plans())
def test_a_plan_can_be_written_as_json(kind: str) -> None:
    plan = plans()[kind]
    document = json.loads(json.dumps(plan.to_dict()))
    assert document["argv"] == list(plan.argv)
    assert document["identity"] == plan.identity.value
    assert document["capabilities"] == list(plan.capabilities)
    assert document["policy"] == json.loads(json.dumps(plan.policy.to_dict()))


@pytest.mark.parametrize("kind", plans())
def test_the_json_and_the_description_name_every_operation(kind: str) -> None:
    plan = plans()[kind]
    words = list(plan.describe())
    if not plan.confined:
        document = json.loads(json.dumps(plan.to_dict()))["operations"]
        assert [o["operation"] for o in document] == [type(o).__name__ for o in plan.operations]
        assert all(o["operation"] in OPERATIONS and o["target"] for o in document)
        at = words.index("filesystem, from nothing:") + 1
        for line, operation in zip(words[at:], plan.operations, strict=False):
            reason = plan.reasons.get(operation.target, "the system")
            why = "" if reason == "the system" else f" ({reason})"
            assert line == f"  {operation.describe()}{why}"
    else:
        for path, _ in plan.rules:
            assert any(line.startswith("  ") and f"  {path}" in f"{line} " for line in words), path


def test_without_namespaces_neither_description_nor_json_name_operations() -> None:
    plan = plans()["confined"]
    assert wire(plan)["operations"] == []
    assert not any("synthetic" in line or "fresh" in line for line in plan.describe())
    assert json.loads(json.dumps(plan.to_dict()))["operations"] == []


@pytest.mark.parametrize("kind", plans())
def test_the_description_names_command_directory_and_identity(kind: str) -> None:
    plan = plans()[kind]
    words = "\n".join(plan.describe())
    for part in (*plan.argv, plan.cwd, "identity: ", "capabilities: ", "network: ", "namespaces: "):
        assert part in words
    assert f"capabilities: {' and '.join(plan.capabilities) or 'none'}, " in words
    for name in ("HOME", "TMPDIR", "GIT_CONFIG_VALUE_0"):
        assert name in next(line for line in plan.describe() if line.startswith("environment, set: "))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Plan)])
def test_a_plan_cannot_be_changed(field: str) -> None:
    plan = make_plan()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(plan, field, None)


def test_the_same_situation_leads_to_the_same_plan() -> None:
    one, other = make_plan(), make_plan()
    assert one.operations == other.operations
    assert one.to_wire(KEY) == other.to_wire(KEY)
    assert list(one.describe()) == list(other.describe())


def nameable(name: str) -> bool:
    """Return whether the filesystem can have this name: the only surrogates in it stand for bytes."""
    return name not in (".", "..") and not any(0xD800 <= ord(c) < 0xDC80 or 0xDCFF < ord(c) < 0xE000 for c in name)


@settings(max_examples=100, deadline=None, database=None)
@given(name=st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1).filter(nameable))
def test_a_plan_with_arbitrary_bytes_in_names_can_be_sent_and_written(name: str) -> None:
    source = f"/data/{name}"
    files: FakeFilesystem = host({f"{source}/dist": DIR})
    plan = make_plan(files, call=hook_call(source_dir=source))
    assert wire(plan)["cwd"] == os.fsencode(source)
    assert json.loads(json.dumps(plan.to_dict()))["cwd"] == source
    assert any(o.target == source for o in plan.operations)
    assert CONTROL in plan.argv
