"""Where credentials come from: netrc and a keyring, and what each lacks in an error without a part of it."""

from __future__ import annotations

import base64
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import keyring.credentials
import pytest
from support.guarded import write_netrc

from isolated_hooks import PolicyError
from isolated_hooks.files.steered import Trees
from isolated_hooks.network import credentials
from isolated_hooks.policy.hostauth import parse_auth

SECRET = "the-geheim-word"


def read(entry: str, environ: dict[str, str], *, sees: bool = False) -> str:
    (value,) = credentials.authorizations([parse_auth("here", entry)], environ, lambda _: sees).values()
    assert value.startswith("Basic ")
    return base64.b64decode(value.removeprefix("Basic ")).decode()


def refused(entry: str, environ: dict[str, str], **more: bool) -> str:
    with pytest.raises(PolicyError) as caught:
        read(entry, environ, **more)
    text = str(caught.value)
    assert text.startswith(f"network_auth: {entry}: ")
    assert "expected" in text
    for problem in (text, repr(caught.value), repr(caught.value.__context__)):
        assert "geheim" not in problem
    return text


def test_netrc_is_the_file_that_a_variable_names_or_that_of_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = write_netrc(tmp_path / "named", "Index.Example.org", "me", SECRET)
    assert read("index.example.org:443=netrc", {"NETRC": str(named)}) == f"me:{SECRET}"
    monkeypatch.setenv("HOME", str(tmp_path))
    write_netrc(tmp_path / ".netrc", "index.example.org", "other", "word")
    for environ in ({}, {"NETRC": ""}):
        assert read("index.example.org:8443=netrc", environ) == "other:word"


def test_an_address_of_ipv6_stands_without_brackets(tmp_path: Path) -> None:
    file = write_netrc(tmp_path / "netrc", "2001:db8::7", "me", SECRET)
    assert read("[2001:db8::7]:443=netrc", {"NETRC": str(file)}) == f"me:{SECRET}"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_may_open_is_refused(mode: int, tmp_path: Path) -> None:
    file = write_netrc(tmp_path / "netrc", "a", "me", SECRET)
    file.chmod(mode)
    assert f"expected mode 600, got {mode:o}" in refused("a:443=netrc", {"NETRC": str(file)})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"machine b login me password {SECRET}", "has no entry for this host"),
        (f"default login me password {SECRET}", "has no entry for this host"),
        (f"machine a login me password {SECRET}\n{SECRET} x", "is not valid in line 2"),
        (b"machine a login \xff\xfe password geheim", ""),
        ("machine a login me:geheim password x", "a colon in its user name"),
        ("", "has no entry"),
    ],
)
def test_what_the_file_lacks(text: str | bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(0o600)
    try:
        assert problem in refused("a:443=netrc", {"NETRC": str(file)})
    except pytest.fail.Exception:
        assert isinstance(text, bytes)  # some versions of Python read it by the locale's encoding


@pytest.mark.parametrize("kind", ["none", "directory", "fifo", "huge"])
def test_what_is_no_file(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    if kind == "directory":
        file.mkdir(mode=0o700)
    elif kind == "fifo":
        os.mkfifo(file, 0o600)
    elif kind == "huge":
        with file.open("wb") as opened:
            opened.truncate(1 << 30)
        file.chmod(0o600)
    assert str(file) in refused("a:443=netrc", {"NETRC": str(file)})


def test_a_file_that_hooks_see_is_refused(tmp_path: Path) -> None:
    file = write_netrc(tmp_path / "netrc", "a", "me", SECRET)
    assert "is where hooks may see it" in refused("a:443=netrc", {"NETRC": str(file)}, sees=True)


class Backend(keyring.backend.KeyringBackend):
    """A keyring with one entry."""

    priority: Any = 1

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked.example":
            raise RuntimeError(f"{SECRET} is not for you")
        return SECRET if (service, username) == ("index.example.org", "me") else None

    def get_credential(self, service: str, username: str | None) -> Any:
        password = self.get_password(service, username or "me")
        return keyring.credentials.SimpleCredential("me", password) if password else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.fixture
def with_keyring() -> Any:
    before = keyring.get_keyring()
    keyring.set_keyring(Backend())
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("with_keyring")
def test_a_keyring_is_asked_for_the_host_as_urls_write_it() -> None:
    assert read("index.example.org:443=keyring:me", {}) == f"me:{SECRET}"
    assert read("index.example.org:443=keyring", {}) == f"me:{SECRET}"
    assert "keyring set index.example.org:8443 me" in refused("index.example.org:8443=keyring:me", {})
    assert "or name the user" in refused("other.example.org:443=keyring", {})
    text = refused("locked.example:443=keyring:me", {})
    assert "(RuntimeError)" in text
    assert "unlock" in text


def test_without_the_library_the_remedy_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'isolated-hooks[keyring]'" in refused("a:443=keyring", {})


def test_a_library_that_a_hook_may_have_written_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "recorded_trees", lambda: type("T", (), {"steer": lambda self, path: True})())
    assert "where hooks may write" in refused("a:443=keyring", {})


def test_a_keyring_that_would_import_from_a_tree_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library itself lies elsewhere, but it imports others by their names, and the tree may come first."""
    monkeypatch.setattr(credentials, "recorded_trees", lambda: Trees([os.fspath(tmp_path)]))
    monkeypatch.chdir(tmp_path)
    for entry in (os.fspath(tmp_path), os.fspath(tmp_path / "lib"), ""):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [entry, *sys.path])
            text = refused("index.example.org:443=keyring:me", {})
        assert "for what the library keyring imports (expected directories of no source tree)" in text
