"""Found by attack: what a command leaves beside its source tree does not decide what a later one sees."""

from __future__ import annotations

import venv
from pathlib import Path

import pytest
from support.factory import Factory, plain_context

from isolated_hooks.frontends import fromager_plugin

pytestmark = pytest.mark.usefixtures("sandbox")


def test_a_made_environment_shows_no_other_one(tmp_path: Path) -> None:
    """Its link leads to the environment of another build, which the tear-down makes us take for the caller's choice."""
    other = tmp_path / "other" / "environment"
    venv.create(other, symlinks=True)
    (other / "lib" / "private.txt").write_text("private")
    factory = Factory(fromager_plugin, plain_context(tmp_path))
    look = f"cat {other}/lib/private.txt"
    make = f"mkdir -p ../aa/bin; echo home = /usr/bin > ../aa/pyvenv.cfg; ln -s {other}/bin/python ../aa/bin/python"
    with factory.set_up():
        assert factory.shell(make).returncode == 0
        assert factory.shell(look).stdout == ""
    with factory.set_up():
        assert factory.shell("ls ../aa/pyvenv.cfg").returncode == 0, "it is still there"
        assert factory.shell(look).stdout == ""
    factory.environment()
    with factory.set_up():
        assert factory.shell("../build-*/bin/python -c 'print(1)'").stdout == "1\n", "fromager's own one works"
