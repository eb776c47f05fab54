"""The plan of a call: what the hook sees, what stays hidden, and its user. Nothing here makes a system call."""

from __future__ import annotations

from .identities import Identity
from .plan import Discarded, Layout, Plan, Situation, Stage

__all__ = ["Discarded", "Identity", "Layout", "Plan", "Situation", "Stage"]
