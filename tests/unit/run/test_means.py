"""What keeps each limit on a host, which the doctor and the report say."""

from __future__ import annotations

import pytest

from isolated_hooks.plan import Identity
from isolated_hooks.policy import Limits
from isolated_hooks.policy.limits import LIMITS, WATCHER
from isolated_hooks.run.means import Means, means_of

_OFFERED = {"memory cgroup": (1, ""), "processor time counter": (1, "")}


def means(identity: Identity = Identity.USER, *, root: bool = False, offered: bool = True) -> dict[str, Means]:
    return means_of(Limits(memory=2**30), identity=identity, root=root, facts=_OFFERED if offered else {})


def test_every_limit_has_its_value_and_its_keeper() -> None:
    kept = means()
    assert list(kept) == list(LIMITS)
    assert {name: kept[name].value for name in LIMITS} == {name: getattr(Limits(memory=2**30), name) for name in LIMITS}
    assert all(each.how for each in kept.values())


def test_a_cgroup_keeps_the_memory_exactly_and_nothing_else_does() -> None:
    assert "memory cgroup" in means()["memory"].how
    assert means()["memory"].exact
    without = means(offered=False)["memory"]
    assert WATCHER in without.how
    assert not without.exact


def test_without_a_counter_short_processes_are_said_not_to_be_seen() -> None:
    assert "perf_event_open(2)" in means()["cpu_time"].how
    assert "refuses perf_event_open(2)" in means(offered=False)["cpu_time"].how


@pytest.mark.parametrize("identity", Identity)
def test_the_kernel_counts_the_processes_of_a_hook_alone_or_the_watching_process_does(identity: Identity) -> None:
    for root in (False, True):
        processes = means(identity, root=root)["processes"]
        assert processes.exact is (WATCHER not in processes.how)
        assert not (root and "the caller's other processes" in processes.how)


@pytest.mark.parametrize("identity", Identity)
def test_temporary_files_without_a_mount_namespace_are_watched(identity: Identity) -> None:
    temporary = means(identity)["temp_size"]
    assert ("on disk" in temporary.how) is identity.confined
    assert temporary.exact is (WATCHER not in temporary.how)
