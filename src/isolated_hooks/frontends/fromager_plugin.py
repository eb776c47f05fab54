"""The public import path of the adapter to fromager's plug-in interface."""

from __future__ import annotations

from .fromager.plugin import *  # noqa: F403
from .fromager.plugin import __all__ as __all__
