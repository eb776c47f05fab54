"""Installs the wheels in a directory, or the tree that uv has unpacked there, into a build environment, in the sandbox.

The trusted interpreter runs this file as a script under ``-I -S``. So neither the environment's interpreter nor any
code that is installed there runs, not even a ``.pth`` file. The script imports nothing from this package.

It also compiles what it has installed, because a hook can write no bytecode there: each hook would compile its backend
anew, setuptools in a third of a second.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import marshal
import os
import resource
import shutil
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NoReturn

__all__ = ["INTERPRETER", "TREE", "main"]

#: Paths within the directory: the interpreter for which uv installs, and the tree into which it unpacks.
INTERPRETER = os.path.join("interpreter", "bin", "python")
TREE = "tree"
# Of source text, in bytes, that we compile at most: what a backend loads, and no large library of which a hook loads
# little. Smaller distributions come first.
_MOST_SOURCE = 4 << 20
# A file that a compiler cannot get through stays as it is: it may use so many seconds, and so many bytes of memory.
_SECONDS = 10
_MEMORY = 1 << 30
_MOST_PROCESSES = 4


def main(text: str) -> int:
    """Carry out the order that :func:`isolated_hooks.frontends.build.installation.install` wrote as JSON.

    :return: an exit code: 0, or 1 after it has printed the error
    """
    try:
        order: Mapping[str, Any] = json.loads(text)
        sys.path.insert(0, order["library"])
        installed = _replace(order["directory"], order["scheme"])
    except Exception as problem:  # a malformed wheel can cause any exception
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        return 1
    # Bytecode is only faster: nothing that a wheel holds may fail the installation here.
    with contextlib.suppress(Exception):
        _compile_in_children(_modules(installed, order["scheme"]))
    return 0


def _replace(directory: str, scheme: Mapping[str, str]) -> set[str]:
    """Uninstall other versions of all distributions in the directory, then install those, and return their names.

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
    names = {*wheels, *(name for name, _ in _distributions(inside))}
    _uninstall(names, scheme)
    for wheel in wheels.values():
        _install(wheel, scheme)
    _copy(tree, scheme["data"], os.path.join(directory, INTERPRETER), _python(scheme))
    return names


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
            for old in (path, _bytecode_of(path)) if path.endswith(".py") else (path,):
                if os.path.lexists(old):
                    os.unlink(old)
                _prune(os.path.dirname(old))


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


def _modules(names: Collection[str], scheme: Mapping[str, str]) -> list[str]:
    """Return the source files of distributions, the smallest distributions first, as far as they are to be compiled."""
    sizes = []
    for name, distribution in _distributions(scheme):
        if name in names:
            try:
                files = _sources(distribution, scheme)
            except Exception:  # its list of files is malformed, and nobody has to read that
                continue
            sizes.append((sum(files.values()), sorted(files)))
    left, modules = _MOST_SOURCE, []
    for size, paths in sorted(sizes):
        left -= size
        if left < 0:
            break
        modules += paths
    return modules


def _sources(distribution: importlib.metadata.Distribution, scheme: Mapping[str, str]) -> dict[str, int]:
    """Return the source files of a distribution with their sizes, and remove bytecode that it has not brought.

    An earlier distribution may have had a file in the same place: of the same size and in the same second, an
    interpreter would take its bytecode for that of the new one.
    """
    located = {os.path.normpath(str(distribution.locate_file(file))) for file in distribution.files or ()}
    sources = [path for path in located if path.endswith(".py") and _is_within(path, scheme)]
    for path in sources:
        if _bytecode_of(path) not in located:
            with contextlib.suppress(OSError):  # mostly there is none
                os.unlink(_bytecode_of(path))
    return {path: os.path.getsize(path) for path in sources}


def _is_within(path: str, scheme: Mapping[str, str]) -> bool:
    """Return whether a path is a regular file in one of the directories that an interpreter imports from."""
    libraries = (scheme["purelib"], scheme["platlib"])
    return any(path.startswith(f"{library}{os.sep}") for library in libraries) and os.path.isfile(path)


def _compile_in_children(paths: Sequence[str]) -> None:
    """Compile files in processes of their own: a file that breaks the compiler, or holds it up, ends one of them."""
    count = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES, len(paths))
    children = []
    for number in range(count):
        try:
            pid = os.fork()
        except OSError:
            break  # a limit; without bytecode hooks are slower
        if pid == 0:
            _compile(paths[number::count])
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


def _compile(paths: Sequence[str]) -> NoReturn:
    """Write the bytecode of files, and end."""
    try:
        for limit, value in ((resource.RLIMIT_CPU, _SECONDS), (resource.RLIMIT_AS, _MEMORY)):
            highest = resource.getrlimit(limit)[1]
            lower = value if highest == resource.RLIM_INFINITY else min(value, highest)
            resource.setrlimit(limit, (lower, lower))
        warnings.simplefilter("ignore")
        for path in paths:
            with contextlib.suppress(Exception):  # a file in the place of __pycache__, or too long a name
                _compile_file(path)
    finally:
        os._exit(0)


def _compile_file(path: str) -> None:
    """Write the bytecode of a file as an import would, if it compiles and the wheel has brought none."""
    bytecode = _bytecode_of(path)
    if os.path.lexists(bytecode):
        return
    with open(path, "rb") as file:
        source, status = file.read(), os.fstat(file.fileno())
    try:
        code = importlib.machinery.SourceFileLoader("", path).source_to_code(source, path)
    except Exception:  # it may be for other versions of Python
        return
    # PEP 552: the flags, and the time and the size of the source.
    numbers = (0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    header = importlib.util.MAGIC_NUMBER + b"".join(number.to_bytes(4, "little") for number in numbers)
    os.makedirs(os.path.dirname(bytecode), exist_ok=True)
    beside = f"{bytecode}.{os.getpid()}"
    with open(beside, "xb") as file:
        file.write(header + marshal.dumps(code))
    os.replace(beside, bytecode)


def _bytecode_of(path: str) -> str:
    return importlib.util.cache_from_source(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
