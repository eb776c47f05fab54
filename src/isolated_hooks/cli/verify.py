"""``isolated-hooks verify``: check the statements of a build against a file and a policy, offline."""

from __future__ import annotations

import argparse
import hashlib
import os
import stat
from collections.abc import Sequence

from ..errors import PolicyError, UntrustedResultError
from ..files.documents import DocumentError, read_document
from ..provenance.envelopes import Check, checker
from ..provenance.policies import stated_policy
from ..provenance.spelling import Spelling
from ..provenance.statements import Subject
from ..provenance.terms import ENDING, MAX_STATEMENTS
from ..provenance.verification import Statement, Verdict, Wanted, parsed_statements, verified
from ..text import visible
from . import messages
from .options import add_policy_options, policy_of, spelled_out, typed_paths

__all__ = ["main"]

_BLOCK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_UNSIGNED = (
    "an unsigned statement, or one whose signature nobody has checked (--key), proves nothing about who wrote it: "
    "anybody can write such a file. Trust it as far as you trust the way by which it reached you"
)
_SIGNED = "only a signature by the given key counts: trust it as far as you trust those who hold the private key"
_KEY = "--key"
_MAX_KEY = 1 << 16


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code: 0, verified; 1, not verified; 2, wrong usage or unreadable input."""
    parser = _parser()
    options = parser.parse_args(spelled_out(parser, arguments))
    policy = policy_of(options)
    spelling = Spelling(os.path.expanduser("~"), typed=typed_paths(options))
    expected = stated_policy(policy, spelling) if _gives_policy(options) else None
    wanted = Wanted(_subject(options.file), policy, expected)
    check = None if options.key is None else _checker(options.key)
    verdict = _verdict(options.statements, wanted, check)
    trust = _UNSIGNED if check is None else _SIGNED
    shown = visible(wanted.subject.name)
    if verdict.problems:
        for problem in verdict.problems:
            messages.error(f"{shown} is not verified: {problem}")
        messages.note(trust)
        return 1
    print(f"verified: {shown}, SHA-256 {wanted.subject.sha256}")
    for fact in verdict.facts:
        print(f"  {fact}")
    print(f"  {trust}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="isolated-hooks verify",
        allow_abbrev=False,
        description="Check that statements of 'isolated-hooks build --provenance' are about a file, that every "
        "protection that the policy requires was active, and, if a sandbox option is given, that the policy of the "
        "build allowed no more than this one. Nothing is run, and no host is asked.",
        epilog="Exit codes: 0, verified; 1, not verified; 2, wrong usage or unreadable input.",
    )
    parser.add_argument("file", metavar="WHEEL", help="the wheel or sdist")
    parser.add_argument("statements", metavar="STATEMENT", nargs="+", help=f"a file with statements, *{ENDING}")
    parser.add_argument(
        _KEY,
        metavar="FILE",
        help="accept only statements that are signed with the private key of this public Ed25519 key, in PEM; needs "
        "isolated-hooks[sign]",
    )
    add_policy_options(parser)
    return parser


def _gives_policy(options: argparse.Namespace) -> bool:
    return any(value is not None for name, value in vars(options).items() if name not in ("file", "statements", "key"))


def _subject(path: str) -> Subject:
    """Return the name and the digest of a file.

    :raises PolicyError: it is no regular file, or cannot be read
    """
    shown = visible(path, limit=300)
    try:
        with open(os.open(path, _FLAGS), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PolicyError(f"{shown!r} is not a file (expected a wheel or an sdist)")
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise PolicyError(f"{shown!r} cannot be read: {error.strerror}. Remedy: name a wheel or an sdist") from error
    return Subject(os.path.basename(path), digest.hexdigest())


def _checker(path: str) -> Check:
    shown = visible(path, limit=300)
    try:
        return checker(read_document(path, limit=_MAX_KEY), _KEY)
    except OSError as error:
        raise PolicyError(f"{_KEY}: {shown!r} cannot be read: {error.strerror}") from error
    except DocumentError as error:
        raise PolicyError(f"{_KEY}: {shown!r} is no key: {error}") from error


def _verdict(paths: Sequence[str], wanted: Wanted, check: Check | None) -> Verdict:
    statements: list[Statement] = []
    problems = []
    for path in paths:
        shown = visible(path, limit=300)
        try:
            statements += parsed_statements(read_document(path, limit=MAX_STATEMENTS), shown, check)
        except OSError as error:
            text = f"{shown!r} cannot be read: {error.strerror}. Remedy: name a file with statements, *{ENDING}"
            raise PolicyError(text) from error
        except DocumentError as problem:
            problems.append(f"{shown}: {problem}")
        except UntrustedResultError as problem:
            text = f" ({visible(problem.text, limit=100)})" if problem.text else ""
            problems.append(f"{problem.rule}{text}. Remedy: fetch it again, it may have been cut off or changed")
    return Verdict(tuple(problems)) if problems else verified(statements, wanted)
