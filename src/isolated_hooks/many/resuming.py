"""Records beside the wheels of a wheelhouse: from which inputs each was built, so that a later run need not build it.

A record is ``WHEEL.json``. A wheel stands if its record names the same inputs, the wheels of the run that were used for
its build requirements are the same, and the wheel still has the digest that the record names. A record that says
anything else than we write is passed over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import platform
import stat
import sysconfig
from collections.abc import Mapping
from typing import Any

from ..errors import UntrustedResultError
from ..files.replaced import ReplacedFile
from ..frozen import dataclass
from ..policy import Policy
from ..results.artefacts import vet_wheel_name
from ..results.requirements import MAX_ITEMS
from .outcomes import BuiltFile, UsedWheel

__all__ = ["Inputs", "Standing", "digest_of", "inputs_of", "read_records", "record_of", "stands", "write_record"]

Inputs = tuple[tuple[str, str], ...]
"""The inputs of a build: pairs of a name and a digest or text."""

_SCHEMA = "2.0"
_ENDING = ".json"
_MAX_RECORD = 1 << 20
_MAX_RECORDS = 100_000
_BLOCK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True)
class Standing:
    """A wheel of an earlier run.

    :ivar wheel: the wheel, as its record describes it
    :ivar requirements: the build requirements of its project
    :ivar used: the wheels of that run that its build could use for them
    :ivar memory: the largest resident set of one process of its hooks, in bytes; 0 if nobody knows
    """

    wheel: BuiltFile
    requirements: tuple[str, ...] = ()
    used: tuple[UsedWheel, ...] = ()
    memory: int = 0


def inputs_of(source_sha256: str, policy: Policy, settings: Mapping[str, Any] | None) -> Inputs:
    """Return the inputs of a build by this interpreter.

    :param source_sha256: of the sdist
    :param settings: for the backend
    """
    return (
        ("config_settings", _digest(dict(settings or {}))),
        ("policy", _digest(policy.to_dict())),
        ("python", f"{platform.python_implementation()} {platform.python_version()} {sysconfig.get_platform()}"),
        ("source_sha256", source_sha256),
    )


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def record_of(wheel: str) -> str:
    """Return the name of the record of a wheel."""
    return wheel + _ENDING


def read_records(directory: str) -> dict[Inputs, Standing]:
    """Return the wheels that the records in a directory name, by their inputs."""
    standing: dict[Inputs, Standing] = {}
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        names = (entry.name for entry in entries if entry.name.endswith(f".whl{_ENDING}"))
        for name in itertools.islice(names, _MAX_RECORDS):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
                inputs, wheel = _read(directory, name)
                standing[inputs] = wheel
    return standing


def _read(directory: str, name: str) -> tuple[Inputs, Standing]:
    with open(os.open(os.path.join(directory, name), _OPEN | os.O_NOFOLLOW), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("no regular file")
        record = json.loads(file.read(_MAX_RECORD))
    wheel = record["wheel"]
    if record["schema"] != _SCHEMA or wheel["name"] != name.removesuffix(_ENDING):
        raise ValueError("not a record of this wheel")
    try:
        path = os.path.join(directory, vet_wheel_name(wheel["name"]))
    except UntrustedResultError as problem:
        raise ValueError(str(problem)) from problem
    inputs = tuple(sorted((str(key), str(value)) for key, value in record["inputs"].items()))
    requirements = tuple(str(text) for text in record["requirements"][:MAX_ITEMS])
    used = tuple(UsedWheel(str(u["name"]), str(u["version"]), str(u["sha256"])) for u in record["used"])
    return inputs, Standing(
        BuiltFile(path, int(wheel["size"]), str(wheel["sha256"])), requirements, used, int(record["memory"])
    )


def stands(wheel: BuiltFile) -> bool:
    """Return whether a wheel is there, and is the one of the record."""
    try:
        return digest_of(wheel.path, follow=False) == wheel.sha256
    except OSError:
        return False


def digest_of(path: str, *, follow: bool = True) -> str:
    """Return the hexadecimal SHA-256 of a regular file.

    :param follow: whether the path may be that of a link
    :raises OSError: it cannot be read, or is no regular file
    """
    digest = hashlib.sha256()
    with open(os.open(path, _OPEN | (0 if follow else os.O_NOFOLLOW)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file", path)
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_record(standing: Standing, inputs: Inputs) -> None:
    """Write the record of a wheel beside it, complete or not at all.

    :raises PolicyError, OSError: it cannot be written
    """
    wheel = standing.wheel
    record = {
        "schema": _SCHEMA,
        "wheel": {"name": os.path.basename(wheel.path), "size": wheel.size, "sha256": wheel.sha256},
        "inputs": dict(inputs),
        "requirements": [*standing.requirements],
        "used": [dataclasses.asdict(used) for used in standing.used],
        "memory": standing.memory,
    }
    with ReplacedFile(record_of(wheel.path), "the record of a wheel") as file:
        file.write(json.dumps(record, indent=2).encode("ascii") + b"\n")
