"""Check the pages: valid reStructuredText, as code hosts show it, and every link between them leads somewhere.

    python tests/support/pages.py

Prints one line for each mistake, and exits with 1 if there is any. Needs docutils.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree
from docutils.utils import Reporter

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.rst"), *(ROOT / "docs").rglob("*.rst")])
_QUIET = {"report_level": Reporter.SEVERE_LEVEL + 1, "halt_level": Reporter.SEVERE_LEVEL + 1}


def main() -> int:
    """Check all pages."""
    parsed = {page: _parsed(page) for page in PAGES}
    anchors = {page: {name for node in tree.findall() for name in _ids(node)} for page, tree in parsed.items()}
    wrong = [line for page in PAGES for line in (*_mistakes(page, parsed[page]), *_dead(page, parsed[page], anchors))]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(PAGES)} pages, {len(wrong)} mistakes", file=sys.stderr)
    return 1 if wrong else 0


def _parsed(page: Path) -> nodes.document:
    return publish_doctree(page.read_text(encoding="utf-8"), source_path=str(page), settings_overrides=_QUIET)


def _ids(node: nodes.Node) -> list[str]:
    return list(node["ids"]) if isinstance(node, nodes.Element) else []


def _mistakes(page: Path, tree: nodes.document) -> Iterator[str]:
    for message in [*tree.parse_messages, *tree.transform_messages]:
        if message["level"] >= Reporter.WARNING_LEVEL:
            yield f"{page.relative_to(ROOT)}:{message.get('line', '?')}: {message.astext().splitlines()[0]}"


def _dead(page: Path, tree: nodes.document, anchors: dict[Path, set[str]]) -> Iterator[str]:
    """Yield the links of a page that lead to no file, or to no section of a page."""
    for node in tree.findall(nodes.reference):
        uri = node.get("refuri", "")
        if not uri or ":" in uri.partition("/")[0]:
            continue  # docutils has checked links within a page; links to other hosts are not checked
        path, _, anchor = uri.partition("#")
        target = (page.parent / path).resolve()
        if not target.exists() or (anchor and anchor not in anchors.get(target, ())):
            yield f"{page.relative_to(ROOT)}: {uri} leads nowhere"


if __name__ == "__main__":
    sys.exit(main())
