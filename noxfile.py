"""The lanes: ``nox -s NAME``, in the environment that nox itself is installed in.

    $ .venv/bin/python -m pip install --editable '.[dev]'
    $ .venv/bin/nox -s full

The fast lane is ``pytest`` alone. One command runs the nightly tests, for hours::

    $ .venv/bin/nox -s nightly soak mutation corpora

The sessions use the current environment; only ``fuzz`` creates another one. They connect to no host but the package
index that pip is configured for. Arguments after ``--`` go to pytest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["fast", "lint", "typing", "docs"]

#: What the sessions ``corpora``, ``containers`` and ``nightly`` run, and no other.
_ELSEWHERE = "not corpus and not containers and not nightly"
_STANDING = "not host_global"
_COVERAGE = (sys.executable, "-m", "coverage")
#: The source directory is the repository: see docs/conf.py.
_SPHINX = ("-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-c", "docs", "-d", "build/doctrees")
_SPELLED = ("README.rst", "CHANGELOG.rst", "CONTRIBUTING.rst", "SECURITY.rst", "docs", "src", "noxfile.py")
_ABOUT_PAGES = ("documents", "reference", "site", "threat_model")
_TARGETS = ("output", "names", "archives", "planner")


def _pytest(session: nox.Session, *arguments: str, markers: str = "", **environ: str) -> None:
    session.run(sys.executable, "-m", "pytest", "-m", markers, *arguments, *session.posargs, env=environ, external=True)


def _together_and_alone(session: nox.Session, markers: str, *runner: str, **environ: str) -> None:
    """Run tests in parallel, and then alone those that change the whole host: only their files are imported again."""
    command = (sys.executable, "-m", *(runner or ("pytest",)))
    files = () if session.posargs else sorted(_files_with("host_global"))
    for more, options in ((_STANDING, ()), ("host_global", ("--numprocesses=0", *files))):
        arguments = (*options, "-m", f"({markers}) and {more}", *session.posargs)
        session.run(*command, *arguments, env=environ, external=True, success_codes=[0, 5] if session.posargs else [0])


def _files_with(word: str) -> list[str]:
    return [os.fspath(path) for path in Path("tests").rglob("test_*.py") if word in path.read_text(encoding="utf-8")]


@nox.session
def fast(session: nox.Session) -> None:
    """Run the tests that changes break most often: the same as ``pytest``."""
    session.run(sys.executable, "-m", "pytest", *session.posargs, external=True)


@nox.session
def full(session: nox.Session) -> None:
    """Run every test that one machine can run as this user, and gate the coverage of lines and branches.

    The coverage includes frontends that tests start as processes, but not the sandbox, which loads only itself.
    """
    session.run(*_COVERAGE, "erase", external=True)
    _together_and_alone(session, _ELSEWHERE, "coverage", "run", "-m", "pytest")
    if not session.posargs:  # some tests cover some of the code
        gate(session)


@nox.session
def gate(session: nox.Session) -> None:
    """Report the coverage by room, and fail if it has become lower."""
    session.run(*_COVERAGE, "combine", "--quiet", external=True)
    session.run(*_COVERAGE, "report", external=True)
    session.run(sys.executable, "tests/support/rooms.py", external=True)


@nox.session
def rest(session: nox.Session) -> None:
    """Run the tests of ``full`` that ``fast`` leaves out, as ``.ci/run`` does after ``fast``."""
    _together_and_alone(session, f"(slow or network or host_global) and {_ELSEWHERE}")


@nox.session
def corpora(session: nox.Session) -> None:
    """Build real packages with and without the sandbox, at night. Needs an index, compilers, and most of an hour."""
    _pytest(session, "--numprocesses=0", markers="corpus", ISOLATED_HOOKS_REQUIRE_SANDBOX="1")


@nox.session
def sdists(session: nox.Session) -> None:
    """Build the sdists of widely used packages with and without the sandbox, and compare the wheels byte by byte.

    ``nox -s sdists -- --seconds 600`` begins no further one after ten minutes, and ``-- NAME ...`` takes these. It
    needs an index, and compilers for some.
    """
    session.run(sys.executable, "tests/support/compare_sdists.py", *session.posargs, external=True)


@nox.session
def fromager(session: nox.Session) -> None:
    """Run fromager's own tests and end-to-end scripts bare and with every hook in a sandbox, and compare the results.

    ``nox -s fromager -- --unit`` runs only its unit suite, and ``-- --python PATH`` names a Python of 3.12 or newer if
    this one is older. It needs an index, and git, jq, curl and compilers for some scripts.
    """
    session.run(sys.executable, "tests/support/fromagersuites/lane.py", *session.posargs, external=True)


@nox.session
def containers(session: nox.Session) -> None:
    """Try podman, docker and CRI-O's rules. Needs root on Debian, and installs what it needs there."""
    _pytest(
        session,
        "--numprocesses=0",
        "tests/containers",
        markers="containers",
        ISOLATED_HOOKS_REQUIRE_CONTAINERS="1",
    )


@nox.session
def nightly(session: nox.Session) -> None:
    """Run the tests that take a minute each, and all cases of the large tables."""
    _pytest(session, markers="nightly")


@nox.session
def soak(session: nox.Session) -> None:
    """Run 1,000 hooks in a row, 32 at once, and kill a frontend at 50 points and a launcher at 25, at night."""
    _pytest(
        session,
        "--numprocesses=0",
        "tests/attacks/lifecycle",
        ISOLATED_HOOKS_SOAK="1000",
        ISOLATED_HOOKS_KILL_POINTS="50",
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Test the properties with more examples, at random, and then guided by coverage, if pip can install atheris.

    ``nox -s fuzz -- SECONDS`` sets the time for each of the four targets; the default is 60.
    """
    seconds = session.posargs[0] if session.posargs else "60"
    examples = {"ISOLATED_HOOKS_EXAMPLES": "2000"}
    session.run(sys.executable, "-m", "pytest", "-m", "", "tests/fuzz", env=examples, external=True)
    session.run(sys.executable, "-m", "venv", ".venv-fuzz", external=True)
    python = os.fspath(Path(".venv-fuzz/bin/python"))
    session.run(python, "-m", "pip", "install", "--quiet", "hypothesis", "pytest", "--editable", ".", external=True)
    try:
        session.run(python, "-m", "pip", "install", "--quiet", "atheris", external=True)
    except nox.command.CommandFailed:
        session.warn("atheris cannot be installed for this Python, so nothing is guided by coverage")
        return
    for target in _TARGETS:
        limits = (f"-max_total_time={seconds}", "-len_control=0", "-max_len=12000")
        session.run(python, "tests/fuzz/guided.py", target, *limits, external=True)


@nox.session
def mutation(session: nox.Session) -> None:
    """Take one wall after the other out of copies of the package, and see which attack notices it; at night.

    ``nox -s mutation -- PART...`` runs parts: seccomp, landlock, plan, results, or ``PART:WORD`` for the mutants whose
    names contain the word.
    """
    session.run(sys.executable, "tests/support/mutation/lane.py", *session.posargs, external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what the sandbox costs, for a minute, and fail on a loss of a quarter on the same kind of machine.

    Run it on a machine that does nothing else. ``nox -s bench -- --only WORD`` measures some rows.
    """
    session.run(sys.executable, "benchmarks/table.py", "--quick", "--check", *session.posargs, external=True)


@nox.session
def release(session: nox.Session) -> None:
    """Build the last commit twice, by ourselves, and check all that a release has to be.

    ``nox -s release -- --unreleased`` accepts a changelog without a date, and ``--outdir DIRECTORY`` says where the
    files go.
    """
    session.run(sys.executable, "tests/support/release.py", *session.posargs, external=True)


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types."""
    session.run(sys.executable, "-m", "mypy", external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Check the pages, and build the site in ``build/site`` and the manual in ``build/man``.

    The pages are valid reStructuredText, links lead somewhere, names of files and tests exist, words are spelled right,
    and Sphinx has nothing to warn of.
    """
    session.run(sys.executable, "tests/support/pages.py", external=True)
    session.run(sys.executable, "-m", "codespell_lib", *_SPELLED, external=True)
    for builder, place, more in (("html", "build/site", ("-E",)), ("man", "build/man", ())):  # man reads nothing anew
        session.run(sys.executable, *_SPHINX, *more, "-b", builder, ".", place, external=True)
    _pytest(session, "--numprocesses=0", *(f"tests/unit/facade/test_{name}.py" for name in _ABOUT_PAGES))


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style."""
    session.run(sys.executable, "-m", "ruff", "check", ".", external=True)
    session.run(sys.executable, "-m", "ruff", "format", "--check", ".", external=True)
