"""The native launcher: the frontend's interpreter runs ``sandbox/``, without a helper program."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ..errors import SandboxSetupError
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
    paths = ()

    def availability(self) -> Availability:
        return Availability(True, "part of isolated-hooks")

    def protections(self, plan: Plan) -> Sequence[ProtectionStatus]:
        return protections_of(plan)

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        """Put the launcher into the workspace, and return the command that runs it there.

        :raises SandboxUnavailableError: as :func:`.child.child_command`
        :raises SandboxSetupError: the launcher cannot be written
        """
        entry = os.path.join(workspace, "launcher")
        command = child_command("launch", workspace, "--", *argv, entry=entry)
        try:
            # A trial and the hook of one call share the workspace.
            with contextlib.suppress(FileExistsError), open(entry, "xb") as file:
                file.write(packed())
        except OSError as error:
            raise SandboxSetupError("writing the launcher", path=entry, errno=error.errno or 0) from error
        return command
