"""The option of the command line that belongs to a key or to a limit. ``cli`` turns it into an option of argparse."""

from __future__ import annotations

from ..frozen import dataclass

__all__ = ["Option"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of every command that runs hooks.

    :ivar flag: its name, with both hyphens
    :ivar help: its text in ``--help``, a phrase
    :ivar metavar: the name of its value, or empty for a switch, which has no value
    :ivar choices: the values that it accepts; empty if it accepts any text
    :ivar alone: the value if it stands without one; empty if it needs one
    :ivar repeated: each use adds a value to those of the file; otherwise the last use replaces the file's value
    """

    flag: str
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    alone: str = ""
    repeated: bool = False

    @property
    def attribute(self) -> str:
        """The attribute of argparse's namespace that holds its value."""
        return self.flag.removeprefix("--").replace("-", "_")
