"""The structure of the code: permitted imports, the cost of importing, and modules that make no system call."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import pathlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest
from support.each import each
from support.repository import TESTS

import isolated_hooks

PACKAGE = pathlib.Path(isolated_hooks.__file__).parent
BACKEND = pathlib.Path("selftest/backend")

# From the bottom up: a module imports only from floors beneath its own. A room stands for all modules of its folder,
# which may import each other, but not in a circle.
LAYERS = (
    "frozen",
    "sandbox text protections startup lazily",
    "errors outputfilter",
    "files",
    "policy",
    "hookcall results",
    "plan",
    "observe",
    "launchers report",
    "provenance",
    "network",
    "run",
    "answers",
    "runner",
    "caller",
    "swapping",
    "frontends selftest",
    "many",
    "cli",
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names.split()}
FACADE = ("__init__", "__main__")  # they import whatever they show
PURE = """text outputfilter protections errors policy.checks policy.keys policy.limits policy.option policy.policy
    files.paths plan.environ plan.environtables plan.holds plan.identities plan.interpreter plan.plan
    plan.planner plan.search_path plan.view""".split()


@functools.cache
def modules() -> list[str]:
    """Return every module of the package, as dotted paths in it, except the hostile backend, which is data."""
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(path.with_suffix("").parts) for path in paths if path.parent != BACKEND)


def unit(module: str) -> str:
    """Return the entry for a module in the table of layers."""
    return module.split(".")[0]


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))


def never_run(tree: ast.Module) -> set[ast.AST]:
    """Return the statements below ``if False:`` or ``if TYPE_CHECKING:``."""
    statements: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("False", "TYPE_CHECKING"):
            statements.update(child for statement in node.body for child in ast.walk(statement))
    return statements


def imports_of(module: str, *, types: bool = False) -> Iterator[str]:
    """Yield what a module imports: ``.x.y`` for a module of this package, else its full name.

    :param types: also what modules of ``sandbox`` import for a type checker alone
    """
    package = module.split(".")[:-1]
    tree = tree_of(module)
    skipped = never_run(tree) if unit(module) == "sandbox" and not types else set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1]
            assert len(package) >= node.level - 1, f"{module} imports from beyond the package"
            for alias in node.names:
                inside = [*above, *(node.module or "").split("."), alias.name]
                yield "." + ".".join(_module_part([part for part in inside if part]))


def _module_part(parts: list[str]) -> list[str]:
    """Remove the name of a module's attribute."""
    known = modules()
    while parts and ".".join(parts) not in known and ".".join((*parts, "__init__")) not in known:
        parts = parts[:-1]
    return parts if ".".join(parts) in known else [*parts, "__init__"]


def test_every_module_has_a_layer() -> None:
    units = {unit(module) for module in modules()} - set(FACADE)
    assert units == set(LAYER), "a new module needs a place in LAYERS"


def test_arrows_run_one_way() -> None:
    beside_the_facade = [module for module in modules() if module not in FACADE]
    wrong = [(module, f"it imports {i}", why) for module in beside_the_facade for i, why in _wrong_arrows(module)]
    assert wrong == []


def _wrong_arrows(module: str) -> Iterator[tuple[str, str]]:
    """Yield what a module imports and must not, and why."""
    own = unit(module)
    for imported in imports_of(module):
        other = unit(imported[1:])
        if imported.startswith("isolated_hooks"):
            yield imported, "by its absolute name"
        elif not imported.startswith(".") or (other == "__init__" and own == "cli"):
            continue  # another's; the version
        elif other in FACADE:
            yield imported, "the facade"
        elif own != other and LAYER[other] >= LAYER[own]:
            yield imported, "which is not beneath it"


def test_the_network_has_one_interface_and_a_process_that_loads_nothing_else() -> None:
    arrows = {(m, i) for m in modules() for i in imports_of(m) if i.startswith(".network.")}
    assert {arrow for arrow in arrows if unit(arrow[0]) != "network"} == {("run.run", ".network.proxy")}
    serving = [m for m in modules() if m.startswith("network.serving.")]
    assert len(serving) > 5
    assert {
        i for m in serving for i in imports_of(m) if i.startswith(".") and not i.startswith(".network.serving.")
    } == (set())


def test_no_modules_import_each_other_in_a_circle() -> None:
    """This includes imports for types. The layers do not cover the modules of one package."""
    left = {m: {i[1:] for i in imports_of(m, types=True) if i.startswith(".")} - {m, *FACADE} for m in modules()}
    assert "sandbox.degradations" in left["sandbox.root"]
    while leaves := {module for module, imported in left.items() if not imported & left.keys()}:
        left = {module: imported for module, imported in left.items() if module not in leaves}
    assert left == {}


def test_the_table_of_layers_detects_an_upward_import() -> None:
    assert ".run.hook" in set(imports_of("runner"))
    assert ".plan.__init__" in set(imports_of("run.run"))
    assert ".sandbox.operations" in set(imports_of("plan.plan"))
    assert "marshal" in set(imports_of("run.workspace"))
    assert LAYER["runner"] > LAYER["run"] > LAYER["plan"] > LAYER["policy"] > LAYER["errors"] > LAYER["sandbox"]


def test_what_runs_in_the_child_imports_itself_alone() -> None:
    """At run time: what a type checker reads is of no cost."""
    others = ("isolated_hooks", "pyproject_hooks", "packaging", "build")
    imports = [(module, i) for module in modules() if unit(module) == "sandbox" for i in imports_of(module)]
    assert len(imports) > 20
    assert [arrow for arrow in imports if arrow[1].startswith(".") and unit(arrow[1][1:]) != "sandbox"] == []
    assert [arrow for arrow in imports if arrow[1].split(".")[0] in others] == []


def test_the_core_imports_no_frontend_and_no_command_line() -> None:
    for module in modules():
        if unit(module) in ("cli", "frontends", *FACADE):
            continue
        tops = {imported.split(".")[0] for imported in imports_of(module)}
        assert not tops & {"build", "pip", "fromager", "argparse"}, module


# The cost and the effects of importing.

#: The modules that ``python -I -S`` imports to set up a sandbox. Each additional module slows every hook.
CHILD_MODULES = """__future__ _blake2 _collections_abc _ctypes _socket _stat _struct ctypes ctypes._endian errno fcntl
    genericpath os os.path posixpath resource select stat struct termios types""".split()


def run(code: str, *options: str, cwd: pathlib.Path = TESTS, **variables: str) -> str:
    """Run code in another interpreter, and return its output."""
    # The other interpreter must find the same pyproject_hooks.
    entries = (str(PACKAGE.parent), str(TESTS), *(path for path in sys.path if path))
    environ = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(entries)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        cwd=cwd,
        env={"PATH": os.defpath, **environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_child_imports_next_to_nothing() -> None:
    printed = run(
        f"""
        import sys
        before = set(sys.modules)
        sys.path.insert(0, {str(PACKAGE)!r})
        __import__("sandbox.launch")
        print(*sorted(name for name in set(sys.modules) - before))
        """,
        "-I",
        "-S",
    )
    imported = {name for name in printed.split() if name.split(".")[0] != "sandbox"}
    assert "_ctypes" in imported
    assert "ctypes" not in imported
    assert imported <= set(CHILD_MODULES), f"new in the child: {sorted(imported - set(CHILD_MODULES))}"


AUDIT = """
    import os, sys

    events = []
    def note(event, arguments):
        if recording:
            events.append((event, arguments))
    recording = False
    sys.addaudithook(note)
    STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
              "pty.spawn")
    CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink",
               "os.truncate", "os.utime", "os.putenv", "os.unsetenv", "tempfile.mkdtemp", "tempfile.mkstemp",
               "socket.connect", "socket.bind", "socket.__new__", "os.kill", "signal.pthread_kill",
               "resource.setrlimit")
"""


@pytest.mark.parametrize(
    "code",
    [
        "import isolated_hooks",
        "from isolated_hooks import *",
        "from isolated_hooks.cli import main; assert main(['--help']) == 0",
        "from isolated_hooks.cli import main; assert main(['--version']) == 0",
        "import isolated_hooks.frontends.build, isolated_hooks.cli.build, isolated_hooks.cli.run",
        "import isolated_hooks.cli.explain, isolated_hooks.cli.doctor, isolated_hooks.cli.selftest",
        "import isolated_hooks.cli.verify",
    ],
)
def test_importing_and_help_start_no_process_and_touch_no_file(code: str) -> None:
    printed = run(
        AUDIT
        + f"""
    recording = True
    {code}
    recording = False
    import isolated_hooks, site
    roots = {{os.path.dirname(os.path.dirname(isolated_hooks.__file__)), sys.prefix, sys.base_prefix, {str(TESTS)!r}}}
    roots |= {{path for path in sys.path if path}} | {{os.path.dirname(os.__file__)}}
    roots |= {{os.path.realpath(root) for root in roots}}
    for event, arguments in events:
        if event in STARTS + CHANGES:
            print(event, arguments)
        if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            if not any(path == root or path.startswith(root + os.sep) for root in roots):
                print(event, path)
    assert any(event == "import" for event, _ in events)
    """,
        NO_COLOR="1",
    )
    left = [
        line for line in printed.splitlines() if line.split(" ")[0].partition(".")[0] in ("os", "open", "subprocess")
    ]
    assert left == []


def test_the_audit_detects_a_process() -> None:
    printed = run(
        AUDIT
        + """
    recording = True
    import subprocess
    subprocess.run(["true"])
    open("/proc/self/environ").close()
    print(*{event for event, _ in events if event in STARTS})
    print(any(arguments[0] == "/proc/self/environ" for event, arguments in events if event == "open"))
    """
    )
    assert "subprocess.Popen" in printed
    assert "True" in printed


FORBIDDEN = """
    def forbid(module, *names):
        for name in names:
            if hasattr(module, name):
                def refuse(*args, name=name, **kwargs):
                    raise AssertionError(f"os.{name} was called with {args}")
                setattr(module, name, refuse)

    # stat(2) and similar calls raise no audit event.
    QUIET = ("stat lstat fstat readlink access getcwd getcwdb statvfs uname getuid geteuid getgid getegid getpid "
             "getppid getgroups getlogin cpu_count sched_getaffinity urandom open read write close listdir scandir "
             "pipe").split()
"""


@pytest.mark.parametrize("what", ["hook", "command", "confined", "refused"])
def test_planning_makes_no_system_call(what: str) -> None:
    """The planner gets a dictionary as its file system, so any access to the real one would show."""
    code = {
        "hook": "plans = [make_plan(call=hook_call(hook)) for hook in HOOKS]",
        "command": "plans = [plan_command(['sh'], SOURCE, Policy(), situation(), LAYOUT, stdin='null', terminal='')]",
        "confined": "plans = [make_plan(refused=frozenset((Identity.USER,)))]",
        "refused": "plans = []\n"
        "    for make in (lambda: make_plan(call=hook_call(source_dir=HOME)), lambda: make_plan(policy=bad)):\n"
        "        try:\n            make()\n        except PolicyError as error:\n            plans.append(error)",
    }[what]
    printed = run(
        AUDIT
        + FORBIDDEN
        + f"""
    from support.fakes import HOME, LAYOUT, SOURCE, hook_call, make_plan, situation
    from isolated_hooks.errors import PolicyError
    from isolated_hooks.plan import Identity
    from isolated_hooks.plan.planner import plan_command
    from isolated_hooks.policy import HOOKS, Policy
    bad = Policy(expose=("/none",))
    make_plan()  # the first call triggers late imports
    kept = {{name: getattr(os, name) for name in QUIET if hasattr(os, name)}}
    forbid(os, *QUIET)
    recording = True
    {code}
    for plan in plans:
        if not isinstance(plan, PolicyError):
            plan.to_wire(bytes(32)), plan.to_dict(), list(plan.describe())
    recording = False
    for name, function in kept.items():
        setattr(os, name, function)
    # The interpreter itself causes these two.
    print(len(plans), *(event for event, _ in events if not event.startswith(("object.", "builtins.id"))))
    """
    )
    number, *events = printed.split()
    assert int(number) > 0
    assert events == []


def test_what_is_pure_imports_nothing_that_asks_the_system() -> None:
    allowed = set(
        """__future__ codecs collections.abc dataclasses difflib enum functools os posixpath re stat types typing
        unicodedata""".split()
    )
    arrows = {(module, i) for module in PURE for i in imports_of(module) if not i.startswith(".")}
    assert {(module, i) for module, i in arrows if i not in allowed} == {("errors", "subprocess")}  # CalledProcessError


# Other platforms.

MACOS = """
    import sys, os
    # The standard library is this platform's, so import it before the patch.
    import _ctypes, contextlib, ctypes, dataclasses, fcntl, functools, hashlib, importlib.metadata, inspect, json
    import logging, marshal, platform, pwd, resource, secrets, select, shutil, signal, socket, subprocess, tempfile
    import termios, typing
    import packaging.requirements, packaging.utils, pyproject_hooks, zipfile, tarfile, email.parser, warnings

    sys.platform = "darwin"
    platform.system = lambda: "Darwin"
    platform.machine = lambda: "arm64"
    os.uname = lambda: os.uname_result(("Darwin", "mac", "23.0.0", "Darwin Kernel Version 23.0.0", "arm64"))
    for name in dir(os):
        # According to the documentation of os, these exist only on Linux.
        if name.startswith(("O_PATH", "O_TMPFILE", "SCHED_", "CLONE_", "MFD_", "GRND_", "RWF_", "PIDFD_", "EFD_")):
            delattr(os, name)
    for name in ("pidfd_open unshare setns memfd_create sched_setaffinity sched_getaffinity getrandom eventfd "
                 "copy_file_range setresuid setresgid getresuid getresgid pipe2 posix_fallocate posix_fadvise splice "
                 "listxattr getxattr setxattr removexattr waitid").split():
        if hasattr(os, name):
            delattr(os, name)
    del select.epoll

    class Library(ctypes.CDLL):
        def __getattr__(self, name):
            if name in "prctl umount2 statx syscall fchownat unshare setns pivot_root capset capget".split():
                raise AttributeError(f"dlsym(RTLD_DEFAULT, {name}): symbol not found")
            return super().__getattr__(name)

    ctypes.CDLL = Library
"""


def test_on_another_platform_the_package_imports_and_names_its_requirements(tmp_path: pathlib.Path) -> None:
    printed = run(
        MACOS
        + """
    import isolated_hooks
    from isolated_hooks import *
    Policy(expose=("/x",))

    def runner(cmd, cwd=None, extra_environ=None):
        print("it was run")

    caller = IsolatedHookCaller(".", "backend", runner=runner)
    for hook in (caller.get_requires_for_build_wheel, lambda: caller.build_wheel("dist")):
        try:
            hook()
        except SandboxUnavailableError as error:
            print(error)
    """,
        cwd=tmp_path,
    )
    lines = printed.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "this is Darwin" in line
        assert "Remedy: build on Linux" in line


def test_on_another_platform_nothing_is_left_behind(tmp_path: pathlib.Path) -> None:
    run(
        MACOS
        + """
    from isolated_hooks import *
    try:
        IsolatedHookCaller(".", "backend").build_wheel("dist")
    except SandboxUnavailableError:
        pass
    """,
        cwd=tmp_path,
        TMPDIR=str(tmp_path),
    )
    assert os.listdir(tmp_path) == []


# The public names.


def test_paths_are_spelled_in_one_way() -> None:
    """Two slashes at the start stay with os.path. A path so spelled compares as another one, and has no end upwards."""
    elsewhere = {
        "caller",  # pyproject_hooks compares the same two
        "files.spelling",
        "lazily",  # it imports nothing, and asks Trees.steer(), which looks at each name on the way
        "frontends.build.unpacking",  # a script that imports nothing of ours
    }
    found = {
        name
        for name in modules()
        if not name.startswith(("sandbox.", "selftest."))
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.path.abspath", "os.path.normpath")
        if name not in elsewhere and not _of_a_module(name, node)
    }
    assert found == set()


def _of_a_module(name: str, function: ast.AST) -> bool:
    """Return whether a call asks where a module lies: the import system spells that."""
    calls = (node for node in ast.walk(tree_of(name)) if isinstance(node, ast.Call) and node.func is function)
    places = ("__file__", "unpacking.__file__", "_installer.origin", "file or ''")
    return any(ast.unparse(call.args[0]) in places for call in calls)


#: The names that the documentation promises.
PROMISED = """IsolatedHookCaller IsolatedHooksMixin IsolatedRunner Policy Protection ProtectionState IsolatedHooksError
    PolicyError SandboxUnavailableError SandboxSetupError HookProcessError HookTimeoutError HookKilledError
    UntrustedResultError IsolationDegradedWarning HookReport""".split()


def test_the_package_imports_its_modules_when_they_are_used() -> None:
    printed = run(
        """
        import sys
        import isolated_hooks
        def ours():
            return sorted(name for name in sys.modules if name.startswith("isolated_hooks."))
        print(*ours(), "pyproject_hooks" in sys.modules, "packaging" in sys.modules)
        print({*isolated_hooks.__all__} <= {*dir(isolated_hooks)}, hasattr(isolated_hooks, "nothing"))
        from isolated_hooks import IsolatedHookCaller
        print(*ours(), "packaging" in sys.modules)
        IsolatedHookCaller(".", "backend")
        print("isolated_hooks.run.hook" in sys.modules, isolated_hooks.policy.Policy is isolated_hooks.Policy)
        """
    )
    first, names, second, last = printed.splitlines()
    assert first == "isolated_hooks.lazily isolated_hooks.startup False False"
    assert names == "True False"
    assert second == "isolated_hooks.caller isolated_hooks.lazily isolated_hooks.startup False"
    assert last == "True True"


def test_the_lazy_names_are_those_that_are_exported() -> None:
    """Type checkers read the imports, and Python the table: they name the same."""
    block = next(n for n in tree_of("__init__").body if isinstance(n, ast.If))
    seen = {(alias.name, n.module) for n in block.body if isinstance(n, ast.ImportFrom) for alias in n.names}
    assert seen == {*isolated_hooks._HOMES.items()}
    assert sorted(isolated_hooks._HOMES) == sorted(isolated_hooks.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = isolated_hooks.nothing


def test_what_is_promised_is_exported() -> None:
    assert {*PROMISED} <= {*isolated_hooks.__all__}


def test_the_errors_are_subclasses_that_frontends_catch() -> None:
    base = isolated_hooks.IsolatedHooksError
    for name, kind in {
        "PolicyError": ValueError,
        "SandboxUnavailableError": base,
        "SandboxSetupError": OSError,
        "HookProcessError": subprocess.CalledProcessError,
        "HookTimeoutError": isolated_hooks.HookProcessError,
        "HookKilledError": isolated_hooks.HookProcessError,
        "UntrustedResultError": base,
    }.items():
        error = getattr(isolated_hooks, name)
        assert issubclass(error, base)
        assert issubclass(error, kind)
    assert issubclass(isolated_hooks.IsolationDegradedWarning, Warning)


def test_what_is_exported_exists_and_is_documented() -> None:
    def check(name: str) -> None:
        thing = getattr(isolated_hooks, name)
        text = inspect.getdoc(thing) or ""
        assert len(text.split()) >= 4
        inherited = [inspect.getdoc(base) for base in getattr(thing, "__mro__", ())[1:]]
        assert text not in inherited, "it has the docstring of its base"

    each(isolated_hooks.__all__, check)


def test_a_module_says_what_it_is_for_and_what_is_public_in_it() -> None:
    def check(module: str) -> None:
        tree = tree_of(module)
        assert ast.get_docstring(tree)
        if unit(module) in ("sandbox", "__main__"):
            return
        loaded = importlib.import_module(f"isolated_hooks.{module}".removesuffix(".__init__"))
        assert [name for name in getattr(loaded, "__all__", ()) if not hasattr(loaded, name)] == []
        public = [n for n in tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and not n.name.startswith("_")]
        assert [node.name for node in public if not ast.get_docstring(node)] == [], "without a docstring"

    each(modules(), check)


def test_the_signature_of_the_caller_is_that_of_the_original() -> None:
    import pyproject_hooks

    ours = inspect.signature(isolated_hooks.IsolatedHookCaller)
    theirs = inspect.signature(pyproject_hooks.BuildBackendHookCaller)
    positional = [(p.name, p.default) for p in ours.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [(p.name, p.default) for p in theirs.parameters.values()]
    assert ours.parameters["policy"].kind is inspect.Parameter.KEYWORD_ONLY
