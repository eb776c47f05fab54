"""The directory with all source trees, from fromager's arguments."""

from __future__ import annotations

import os

import pytest

from isolated_hooks.frontends.fromager.frontend import work_directory


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("bootstrap a", "work-dir"),
        ("-O out bootstrap a", "out/work-dir"),
        ("--output-dir=/out -v build", "/out/work-dir"),
        ("-O out -t other build", "other"),
        ("--work-dir=other build", "other"),
    ],
)
def test_thework_directory(arguments: str, expected: str) -> None:
    assert work_directory(arguments.split()) == os.path.abspath(expected)
