"""Explains a call that failed: gathers the evidence, and logs the block of hints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..files.paths import RealFilesystem
from ..observe.hints import Hint
from ..plan import Plan
from ..report import Connection
from ..text import visible

__all__ = ["LOGGER", "explained", "limit_of", "output_of"]

#: The name of the logger that gets the block, at the level INFO.
LOGGER = "isolated_hooks.hints"
# What the exceptions of runners call the output that they have captured: subprocess, and pip.
_OUTPUTS = ("output", "stderr", "context")


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
) -> tuple[tuple[Hint, ...], str]:
    """Return the hints for a call and their block; nothing for one that succeeded or whose command never ran.

    :param name: the name of the hook or command
    :param output: the end of its output, or ``None`` if we have not seen it
    :param limit: the limit that it met, and its value
    :param failed: the call raised an error
    :param connections: what it asked the proxy for
    """
    if not failed or status.get("state") == "failed" or not (status.get("code") or limit):
        return (), ""
    # Only here: a call that succeeds does not pay for these.
    import logging

    from ..observe.causes import findings_of
    from ..observe.evidence import evidence_of
    from ..observe.hints import hints_of
    from ..observe.rendering import rendered

    outside = RealFilesystem(), os.path.expanduser("~"), os.environ
    named = {(host.name, host.port) for host in plan.policy.hosts}
    asked = [(c.host, c.port) for c in connections if c.port and not c.allowed and (c.host, c.port) not in named]
    evidence = evidence_of(
        plan, status, output=output or "", outside=outside, dropped=dropped, limit=limit, asked=asked
    )
    hints = hints_of(findings_of(evidence))
    block = rendered(visible(name or "the command"), hints, read=output is not None)
    logging.getLogger(LOGGER).info("%s", block)
    return hints, block


def limit_of(failure: BaseException | None) -> tuple[str, Any] | None:
    """Return the limit of an error and its value, or ``None`` if no limit caused it."""
    name = getattr(failure, "limit", "")
    value = getattr(failure, "seconds", None) or getattr(failure, "value", None)
    return (name, value) if name and value is not None else None


def output_of(problem: BaseException) -> str | None:
    """Return the end of the output that a runner's exception holds, or ``None`` if it holds none."""
    found = [_text(getattr(problem, name, None)) for name in _OUTPUTS]
    texts = [text for text in found if text is not None]
    return "\n".join(texts) if texts else None


def _text(value: object) -> str | None:
    value = getattr(value, "plain", value)  # pip's is a text of rich
    if isinstance(value, bytes):
        value = value[-(1 << 16) :].decode("utf-8", "replace")
    return value if isinstance(value, str) else None
