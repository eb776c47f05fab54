"""The table of hosts and protections in docs/hosts.rst.

``python tests/support/containers/table.py`` runs everything and prints the table. ``--write`` writes it into the file.
"""

from __future__ import annotations

import platform
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # the directory of the package support
    sys.path.insert(0, str(Path(__file__).parents[2]))

from support.containers.engines import DOCKER, PODMAN, call
from support.containers.environments import ENVIRONMENTS
from support.containers.lab import PROJECT, Lab, cannot_be_set_up
from support.containers.places import Places

__all__ = ["committed", "render", "stable", "versions", "write"]

PAGE = PROJECT / "docs" / "hosts.rst"
_BEGIN = ".. The table, from here on, is written by: python tests/support/containers/table.py --write\n"
_END = ".. Here ends what is written by it.\n"
_TRIED = "Tried on"
_WIDTH = 118
_SHOWN = {"active": "yes", "degraded": "less", "disabled": "no", "unavailable": "no"}
_IF_ALLOWED = "if allowed"


def versions() -> str:
    """Return the line that names the versions of the kernel and the engines."""
    podman = call([PODMAN, "--version"]).split()[-1]
    docker = call([DOCKER, "--version"]).split()[2].rstrip(",")
    return f"{_TRIED} Linux {platform.release()}, with podman {podman} and docker {docker}."


def render(found: Mapping[str, Mapping[str, Any]], tried: str) -> str:
    """Return the table and its explanations, as reStructuredText.

    :param found: the findings, by the names of the environments
    :param tried: the line with the versions
    """
    documents = {e.name: found[e.name]["doctor"]["document"] for e in ENVIRONMENTS}
    return "\n".join((tried, "", *_states(documents), "", *_hosts(), "", *_weaker(documents)))


def _states(documents: Mapping[str, Any]) -> Iterator[str]:
    names = list(next(iter(documents.values()))["protections"])
    states = {host: {n: s["state"] for n, s in d["protections"].items()} for host, d in documents.items()}
    everywhere = [name for name in names if all(states[host][name] == "active" for host in documents)]
    others = [name for name in names if name not in everywhere]
    yield from textwrap.wrap(f"Active on every one of these hosts: {', '.join(everywhere)}. The others:", _WIDTH)
    yield ""
    rows = [["host", "hooks run", *others]]
    for host, document in documents.items():
        runs = "yes" if document["runs"] else _IF_ALLOWED
        rows.append([host, runs, *(_SHOWN[states[host][name]] for name in others)])
    yield from _grid(rows)


def _grid(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = "  ".join("=" * width for width in widths)
    first, *rest = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    yield from (rule, first, rule, *rest, rule)


def _hosts() -> Iterator[str]:
    yield "The hosts are:"
    yield ""
    profiles = {"podman-seccomp": "/usr/share/containers/seccomp.json", "crio-seccomp": "..."}
    for environment in ENVIRONMENTS:
        yield from _item(f"``{environment.name}``: {environment.shown.format_map(profiles)}")


def _weaker(documents: Mapping[str, Any]) -> Iterator[str]:
    """Yield the weaker protections with their hosts, and the remedies, in the doctor's own words."""
    reasons: dict[tuple[str, str], list[str]] = {}
    remedies: dict[str, dict[str, list[str]]] = {}
    for host, document in documents.items():
        for name, status in document["protections"].items():
            if status["state"] != "active":
                reasons.setdefault((name, status["reason"]), []).append(host)
                remedies.setdefault(status["remedy"], {}).setdefault(name, []).append(host)
    yield "What is less than it could be, in the words of the doctor:"
    yield ""
    for (name, reason), hosts in sorted(reasons.items()):
        yield from _item(f"*{name}* ({', '.join(hosts)}): {reason}")
    yield ""
    yield "And what helps:"
    yield ""
    for remedy, helped in sorted(remedies.items()):
        hosts = dict.fromkeys(host for names in helped.values() for host in names)
        yield from _item(f"for *{', '.join(helped)}* ({', '.join(hosts)}): {remedy}")


def _item(text: str) -> Iterator[str]:
    lines = textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False, break_long_words=False)
    yield f"- {lines[0]}"
    yield from (f"  {line}" for line in lines[1:])


def committed() -> str:
    """Return the table that is in the page now."""
    return PAGE.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0].strip("\n")


def stable(text: str) -> str:
    """Return a table without the line that differs between machines."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(_TRIED))


def write(text: str) -> None:
    """Replace the table in the page."""
    before, _, remainder = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    after = remainder.partition(_END)[2]
    PAGE.write_text(f"{before}{_BEGIN}\n{text}\n\n{_END}{after}", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run the command line of the module."""
    if problem := cannot_be_set_up():
        print(problem, file=sys.stderr)
        return 2
    with Lab() as lab:
        text = render(Places(lab).all_found(), versions())
    print(text)
    if "--write" in arguments:
        write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
