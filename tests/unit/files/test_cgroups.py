"""The limits that a build would read from this process's cgroups hold, also where one above them is smaller."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from isolated_hooks.files import cgroups
from isolated_hooks.files.cgroups import Hierarchy, own_limits
from isolated_hooks.sandbox.mounts import Mount

Limits = Callable[[str, str, Mapping[str, str]], tuple[Hierarchy, ...]]


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Limits]:
    """Return the own limits of a process of a made-up host, from the text of its cgroups, the mounts and the files."""

    def limits(own: str, mounts: str, files: Mapping[str, str]) -> tuple[Hierarchy, ...]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        lines = [line.replace("TOP", os.fspath(tmp_path)).encode() for line in mounts.splitlines()]
        monkeypatch.setattr(cgroups, "_TOP", os.fspath(tmp_path))
        monkeypatch.setattr(cgroups, "mounted", lambda: map(Mount, lines))
        monkeypatch.setattr(cgroups, "open", lambda *_, **__: io.StringIO(own), raising=False)
        cgroups._places.cache_clear()
        return own_limits()

    yield limits
    cgroups._places.cache_clear()


SECOND = "30 24 0:26 / TOP rw - cgroup2 cgroup2 rw,nsdelegate\n"


def test_the_smallest_limit_on_the_way_up_counts(limits: Limits, tmp_path: Path) -> None:
    files = {
        "a/memory.max": "4096\n",
        "a/b/memory.max": "max\n",
        "a/b/memory.high": "max\n",
        "a/pids.max": "30\n",
        "a/b/pids.max": "20\n",
        "a/cpu.max": "50000 100000\n",
        "a/b/cpu.max": "max 100000\n",
        "a/b/cpu.weight": "100\n",
        "memory.max": "1024\n",  # of the cgroup above
    }
    (found,) = limits("0::/a/b\n", SECOND, files)
    assert (found.target, found.source, found.limited) == (os.fspath(tmp_path), f"{tmp_path}/a/b", True)
    assert dict(found.files) == {
        "memory.max": "1024\n",
        "memory.high": "max\n",
        "pids.max": "20\n",
        "cpu.max": "50000 100000\n",
        "cpu.weight": "100\n",
    }


@pytest.mark.parametrize("quota", ["max 100000\n", "0 0\n", "10000 0\n", "-1 100000\n", "nonsense\n", "\n"])
def test_a_share_of_processor_time_that_says_nothing_does_not_hide_one_that_does(quota: str, limits: Limits) -> None:
    (found,) = limits("0::/a\n", SECOND, {"cpu.max": "20000 100000\n", "a/cpu.max": quota})
    assert dict(found.files)["cpu.max"] == "20000 100000\n"
    assert found.limited


@pytest.mark.parametrize("number", ["max\n", "nonsense\n", ""])
def test_a_limit_that_is_no_number_is_no_limit(number: str, limits: Limits) -> None:
    (found,) = limits("0::/a\n", SECOND, {"memory.max": number, "a/memory.max": number})
    assert not found.limited
    assert dict(found.with_memory(5000).files)["memory.max"] == "5000\n"


def test_the_first_version_tells_of_the_cgroups_above_in_a_file_of_its_own(limits: Limits, tmp_path: Path) -> None:
    mounts = (
        "31 24 0:27 /job TOP/memory rw - cgroup cgroup rw,memory\n"
        "32 24 0:28 / TOP/systemd rw - cgroup cgroup rw,name=systemd\n"
        "33 24 0:29 / TOP/freezer rw - cgroup cgroup rw,freezer\n"
        "34 24 0:30 / /elsewhere rw - cgroup cgroup rw,cpu\n"
        "35 24 0:31 / TOP/tmp rw - tmpfs tmpfs rw\n"
    )
    own = "4:memory:/job/own\n3:freezer:/\n2:cpu:/\n1:name=systemd:/\n\n"
    files = {"memory/memory.limit_in_bytes": "8192\n", "memory/own/memory.limit_in_bytes": "16384\n"}
    (found,) = limits(own, mounts, files)
    assert (found.target, found.source) == (f"{tmp_path}/memory", f"{tmp_path}/memory/own")
    texts = dict(found.with_memory(4096).files)
    assert texts["memory.limit_in_bytes"] == "4096\n"
    assert texts["memory.stat"].splitlines()[0] == "hierarchical_memory_limit 4096"


def test_a_hierarchy_without_files_or_of_another_part_of_the_tree_is_left_out(limits: Limits) -> None:
    assert limits("0::/a\n", SECOND, {"a/cgroup.controllers": "cpu memory\n"}) == ()
    elsewhere = "30 24 0:26 /other TOP rw - cgroup2 cgroup2 rw\n"
    assert limits("0::/a\n", elsewhere, {"a/memory.max": "1\n"}) == ()


def test_without_proc_no_cgroup_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, **_: str) -> None:
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr(cgroups, "open", refuse, raising=False)
    assert own_limits() == ()
