"""What pyproject_hooks asked its runner for."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from .errors import PolicyError
from .policy import HOOKS
from .text import visible

__all__ = ["OUTPUTS", "HookCall", "SubprocessRunner"]

#: The argument of each hook that names the directory it writes its result into (PEP 517, PEP 660).
OUTPUTS = {
    "build_wheel": "wheel_directory",
    "build_editable": "wheel_directory",
    "build_sdist": "sdist_directory",
    "prepare_metadata_for_build_wheel": "metadata_directory",
    "prepare_metadata_for_build_editable": "metadata_directory",
}
_MAX_INPUT = 16 * 2**20


class SubprocessRunner(Protocol):
    """What pyproject_hooks calls a subprocess runner: runs a command, raises where it fails."""

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None: ...


@dataclasses.dataclass(frozen=True)
class HookCall:
    """One hook call.

    :ivar python: the interpreter that is to run the hook, as the frontend named it
    :ivar script: pyproject_hooks' ``_in_process.py``
    :ivar hook: the hook's name
    :ivar control_dir: the directory with ``input.json``, where ``output.json`` is expected
    :ivar source_dir: the source tree
    :ivar kwargs: the hook's arguments
    """

    python: str
    script: str
    hook: str
    control_dir: str
    source_dir: str
    kwargs: Mapping[str, Any]

    @classmethod
    def parse(cls, cmd: Sequence[str], cwd: str | None) -> HookCall:
        """Read a hook call from the command and working directory that pyproject_hooks gives its runner.

        :raises PolicyError: the command is not that of a hook, or something it names does not exist
        """
        if len(cmd) != 4 or not all(isinstance(part, str) for part in cmd):
            shown = visible(repr(list(cmd)), limit=200)
            raise PolicyError(f"not a hook call: expected [python, script, hook, control directory], got {shown}")
        python, script, hook, control_dir = cmd
        if hook not in HOOKS:
            raise PolicyError(f"unknown hook {visible(hook, limit=80)!r}; known are {', '.join(sorted(HOOKS))}")
        source_dir = os.path.abspath(cwd or os.getcwd())
        if not os.path.isdir(source_dir):
            raise PolicyError(f"the source tree {visible(source_dir)!r} is not a directory")
        if not os.path.isfile(script):
            raise PolicyError(f"the hook script {visible(script)!r} does not exist")
        kwargs = _read_kwargs(control_dir)
        _check_directories(hook, kwargs)
        return cls(python, os.path.abspath(script), hook, os.path.abspath(control_dir), source_dir, kwargs)

    @property
    def output_directory(self) -> str | None:
        """The directory that the hook writes its result into, or ``None``."""
        name = OUTPUTS.get(self.hook)
        return None if name is None else os.path.abspath(self.kwargs[name])

    @property
    def metadata_directory(self) -> str | None:
        """The ``.dist-info`` directory that the hook is to read, or ``None``."""
        if self.hook not in ("build_wheel", "build_editable"):
            return None
        given = self.kwargs.get("metadata_directory")
        return None if given is None else os.path.abspath(given)

    def with_output_directory(self, directory: str) -> Mapping[str, Any]:
        """Return the hook's arguments with another output directory."""
        return {**self.kwargs, OUTPUTS[self.hook]: directory}


def _check_directories(hook: str, kwargs: Mapping[str, Any]) -> None:
    name = OUTPUTS.get(hook)
    if name is not None and not isinstance(kwargs.get(name), str):
        raise PolicyError(f"not a hook call: {hook} needs the argument {name!r}, a path")
    if not isinstance(kwargs.get("metadata_directory"), (str, type(None))):
        raise PolicyError("not a hook call: the argument 'metadata_directory' is not a path")


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
