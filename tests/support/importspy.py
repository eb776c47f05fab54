"""Runs code in another process, and returns what that process imported from the start of its first hook on.

An import counts if our code caused it, perhaps through the standard library or a library of ours: a frontend's own late
imports are the business of :mod:`isolated_hooks.frontends.imports`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.projects import clean_environ

__all__ = ["late_imports"]

_SPY = """
import os, sys, sysconfig

class Spy:
    def __init__(self):
        self.patched, self.started, self.found = False, False, []
        self.standard = (sysconfig.get_path("stdlib"), "<frozen ", "<string>", "<attrs")
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        self.patch()
        if event == "import" and self.started:
            self.found.append((arguments[0], self.cause()))

    def patch(self):
        # What starts a hook or a command, in whatever way; a trial of the host is started elsewhere.
        kind = getattr(sys.modules.get("isolated_hooks.run.run"), "Run", None)
        if kind is None or self.patched:
            return
        self.patched, original = True, kind._start
        def start(*arguments):
            self.started = True
            return original(*arguments)
        kind._start = start

    def cause(self):
        frame = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            ours = "/packaging/", "/pyproject_hooks/", "/installer/"
            library = "/site-packages/" in name and any(part in name for part in ours) and "/_vendor/" not in name
            if not library and ("/site-packages/" in name or not name.startswith(self.standard)):
                return name
            frame = frame.f_back
        return "?"

    def print(self):
        print("STARTED", self.started)
        for name, cause in self.found:
            if "/isolated_hooks/" in cause:
                print("LATE", name, cause)

def main(*arguments):
    from isolated_hooks.cli import main
    print("CODE", main(arguments), flush=True)

spy = Spy()
"""


def late_imports(code: str, cwd: Path, *arguments: str, **variables: str) -> tuple[list[str], str]:
    """Return the imports, and all output.

    :param code: the code; ``main`` in it is the command line
    """
    text = f"{_SPY}\n{code}\nsys.stdout.flush(); spy.print()\n"
    environ: Mapping[str, str] = {**clean_environ(), **variables}
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments],
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "STARTED True" in done.stdout, done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith("LATE ")], done.stdout
