"""One build in a process of its own: build's command line with its hooks in sandboxes, and the answer to the batch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..errors import IsolatedHooksError
from ..frontends import build
from ..frontends.pip.records import public_name
from ..frontends.supplies import NeedsError, Supplies
from ..frontends.tether import tie
from ..policy import Policy
from ..report import HookReport

__all__ = ["main"]

_PROG = "isolated-hooks build"


def main(order: Mapping[str, Any]) -> int:
    """Build one package as :mod:`.package` has ordered, write the answer, and return an exit code."""
    tie(order["parent"])
    reports: list[HookReport] = []
    code, error, kind = 1, "", ""
    needs: tuple[str, ...] = ()
    supplies = Supplies.load(order["supplies"])
    try:
        if order["sdist"]:
            build.check_takes_sdists()
        code, _ = build.run(
            order["arguments"],
            Policy(**order["policy"]),
            prog=_PROG,
            detailed=reports,
            trees=order["trees"],
            supplies=supplies,
        )
    except NeedsError as problem:
        needs = problem.needs
    except KeyboardInterrupt:
        code = 130
    except IsolatedHooksError as problem:
        error, kind = str(problem), public_name(type(problem))
    except OSError as problem:
        error = f"{problem.filename or 'a temporary file'}: {problem.strerror or problem}"
    answer = {"code": code, "error": error, "kind": kind, "hooks": [r.to_dict() for r in reports]}
    _answer(order["answer"], {**answer, "needs": needs, "asked": [*supplies.asked]})
    return code


def _answer(path: str, answer: Mapping[str, Any]) -> None:
    """Write the answer as a whole or not at all."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.rename(f"{path}.new", path)
