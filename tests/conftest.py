"""What every test may use."""

from __future__ import annotations

import os

import pytest

from isolated_hooks import Policy, SandboxUnavailableError
from isolated_hooks.runner import check_host


@pytest.fixture(scope="session")
def sandbox() -> None:
    """Skip, by name, what needs a sandbox that this host does not give; with ISOLATED_HOOKS_REQUIRE_SANDBOX=1 fail."""
    try:
        check_host(Policy())
    except SandboxUnavailableError as error:
        if os.environ.get("ISOLATED_HOOKS_REQUIRE_SANDBOX") == "1":
            pytest.fail(f"this host has to give a sandbox: {error}")
        pytest.skip(str(error))
