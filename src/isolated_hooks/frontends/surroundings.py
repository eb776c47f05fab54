"""The environment of every program that we start outside the sandbox, and of our own process.

A search path that leads into a tree that hooks write to would let a hook choose what the next pip, uv or git runs,
loads or reads. So each list of directories loses such entries, and those that depend on the current directory. Files
that the operator named in the tree stay usable: the programs get copies, made before the first hook.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Collection, Mapping

from ..errors import PolicyError, UntrustedResultError
from ..files.spelling import absolute
from ..files.steered import Trees, record_trees
from ..launchers.linker_variables import trusted_libraries
from ..plan.environtables import ALWAYS_KEEP, BUILD_VARIABLES, NETWORK_VARIABLES
from ..policy import Policy
from ..run.workspace import workspace_parent
from ..sandbox.environ import matches
from ..text import visible
from .copies import Copies
from .imports import Imports
from .restore import Restoring

__all__ = ["Guarded", "check_packages", "outside_environ"]

#: Lists of directories, separated by colons. An empty entry often means the current directory.
_SEARCHED = frozenset(("PATH", "PYTHONPATH", "XDG_CONFIG_DIRS", "XDG_DATA_DIRS"))
#: Paths that a program may find from the current directory.
_PATHS = frozenset(
    """
    PYTHONHOME PYTHONUSERBASE PYTHONSTARTUP PYTHONPYCACHEPREFIX TMPDIR TEMP TMP
    PIP_CONFIG_FILE PIP_CERT PIP_CLIENT_CERT PIP_CACHE_DIR UV_CONFIG_FILE UV_CACHE_DIR NETRC
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME
    GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR GIT_OBJECT_DIRECTORY GIT_INDEX_FILE GIT_EXEC_PATH GIT_TEMPLATE_DIR
    GIT_CONFIG GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM HGRCPATH
    OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES LOCALE_ARCHIVE
    """.split()
)
#: Programs: a name without a slash is looked up in PATH.
_PROGRAMS = frozenset(
    "GIT_ASKPASS GIT_PROXY_COMMAND GIT_SSH PIP_PYTHON PYTHONEXECUTABLE SSH_ASKPASS UV UV_PYTHON".split()
)
#: Lists of files, separated by white space, which pip and uv read again in each of their processes.
_REQUIREMENTS = frozenset(
    "PIP_CONSTRAINT PIP_BUILD_CONSTRAINT PIP_REQUIREMENT UV_CONSTRAINT UV_BUILD_CONSTRAINT UV_OVERRIDE".split()
)
#: Lists of the user's directories of wheels, separated by white space.
_LINKS = frozenset(("PIP_FIND_LINKS", "UV_FIND_LINKS"))
#: The user's indexes and directories of results: data, which no program runs.
_DATA = frozenset(
    """
    PWD OLDPWD VIRTUAL_ENV CONDA_PREFIX PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TARGET PIP_PREFIX
    PIP_ROOT PIP_SRC PIP_DEST PIP_WHEEL_DIR PIP_REPORT PIP_LOG PIP_EDITABLE UV_INDEX UV_INDEX_URL
    UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL
    """.split()
)
_WORDS = re.compile(r"[\s:;,=]+")
# No policy keeps these as they are: programs outside the sandbox find code by them.
_ALWAYS = _PROGRAMS.union(
    ("PATH", "XDG_CONFIG_DIRS", "TMPDIR", "TEMP", "TMP"),
    (name for name in _PATHS if name.startswith(("GIT_", "OPENSSL_", "PIP_", "PYTHON", "UV_"))),
)
_HOOKS_OWN = frozenset((*ALWAYS_KEEP, *BUILD_VARIABLES)) - {"LOCALE_ARCHIVE"}


def outside_environ(
    environ: Mapping[str, str], copies: Copies, *, without: Collection[str] = _HOOKS_OWN
) -> dict[str, str]:
    """Return the environment for a program that we start outside the sandbox.

    A path in a tree that hooks write to is left out. If it is that of a regular file, a copy takes its place.

    :param copies: makes the copies, and knows the trees
    :param without: names and prefixes of variables that stay as they are; by default those that only builds read
    :raises UntrustedResultError: the file cannot be copied
    """
    if not copies.trees.written:
        return dict(environ)
    kept = [os.fsencode(name) for name in without]
    libraries = trusted_libraries(environ, copies.trees)
    changed: dict[str, str] = {}
    for name, value in {**environ, **libraries}.items():
        stays = name in _DATA or (name not in _ALWAYS and matches(os.fsencode(name), kept))
        fitted = value if stays else _fitted(name, value, copies)
        if fitted or not value:
            changed[name] = fitted
    changed.setdefault("PATH", os.defpath)
    if "TMPDIR" not in changed and ("TMPDIR" in environ or copies.trees.steer("/tmp")):
        changed["TMPDIR"] = workspace_parent(copies.trees.written)
    return changed


def _fitted(name: str, value: str, copies: Copies) -> str:
    """Return the new value of a variable, or an empty text if none is left."""
    trees = copies.trees
    if name in _SEARCHED:
        return ":".join(entry for entry in value.split(":") if os.path.isabs(entry) and not trees.steer(entry))
    if name in _REQUIREMENTS:
        return " ".join(_copied(name, word, copies, lists=True) for word in value.split())
    if name in _LINKS:
        return " ".join(absolute(word) if os.path.exists(word) else word for word in value.split())
    if (name in _PATHS and value[:1] not in ("", "~")) or (name in _PROGRAMS and "/" in value):
        value = absolute(value)
    if not value.startswith("/"):
        steered = any(word.startswith("/") and trees.steer(word) for word in _WORDS.split(value))
        return "" if steered else value
    if not trees.steer(value):
        entries = value.split(":")
        return ":".join(entry for entry in entries if not (entry.startswith("/") and trees.steer(entry)))
    if name == "HOME":
        return "/nonexistent"
    is_data = os.path.isfile(value) and name not in _PROGRAMS and not name.startswith("PYTHON")
    return _copied(name, value, copies, lists=False) if is_data else ""


def _copied(name: str, path: str, copies: Copies, *, lists: bool) -> str:
    if "://" in path:
        return path
    if not copies.trees.steer(absolute(path)):
        return absolute(path)  # the program may start in another directory
    try:
        return (copies.requirements if lists else copies.plain)(absolute(path))
    except OSError as error:
        raise UntrustedResultError(
            f"{name} names a file in the source tree that cannot be read ({error.strerror})", visible(path, limit=300)
        ) from error


class Guarded(Restoring):
    """A context in which this process searches nothing that a hook may write to.

    Later the process imports modules, looks programs up, starts them with its own environment, and makes temporary
    files. It belongs to a command line: it changes ``os.environ``, ``sys.path``, ``sys.meta_path`` and ``tempfile``.

    :param policy: names variables that hooks need as they are
    :ivar copies: the copies of files in the trees, each made before a hook could run in its tree
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        network = NETWORK_VARIABLES if policy.network else ()
        self._without = (*_HOOKS_OWN, *network, *policy.env_keep)
        self._imports = Imports()
        self.copies = Copies(Trees(()))

    def __enter__(self) -> Guarded:
        super().__enter__()
        self.enter_context(self.copies)
        self.enter_context(self._imports)
        return self

    def add(self, *paths: str) -> None:
        """Guard the process against hooks that write to some more trees. Call it before the first hook runs in them.

        :raises PolicyError: a file in a tree that a variable names cannot be copied
        :raises SandboxSetupError: there is no directory for temporary files outside the trees
        """
        record_trees(paths)
        self.copies.trees = trees = Trees(paths)
        try:
            environ = outside_environ(os.environ, self.copies, without=self._without)
        except UntrustedResultError as problem:
            raise PolicyError(f"{problem.text}: {problem.rule}") from problem
        for name, value in [*os.environ.items()]:
            if name not in environ:
                self.item(os.environ, name, "")
                del os.environ[name]
            elif environ[name] != value:
                self.item(os.environ, name, environ[name])
        if trees.steer(absolute(tempfile.gettempdir())):
            self.attribute(tempfile, "tempdir", workspace_parent(trees.written))
        self._imports.drop(trees)


def check_packages(trees: Trees, names: Collection[str]) -> None:
    """Refuse to go on if a hook could change a package that this process runs, or has run in a sandbox.

    :raises PolicyError: one of the packages lies in one of the trees
    """
    for name in names:
        origin = _origin(name)
        if origin is not None and trees.steer(absolute(origin)):
            raise PolicyError(
                f"{visible(origin)!r}, which runs outside of the sandbox, lies in a source tree, where a hook could "
                "change it. Remedy: install it, or move it out of the source tree"
            )


def _origin(name: str) -> str | None:
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    spec = importlib.util.find_spec(name)
    return None if spec is None else spec.origin
