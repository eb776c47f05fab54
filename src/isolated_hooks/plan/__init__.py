"""What a call shows to a hook, keeps from it, and runs it as, decided beforehand. Nothing here makes a system call."""

from __future__ import annotations

from .identities import Identity
from .plan import Layout, Plan, Situation, Stage

__all__ = ["Identity", "Layout", "Plan", "Situation", "Stage"]
