"""The output filter keeps colours, and nothing else in a hook's output controls a terminal or a CI service."""

from __future__ import annotations

import itertools
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isolated_hooks.outputfilter import MAX_COLOUR, OutputFilter


def filtered(*pieces: bytes) -> bytes:
    output = OutputFilter()
    return b"".join(map(output.feed, pieces)) + output.finish()


def one_by_one(data: bytes) -> bytes:
    return filtered(*(data[i : i + 1] for i in range(len(data))))


@pytest.mark.parametrize(
    "text",
    [
        "plain text\n",
        "\ttabs, Ümläute, 漢字, 🐍 and `~!@#$%^&*()`[]\n",
        "10 %\r20 %\r\n",
        "\x1b[31mred\x1b[0m\n",
        "\x1b[1;38;5;8m\x1b[48;2;1;2;8m\x1b[4:3m\x1b[m\n",
        "a::b, std::vector, [#1], ## heading [1], #pragma[x], C#[0], ::\x3a"[:-2] + "\n",
        "",
    ],
)
def test_ordinary_build_output_stays_unchanged(text: str) -> None:
    assert filtered(text.encode()).decode() == text
    assert one_by_one(text.encode()).decode() == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\x1b]52;c;aGk=\x07", b"\\x1b]52;c;aGk=\\x07"),  # the clipboard
        (b"\x1b]8;;http://x\x1b\\", b"\\x1b]8;;http://x\\x1b\\"),  # a link
        (b"\x1b[21t", b"\\x1b[21t"),  # asks for the title; the terminal types the answer into the shell
        (b"\x1b[2J\x1b[H", b"\\x1b[2J\\x1b[H"),
        (b"\x1b[8mha:////\x1b[0m", b"\\x1b[8mha:////\x1b[0m"),  # concealed text, which Jenkins treats as a console note
        (b"\x1b[0;08m", b"\\x1b[0;08m"),
        (b"\x1b[8:1m", b"\\x1b[8:1m"),
        (b"\x1b[38;5;8;8m", b"\\x1b[38;5;8;8m"),
        (b"\x1b\x1b[31m", b"\\x1b\x1b[31m\x1b[0m"),
        (b"\x1b[\x1b[m", b"\\x1b[\x1b[m"),
        (b"\x1b[3", b"\\x1b[3"),
        (b"\x1b", b"\\x1b"),
        (b"\x1b[?25l", b"\\x1b[?25l"),
        (b"\x1b[" + b"1" * MAX_COLOUR + b"m", b"\\x1b[" + b"1" * MAX_COLOUR + b"m"),
        (b"\xc2\x9b31m", b"\\x9b31m"),
        (b"\x9b31m", b"\\x9b31m"),
        (b"\x00\x07\x08\x7f", b"\\x00\\x07\\x08\\x7f"),
        ("\u202egnp.exe\u2066\u200b".encode(), b"\\u202egnp.exe\\u2066\\u200b"),
        (b"\xff\xc3(", b"\\xff\\xc3("),
        (b"\xed\xa0\x80", b"\\xed\\xa0\\x80"),  # a surrogate
        (b"\xf0\x9f\x90", b"\\xf0\\x9f\\x90"),  # an incomplete character
    ],
)
def test_what_steers_a_terminal_is_written_as_an_escape(text: bytes, expected: bytes) -> None:
    assert filtered(text) == expected + b"\n"
    assert one_by_one(text) == expected + b"\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("::set-env name=A::b", ":\\x3aset-env name=A::b"),
        ("x\n::add-path::/x", "x\n:\\x3aadd-path::/x"),
        ("50 %\r::stop-commands::x", "50 %\r:\\x3astop-commands::x"),
        (" \t\u2003\u00a0::add-mask::x", " \t\u2003\u00a0:\\x3aadd-mask::x"),
        ("\x1b[0m:\x1b[0m:group::", "\x1b[0m:\x1b[0m\\x3agroup::"),
        (":::error::", ":\\x3a:error::"),
        ("text ##vso[task.setvariable variable=PATH]x", "text ##vso\\x5btask.setvariable variable=PATH]x"),
        ("##[add-path]x", "##\\x5badd-path]x"),
        ("####[x]", "####\\x5bx]"),
        ("##a##b.c-d_e[x]", "##a##b.c-d_e\\x5bx]"),
        ("##teamcity[publishArtifacts 'x']", "##teamcity\\x5bpublishArtifacts 'x']"),
        ("##\x1b[0mvso[x]", "##\x1b[0mvso\\x5bx]"),
        ("##\x1b[x", "##\\x1b[x"),
    ],
)
def test_what_a_ci_takes_for_a_command_is_none_any_more(text: str, expected: str) -> None:
    assert filtered(text.encode()).decode() == expected + "\n"
    assert one_by_one(text.encode()).decode() == expected + "\n"


def test_a_command_may_be_written_in_pieces_of_any_length() -> None:
    assert (
        filtered(b":", b":set-env name=A::b\n", b"##", b"vso", b"[x]\n") == b":\\x3aset-env name=A::b\n##vso\\x5bx]\n"
    )


def test_unambiguous_output_is_shown_at_once() -> None:
    output = OutputFilter()
    assert output.feed(b"no line feed") == b"no line feed"
    assert output.feed("ü".encode()[:1]) == b""
    assert output.feed("ü".encode()[1:]) == "ü".encode()
    assert output.feed(b":") == b":"
    assert output.feed(b"\x1b[3") == b""
    assert output.feed(b"1m") == b"\x1b[31m"


def test_the_end_resets_the_colour_and_ends_the_line() -> None:
    assert filtered(b"\x1b[31mred") == b"\x1b[31mred\x1b[0m\n"
    assert filtered(b"\x1b[31mred\n") == b"\x1b[31mred\n\x1b[0m"
    assert filtered(b"50 %\r") == b"50 %\r\n"
    assert filtered(b"done\n") == b"done\n"
    assert filtered() == b""


def test_a_filter_can_be_used_again_after_the_end() -> None:
    output = OutputFilter()
    assert output.feed(b"\x1b[1m:") + output.finish() == b"\x1b[1m:\x1b[0m\n"
    assert output.feed(b"::") + output.finish() == b":\\x3a\n"


def test_a_long_line_is_not_buffered() -> None:
    output = OutputFilter()
    for piece in (b"x" * 65536, b"\x1b[1" + b"1" * 65536, b"#" * 65536, b"\x1b" * 65536):
        assert len(output.feed(piece)) >= 65536 - MAX_COLOUR
    assert len(output.finish()) < 4 * MAX_COLOUR


_NASTY = st.sampled_from(
    [
        *(b"\x1b", b"[", b"\x1b[", b"31", b";8", b"m", b"\x1b[0m", b":", b"::", b"#", b"##", b"vso[", b"text"),
        *(b"\r", b"\n", b" ", b"\t", b"\xff", b"\xc2", b"\x9b", "ü".encode(), "\u202e".encode(), "\u2003".encode()),
    ]
)
_STREAM = st.one_of(st.binary(max_size=60), st.lists(_NASTY, max_size=30).map(b"".join))


@settings(deadline=None, database=None)
@given(_STREAM, st.lists(st.integers(0, 60), max_size=6))
def test_the_result_does_not_depend_on_the_pieces(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    assert filtered(*(data[a:b] for a, b in itertools.pairwise(edges))) == filtered(data)


@settings(deadline=None, database=None, max_examples=500)
@given(_STREAM)
def test_the_result_has_only_colours_and_harmless_text(data: bytes) -> None:
    shown = filtered(data).decode()
    plain = re.sub(r"\x1b\[[0-9;:]*m", "", shown)
    assert {c for c in plain if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}} <= set("\n\r\t")
    for text in (shown, plain):
        assert not re.search(r"##[\w.-]*\[", text, re.ASCII)
        assert not any(line.lstrip().startswith("::") for line in re.split("[\r\n]", text))


@settings(deadline=None, database=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp"], exclude_characters=":#")))
def test_ordinary_text_is_never_changed(text: str) -> None:
    assert filtered(text.encode() + b"\n").decode() == text + "\n"
