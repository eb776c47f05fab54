"""What a kept variable names and a hook does not see is said."""

from __future__ import annotations

import pytest
from support.fakes import host

from isolated_hooks.plan.environ import plan_environ
from isolated_hooks.plan.named import hidden_paths
from isolated_hooks.policy import Policy

FILES = host({"/srv/x/include/a.h": "", "/srv/x/lib/pkgconfig/a.pc": "", "/usr/include/b.h": "", "/srv/y": ""})


def notes(name: str, value: str) -> list[str]:
    ambient = {name: value}
    rules = plan_environ(ambient, ambient, None, Policy(), home="/h", tmpdir="/tmp", user="u")
    return list(hidden_paths(FILES, rules, shows=lambda path: path.startswith("/usr")))


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("CFLAGS", "-O2 -I/srv/x/include", "/srv/x/include"),
        ("CFLAGS", "-isystem /srv/x/include -DX=1", "/srv/x/include"),
        ("LDFLAGS", "-L/srv/x/lib -Wl,-rpath,/srv/x/lib", "/srv/x/lib"),
        ("CPPFLAGS", '--sysroot="/srv/x"', "/srv/x"),
        ("PKG_CONFIG_PATH", "/usr/include:/srv/x/lib/pkgconfig", "/srv/x/lib/pkgconfig"),
        ("CMAKE_PREFIX_PATH", "/usr;/srv/x", "/srv/x"),
        ("CMAKE_ARGS", "-DX_DIR=/srv/x", "/srv/x"),
        ("CC", "/srv/y", "/srv/y"),
    ],
)
def test_a_hidden_path_is_said(name: str, value: str, path: str) -> None:
    (note,) = notes(name, value)
    assert note == f"{name} names '{path}', which is not shown; to show it: --expose {path}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CFLAGS", "-I/usr/include -I/srv/missing -I../srv/x"),
        ("CFLAGS", "-DURL=a/srv/x"),
        ("TZ", "/srv/x"),
        ("OTHER", "/srv/x"),
        ("MAX_JOBS", "4"),
    ],
)
def test_nothing_else_is_said(name: str, value: str) -> None:
    assert notes(name, value) == []


def test_a_long_value_is_searched_in_linear_time() -> None:
    assert notes("CFLAGS", "-I/x" * 1_000_000) == []
    assert notes("CFLAGS", "/" * 1_000_000) == []
