"""What leaves the host in a statement: no directory of it, no user, no credential."""

from __future__ import annotations

import pytest

from isolated_hooks.protections import ROWS
from isolated_hooks.provenance.spelling import WITHHELD, Spelling

HERE = Spelling(
    "/home/me", {"/data/tree": "(a source tree)", "/data": "(the current directory)"}, {"/data/x": "../data/x"}
)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("it tried to read /home/me/.netrc, which", "it tried to read ~/.netrc, which"),
        ("/data/tree/a", "(a source tree)/a"),
        ("/data/other", "(the current directory)/other"),
        ("/datashop/a", "(a path)"),
        ("/home/metoo", "(a path)"),
        ("(/srv/secret/place)", "((a path))"),
        ("see /proc/self and /tmp.", "see /proc/self and /tmp."),
        ("see /tmp/somebody's", "see (a path)'s"),
        ("/proc/../srv/x", "(a path)"),
        ("PATH=/usr/bin:/srv/x", "PATH=/usr/bin:(a path)"),
        ("a/b and x/y/z", "a/b and x/y/z"),
        ("https://user:word@index.example.org/", WITHHELD),
        ("\x1b[2J\n", "\\x1b[2J\\x0a"),
        ("these hosts: a.example.org:443=keyring:somebody", "these hosts: a.example.org:443=keyring"),
    ],
)
def test_a_path_in_a_text_becomes_a_word(text: str, spelled: str) -> None:
    assert HERE.text(text) == spelled


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("/srv/my secret place/x", "(a path)"),
        ("/usr/share/a", "/usr/share/a"),
        ("/home/me/my secret place", "~/my secret place"),
        ("HOME", "HOME"),
        ("/usr/a b:/srv/c", "/usr/a b:(a path)"),
    ],
)
def test_one_path_with_spaces_becomes_one_word(text: str, spelled: str) -> None:
    assert HERE.subject(text) == spelled


def test_our_own_reasons_stay_as_they_are() -> None:
    for row in ROWS.values():
        assert HERE.reason(row.active) == row.active
        for held in (row.confined, row.separate):
            assert held is None or "(a path)" not in HERE.reason(f"without user namespaces: {held.words}")


def test_a_path_of_the_policy_is_as_it_was_typed() -> None:
    assert HERE.paths(["/data/x", "/home/me/a", "/home/me", "/srv/a"]) == ["../data/x", "~/a", "~", "/srv/a"]


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ({"a": "b", "c": ["d", ""]}, {"a": "b", "c": ["d", ""]}),
        ({"upload-token": "x"}, {"upload-token": WITHHELD}),
        ({"--build-option": "--password=word"}, {"--build-option": WITHHELD}),
        ({"a": {"secret": {"b": 1}}}, {"a": {"secret": WITHHELD}}),
        ({"a": [1, 1.5, None, True, 10**30]}, {"a": [1, "1.5", None, True, str(10**30)]}),
        ({"\x1b": "\udcff"}, {"\\x1b": "\\udcff"}),
    ],
)
def test_a_setting_is_what_the_caller_gave_without_credentials(value: object, spelled: object) -> None:
    assert HERE.setting("", value) == spelled


def test_a_setting_is_not_deeper_than_a_reader_takes() -> None:
    value: object = "x"
    for _ in range(200):
        value = [value]
    assert WITHHELD in str(HERE.setting("", value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cc -I/home/me/inc -L/srv/secret", "cc -I~/inc -L(a path)"),
        ("-I/trees/one/x", "-I(a source tree)/x"),
        ("/home/me/../somebody/x", "(a path)"),
        ("/home/me/a/../../somebody", "(a path)"),
        ("/home/me/..", "(a path).."),
        ("/home/me/..x", "~/..x"),
    ],
)
def test_no_option_and_no_dots_bring_a_path_of_the_host_along(text: str, expected: str) -> None:
    assert Spelling("/home/me", {"/trees/one": "(a source tree)"}).text(text) == expected
