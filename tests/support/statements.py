"""Statements about an artefact, as a build makes them, without a build."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from isolated_hooks.policy import Policy
from isolated_hooks.protections import ROWS, Protection, ProtectionState, ProtectionStatus
from isolated_hooks.provenance.policies import stated_policy
from isolated_hooks.provenance.spelling import Spelling
from isolated_hooks.provenance.statements import Build, Call, Material, Subject, encoded, enforcement, provenance
from isolated_hooks.report import HookReport
from isolated_hooks.results.artefacts import Artefact

__all__ = ["CALLS", "SUBJECT", "a_build", "bundle", "calls_with"]

SUBJECT = Subject("example-1.0-py3-none-any.whl", "5" * 64)


def _statuses(**states: ProtectionState) -> tuple[ProtectionStatus, ...]:
    return tuple(ProtectionStatus(p, states.get(p.value, ProtectionState.ACTIVE), ROWS[p].active) for p in Protection)


def calls_with(**states: ProtectionState) -> Sequence[Call]:
    """Return two calls, the second of which makes the subject.

    :param states: the states of protections in that call, by name
    """
    first = HookReport("get_requires_for_build_wheel", "/srv/tree", _statuses(), 0, ("A_TOKEN",), launcher="native")
    artefact = Artefact(SUBJECT.name, 10, SUBJECT.sha256)
    second = dataclasses.replace(first, hook="build_wheel", protections=_statuses(**states), artefacts=(artefact,))
    return Call(first), Call(second)


CALLS = calls_with()


def a_build(policy: Policy | None = None, **changes: Any) -> Build:
    """Return a build that has ended."""
    build = Build(
        asked={"source": "project"},
        chosen={},
        policy=stated_policy(policy or Policy(), Spelling()),
        versions={"isolated-hooks": "0.1.0"},
        invocation="urn:uuid:0",
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:00:01Z",
        observed=False,
        spelling=Spelling(),
    )
    return dataclasses.replace(build, **changes)


def bundle(policy: Policy | None = None, calls: Sequence[Call] = CALLS, **changes: Any) -> bytes:
    """Return both statements about :data:`SUBJECT`.

    :param changes: of the build
    """
    build = a_build(policy, **changes)
    material = Material(name="a.whl", digest="a" * 64, role="build requirement")
    return encoded([provenance(build, SUBJECT, [material], calls), enforcement(build, SUBJECT, calls)])
