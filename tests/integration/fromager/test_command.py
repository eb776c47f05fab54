"""``isolated-hooks fromager`` without fromager installed, and its parsing of arguments."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import pytest
from support.projects import command

from isolated_hooks.cli.options import add_policy_options, leading_options, policies_of


@pytest.mark.parametrize(
    ("given", "own", "theirs"),
    [
        ("", "", ""),
        ("bootstrap six", "", "bootstrap six"),
        ("--network bootstrap --network", "--network=all", "bootstrap --network"),
        ("--expose /a --hide=/b -O out", "--expose /a --hide=/b", "-O out"),
        ("--network-isolation bootstrap", "", "--network-isolation bootstrap"),
        ("--net bootstrap", "", "--net bootstrap"),
        ("--network -- --config x", "--network=all", "--config x"),
        ("-- -- x", "", "-- x"),
        ("--expose", "--expose", ""),
        ("-v --network", "", "-v --network"),
    ],
)
def test_options_at_the_beginning_are_ours(given: str, own: str, theirs: str) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_policy_options(parser)
    assert leading_options(parser, given.split()) == (own.split(), theirs.split())


def test_options_stand_over_the_tables_of_a_file_that_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("env-keep = ['A']\n[packages.one]\nenv-keep = ['B']\nnetwork = true\n")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_policy_options(parser)
    policies = policies_of(parser.parse_args(["--config", str(file), "--env-keep", "C", "--env-remove", "D"]))
    file.unlink()
    assert policies("One").env_keep == ("B", "C")
    assert policies("one").network
    assert policies(None).env_keep == policies("two").env_keep == ("A", "C")
    assert policies("one").env_remove == ("D",)


def test_one_package_cannot_be_named(tmp_path: Path) -> None:
    done = command("fromager", "--package", "six", "bootstrap", "six", cwd=tmp_path)
    assert done.returncode == 2
    assert "--package" in done.stderr


@pytest.mark.parametrize("argument", ["--expose", "--source=elsewhere"])
def test_wrong_options_are_usage_errors(tmp_path: Path, argument: str) -> None:
    done = command("fromager", argument, cwd=tmp_path)
    assert done.returncode == 2
    assert "isolated-hooks fromager" in done.stderr


@pytest.mark.usefixtures("sandbox")
@pytest.mark.skipif(importlib.util.find_spec("fromager") is not None, reason="fromager is installed")
def test_where_there_is_none_the_remedy_is_said(tmp_path: Path) -> None:
    done = command("fromager", "bootstrap", "six", cwd=tmp_path)
    assert done.returncode == 2
    assert "install fromager" in done.stderr
