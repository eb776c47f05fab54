"""pip's virtual environments for build requirements, ``--use-feature venv-isolation`` of pip 26.2 and later.

pip runs a further pip with the interpreter of such an environment, which runs the ``.pth`` files of the requirements
that are there already, and may itself be a file from a wheel. Here the frontend's own interpreter installs into the
environment, as pip does without that option, and only hooks run the environment's interpreter, in their sandbox.
"""

from __future__ import annotations

import copy
import functools
import os
import sysconfig
from collections.abc import Callable, Iterable
from typing import Any

from ...files.trees import remove_path
from ...text import visible
from .runner import installation_error

__all__ = ["by_this_interpreter"]


def by_this_interpreter(install: Callable[..., None]) -> Callable[..., None]:
    """Wrap the method of pip that installs build requirements, so that it runs only the frontend's own interpreter."""
    installed: dict[str, tuple[str, ...]] = {}

    @functools.wraps(install)
    def wrapper(self: Any, requirements: Iterable[str], prefix: Any, **kwargs: Any) -> None:
        if not getattr(prefix, "venv_executable", None):
            install(self, requirements, prefix, **kwargs)
            return
        _check_directories(prefix)
        earlier = installed.get(prefix.path, ())
        both = tuple(dict.fromkeys((*earlier, *requirements)))
        if earlier:
            # pip would look with the environment's interpreter what is installed. So we install what the hooks ask for
            # together with the requirements of pyproject.toml, anew: two versions of one package must not mix.
            for directory in prefix.lib_dirs:
                _empty(directory)
        plain = copy.copy(prefix)
        plain.venv_executable = None
        install(self, both, plain, **kwargs)
        installed[prefix.path] = both

    return wrapper


def _check_directories(prefix: Any) -> None:
    """Refuse a prefix whose interpreter does not search the directories that ``--prefix`` installs to."""
    scheme = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    variables = {"base": prefix.path, "platbase": prefix.path}
    searched = {os.path.realpath(sysconfig.get_path(name, scheme, variables)) for name in ("purelib", "platlib")}
    others = [path for path in prefix.lib_dirs if os.path.realpath(path) not in searched]
    if others:
        raise installation_error(
            f"with --use-feature venv-isolation, this Python installs build requirements to {visible(others[0])!r}, "
            "which the interpreter of the build environment does not search. Remedy: run isolated-hooks from a virtual "
            "environment, or drop that option"
        )


def _empty(directory: str) -> None:
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        remove_path(os.path.join(directory, name))
