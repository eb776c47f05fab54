"""Passes the user's settings for ``pip install`` to the ``pip wheel`` that takes its place.

pip reads the table ``[install]`` of its configuration files only for ``pip install``. Environment variables with these
settings apply to every command. https://pip.pypa.io/en/stable/topics/configuration/ lists the files and their order.
"""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["install_settings"]


def install_settings(command: Sequence[str], environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the settings in ``[install]`` as environment variables, except those that the user has set already.

    :param command: the command that runs pip, without pip's arguments
    :param environ: the environment for this command
    """
    if not any(map(_mentions_install, dict.fromkeys(_files(environ)))):
        return {}
    listed = _listed(tuple(command), tuple(sorted(environ.items())))
    return {name: value for name, value in _variables(listed) if name not in environ}


def _variables(listed: str) -> Iterator[tuple[str, str]]:
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        if key.startswith("install."):
            name = key.removeprefix("install.").upper().replace("-", "_")
            yield f"PIP_{name}", str(ast.literal_eval(value))


@functools.lru_cache
def _listed(command: tuple[str, ...], environ: tuple[tuple[str, str], ...]) -> str:
    done = subprocess.run(
        [*command, "config", "list"], env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.stdout if done.returncode == 0 else ""  # pip reports the problem when it fetches


def _files(environ: Mapping[str, str]) -> Iterator[str]:
    if os.devnull == environ.get("PIP_CONFIG_FILE"):
        return
    home = os.path.expanduser("~")
    shared = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    yield from (os.path.join(directory, "pip", "pip.conf") for directory in shared.split(":"))
    yield "/etc/pip.conf"
    yield os.path.join(home, ".pip", "pip.conf")
    yield os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "pip", "pip.conf")
    yield os.path.join(sys.prefix, "pip.conf")
    yield environ.get("PIP_CONFIG_FILE", "")


def _mentions_install(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"[install]" in file.read()
    except OSError:
        return False
