"""Fetches the sdist of a pinned package with pip, outside of the sandbox, which needs the network and credentials.

pip would ask an sdist for its metadata after it has downloaded it, which runs hooks and installs build requirements.
This one reads them in PKG-INFO. If an sdist has none, its hooks run in sandboxes, under the policy for the package.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from packaging.utils import parse_sdist_filename

from ..errors import IsolatedHooksError, UntrustedResultError
from ..files.steered import recorded_trees
from ..frontends.build.fetching import pip_environ
from ..frontends.copies import Copies
from ..frontends.pip import Problem, Records, pip_command
from ..frozen import dataclass
from ..policy import Policy
from ..report import HookReport
from ..results.artefacts import vet_sdist_name
from ..text import visible
from .permit import Watch
from .pinned import Pin
from .supervise import Ended, supervise

__all__ = ["Fetched", "fetch"]


@dataclass(frozen=True)
class Fetched:
    """What pip has done.

    :ivar path: the path of the sdist; empty if pip has failed
    :ivar ended: the end of pip
    :ivar hooks: one report for each hook that it ran
    :ivar problems: the errors of this package with which hooks failed
    """

    path: str
    ended: Ended
    hooks: tuple[HookReport, ...] = ()
    problems: Sequence[Problem] = ()


def fetch(pin: Pin, directory: str, policy: Policy, watch: Watch) -> Fetched:
    """Fetch the sdist of a package into a directory of its own.

    :param directory: a private directory
    :param policy: what the hooks of the package may do
    :param watch: says when pip has to end
    :raises IsolatedHooksError: there is no pip, or it has fetched something else than this sdist
    :raises OSError: pip cannot be started
    """
    target, temporary = os.path.join(directory, "sdist"), os.path.join(directory, "tmp-pip")
    os.mkdir(target)
    os.mkdir(temporary)
    with Records() as records, Copies(recorded_trees()) as copies:
        *command, state = pip_command(policy, records=records, fetches=True)
        environ = {**pip_environ(state, copies, directory), "TMPDIR": temporary}
        # Of this package alone: its build requirements may be wheels.
        command += ["download", "--no-input", "--no-deps", "--no-binary", pin.project[0], "--dest", target]
        ended = supervise([*command, "--", pin.text], watch, environ, tied=True)
        record = records.read()
    path = "" if ended.code or ended.stopped else os.path.join(target, _only(pin, os.listdir(target)))
    return Fetched(path, ended, record.reports, record.problems)


def _only(pin: Pin, names: Sequence[str]) -> str:
    """Return the name of the one file that pip has left.

    :raises IsolatedHooksError: it has left others, or another sdist
    """
    shown = ", ".join(visible(name, limit=200) for name in names[:3]) or "nothing"
    try:
        name = vet_sdist_name(*names)
        if parse_sdist_filename(name) == pin.project and name.endswith(".tar.gz"):
            return name
    except (TypeError, UntrustedResultError):
        pass
    raise IsolatedHooksError(
        f"pip has fetched {shown} (expected an sdist of {pin.text} as .tar.gz). Remedy: unpack another archive, and "
        "name the directory as an argument"
    )
