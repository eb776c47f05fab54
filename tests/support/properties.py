"""What must hold for any input at all: shared by the property-based tests and by the coverage-guided fuzzers.

Each function takes hostile input, gives it to the package, and raises ``AssertionError``, or what the package raised
that it must not, where something does not hold.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from isolated_hooks.errors import PolicyError, UntrustedResultError
from isolated_hooks.files.paths import is_within
from isolated_hooks.policy import HOOKS, Policy
from isolated_hooks.results.answer import Output, read_output, write_output
from isolated_hooks.results.archives.sdists import check_sdist
from isolated_hooks.results.archives.wheels import check_wheel
from isolated_hooks.results.artefacts import vet_dist_info_name, vet_sdist_name, vet_wheel_name
from isolated_hooks.results.projects import Expected, check_result, declared_name
from isolated_hooks.sandbox.operations import Symlink
from isolated_hooks.text import is_visible, visible
from support.fakes import Entry, FakeFilesystem, hook_call, make_plan
from support.planning import PATH, check_operations, made, places, tree

__all__ = [
    "SDIST",
    "WHEEL",
    "archive_holds",
    "names_hold",
    "output_holds",
    "plan_holds",
    "project_holds",
    "remove_scratch",
    "repaired_tar",
    "requirement_holds",
]

WHEEL, SDIST, ZIP_SDIST = "pkg-1.0-py3-none-any.whl", "pkg-1.0.tar.gz", "pkg-1.0.zip"
_LIMIT = 1 << 20
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Make one directory for the whole process: a new one for each input costs more than the code under test."""
    return tempfile.TemporaryDirectory(prefix="isolated-hooks-fuzz-")


def remove_scratch() -> None:
    """Remove the directory, if there is one: a worker of pytest-xdist ends without doing so."""
    if _scratch.cache_info().currsize:
        _scratch().cleanup()
        _scratch.cache_clear()


def output_holds(data: bytes) -> bool:
    """Give bytes as output.json to every hook; return whether any of them took it.

    What is taken is plain, and is what pyproject_hooks reads from the fresh document.
    """
    Path(_scratch().name, "output.json").write_bytes(data)
    fd = os.open(_scratch().name, _DIRECTORY_FLAGS)
    taken = False
    try:
        for hook in HOOKS:
            try:
                output = read_output(fd, hook, limit=_LIMIT)
            except UntrustedResultError as error:
                _check_error(error)
                continue
            taken = True
            _check_output(output)
            write_output(fd, output)
            again = read_output(fd, hook, limit=_LIMIT * 8)
            assert again.returned == output.returned
            assert again.failure == output.failure or output.failure == "backend_invalid"
            Path(_scratch().name, "output.json").write_bytes(data)
    finally:
        os.close(fd)
    return taken


def _check_error(error: UntrustedResultError) -> None:
    assert is_visible(str(error)), str(error)
    assert len(str(error)) < 4096
    assert "##vso[" not in str(error)


def _check_output(output: Output) -> None:
    document = output.document()
    json.dumps(document).encode("ascii")
    assert (output.returned is None) == bool(output.failure)
    for text in (output.traceback, output.backend_error, output.missing_hook_name, *output.warnings):
        assert is_visible(text.replace("\n", "").replace("\t", "")), text
        assert visible(text, keep="\n\t") == text
    assert all(warning["filename"] == "<build backend>" for warning in document["warnings"])
    returned = output.returned
    for item in returned if isinstance(returned, tuple) else () if returned is None else (returned,):
        assert is_visible(item)
    if isinstance(returned, str):
        assert os.path.basename(returned) == returned not in ("", ".", "..")


def names_hold(name: str) -> bool:
    """Give a text as every kind of name; return whether it is one. What is one is a plain file name."""
    taken = False
    for vet, hook in (
        (vet_wheel_name, "build_wheel"),
        (vet_sdist_name, "build_sdist"),
        (vet_dist_info_name, "prepare_metadata_for_build_wheel"),
    ):
        try:
            assert vet(name) == name
        except UntrustedResultError as error:
            _check_error(error)
            continue
        taken = True
        assert os.path.basename(name) == name
        assert len(os.fsencode(name)) <= 255
        assert name.isascii()
        assert not set(name) & set(" \t'\"`$&|;<>(){}*?~\\/:\n\r#=,@%")
        assert not name.startswith(("-", "."))
        try:
            check_result(hook, name, Expected(declared="another-project-altogether"))
        except UntrustedResultError as error:
            _check_error(error)
        else:
            raise AssertionError(f"{name} passes for another project")
    return taken


def requirement_holds(text: str) -> bool:
    """Give a text as requirement; return whether it is one. What is one is one, to pip too, and never an option."""
    document = json.dumps({"return_val": [text]})
    Path(_scratch().name, "output.json").write_bytes(document.encode())
    fd = os.open(_scratch().name, _DIRECTORY_FLAGS)
    taken = False
    try:
        for allowed in (False, True):
            try:
                output = read_output(fd, "get_requires_for_build_wheel", allow_url_requirements=allowed)
            except UntrustedResultError as error:
                _check_error(error)
                continue
            taken = True
            assert output.returned == (text,)
            requirement = Requirement(text)
            assert allowed or requirement.url is None
            assert text.splitlines() == [text]
            assert text.lstrip()[0].isalnum()
            assert "${" not in text
            assert visible(text) == text
            Requirement(str(requirement))
    finally:
        os.close(fd)
    return taken


def project_holds(data: bytes) -> str | None:
    """Give bytes as pyproject.toml and return the name that is found, which is a normalised one."""
    Path(_scratch().name, "pyproject.toml").write_bytes(data)
    name = declared_name(_scratch().name)
    assert name is None or (name == name.lower() and name.isascii() and name.replace("-", "").isalnum())
    return name


def archive_holds(data: bytes, name: str) -> bool:
    """Give bytes as an artefact of a name; return whether the deep check takes it.

    What is taken, the standard library unpacks in full, within the directory, as regular files, and with its filter
    for archives of strangers.
    """
    with _file(data) as fd:
        try:
            (check_wheel if name.endswith(".whl") else check_sdist)(fd, name, limit=_LIMIT)
        except UntrustedResultError as error:
            _check_error(error)
            return False
    if name.endswith(".tar.gz"):
        _check_tar(data)
    else:
        _check_zip(data)
    return True


def _check_zip(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=_scratch().name) as directory, zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        archive.extractall(directory)
        expected = {info.filename.rstrip("/") for info in archive.infolist()}
        assert expected <= set(_walked(directory))


# The filter for archives of strangers, which early releases of Python 3.10 and 3.11 lack.
_FILTER: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def _check_tar(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=_scratch().name) as directory:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            members = archive.getmembers()
            archive.extractall(directory, **_FILTER)
        found = set(_walked(directory))
        assert {member.name for member in members} <= found
        for path in found:
            real = os.path.realpath(os.path.join(directory, path))
            assert is_within(real, os.path.realpath(directory)), path


def _walked(directory: str) -> Iterator[str]:
    for where, directories, files in os.walk(directory):
        for name in (*directories, *files):
            yield os.path.relpath(os.path.join(where, name), directory)


@contextmanager
def _file(data: bytes) -> Iterator[int]:
    path = os.path.join(_scratch().name, "artefact")
    with open(path, "wb") as file:
        file.write(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def repaired_tar(data: bytes) -> bytes:
    """Return a .tar.gz of blocks whose checksums are right, so that a fuzzer gets past them."""
    blocks = [bytearray(data[i : i + 512].ljust(512, b"\0")) for i in range(0, len(data), 512)]
    for block in blocks:
        if any(block):
            block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=0, fileobj=packed, mtime=0) as file:
        file.write(b"".join(map(bytes, blocks)) + bytes(1024))
    return packed.getvalue()


def plan_holds(
    entries: Mapping[str, Entry], *, source: str, output: str, python: str, search: Sequence[str], expose: Sequence[str]
) -> bool:
    """Plan a hook call on a host with these files; return whether there is a plan.

    Every target in a plan is an absolute path without ``..``, and no link of host or plan is on the way to it, so
    that beneath the new root it is where it says; and what is made there finds its place empty.
    """
    files: FakeFilesystem = made(made(tree(dict(entries)), source), output)
    if any(files.kind(files.real(path) or "/none") != "directory" for path in (source, output)):
        return False
    call = hook_call(python=python, source_dir=source, kwargs={"wheel_directory": output})
    environ = {"PATH": ":".join((*search, PATH)), "PYTHONPATH": ":".join(search)}
    try:
        plan = make_plan(files, call=call, environ=environ, started_with={}, policy=Policy(expose=expose))
    except PolicyError as error:
        assert is_visible(str(error)), str(error)
        return False
    check_operations(plan, files)
    links: list[str] = []
    for operation in plan.operations:
        for target in places(operation):
            assert "\0" not in target
            assert not {"..", ".", ""} & set(target[1:].split("/")), target
            assert not any(target != link and is_within(target, link) for link in links), target
        if isinstance(operation, Symlink):
            links.append(operation.target)
    assert all(is_visible(line) for line in map(visible, plan.describe()))
    plan.to_wire(bytes(32))
    return True
