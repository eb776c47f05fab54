"""A hook gets of cargo's configuration what says where crates are and how to compile them, and no credential."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from support.fakes import Entry, Link, host

from isolated_hooks.files.paths import is_within
from isolated_hooks.plan.cargosettings import cargo_settings, directories, render, vetted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOME = "/home/me"


def settings(files: dict[str, Entry], environ: dict[str, str] | None = None) -> dict[str, Any]:
    return cargo_settings(host(files), HOME, environ or {}, closed=lambda path: is_within(path, "/src"))


TEXT = """
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/home/me/vendor"
[source.mirror]
registry = "https://me:hunter2@mirror/index"
[registry]
default = "x"
token = "hunter2"
[registries.x]
index = "sparse+https://index/"
token = "hunter2"
credential-provider = ["hunter2"]
[http]
proxy = "hunter2"
[alias]
b = "build"
[target."cfg(all())"]
linker = "clang"
rustflags = ["-C", "link-arg=-fuse-ld=lld"]
[env]
A = "1"
MY_TOKEN = "hunter2"
[build]
jobs = 4
incremental = false
"""


def test_what_a_hook_gets() -> None:
    given = settings({f"{HOME}/.cargo/config.toml": TEXT})
    assert given == {
        "source": {
            "crates-io": {"replace-with": "vendored"},
            "vendored": {"directory": "/home/me/vendor"},
            "mirror": {},
        },
        "registry": {"default": "x"},
        "registries": {"x": {"index": "sparse+https://index/"}},
        "target": {"cfg(all())": {"linker": "clang", "rustflags": ["-C", "link-arg=-fuse-ld=lld"]}},
        "env": {"A": "1"},
        "build": {"jobs": 4, "incremental": False},
    }
    assert "hunter2" not in render(given)
    assert list(directories(given, HOME)) == ["/home/me/vendor"]


def test_cargo_reads_what_we_write() -> None:
    odd = {"env": {'a"b': 'x\\y"z\x7f\x01\n', "ä": "\u2028", "": ""}, "build": {"jobs": -1}, "paths": ["/a", "b"]}
    assert tomllib.loads(render(odd)) == odd


@pytest.mark.parametrize("path", ["/home/me/.ssh", "/home/me/.config/x", "relative"])
def test_no_hidden_directory_of_the_home_is_named(path: str) -> None:
    assert list(directories({"source": {"x": {"directory": path}}}, HOME)) == []


def test_where_the_file_is() -> None:
    files: dict[str, Entry] = {
        f"{HOME}/.cargo/config": "[build]\njobs = 1\n",
        f"{HOME}/.cargo/config.toml": "[build]\njobs = 2\n",
        "/c/config.toml": "[build]\njobs = 3\n",
        "/src/config.toml": "[build]\njobs = 4\n",
        "/d/config.toml": Link("/src/config.toml"),
    }
    jobs = [settings(files, {"CARGO_HOME": path} if path else {}) for path in ("", "/c", "/src", "/d", "/missing", "x")]
    assert jobs == [{"build": {"jobs": 1}}, {"build": {"jobs": 3}}, {}, {}, {}, {}]


@pytest.mark.parametrize("text", ["[build", "a" * 100_000, "[source]\nx = 1\n", "source = 1", "[" * 50_000])
def test_odd_files(text: str) -> None:
    assert list(directories(settings({f"{HOME}/.cargo/config.toml": text}), HOME)) == []


def test_depth_is_bounded() -> None:
    document: Any = "x"
    for _ in range(100):
        document = {"a": document}
    assert len(str(vetted({"env": document}))) < 100
