"""The report of a build: the schema of ``python -m build --report``, and under a key of ours what each hook did.

``docs/report.schema.json`` describes it. Names that a hook chose are escaped and bounded.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ...files.changes import MAX_NAMES, TreeChanges
from ...files.spelling import absolute
from ...observe.hints import Hint
from ...policy import Policy
from ...report import HookReport
from ...results.exported import exported_in
from ...text import visible

__all__ = ["ARTEFACTS", "SCHEMA", "document", "hook_document", "output_directory"]

#: The version of what is under our key: a change that breaks readers changes the first number.
SCHEMA = "1.2"
#: The version of build's own schema.
_BUILD_SCHEMA = "1.0"
_MAX_TEXT = 2000
#: The kind of what a hook builds.
ARTEFACTS = {"build_sdist": "sdist", "build_wheel": "wheel"}


def document(
    reports: Sequence[HookReport], *, options: argparse.Namespace, policy: Policy, version: str, error: str
) -> dict[str, Any]:
    """Return the report of a build as JSON values.

    :param options: as build's own parser returns them
    :param version: of this package
    :param error: why the build failed, or an empty text
    """
    return {
        "version": _BUILD_SCHEMA,
        "artifacts": [] if error else _artefacts(reports, output_directory(options)),
        "isolated_hooks": {
            "schema": SCHEMA,
            "version": version,
            "outcome": "failed" if error else "succeeded",
            "error": _text(error),
            "source": policy.source,
            "network": policy.network if isinstance(policy.network, bool) else list(policy.network),
            "hooks": [hook_document(report) for report in reports],
        },
    }


def output_directory(options: argparse.Namespace) -> str:
    """Return where build puts what it builds, spelled as in build's own report."""
    if options.outdir is not None:
        return str(options.outdir)
    if os.path.isfile(options.srcdir):
        return os.path.dirname(absolute(str(options.srcdir)))
    return os.path.join(str(options.srcdir), "dist")


def _artefacts(reports: Sequence[HookReport], directory: str) -> list[dict[str, Any]]:
    """Return the artefacts of this build that are in the output directory: hooks of requirements have others."""
    real = os.path.realpath(directory)
    names = {os.path.basename(path) for path in exported_in((real,)) if os.path.dirname(path) == real}
    artefacts = {
        artefact.name: (artefact, ARTEFACTS[report.hook])
        for report in reports
        if report.hook in ARTEFACTS
        for artefact in report.artefacts
    }
    return [
        {
            "name": name,
            "path": os.path.join(directory, name),
            "kind": kind,
            "size": artefact.size,
            "hashes": {"sha256": artefact.sha256},
        }
        for name, (artefact, kind) in artefacts.items()
        if name in names
    ]


def hook_document(report: HookReport) -> dict[str, Any]:
    """Return what the report says of one hook, as JSON values."""
    details = report.details
    return {
        "hook": _text(report.hook),
        "source_dir": _text(report.source_dir),
        "launcher": _text(report.launcher),
        "warm": report.warm,
        "returncode": report.returncode,
        "error": _text(report.error),
        "seconds": round(report.seconds, 3),
        "protections": report.to_dict()["protections"],
        "variables_dropped": [_text(name) for name in report.dropped],
        "source_tree": None if details is None else _tree(details.tree),
        "home_left": None if details is None or details.home is None else list(details.home),
        "limits_met": [] if details is None else list(details.limits),
        "usage": None if details is None or details.usage is None else dataclasses.asdict(details.usage),
        "artifacts": [
            {"name": a.name, "size": a.size, "hashes": {"sha256": a.sha256}} for a in report.artefacts[:MAX_NAMES]
        ],
        "repositories_set_aside": [_text(path) for path in report.set_aside[:MAX_NAMES]],
        "notes": [_text(note) for note in report.notes[:MAX_NAMES]],
        "denied": [_denied(hint) for hint in (report.denied or report.hints)[:MAX_NAMES]],
        "connections": [{**c, "host": _text(c["host"])} for c in map(dataclasses.asdict, report.connections)],
    }


def _denied(hint: Hint) -> dict[str, Any]:
    texts = {"cause": hint.cause, "text": hint.sentence, "option": hint.option, "policy": hint.key}
    return {**{name: _text(text) for name, text in texts.items()}, "program": _text(hint.program), "count": hint.count}


def _tree(tree: TreeChanges | None) -> Mapping[str, Any] | None:
    if tree is None:
        return None
    kinds = ("new", "changed", "removed")
    changes: dict[str, Any] = {kind: list(getattr(tree, kind)) for kind in kinds}
    return {**changes, "counts": dict(zip(kinds, tree.counts, strict=True)), "cut": tree.cut}


def _text(text: str) -> str:
    return visible(text, limit=_MAX_TEXT)
