"""An extension of Sphinx for pages that are plain reStructuredText.

- A relative link to a page becomes a link of the site, with its section. One that leads nowhere is a warning.
- A relative link to any other file becomes a download.
- In a page that is an index of others, a line of a list or a table that begins with a link to a page becomes an entry
  in a table of contents, with the words of the link and the title of its section.
- The written pages get a few attributes for screen readers and keyboards that the theme leaves out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

_LOGGER = logging.getLogger(__name__)
_TITLE = re.compile(r"^(.+)\n([=~-])\2+$", re.MULTILINE)
#: In a list, or in the first column of a table.
_ENTRY = re.compile(r"^ *(?:(?:\* )?- )?`([^`<]+) <([\w./-]+)\.rst>`_(?:$|:|  )", re.MULTILINE)
#: The last part of the names of pages that are an index of others.
_INDEXES = ("index", "commands")


class Links(SphinxTransform):
    """Turn the relative links of a page into links of the site."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        """Change the document."""
        here = posixpath.dirname(self.env.docname)
        for node in list(self.document.findall(nodes.reference)):
            path, _, anchor = node.get("refuri", "").partition("#")
            if not path or ":" in path.partition("/")[0] or path.startswith("/"):
                continue
            target = posixpath.normpath(posixpath.join(here, path))
            if target.endswith(".rst"):
                node["plainpage"], node["plainanchor"] = target.removesuffix(".rst"), anchor
                if node["plainpage"] not in self.env.found_docs:
                    _LOGGER.warning("%s leads to no page", path, location=node, type="plainpages")
            else:
                self._download(node, target)

    def _download(self, node: nodes.reference, target: str) -> None:
        file = self.env.srcdir / target
        if not file.is_file():
            return  # a directory of the repository: pages.py checks that it is there, and the site has no such page
        link = addnodes.download_reference("", "", *node.children, reftarget=f"/{target}", refdoc=self.env.docname)
        node.replace_self(link)


def resolve(app: Sphinx, tree: nodes.document, name: str) -> None:
    """Write the address of each page that the links lead to, once all pages are known."""
    for node in list(tree.findall(nodes.reference)):
        if "plainpage" not in node or node["plainpage"] not in app.env.all_docs:
            continue
        page, anchor = node["plainpage"], node["plainanchor"]
        if anchor and anchor not in _ids(app.env.get_doctree(page)):
            _LOGGER.warning("%s has no section %s", page, anchor, location=node, type="plainpages")
        if app.builder.format == "man":
            node.replace_self(node.children)  # a manual has no pages to lead to
            continue
        address = app.builder.get_relative_uri(name, page)
        node["refuri"] = f"{address}#{anchor}" if anchor else address
        node["internal"] = True


def _ids(tree: nodes.document) -> set[str]:
    return {name for node in tree.findall(nodes.Element) for name in node["ids"]}


def contents(_: Sphinx, name: str, source: list[str]) -> None:
    """Add the tables of contents to a page that is an index."""
    if posixpath.basename(name) in _INDEXES:
        source[0] += "".join(_toctrees(source[0]))


def _toctrees(text: str) -> Iterator[str]:
    titles = [*_TITLE.finditer(text)]
    for title, following in zip(titles, [*titles[1:], None], strict=True):
        section = text[title.end() : following.start() if following else len(text)]
        if entries := list(dict.fromkeys(_ENTRY.findall(section))):
            lines = "".join(f"   {words} <{path}>\n" for words, path in entries)
            yield f"\n.. toctree::\n   :hidden:\n   :caption: {title[1]}\n\n{lines}"


#: What the theme's pages have, and what axe-core asks for.
_ACCESSIBLE = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer': '<aside aria-label="This page" class="toc-drawer',
    # What scrolls has to be reached by the keyboard.
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
}


def make_accessible(app: Sphinx, problem: Exception | None) -> None:
    """Add to the written pages what a screen reader and a keyboard need."""
    if problem is not None or app.builder.name != "html":
        return
    for page in app.outdir.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for found, wanted in _ACCESSIBLE.items():
            text = text.replace(found, wanted)
        page.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_transform(Links)
    app.connect("source-read", contents)
    app.connect("doctree-resolved", resolve)
    app.connect("build-finished", make_accessible)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
