"""The block of text about a hook that failed: at most twelve lines."""

from __future__ import annotations

from collections.abc import Sequence

from .hints import Hint

__all__ = ["rendered"]

#: The most hints that the block shows: two lines each, and two more lines.
_MOST = 5
_WHERE = (
    "  (an option stands after 'isolated-hooks COMMAND'; the policy is the table [tool.isolated-hooks] of a file of "
    "yours: --config FILE)"
)


def rendered(hook: str, hints: Sequence[Hint], *, read: bool, noted: bool = False) -> str:
    """Return the block, without a line feed at the end.

    :param hook: the name of the hook
    :param read: we have seen the hook's output
    :param noted: there are notes about what the hook lacks
    """
    if not hints:
        unseen = "" if read else ", of which we have not seen the output,"
        first = "Nothing points"
        if noted:
            first = "A note says what hooks lack: see whether it is about this. Nothing else points"
        return (
            f"{first} to the sandbox: {hook}{unseen} fails for a reason of its own, as far as we can tell.\n"
            "  (isolated-hooks build --explain-denials observes everything that hooks ask for)"
        )
    lines = [f"The sandbox may have made {hook} fail, the most likely cause first:"]
    for number, hint in enumerate(hints[:_MOST], 1):
        lines.append(f"  {number}. {hint.sentence}")
        if hint.option:
            lines.append(f"     add: {hint.option}    or to the policy: {hint.key}")
    if any(hint.option for hint in hints[:_MOST]):
        lines.append(_WHERE)
    return "\n".join(lines)
