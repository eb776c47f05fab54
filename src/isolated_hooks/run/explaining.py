"""Explains a call that failed: gathers the evidence, and logs the block of hints."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..files.paths import RealFilesystem
from ..frozen import dataclass
from ..observe.causes import findings_of, hosts_asked
from ..observe.denials import denied_findings, left_out
from ..observe.evidence import evidence_of
from ..observe.hints import Cause, Hint, hints_of
from ..observe.rendering import rendered
from ..plan import Plan
from ..report import Connection
from ..text import visible

__all__ = ["LOGGER", "Explanation", "explained", "limit_of", "output_of"]

#: The name of the logger that gets the block, at the level INFO.
LOGGER = "isolated_hooks.hints"
# What the exceptions of runners call the output that they have captured: subprocess, and pip.
_OUTPUTS = ("output", "stderr", "context")


@dataclass(frozen=True)
class Explanation:
    """What the sandbox had to do with a call.

    :ivar hints: with its failure
    :ivar text: the same as a block
    :ivar denied: what an observed hook asked for and did not get, and the hints
    :ivar notes: sentences about what was not kept
    """

    hints: tuple[Hint, ...] = ()
    text: str = ""
    denied: tuple[Hint, ...] = ()
    notes: tuple[str, ...] = ()


def explained(
    plan: Plan,
    status: Mapping[str, Any],
    *,
    name: str,
    output: str | None,
    limit: tuple[str, Any] | None,
    failed: bool,
    dropped: Sequence[str],
    connections: Sequence[Connection] = (),
) -> Explanation:
    """Return the hints for a call that failed and their block, and for an observed one what it was denied.

    There is nothing for a call that succeeded unobserved, or whose command never ran.

    :param name: the name of the hook or command
    :param output: the end of its output, or ``None`` if we have not seen it
    :param limit: the limit that it met, and its value
    :param failed: the call raised an error
    :param connections: what it asked the proxy for
    """
    failed = failed and status.get("state") != "failed" and bool(status.get("code") or limit)
    if not (failed or plan.observed):
        return Explanation()
    outside = RealFilesystem(), os.path.expanduser("~"), os.environ
    named = {(host.name, host.port) for host in plan.policy.hosts}
    asked = [(c.host, c.port) for c in connections if c.port and not c.allowed and (c.host, c.port) not in named]
    evidence = evidence_of(
        plan, status, output=output or "", outside=outside, dropped=dropped, limit=limit, asked=asked
    )
    records = status.get("seen", ())
    denied = denied_findings(records, evidence)
    more = left_out(records)
    text = f"{name or 'the command'} asked for more than we keep: {more} further calls are not among what it was denied"
    notes = (text,) if more else ()
    if plan.observed:
        evidence = dataclasses.replace(evidence, tried=(), names=())  # the records say the same, and who
    if not failed:
        return Explanation(denied=hints_of((*denied, *hosts_asked(evidence))), notes=notes)
    seen = {finding.cause for finding in denied}
    # The words of the output say less of a look-up than the query did.
    findings = [f for f in findings_of(evidence) if f.cause is not Cause.LOOKUP or f.cause not in seen]
    hints = hints_of((*denied, *findings))
    block = rendered(visible(name or "the command"), hints, read=output is not None, noted=bool(plan.notes))
    logging.getLogger(LOGGER).info("%s", block)
    return Explanation(hints, block, hints if plan.observed else (), notes)


def limit_of(failure: BaseException | None) -> tuple[str, Any] | None:
    """Return the limit of an error and its value, or ``None`` if no limit caused it."""
    name = getattr(failure, "limit", "")
    value = getattr(failure, "seconds", None) or getattr(failure, "value", None)
    return (name, value) if name and value is not None else None


def output_of(problem: BaseException) -> str | None:
    """Return the end of the output that a runner's exception holds, or ``None`` if it holds none."""
    outputs = [_text(getattr(problem, name, None)) for name in _OUTPUTS]
    texts = [text for text in outputs if text is not None]
    return "\n".join(texts) if texts else None


def _text(value: object) -> str | None:
    value = getattr(value, "plain", value)  # pip's is a text of rich
    if isinstance(value, bytes):
        value = value[-(1 << 16) :].decode("utf-8", "replace")
    return value if isinstance(value, str) else None
