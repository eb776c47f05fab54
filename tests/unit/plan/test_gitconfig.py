"""Git's configuration is read as git reads it, and written so that git reads the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from isolated_hooks.plan.gitconfig import Setting, is_kept, parse, render

GIT = shutil.which("git") or ""
needs_git = pytest.mark.skipif(not GIT, reason="git is not installed")

TEXTS = {
    "nothing": "",
    "comments": "# one\n; two\n[core] ; three\n\tabbrev = 9 # four\n",
    "on one line": "[core]abbrev=9\n[init] defaultBranch = main",
    "no value": "[core]\n\tignoreCase\n\tfileMode\n",
    "empty value": "[core]\n\texcludesFile =\n",
    "quotes": '[filter "a"]\n\tclean = "sed \\"s/a/b # c/\\" " x ; end\n',
    "spaces": "[user]\n\tname =   A   B   C \t \n",
    "continued": "[user]\n\tname = A \\\n   B\n",
    "escapes": '[format]\n\tpretty = a\\tb\\nc\\\\d\\"e\n',
    "subsection": '[filter "A \\"b\\" \\\\c"]\n\tclean = cat\n',
    "old subsection": "[filter.Name]\n\tclean = cat\n",
    "several": "[versionsort]\n\tsuffix = -rc\n\tsuffix = -beta\n[core]\nabbrev = 7\n[versionsort]\nsuffix = -z\n",
    "line ends": "[core]\r\n\tabbrev = 9\r\n",
    "mark": "\ufeff[core]\n\tabbrev = 9\n",
}


def listed(path: Path) -> list[tuple[str, str | None]]:
    """Return the settings of a file as git reads them."""
    argv = [GIT, "config", "--list", "-z", "--file", str(path)]
    entries = subprocess.run(argv, capture_output=True, check=True, text=True, encoding="utf-8").stdout.split("\0")
    pairs = (entry.partition("\n") for entry in entries if entry)
    return [(key, value if sign else None) for key, sign, value in pairs]


def written(text: str, directory: Path) -> Path:
    path = directory / "config"
    path.write_bytes(text.encode())
    return path


@needs_git
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_we_read_what_git_reads(text: str, tmp_path: Path) -> None:
    assert [(s.key, s.value) for s in parse(text)] == listed(written(text, tmp_path))


@needs_git
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_git_reads_what_we_write(text: str, tmp_path: Path) -> None:
    settings = list(parse(text))
    assert listed(written(render(settings), tmp_path)) == [(s.key, s.value) for s in settings]


@pytest.mark.parametrize(
    "text",
    [
        "[core\nabbrev = 9\n",
        "[core]\n9 = 9\n",
        '[core]\nx = "y\n',
        "abbrev = 9\n",
        "[core]\nx = \\y\n",
        "[core]\nx ;y\n",
        "[ core]\nx = y\n",
    ],
)
def test_we_stop_where_git_would_refuse(text: str) -> None:
    assert list(parse(text)) == []
    assert [s.name for s in parse(f"[core]\nabbrev = 9\n{text}")][:1] == ["abbrev"]


def test_what_the_format_cannot_hold_is_left_out() -> None:
    assert render([Setting("filter", "a\nb", "clean", "x"), Setting("user", None, "name", "a\x1bb")]) == ""


@pytest.mark.parametrize(
    "key",
    [
        "core.hookspath",
        "core.sshcommand",
        "core.fsmonitor",
        "core.editor",
        "core.pager",
        "core.askpass",
        "include.path",
        "credential.helper",
        "http.extraheader",
        "http.proxy",
        "url.insteadof",
        "alias.x",
        "gpg.program",
        "user.signingkey",
        "diff.external",
        "core.gitproxy",
        "safe.directory",
        "core.worktree",
        "core.attributesfile2",
    ],
)
def test_neither_credentials_nor_commands_are_kept(key: str) -> None:
    section, _, name = key.partition(".")
    assert not is_kept(Setting(section, None, name, "x"))
    assert not is_kept(Setting(section, "part", name, "x"))


def test_the_text_converters_of_a_diff_are_no_filters() -> None:
    assert not is_kept(Setting("diff", "pdf", "textconv", "x"))
    assert not is_kept(Setting("merge", "ours", "driver", "x"))
    assert is_kept(Setting("filter", "lfs", "process", "git-lfs filter-process"))
