"""The few names of ctypes that :mod:`.syscalls` needs, without the rest of it.

The package ctypes loads three modules and defines some forty types, which takes the child three milliseconds. Its C
part alone takes one. Another implementation of Python may lack that part or arrange it differently: then this module
hands out ctypes itself, as it does for each name that it does not define.
"""

if False:
    from typing import Any


def _types() -> "dict[str, Any]":
    """Define the types as ctypes does. The letters are those of the module struct."""
    import _ctypes as c

    simple = c._SimpleCData
    letters = {"c_char": "c", "c_char_p": "z", "c_int": "i", "c_long": "l", "c_size_t": "L", "c_uint": "I",
               "c_uint32": "I", "c_uint64": "L", "c_ulong": "L", "c_ushort": "H"}  # fmt: skip
    types = {name: type(name, (simple,), {"_type_": letter}) for name, letter in letters.items()}
    if c.sizeof(types["c_long"]) != 8 or c.sizeof(types["c_uint32"]) != 4:
        raise ImportError("the sizes of C types are other ones on this machine")
    flags = c.FUNCFLAG_CDECL | c.FUNCFLAG_USE_ERRNO
    types["_function"] = type("_function", (c.CFuncPtr,), {"_flags_": flags, "_restype_": types["c_int"]})
    names = ("Structure", "addressof", "byref", "get_errno", "sizeof")
    return {**types, **{name: getattr(c, name) for name in names}, "_open": c.dlopen}


class _Library:
    """The functions of the C library, each made when it is first used."""

    def __init__(self) -> None:
        self._handle = _own["_open"](None, 0)

    def __getattr__(self, name: str) -> "Any":
        function = _own["_function"]((name, self))
        setattr(self, name, function)
        return function


def c_library() -> "Any":
    """Return the C library, whose functions keep errno for ``get_errno``."""
    if _own:
        return _Library()
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _buffer(init: "int | bytes", size: "int | None" = None) -> "Any":
    """Return an array of bytes as ``ctypes.create_string_buffer`` does."""
    if isinstance(init, int):
        return (_own["c_char"] * init)()
    array = (_own["c_char"] * (len(init) + 1 if size is None else size))()
    array.value = init
    return array


def __getattr__(name: str) -> "Any":
    if name == "create_string_buffer" and _own:
        return _buffer
    if name in _own:
        return _own[name]
    import ctypes

    return getattr(ctypes, name)


try:
    _own = _types()
except (ImportError, AttributeError):
    _own = {}
