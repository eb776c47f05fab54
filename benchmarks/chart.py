"""Make the page on cost, its chart, and what the README says of it, from the committed table::

python benchmarks/chart.py            # writes docs/cost.rst, docs/cost.svg and a paragraph of README.rst
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE, PAGE, CHART = ROOT / "benchmarks/table.json", ROOT / "docs/cost.rst", ROOT / "docs/cost.svg"
README = ROOT / "README.rst"

_WIDTH, _LABELS, _FIGURES, _LINE, _TOP = 1040, 470, 190, 26, 56
# A bar begins at a tenth of the goal, and ends at a hundred times the goal at most. The scale is logarithmic.
_LEAST, _MOST = 0.1, 100.0
_STYLE = """
    text { font: 14px sans-serif; fill: #1f2328 } .note { fill: #59636e; font-size: 12px }
    .back { fill: #ffffff } .met { fill: #1a7f37 } .missed { fill: #9a6700 } .goal { stroke: #1f2328; stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .note { fill: #9198a1 } .met { fill: #3fb950 } .missed { fill: #d29922 }
      .goal { stroke: #f0f6fc } .back { fill: #0d1117 }
    }
"""
_PAGE = """\
.. Generated: python benchmarks/chart.py

What it costs
=============

``python benchmarks/table.py --install`` measures this table in less than a quarter of an hour, with bubblewrap from
Debian's packages. Each figure is the median of runs in turn, within one run of that command, so machines differ less in
it than in seconds. These are of {date}, on {processor}, Linux {kernel}, Python {python}, as {user}.

A goal is what we aim at, not what we promise. A row with ``ms`` says how much longer one hook takes.

.. image:: cost.svg
   :alt: each row of the table below as a bar, against its goal

.. list-table::
   :header-rows: 1

   * - What is compared
     - Measured
     - Goal
{rows}"""

_MARK = ".. Generated, up to the end of the section: python benchmarks/chart.py"
_BRIEF = """\
On {date}, on {processor} with Linux {kernel}, ``isolated-hooks build`` of a project took {whole:g} times as long as
``python -m build``. A single hook that builds a wheel took {wheel:g} times as long with setuptools, and {extension:g}
times with a C extension. `The page on cost <docs/cost.rst>`_ has the whole table, the unfavourable rows too."""
#: The rows that the README names.
_BRIEFLY = {
    "whole": "isolated-hooks build against python -m build",
    "wheel": "setuptools build_wheel against bare",
    "extension": "C extension build_wheel against bare",
}


def page_of(table: Mapping[str, Any]) -> str:
    """Return the text of the page."""
    rows = (
        f"   * - {row['name']}\n     - {measured(row)}\n     - {_figure(row['goal'], row)}\n" for row in table["rows"]
    )
    return _PAGE.format(date=table["date"], **table["machine"], rows="".join(rows))


def readme_of(text: str, table: Mapping[str, Any]) -> str:
    """Return the text of the README with the figures of the table."""
    values = {row["name"]: row["value"] for row in table["rows"]}
    figures = {word: values[name] for word, name in _BRIEFLY.items()}
    brief = " ".join(_BRIEF.format(date=table["date"], **table["machine"], **figures).split())
    lines = textwrap.fill(brief, 120, break_long_words=False, break_on_hyphens=False)
    return re.sub(rf"({re.escape(_MARK)}\n\n).*?(?=\n\n)", lambda found: found[1] + lines, text, flags=re.DOTALL)


def measured(row: Mapping[str, Any]) -> str:
    """Return what was measured, in words."""
    return f"not measured: {row['reason']}" if row["value"] is None else _figure(row["value"], row)


def _figure(number: float, row: Mapping[str, Any]) -> str:
    return f"x{number:g}" if row["unit"] == "x" else f"{number:g} {row['unit']}"


def chart_of(table: Mapping[str, Any]) -> str:
    """Return the chart as SVG: a bar for each row that was measured, as long as its share of its goal."""
    rows: Sequence[Mapping[str, Any]] = [row for row in table["rows"] if row["value"] is not None]
    height = _TOP + _LINE * len(rows) + 12
    goal = _place(1.0)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}">',
        f"  <title>What the sandbox costs, {table['date']}</title>",
        f"  <style>{_STYLE}  </style>",
        f'  <rect class="back" width="{_WIDTH}" height="{height}"/>',
        '  <text x="12" y="20">Measured against the goal: shorter is better, the scale is logarithmic</text>',
        f'  <text class="note" x="{goal - 14:.0f}" y="{_TOP - 12}">goal</text>',
    ]
    for number, row in enumerate(rows):
        lines += _bar(row, _TOP + _LINE * number)
    lines.append(f'  <path class="goal" d="M{goal:.0f} {_TOP - 6} V{height - 8}"/>')
    return "\n".join([*lines, "</svg>", ""])


def _bar(row: Mapping[str, Any], top: int) -> list[str]:
    end = _place(row["value"] / row["goal"])
    kind = "met" if row["value"] <= row["goal"] else "missed"
    figures = f"{measured(row)} (goal {_figure(row['goal'], row)})"
    return [
        f'  <text x="12" y="{top + 15}">{escape(row["name"])}</text>',
        f'  <rect class="{kind}" x="{_LABELS}" y="{top}" width="{max(2.0, end - _LABELS):.0f}" height="18"/>',
        f'  <text class="note" x="{_WIDTH - _FIGURES + 8}" y="{top + 14}">{escape(figures)}</text>',
    ]


def _place(share: float) -> float:
    """Return where on the line a share of the goal lies."""
    within = math.log(min(max(share, _LEAST), _MOST) / _LEAST) / math.log(_MOST / _LEAST)
    return _LABELS + within * (_WIDTH - _FIGURES - _LABELS)


def main() -> None:
    """Write the files."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    PAGE.write_text(page_of(table), encoding="utf-8")
    CHART.write_text(chart_of(table), encoding="utf-8")
    README.write_text(readme_of(README.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
