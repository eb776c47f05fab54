"""Which paths programs name: the interpreters of scripts, and the directories of the libraries of binaries."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from isolated_hooks.files.programs import needs_of_programs

LOAD, DYNAMIC = 1, 2
STRTAB, RPATH, RUNPATH, OTHER = 5, 15, 29, 1


def binary(path: Path, tags: dict[int, int], *, texts: bytes = b"", address: int = 0x1000, loaded: int = 0) -> None:
    """Write an executable of elf(5) with a segment that is loaded at an address, and one with tags.

    :param texts: its table of texts, 512 bytes into the file
    :param loaded: the size of the loaded segment; by default that of the file
    """
    header = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    )
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in tags.items())
    size = loaded or 512 + len(texts)
    segments = struct.pack("<IIQQQQQQ", LOAD, 4, 0, address, 0, size, size, 8)
    segments += struct.pack("<IIQQQQQQ", DYNAMIC, 4, 256, 0, 0, len(dynamic), len(dynamic), 8)
    path.write_bytes(((header + segments).ljust(256, b"\0") + dynamic).ljust(512, b"\0") + texts)
    path.chmod(0o755)


@pytest.mark.parametrize("tag", [RPATH, RUNPATH])
def test_a_binary_names_the_directories_of_its_libraries(tag: int, tmp_path: Path) -> None:
    tags = {OTHER: 1, tag: 4, STRTAB: 0x1000 + 512}
    binary(tmp_path / "program", tags, texts=b"one\0/opt/lib:$ORIGIN/../lib:/opt/more\0/no/part/of/it\0")
    assert needs_of_programs(os.fspath(tmp_path), 10) == ("/opt/lib", "/opt/more")


@pytest.mark.parametrize(
    ("tags", "loaded"),
    [
        ({RPATH: 0}, 0),  # no table of texts
        ({STRTAB: 0x1000 + 512}, 0),  # no path
        ({RPATH: 0, STRTAB: 0x9000}, 0),  # a table that is nowhere in the file
        ({RPATH: 0, STRTAB: 0x1000 + 512}, 512),  # and one that begins where the segment ends
        ({RPATH: 1 << 40, STRTAB: 0x1000 + 512}, 0),
    ],
)
def test_a_binary_that_is_odd_names_nothing_and_hides_no_other(
    tags: dict[int, int], loaded: int, tmp_path: Path
) -> None:
    binary(tmp_path / "odd", tags, texts=b"/opt/lib\0", loaded=loaded)
    (tmp_path / "cut").write_bytes((tmp_path / "odd").read_bytes()[:100])
    (tmp_path / "cut").chmod(0o755)
    (tmp_path / "script").write_text("#!/opt/python\n")
    (tmp_path / "script").chmod(0o755)
    assert needs_of_programs(os.fspath(tmp_path), 10) == ("/opt/python",)


def test_a_script_names_its_interpreter_and_one_of_a_shell_what_it_starts(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "bin").mkdir()
    started = tmp_path / "outside/tool"
    started.touch(0o755)
    (tmp_path / "outside/data").touch(0o644)
    texts = {
        "direct": "#!/opt/python -I\n/not/a/program\n",
        "by-name": "#!/usr/bin/env perl\n",
        "shell": f"#!/bin/sh\nexec {started} {tmp_path}/outside/data $HOME{started} '{started}'\n",
        "no-script": f"{started}\n",
    }
    for name, text in texts.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "bin/not-executable").write_text("#!/opt/other\n")
    os.mkfifo(tmp_path / "bin/fifo", 0o755)
    found = needs_of_programs(os.fspath(tmp_path / "bin"), 100)
    assert sorted(found) == sorted(["/opt/python", "/bin/sh", os.fspath(started)])
