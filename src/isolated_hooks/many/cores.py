"""The share of one build in the processor cores, in the variables that build tools read."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["core_variables", "cores_here", "share"]

_FORMS = {"MAX_JOBS": "{}", "MAKEFLAGS": "-j{}", "CMAKE_BUILD_PARALLEL_LEVEL": "{}", "CARGO_BUILD_JOBS": "{}"}


def cores_here() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def share(cores: int, builds: int) -> int:
    """Return the number of cores for each of some builds that run at the same time, at least one."""
    return max(1, cores // max(1, builds))


def core_variables(cores: int | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give a build so many cores, without those that the environment has.

    :param cores: the number; with ``None`` there are no such variables
    """
    if cores is None:
        return {}
    return {name: form.format(cores) for name, form in _FORMS.items() if name not in environ}
