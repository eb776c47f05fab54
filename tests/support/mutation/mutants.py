"""The mutants: each rule of the filter, each right of Landlock, each operation and step, each check of results."""

from __future__ import annotations

import ast
import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from isolated_hooks.sandbox import seccomprules
from isolated_hooks.sandbox.seccompterms import ALLOW, Rule
from support.repository import ROOT

__all__ = ["PARTS", "PLAN_KEY", "Mutant", "every", "landlock", "operations", "results", "seccomp", "steps"]

PACKAGE = ROOT / "src" / "isolated_hooks"
#: The attack suite in one hook, in each tier, and the tests that try more.
ATTACKS, CONFINED = "attacks", "confined"
_FILTER_TESTS = ("tests/unit/sandbox/test_seccomp.py", "tests/unit/sandbox/test_seccomp_live.py")
_CONFINED_TESTS = ("tests/attacks/found/test_without_namespaces.py", "tests/integration/hosts/test_confined.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of one module of the package.

    :ivar part: the part of the lane that it belongs to
    :ivar name: what is missing
    :ivar module: the module, from the package's directory
    :ivar addition: code to append to the module
    :ivar edits: texts to replace, each of which the module contains once, and the new ones
    :ivar span: the lines and columns of a text to replace by ``False``, as ast counts them
    :ivar oracles: what has to notice it, in this order: attacks, or the file of tests
    """

    part: str
    name: str
    module: str
    addition: str = ""
    edits: tuple[tuple[str, str], ...] = ()
    span: tuple[int, int, int, int] | None = None
    oracles: tuple[str, ...] = (ATTACKS,)

    def apply(self, source: str) -> str:
        """Return the source of the module with the change.

        :raises ValueError: the module does not contain the text of an edit once
        """
        for old, new in self.edits:
            if source.count(old) != 1:
                raise ValueError(f"{self.name}: {self.module} contains {old!r} {source.count(old)} times, expected 1")
            source = source.replace(old, new)
        if self.span is not None:
            first, column, last, end = self.span
            lines = source.encode().splitlines(keepends=True)
            start = sum(map(len, lines[: first - 1])) + column
            stop = sum(map(len, lines[: last - 1])) + end
            text = b"".join(lines)
            source = (text[:start] + b"(False)" + text[stop:]).decode()
        return f"{source}\n{self.addition}"


_CONFINED_FILTER = (CONFINED, _CONFINED_TESTS[0], *_FILTER_TESTS)
#: Each rule and each table of rules in ``seccomprules``, and what has to notice if it loses a row.
TABLES: dict[str, tuple[str, ...]] = {
    "RULES": (ATTACKS, *_FILTER_TESTS),
    "OF_HOOK": (ATTACKS, *_FILTER_TESTS, "tests/attacks/found/test_modes.py", "tests/attacks/found/test_renames.py"),
    "OF_HOOK_ALONE": _FILTER_TESTS,
    "WITHOUT_WATCHES": (*_FILTER_TESTS, "tests/attacks/found/test_supervisor.py"),
    "_OTHERS_MEMORY": _CONFINED_FILTER,
    "_REFUSED_MODES": (*_CONFINED_FILTER, "tests/attacks/found/test_modes.py"),
    "WITHOUT_NAMESPACES": _CONFINED_FILTER,
    "WITHOUT_NETWORK": (CONFINED, *_CONFINED_TESTS, *_FILTER_TESTS),
    "WITH_NETWORK": (_CONFINED_TESTS[1], *_FILTER_TESTS),
    "WITHOUT_TRUNCATION": _FILTER_TESTS,
    "REQUESTS": _CONFINED_FILTER,
    "REQUESTS_OF_DEVICES": _CONFINED_FILTER,
}
#: The others, and why they have no mutants of their own.
NO_TABLES = {
    "OBSERVED": "the kernel goes on with each of these calls: pid 1 only takes note of them",
    "_PAIRS": "the rule of RULES itself",
    "_CHANGED_MODES": "they are in OF_HOOK",
}


def rules_of(table: str) -> tuple[Rule, ...]:
    """Return the rules of a table, or a rule that is alone in one."""
    value = getattr(seccomprules, table)
    return (value,) if isinstance(value[0], str) else value


def seccomp() -> Iterator[Mutant]:
    """Yield a mutant for each call that has a rule of one row, and for each row of the other rules."""
    for table in TABLES:
        for number, (names, rows, _) in enumerate(rules_of(table)):
            if len(rows) == 1:
                for name in names.split():
                    others = " ".join(other for other in names.split() if other != name)
                    yield _rule(table, number, name, f"({others!r}, rule[1], rule[2])")
                continue
            for row, (_, action, words) in enumerate(rows):
                if action != ALLOW:
                    without = f"(rule[0], rule[1][:{row}] + rule[1][{row + 1}:], rule[2])"
                    yield _rule(table, number, f"{names} {words}", without)
    everything = "KNOWN = dict.fromkeys(KNOWN, ((0, 0xFFFFFFF),))\n"
    yield Mutant(
        part="seccomp",
        name="calls that nobody has reviewed",
        module="sandbox/numbers.py",
        addition=everything,
        oracles=(ATTACKS, *_FILTER_TESTS),
    )
    yield Mutant(
        part="seccomp",
        name="calls of another architecture",
        module="sandbox/seccomp.py",
        edits=(("known, assembler.answer(KILL)", "known, known"),),
        oracles=(ATTACKS, *_FILTER_TESTS),
    )


def _rule(table: str, number: int, name: str, new: str) -> Mutant:
    code = f"rule = {table}[{number}]\n{table} = (*{table}[:{number}], {new}, *{table}[{number} + 1 :])\n"
    if rules_of(table) != getattr(seccomprules, table):
        code = f"rule = {table}\n{table} = {new}\n"
    return Mutant(
        part="seccomp",
        name=f"{table}: {name}".rstrip(),
        module="sandbox/seccomprules.py",
        addition=code,
        oracles=TABLES[table],
    )


# linux/landlock.h, in the order of the bits.
_FILES = """EXECUTE WRITE_FILE READ_FILE READ_DIR REMOVE_DIR REMOVE_FILE MAKE_CHAR MAKE_DIR MAKE_REG MAKE_SOCK MAKE_FIFO
    MAKE_BLOCK MAKE_SYM REFER TRUNCATE IOCTL_DEV""".split()
_NET = ("BIND_TCP", "CONNECT_TCP")
_SCOPES = ("ABSTRACT_UNIX_SOCKET", "SIGNAL")
_UNHANDLED = """
_create, _grant = syscalls.landlock_ruleset, syscalls.landlock_allow
def _ruleset(files, net, scoped):
    return _create(files & ~{0}, net & ~{1}, scoped & ~{2})
def _allow_less(ruleset, fd, access, *, path):
    if access & ~{0}:
        _grant(ruleset, fd, access & ~{0}, path=path)
syscalls.landlock_ruleset, syscalls.landlock_allow = _ruleset, _allow_less
"""


def landlock() -> Iterator[Mutant]:
    """Yield a mutant for each right, scope and kind of rule of Landlock."""
    for place, names in enumerate((_FILES, _NET, _SCOPES)):
        for bit, name in enumerate(names):
            masks = [1 << bit if at == place else 0 for at in range(3)]
            yield _of_landlock(name, addition=_UNHANDLED.format(*masks))
    table = "(_READ_DIR, _READ, handled, _READ_FILE | _WRITE_FILE | _IOCTL_DEV)[kind]"
    for name, wider in (
        ("LIST does not let files be read", "(_READ, _READ, handled, handled)[kind]"),
        ("READ does not let files be changed", "(_READ_DIR, handled, handled, handled)[kind]"),
    ):
        yield _of_landlock(name, edits=((table, wider),))


def _of_landlock(name: str, addition: str = "", edits: tuple[tuple[str, str], ...] = ()) -> Mutant:
    return Mutant(
        part="landlock",
        name=name,
        module="sandbox/landlock.py",
        addition=addition,
        edits=edits,
        oracles=(CONFINED, *_CONFINED_TESTS),
    )


#: Replaces the random names in the target of an operation, in the child too.
PLAN_KEY = r"(?:(?<=/ih-)|(?<=/isolated-hooks-))[0-9a-f]{16}|(?<=/tmp)[a-z0-9_]{8}(?=/|$)"
_OPERATION = """
import re as _re
_plain = from_wire
class _Nothing(Symlink):
    def execute(self, root): pass
def from_wire(name, values):
    operation = _plain(name, values)
    if (name, _re.sub(%(key)r, "*", os.fsdecode(operation.target))) != (%(name)r, %(target)r):
        return operation
    return %(new)s
"""
_GONE = "_Nothing(operation.target, b'')"
_WRITABLE = "type(operation)(**{**operation.values(), 'writable': True})"


def operations(found: Sequence[tuple[str, str, bool]]) -> Iterator[Mutant]:
    """Yield a mutant for each operation of a plan. What only shows something becomes writable, the others are left out.

    :param found: the kind, the target without random names, and whether the hook may write there, of each operation
    """
    writable = [target for _, target, may_write in found if may_write]
    for kind, target, may_write in found:
        within = any(target.startswith(f"{tree}/") for tree in writable)
        if kind != "Bind" or within:
            yield _operation(kind, target, f"{kind} {target} left out", _GONE)
        if kind == "Bind" and not may_write:
            yield _operation(kind, target, f"{kind} {target} writable", _WRITABLE)


def _operation(kind: str, target: str, name: str, new: str) -> Mutant:
    code = _OPERATION % {"key": PLAN_KEY, "name": kind, "target": target, "new": new}
    return Mutant(part="plan", name=name, module="sandbox/operations.py", addition=code)


# The module, the text, and what stands there instead.
_STEPS = (
    ("init", "        self._join_keyring()\n", ""),
    ("init", "        os.setsid()\n", ""),
    ("init", "            privileges.stdin_from_null()\n", "            pass\n"),
    ("init", "        privileges.limit(limits)\n", ""),
    ("init", '        privileges.limit_files(self.plan["files"], self.plan["limits"].get("NOFILE"))\n', ""),
    ("init", "        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)\n", ""),
    ("init", '        if self.plan["scope"]:\n            self._scope()\n', ""),
    ("init", '        landlock.build_wall(landlock.rules_of(self.plan["operations"]), self.queues)\n', ""),
    ("init", "            die_with_parent(leash)\n            self.trial", "            self.trial"),
    ("init", "        die_with_parent(leash)\n        code", "        code"),
    ("ending", "    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)\n", ""),
    ("init", "            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)\n", ""),
    ("init", "        privileges.drop_own(self.capabilities)\n", ""),
    ("init", "        privileges.forbid_hook(handover, observed=self.observer is not None)\n", ""),
    ("init", "        privileges.reduce(self.capabilities, own=1 << privileges.CAP_SYS_PTRACE)\n", ""),
    ("init", "        privileges.forbid(watches=self.entered.watches)\n", ""),
    ("init", 'environ.apply(merged, self.plan["environ"])', "merged"),
    ("init", "        syscalls.close_on_exec_from(3)\n        confine()\n", "        confine()\n"),
    ("init", "        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)\n", ""),
    ("mounts", "syscalls.mount_setattr(root.fd, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=root.path)", "pass"),
    ("mounts", '        syscalls.umount(b".")\n', ""),
    ("binds", "            root.separate(self.at)\n", "            pass\n"),
    ("binds", "            root.separate_beside(self.at, os.fsencode(self.along))\n", "            pass\n"),
    ("binds", "        return syscalls.MOUNT_ATTR_NOSUID | device", "        return device"),
    ("binds", "device = 0 if self.device else syscalls.MOUNT_ATTR_NODEV", "device = 0"),
    (
        "operations",
        "            self._show_old(root)\n            return\n"
        "        syscalls.mount_setattr(fd, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=self.target)\n",
        "            self._show_old(root)\n            return\n",
    ),
    (
        "operations",
        "os.fsencode(content))\n"
        "        syscalls.mount_setattr(fd, syscalls.MOUNT_ATTR_RDONLY, recursive=False, path=self.target)\n",
        "os.fsencode(content))\n",
    ),
    ("privileges", "    syscalls.capset(bits | own | 1 << CAP_SETPCAP)\n    _empty_bounding_set()\n",
     "    syscalls.capset(bits | own | 1 << CAP_SETPCAP)\n"),
    ("privileges", "    syscalls.prctl(syscalls.PR_SET_SECUREBITS, _SECUREBITS)\n", ""),
    ("privileges", "    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)\n    for",
     "    for"),
    ("privileges", "    syscalls.capset(bits | own)\n", ""),
    ("privileges", "    resource.setrlimit(resource.RLIMIT_CORE, _core_limit())\n", ""),
    ("privileges", "    resource.setrlimit(resource.RLIMIT_NOFILE, before)\n", ""),
    ("privileges", "    resource.setrlimit(number, (bound, bound + more))\n", ""),
    ("identity", "        os.setgroups([])\n", ""),
    ("identity", "        os.setresgid(gid, gid, gid)\n", ""),
    ("identity", "        os.setresuid(uid, uid if effective is None else effective, uid)\n", ""),
    ("namespaces", "    | syscalls.CLONE_NEWPID\n", ""),
    ("namespaces", "    | syscalls.CLONE_NEWIPC\n", ""),
    ("namespaces", "    | syscalls.CLONE_NEWUTS\n", ""),
    ("namespaces", "    | syscalls.CLONE_NEWCGROUP\n", ""),
    ("namespaces", "(0 if network else syscalls.CLONE_NEWNET)", "0"),
)  # fmt: skip


#: The functions whose steps take something from the hook, by module.
WALLS = {
    "sandbox/init.py": (
        "_set_up",
        "_use_limits",
        "_give_up_privileges",
        "_build_walls",
        "_become_hook",
        "_confine_hook",
    ),
    "sandbox/privileges.py": ("reduce", "limit", "limit_files", "_limit"),
    "sandbox/identity.py": ("become",),
}
#: Their other steps, and why these have no mutants.
NO_WALLS = {
    "self._enter_root()": "without it there is no sandbox; the operations of a plan are its steps",
    "self._use_limits()": "its steps have their own",
    "self._confine_hook(handover)": "its steps have their own",
    '_limit("NOFILE", most)': "its step has its own",
    "_limit(name, value)": "its step has its own",
    "self._give_up_privileges()": "its steps have their own",
    "self._build_walls()": "its steps have their own",
    "self._use_terminal()": "it gives a command the terminal that the operator asked for",
    'os.chdir(self.plan["cwd"])': "it is where the hook starts; every earlier directory is out of sight by then",
    "syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_RAISE, capability)": "it gives what the plan says",
}


# The tests for steps that concern what no attack of the suite has: a terminal, limits, a device node.
_FOUND, _CALL = "tests/attacks/found", "tests/integration/call"
_SOFT_LIMIT = "test_a_soft_limit_on_descriptors_binds_the_hook_but_not_the_launcher"
_MORE = {
    "os.setsid()": "tests/attacks/lifecycle/test_terminal.py::test_a_hook_cannot_write_to_the_controlling_terminal",
    "privileges.limit(limits)": f"{_CALL}/test_limits.py::test_processes",
    "privileges.limit_files(": f"{_CALL}/test_limits.py::test_open_files",
    "resource.setrlimit(number": f"{_CALL}/test_limits.py::test_open_files",
    "resource.RLIMIT_CORE": f"{_CALL}/test_limits.py::test_a_core_is_never_dumped",
    "resource.RLIMIT_NOFILE": f"{_CALL}/test_limits.py::{_SOFT_LIMIT}",
    "MOUNT_ATTR_NODEV": f"{_FOUND}/test_device_nodes.py",
    "syscalls.mount_setattr(root.fd": f"{_FOUND}/test_found_by_attack.py::test_the_root_itself_is_read_only",
    "PR_SET_DUMPABLE": f"{_FOUND}/test_tracing.py",
    "PR_SET_PDEATHSIG": f"{_FOUND}/test_supervisor.py::test_no_daemon_outlives_a_launcher_that_its_runner_kills",
    "landlock.build_wall": f"{_FOUND}/test_sockets.py::test_a_fifo_of_somebody_else_cannot_be_written_to",
    "root.separate": f"{_FOUND}/test_sockets.py::test_a_fifo_of_somebody_else_cannot_be_written_to",
    "root.separate_beside": f"{_CALL}/test_repository_above.py::test_no_hook_writes_to_a_fifo_beside_the_tree",
    "self._scope()": f"{_FOUND}/test_sockets.py::test_an_abstract_name_of_others_in_the_callers_network",
    "os.setresgid": "tests/attacks/lifecycle/test_lifecycle.py::test_no_process_of_the_hook_is_the_callers",
}


def steps() -> Iterator[Mutant]:
    """Yield a mutant for each step that pid 1 takes besides the operations."""
    for module, old, new in _STEPS:
        name = f"{module}: {' '.join(old.split())}"
        more = tuple(tests for text, tests in _MORE.items() if text in old)
        yield Mutant(
            part="plan", name=name, module=f"sandbox/{module}.py", edits=((old, new),), oracles=(ATTACKS, *more)
        )


#: More checks of what hooks leave: conditions outside ``results/`` that end in this error.
_UNTRUSTED = "UntrustedResultError"
_MORE_OF_RESULTS = {
    "files/entries.py": ("tests/unit/results",),
    "files/reading.py": ("tests/unit/frontends/test_surroundings.py", "tests/attacks/found/test_frontend_paths.py"),
    "frontends/build/inputs.py": ("tests/attacks/found/test_frontend_paths.py",),
    "frontends/copies.py": ("tests/unit/frontends/test_surroundings.py",),
}


def results() -> Iterator[Mutant]:
    """Yield a mutant for each condition in ``results/`` that raises, and for each elsewhere that refuses a result."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE)
        source, seen = path.read_text(), Counter[str]()
        if module.parts[0] != "results" and _UNTRUSTED not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.If) and _refuses(node, source, anything=module.parts[0] == "results"):
                test = node.test
                assert test.end_lineno is not None
                assert test.end_col_offset is not None
                text = " ".join((ast.get_source_segment(source, test) or "").split())
                seen[text] += 1
                again = f" ({seen[text]})" if seen[text] > 1 else ""
                yield Mutant(
                    part="results",
                    name=f"{module}: if {text}{again}",
                    module=str(module),
                    span=(test.lineno, test.col_offset, test.end_lineno, test.end_col_offset),
                    oracles=_tests_of(module),
                )


def _refuses(node: ast.If, source: str, *, anything: bool) -> bool:
    last = node.body[-1]
    return isinstance(last, ast.Raise) and (anything or _UNTRUSTED in (ast.get_source_segment(source, last) or ""))


def _tests_of(module: Path) -> tuple[str, ...]:
    """Return the tests of a module, then those of its room, then the tests of hostile results."""
    room = Path("tests/unit", *module.parts[:-1])
    found = [f"{room}/test_{module.stem}.py", f"{room}/{module.stem}", f"{room}"]
    if "archives" in module.parts:
        found = [f"{room}", "tests/unit/results"]
    more = _MORE_OF_RESULTS.get(str(module), ()) if module.parts[0] != "results" else ()
    return tuple(dict.fromkeys((*(tests for tests in found if (ROOT / tests).exists()), *more)))


#: The parts whose mutants need nothing but the sources. Those of ``plan`` also need the operations of a plan.
PARTS = {"seccomp": seccomp, "landlock": landlock, "plan": steps, "results": results}


def every() -> list[Mutant]:
    """Return all mutants that need nothing but the sources."""
    return list(itertools.chain.from_iterable(make() for make in PARTS.values()))
