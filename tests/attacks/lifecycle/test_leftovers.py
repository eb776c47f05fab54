"""Many calls, one after the other and at once, leave nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.attacks.place import Place, Traces, traces

from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def used(place: Place) -> Place:
    """A place where a call has been made already: what is kept for later ones is kept by now."""
    place.call({})
    return place


def _left(place: Place, before: Traces) -> dict[str, list[object]]:
    """Return what stays. Other programs on this host make namespaces too, so what is new has time to go away."""
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
    assert _left(used, before) == {}


def test_sixteen_calls_at_once_leave_nothing(used: Place) -> None:
    """The same, from threads of one frontend."""
    before = traces(used.tmp)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: used.caller().get_requires_for_build_wheel({"attacks": "{}"}), range(48)))
    assert results == [[]] * 48
    after = traces(used.tmp)
    assert after.processes == frozenset()
    assert after.files == before.files
    assert _left(used, before) == {}


def test_a_daemon_would_be_seen(used: Place) -> None:
    """The control: what the two above look for is found where it is, while a hook runs."""
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
