"""Download sdists by pip's own finder and session, so by its index, mirrors, certificates and proxies.

``pip download`` is no use for this: it runs the backend of each sdist to learn its metadata. This is run as a program
of its own, because importing pip changes the process it is imported into::

    python fetch_sdists.py DIRECTORY NAME==VERSION ...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pip._internal.commands import create_command
from pip._vendor.packaging.requirements import Requirement


def fetch(requirements: list[str], directory: Path) -> None:
    """Write the sdist of each requirement into ``directory``, under the name that the index gives it."""
    command: Any = create_command("download")
    with command.main_context():
        options, _ = command.parse_args(["--no-binary", ":all:", "--retries", "1"])
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        for requirement in map(Requirement, requirements):
            best = finder.find_best_candidate(requirement.name, requirement.specifier).best_candidate
            if best is None:
                raise SystemExit(f"no index that pip knows has, or can be asked for, an sdist of {requirement}")
            # As pip asks: with a content encoding some servers would unpack the archive on the way.
            response = session.get(best.link.url_without_fragment, headers={"Accept-Encoding": "identity"})
            response.raise_for_status()
            (directory / best.link.filename).write_bytes(response.content)


if __name__ == "__main__":
    fetch(sys.argv[2:], Path(sys.argv[1]))
