"""Answers of hooks: recorded while hooks run, reviewed by somebody, and given later without running any code.

::

    answers = Answers.recording()
    IsolatedHookCaller(tree, backend, answers=answers).get_requires_for_build_wheel()
    Path("answers.json").write_bytes(answers.encoded())

    answers = Answers.read("answers.json")
    IsolatedHookCaller(tree, backend, answers=answers).get_requires_for_build_wheel()  # runs nothing

This is about the hooks that return build requirements. All other hooks run as ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import PolicyError, UntrustedResultError
from .files.digests import directory_digest, file_digest
from .files.documents import DocumentError, read_document
from .files.spelling import absolute
from .hookcall import HookCall
from .policy import Policy
from .results.answer import write_output
from .results.answered import HOOKS, MAX_ANSWERS, Answer, Question, Sdist, encoded, output_of, parsed
from .text import visible

__all__ = ["Answers"]

# Git changes it at every command, and hooks only read it.
_GIT = b".git"
_NAMED = re.compile(r"(python|pypy)(\d+\.\d+)t?")
_IMPLEMENTATIONS = {"python": "cpython", "pypy": "pypy"}
_AGAIN = "record the answers again with --record-answers, and review them"


class Answers:
    """The answers of the hooks that return build requirements, for any number of callers and threads.

    :meth:`recording` and :meth:`read` make one. A runner that has it gives the recorded answers, and refuses a hook
    whose answer is not among them; or it runs each hook and records its answer.

    An answer belongs to the source tree by content (regular files, without ``.git`` at the top), as it was before the
    first hook that a caller of this object ran in it; and to the interpreter, the platform and the config settings.

    :ivar given: the names of the hooks that were answered and not run, in order
    """

    def __init__(self, answers: Iterable[Answer] | None, sdist: Sdist | None = None) -> None:
        self._known = {answer.question: answer for answer in answers or ()}
        self._records = answers is None
        self._sdist = sdist
        self._trees: dict[tuple[str, int, int], str] = {}
        self._left_out: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self.given: list[str] = []

    @classmethod
    def recording(cls) -> Answers:
        """Return an object without answers that records those of the hooks that are run."""
        return cls(None)

    @classmethod
    def none(cls) -> Answers:
        """Return an object that refuses each hook that returns build requirements."""
        return cls(())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Answers:
        """Return the answers in a file, and run none of the hooks that they are for.

        :raises PolicyError: the file cannot be read, or holds something else
        """
        shown = visible(os.fspath(path), limit=300)
        try:
            sdist, answers = parsed(read_document(os.fspath(path), limit=MAX_ANSWERS))
        except OSError as error:
            raise PolicyError(f"{shown}: cannot be read: {error.strerror}. Remedy: name a file that exists") from error
        except (DocumentError, ValueError) as error:
            raise PolicyError(f"{shown}: no file with answers: {error}") from error
        except UntrustedResultError as error:
            raise PolicyError(
                f"{shown}: no file with answers: {error.rule}{f': {error.text}' if error.text else ''}. "
                "Remedy: name a file that --record-answers has written"
            ) from error
        return cls(answers, sdist)

    @property
    def records(self) -> bool:
        """Whether hooks run, and their answers are recorded."""
        return self._records

    def leave_out(self, directory: str) -> None:
        """Leave a directory at the top of a source tree out of the tree's digest: the one for results."""
        self._left_out |= {os.path.realpath(directory)}

    def built_from(self, path: str) -> None:
        """Note that the source is an sdist or a tree, before anything runs.

        :raises PolicyError: the answers were recorded for another sdist, or this one cannot be read
        """
        if os.path.isdir(path):
            return
        try:
            digest = file_digest(os.path.realpath(path))
        except OSError as error:
            raise PolicyError(f"{visible(path, limit=300)!r} cannot be read: {error.strerror}") from error
        if digest is None:
            return  # build prints what it expected
        if self._records:
            self._sdist = Sdist(visible(os.path.basename(path), limit=300), digest)
        elif self._sdist is not None and self._sdist.sha256 != digest:
            raise PolicyError(
                f"{visible(path, limit=300)!r} is not the sdist whose answers were recorded (expected "
                f"{self._sdist.name} with the SHA-256 {self._sdist.sha256}, got {digest}). Remedy: {_AGAIN}"
            )

    def encoded(self) -> bytes:
        """Return the recorded answers as the content of a file."""
        with self._lock:
            return encoded(self._known.values(), sdist=self._sdist)

    def __len__(self) -> int:
        return len(self._known)

    def answer(self, call: HookCall, policy: Policy) -> bool:
        """Answer a hook in its place, and return whether that was done; if not, the hook is to run.

        Call it for every hook, before it runs: the first call for a source tree takes the digest of the tree.

        :raises PolicyError: this hook was not recorded, or with another tree, interpreter or settings
        :raises UntrustedResultError: the recorded requirements are not what the policy allows
        """
        tree = self._digest(call.source_dir)
        if call.hook not in HOOKS:
            return False
        question = _question(call, tree)  # before the hook runs, as it may raise an error
        if self._records:
            if call.hook not in policy.hooks:
                raise PolicyError(
                    f"the answer of {call.hook} is not recorded: nobody vets what a hook returns without a sandbox. "
                    "Remedy: name it in 'hooks' of the policy"
                )
            return False
        answer = self._known.get(question)
        if answer is None:
            raise PolicyError(self._refusal(question, call))
        write_output(call.control_dir, output_of(answer, allow_url_requirements=policy.allow_url_requirements))
        self.given.append(call.hook)
        return True

    def record(self, call: HookCall, returned: object) -> None:
        """Record the vetted answer of a hook that has run.

        :raises UntrustedResultError: the same question had another answer before
        """
        if not self._records or call.hook not in HOOKS or not isinstance(returned, tuple):
            return
        settings = call.kwargs.get("config_settings") or {}
        answer = Answer(
            question=_question(call, self._digest(call.source_dir)),
            name=visible(os.path.basename(call.source_dir), limit=300) or "/",
            settings=tuple(visible(str(name), limit=300) for name in settings),
            requirements=returned,
        )
        with self._lock:
            earlier = self._known.setdefault(answer.question, answer)
        if earlier.requirements != answer.requirements:
            raise UntrustedResultError(f"{call.hook} must not give two answers for one source tree", answer.name)

    def _digest(self, source: str) -> str:
        """Return the digest of a source tree, as it was when this was first asked."""
        try:
            real = os.path.realpath(source)
            if os.path.islink(f"{real}/pyproject.toml"):
                # The digest has no links, so it would not tell that this file has changed.
                raise PolicyError(
                    f"{visible(source, limit=300)!r}: pyproject.toml is a link (expected a file: answers belong to "
                    "its content). Remedy: put the file itself there"
                )
            status = os.stat(real)
            place = (real, status.st_dev, status.st_ino)
            if place not in self._trees:
                names = (path for path in self._left_out if os.path.dirname(path) == real)
                without = frozenset((_GIT, *(os.fsencode(os.path.basename(path)) for path in names)))
                self._trees[place] = directory_digest(real, without=without)
            return self._trees[place]
        except OSError as error:
            within = os.fsdecode(error.filename) if error.filename else ""
            raise PolicyError(
                f"the source tree cannot be read for its digest: {visible(os.path.join(source, within), limit=300)!r}: "
                f"{error.strerror}. Remedy: make it readable for you, or move it away"
            ) from error

    def _refusal(self, asked: Question, call: HookCall) -> str:
        """Return why there is no answer to a question: the nearest one tells."""
        name = visible(os.path.basename(call.source_dir), limit=300)
        same = [question for question in self._known if (question.hook, question.tree) == (asked.hook, asked.tree)]
        if same and all(question.where != asked.where for question in same):
            where = ", ".join(sorted({" ".join(question.where) for question in same}))
            return (
                f"the answer of {asked.hook} for {name!r} was recorded for another interpreter (expected {where}, got "
                f"{' '.join(asked.where)}). Remedy: {_AGAIN} under this one"
            )
        if same:
            return (
                f"the answer of {asked.hook} for {name!r} was recorded with other config settings. Remedy: give the "
                f"same settings, or {_AGAIN}"
            )
        others = sorted(
            a.question.tree for a in self._known.values() if a.question.hook == asked.hook and a.name == name
        )
        if others:
            return (
                f"the source tree {name!r} is not the one whose answers were recorded (expected the dirHash "
                f"{others[0]}, got {asked.tree}; a build writes into its tree). Remedy: use the sdist or a clean "
                f"checkout, build with --source discard, or {_AGAIN}"
            )
        return f"no answer of {asked.hook} was recorded for {name!r}, and it is not run. Remedy: {_AGAIN}"


def _question(call: HookCall, tree: str) -> Question:
    implementation, version = _interpreter(call.python)
    settings: Mapping[str, Any] = call.kwargs.get("config_settings") or {}
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return Question(
        hook=call.hook,
        tree=tree,
        implementation=implementation,
        python=version,
        platform=f"{sys.platform}-{platform.machine()}",
        settings=hashlib.sha256(text.encode()).hexdigest() if settings else "",
    )


def _interpreter(python: str) -> tuple[str, str]:
    """Return the implementation and the version of an interpreter, without running it: its name tells.

    :raises PolicyError: it does not
    """
    real = os.path.realpath(absolute(python))
    if real == os.path.realpath(sys.executable):
        return sys.implementation.name, "{}.{}".format(*sys.version_info)
    named = _NAMED.fullmatch(os.path.basename(real))
    if named is None:
        raise PolicyError(
            f"nobody can tell the version of the interpreter {visible(python, limit=300)!r}, for which answers are "
            "recorded, without running it (expected the name python3.N). Remedy: use the interpreter by that name"
        )
    return _IMPLEMENTATIONS[named[1]], named[2]
