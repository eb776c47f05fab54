"""The documents are plain reStructuredText, which code hosts and indexes can show, and their links work."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from support.repository import ROOT

PAGES = sorted([*ROOT.glob("*.rst"), *(ROOT / "docs").rglob("*.rst")])
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_every_link_to_a_file_resolves(page: Path) -> None:
    links = re.findall(r"`[^`<]*<([^>`]+)>`_", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link.partition("#")[0]).exists()]
    assert missing == []


@pages
def test_every_named_path_exists(page: Path) -> None:
    named = re.findall(r"``((?:benchmarks|docs|fixtures|src|tests)/[\w./-]+)", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pages
def test_no_page_uses_sphinx_roles_or_directives(page: Path) -> None:
    only = r":(?:doc|ref|class|func|mod|meth|attr|data|term):`|^\s*:caption:|^\.\. (?:literalinclude|toctree|auto\w+)::"
    assert re.findall(only, page.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_the_readme_renders_on_an_index_and_fits_on_a_screen() -> None:
    rst = pytest.importorskip("readme_renderer.rst", reason="readme_renderer is not installed: pip install '.[docs]'")
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    warnings = io.StringIO()
    rendered = rst.render(text, stream=warnings)
    assert rendered is not None and warnings.getvalue() == ""
    assert "isolated-hooks build fixtures/c-extension" in re.sub(r"<[^>]+>", "", rendered)
    assert len(text.splitlines()) <= 80


def test_the_pages_contain_links_and_paths() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert "<docs/hosts.rst>`_" in text
    assert "``tests/attacks" in text
