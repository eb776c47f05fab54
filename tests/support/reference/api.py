"""The page on the Python interface, from signatures and docstrings."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator

import isolated_hooks

from .text import HEADER, WIDTH, described, heading

__all__ = ["page"]

_GROUPS = {
    "Run hooks": "IsolatedHookCaller IsolatedHooksMixin IsolatedRunner Answers swap Swap",
    "Policy": "Policy Limits load_policy",
    "Reports": "HookReport Protection ProtectionState ProtectionStatus",
    "Many packages": "build_many BuildRequest BuildResult BuiltFile UsedWheel Outcome",
}
#: Names of the modules' own in defaults, in words that a reader can use.
_CONSTANTS = {"_NO_OTHER_LIMITS": "Limits()", "_GIB": "2 ** 30", "_MIB": "2 ** 20"}
#: Classes that a caller gets, and does not call.
_MADE_BY_US = ("Swap",)
_BEGINNING = """\
Python interface
================

Everything here is imported from ``isolated_hooks``. `Errors <errors.rst>`_ have a page of their own. Times are in
seconds and sizes in bytes. An import tries nothing on the host; the first hook does.

.. code-block:: python

    from isolated_hooks import IsolatedHookCaller, Policy, Protection

    hooks = IsolatedHookCaller("project", "setuptools.build_meta", policy=Policy(limits={"wall_time": 600}))
    wheel = hooks.build_wheel("dist")
    print(hooks.reports[-1].state(Protection.NETWORK))

"""


def page() -> str:
    """Return the text of the page."""
    names = [name for group in _GROUPS.values() for name in group.split()]
    exceptions = {name for name in isolated_hooks.__all__ if _is_exception(getattr(isolated_hooks, name))}
    assert {*names, *exceptions} == {*isolated_hooks.__all__}, "a public name is in no group of the page"
    return HEADER + _BEGINNING + "\n".join(_group(title, group.split()) for title, group in _GROUPS.items())


def _is_exception(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseException)


def _group(title: str, names: list[str]) -> str:
    return heading(title, "-") + "\n".join(_entry(name, getattr(isolated_hooks, name)) for name in names)


def _entry(name: str, thing: Callable[..., object]) -> str:
    text = heading(name, "~")
    if isinstance(thing, type) and issubclass(thing, enum.Enum):
        values = ", ".join(f"``{member.name}`` (``{member.value!r}``)" for member in thing)
        members = textwrap.fill(values, WIDTH, break_long_words=False, break_on_hyphens=False)
        return f"{text}{described(thing)}\n{members}\n"
    if name not in _MADE_BY_US:
        text += f".. code-block:: python\n\n{textwrap.indent(signature(name, thing), '    ')}\n\n"
    return text + described(thing) + "".join(_members(thing) if isinstance(thing, type) else ())


def _members(cls: type) -> Iterator[str]:
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if (name.startswith("_") and name != "__call__") or not inspect.isfunction(function):
            continue
        call = f".{name}" if isinstance(member, property) else f".{signature(name, function)}"
        yield f"\n.. code-block:: python\n\n{textwrap.indent(call, '    ')}\n\n{described(function)}"


def signature(name: str, thing: Callable[..., object]) -> str:
    """Return how to call it, as its source says: a default such as ``4 * GIB`` says more than its value."""
    found = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    returns = ""
    if isinstance(found, ast.ClassDef):
        arguments = _of_class(thing, found)
    else:
        assert isinstance(found, ast.FunctionDef)
        arguments = _arguments(found)
        returns = f" -> {ast.unparse(found.returns)}" if found.returns else ""
    line = f"{name}({', '.join(arguments)}){returns}"
    if len(line) <= WIDTH - 4:
        return line
    return f"{name}(\n{textwrap.indent(''.join(f'{each},' + chr(10) for each in arguments), '    ')}){returns}"


def _of_class(cls: Callable[..., object], found: ast.ClassDef) -> list[str]:
    for each in found.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return _arguments(each)
    if not dataclasses.is_dataclass(cls):
        base = cls.__mro__[1]  # type: ignore[attr-defined]
        return [] if base is object else signature("x", base)[2:-1].split(", ")
    keywords = ["*"] if all(field.kw_only for field in dataclasses.fields(cls)) else []
    fields = [each for each in found.body if isinstance(each, ast.AnnAssign)]
    return [*keywords, *(_in_words(ast.unparse(field)) for field in fields)]


def _arguments(function: ast.FunctionDef) -> list[str]:
    given = function.args
    plain = [each for each in (*given.posonlyargs, *given.args) if each.arg not in ("self", "cls")]
    defaults = [None] * (len(plain) - len(given.defaults)) + [*given.defaults]
    found = [_argument(each, default) for each, default in zip(plain, defaults, strict=True)]
    if given.vararg or given.kwonlyargs:
        found.append(f"*{_argument(given.vararg, None)}" if given.vararg else "*")
    found += [_argument(each, default) for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return [*found, f"**{_argument(given.kwarg, None)}"] if given.kwarg else found


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    value = f" = {ast.unparse(default)}" if default else ""
    return _in_words(f"{argument.arg}{kind}{value}")


def _in_words(text: str) -> str:
    return re.sub(r"\b_[A-Z_]+\b", lambda found: _CONSTANTS.get(found[0], found[0]), text)
