"""Many calls, in a row and at once, leave nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.attacks.place import Place, Traces, traces

from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def used(place: Place) -> Place:
    """A place after one call, so everything that is cached for later calls exists."""
    place.call({})
    return place


def _remaining(place: Place, before: Traces) -> dict[str, list[object]]:
    """Return the traces that stay. Other programs on this host make namespaces too, so give new ones time to go."""
    suspects = traces(place.tmp).new_since(before)

    def remaining() -> dict[str, list[object]]:
        now = traces(place.tmp).new_since(before)
        both = {name: [entry for entry in now.get(name, ()) if entry in old] for name, old in suspects.items()}
        return {name: entries for name, entries in both.items() if entries}

    until(lambda: not remaining())
    return remaining()


def test_two_hundred_calls_in_a_row_leave_nothing(used: Place) -> None:
    """No process, mount, namespace, file, descriptor or lock of a uid."""
    before = traces(used.tmp)
    for _ in range(200):
        used.call({})
    after = traces(used.tmp)
    assert after.processes == frozenset()
    assert after.files == before.files
    assert len(after.descriptors) == len(before.descriptors)
    assert _remaining(used, before) == {}


def test_sixteen_calls_at_once_leave_nothing(used: Place) -> None:
    """The same, from threads of one frontend."""
    before = traces(used.tmp)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: used.caller().get_requires_for_build_wheel({"attacks": "{}"}), range(48)))
    assert results == [[]] * 48
    after = traces(used.tmp)
    assert after.processes == frozenset()
    assert after.files == before.files
    assert _remaining(used, before) == {}


def test_the_checks_detect_a_running_hook(used: Place) -> None:
    """The control: while a hook runs, the traces that the tests above compare exist."""
    before = traces(used.tmp)
    release = used.tree / "release"
    arguments = {"name": "ih-seen", "started": "started", "release": str(release)}
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(used.call, {"wait": {"probe": "wait", "arguments": arguments}})
        try:
            assert until((used.tree / "started").exists)
            new = traces(used.tmp).new_since(before)
        finally:
            release.touch()
            call.result(60)
    assert {"processes", "mount_namespaces", "files", "descriptors"} <= new.keys()
