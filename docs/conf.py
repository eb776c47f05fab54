"""Build the pages as a site: ``nox -s docs``.

The pages are plain reStructuredText, as code hosts show it, so they hold nothing that only Sphinx knows. ``plainpages``
beside this file makes Sphinx's own links and tables of contents out of the plain ones.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def _title(page: Path) -> str:
    lines = page.read_text(encoding="utf-8").splitlines()
    return next(line for line, below in itertools.pairwise(lines) if line and set(below) == {"="})


project = "isolated-hooks"
author = "The isolated-hooks maintainers"
project_copyright = author
extensions = ["plainpages", "sphinx_copybutton"]

# The source directory is the repository, so that README.rst and the pages of docs/ link to each other as they do there.
root_doc = "docs/index"
include_patterns = ["*.rst", "docs/**.rst"]
exclude_patterns = [".*", "build", "src", "tests", "fixtures", "benchmarks", "**/__pycache__"]
nitpicky = True
highlight_language = "text"

html_theme = "furo"
html_title = "isolated-hooks"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "home.html"}
templates_path = ["templates"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options: dict[str, Any] = {"navigation_with_keys": True}

# Made of the pages on commands, so an option is in the manual as soon as it is in its parser.
_COMMANDS = sorted(path.stem for path in (HERE / "reference").glob("*.rst") if "isolated-hooks " in _title(path))
man_pages = [
    ("docs/reference/commands", "isolated-hooks", "run build hooks in a Linux sandbox", author, 1),
    ("docs/reference/options", "isolated-hooks-options", "sandbox options of every command", author, 7),
    ("docs/policy", "isolated-hooks-policy", "what hooks may do, and the file that says it", author, 5),
    *((f"docs/reference/{name}", f"isolated-hooks-{name}", f"the command {name}", author, 1) for name in _COMMANDS),
]

# The prompt of a console block, and what the command prints, are not copied.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
