"""Coverage-guided fuzzing, with atheris, of the code that reads hostile input. pytest does not run this.

    python -m venv fuzz && fuzz/bin/pip install atheris hypothesis pytest -e .
    fuzz/bin/python tests/fuzz/guided.py TARGET [CORPUS_DIRECTORY] [-max_total_time=SECONDS] [-timeout=SECONDS] ...

TARGET is one of ``output`` (output.json), ``names`` (names, requirements, pyproject.toml), ``archives`` (wheels and
sdists) and ``planner`` (the targets of mounts). The options are those of libFuzzer. The fuzzer runs until it finds a
failure or the time is over, and writes the failing input to a file ``crash-...``, ``timeout-...`` or ``oom-...`` in the
current directory. To run that input again, pass the file in place of CORPUS_DIRECTORY. Each failure becomes a test in
``tests/fuzz/test_properties.py``.

This file creates the seeds. atheris has wheels for CPython 3.11 to 3.13 on Linux.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))  # the directory of the package support

with atheris.instrument_imports(include=["isolated_hooks", "packaging", "json", "zipfile", "tarfile", "tomllib"]):
    from support import properties
    from support.archivebuilders import add, make_sdist, make_wheel, wheel_files
    from support.fakes import DIR, Entry, Link

accepted = tried = 0


def output(data: bytes) -> bool:
    """Fuzz output.json."""
    return properties.output_holds(data)


def names(data: bytes) -> bool:
    """Fuzz names, requirements and pyproject.toml. The first byte selects one of them."""
    kind, content = data[:1], data[1:]
    text = content.decode("utf-8", "surrogateescape")
    if kind < b"\x55":
        return properties.names_hold(text)
    if kind < b"\xaa":
        return properties.requirement_holds(text)
    return properties.project_holds(content) is not None


def archives(data: bytes) -> bool:
    """Fuzz wheels and sdists. The first byte selects how to repair the others, so that checksums do not stop us."""
    kind, content = data[:1] or b"\0", data[1:]
    if kind < b"\x40":
        return properties.archive_holds(content, properties.WHEEL)
    if kind < b"\x60":
        return properties.archive_holds(content, "pkg-1.0.zip")
    if kind < b"\x80":
        return properties.archive_holds(content, properties.SDIST)
    if kind < b"\xc0":
        return properties.archive_holds(properties.repaired_tar(content), properties.SDIST)
    return properties.archive_holds(_structured_zip(content), properties.WHEEL)


_STEPS = (
    "pkg",
    "a",
    "A",
    "..",
    ".",
    "",
    "pkg-1.0.dist-info",
    "pkg-1.0.data",
    "scripts",
    "\\",
    "C:",
    "entry_points.txt",
)


def _structured_zip(data: bytes) -> bytes:
    """Return a wheel with members and header fields from the fuzzer, and with a mostly valid structure."""
    given = atheris.FuzzedDataProvider(data)
    more: dict[str, str] = {}
    for _ in range(given.ConsumeIntInRange(0, 3)):
        parts = [given.PickValueInList(list(_STEPS)) for _ in range(given.ConsumeIntInRange(1, 4))]
        parts += [given.ConsumeUnicodeNoSurrogates(6)] * (given.ConsumeProbability() < 0.3)
        more["/".join(parts)] = given.ConsumeUnicodeNoSurrogates(10)
    # RECORD is correct, so that it does not stop us either.
    files = list(wheel_files(more).items()) if given.ConsumeProbability() < 0.95 else []
    body, directory = b"", b""
    for name, content in files:
        raw, flags, packed, method = name.encode(), 1 << 11, content, 0
        if given.ConsumeBool():
            deflate = zlib.compressobj(wbits=-15)
            packed, method = deflate.compress(content) + deflate.flush(), 8
        sizes = [zlib.crc32(content), len(packed), len(content)]
        local, central = [20, flags, method, 0, 33, *sizes], [20, 20, flags, method, 0, 33, *sizes]
        rest = [0, 0, 0, 0, 0o100644 << 16, len(body)]
        for numbers in (local, central, rest):
            if given.ConsumeProbability() < 0.05:
                numbers[given.ConsumeIntInRange(0, len(numbers) - 1)] = given.ConsumeIntInRange(0, 1 << 16)
        body += struct.pack("<4s5H3L2H", b"PK\3\4", *[n & 0xFFFF for n in local[:5]], *local[5:], len(raw), 0)
        body += raw + packed
        directory += struct.pack("<4s6H3L", b"PK\1\2", *[n & 0xFFFF for n in central[:6]], *central[6:])
        directory += struct.pack("<5H2L", len(raw), *[n & 0xFFFF for n in rest[:4]], *rest[4:]) + raw
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return body + directory + end


_PARTS = (
    "a",
    "b",
    "s p",
    "new\nline",
    "co:lon",
    "..",
    ".",
    "",
    "ü",
    "-",
    "\\",
    "bin",
    ".cargo",
    "home",
    "w",
    "tmp",
    "u",
)
_PLACES = (
    "/",
    "/tmp",
    "/etc",
    "/usr",
    "/home/u",
    "/home/u/.ssh",
    "/home/u/code/proj",
    "/dev/shm",
    "/proc",
    "/w",
    "/run",
)


def planner(data: bytes) -> bool:
    """Fuzz the planner with the files and links of a host, and the paths of a call."""
    given = atheris.FuzzedDataProvider(data)

    def path(*, plain: bool = False) -> str:
        if given.ConsumeProbability() < 0.2 and not plain:
            return given.PickValueInList(list(_PLACES))
        parts = [given.PickValueInList(list(_PARTS)) for _ in range(given.ConsumeIntInRange(1, 4))]
        if given.ConsumeProbability() < 0.1:
            parts.append(given.ConsumeUnicodeNoSurrogates(8).replace("/", "").replace("\0", "") or "x")
        kept = [part for part in parts if not plain or part not in ("", ".", "..")]
        return "/" + "/".join(("w", *kept))

    entries: dict[str, Entry] = {}
    for _ in range(given.ConsumeIntInRange(0, 10)):
        kind = given.ConsumeIntInRange(0, 3)
        target = path() if kind == 2 else path().lstrip("/")
        entries[path(plain=True)] = "" if kind == 0 else DIR if kind == 1 else Link(target or ".")
    return properties.plan_holds(
        entries,
        source=path(plain=True),
        output=properties.os.path.abspath(path()),
        python=given.PickValueInList(["/usr/bin/python3", path()]),
        search=[path() for _ in range(given.ConsumeIntInRange(0, 3))],
        expose=[path(plain=True) for _ in range(given.ConsumeIntInRange(0, 2))],
    )


TARGETS: dict[str, Callable[[bytes], bool]] = {f.__name__: f for f in (output, names, archives, planner)}


def seeds(target: str) -> list[bytes]:
    """Return the inputs to begin with."""
    if target == "output":
        warning = {"message": "m", "filename": "f", "lineno": 1}
        documents: list[dict[str, object]] = [
            {"return_val": properties.WHEEL, "warnings": [warning], "unsupported": False},
            {"return_val": properties.SDIST},
            {"return_val": "pkg-1.0.dist-info"},
            {"return_val": ["a>1", "b[c]; python_version < '3'", "d @ https://x"]},
            {"return_val": ["build_editable"]},
            {"no_backend": True, "traceback": "t", "backend_error": "e"},
            {"hook_missing": True, "missing_hook_name": "n"},
        ]
        return [json.dumps(document).encode() for document in documents]
    if target == "names":
        texts = (properties.WHEEL, properties.SDIST, "pkg-1.0.dist-info", "Foo_Bar-1!2.0rc1+l.1-2-cp311-abi3-any.whl")
        wanted = ("a[b,c]>=1,<2; python_version < '3' and extra == \"x\"", "d @ https://h/p#sha256=0", "e(==1.*)")
        tomls = ('[project]\nname = "A.b"\n[tool.x]\na.b.c = [1, {d = """e"""}]\n', "project.name = 'x'\n")
        found = [(b"\0", text) for text in texts] + [(b"\x60", text) for text in wanted]
        return [kind + text.encode() for kind, text in (*found, *((b"\xff", text) for text in tomls))]
    if target == "archives":
        wheel, sdist = make_wheel(), make_sdist()
        gnu = make_sdist(add("pkg-1.0/" + "n" * 120, b"x"), format=1)
        pax = make_sdist(add("pkg-1.0/ü" + "n" * 120, b"x"))
        tars = [b"\x90" + gzip.decompress(tar) for tar in (sdist, gnu, pax)]
        return [
            b"\0" + wheel,
            b"\x50" + wheel,
            b"\x70" + sdist,
            *tars,
            b"\xff" + bytes(64),
            b"\xff" + bytes(range(256)),
        ]
    return [bytes(range(256)), bytes(64), b"\xff" * 256]


def main() -> None:
    """Fuzz one target."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: guided.py {{{','.join(TARGETS)}}} [CORPUS_DIRECTORY | FILE] [OPTION ...]")
    name = sys.argv.pop(1)

    def run(data: bytes) -> None:
        global accepted, tried
        tried += 1
        accepted += TARGETS[name](data)
        if tried & (tried - 1) == 0:  # libFuzzer ends the process, so we cannot print a summary at the end
            print(f"{name}: {tried} inputs, {accepted} of them accepted", file=sys.stderr)

    arguments = [*sys.argv]
    with tempfile.TemporaryDirectory(prefix="isolated-hooks-seeds-") as directory:
        for number, seed in enumerate(seeds(name)):
            Path(directory, str(number)).write_bytes(seed)
        if not any(Path(a).is_file() for a in arguments[1:]):
            # libFuzzer writes new inputs to the first directory, and only reads the others.
            directories = [a for a in arguments[1:] if not a.startswith("-")]
            options = [a for a in arguments[1:] if a.startswith("-")]
            arguments = [arguments[0], *options, *directories, directory]
        atheris.Setup(arguments, run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
