"""A hook gets of the caller's git what decides about the tree, and nothing through a file that a hook may change."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from support.fakes import Entry, Link, host

from isolated_hooks.files.paths import is_within
from isolated_hooks.plan.gitsettings import GitSettings, git_notes, git_settings, git_variables

HOME, SOURCE = "/home/me", "/src/project"


def settings(files: Mapping[str, Entry], environ: Mapping[str, str] | None = None) -> GitSettings:
    filesystem = host({f"{SOURCE}/.git/HEAD": "", **files})
    return git_settings(filesystem, HOME, environ or {}, SOURCE, closed=lambda path: is_within(path, SOURCE))


def user(text: str, files: Mapping[str, Entry] | None = None) -> str:
    """Return the hook's own configuration for a caller's."""
    return settings({f"{HOME}/.gitconfig": text, **(files or {})}).home.get(".gitconfig", "")


def test_without_any_configuration_there_is_none() -> None:
    assert settings({}) == GitSettings({}, {}, (), (), ())


def test_each_file_stays_what_it_is() -> None:
    given = settings(
        {
            "/etc/gitconfig": "[core]\n\tautocrlf = true\n",
            "/etc/gitattributes": "*.a -text\n",
            f"{HOME}/.config/git/config": "[core]\n\teol = lf\n",
            f"{HOME}/.gitconfig": "[core]\n\teol = crlf\n",
            f"{HOME}/.config/git/ignore": "*.log\n",
            f"{HOME}/.config/git/attributes": "*.b text\n",
        }
    )
    assert given.system == {"/etc/gitconfig": '[core]\n\tautocrlf = "true"\n', "/etc/gitattributes": "*.a -text\n"}
    assert given.home[".gitconfig"] == '[core]\n\teol = "lf"\n\teol = "crlf"\n'
    assert given.home[".config/git/ignore"] == "*.log\n"
    assert given.home[".config/git/attributes"] == "*.b text\n"


def test_a_file_that_a_setting_names_is_given_by_its_content() -> None:
    given = settings(
        {
            f"{HOME}/.gitconfig": "[core]\n\texcludesFile = ~/.ignored\n\tattributesFile = /etc/attrs\n",
            f"{HOME}/.ignored": "*.x\n",
            f"{HOME}/.config/git/ignore": "*.not\n",
            "/etc/attrs": "*.y text\n",
        }
    )
    assert given.home == {".config/git/ignore": "*.x\n", ".config/git/attributes": "*.y text\n"}


def test_credentials_stay_outside() -> None:
    text = """
    [credential]
        helper = store
    [http "https://host"]
        extraHeader = Authorization: Basic aHVudGVyMg==
    [url "https://me:hunter2@host/"]
        insteadOf = https://host/
    [filter "x"]
        clean = curl https://me:hunter2@host/clean
        smudge = cat
    [core]
        abbrev = 9
        sshCommand = ssh -i ~/.ssh/hunter2
    """
    assert user(text) == '[filter "x"]\n\tsmudge = "cat"\n[core]\n\tabbrev = "9"\n'


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("gitdir:/src/", True),
        ("gitdir:/src/**", True),
        ("gitdir:project/.git", True),
        ("gitdir:/SRC/", False),
        ("gitdir/i:/SRC/", True),
        ("gitdir:~/", False),
        ("gitdir:/src/*", False),
        ("onbranch:main", False),
        ("hasconfig:remote.*.url:x", False),
    ],
)
def test_included_files_count_where_they_are_included(condition: str, holds: bool) -> None:
    text = "[core]\nabbrev = 1\n[include]\npath = more\n"
    text += f'[includeIf "{condition}"]\npath = ~/src\n[core]\nabbrev = 4\n'
    given = user(text, {f"{HOME}/more": "[core]\nabbrev = 2\n", f"{HOME}/src": "[core]\nabbrev = 3\n"})
    assert [line.split('"')[1] for line in given.splitlines()[1:]] == ["1", "2", *(["3"] if holds else []), "4"]


def test_a_file_that_includes_itself_ends() -> None:
    assert user("[core]\nabbrev = 9\n[include]\npath = .gitconfig\n").count("abbrev") < 16


@pytest.mark.parametrize("name", ["~/.gitconfig", "include", "core.excludesFile"])
def test_no_file_is_read_through_a_tree_of_hooks(name: str) -> None:
    """A hook could make the file a link to the caller's keys."""
    secret = f"{HOME}/.ssh/id"
    texts: dict[str, dict[str, Entry]] = {
        "~/.gitconfig": {f"{HOME}/.gitconfig": Link(f"{SOURCE}/gitconfig")},
        "include": {f"{HOME}/.gitconfig": f"[include]\npath = {SOURCE}/gitconfig\n"},
        "core.excludesFile": {f"{HOME}/.gitconfig": f"[core]\nexcludesFile = {SOURCE}/gitconfig\n"},
    }
    files: dict[str, Entry] = {**texts[name], secret: "[core]\nabbrev = 9\n", f"{SOURCE}/gitconfig": Link(secret)}
    given = settings(files)
    assert given.home == {}
    assert len(given.unread) == 1
    assert "because a hook could change it" in next(git_notes(host(files), given, HOME, [], shows=lambda _: True))


def test_variables_win_over_files_and_ours_over_all() -> None:
    environ = {
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "core.autocrlf",
        "GIT_CONFIG_VALUE_0": "input",
        "GIT_CONFIG_KEY_1": "http.extraHeader",
        "GIT_CONFIG_VALUE_1": "hunter2",
        "GIT_CONFIG_KEY_2": "core.checkStat",
        "GIT_CONFIG_VALUE_2": "default",
    }
    assert git_variables(settings({}, environ).variables) == {
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "core.autocrlf",
        "GIT_CONFIG_VALUE_0": "input",
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
        "GIT_CONFIG_KEY_2": "core.checkStat",
        "GIT_CONFIG_VALUE_2": "minimal",
    }


@pytest.mark.parametrize("count", ["-1", "x", "", "9" * 30, "\u0664"])
def test_a_count_of_variables_that_is_none(count: str) -> None:
    assert settings({}, {"GIT_CONFIG_COUNT": count}).variables == ()


def test_the_variables_that_name_files() -> None:
    files: dict[str, Entry] = {
        "/a": "[core]\nabbrev = 5\n",
        "/b": "[core]\nabbrev = 6\n",
        "/etc/gitconfig": "[core]\nabbrev = 7\n",
        f"{HOME}/.gitconfig": "[core]\nabbrev = 8\n",
    }
    given = settings(files, {"GIT_CONFIG_GLOBAL": "/a", "GIT_CONFIG_SYSTEM": "/b"})
    assert (given.home, given.system) == (
        {".gitconfig": '[core]\n\tabbrev = "5"\n'},
        {"/etc/gitconfig": '[core]\n\tabbrev = "6"\n'},
    )
    assert settings(files, {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": ""}) == GitSettings({}, {}, (), (), ())


def test_a_filter_whose_program_is_hidden_is_said() -> None:
    files: dict[str, Entry] = {"/usr/bin/cat": "", f"{HOME}/bin/up": "", f"{HOME}/low": ""}
    text = '[filter "a"]\nclean = up x\nsmudge = cat\n[filter "b"]\nclean = ~/low\n[filter "c"]\nclean = missing\n'
    given = settings({f"{HOME}/.gitconfig": text})
    notes = list(
        git_notes(host(files), given, HOME, ["/usr/bin", f"{HOME}/bin"], shows=lambda path: is_within(path, "/usr"))
    )
    assert [(f"--expose {HOME}/bin/up" in n, f"--expose {HOME}/low" in n) for n in notes] == [
        (True, False),
        (False, True),
    ]
