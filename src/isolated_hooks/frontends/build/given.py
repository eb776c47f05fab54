"""What the user gives to build's command line: checked before build opens it, because build checks no bounds."""

from __future__ import annotations

import argparse
import json
import os
import stat
import tarfile

from ...errors import IsolatedHooksError, PolicyError, UntrustedResultError
from ...files.spelling import absolute
from ...policy import Policy
from ...results.archives.deepcheck import check_members, check_weight
from ...text import visible

__all__ = ["check_given"]

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# tarfile tries to read each of these.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00", b"\x28\xb5\x2f\xfd")


def check_given(options: argparse.Namespace, policy: Policy) -> None:
    """Check the options of build, and an sdist or a wheel that the user named instead of a source tree.

    :param options: as build's own parser returns them
    :raises PolicyError: a path or a value would make build wait, or replace what it must not
    :raises IsolatedHooksError: the archive could be unpacked outside the directory, or takes too much to read
    """
    _check_report(getattr(options, "report", None))
    _check_constraints(getattr(options, "dependency_constraints_txt", None))
    _check_json(getattr(options, "config_json", None))
    path = options.srcdir
    if not os.path.isfile(path):
        return
    if path.lower().endswith(".tar.gz") and _may_be_archive(path):
        _check_archive(path, policy, "unpacked")
    elif path.lower().endswith(".whl") and getattr(options, "metadata", False):
        _check_archive(path, policy, "read")


def _check_archive(path: str, policy: Policy, verb: str) -> None:
    fd = os.open(path, _FLAGS)
    try:
        if verb == "unpacked":
            check_members(fd, path, limit=policy.limits.output_size)
        else:
            check_weight(fd, path)
    except UntrustedResultError as problem:
        raise IsolatedHooksError(
            f"{visible(path)!r} was not {verb}: {problem.rule}{f': {problem.text}' if problem.text else ''}. Remedy: "
            "if you trust it, unpack it yourself and build the directory"
        ) from problem
    finally:
        os.close(fd)


def _may_be_archive(path: str) -> bool:
    """Return whether tarfile might open a file. If not, build unpacks nothing, and prints the error."""
    fd = os.open(path, _FLAGS)
    try:
        head = os.pread(fd, tarfile.BLOCKSIZE, 0)
    finally:
        os.close(fd)
    if head.startswith(_COMPRESSED):
        return True
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return isinstance(error, tarfile.EOFHeaderError)  # type: ignore[attr-defined]  # a block of zeros
    return True


def _check_report(path: str | None) -> None:
    if path is None:
        return
    try:
        kind = os.lstat(path).st_mode if os.path.lexists(path) else stat.S_IFREG
        parent = os.stat(os.path.dirname(absolute(path))).st_mode
    except OSError as error:
        raise PolicyError(f"--report: {visible(path, limit=300)!r} cannot be written: {error.strerror}") from error
    # build renames its report into place, which would replace a device, too.
    if not path or not (stat.S_ISREG(kind) or stat.S_ISLNK(kind)) or not stat.S_ISDIR(parent):
        raise PolicyError(
            f"--report: {visible(path, limit=300)!r} cannot be written (expected the path of a file in an "
            "existing directory)"
        )


def _check_constraints(path: str | None) -> None:
    # A pipe that the shell has opened, <(COMMAND), has a writer. Of any other, build would wait for one.
    if path is None or os.path.realpath(os.path.dirname(path)).startswith("/proc/"):
        return
    try:
        status = os.stat(path)
    except OSError as error:
        shown = visible(path, limit=300)
        raise PolicyError(f"--dependency-constraints-txt: {shown!r} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise PolicyError(f"--dependency-constraints-txt: {visible(path, limit=300)!r} is not a file (expected a file)")


def _check_json(text: str | None) -> None:
    try:
        json.loads(text or "{}")
    except json.JSONDecodeError:
        pass  # build has an error of its own for that
    except (RecursionError, ValueError) as error:
        raise PolicyError(
            f"--config-json: {visible(str(error), limit=200)} (expected settings as an object)"
        ) from error
