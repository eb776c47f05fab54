"""A hook gets the versions that the caller has chosen, and no other part of these files."""

from __future__ import annotations

import pytest
from support.fakes import DIR, Entry, Link, host

from isolated_hooks.files.paths import is_within
from isolated_hooks.plan.toolversions import tool_versions

HOME = "/home/me"
SHIMS = f"{HOME}/.local/share/mise/shims"
MANAGED: dict[str, Entry] = {f"{HOME}/.local/share/mise/installs": DIR, SHIMS: DIR}
MISE = """
[env]
TOKEN = "hunter2"
[tools]
node = "20"
go = ["1.22", "1.21"]
python = { version = "3.12", postinstall = "hunter2" }
bad = "$(hunter2)"
"bad name" = "1"
empty = []
number = 3
[hooks]
enter = "hunter2"
"""


def chosen(files: dict[str, Entry], path: str = SHIMS) -> dict[str, str]:
    return tool_versions(host(files), HOME, [path], closed=lambda path: is_within(path, "/src"))


def test_names_and_versions_alone() -> None:
    asdf = "nodejs 20.1.0\n# hunter2\nruby 3.2 system # mine\nexport TOKEN=hunter2; x\n"
    files = {**MANAGED, f"{HOME}/.tool-versions": asdf, f"{HOME}/.config/mise/config.toml": MISE}
    assert chosen(files) == {
        ".tool-versions": "nodejs 20.1.0\nruby 3.2 system # mine\n",
        ".config/mise/config.toml": '"tools" = {"node" = "20", "go" = ["1.22", "1.21"], "python" = "3.12"}\n',
    }


@pytest.mark.parametrize(
    "files",
    [
        {},
        {SHIMS: DIR, f"{HOME}/.tool-versions": "nodejs 20\n"},  # the shims are no manager's
        {**MANAGED, f"{HOME}/.tool-versions": Link("/src/tools"), "/src/tools": "nodejs 20\n"},
        {**MANAGED, f"{HOME}/.config/mise/config.toml": "tools = 1"},
        {**MANAGED, f"{HOME}/.config/mise/config.toml": "no TOML"},
    ],
)
def test_nothing_to_give(files: dict[str, Entry]) -> None:
    assert chosen(files) == {}


def test_nothing_without_the_shims_on_path() -> None:
    assert chosen({**MANAGED, f"{HOME}/.tool-versions": "nodejs 20\n"}, "/usr/bin") == {}
