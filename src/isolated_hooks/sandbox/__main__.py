"""Entry of the child: ``python -I -S .../sandbox/__main__.py MODULE ARGUMENTS...``.

What runs is ``main`` of that module of this package: ``launch`` or the one of another launcher, with a workspace and a
command; ``probe``, which prints what the host offers; ``identity``, which ends what runs under a throw-away uid.

A script is compiled anew at every start, a module is not: so this file only finds the package and hands over. It is
imported under the name ``sandbox``, which spares the child the imports of ``isolated_hooks`` itself.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/")[0].rpartition("/")[0])
    __import__("sandbox.inherited").inherited.settle()
    name, arguments = sys.argv[1], sys.argv[2:]
    main = getattr(__import__(f"sandbox.{name}"), name).main
    del sys.path[0]
    sys.exit(main(arguments))
