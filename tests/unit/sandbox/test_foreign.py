"""The few names of ctypes: they do as those of ctypes, and ctypes itself does where they cannot be had."""

from __future__ import annotations

import ctypes
import sys
import types

import pytest

from isolated_hooks.sandbox import foreign


def load_without(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Return the module as it is where Python has no ``_ctypes`` of its own."""
    monkeypatch.setitem(sys.modules, "_ctypes", types.ModuleType("_ctypes"))
    spec = foreign.__spec__
    assert spec is not None
    module = types.ModuleType("foreign")
    assert spec.loader is not None
    exec(spec.loader.get_code(spec.name), module.__dict__)  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(
    "name", ["c_char", "c_int", "c_long", "c_size_t", "c_uint", "c_uint32", "c_uint64", "c_ushort"]
)
def test_sizes(name: str) -> None:
    assert foreign.sizeof(getattr(foreign, name)) == ctypes.sizeof(getattr(ctypes, name))


def test_functions_and_errno() -> None:
    library = foreign.c_library()
    assert library.prctl is library.prctl
    library.close.argtypes = (foreign.c_int,)
    assert library.close(-1) == -1
    assert foreign.get_errno() == 9
    with pytest.raises(AttributeError):
        _ = library.no_such_function_anywhere


def test_buffers() -> None:
    assert foreign.create_string_buffer(b"ab").raw == ctypes.create_string_buffer(b"ab").raw
    assert foreign.create_string_buffer(b"ab", 5).raw == b"ab\0\0\0"
    assert foreign.create_string_buffer(3).raw == bytes(3)
    with pytest.raises(ValueError, match="too long"):
        foreign.create_string_buffer(b"abc", 2)


def test_the_rest_is_that_of_ctypes() -> None:
    assert foreign.c_double is ctypes.c_double


def test_ctypes_where_its_c_part_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_without(monkeypatch)
    assert module.c_long is ctypes.c_long
    assert module.create_string_buffer is ctypes.create_string_buffer
    assert isinstance(module.c_library(), ctypes.CDLL)
