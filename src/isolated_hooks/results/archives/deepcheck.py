"""The checks of artefacts and metadata: what they cost their readers, always; what is in them, if the policy asks."""

from __future__ import annotations

import os

from ...files.entries import open_file, open_vetted_directory
from ..metadata import DOCUMENTS, vet_metadata
from ..names import DIST_INFO, split_project
from .rules import MAX_DOCUMENT, check_identity
from .sdists import check_members, check_sdist
from .weight import check_weight
from .wheels import check_wheel

__all__ = ["check_artefact", "check_members", "check_metadata", "check_weight"]


def check_artefact(fd: int, name: str, *, limit: int) -> None:
    """Check a wheel or an sdist.

    :param fd: a descriptor open for reading, of a regular file that no process changes
    :param name: its vetted file name
    :param limit: the most bytes that it may unpack to
    :raises UntrustedResultError: it breaks a rule
    """
    if name.endswith(".whl"):
        check_weight(fd, name)
        check_wheel(fd, name, limit=limit)
    else:
        check_sdist(fd, name, limit=limit)


def check_metadata(staging_fd: int, name: str, *, deep: bool) -> None:
    """Check that readers of a prepared metadata directory take a bounded time and memory.

    :param staging_fd: the descriptor of the directory above it
    :param name: the vetted name of the metadata directory
    :param deep: also check that METADATA describes the project in the directory's name
    :raises UntrustedResultError: a file is too large, or :func:`vet_metadata` refuses METADATA; with ``deep``, METADATA
        is missing or describes another project
    """
    where = f"{name}/METADATA"
    with open_vetted_directory(staging_fd, name.encode()) as directory:
        for document in sorted(DOCUMENTS):
            if document == "METADATA" or not _exists(directory, document):
                continue
            with open_file(directory, document.encode(), limit=MAX_DOCUMENT):
                pass
        if not deep and not _exists(directory, "METADATA"):
            return
        content = _content(directory)
    vet_metadata(content, where)
    if deep:
        check_identity(content, split_project(name, ending=DIST_INFO), where)


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _content(directory: int) -> bytes:
    content = bytearray()
    with open_file(directory, b"METADATA", limit=MAX_DOCUMENT) as file:
        while len(content) < file.size and (block := file.read(file.size - len(content))):
            content += block
    return bytes(content)
