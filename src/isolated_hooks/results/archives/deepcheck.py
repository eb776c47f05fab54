"""The deep check of artefacts and metadata, if the policy asks for it."""

from __future__ import annotations

from ...files.entries import open_file, open_vetted_directory
from ..names import DIST_INFO, split_project
from .rules import MAX_DOCUMENT, check_identity
from .sdists import check_members, check_sdist
from .wheels import check_wheel

__all__ = ["check_artefact", "check_members", "check_metadata"]


def check_artefact(fd: int, name: str, *, limit: int) -> None:
    """Check a wheel or an sdist.

    :param fd: a descriptor open for reading, of a regular file that no process changes
    :param name: its vetted file name
    :param limit: the most bytes that it may unpack to
    :raises UntrustedResultError: it breaks a rule
    """
    (check_wheel if name.endswith(".whl") else check_sdist)(fd, name, limit=limit)


def check_metadata(staging_fd: int, name: str) -> None:
    """Check that METADATA in a prepared metadata directory describes the project in the directory's name.

    :param staging_fd: the descriptor of the directory above it
    :param name: the vetted name of the metadata directory
    :raises UntrustedResultError: METADATA is missing, or describes another project
    """
    where = f"{name}/METADATA"
    document = b""
    with (
        open_vetted_directory(staging_fd, name.encode()) as directory,
        open_file(directory, b"METADATA", limit=MAX_DOCUMENT) as file,
    ):
        while len(document) < file.size and (block := file.read(file.size - len(document))):
            document += block
    check_identity(document, split_project(name, ending=DIST_INFO), where)
