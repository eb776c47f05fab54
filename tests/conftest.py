"""What every test may use."""

from __future__ import annotations

import gc
import os
import signal

import pytest
from hypothesis import settings

from isolated_hooks import Policy, SandboxUnavailableError
from isolated_hooks.launchers import BUILT_IN, find_launcher
from isolated_hooks.run.command import check_host

# What is not so there is shown as in a test.
pytest.register_assert_rewrite("support")

# The same examples in every run: what is random is tried by hand, docs/fuzzing.rst, and what is found becomes a test.
settings.register_profile("suite", derandomize=True, database=None, deadline=None)
settings.load_profile("suite")


# nohup(1), background jobs of a shell and some CI services ignore these signals. Programs that a test starts would
# ignore them too: exec(2) keeps ignored signals and resets handled ones. An empty handler ignores them here alone.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers: one more than cores, because many tests wait for a process or for a limit's time.

    More than four wait for each other.
    """
    return min(len(os.sched_getaffinity(0)) + 1, 4)


def pytest_collection_finish() -> None:
    """Leave the collected tests out of later garbage collections: many tests ask for one, and look at each object."""
    gc.freeze()


@pytest.fixture(scope="session")
def sandbox() -> None:
    """Skip, by name, what needs a sandbox that this host does not give; with ISOLATED_HOOKS_REQUIRE_SANDBOX=1 fail."""
    try:
        check_host(Policy())
    except SandboxUnavailableError as error:
        if os.environ.get("ISOLATED_HOOKS_REQUIRE_SANDBOX") == "1":
            pytest.fail(f"this host has to give a sandbox: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Skip, by name, what needs bubblewrap where it does not work; if it is not installed, as :func:`sandbox`."""
    found = find_launcher("bubblewrap").availability()
    if not found.available and os.environ.get("ISOLATED_HOOKS_REQUIRE_SANDBOX") == "1":
        pytest.fail(f"this host has to have bubblewrap: {found.reason}")
    try:
        check_host(Policy(launcher="bubblewrap"))
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(params=[name if name == "native" else pytest.param(name, marks=pytest.mark.slow) for name in BUILT_IN])
def launcher(request: pytest.FixtureRequest) -> str:
    """The name of each launcher of our own that works here."""
    if request.param == "bubblewrap":
        request.getfixturevalue("bubblewrap")
    return str(request.param)
