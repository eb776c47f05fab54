"""The policy reference is up to date, and the rows behind it fit the policy and its options."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest
from support import policypage

from isolated_hooks import Limits, Policy
from isolated_hooks.policy import load_policy
from isolated_hooks.policy.checks import hyphened
from isolated_hooks.policy.keys import KEYS
from isolated_hooks.policy.limits import LIMITS
from isolated_hooks.protections import Protection


def test_the_page_is_up_to_date() -> None:
    assert policypage.PAGE.read_text(encoding="utf-8") == policypage.page(), f"run {policypage.COMMAND}"


def test_the_page_names_every_key_limit_protection_and_option() -> None:
    names = [*map(hyphened, (*KEYS, *LIMITS)), *(protection.value for protection in Protection)]
    options = [row.option.flag for row in (*KEYS.values(), *LIMITS.values()) if row.option]
    assert [name for name in (*names, *options) if f"``{name}" not in policypage.page()] == []


@pytest.mark.parametrize("cls", [Policy, Limits])
def test_the_rows_match_the_fields_the_arguments_and_the_docstring(cls: type) -> None:
    rows = list(KEYS if cls is Policy else LIMITS)
    fields = [field.name for field in dataclasses.fields(cls)]
    assert sorted(rows) == sorted(fields)
    assert list(inspect.signature(cls).parameters) == fields
    assert list(policypage.described(cls)) == fields


# The keys without which another one is not valid.
_NEEDED = {"network_auth": ("network",)}


@pytest.mark.parametrize("name", KEYS)
def test_every_example_is_valid_and_changes_its_key_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(KEYS[name].example, encoding="utf-8")
    changed = {key for key, value in load_policy(path).default.to_dict().items() if value != Policy().to_dict()[key]}
    assert changed == {name, *_NEEDED.get(name, ())}


def test_the_options_have_distinct_names_and_help_texts() -> None:
    options = [row.option for row in (*KEYS.values(), *LIMITS.values()) if row.option]
    assert len({option.attribute for option in options}) == len(options)
    assert all(option.flag.startswith("--") and option.help for option in options)
