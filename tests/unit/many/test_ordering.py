"""Who waits for whom, from names and versions alone."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from isolated_hooks.frontends.supplies import NeedsError, Offer, Supplies
from isolated_hooks.many.ordering import Ordering


def offers(*texts: str) -> list[Offer | None]:
    """Return packages by their names and versions."""
    pairs = (text.split() for text in texts)
    return [Offer(name, None if version == "?" else Version(version)) for name, version in pairs]


def asked(ordering: Ordering, number: int, *texts: str) -> bool:
    return ordering.ask(number, map(Requirement, texts))


def test_it_waits_for_a_version_that_fits_and_for_no_other() -> None:
    ordering = Ordering([*offers("a 1", "b 1", "b 2", "c 3"), None])
    assert asked(ordering, 0, "b<2", "c>3", "d") and not asked(ordering, 0, "b<2")
    found = ordering.find(0)
    assert (dict(found.waits), found.elsewhere) == ({1: True}, {"c", "d"})
    assert ordering.waiting_for(1) == [0]
    asked(ordering, 3, "b")
    assert [*ordering.find(3).waits] == [2], "the highest version"


def test_it_goes_on_when_all_are_built_and_is_lost_when_one_failed() -> None:
    ordering = Ordering(offers("a 1", "b 1", "c 1"))
    asked(ordering, 0, "b", "c")
    assert sorted(ordering.find(0).waits) == [1, 2]
    ordering.built(1, Offer("b", Version("1")))
    assert [*ordering.find(0).waits] == [2]
    ordering.built(2, Offer("c", Version("1")))
    assert (ordering.find(0).given, dict(ordering.find(0).waits)) == ([1, 2], {})
    ordering = Ordering(offers("a 1", "b 1"))
    asked(ordering, 0, "b")
    ordering.fail(1)
    assert ordering.find(0).failed == 1


def test_a_version_that_nobody_knew_may_not_fit_in_the_end() -> None:
    ordering = Ordering(offers("a 1", "b ?"))
    asked(ordering, 0, "b>=2")
    assert [*ordering.find(0).waits] == [1]
    ordering.built(1, Offer("b", Version("1")))
    assert (ordering.find(0).given, ordering.find(0).elsewhere) == ([], {"b"})


def test_a_wheel_of_another_name_or_none_is_of_no_use() -> None:
    for offer in (None, Offer("other", Version("1"))):
        ordering = Ordering(offers("a 1", "b 1"))
        asked(ordering, 0, "b")
        ordering.find(0)
        ordering.built(1, offer)
        assert (ordering.find(0).given, ordering.find(0).elsewhere) == ([], {"b"})


def test_dependencies_of_a_wheel_are_waited_for_with_the_extras_that_were_asked_for() -> None:
    depends = [Requirement(text) for text in ("c", "d; extra == 'x'", "e; extra == 'y'", "f; python_version < '3'")]
    ordering = Ordering(offers("a 1", "b 1", "c 1", "d 1", "e 1", "f 1"))
    asked(ordering, 0, "b[x]")
    ordering.built(1, Offer("b", Version("1")), depends)
    assert dict(ordering.find(0).waits) == {2: False, 3: False}


def test_a_circle_of_build_requirements_is_found() -> None:
    ordering = Ordering(offers("a 1", "b 1", "c 1", "d 1"))
    for number, text in enumerate(["b", "c", "a", "a"]):
        asked(ordering, number, text)
        ordering.find(number)
    assert ordering.circle(2) == [2, 0, 1, 2]
    assert (ordering.circle(3), ordering.loose([2, 0, 1, 2])) == ([], None)


def test_a_package_needs_no_wheel_of_its_own() -> None:
    ordering = Ordering(offers("a 1"))
    asked(ordering, 0, "a")
    assert (dict(ordering.find(0).waits), ordering.circle(0)) == ({}, [])


def test_a_circle_through_a_dependency_is_left() -> None:
    ordering = Ordering(offers("a 1", "b 1", "c 1"))
    ordering.built(1, Offer("b", Version("1")), [Requirement("c")])
    asked(ordering, 0, "b")
    assert dict(ordering.find(0).waits) == {2: False}
    asked(ordering, 2, "a")
    ordering.find(2)
    circle = ordering.circle(2)
    assert (circle, ordering.loose(circle)) == ([2, 0, 2], 0)
    found = ordering.find(0)
    assert (dict(found.waits), found.given, found.elsewhere) == ({}, [1], {"c"})


def test_supplies_pin_what_fits_and_ask_for_what_is_to_come() -> None:
    one, two = (Offer(name, Version("1")) for name in ("one", "two"))
    supplies = Supplies("http://127.0.0.1:1/secret/", [one], [one, two])
    supplies.check(map(Requirement, ("one", "two>1", "three", "two @ https://index.example.org/two-1.zip")))
    with pytest.raises(NeedsError, match="two<=1"):
        supplies.check([Requirement("two<=1")])
    assert [*supplies.asked][:2] == ["one", "two>1"]
    lines = supplies.constraints([Requirement("one")]).splitlines()
    assert lines[0] == "--extra-index-url http://127.0.0.1:1/secret/simple/"
    assert lines[-1] == "one==1"
    assert "one==1" not in supplies.constraints([Requirement("one>1")])
    assert Supplies().constraints([Requirement("one")]) == ""


def test_a_wheel_that_asks_for_thousands_of_its_own_extras_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bound, each of the extras is looked up for each of the requirements, which takes hours."""
    seen: list[int] = []
    monkeypatch.setattr("isolated_hooks.many.ordering.applies", lambda _, extras: bool(seen.append(len([*extras]))))
    ordering = Ordering(offers("a 1", "helper ?"))
    asked(ordering, 0, f"helper[{','.join(f'e{number}' for number in range(500))}]")
    dependencies = [Requirement(f"helper!=2.{number}; extra == 'zz'") for number in range(50)]
    ordering.built(1, Offer("helper", Version("1.0")), dependencies)
    ordering.find(0)
    assert seen
    assert max(seen) <= 16
