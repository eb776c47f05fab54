"""Stands in for ``hatch`` in fromager's end-to-end scripts: a new environment for each script, with what they need.

fromager's scripts make an environment with ``hatch env create``, install into it, and run in it. hatch would install
fromager from its source tree and nothing of ours. The lane sets ``FROMAGER_ENVIRONMENT``, the directory of the
environment, and ``FROMAGER_WHEELS``, what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Do what one command of the scripts does."""
    environment = os.environ["FROMAGER_ENVIRONMENT"]
    if arguments == ["env", "remove", "e2e"]:
        shutil.rmtree(environment, ignore_errors=True)
    elif arguments == ["env", "create", "e2e"]:
        uv = os.environ["FROMAGER_UV"]
        python = f"{environment}/bin/python"
        subprocess.run(
            [uv, "venv", "--quiet", "--seed", "--clear", "--python", sys.executable, environment], check=True
        )
        wheels = os.environ["FROMAGER_WHEELS"].split(os.pathsep)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wheels], check=True)
    elif arguments == ["env", "find", "e2e"]:
        print(environment)
    else:
        print(f"hatch {' '.join(arguments)}: no command of fromager's scripts", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
