"""Filter the output of a hook, as it arrives, for a terminal or for the log of a continuous integration (CI) service.

Colours stay (SGR, ECMA-48), and so do line feeds, tabs, and carriage returns, which progress bars need. The filter
writes every other escape sequence, control character and bidirectional character as an escape. It also escapes the one
character that makes a line a CI command: ``::set-env`` of GitHub at the beginning of a line, and ``##vso[`` of Azure,
``##[`` and ``##teamcity[`` anywhere.

It holds back only text that it cannot judge yet: the bytes of an unfinished character, and an unfinished colour.
"""

from __future__ import annotations

import codecs
import re

from .text import COMMAND_NAME, escape, is_hidden

__all__ = ["OutputFilter"]

MAX_COLOUR = 64

_RESET = "\x1b[0m"
_COLOUR = re.compile(r"\x1b\[([0-9;:]*)m")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:]*)?")
# The first alternative matches a run of printable ASCII without '#', ':' and '[', which needs no closer look.
_PARTS = re.compile(r"[\x20-\x22\x24-\x39\x3b-\x5a\x5c-\x7e]+|.", re.DOTALL)
_NAME = re.compile(rf"{COMMAND_NAME}+")

# How much of a command such as ``##vso[`` the latest characters form.
_NOTHING, _SIGN, _SIGNS, _NAMED = range(4)
_AFTER_SIGN = {_NOTHING: _SIGN, _SIGN: _SIGNS, _SIGNS: _SIGNS, _NAMED: _SIGN}


class OutputFilter:
    """A filter for one stream. Feed it everything that is written to the stream, in pieces of any length."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._pending = ""  # an escape sequence that is not complete yet
        self._coloured = False
        self._begin_line()
        self._ended = True  # the last line feed is the latest output

    def feed(self, data: bytes) -> bytes:
        """Return the filtered form of the next piece of output, as UTF-8.

        :param data: bytes of any length; bytes that are not UTF-8 are escaped
        """
        return self._filter(self._decoder.decode(data)).encode()

    def finish(self) -> bytes:
        """Return the remaining output. It resets the colour and ends the last line, for the next program's output."""
        text = self._filter(self._decoder.decode(b"", final=True)) + self._give_up()
        text += (_RESET if self._coloured else "") + ("" if self._ended else "\n")
        self._decoder.reset()
        self._coloured = False
        self._begin_line()
        self._ended = True
        return text.encode()

    def _begin_line(self) -> None:
        self._leading = True  # the line has only white space so far
        self._colon = False  # the latest character is the first colon after that
        self._command = _NOTHING

    def _filter(self, text: str) -> str:
        return "".join(self._part(part) for part in _PARTS.findall(text))

    def _part(self, part: str) -> str:
        if self._pending or part == "\x1b":
            return self._sequence(part)
        return self._character(part) if len(part) == 1 else self._shown(part)

    def _sequence(self, part: str) -> str:
        """Process text that may belong to a colour, character by character."""
        for position, character in enumerate(part):
            longer = self._pending + character
            if _UNFINISHED.fullmatch(longer) and len(longer) <= MAX_COLOUR:
                self._pending = longer
                continue
            colour = _COLOUR.fullmatch(longer)
            if colour is None or not _is_plain(colour.group(1)):
                return self._give_up() + self._filter(part[position:])
            self._pending, self._coloured = "", longer not in ("\x1b[m", _RESET)
            return longer + self._filter(part[position + 1 :])
        return ""

    def _give_up(self) -> str:
        """Return the pending characters as text, because they are not a colour."""
        text, self._pending = self._pending, ""
        return "".join(map(self._character, text))

    def _character(self, character: str) -> str:
        if character in "\n\r":
            self._begin_line()
            self._ended = character == "\n" or self._ended
            return character
        is_command = (character == ":" and self._colon) or (character == "[" and self._command >= _SIGNS)
        if is_command or (character != "\t" and is_hidden(character)):
            return self._shown(escape(character))
        return self._shown(character)

    def _shown(self, text: str) -> str:
        """Return text unchanged, and update the state of the line."""
        if text == "#":
            self._command = _AFTER_SIGN[self._command]
        else:
            self._command = _NAMED if self._command >= _SIGNS and _NAME.fullmatch(text) else _NOTHING
        self._colon = text == ":" and self._leading
        self._leading = self._leading and text.isspace()
        self._ended = False
        return text


def _is_plain(parameters: str) -> bool:
    """Return whether no parameter conceals text. 8 does, except as the number of a colour (38;5;8)."""
    numbers = iter(parameters.split(";"))
    for number in numbers:
        kind = number.lstrip("0")
        if kind.partition(":")[0] == "8":
            return False
        if kind in ("38", "48", "58"):
            for _ in range({"5": 1, "2": 3}.get(next(numbers, "").lstrip("0"), 0)):
                next(numbers, "")
    return True
