"""The picture of how a call travels, ``docs/explanation/call.svg``, from a table of the modules on its way.

An arrow between two files of ours is an import, which :func:`untrue` checks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

__all__ = ["CALL", "Step", "picture", "untrue"]

PACKAGE = Path(__file__).parents[3] / "src/isolated_hooks"
_WIDTH, _BOX, _HEIGHT, _GAP, _TOP = 960, 440, 52, 22, 56
_LANES = {"outside": 20, "inside": 500}
_STYLE = """
    text { font: 14px sans-serif; fill: #1f2328 } .file { font: 13px monospace }
    .note { font-size: 13px; fill: #424a53 }
    .back { fill: #ffffff } .box { fill: #f6f8fa; stroke: #59636e } .theirs { fill: #fff8c5; stroke: #7d6608 }
    .hostile { fill: #ffebe9; stroke: #cf222e } .lane { fill: none; stroke: #cf222e; stroke-dasharray: 6 4 }
    .way { stroke: #1f2328; stroke-width: 1.5; fill: none; marker-end: url(#head) } .head { fill: #1f2328 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .note { fill: #c3cad2 } .back { fill: #0d1117 } .box { fill: #161b22; stroke: #9198a1 }
      .theirs { fill: #332a05; stroke: #d29922 } .hostile { fill: #3c1216; stroke: #f85149 } .lane { stroke: #f85149 }
      .way { stroke: #f0f6fc } .head { fill: #f0f6fc }
    }
"""


@dataclass(frozen=True)
class Step:
    """A box of the picture.

    :ivar name: a file of the package, or a word for what is not ours
    :ivar words: what happens there
    :ivar lane: outside or inside of the sandbox
    :ivar after: the name of the step that leads here
    :ivar kind: whose it is, a class of the picture's style
    """

    name: str
    words: str
    lane: str = "outside"
    after: str = ""
    kind: str = "box"


#: The way of one call, from above to below.
CALL = (
    Step("the frontend", "calls build_wheel()", kind="theirs"),
    Step("caller.py", "puts our runner around the frontend's own", after="the frontend"),
    Step("runner.py", "is called instead, with a command", after="caller.py"),
    Step("hookcall.py", "recognises the call, or refuses it", after="runner.py"),
    Step("run/hook.py", "leads the call from here to its report", after="runner.py"),
    Step("plan/planner.py", "what to show, as whom, with which limits", after="run/hook.py"),
    Step("run/workspace.py", "a private directory: plan, status, staging", after="run/hook.py"),
    Step("the frontend's runner", "starts the command of the launcher", after="run/workspace.py", kind="theirs"),
    Step("sandbox/launch.py", "namespaces, identity, limits", "inside", "the frontend's runner"),
    Step("sandbox/init.py", "pid 1: a root from nothing, no privileges", "inside", "sandbox/launch.py"),
    Step("sandbox/syscalls.py", "no_new_privs, and the filter", "inside", "sandbox/init.py"),
    Step("the hook", "the backend's own code", "inside", "sandbox/syscalls.py", "hostile"),
    Step("results/artefacts.py", "vets what it left, once all processes are dead", after="the hook"),
    Step("report.py", "which protections held, and what was kept from it", after="results/artefacts.py"),
    Step("the frontend", "gets the name of a wheel in its directory", after="report.py", kind="theirs"),
)
#: Which of our modules imports the one that a step names, where the arrow comes from another.
_IMPORTED_BY = {"results/artefacts.py": "run/hook.py", "report.py": "run/hook.py"}


def picture() -> str:
    """Return the picture as SVG."""
    tops = {step: _TOP + number * (_HEIGHT + _GAP) for number, step in enumerate(CALL)}
    height = _TOP + len(CALL) * (_HEIGHT + _GAP)
    inside = [top for step, top in tops.items() if step.lane == "inside"]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}">',
        "  <title>The way of one hook call, from the frontend through the sandbox and back</title>",
        f"  <style>{_STYLE}  </style>",
        '  <defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'  <rect class="back" width="{_WIDTH}" height="{height}"/>',
        '  <text x="20" y="30">outside: the frontend\'s process, trusted</text>',
        f'  <rect class="lane" x="{_LANES["inside"] - 14}" y="{inside[0] - 34}" width="{_BOX + 24}" '
        f'height="{inside[-1] - inside[0] + _HEIGHT + 48}" rx="8"/>',
        f'  <text x="{_LANES["inside"]}" y="{inside[0] - 14}">the sandbox</text>',
    ]
    for number, step in enumerate(CALL, 1):
        lines += _box(number, step, tops[step])
        lines += _arrow(step, tops)
    return "\n".join([*lines, "</svg>", ""])


def _box(number: int, step: Step, top: int) -> list[str]:
    left = _LANES[step.lane]
    kind = "file" if step.name.endswith(".py") else "name"
    return [
        f'  <rect class="{step.kind}" x="{left}" y="{top}" width="{_BOX}" height="{_HEIGHT}" rx="6"/>',
        f'  <text class="{kind}" x="{left + 12}" y="{top + 21}">{number}  {escape(step.name)}</text>',
        f'  <text class="note" x="{left + 12}" y="{top + 41}">{escape(step.words)}</text>',
    ]


def _arrow(step: Step, tops: dict[Step, int]) -> Iterator[str]:
    top = tops[step]
    before = next((each for each in reversed(CALL) if each.name == step.after and tops[each] < top), None)
    if before is None:
        return
    start, here, there = tops[before] + _HEIGHT, _LANES[before.lane], _LANES[step.lane]
    if here != there:  # across, from the middle of one box to the nearer half of the other
        x, aside = here + _BOX // 2, there + (_BOX // 2 if there > here else _BOX)
        if there > here:
            yield f'  <path class="way" d="M{here + _BOX} {start - _HEIGHT // 2} H{aside} V{top}"/>'
        else:
            yield f'  <path class="way" d="M{x} {start} V{top + _HEIGHT // 2} H{aside}"/>'
    elif top - start > _GAP:  # past the boxes between them, at their left
        x = here + _BOX
        yield f'  <path class="way" d="M{x} {start - 14} H{x + 14} V{top + 16} H{x}"/>'
    else:
        yield f'  <path class="way" d="M{here + _BOX // 2} {start} V{top}"/>'


def untrue() -> list[str]:
    """Return, in words, what the picture shows and the code does not have."""
    wrong = [f"there is no {step.name}" for step in CALL if step.name.endswith(".py") and not _path(step.name).exists()]
    for step in CALL:
        before = _IMPORTED_BY.get(step.name, step.after)
        ours = before.endswith(".py") and step.name.endswith(".py")
        if ours and not wrong and step.name not in _imports(before):
            wrong.append(f"{before} does not import {step.name}")
    return wrong


def _path(name: str) -> Path:
    return PACKAGE / name


def _imports(name: str) -> set[str]:
    """Return the files of the package that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(_path(name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = _path(name).parents[node.level - 1] / (node.module or "").replace(".", "/")
            candidates = [base.with_suffix(".py"), *(base / f"{each.name}.py" for each in node.names)]
            found |= {str(path.relative_to(PACKAGE)) for path in candidates if path.is_file()}
    return found
