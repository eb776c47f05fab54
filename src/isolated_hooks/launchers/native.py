"""The native launcher: the frontend's interpreter runs ``sandbox/``, without a helper program."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ..plan import Identity, Plan
from ..plan.holds import protections_of
from ..protections import ProtectionStatus
from .child import child_command
from .packing import packed
from .protocol import Availability

__all__ = ["Native"]


class Native:
    """Sets the sandbox up by system calls from the frontend's own interpreter."""

    name = "native"
    identities = frozenset(Identity)
    proxied = True
    paths = ()
    overlays = True
    observes = True
    warm = True

    def availability(self) -> Availability:
        return Availability(True, "part of isolated-hooks")

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        return protections_of(plan)

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """Put the launcher into the workspace, and return the command that runs it there.

        Where there is no room for it, for example on a full disk, the child reads the installed modules instead, which
        takes it some milliseconds longer.

        :raises SandboxUnavailableError: as :func:`.child.child_command`
        """
        arguments = ("launch", workspace, "--", *argv)
        entry = self.entry(workspace)
        return child_command(*arguments) if entry is None else child_command(*arguments, entry=entry)

    def entry(self, workspace: str) -> str | None:
        """Put the launcher into the workspace, and return its path, or ``None`` where there is no room for it."""
        entry = os.path.join(workspace, "launcher")
        try:
            # A trial and the hook of one call share the workspace, and so does the process that stays ready.
            with contextlib.suppress(FileExistsError), open(entry, "xb") as file:
                file.write(packed())
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(entry)
            return None
        return entry
