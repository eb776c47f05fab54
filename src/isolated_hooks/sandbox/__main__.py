"""Entry of the child: ``python -I -S .../sandbox/__main__.py [--bubblewrap PROGRAM] WORKSPACE -- COMMAND...``.

Or ``--facts``; or ``--end UID``; or, in what bubblewrap made, ``--inside DESCRIPTOR``.

A script is compiled anew at every start, a module is not: so this file only finds the package and hands over. It is
imported under the name ``sandbox``, which spares the child the imports of ``isolated_hooks`` itself.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/")[0].rpartition("/")[0])
    __import__("sandbox.inherited").inherited.settle()
    if sys.argv[1:] == ["--facts"]:
        sys.exit(__import__("sandbox.probe").probe.print_facts())
    if sys.argv[1] == "--end":
        sys.exit(__import__("sandbox.identity").identity.end_all(int(sys.argv[2])))
    if sys.argv[1] == "--inside":
        main = __import__("sandbox.bubblewrap").bubblewrap.inside
        arguments = sys.argv[2:]
    else:
        main = __import__("sandbox.launch").launch.main
        arguments = sys.argv[1:]
    del sys.path[0]
    sys.exit(main(arguments))
