"""Entry point of the child: ``python -I -S .../sandbox/__main__.py MODULE ARGUMENTS...``.

It runs ``main`` of that module of this package: ``launch`` or the module of another launcher, with a workspace and a
command; ``probe``, which prints the host's features; or ``identity``, which ends all processes of a throw-away uid.
The native launcher starts :mod:`.packed` instead, which is faster.

Python compiles a script again at every start, but not a module. So this file only finds the package and hands over. It
imports the package under the name ``sandbox``, which saves the child the imports of ``isolated_hooks`` itself.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/")[0].rpartition("/")[0])
    __import__("sandbox.start").start.run(sys.argv[1:])
