"""All modules of ``sandbox/`` in one file, in Python's own format of compiled files, for a fast start of the launcher.

This process makes it in its memory, from the modules that are installed, and writes it into the workspace of each
call, where no hook and no other user can write. So it always fits the interpreter and the modules, and there is no
cache to vouch for.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import marshal
import os
from types import CodeType

from ..sandbox.seccomp import usual_programs
from ..sandbox.syscalls import MACHINE

__all__ = ["packed"]

_DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sandbox")
# Flags, time and size of the source: the interpreter skips them in a file that it runs as a script.
_HEADER = importlib.util.MAGIC_NUMBER + bytes(12)


@functools.lru_cache(maxsize=1)
def packed() -> bytes:
    """Return the file: run it as ``python -I -S FILE MODULE ARGUMENTS...``.

    :raises OSError: this package is not installed as files
    """
    names = sorted(name.removesuffix(".py") for name in os.listdir(_DIRECTORY) if name.endswith(".py"))
    modules = tuple(_module(name) for name in names if name not in ("__main__", "packed"))
    return _HEADER + marshal.dumps(_start(modules))


def _module(name: str) -> tuple[str, str, bytes]:
    """Return the name that the child imports a module by, its file and its code."""
    path = os.path.join(_DIRECTORY, f"{name}.py")
    loader = importlib.machinery.SourceFileLoader(name, path)
    code = _compiled(path) or marshal.dumps(loader.get_code(name))
    return "sandbox" if name == "__init__" else f"sandbox.{name}", path, code


def _compiled(path: str) -> bytes | None:
    """Return the code in ``__pycache__`` under the same conditions as an import, PEP 552, without unpacking it.

    ``None`` if it is missing or another one, or if it is checked by a hash.
    """
    try:
        status = os.stat(path)
        with open(importlib.util.cache_from_source(path), "rb") as file:
            data = file.read()
    except (OSError, NotImplementedError):
        return None
    numbers = (0, int(status.st_mtime), status.st_size)
    header = importlib.util.MAGIC_NUMBER + b"".join((n & 0xFFFFFFFF).to_bytes(4, "little") for n in numbers)
    return data[16:] if data.startswith(header) else None


def _start(modules: tuple[tuple[str, str, bytes], ...]) -> CodeType:
    """Return the code of ``packed.py`` with the modules and the filters in it."""
    values = {"MODULES": modules, "FILTERS": usual_programs(MACHINE)}
    path = os.path.join(_DIRECTORY, "packed.py")
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
    for statement in tree.body:
        if isinstance(statement, ast.AnnAssign):
            constant = ast.Constant(values[ast.unparse(statement.target)])  # type: ignore[arg-type]  # a tuple is fine
            statement.value = ast.copy_location(constant, statement)
    code: CodeType = compile(tree, path, "exec", dont_inherit=True)
    return code
