"""Launchers set a sandbox up: ``native``, ``bubblewrap``, and those that other distributions register as entry points.

This package reads entry points only to find a launcher that is not built in, or to list all launchers.
"""

from __future__ import annotations

from .entrypoints import BUILT_IN, find_launcher, list_launchers
from .protocol import Availability, Launcher

__all__ = ["BUILT_IN", "Availability", "Launcher", "find_launcher", "list_launchers"]
