"""pip, with its hook caller swapped, in this pip and in every pip that it starts."""

from __future__ import annotations

from .command import Outcome, embedded, pip_command, run
from .records import Problem, Record, Records
from .session import main

__all__ = ["Outcome", "Problem", "Record", "Records", "embedded", "main", "pip_command", "run"]
