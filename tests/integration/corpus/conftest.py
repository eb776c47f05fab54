"""What is told at the end of a run of the corpus."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_UNSTABLE = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_UNSTABLE] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_UNSTABLE]:
        terminalreporter.section("members of wheels that are not reproducible unsandboxed either")
        for line in config.stash[_UNSTABLE]:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def tell_unstable(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Return what adds a member to the list at the end."""
    return pytestconfig.stash[_UNSTABLE].append
