"""Run one hook call in a sandbox, and collect its results once all its processes are dead."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence

from ..files.steered import recorded_trees
from ..hookcall import HookCall, SubprocessRunner
from ..launchers.linker_variables import trusted_libraries
from ..launchers.warm import expect, permitted
from ..plan import Layout, Plan, Situation
from ..plan.planner import plan_hook
from ..policy import Policy
from ..report import HookReport
from ..results.answer import Output, read_output, write_output
from ..results.archives.deepcheck import check_artefact, check_members, check_metadata, check_weight
from ..results.artefacts import Artefact, Check, export_fallback, export_file, export_metadata
from ..results.exported import Kept, check_kept, snapshot
from ..results.outputs import OutputDirectory
from ..results.projects import Expected, check_result, check_unchanged, expected_of
from .run import Run
from .runners import is_silent, warm_runner
from .search_paths import warn_of_search_paths
from .situation import trusted_directories, written_trees
from .workspace import Workspace

__all__ = ["HookRun"]


class HookRun(Run):
    """One run of a hook."""

    def __init__(
        self,
        call: HookCall,
        policy: Policy,
        inner: SubprocessRunner,
        extra: Mapping[str, str],
        done: Callable[[HookReport], None],
    ) -> None:
        super().__init__(call.hook, call.source_dir, policy, done)
        self.call = call
        self.inner = inner
        self.may_fail = is_silent(inner)
        if warm_runner(inner) is not inner:
            expect()
        self.extra = self.passed = extra
        self.output: OutputDirectory | None = None
        self.returned: str | tuple[str, ...] | None = None  # what the hook returned, vetted
        self.expected = Expected()
        self.earlier: Mapping[str, Kept] = {}
        self.unpacked = False
        self.warns = False

    def execute(self) -> None:
        if not self.policy.allow_other_names:
            # Read the expected names before the hook runs, because the hook may change the files that hold them.
            self.expected = expected_of(self.source, self.call.metadata_directory)
        trees = written_trees(self.source, self.policy)
        if self.warns:
            warn_of_search_paths(self.source, trees, trusted_directories())
        self.earlier = snapshot(trees)
        with contextlib.ExitStack() as stack:
            if self.call.output_directory is not None:
                output = OutputDirectory(self.call.output_directory, self.source, self.policy.writable)
                self.output = stack.enter_context(output)
            super().execute()

    def make_plan(self, situation: Situation, layout: Layout) -> Plan:
        return plan_hook(self.call, self.policy, situation, layout, self.extra)

    def outputs(self) -> tuple[str, ...]:
        return () if self.call.output_directory is None else (self.call.output_directory,)

    def prepare(self, workspace: Workspace, plan: Plan) -> None:
        self.passed = _in_copy(self.extra, self.source, plan) if plan.confined else self.extra
        path = os.path.join(workspace.layout.control, "input.json")
        kwargs = self.call.kwargs if plan.kwargs is None else plan.kwargs
        with open(path, "x", encoding="utf-8") as file:
            json.dump({"kwargs": dict(kwargs)}, file)

    def start(self, command: list[str]) -> None:
        # The launcher starts in the source tree, as every hook does, and must not load libraries from the tree.
        libraries = trusted_libraries({**os.environ, **self.passed}, recorded_trees())
        with permitted(self.may_be_warm) as permission:
            try:
                warm_runner(self.inner)(command, cwd=self.source, extra_environ={**self.passed, **libraries})
            finally:
                self.warm = permission.used

    def seen(self, problem: BaseException) -> str | None:
        # A runner that filters the output, or keeps it, has seen its end.
        tail: bytes = getattr(self.inner, "tail", b"")
        return tail.decode("utf-8", "replace") if tail else super().seen(problem)

    def after_failure(self) -> None:
        check_unchanged(self.expected, self.source)
        check_kept(self.earlier)

    def collect(self, workspace: Workspace) -> None:
        allow_urls = self.policy.allow_url_requirements
        self.after_failure()
        with workspace.directory(workspace.layout.control) as control:
            output = read_output(control, self.call.hook, allow_url_requirements=allow_urls)
        self.returned = output.returned
        if self.output is not None and isinstance(output.returned, str):
            with workspace.directory(workspace.layout.staging) as staging:
                self.output.check()
                self.artefacts = tuple(self._export(staging, self.output, output))
        write_output(self.call.control_dir, output)

    def _export(self, staging: int, directory: OutputDirectory, output: Output) -> Sequence[Artefact]:
        name, limit, destination = str(output.returned), self.policy.limits.output_size, directory.fd
        check_result(self.call.hook, name, self.expected)
        check: Check | None = check_weight if self.call.hook != "build_sdist" else None
        if self.policy.deep_check or self.unpacked:
            check = functools.partial(check_artefact if self.policy.deep_check else check_members, limit=limit)
        if not self.call.hook.startswith("prepare_metadata"):
            artefact = export_file(staging, name, destination, limit=limit, check=check)
            directory.keep([name])
            return [artefact]
        check_metadata(staging, name, deep=self.policy.deep_check)
        metadata = export_metadata(staging, name, destination, limit=limit)
        fallback = export_fallback(staging, destination, metadata=name, limit=limit, check=check)
        directory.keep([name, *fallback])
        return [metadata]


def _in_copy(extra: Mapping[str, str], source: str, plan: Plan) -> Mapping[str, str]:
    """Return the variables of a hook that runs in a copy of its source tree, with the paths of that copy.

    The backend path is among them: a backend in the tree finds the tree beside itself.
    """
    if plan.discarded is None:
        return extra
    moved = dict(extra)
    for tree in dict.fromkeys((source, plan.source)):
        for spelled, before, after in _SPELLED:
            pattern = re.compile(before + re.escape(spelled(tree)) + after)
            new = spelled(plan.changed).replace("\\", r"\\")
            moved = {name: pattern.sub(new, value) for name, value in moved.items()}
    return moved


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


# How pyproject_hooks writes a path, in a list with os.pathsep or in JSON, and the patterns of what is around it.
_SPELLED = ((str, r"(?<![^:])", r"(?![^/:])"), (_in_json, r"(?<=\")", r"(?=[/\"])"))
