"""The public import path of :class:`SandboxedEnv`, for frontends that are built on pypa/build."""

from __future__ import annotations

from .build.environment import SandboxedEnv

__all__ = ["SandboxedEnv"]
