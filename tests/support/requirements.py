"""Projects with build requirements, and packages that leave a mark if their code runs outside a sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support.index import Index, write_wheel
from support.projects import write_project

__all__ = ["hostile_wheel", "mark", "write_needy"]

_TELL = """
import importlib.metadata, sys
if __name__ == "backend":
    tell(
        installed={d.metadata["Name"]: d.version for d in importlib.metadata.distributions(path=[sys.path[-1]])},
        marks=getattr(sys, "hostile_marks", 0),
        prefix=sys.prefix,
        scripts=sorted(os.listdir(os.path.join(sys.prefix, "bin"))),
    )
"""


def mark(canary: Path, what: str) -> str:
    """Return one line of code that leaves a mark outside a sandbox, and counts its runs inside one."""
    outside = f"open(os.path.join({str(canary)!r}, {what!r} + str(os.getpid())), 'w').close()"
    inside = "setattr(sys, 'hostile_marks', getattr(sys, 'hostile_marks', 0) + 1)"
    return f"import os, sys; {outside} if os.path.isdir({str(canary)!r}) else {inside}"


def hostile_wheel(index: Index, canary: Path, name: str = "hostile", version: str = "1.0") -> None:
    """Add a wheel to an index. The wheel's .pth file leaves a mark."""
    pth = {f"{name}-{version}.pth": mark(canary, "pth-") + "\n"}
    write_wheel(index.project(name), name, version, files=pth)


def write_needy(directory: Path, requires: Sequence[str], dynamic: Sequence[str] = (), *, extra: str = "") -> Path:
    """Write a project with build requirements, in its pyproject.toml and from its hook.

    When the backend is imported, it records which distributions are installed.
    """
    hook = f"def get_requires_for_build_wheel(config_settings=None): return {[*dynamic]!r}\n"
    project = write_project(directory, extra=f"{_TELL}\n{hook}{extra}")
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace("requires = []", f"requires = {[*requires]!r}"))
    return project
