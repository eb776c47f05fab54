"""What the public names promise to type checkers. ``mypy --strict`` reads this file, and nothing runs it.

Where an argument must not be accepted, the comment that ignores the error is itself an error once there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import build
import build.env
import pyproject_hooks

import isolated_hooks
from isolated_hooks import (
    HookProcessError,
    HookReport,
    IsolatedHookCaller,
    IsolatedHooksMixin,
    IsolatedRunner,
    Limits,
    Policy,
    PolicyError,
    Protection,
    ProtectionState,
    ProtectionStatus,
    SandboxSetupError,
    load_policy,
)
from isolated_hooks.frontends.build import environments
from isolated_hooks.frontends.environment import SandboxedEnv
from isolated_hooks.frontends.pip import embedded, pip_command
from isolated_hooks.launchers import Availability, Launcher, find_launcher
from isolated_hooks.plan import Identity, Plan

# A policy takes names, paths and collections of any kind, and readers get one type each.
policy = Policy(
    hooks=["build_wheel"],
    source="read-only",
    expose=[Path("/opt"), "/srv"],
    env_keep={"CC", "CFLAGS"},
    limits=Limits(wall_time=600),
    require=[Protection.IDENTITY, "network"],
    allow_degraded=("keyring",),
)
same_limits = Policy(limits={"wall_time": 600})
of_a_file: Policy = load_policy("policy.toml").for_package("name")
required: frozenset[Protection] = policy.require
paths: tuple[str, ...] = policy.expose

Policy(network=1)  # type: ignore[arg-type]
Policy(source="discard-all")  # type: ignore[arg-type]
Policy(["build_wheel"])  # type: ignore[call-arg]

# The caller and the runner stand wherever those of pyproject_hooks, and of build, stand.
caller: pyproject_hooks.BuildBackendHookCaller = IsolatedHookCaller(
    "project", "backend", ["."], pyproject_hooks.quiet_subprocess_runner, "/usr/bin/python3", policy=policy
)
theirs = pyproject_hooks.BuildBackendHookCaller("project", "backend", runner=IsolatedRunner(policy))
builder = build.ProjectBuilder("project", runner=IsolatedRunner(policy, pyproject_hooks.quiet_subprocess_runner))
with caller.subprocess_runner(IsolatedRunner()):
    caller.build_wheel("dist")

IsolatedHookCaller("project", "backend", policy={"network": True})  # type: ignore[arg-type]


class Mixed(IsolatedHooksMixin, pyproject_hooks.BuildBackendHookCaller): ...


reports: list[HookReport] = Mixed("project", "backend", policy=policy).reports
statuses: Sequence[ProtectionStatus] = reports[-1].protections
state: ProtectionState = reports[-1].state(Protection.NETWORK)

with isolated_hooks.swap("pdm.builders.base", policy, unused_ok=True) as swapped:
    reports = swapped.reports

# Errors are of the kinds that frontends catch.
wrong_value: type[ValueError] = PolicyError
not_set_up: type[OSError] = SandboxSetupError
failed: type[Exception] = HookProcessError

# The frontends for programs.
with SandboxedEnv(policy=policy, installer="pip") as environment:
    builder = build.ProjectBuilder.from_isolated_env(environment, "project", IsolatedRunner(policy))
    isolated: build.env.IsolatedEnv = environment
with environments(policy):
    pass
with embedded(policy) as reports:
    command: list[str] = pip_command(policy, python="/usr/bin/python3")


# A launcher is any class with the members.
class Wrapping:
    name = "wrapping"
    identities: frozenset[Identity] = frozenset((Identity.USER,))
    paths: tuple[str, ...] = ()

    def availability(self) -> Availability:
        return Availability(True, "by a wrapper")

    def protections(self, plan: Plan) -> list[ProtectionStatus]:
        return [*find_launcher("native").protections(plan)]

    def command(self, plan: Plan, workspace: str, argv: Sequence[str]) -> list[str]:
        return ["/usr/bin/env", *find_launcher("native").command(plan, workspace, argv)]


class Wordless:
    name = "wordless"
    identities: frozenset[Identity] = frozenset(Identity)
    paths: tuple[str, ...] = ()


launchers: list[Launcher] = [Wrapping(), find_launcher("bubblewrap")]
incomplete: Launcher = Wordless()  # type: ignore[assignment]
