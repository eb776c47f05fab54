"""What sets a sandbox up: ``native``, ``bubblewrap``, and what other distributions bring by an entry point.

Entry points are looked at only where a name is asked for that is none of our own, or all are to be listed.
"""

from __future__ import annotations

from .entrypoints import BUILT_IN, find_launcher, list_launchers
from .protocol import Availability, Launcher

__all__ = ["BUILT_IN", "Availability", "Launcher", "find_launcher", "list_launchers"]
