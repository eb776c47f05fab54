"""Make a release, and check it: ``nox -s release``, or ``python tests/support/release.py --outdir DIRECTORY``.

1. The changelog has a section for the version, with a date; ``--unreleased`` accepts one without.
2. ``isolated-hooks build`` builds sdist and wheel twice, each time from a fresh clone of the last commit, with
   statements. The wheels of both times are equal to the byte, and the sdists in all but the times in them.
3. ``isolated-hooks verify`` accepts the wheel with its statement, and ``twine check --strict`` both files.
4. Every name in the files matches a list of patterns, and what has to be inside is inside.

Exit code 1 and one line for each problem if anything is wrong.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

__all__ = ["changelog_problems", "content_problems", "differences", "names_of"]

ROOT = Path(__file__).resolve().parents[2]
#: What may be in a wheel, and in an sdist below its one directory. ``*`` matches directories too.
WHEEL = (
    *("isolated_hooks/*.py", "isolated_hooks/py.typed"),
    *(f"isolated_hooks-*.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")),
    *("isolated_hooks-*.dist-info/top_level.txt", "isolated_hooks-*.dist-info/licenses/LICENSE"),
)
SDIST = (
    *("PKG-INFO", "LICENSE", "MANIFEST.in", "pyproject.toml", "setup.cfg", "noxfile.py", "*.rst"),
    *("src/isolated_hooks/*.py", "src/isolated_hooks/py.typed", "src/isolated_hooks.egg-info/*.txt"),
    *("src/isolated_hooks.egg-info/PKG-INFO", "benchmarks/*", "docs/*", "fixtures/*", "tests/*"),
)
#: What is rubbish wherever it lies.
RUBBISH = ("*.pyc", "*.so", "*__pycache__*", "*.orig", "*.rej", "*~", "*/.venv*", "*.coverage*", "*.pem", "*.key")
#: What has to be there.
NEEDED = {
    "wheel": ("isolated_hooks/py.typed", "isolated_hooks/sandbox/__main__.py", "*.dist-info/licenses/LICENSE"),
    "sdist": ("LICENSE", "SECURITY.rst", "CHANGELOG.rst", "tests/conftest.py", "docs/threat-model.rst"),
}


def changelog_problems(text: str, version: str, *, unreleased: bool = False) -> Iterator[str]:
    """Yield what is wrong with the changelog: its first section has to be the version, with the date of the release."""
    found = re.search(r"^(\d\S*) \((.+)\)\n-+$", text, re.MULTILINE)
    if found is None or found[1] != version:
        yield f"CHANGELOG.rst, wrong first section (expected {version}, got {found[1] if found else 'none'})"
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", found[2]) and not (unreleased and found[2] == "unreleased"):
        yield f"CHANGELOG.rst, no date of the release (expected {version} (YYYY-MM-DD), got {found[2]})"


def names_of(path: Path) -> list[str]:
    """Return the names in a wheel, or those in an sdist without its one directory."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path) as archive:
        return [member.name.partition("/")[2] for member in archive if member.isfile()]


def content_problems(kind: str, names: Iterable[str]) -> Iterator[str]:
    """Yield what is in a ``wheel`` or an ``sdist`` and should not be, and what is missing."""
    names, patterns = list(names), WHEEL if kind == "wheel" else SDIST
    for name in names:
        if any(fnmatch.fnmatch(name, pattern) for pattern in RUBBISH) or not any(
            fnmatch.fnmatch(name, pattern) for pattern in patterns
        ):
            yield f"{kind}, unexpected file {name}"
    for pattern in NEEDED[kind]:
        if not fnmatch.filter(names, pattern):
            yield f"{kind}, no file {pattern}"


def differences(first: Path, second: Path) -> Iterator[str]:
    """Yield the names of files that are not the same in two directories: a wheel to the byte, an sdist in its content.

    setuptools writes the time of the build into an sdist, so two sdists never agree to the byte.
    """
    for name in sorted({path.name for directory in (first, second) for path in directory.iterdir()}):
        one, other = first / name, second / name
        if not (one.is_file() and other.is_file()) or _compared(one) != _compared(other):
            yield f"{name}, not the same in two builds"


def _compared(path: Path) -> object:
    if not path.name.endswith(".tar.gz"):
        return path.read_bytes()
    with tarfile.open(path) as archive:
        return [_member(archive, member) for member in archive]


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    file = archive.extractfile(member) if member.isfile() else None
    content = file.read() if file else b""
    return (member.name, member.type, member.mode, member.uname, member.gname, member.linkname, content)


def _version() -> str:
    text = (ROOT / "src" / "isolated_hooks" / "__init__.py").read_text(encoding="utf-8")
    return re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0]


def _run(*command: str | Path, **environ: str) -> None:
    subprocess.run([*map(str, command)], check=True, env={**os.environ, **environ}, stdin=subprocess.DEVNULL)


def _build(clone: Path, outdir: Path, statements: Path) -> None:
    """Build from a fresh clone, with the time of its commit as the time of all files."""
    _run("git", "-c", "safe.directory=*", "clone", "--quiet", ROOT, clone)
    seconds = subprocess.run(
        ["git", "-C", clone, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True
    ).stdout.strip()
    command = (sys.executable, "-I", "-m", "isolated_hooks", "build", "--outdir", outdir, "--provenance", statements)
    _run(*command, clone, SOURCE_DATE_EPOCH=seconds)


def _problems(directory: Path, outdir: Path, *, unreleased: bool) -> Iterator[str]:
    yield from changelog_problems((ROOT / "CHANGELOG.rst").read_text("utf-8"), _version(), unreleased=unreleased)
    again = directory / "again"
    for number, target in enumerate((outdir, again)):
        _build(directory / f"clone-{number}", target, directory / f"statements-{number}")
    yield from differences(outdir, again)
    files = sorted(outdir.iterdir())
    for path in files:
        yield from content_problems("wheel" if path.suffix == ".whl" else "sdist", names_of(path))
        if _version() not in path.name:
            yield f"{path.name}, another version than {_version()}"
    _run(sys.executable, "-m", "twine", "check", "--strict", *files)
    for wheel in outdir.glob("*.whl"):
        statements = directory.glob(f"statements-0/{wheel.name}*.jsonl")
        _run(sys.executable, "-I", "-m", "isolated_hooks", "verify", wheel, *statements)
    for statement in sorted((directory / "statements-0").iterdir()):
        (outdir / statement.name).write_bytes(statement.read_bytes())


def main(arguments: Sequence[str]) -> int:
    """Run the command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, default=ROOT / "dist", help="an empty directory, or none")
    parser.add_argument("--unreleased", action="store_true", help="accept a changelog without a date")
    options = parser.parse_args(arguments)
    if options.outdir.exists() and any(options.outdir.iterdir()):
        parser.error(f"{options.outdir}, not empty")
    with tempfile.TemporaryDirectory(prefix="release-", dir="/var/tmp") as directory:
        try:
            problems = list(_problems(Path(directory), options.outdir.resolve(), unreleased=options.unreleased))
        except subprocess.CalledProcessError as error:
            problems = [f"{' '.join(error.cmd)}, exit code {error.returncode}"]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        for path in sorted(options.outdir.iterdir()):
            print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
