"""Private files and sockets in the directories that every hook sees."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from isolated_hooks import Policy
from isolated_hooks.files import listing
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
from isolated_hooks.run.command import run_command

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.host_global,  # files in /opt, that other calls would find in their plans and not on the disk
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can put something into /opt"),
]
_PROBE = """
import socket, sys
place = sys.argv[1]
results = []
for name in ("open", "key", "private/key"):
    try:
        results.append(name + ":" + open(f"{place}/{name}").read())
    except OSError as error:
        results.append(name + ":" + str(error.errno))
for name in ("socket", "private/socket"):
    try:
        socket.socket(socket.AF_UNIX).connect(f"{place}/{name}")
        results.append(name + ":connected")
    except OSError as error:
        results.append(name + ":refused")
print(*results)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A toolchain in /opt with files that only root can read, and two sockets that listen."""
    directory = Path(tempfile.mkdtemp(prefix="isolated-hooks-test-", dir="/opt"))
    directory.chmod(0o755)
    listing._private.cache_clear()  # the cache lives for a minute
    try:
        (directory / "private").mkdir(mode=0o700)
        (directory / "bin").mkdir()  # so that it can be a toolchain
        for name, mode in (("open", 0o644), ("key", 0o600), ("private/key", 0o600)):
            (directory / name).write_text("text")
            (directory / name).chmod(mode)
        with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
            for service, name in ((one, "socket"), (two, "private/socket")):
                service.bind(os.fspath(directory / name))
                os.chmod(directory / name, 0o777)
                service.listen()
            yield directory
    finally:
        shutil.rmtree(directory)


def _inside(place: Path, source: Path) -> str:
    source.mkdir()
    with open(source / "out", "wb") as out:
        argv = [sys.executable, "-I", "-c", _PROBE, os.fspath(place)]
        run_command(argv, os.fspath(source), Policy(), lambda command: subprocess.run(command, stdout=out, check=False))
    return (source / "out").read_text()


def test_without_the_sandbox_all_of_it_is_open(place: Path) -> None:
    argv = [sys.executable, "-I", "-c", _PROBE, os.fspath(place)]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert output == "open:text key:text private/key:text socket:connected private/socket:connected\n"


@pytest.mark.parametrize("refused", [(), (Identity.SINGLE, Identity.RANGE)], ids=["idmapped", "mirror"])
def test_a_hook_sees_what_is_for_everybody(
    place: Path, tmp_path: Path, refused: tuple[Identity, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the mirrored id map, the hook holds CAP_DAC_OVERRIDE, which overrides modes."""
    monkeypatch.setattr(trial, "refused_identities", lambda *_: frozenset(refused))
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}:{place}/bin:{os.environ['PATH']}")
    results = dict(item.split(":") for item in _inside(place, tmp_path / "tree").split())
    assert results.pop("open") == "text"
    assert results.pop("socket") == results.pop("private/socket") == "refused"
    assert "text" not in results.values(), results
