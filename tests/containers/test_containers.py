"""The package in real container engines: our promises hold in each, and our reports about each are true.

For each environment, the tests compare findings from different sources with each other. Their only prior knowledge of
an environment comes from the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from support.containers import table
from support.containers.environments import ENVIRONMENTS
from support.containers.places import Places

from isolated_hooks import Protection

pytestmark = pytest.mark.containers

_NAMES = [environment.name for environment in ENVIRONMENTS]
_NAMESPACES = ("user", "mount", "PID", "IPC", "network", "UTS", "cgroup")
_ACTIVE, _LESS, _EITHER = {"active"}, {"degraded"}, {"active", "degraded"}
# Protections for which an attack works without the sandbox, in every container.
_SHOWN = {
    "filesystem",
    "temporary",
    "environment",
    "processes",
    "ipc",
    "privileges",
    "syscalls",
    "terminal",
    "descriptors",
}

each = pytest.mark.parametrize("name", _NAMES)


def _states(statuses: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {name: status["state"] for name, status in statuses.items()}


def _doctor(found: Mapping[str, Any]) -> dict[str, str]:
    return _states(found["doctor"]["document"]["protections"])


def _part(found: Mapping[str, Any], name: str) -> Any:
    part = found[name]
    if isinstance(part, dict) and "crashed" in part:
        pytest.fail(part["crashed"], pytrace=False)
    return part


def _has_namespaces(probes: Mapping[str, Any]) -> bool:
    return all(probes[f"{kind} namespace"] for kind in _NAMESPACES)


def expected(probes: Mapping[str, Any], uid: int) -> dict[str, set[str]]:
    """Return the states that the doctor may report, derived only from the probes. This is docs/hosts.rst as code."""
    # Active wherever hooks run, except for those below, which depend on the host.
    active = {protection.value: _ACTIVE for protection in Protection}
    keyring = _ACTIVE if probes["session keyring"] else _LESS
    if not _has_namespaces(probes):
        less = dict.fromkeys("filesystem temporary processes hostname".split(), _LESS)
        # To run as its own user, root's hook needs a capability. The hook itself checks which of the two it gave up,
        # and whether it can reach sockets.
        either = dict.fromkeys("ipc identity privileges".split(), _EITHER)
        return {**active, **less, **either, "keyring": keyring}
    return {
        **active,
        "processes": _ACTIVE if probes["fresh /proc"] else _LESS,
        "hostname": _ACTIVE if probes["sethostname"] else _LESS,
        "identity": _ACTIVE if uid != 0 or probes["throw-away uid"] else _LESS,
        "keyring": keyring,
    }


@each
def test_a_c_extension_is_built_and_works(places: Places, name: str) -> None:
    """With the default policy if the doctor says that hooks run, else with --allow-degraded=no-namespaces."""
    build = _part(places.found(name), "allowed")
    assert build["code"] == 0, build["stderr"]
    assert len(build["wheels"]) == 1
    assert build["answer"] == "55"


@each
def test_hosts_that_the_default_policy_does_not_allow_are_refused_before_anything_runs(
    places: Places, name: str
) -> None:
    found = places.found(name)
    build, runs = _part(found, "build"), found["doctor"]["document"]["runs"]
    assert runs == _has_namespaces(_part(found, "probes"))
    assert (found["doctor"]["code"], build["code"]) == ((0, 0) if runs else (3, 3)), build["stderr"]
    if not runs:
        assert build["wheels"] == []
        assert build["new"] == [], "a hook has run"
        assert "Remedy: " in build["stderr"]
        assert "--allow-degraded no-namespaces" in build["stderr"]


def test_the_remedy_for_docker_works(places: Places) -> None:
    """We pass the option from the message to a container, and hooks run there with the protections of namespaces."""
    message = _part(places.found("docker"), "build")["stderr"]
    remedy = re.search(r"docker run (--security-opt \S+)", message)
    assert remedy is not None, message
    followed = next(environment for environment in ENVIRONMENTS if environment.name == "docker-seccomp")
    assert f" {remedy[1]} " in " ".join(places.lab.command(followed, ["true"]))
    found = places.found("docker-seccomp")
    assert _part(found, "build")["code"] == 0
    # A fresh /proc and sethostname(2) are refused there. Everything else is as on a plain host.
    assert {p: s for p, s in _doctor(found).items() if s != "active"} == {
        "processes": "degraded",
        "hostname": "degraded",
    }


@each
def test_the_doctor_agrees_with_the_probes(places: Places, name: str) -> None:
    found = places.found(name)
    probes, facts = _part(found, "probes"), found["doctor"]["document"]["facts"]
    assert set(probes) <= set(facts)
    assert {fact: facts[fact]["value"] for fact in probes} == probes


@each
def test_the_doctors_states_follow_from_the_probes(places: Places, name: str) -> None:
    found = places.found(name)
    allowed, states = expected(_part(found, "probes"), found["uid"]), _doctor(found)
    assert states.keys() == allowed.keys()
    assert {p: s for p, s in states.items() if s not in allowed[p]} == {}


@each
def test_every_weaker_protection_has_a_reason_and_a_remedy(places: Places, name: str) -> None:
    statuses = places.found(name)["doctor"]["document"]["protections"]
    assert [p for p, s in statuses.items() if s["state"] != "active" and not (s["reason"] and s["remedy"])] == []


@each
def test_the_report_of_a_hook_agrees_with_the_doctor(places: Places, name: str) -> None:
    found = places.found(name)
    hook, states = _part(found, "hook"), _doctor(found)
    assert _states(hook["report"]) == states
    assert _states(_part(found, "attacks")["report"]) == states
    for protection, state in states.items():
        warned = any(warning.startswith(f"{protection} is degraded") for warning in hook["warned"])
        assert warned == (state == "degraded"), protection


@each
def test_a_hook_observes_the_states_that_the_doctor_reports(places: Places, name: str) -> None:
    """A hook observes that active protections hold completely, and that degraded ones do not."""
    found = places.found(name)
    seen, states = _part(found, "hook")["seen"], _doctor(found)
    assert {p: held for p, held in seen.items() if held is not None} == {
        p: states[p] == "active" for p, held in seen.items() if held is not None
    }


@each
def test_an_attack_works_only_if_no_active_protection_stops_it(places: Places, name: str) -> None:
    attacks = _part(places.found(name), "attacks")
    states = _states(attacks["report"])
    open_ones = {attack: tried for attack, tried in attacks["tried"].items() if tried["inside"]}
    unexplained = {
        attack: tried["evidence"]
        for attack, tried in open_ones.items()
        if all(states[protection] == "active" for protection in tried["stopped by"])
    }
    assert unexplained == {}


@each
def test_the_attacks_work_without_the_sandbox(places: Places, name: str) -> None:
    """Otherwise these tests would prove nothing. For each protection, at least one attack has to work."""
    tried = _part(places.found(name), "attacks")["tried"]
    shown = {protection for attack in tried.values() if attack["outside"] for protection in attack["stopped by"]}
    assert shown >= _SHOWN


@each
def test_every_file_keeps_its_owner_and_mode(places: Places, name: str) -> None:
    """A build from a tree of root's, foreign and private files leaves the tree unchanged."""
    owners = _part(places.found(name), "owners")
    if owners is None:
        pytest.skip(f"{name}: nobody may change the owner of a file there")
    assert owners["after"] == owners["before"]
    assert owners["code"] == 0, owners["stderr"]
    assert owners["new"], "nothing was built"
    assert {tuple(owner) for owner in owners["new"].values()} == {(0, 0)}


def test_both_kinds_of_podman_have_trees_of_mixed_owners(places: Places) -> None:
    for name in ("podman", "rootless"):
        before = _part(places.found(name), "owners")["before"]
        assert len({(uid, gid) for uid, gid, _ in before.values()}) == 3


def test_the_table_in_the_documentation_is_up_to_date(places: Places) -> None:
    now = table.render(places.all_found(), table.versions())
    assert table.stable(table.committed()) == table.stable(now), "python tests/support/containers/table.py --write"
