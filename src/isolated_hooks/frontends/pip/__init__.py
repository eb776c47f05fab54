"""pip, with its hook caller swapped, in every pip that it starts."""

from __future__ import annotations

from .command import Outcome, embedded, pip_command, run
from .records import Problem, Records, Told
from .session import main

__all__ = ["Outcome", "Problem", "Records", "Told", "embedded", "main", "pip_command", "run"]
