"""Packages as they are on the index build in the sandbox, and to the same wheels.

Both builds of a package share the build environment, the path of the source, the umask and the environment variables.
What then still differs is either the sandbox's doing, and so a failure, or differs from one unsandboxed build to the
next: that is found by another one, and told at the end of the test run.

The suite is run as root and as an ordinary user. For root, tarfile gives each file of an sdist the owner that the
archive names, so the trees are of one foreign owner, of several, or of root.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyproject_hooks
import pytest
from build.env import DefaultIsolatedEnv
from support.corpus_builds import (
    PACKAGES,
    BareEnv,
    Built,
    NoNetworkError,
    Package,
    Workshop,
    differing,
    fetch_sdist,
    interpreter_under_home,
    library_of,
    missing_programs,
    told,
)

from isolated_hooks import IsolatedRunner, Policy, ProtectionState
from isolated_hooks.policy import DEFAULT_REQUIRE
from isolated_hooks.results.archives.sdists import check_sdist

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.corpus,
    pytest.mark.network,
    # What backends say to the maintainers of the packages, as pyproject_hooks passes it on.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

Tell = Callable[[str], None]


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for everything, where nothing of the user's is in the way of reproducible builds."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    before = os.umask(0o022)
    try:
        # Not tmp_path, of which pytest keeps the last three.
        with tempfile.TemporaryDirectory(prefix="corpus-") as name:
            yield Path(name).resolve()
    finally:
        os.umask(before)


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_the_wheel_is_the_same(package: Package, directory: Path, tell_unstable: Tell) -> None:
    if missing := missing_programs(package):
        pytest.skip(f"{package} needs {' and '.join(missing)}, which this user cannot run")
    sdist = _fetch(package, directory)
    with sdist.open("rb") as file:
        check_sdist(file.fileno(), sdist.name, limit=1 << 30)
    with DefaultIsolatedEnv(installer="pip") as env:
        workshop = Workshop(package, sdist, env, directory)
        workshop.equip(env)
        _compare(package, workshop, tell_unstable)


def test_with_an_interpreter_under_the_home_directory(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tell_unstable: Tell
) -> None:
    package = next(p for p in PACKAGES if p.name == "flit_core")  # it needs nothing but itself
    sdist = _fetch(package, directory)
    home, python = interpreter_under_home(directory)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", os.defpath)  # a directory of it in the home would show the interpreter too
    # An interpreter that does not find its own library silently takes that of the system, of the same version.
    assert library_of(python, directory).is_relative_to(home.resolve())
    _compare(package, Workshop(package, sdist, BareEnv(python), directory), tell_unstable)


def _fetch(package: Package, directory: Path) -> Path:
    try:
        return fetch_sdist(package, directory / "sdist")
    except NoNetworkError as error:
        if os.environ.get("ISOLATED_HOOKS_REQUIRE_SANDBOX") == "1":
            raise
        pytest.skip(f"no network: {error}")


def _compare(package: Package, workshop: Workshop, tell_unstable: Tell) -> None:
    # What real backends make has to stand the deep check, or nobody could ask for it.
    runner = IsolatedRunner(Policy(deep_check=True))
    plain = workshop.build(pyproject_hooks.default_subprocess_runner)
    sandboxed = workshop.build(runner)
    _check_reports(runner)
    assert sandboxed.requires == plain.requires
    assert sandboxed.wheel == plain.wheel
    _check_tree(plain, sandboxed)
    differences = differing(plain.members, sandboxed.members)
    if differences:
        again = workshop.build(pyproject_hooks.default_subprocess_runner)
        unstable = differing(plain.members, again.members)
        for name in differences & unstable:
            tell_unstable(f"{package}: {name}")
        differences -= unstable
    assert not differences, f"members differ:\n{told(differences, plain.members, sandboxed.members)}"


def _check_reports(runner: IsolatedRunner) -> None:
    """Check that both hooks were run in a sandbox: otherwise two plain builds would be compared."""
    assert [report.hook for report in runner.reports] == ["get_requires_for_build_wheel", "build_wheel"]
    for report in runner.reports:
        assert {report.state(protection) for protection in DEFAULT_REQUIRE} == {ProtectionState.ACTIVE}, report


def _check_tree(plain: Built, sandboxed: Built) -> None:
    """Check that the source tree is left as a plain build leaves it, but for who owns what is new in it."""
    before, after = sandboxed.before, sandboxed.after
    for name in plain.after.keys() & after.keys():
        assert after[name].mode == plain.after[name].mode, f"{name}: another mode than unsandboxed"
    for name in before.keys() & after.keys():
        if before[name].identity == after[name].identity:
            assert after[name].owner == before[name].owner, f"{name}: another owner than before"
    # What is new is the caller's, or on an idmapped mount the tree's owner's, and never the throw-away user's.
    owners = {(os.geteuid(), os.getegid()), *(inode.owner for inode in before.values())}
    assert {inode.owner for inode in after.values()} <= owners
