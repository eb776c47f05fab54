from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isolated_hooks.text import is_visible, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, Ümläute, 漢字, 🐍, `~!@#$%^&*()`", "plain text, Ümläute, 漢字, 🐍, `~!@#$%^&*()`"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc\0", "a\\x0d\\x0ab\\x09c\\x00"),
        ("\x7f\x85", "\\x7f\\x85"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("two\u2028lines\u2029", "two\\u2028lines\\u2029"),
        ("\udcff\ud800", "\\udcff\\ud800"),
        ("\ue000", "\\ue000"),
        ("\U000e0041\U0010fffd", "\\U000e0041\\U0010fffd"),
        ("", ""),
        ("::set-env name=PATH::x", ":\\x3aset-env name=PATH::x"),
        (" \u2003::add-mask::x", " \u2003:\\x3aadd-mask::x"),
        ("a ##vso[task.setvariable]", "a ##vso\\x5btask.setvariable]"),
        ("###[add-path]x ##[group]", "###\\x5badd-path]x ##\\x5bgroup]"),
        ("a::b [#1] ## c[0] #a[1] std::vector", "a::b [#1] ## c[0] #a[1] std::vector"),
    ],
)
def test_text_that_could_control_a_terminal_or_a_ci_service_is_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_only_the_characters_to_keep_stay_unescaped() -> None:
    assert visible("a\n\tb\r\x1b", keep="\n\t") == "a\n\tb\\x0d\\x1b"


def test_a_ci_command_after_a_kept_line_feed_is_escaped() -> None:
    assert visible("a\n\t::set-env name=A::b\n::", keep="\n\t") == "a\n\t:\\x3aset-env name=A::b\n:\\x3a"


def test_a_text_is_cut_before_it_is_escaped_and_gets_an_ellipsis() -> None:
    assert visible("x" * 10, limit=10) == "x" * 10
    assert visible("x" * 11, limit=10) == "x" * 10 + "…"
    assert visible("\x1b" * 11, limit=10) == "\\x1b" * 10 + "…"
    assert visible("abc", limit=0) == "…"
    assert visible("", limit=0) == ""


@settings(deadline=None, database=None)
@given(st.text(st.characters(exclude_categories=())))
def test_no_hidden_character_is_left_and_all_others_stay(text: str) -> None:
    result = visible(text)
    assert not {unicodedata.category(c) for c in result} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    result.encode()  # so it can be printed
    assert is_visible(result)
    if is_visible(text) and "#" not in text and "::" not in text:
        assert result == text


def test_every_control_and_direction_character_of_unicode_is_hidden() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}:
            assert visible(character) != character
    assert all(visible(chr(code)) != chr(code) for code in (*range(32), *range(127, 160)))
