"""Frozen dataclasses that cost an import next to nothing.

The standard decorator compiles the text of six methods for each class, which takes one to two milliseconds, and this
package has sixty of these classes. Here all classes share their methods. An instance is made more slowly: in three
microseconds in place of one. The classes are dataclasses for ``dataclasses.replace()``, ``fields()`` and ``asdict()``.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass"]

_T = TypeVar("_T")

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, kw_only: bool = False, init: bool = True) -> Callable[[type[_T]], type[_T]]:
        """Return a decorator: :func:`dataclasses.dataclass` for classes that are frozen."""
        if not frozen:
            raise TypeError("frozen: expected True")

        def decorate(cls: type[_T]) -> type[_T]:
            # Without a docstring, the standard decorator would compose one from the signature, which takes long.
            cls.__doc__ = cls.__doc__ or ""
            kind: Any = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
            methods = {**_METHODS, **({"__init__": _constructor(kind), "__signature__": _Signature()} if init else {})}
            compared = [field.name for field in dataclasses.fields(kind) if field.compare]
            kind._compared = operator.attrgetter(*compared) if compared else type
            for name, method in methods.items():
                if name not in vars(cls):
                    setattr(cls, name, method)
            return kind

        return decorate


def _constructor(cls: Any) -> Callable[..., None]:
    """Return the ``__init__`` of a class."""
    fields = dataclasses.fields(cls)
    known = frozenset(field.name for field in fields)
    positional = tuple(field.name for field in fields if not field.kw_only)
    defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    factories = {f.name: f.default_factory for f in fields if f.default_factory is not dataclasses.MISSING}
    post = getattr(cls, "__post_init__", None)

    def init(self: Any, /, *arguments: Any, **values: Any) -> None:
        if arguments:
            if len(arguments) > len(positional):
                raise TypeError(
                    f"{cls.__name__}.__init__() takes {len(positional)} positional arguments but {len(arguments)} were "
                    "given"
                )
            by_place = dict(zip(positional, arguments, strict=False))
            for name in by_place.keys() & values.keys():
                raise TypeError(f"{cls.__name__}.__init__() got multiple values for argument {name!r}")
            values.update(by_place)
        if values.keys() != known:
            _complete(cls, known, values, defaults, factories)
        self.__dict__.update(values)
        if post is not None:
            post(self)

    init.__name__, init.__qualname__ = "__init__", f"{cls.__qualname__}.__init__"
    return init


def _complete(
    cls: type, known: frozenset[str], values: dict[str, Any], defaults: dict[str, Any], factories: dict[str, Any]
) -> None:
    """Add the defaults of the arguments that were not given, and refuse a call that lacks one or has another."""
    for name in values.keys() - known:
        raise TypeError(f"{cls.__name__}.__init__() got an unexpected keyword argument {name!r}")
    for name in known - values.keys():
        if name in factories:
            values[name] = factories[name]()
        elif name in defaults:
            values[name] = defaults[name]
    missing = sorted(known - values.keys())
    if missing:
        raise TypeError(f"{cls.__name__}.__init__() missing required arguments: {', '.join(map(repr, missing))}")


class _Signature:
    """The signature of a class, made when somebody asks for it."""

    def __get__(self, instance: object, owner: type) -> Any:
        import inspect

        kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        parameters = []
        for field in sorted(dataclasses.fields(owner), key=lambda field: bool(field.kw_only)):
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = dataclasses._HAS_DEFAULT_FACTORY  # type: ignore[attr-defined]
            default = inspect.Parameter.empty if default is dataclasses.MISSING else default
            kind = kinds[bool(field.kw_only)]
            parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=field.type))
        return inspect.Signature(parameters, return_annotation=None)


def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: object, other: object) -> bool:
    if type(other) is not type(self):
        return NotImplemented  # type: ignore[no-any-return]
    compared: Any = type(self)._compared  # type: ignore[attr-defined]
    return bool(compared(self) == compared(other))


def _hash(self: Any) -> int:
    return hash(type(self)._compared(self))


def _setattr(self: Any, name: str, value: object) -> None:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS = {"__repr__": _repr, "__eq__": _eq, "__hash__": _hash, "__setattr__": _setattr, "__delattr__": _delattr}
