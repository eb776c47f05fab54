"""The private key of ``--sign-key``: read before the first hook, and refused where a hook could read it, too."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterable

from ...errors import PolicyError
from ...files.documents import DocumentError, read_document
from ...files.spelling import absolute
from ...files.steered import Trees
from ...policy import Policy
from ...provenance.envelopes import Sign, signer
from ...run.preview import preview
from ...run.workspace import PrivateDirectory
from ...sandbox.operations import Bind, Cover
from ...text import visible
from .inputs import trees_of

__all__ = ["signer_of"]

_KEY = "--sign-key"
_MAX_KEY = 1 << 16


def signer_of(path: str, options: argparse.Namespace, policy: Policy) -> Sign:
    """Return what signs with a key that no hook sees.

    A key with a second name is refused, because nobody can tell whether that name lies in the source tree. So is one
    beneath a directory that hooks are shown, whatever its mode: an ordinary user's hook has the user's own uid.

    :param options: as build's own parser returns them
    :raises PolicyError: a hook could see it or choose another one, or it is no key
    """
    shown = visible(path, limit=300)
    if Trees(_seen(options, policy), kept=()).steer(absolute(path)):
        raise PolicyError(
            f"{_KEY}: hooks could read {shown!r}. Remedy: keep it out of the source tree, of its repository, of what "
            "you expose, and of directories of programs ('isolated-hooks explain' lists what hooks see)"
        )
    try:
        data = read_document(path, limit=_MAX_KEY, only_name=True)
    except OSError as error:
        raise PolicyError(f"{_KEY}: {shown!r} cannot be read: {error.strerror}") from error
    except DocumentError as error:
        raise PolicyError(f"{_KEY}: {shown!r} is no key: {error}") from error
    return signer(data, _KEY)


def _seen(options: argparse.Namespace, policy: Policy) -> Iterable[str]:
    """Yield the paths of all that hooks are shown."""
    yield from trees_of(options, policy)
    yield from policy.expose
    with contextlib.ExitStack() as stack:
        source = absolute(options.srcdir)
        if not os.path.isdir(source):  # an sdist, which is unpacked to a directory that only its hooks see
            source = stack.enter_context(PrivateDirectory(policy.writable)).path
        plan = preview(source, policy)
        yield from (o.source for o in plan.operations if isinstance(o, Bind) and not isinstance(o, Cover))
        yield from (path for path, _ in plan.rules)
