"""Many packages: each is built by a process of its own, in sandboxes of its own, and has a result of its own."""

from __future__ import annotations

from .batch import build_many
from .outcomes import BuildResult, BuiltFile, Outcome, UsedWheel
from .requests import BuildRequest

__all__ = ["BuildRequest", "BuildResult", "BuiltFile", "Outcome", "UsedWheel", "build_many"]
