"""Entry point of the child: ``python -I -S .../sandbox/__main__.py MODULE ARGUMENTS...``.

It runs ``main`` of that module of this package: ``launch`` or the module of another launcher, with a workspace and a
command; ``probe``, which prints the host's features; or ``identity``, which ends all processes of a throw-away uid.

Python compiles a script again at every start, but not a module. So this file only finds the package and hands over. It
imports the package under the name ``sandbox``, which saves the child the imports of ``isolated_hooks`` itself.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/")[0].rpartition("/")[0])
    __import__("sandbox.inherited").inherited.settle()
    name, arguments = sys.argv[1], sys.argv[2:]
    main = getattr(__import__(f"sandbox.{name}"), name).main
    del sys.path[0]
    sys.exit(main(arguments))
