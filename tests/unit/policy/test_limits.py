"""Limits in tables and on the command line, and how a host enforces each of them."""

from __future__ import annotations

import dataclasses
import resource
import signal
from typing import Any

import pytest

from isolated_hooks import Limits, PolicyError
from isolated_hooks.plan import Identity
from isolated_hooks.policy.limits import LIMITS, limit_values, parse_limit
from isolated_hooks.run.means import means_of

NAMES = [field.name for field in dataclasses.fields(Limits)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wall-time=3600", {"wall_time": 3600.0}),
        ("idle-time=0.5", {"idle_time": 0.5}),
        ("cpu-time=60", {"cpu_time": 60}),
        ("memory=8G", {"memory": 8 * 1024**3}),
        ("memory=1000", {"memory": 1000}),
        ("log-size=10 MiB", {"log_size": 10 * 1024**2}),
        ("processes=64", {"processes": 64}),
        ("processes=none", {"processes": None}),
        ("free-space=none", {"free_space": None}),
    ],
)
def test_a_limit_of_the_command_line(text: str, expected: dict[str, Any]) -> None:
    assert parse_limit(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memory", "NAME=VALUE"),
        ("memory:8G", "NAME=VALUE"),
        ("", "NAME=VALUE"),
        ("=5", "unknown key"),
        ("memroy=8G", "did you mean 'memory'"),
        ("idle_time=5", "did you mean 'idle-time'"),
        ("memory=", "--limit memory"),
        ("memory=-1", "--limit memory"),
        ("memory=8X", "--limit memory"),
        ("memory=1.5", "--limit memory"),
        ("processes=8G", "--limit processes"),
        ("processes=1.5", "--limit processes"),
        ("processes=0", "--limit processes"),
        ("cpu-time=nan", "--limit cpu-time"),
        ("wall-time=inf", "--limit wall-time"),
        ("wall-time=1h", "--limit wall-time"),
        ("temp-size=none", "--limit temp-size"),
        ("output-size=none", "--limit output-size"),
        ("memory=8G\x1b[31m", "--limit memory"),
    ],
)
def test_malformed_limits_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_limit(text)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_table_uses_none_for_no_limit() -> None:
    table = {"processes": "none", "memory": "1K", "temp-size": 5}
    values = limit_values("here", table, lambda name: name.replace("_", "-"))
    assert values == {"processes": None, "memory": 1024, "temp_size": 5}
    assert Limits(**values).processes is None  # type: ignore[arg-type]


def test_defaults_limit_only_resources_that_no_real_build_exhausts() -> None:
    limits = Limits()
    assert None not in (limits.processes, limits.log_size, limits.free_space, limits.temp_size, limits.output_size)
    assert {limits.wall_time, limits.idle_time, limits.cpu_time, limits.memory} == {None}


@pytest.mark.parametrize("identity", list(Identity), ids=lambda identity: identity.value)
@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("cgroup", [False, True])
def test_every_host_enforces_every_limit(identity: Identity, root: bool, cgroup: bool) -> None:
    limits = Limits(memory=5, wall_time=1.5)
    means = means_of(limits, identity=identity, root=root, facts={"memory cgroup": (cgroup, "")})
    assert list(means) == NAMES == list(LIMITS)
    assert {name: mean.value for name, mean in means.items()} == dataclasses.asdict(limits)
    assert all(mean.how for mean in means.values())
    assert means["memory"].exact is cgroup
    assert means["processes"].exact is (identity not in (Identity.SHARED, Identity.CONFINED))
    assert means["temp_size"].exact is (identity is not Identity.SHARED and not identity.confined)


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_is_enforced_and_documented(name: str) -> None:
    limit = LIMITS[name]
    assert limit.rlimit or limit.supervised or limit.watched
    assert not limit.rlimit or hasattr(resource, f"RLIMIT_{limit.rlimit}")
    assert not limit.signal or (limit.rlimit and hasattr(signal, limit.signal))
    assert f":ivar {name}: " in (Limits.__doc__ or "")


def test_present_leaves_out_limits_that_are_none() -> None:
    assert "wall_time" not in Limits().present()
    assert Limits(wall_time=2, processes=None).present().items() >= {("wall_time", 2.0), ("temp_size", 4 * 1024**3)}
    assert "processes" not in Limits(processes=None).present()
