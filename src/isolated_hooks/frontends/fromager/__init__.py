"""fromager, with the hooks of every package that it builds in sandboxes."""

from __future__ import annotations

from .frontend import FromagerError, run, swapped

__all__ = ["FromagerError", "run", "swapped"]
