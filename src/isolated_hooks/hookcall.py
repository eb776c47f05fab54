"""The hook call that pyproject_hooks asks its runner to make."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from .errors import PolicyError
from .files.spelling import absolute
from .frozen import dataclass
from .policy import HOOKS
from .text import visible

__all__ = ["OUTPUTS", "HookCall", "SubprocessRunner"]

#: Each hook that writes a result, and its argument that names the directory for the result (PEP 517, PEP 660).
OUTPUTS = {
    "build_wheel": "wheel_directory",
    "build_editable": "wheel_directory",
    "build_sdist": "sdist_directory",
    "prepare_metadata_for_build_wheel": "metadata_directory",
    "prepare_metadata_for_build_editable": "metadata_directory",
}
_MAX_INPUT = 16 * 2**20


class SubprocessRunner(Protocol):
    """A subprocess runner as pyproject_hooks defines it: runs a command, and raises an error if the command fails."""

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None: ...


@dataclass(frozen=True)
class HookCall:
    """One hook call. All paths except ``python`` are absolute.

    :ivar python: the interpreter that runs the hook, as the frontend named it
    :ivar script: path of the hook script, ``_in_process.py`` of pyproject_hooks
    :ivar hook: the hook's name
    :ivar control_dir: the control directory: it holds ``input.json``, and pyproject_hooks reads ``output.json`` there
    :ivar source_dir: the source tree
    :ivar kwargs: the hook's arguments by name, as in ``input.json``
    """

    python: str
    script: str
    hook: str
    control_dir: str
    source_dir: str
    kwargs: Mapping[str, Any]

    @classmethod
    def parse(cls, cmd: Sequence[str], cwd: str | None) -> HookCall:
        """Return the hook call that pyproject_hooks describes with a command, a working directory and ``input.json``.

        :param cmd: interpreter, hook script, hook name, control directory
        :param cwd: the source tree (default: the current directory)
        :raises PolicyError: this is not a hook call, or a path in it does not exist
        """
        if len(cmd) != 4 or not all(isinstance(part, str) for part in cmd):
            shown = visible(repr(list(cmd)), limit=200)
            raise PolicyError(f"not a hook call: expected [python, script, hook, control directory], got {shown}")
        python, script, hook, control_dir = cmd
        if hook not in HOOKS:
            raise PolicyError(f"unknown hook {visible(hook, limit=80)!r}; known hooks: {', '.join(sorted(HOOKS))}")
        source_dir = absolute(cwd or os.getcwd())
        if not os.path.isdir(source_dir):
            raise PolicyError(f"the source tree {visible(source_dir)!r} is not a directory")
        if not os.path.isfile(script):
            raise PolicyError(f"the hook script {visible(script)!r} does not exist")
        kwargs = _read_kwargs(control_dir)
        _check_directories(hook, kwargs)
        return cls(python, absolute(script), hook, absolute(control_dir), source_dir, kwargs)

    @property
    def output_directory(self) -> str | None:
        """Path of the directory that the hook writes its result into, or ``None`` if the hook writes none."""
        name = OUTPUTS.get(self.hook)
        return None if name is None else absolute(self.kwargs[name])

    @property
    def metadata_directory(self) -> str | None:
        """Path of the prepared ``.dist-info`` directory that the hook reads, or ``None``."""
        if self.hook not in ("build_wheel", "build_editable"):
            return None
        directory = self.kwargs.get("metadata_directory")
        return None if directory is None else absolute(directory)

    def with_output_directory(self, directory: str) -> Mapping[str, Any]:
        """Return the hook's arguments with its output directory replaced."""
        return {**self.kwargs, OUTPUTS[self.hook]: directory}


def _check_directories(hook: str, kwargs: Mapping[str, Any]) -> None:
    name = OUTPUTS.get(hook)
    if name is not None and not isinstance(kwargs.get(name), str):
        raise PolicyError(f"not a hook call: {hook} needs the argument {name!r} (expected a path)")
    if not isinstance(kwargs.get("metadata_directory"), (str, type(None))):
        raise PolicyError("not a hook call: the argument 'metadata_directory' is not a path or null")


def _read_kwargs(control_dir: str) -> Mapping[str, Any]:
    path = os.path.join(control_dir, "input.json")
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(_MAX_INPUT))
        kwargs = document["kwargs"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PolicyError(f"not a hook call: cannot read {visible(path)!r}: {error}") from error
    if not isinstance(kwargs, dict):
        raise PolicyError(f"not a hook call: the arguments in {visible(path)!r} are not a mapping")
    return MappingProxyType(kwargs)
