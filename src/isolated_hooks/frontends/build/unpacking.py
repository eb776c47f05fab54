"""Installs the wheels in a directory, or the tree that uv has unpacked there, into a build environment, in the sandbox.

The trusted interpreter runs this file as a script under ``-I -S``. So neither the environment's interpreter nor any
code that is installed there runs, not even a ``.pth`` file. The script imports nothing from this package.
"""

from __future__ import annotations

import glob
import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

__all__ = ["INTERPRETER", "TREE", "main"]

#: Paths within the directory: the interpreter for which uv installs, and the tree into which it unpacks.
INTERPRETER = os.path.join("interpreter", "bin", "python")
TREE = "tree"


def main(text: str) -> int:
    """Carry out the order that :func:`isolated_hooks.frontends.build.installation.install` wrote as JSON.

    :return: an exit code: 0, or 1 after it has printed the error
    """
    try:
        order: Mapping[str, Any] = json.loads(text)
        sys.path.insert(0, order["library"])
        _replace(order["directory"], order["scheme"])
    except Exception as problem:  # a malformed wheel can cause any exception
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        return 1
    return 0


def _replace(directory: str, scheme: Mapping[str, str]) -> None:
    """Uninstall other versions of all distributions in the directory, then install those.

    In this order, because the new version of one distribution may hold a file of another one's old version.
    """
    from installer.utils import canonicalize_name, parse_wheel_filename

    installed = {name: distribution.version for name, distribution in _distributions(scheme)}
    wheels = {}
    for wheel in sorted(glob.glob(os.path.join(glob.escape(directory), "*.whl"))):
        filename = parse_wheel_filename(os.path.basename(wheel))
        name = canonicalize_name(filename.distribution)
        if installed.get(name) != filename.version:
            wheels[name] = wheel
    tree = os.path.join(directory, TREE)
    inside = {key: os.path.join(tree, os.path.relpath(path, scheme["data"])) for key, path in scheme.items()}
    _uninstall({*wheels, *(name for name, _ in _distributions(inside))}, scheme)
    for wheel in wheels.values():
        _install(wheel, scheme)
    _copy(tree, scheme["data"], os.path.join(directory, INTERPRETER), _python(scheme))


def _distributions(scheme: Mapping[str, str]) -> Iterator[tuple[str, importlib.metadata.Distribution]]:
    from installer.utils import canonicalize_name

    for distribution in importlib.metadata.distributions(path=[*{scheme["purelib"], scheme["platlib"]}]):
        if distribution.metadata["Name"] is not None:
            yield canonicalize_name(distribution.metadata["Name"]), distribution


def _python(scheme: Mapping[str, str]) -> str:
    return os.path.join(scheme["scripts"], "python")


def _uninstall(names: Collection[str], scheme: Mapping[str, str]) -> None:
    """Remove the files of distributions, and then the directories that have become empty."""
    for name, distribution in [*_distributions(scheme)]:
        for file in (distribution.files or ()) if name in names else ():
            path = os.path.normpath(str(distribution.locate_file(file)))
            if os.path.lexists(path):
                os.unlink(path)
            _prune(os.path.dirname(path))


def _prune(directory: str) -> None:
    try:
        os.removedirs(directory)
    except OSError:
        pass  # removedirs stops at the first directory that is not empty


def _install(wheel: str, scheme: Mapping[str, str]) -> None:
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    try:
        with WheelFile.open(wheel) as source:  # type: ignore[arg-type]  # zipfile takes a str
            headers = os.path.join(scheme["headers"], source.distribution)
            destination = SchemeDictionaryDestination(
                {**scheme, "headers": headers},
                interpreter=_python(scheme),
                script_kind="posix",
                overwrite_existing=True,
            )
            install(source, destination, additional_metadata={"INSTALLER": b"isolated-hooks\n"})
    except Exception as problem:
        raise ValueError(f"{os.path.basename(wheel)}: {type(problem).__name__}: {problem}") from problem


def _copy(tree: str, prefix: str, shebang: str, python: str) -> None:
    """Copy regular files. In scripts, replace the path of uv's interpreter with that of the environment's."""
    for directory, _, names in os.walk(tree):
        target = os.path.normpath(os.path.join(prefix, os.path.relpath(directory, tree)))
        os.makedirs(target, exist_ok=True)
        for name in names:
            source = os.path.join(directory, name)
            if os.path.islink(source):
                raise ValueError(f"{os.path.relpath(source, tree)} is a symbolic link, which a wheel cannot hold")
            copy = os.path.join(target, name)
            if os.path.isfile(copy) and not os.path.islink(copy):
                os.unlink(copy)  # uv's .lock, say: we cannot set the mode of a file that another uid owns
            shutil.copy(source, copy)
            if os.path.dirname(source) == os.path.join(tree, "bin"):
                _repoint(copy, os.fsencode(shebang), os.fsencode(python))


def _repoint(script: str, old: bytes, new: bytes) -> None:
    """Change the interpreter in the first two lines of a script: a long path is on the second line."""
    with open(script, "rb+") as file:
        if file.read(2) != b"#!":
            return
        file.seek(0)
        head, body = file.readline() + file.readline(), file.read()
        file.seek(0)
        file.truncate()
        file.write(head.replace(old, new, 1) + body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
