"""Puts wheels, or a tree that uv has unpacked, into a build environment: what runs for that in the sandbox.

Run as a script by the trusted interpreter under ``-I -S``: neither the interpreter of the environment nor anything that
is installed there is executed, so no ``.pth`` file is either. It imports nothing of this package.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["main"]


def main(path: str) -> int:
    """Do what a file of :func:`isolated_hooks.frontends.installation.install` says, and return an exit code."""
    try:
        with open(path, encoding="utf-8") as file:
            order: Mapping[str, Any] = json.load(file)
        sys.path.insert(0, order["library"])
        scheme: Mapping[str, str] = order["scheme"]
        _uninstall(order["replaced"], scheme)
        for wheel in order["wheels"]:
            _install(wheel, scheme, order["python"])
        if order["tree"]:
            _copy(order["tree"], scheme["data"], order["shebang"], order["python"])
    except Exception as problem:  # whatever a malformed wheel brings about
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        return 1
    return 0


def _uninstall(names: Sequence[str], scheme: Mapping[str, str]) -> None:
    """Remove the files of distributions, by their canonical names, and the directories that are then empty."""
    for distribution in importlib.metadata.distributions(path=[*{scheme["purelib"], scheme["platlib"]}]):
        name = distribution.metadata["Name"]
        if name is None or re.sub(r"[-_.]+", "-", name).lower() not in names:
            continue
        for file in distribution.files or ():
            path = os.path.normpath(str(distribution.locate_file(file)))
            if os.path.lexists(path):
                os.unlink(path)
            _prune(os.path.dirname(path))


def _prune(directory: str) -> None:
    try:
        os.removedirs(directory)
    except OSError:
        pass  # not empty, which ends it


def _install(wheel: str, scheme: Mapping[str, str], python: str) -> None:
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    try:
        with WheelFile.open(wheel) as source:  # type: ignore[arg-type]  # zipfile takes a str
            headers = os.path.join(scheme["headers"], source.distribution)
            destination = SchemeDictionaryDestination(
                {**scheme, "headers": headers}, interpreter=python, script_kind="posix", overwrite_existing=True
            )
            install(source, destination, additional_metadata={"INSTALLER": b"isolated-hooks\n"})
    except Exception as problem:
        raise ValueError(f"{os.path.basename(wheel)}: {type(problem).__name__}: {problem}") from problem


def _copy(tree: str, prefix: str, shebang: str, python: str) -> None:
    """Copy regular files. In scripts, the interpreter that uv was given is replaced by that of the environment."""
    for directory, _, names in os.walk(tree):
        target = os.path.normpath(os.path.join(prefix, os.path.relpath(directory, tree)))
        os.makedirs(target, exist_ok=True)
        for name in names:
            source = os.path.join(directory, name)
            if os.path.islink(source):
                raise ValueError(f"{os.path.relpath(source, tree)} is a link, which no wheel holds")
            copy = os.path.join(target, name)
            if os.path.isfile(copy) and not os.path.islink(copy):
                os.unlink(copy)  # uv's .lock, say; the mode of what another uid made cannot be set
            shutil.copy(source, copy)
            if os.path.dirname(source) == os.path.join(tree, "bin"):
                _repoint(copy, os.fsencode(shebang), os.fsencode(python))


def _repoint(script: str, old: bytes, new: bytes) -> None:
    """Change the interpreter in the first two lines of a script: the second is where one with a long path stands."""
    with open(script, "rb+") as file:
        if file.read(2) != b"#!":
            return
        file.seek(0)
        head, rest = file.readline() + file.readline(), file.read()
        file.seek(0)
        file.truncate()
        file.write(head.replace(old, new, 1) + rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
