"""The hook's answer: we read its ``output.json`` as a hostile document, and write a fresh one for pyproject_hooks.

The document has the shape that pyproject_hooks 1.0 to 1.3 write. We accept it whole or refuse it, and never guess what
a hook meant. We keep texts for people, but cut them and make them visible; we vet every value that a frontend acts on.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UntrustedResultError
from ..files.entries import open_file
from ..files.trees import remove_tree
from ..frozen import dataclass
from ..policy import HOOKS
from ..text import visible
from .artefacts import vet_dist_info_name, vet_sdist_name, vet_wheel_name
from .requirements import FILE, MAX_ITEMS, MAX_REQUIREMENTS, WEB, vet_requirement
from .strictjson import parse_object

__all__ = ["Output", "read_output", "write_output"]

OUTPUT = b"output.json"
# pyproject_hooks writes each traceback and warning whole, and each character outside ASCII as six. If a text is longer
# than we show, the frontend must still see the backend's failure, not a refused answer. json takes at most 40 bytes of
# memory for each of these bytes.
MAX_OUTPUT = 4 << 20
MAX_TEXT = 64 << 10
MAX_NAME = 1024
MAX_WARNINGS = 1000
# visible() takes a tenth of a microsecond for each character.
MAX_WARNING_TEXT = 1 << 20

# linecache opens no name in angle brackets. Of any other file that the frontend can read, it prints that line.
WARNING_FILENAME = "<build backend>"

_FAILURES = ("unsupported", "no_backend", "backend_invalid", "hook_missing")
_TEXTS = ("traceback", "backend_error", "missing_hook_name")
_KEYS = frozenset((*_FAILURES, *_TEXTS, "warnings", "return_val"))
_WARNING_KEYS = frozenset(("message", "filename", "lineno"))
_FEATURE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Output:
    """The vetted answer of one hook.

    :ivar hook: the hook's name
    :ivar returned: its return value, with a list as a tuple, or ``None`` if it failed
    :ivar failure: empty, or one of ``unsupported``, ``no_backend``, ``backend_invalid``, ``hook_missing``
    :ivar traceback: the backend's traceback, made visible
    :ivar backend_error: why the backend could not be loaded, made visible
    :ivar missing_hook_name: the hook that is missing, made visible
    :ivar warnings: the backend's warnings, made visible, each with the position that the backend reported
    """

    hook: str
    returned: str | tuple[str, ...] | None = None
    failure: str = ""
    traceback: str = ""
    backend_error: str = ""
    missing_hook_name: str = ""
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return an ``output.json`` that every pyproject_hooks from 1.0 to 1.3 can read."""
        failures = {name: name == self.failure for name in _FAILURES}
        # Only 1.0 knows backend_invalid, and checks it before hook_missing. Later versions would take the null for
        # the hook's return value, so we tell them that the hook is missing.
        failures["hook_missing"] |= failures["backend_invalid"]
        return {
            **failures,
            "traceback": self.traceback,
            "backend_error": self.backend_error,
            "missing_hook_name": self.missing_hook_name,
            "warnings": [{"message": text, "filename": WARNING_FILENAME, "lineno": 1} for text in self.warnings],
            "return_val": list(self.returned) if isinstance(self.returned, tuple) else self.returned,
        }


def read_output(control_fd: int, hook: str, *, limit: int = MAX_OUTPUT, allow_url_requirements: bool = False) -> Output:
    """Read and vet the hook's ``output.json`` in its control directory.

    Call it when every process of the sandbox is dead.

    :param control_fd: the descriptor of the directory
    :param hook: the hook that the frontend called, one of :data:`isolated_hooks.policy.HOOKS`
    :param limit: the most bytes that ``output.json`` may have
    :param allow_url_requirements: accept requirements such as ``name @ https://...`` (PEP 508)
    :raises UntrustedResultError: the file or its content breaks a rule
    :raises ValueError: ``hook`` is not a hook
    """
    if hook not in HOOKS:
        raise ValueError(f"not a hook: expected one of {list(HOOKS)}, got {hook!r}")
    document = parse_object(_read(control_fd, limit))
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        raise UntrustedResultError("output.json must have only the keys that pyproject_hooks writes", unknown[0][:99])
    failure = _failure(document)
    returned = None if failure else _vet_returned(hook, document.get("return_val"), allow_url_requirements)
    return Output(
        hook=hook,
        returned=returned,
        failure=failure,
        traceback=_end_of_traceback(_text(document, "traceback")),
        backend_error=visible(_text(document, "backend_error"), limit=MAX_TEXT, keep="\n\t"),
        missing_hook_name=visible(_text(document, "missing_hook_name"), limit=MAX_NAME),
        warnings=_warnings(document.get("warnings", [])),
    )


def write_output(directory: str | int, output: Output) -> None:
    """Write a fresh ``output.json``, and replace any file or directory of that name.

    :param directory: the control directory of the frontend, a path or a descriptor
    :raises OSError: we cannot write it; then we leave no half-written file
    """
    if isinstance(directory, str):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return write_output(fd, output)
        finally:
            os.close(fd)
    remove_tree(directory, OUTPUT)
    # ASCII only: UTF-8 cannot encode a lone surrogate.
    text = json.dumps(output.document(), ensure_ascii=True, indent=2)
    created = os.open(OUTPUT, _CREATE_FLAGS, 0o600, dir_fd=directory)
    try:
        with open(created, "w", encoding="ascii") as file:
            file.write(text)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(OUTPUT, dir_fd=directory)
        raise
    return None


def _read(control_fd: int, limit: int) -> bytes:
    data = bytearray()
    with open_file(control_fd, OUTPUT, limit=limit) as file:
        while len(data) <= limit and (block := file.read(limit + 1 - len(data))):
            data += block
    if len(data) > limit:
        raise UntrustedResultError(f"output.json must not be larger than {limit} bytes")
    return bytes(data)


def _failure(document: Mapping[str, Any]) -> str:
    failures = []
    for name in _FAILURES:
        flag = document.get(name, False)
        if not isinstance(flag, bool):
            raise UntrustedResultError("a flag in output.json must be true or false", name)
        if flag:
            failures.append(name)
    if len(failures) > 1:
        raise UntrustedResultError("output.json must not report two outcomes", ", ".join(failures))
    if failures and document.get("return_val") is not None:
        raise UntrustedResultError("output.json must not report both a failure and a return value", failures[0])
    return failures[0] if failures else ""


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is None:
        # pyproject_hooks 1.2 and later write no traceback if backend-path does not hold the backend.
        return ""
    if not isinstance(value, str):
        raise UntrustedResultError("a text in output.json must be a string", key)
    return value


def _end_of_traceback(traceback: str) -> str:
    """Cut a traceback at its front: the error itself is at the end."""
    cut = traceback if len(traceback) <= MAX_TEXT else "…" + traceback[-MAX_TEXT:]
    return visible(cut, keep="\n\t")


def _warnings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UntrustedResultError("the warnings in output.json must be a list", type(value).__name__)
    texts: list[str] = []
    characters_left = MAX_WARNING_TEXT
    for message, filename, lineno in [_vet_warning(item) for item in value]:
        characters_left -= min(len(message), MAX_TEXT) + min(len(filename), MAX_NAME)
        if characters_left < 0 or (len(texts) == MAX_WARNINGS - 1 and len(value) > MAX_WARNINGS):
            texts.append(f"{len(value) - len(texts)} more warnings of the build backend were dropped")
            break
        position = f"{visible(filename, limit=MAX_NAME)}:{lineno}"
        texts.append(f"{visible(message, limit=MAX_TEXT, keep=chr(10) + chr(9))} (reported at {position})")
    return tuple(texts)


def _vet_warning(item: object) -> tuple[str, str, int]:
    if not isinstance(item, dict) or item.keys() != _WARNING_KEYS:
        raise UntrustedResultError("a warning in output.json must have a message, a file name and a line number")
    message, filename, lineno = item["message"], item["filename"], item["lineno"]
    if not (isinstance(message, str) and isinstance(filename, str) and type(lineno) is int):
        raise UntrustedResultError("a warning in output.json must hold two strings and an integer")
    return message, filename, lineno


def _vet_returned(hook: str, value: object, allow_urls: bool) -> str | tuple[str, ...]:
    if hook.startswith("get_requires_for_"):
        schemes = WEB | FILE if allow_urls else ()
        return _vet_list(value, lambda item: vet_requirement(item, schemes=schemes))
    if hook == "_supported_features":
        return _vet_list(value, _vet_feature)
    if not isinstance(value, str):
        raise UntrustedResultError(f"{hook} must return a string", type(value).__name__)
    if hook.startswith("prepare_metadata_for_"):
        return vet_dist_info_name(value)
    return vet_sdist_name(value) if hook == "build_sdist" else vet_wheel_name(value)


def _vet_list(value: object, vet: Callable[[str], str]) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UntrustedResultError("the hook must return a list of strings", type(value).__name__)
    if len(value) > MAX_ITEMS:
        raise UntrustedResultError(f"the hook must not return more than {MAX_ITEMS} items", len(value))
    for item in value:
        if not isinstance(item, str):
            raise UntrustedResultError("the hook must return a list of strings", type(item).__name__)
    if sum(map(len, value)) > MAX_REQUIREMENTS:
        raise UntrustedResultError(f"the hook must not return more than {MAX_REQUIREMENTS} characters in all items")
    return tuple(vet(item) for item in value)


def _vet_feature(text: str) -> str:
    if not _FEATURE.fullmatch(text):
        raise UntrustedResultError("the name of a feature must be an identifier", text[:200])
    return text
