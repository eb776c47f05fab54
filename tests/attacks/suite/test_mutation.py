"""The machinery of ``nox -s mutation``: it notices mutants that are known to matter, and none where there is none."""

from __future__ import annotations

import ast
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mutation import lane, mutants
from support.mutation.mutants import ATTACKS, PACKAGE, Mutant
from support.mutation.reasons import REASONS

from isolated_hooks.sandbox import seccomprules, seccompterms

_EVERY = {(mutant.part, mutant.name): mutant for mutant in mutants.every()}
# What an attack has to notice, by the name of the mutant: a part of the names of the attacks.
_KNOWN = {
    ("plan", "init: privileges.forbid(watches=self.entered.watches)"): "K02-io-uring",
    ("plan", "init: syscalls.close_on_exec_from(3) confine()"): "H01-count",
    ("seccomp", "RULES: io_uring_setup"): "K02-io-uring",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, sandbox: None) -> Iterator[lane.Copy]:
    directory = tmp_path_factory.mktemp("mutants")
    for above in (directory, *directory.parents):
        if above.stat().st_uid == os.geteuid() and above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o011)
    copy = lane.Copy(directory)
    try:
        copy.check([])
    except RuntimeError as error:
        pytest.skip(f"mutants: {error}")
    yield copy


@pytest.mark.slow
def test_every_mutant_is_source_code_of_its_own() -> None:
    """An edit whose text is gone raises ValueError, so a changed module cannot leave a mutant without effect."""
    assert len(_EVERY) == len(mutants.every())
    for mutant in _EVERY.values():
        source = (PACKAGE / mutant.module).read_text()
        assert ast.dump(ast.parse(mutant.apply(source))) != ast.dump(ast.parse(source)), mutant.name
        assert mutant.oracles, mutant.name


def test_the_text_of_an_edit_has_to_be_there() -> None:
    stale = Mutant(part="plan", name="stale", module="sandbox/init.py", edits=(("no such text", ""),))
    with pytest.raises(ValueError, match=r"contains 'no such text' 0 times, expected 1"):
        stale.apply("")


def test_every_rule_of_the_filter_has_mutants() -> None:
    """A rule that moves into a table of its own would otherwise be out of the lane, and nobody would notice."""
    tables = [name for name, kind in seccomprules.__annotations__.items() if kind in ("Rule", "tuple[Rule, ...]")]
    tables.append("_PAIRS")  # it has no annotation of its own
    assert sorted(tables) == sorted([*mutants.TABLES, *mutants.NO_TABLES])
    refused = {
        name
        for table in mutants.TABLES
        for names, rows, _ in mutants.rules_of(table)
        if any(action != seccompterms.ALLOW for _, action, _ in rows)
        for name in names.split()
    }
    for namespaces, network in itertools.product((True, False), repeat=2):
        rules = seccomprules.rules(namespaces=namespaces, network=network, truncation=False, watches=False)
        assert {name for names, _, _ in rules for name in names.split()} <= refused


def test_every_step_of_pid_1_has_a_mutant_or_a_reason() -> None:
    """Each statement that only calls something, in the functions that build walls, is a step."""
    edits = {(mutant.module, old) for mutant in _EVERY.values() for old, _ in mutant.edits}
    unknown = []
    for module, functions in mutants.WALLS.items():
        source = (PACKAGE / module).read_text()
        for function in ast.walk(ast.parse(source)):
            if isinstance(function, ast.FunctionDef) and function.name in functions:
                for node in ast.walk(function):
                    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                        text = ast.get_source_segment(source, node) or ""
                        if not any(at == module and text in old for at, old in edits) and text not in mutants.NO_WALLS:
                            unknown.append(f"{module}: {text}")
    assert unknown == [], "neither in _STEPS nor in NO_WALLS"


def test_reasons_are_sentences_about_parts_that_exist() -> None:
    for part, pattern, reason in REASONS:
        assert part in mutants.PARTS, pattern
        assert len(reason) > 20, pattern


@pytest.mark.slow
def test_no_mutant_and_one_known_mutant(copy: lane.Copy) -> None:
    assert copy.noticed(Mutant(part="plan", name="none", module="sandbox/init.py")) == ""
    name = ("plan", "init: syscalls.close_on_exec_from(3) confine()")
    assert _KNOWN[name] in copy.noticed(_EVERY[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", _KNOWN, ids=lambda name: name[1][:24])
def test_a_known_mutant_is_noticed(copy: lane.Copy, name: tuple[str, str]) -> None:
    assert _KNOWN[name] in copy.noticed(_EVERY[name])


@pytest.mark.slow
def test_operations_become_mutants_too(copy: lane.Copy) -> None:
    found = copy.operations()
    made = {mutant.name: mutant for mutant in mutants.operations(found)}
    git = next(name for name in made if name.endswith("/pkg/.git writable"))
    assert "C07-git" in copy.noticed(made[git])
    assert copy.attacks(ATTACKS) == copy.baseline(ATTACKS)
