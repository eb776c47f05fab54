"""An option of the command line, as the row of a key or of a limit has it; ``cli`` makes argparse's options of them."""

from __future__ import annotations

import dataclasses

__all__ = ["Option"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """An option of every command that runs hooks.

    :ivar flag: its name, with both hyphens
    :ivar help: its line of ``--help``, a phrase
    :ivar metavar: what its value is called, or empty for a switch, which has none
    :ivar choices: the values that it takes, or nothing where any text may be one
    :ivar number: its value is a number
    :ivar repeated: each use adds a value to those of the file; otherwise the last one takes the file's place
    """

    flag: str
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    number: bool = False
    repeated: bool = False

    @property
    def attribute(self) -> str:
        """The name of what argparse makes of it."""
        return self.flag.removeprefix("--").replace("-", "_")
