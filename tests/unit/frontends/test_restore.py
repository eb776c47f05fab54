"""A context restores the attributes and items that it set, no matter how other code changes them meanwhile."""

from __future__ import annotations

import os
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from isolated_hooks.frontends.restore import Restoring


class Base:
    inherited = "of the base"

    @classmethod
    def made(cls) -> str:
        return cls.__name__


class Derived(Base): ...


@pytest.mark.parametrize("end", [None, ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_attributes_and_items_are_put_back_at_any_end(end: type[BaseException] | None) -> None:
    module = ModuleType("module")
    module.function = before = object()  # type: ignore[attr-defined]
    mapping = {"there": "before"}
    try:
        with Restoring() as changes:
            changes.attribute(module, "function", "ours")
            changes.item(mapping, "there", "ours")
            changes.item(mapping, "missing", "ours")
            assert (module.function, mapping) == ("ours", {"there": "ours", "missing": "ours"})
            if end is not None:
                raise end
    except BaseException as error:
        assert type(error) is end
    assert module.function is before
    assert mapping == {"there": "before"}


def test_the_last_one_is_put_back_first_and_what_ends_in_between_in_its_turn() -> None:
    owner = SimpleNamespace(value=0)
    seen: list[int] = []
    with Restoring() as changes:
        changes.attribute(owner, "value", 1)
        changes.callback(lambda: seen.append(owner.value))
        changes.attribute(owner, "value", 2)
        assert owner.value == 2
    assert seen == [1]
    assert owner.value == 0


def test_a_descriptor_is_put_back_and_not_what_it_gives() -> None:
    before = vars(Base)["made"]
    with Restoring() as changes:
        changes.attribute(Base, "made", lambda: "ours")
        assert Base.made() == "ours"
    assert vars(Base)["made"] is before
    assert Derived.made() == "Derived"


def test_what_a_base_class_has_is_uncovered_again() -> None:
    with Restoring() as changes:
        changes.attribute(Derived, "inherited", "ours")
        assert (Derived.inherited, Base.inherited) == ("ours", "of the base")
    assert "inherited" not in vars(Derived)
    assert Derived.inherited == "of the base"


def test_an_attribute_that_is_not_there_is_refused_and_those_before_it_are_put_back() -> None:
    owner: Any = SimpleNamespace(value="before")
    with pytest.raises(AttributeError, match="has no attribute 'valeu' to set"), Restoring() as changes:
        changes.attribute(owner, "value", "ours")
        changes.attribute(owner, "valeu", "ours")
    assert vars(owner) == {"value": "before"}


def test_a_variable_of_the_environment_that_somebody_has_removed_meanwhile() -> None:
    name = "_ISOLATED_HOOKS_RESTORE"
    with Restoring() as changes:
        changes.item(os.environ, name, "ours")
        del os.environ[name]
    assert name not in os.environ
