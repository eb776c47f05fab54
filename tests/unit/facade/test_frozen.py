"""Our frozen dataclasses behave as the standard ones do."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from isolated_hooks import frozen


def made(decorate: Any) -> Any:
    """Return a class with every kind of field that this package uses."""

    class Thing:
        """A thing."""

        name: str
        count: int = 1
        values: dict[str, int] = dataclasses.field(default_factory=dict)
        secret: str = dataclasses.field(default="", repr=False)
        why: str = dataclasses.field(default="", compare=False)
        last: bool = dataclasses.field(default=False, kw_only=True)

        def __post_init__(self) -> None:
            if self.count < 0:
                raise ValueError("count")

    Thing.__qualname__ = "Thing"
    return decorate(frozen=True)(Thing)


OURS, THEIRS = made(frozen.dataclass), made(dataclasses.dataclass)


@frozen.dataclass(frozen=True)
class Kept:
    name: str
    count: int = 2


@frozen.dataclass(frozen=True)
class More(Kept):
    extra: str = "x"


def tried(cls: Any, *arguments: Any, **values: Any) -> Any:
    try:
        thing = cls(*arguments, **values)
    except Exception as error:
        return type(error)
    return vars(thing), repr(thing)


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (("a",), {}),
        (("a", 2, {"x": 1}, "s", "w"), {"last": True}),
        ((), {"name": "a", "why": "w"}),
        ((), {}),
        (("a",), {"name": "b"}),
        (("a",), {"other": 1}),
        (("a", 1, {}, "", "", True), {}),
        (("a", -1), {}),
        ((), {"count": 1}),
    ],
)
def test_instances_are_made_and_shown_as_those_of_the_standard_library(
    arguments: tuple[Any, ...], values: dict[str, Any]
) -> None:
    assert tried(OURS, *arguments, **values) == tried(THEIRS, *arguments, **values)


def test_the_errors_name_the_argument() -> None:
    with pytest.raises(TypeError, match=r"Thing.__init__\(\) got an unexpected keyword argument 'other'"):
        OURS("a", other=1)
    with pytest.raises(TypeError, match=r"missing required arguments: 'name'"):
        OURS()


def test_what_the_standard_library_does_with_dataclasses_works() -> None:
    ours, theirs = OURS("a", values={"x": 1}), THEIRS("a", values={"x": 1})
    assert dataclasses.is_dataclass(ours)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert vars(dataclasses.replace(ours, count=3)) == vars(dataclasses.replace(theirs, count=3))
    assert [f.name for f in dataclasses.fields(OURS)] == [f.name for f in dataclasses.fields(THEIRS)]
    assert OURS.__match_args__ == THEIRS.__match_args__
    assert str(inspect.signature(OURS)) == str(inspect.signature(THEIRS))
    assert copy.deepcopy(ours) == ours
    assert pickle.loads(pickle.dumps(Kept("a"))) == Kept("a")


def test_instances_are_equal_and_hashed_by_the_fields_that_are_compared() -> None:
    assert Kept("a") == Kept("a", 2)
    assert Kept("a") != Kept("b")
    assert hash(Kept("a")) == hash(Kept("a"))
    assert OURS("a", why="x") == OURS("a", why="y")
    assert Kept("a") != More("a")
    assert repr(More("a")) == "More(name='a', count=2, extra='x')"


def test_instances_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        Kept("a").name = "b"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del Kept("a").name
    with pytest.raises(TypeError):
        frozen.dataclass(frozen=False)
