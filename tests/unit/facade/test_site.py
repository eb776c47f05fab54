"""The site: what ``docs/plainpages.py`` makes of plain pages. ``nox -s docs`` builds the real one."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from support.repository import ROOT

_MISSING = "Sphinx is not installed: pip install '.[docs]'"
application = pytest.importorskip("sphinx.application", reason=_MISSING)
docutils = pytest.importorskip("sphinx.util.docutils", reason=_MISSING)

_CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "docs")!r})
extensions = ["plainpages"]
root_doc = "docs/index"
html_theme = "basic"
html_copy_source = False
"""
_INDEX = """\
Top
===

Read this one first: `two <sub/two.rst>`_.

How-to
------

- `One <one.rst>`_: a page.

Reference
---------

==================  ==========
`Two <sub/two.rst>`_  a table
==================  ==========
"""
_PAGES = {
    "README.rst": "Start\n=====\n\nSee `two <docs/sub/two.rst#a-part>`_ and `all <docs/index.rst>`_.\n",
    "docs/index.rst": _INDEX.replace("==================  ==========", f"{'=' * 20}  =========="),
    "docs/one.rst": "One\n===\n\nA `file <data.json>`_, a `folder <sub>`_, `elsewhere <https://example.org/x.rst>`_.\n",
    "docs/sub/two.rst": "Two\n===\n\nA part\n------\n\n`One <../one.rst>`_, `Start <../../README.rst>`_.\n",
    "docs/data.json": "{}\n",
    "conf.py": _CONF,
}


def built(place: Path, **pages: str) -> tuple[Any, str]:
    """Build these pages to ``out``, and return the pages in the index's tables of contents and the warnings."""
    for name, text in {**_PAGES, **pages}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    warnings = io.StringIO()
    with docutils.patch_docutils(), docutils.docutils_namespace():  # it registers nodes and directives globally
        site = application.Sphinx(place, place, place / "out", place / "trees", "html", status=None, warning=warnings)
        site.build()
    return site.env.toctree_includes.get("docs/index"), re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue())


def links(page: Path) -> set[str]:
    """Return the links in the body of a page."""
    _, _, body = page.read_text().partition('role="main"')
    return set(re.findall(r'href="([^"]+)"', body.partition('class="sphinxsidebar"')[0]))


def test_plain_links_become_links_of_the_site(tmp_path: Path) -> None:
    _, warnings = built(tmp_path)
    assert [line for line in warnings.splitlines() if "README.rst" not in line] == []  # it is in no table of contents
    assert {"docs/sub/two.html#a-part", "docs/index.html"} <= links(tmp_path / "out/README.html")
    assert {"../one.html", "../../README.html"} <= links(tmp_path / "out/docs/sub/two.html")
    one = links(tmp_path / "out/docs/one.html")
    assert "https://example.org/x.rst" in one
    assert [link for link in one if re.fullmatch(r"\.\./_downloads/\w+/data\.json", link)]


def test_lists_and_tables_of_an_index_are_its_contents(tmp_path: Path) -> None:
    entries, _ = built(tmp_path)
    assert entries == ["docs/one", "docs/sub/two"]


@pytest.mark.parametrize(
    ("link", "warning"),
    [("`x <three.rst>`_", "three.rst leads to no page"), ("`x <sub/two.rst#b>`_", "docs/sub/two has no section b")],
)
def test_a_link_that_leads_nowhere_is_a_warning(link: str, warning: str, tmp_path: Path) -> None:
    assert warning in built(tmp_path, **{"docs/one.rst": f"One\n===\n\n{link}\n"})[1]


def test_a_page_in_no_table_of_contents_is_a_warning(tmp_path: Path) -> None:
    assert "docs/more.rst: WARNING" in built(tmp_path, **{"docs/more.rst": "More\n====\n"})[1]
