"""``isolated-hooks doctor``: the table for people and the document for programs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from isolated_hooks import Protection

pytestmark = pytest.mark.usefixtures("sandbox")

COMMAND = [sys.executable, "-m", "isolated_hooks", "doctor"]


def test_the_document_has_every_protection_and_says_that_hooks_can_run() -> None:
    done = subprocess.run([*COMMAND, "--json"], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["version"] == 1
    assert document["runs"] is True
    assert set(document["protections"]) == {protection.value for protection in Protection}
    assert document["facts"]["user namespace"] == {"value": True, "error": ""}
    assert document["facts"]["seccomp filter"]["value"] is True


def test_the_table_names_every_protection() -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=True)
    for protection in Protection:
        assert f"\n{protection.value} " in done.stdout


@pytest.mark.slow
def test_a_host_without_user_namespaces_is_reported_with_exit_code_3() -> None:
    # In a user namespace that allows no further ones.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *COMMAND, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "max_user_namespaces" in done.stderr:
        pytest.skip(f"this host does not let a user namespace set its limit: {done.stderr.strip()}")
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    assert document["runs"] is False
    assert "filesystem" in document["missing"]
    assert "sysctl user.max_user_namespaces" in document["problem"]
