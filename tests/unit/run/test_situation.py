"""What is gathered of this host for one call."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from pathlib import Path
from typing import Any, NoReturn

import pytest

from isolated_hooks.errors import PolicyError, SandboxSetupError
from isolated_hooks.policy import Policy
from isolated_hooks.run import situation


@pytest.mark.parametrize(
    ("source", "policy"),
    [("/", Policy()), ("/proc", Policy()), ("HOME", Policy()), ("tree", Policy(writable=["/sys/kernel"]))],
    ids=["root", "proc", "home", "writable"],
)
def test_what_no_plan_can_show_is_refused_and_not_walked(
    source: str, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole file system takes seconds, or minutes."""
    (tmp_path / "tree").mkdir()
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    named = {"HOME": os.fspath(tmp_path), "tree": os.fspath(tmp_path / "tree")}

    def walked(paths: tuple[str, ...]) -> NoReturn:
        raise AssertionError(f"{paths} were walked")

    monkeypatch.setattr(situation, "survey", walked)
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # only root needs the owners
    with pytest.raises(PolicyError):
        situation.situation_of(named.get(source, source), policy)
    with pytest.raises(AssertionError, match="were walked"):
        situation.situation_of(named["tree"], Policy())


class _Named:
    """An entry of passwd(5) or group(5)."""

    def __init__(self, name: str, directory: str = "") -> None:
        self.pw_name = self.gr_name = name
        self.pw_dir = directory


def _say(
    monkeypatch: pytest.MonkeyPatch, *, user: str | None, group: str | None, home: str = "/home/of/passwd"
) -> None:
    """Have the databases of users and groups hold these names for everybody, or none."""

    def found(name: str | None) -> _Named:
        if name is None:
            raise KeyError("getpwuid(): uid not found")
        return _Named(name, home)

    monkeypatch.setattr(pwd, "getpwuid", lambda _: found(user))
    monkeypatch.setattr(grp, "getgrgid", lambda _: found(group))


@pytest.mark.parametrize(
    ("user", "group", "expected"),
    [
        ("builder", "staff", ("builder", "staff")),
        ("builder", None, ("builder", "builder")),
        (None, "staff", ("sandbox", "staff")),
        (None, None, ("sandbox", "sandbox")),
        ("a b:c", "x\ny", ("sandbox", "sandbox")),
        ("-r", "n" * 65, ("sandbox", "sandbox")),
    ],
)
def test_the_hook_has_the_names_of_the_caller_where_passwd_can_hold_them(
    user: str | None, group: str | None, expected: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container often runs as a number that no file names."""
    _say(monkeypatch, user=user, group=group)
    assert situation.situation_of(os.fspath(tmp_path), Policy()).user == expected


@pytest.mark.parametrize(
    ("variable", "user", "expected"),
    [
        ("/home/a/../b/", "builder", "/home/b"),
        ("relative", "builder", "/home/of/passwd"),
        ("relative", None, "/nonexistent"),
        (None, "builder", "/home/of/passwd"),
        (None, None, "/nonexistent"),
    ],
)
def test_the_home_directory_is_absolute_or_none(
    variable: str | None, user: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _say(monkeypatch, user=user, group=None)
    if variable is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", variable)
    assert situation.situation_of(os.fspath(tmp_path), Policy()).home == expected


@pytest.mark.parametrize("named", [True, False])
def test_load_that_hides_the_owners_is_an_error_of_the_call(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With too few rights for an unknown owner a build would fail later, for a reason that nobody understands."""

    def fail(_: tuple[str, ...]) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), *(["/some/directory"] if named else []))

    monkeypatch.setattr(situation, "survey", fail)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SandboxSetupError) as caught:
        situation.situation_of(os.fspath(tmp_path), Policy())
    assert (caught.value.errno, caught.value.path) == (
        errno.EMFILE,
        "/some/directory" if named else os.fspath(tmp_path),
    )


def _without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_: Any) -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    monkeypatch.setattr(situation, "open", refuse, raising=False)
    monkeypatch.setattr(os, "stat", refuse)


def test_what_a_variable_was_at_the_start_is_asked_of_the_kernel_once(monkeypatch: pytest.MonkeyPatch) -> None:
    situation.started_with.cache_clear()
    at_start = situation.started_with()
    monkeypatch.setenv("OF_THIS_TEST", "1")
    assert "OF_THIS_TEST" not in situation.started_with()
    assert at_start is situation.started_with()
    with monkeypatch.context() as patch:
        _without_proc(patch)
        assert situation.started_with.__wrapped__() == dict(os.environ)


def test_without_proc_only_the_uid_tells_who_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    for uid in (0, 1000):
        with monkeypatch.context() as patch:
            _without_proc(patch)
            patch.setattr(os, "geteuid", lambda uid=uid: uid)
            assert situation.is_kernel_root() is (uid == 0)
