"""The file that a Python interpreter is given to run pip with its hooks in a sandbox, in the place of pip's own.

Like pip's own it may be run by another interpreter than the one that has pip, and this package, installed: ``pip
--python`` does that. So what it needs is found where :data:`STATE` says, and nothing else of those directories is. The
syntax is one that old interpreters understand, down to the check of the version.
"""

import importlib
import importlib.machinery
import json
import os
import sys

__all__ = ["OPTION", "STATE", "find_packages"]

#: The variable that holds, in JSON, the state that a pip shares with all pips that it starts. No hook sees a variable
#: whose name begins so, see ``plan/environtables.py``.
STATE = "_ISOLATED_HOOKS_PIP"
#: The first argument, where that is not inherited.
OPTION = "--isolated-hooks-state="


def find_packages(roots: "dict[str, str]") -> None:
    """Have packages imported from fixed places.

    :param roots: for the name of a package the directory, or the archive, that it lies in
    """

    class Finder:
        @classmethod
        def find_spec(cls, name: str, *_: object) -> "importlib.machinery.ModuleSpec | None":
            if name not in roots:
                return None
            return importlib.machinery.PathFinder.find_spec(name, [roots[name]])

    sys.meta_path.insert(0, Finder)


def _main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036  # whoever says --python may name an old one
        return _refuse("it is older than Python 3.10")
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and sys.path[0] == here:
        del sys.path[0]  # no module of this directory is one that pip wants
    if len(sys.argv) > 1 and sys.argv[1].startswith(OPTION):
        os.environ[STATE] = sys.argv.pop(1)[len(OPTION) :]
    if STATE not in os.environ:
        return _refuse("this file is a part of isolated-hooks: run 'isolated-hooks pip'")
    state = json.loads(os.environ[STATE])
    find_packages(state["packages"])
    try:
        # Not by a relative import: this file is run by its path.
        session = importlib.import_module("isolated_hooks.frontends.pip.session")
        errors = importlib.import_module("isolated_hooks.errors")
    except ImportError as error:
        return _refuse(str(error))
    try:
        return int(session.main(sys.argv[1:], state))
    except errors.IsolatedHooksError as error:
        return _refuse(str(error))


def _refuse(reason: str) -> int:
    sys.stderr.write("ERROR: isolated-hooks cannot run pip by {}: {}\n".format(sys.executable, reason))  # noqa: UP032
    return 2


if __name__ == "__main__":
    sys.exit(_main())
