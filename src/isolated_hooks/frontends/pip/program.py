"""The script that runs pip with its hooks in a sandbox. It takes the place of pip's own ``__pip-runner__.py``.

Like that script, it may run under an interpreter that has neither pip nor this package installed: ``pip --python`` does
that. So it imports the packages that it needs from the directories in :data:`STATE`, and nothing else from those
directories. Old interpreters can parse this file, so they get as far as the check of the version.
"""

import importlib
import importlib.machinery
import json
import os
import sys

if False:
    from typing import Any

__all__ = ["OPTION", "STATE", "find_packages", "find_paths"]

#: The variable that holds, in JSON, the state that a pip shares with all pips that it starts. No hook sees a variable
#: whose name begins with ``_ISOLATED_HOOKS``, see ``plan/environtables.py``.
STATE = "_ISOLATED_HOOKS_PIP"
#: The first argument begins with this option, followed by the state, if the process does not inherit the variable.
OPTION = "--isolated-hooks-state="


def find_packages(roots: "dict[str, str]") -> None:
    """Make Python import some packages from fixed places.

    :param roots: the directory or archive that contains each package, by the name of the package
    """

    class Finder:
        @classmethod
        def find_spec(cls, name: str, *_: object) -> "importlib.machinery.ModuleSpec | None":
            if name not in roots:
                return None
            return importlib.machinery.PathFinder.find_spec(name, [roots[name]])

    sys.meta_path.insert(0, Finder)


def find_paths(state: "dict[str, Any]") -> None:
    """Search what the pip that started this one searched, except for trees that hooks write to.

    This interpreter ignores ``PYTHONPATH`` and, under ``-S``, knows neither its site-packages nor its prefix.
    """
    if sys.executable != state.get("executable"):
        return
    sys.path.extend(entry for entry in state["path"] if entry not in sys.path)
    if sys.flags.no_site:
        sys.prefix, sys.exec_prefix = state["prefix"]


def _main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036  # --python may name an old interpreter
        return _refuse("this interpreter is older than Python 3.10")
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and sys.path[0] == here:
        del sys.path[0]  # pip must not import a module from this directory
    if len(sys.argv) > 1 and sys.argv[1].startswith(OPTION):
        os.environ[STATE] = sys.argv.pop(1)[len(OPTION) :]
    if STATE not in os.environ:
        return _refuse("this file is an internal part of isolated-hooks: run 'isolated-hooks pip' instead")
    state = json.loads(os.environ[STATE])
    find_paths(state)
    find_packages(state["packages"])
    try:
        # No relative import, because the interpreter runs this file by its path.
        tether = importlib.import_module("isolated_hooks.frontends.tether")
        session = importlib.import_module("isolated_hooks.frontends.pip.session")
        errors = importlib.import_module("isolated_hooks.errors")
    except ImportError as error:
        return _refuse(str(error))
    if state.get("parent"):
        tether.tie(state["parent"])
    if state.get("cwd"):
        os.chdir(state["cwd"])
    try:
        return int(session.main(sys.argv[1:], state))
    except errors.IsolatedHooksError as error:
        return _refuse(str(error))


def _refuse(reason: str) -> int:
    sys.stderr.write("ERROR: isolated-hooks cannot run pip with {}: {}\n".format(sys.executable, reason))  # noqa: UP032
    return 2


if __name__ == "__main__":
    sys.exit(_main())
