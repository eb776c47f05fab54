"""The start and the end of every child: it runs ``main`` of one module of this package."""

import os
import sys

from . import inherited


def run(arguments: "list[str]") -> None:
    """Run ``MODULE ARGUMENTS...``, and end with the code that ``main`` of that module returns."""
    inherited.settle()
    module = getattr(__import__(f"sandbox.{arguments[0]}"), arguments[0])
    code = module.main(arguments[1:])
    if sys.stdout is not None:  # the frontend may have none
        sys.stdout.flush()
    # Python's own end takes apart every module, for milliseconds in which the frontend waits.
    os._exit(code)
