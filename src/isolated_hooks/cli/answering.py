"""The options ``--record-answers`` and ``--answers``, and the file that they name."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Iterable

from ..answers import Answers
from ..errors import IsolatedHooksError, PolicyError
from ..files.replaced import ReplacedFile
from . import messages

__all__ = ["Answering", "add_answer_options"]

_RECORD = "--record-answers"


def add_answer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of a command that builds."""
    parser.add_argument(
        _RECORD,
        metavar="FILE",
        help="record in FILE which build requirements the hooks return, to be reviewed and given with --answers",
    )
    parser.add_argument(
        "--answers",
        metavar="FILE",
        help="take the build requirements that hooks would return from FILE; none of these hooks runs, not even one "
        "that FILE has no answer for",
    )


class Answering(contextlib.ExitStack):
    """The answers of one command, as a context manager. Enter it before the first hook.

    :param options: with the values of both options
    :param trees: the trees that hooks write to
    :ivar answers: the answers, or ``None`` if neither option was given
    :raises PolicyError: both options were given, or the file cannot be read or written
    """

    def __init__(self, options: argparse.Namespace, trees: Iterable[str]) -> None:
        super().__init__()
        self._path = options.answers or options.record_answers
        self._file: ReplacedFile | None = None
        self.answers: Answers | None = None
        if options.answers is not None and options.record_answers is not None:
            raise PolicyError(f"{_RECORD}: not allowed with --answers (expected one of them, got both)")
        if options.answers is not None:
            self.answers = Answers.read(options.answers)
        elif options.record_answers is not None:
            self.answers = Answers.recording()
            self._file = self.enter_context(ReplacedFile(options.record_answers, _RECORD, trees))

    def finish(self, *, quiet: bool = False) -> None:
        """Write the file after a command that has succeeded, and say what was done.

        :raises IsolatedHooksError: it could not be written
        """
        if self.answers is None:
            return
        if self._file is not None:
            try:
                self._file.write(self.answers.encoded())
            except OSError as error:
                raise IsolatedHooksError(f"{_RECORD}: {self._path} could not be written: {error.strerror}") from error
            text = f"Recorded {_counted(len(self.answers))} of hooks in {self._path}: review them"
        else:
            counts = Counter(self.answers.given)
            hooks = ", ".join(f"{hook} ({count} times)" if count > 1 else hook for hook, count in counts.items())
            took = f"Took {_counted(len(self.answers.given))} from {self._path}"
            text = f"{took}, and ran no hook for that: {hooks or 'none'}"
        if not quiet:
            messages.note(text)


def _counted(number: int) -> str:
    return f"{number} answer{'' if number == 1 else 's'}"
