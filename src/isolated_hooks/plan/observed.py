"""The plan of a hook that somebody asked to observe: names go to a name server that does not exist, and so are seen."""

from __future__ import annotations

import dataclasses

from ..sandbox.operations import File
from .plan import Plan
from .system import NSSWITCH, NSSWITCH_PATH

__all__ = ["observed_plan"]


def observed_plan(plan: Plan) -> Plan:
    """Return the plan with an observer, and a resolver that asks for the names that the files do not hold.

    Without a name server the resolver asks 127.0.0.1, resolv.conf(5), in the sandbox's own network, where nobody
    answers. So a look-up fails as before, and the query has the name.
    """
    asking = File(NSSWITCH_PATH, NSSWITCH.replace("hosts: files\n", "hosts: files dns\n"))
    operations = tuple(
        asking if isinstance(operation, File) and operation.target == NSSWITCH_PATH else operation
        for operation in plan.operations
    )
    return dataclasses.replace(plan, operations=operations, observed=True)
