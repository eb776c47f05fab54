"""K1: our code imports nothing after the first hook of a process began, and nothing from where the frontend went."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.importspy import late_imports
from support.index import write_wheel
from support.projects import clean_environ, write_project
from support.requirements import write_needy

pytestmark = pytest.mark.usefixtures("sandbox")

_FAILING = """
def prepare_metadata_for_build_editable(metadata_directory, config_settings=None):
    import urllib.request
    try:
        urllib.request.urlopen("http://index.example.org/")
    except OSError:
        pass
    open("/etc/isolated-hooks/none", "w")


def get_requires_for_build_editable(config_settings=None):
    if config_settings:
        time.sleep(60)
    return ["not a requirement !"]
"""

_CALLS = """
import subprocess, sys, warnings
from isolated_hooks import IsolatedHookCaller

def quiet(cmd, cwd=None, extra_environ=None):
    env = {**os.environ, **(extra_environ or {})}
    subprocess.run(cmd, cwd=cwd, env=env, check=True, capture_output=True)

def caller(runner=quiet, **policy):
    from isolated_hooks import Policy
    return IsolatedHookCaller(sys.argv[1], "backend", ["."], runner, policy=Policy(**policy))

def failing(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        print("FAILED", type(error).__name__)
    else:
        raise AssertionError("it did not fail")

warnings.simplefilter("ignore")
first = IsolatedHookCaller(sys.argv[1], "backend", ["."], quiet)
first.get_requires_for_build_wheel()
"""

#: What comes after the first hook: each with the words that the output must have.
CALLS = {
    "every hook": (
        "first.build_sdist('out'); first.build_wheel('out'); first.prepare_metadata_for_build_wheel('out/m')\n"
        "first.reports[-1].to_dict(); repr(first.reports[-1])",
        "",
    ),
    "a failure with an explanation": (
        "failing(first.prepare_metadata_for_build_editable, 'out')",
        "FAILED CalledProcessError",
    ),
    "a refused result": ("failing(first.get_requires_for_build_editable)", "FAILED UntrustedResultError"),
    "a limit": (
        "failing(caller(limits={'wall_time': 1}).get_requires_for_build_editable, {'a': 'b'})",
        "FAILED HookTimeoutError",
    ),
    "a limit of memory": ("caller(limits={'memory': 2**30, 'temp_size': 2**20}).build_wheel('out')", ""),
    "a deep check": ("caller(deep_check=True).build_wheel('out'); caller(deep_check=True).build_sdist('out')", ""),
    "named hosts": ("caller(network=('downloads.example.org:443', '10.0.0.5:443')).build_wheel('out')", ""),
    "a copy": ("caller(source='discard').build_wheel('out')", ""),
    "a launcher that is not installed": ("failing(caller(launcher='none').build_wheel, 'out')", "FAILED PolicyError"),
    "details and observation": (
        "more = caller()\nmore._isolated_runner.detailed = more._isolated_runner.observes = True\n"
        "more.build_wheel('out')\nfailing(more.prepare_metadata_for_build_editable, 'out')\n"
        "more.reports[-1].to_dict()",
        "FAILED",
    ),
    "a hook without a sandbox": ("caller(hooks=('build_sdist',)).build_wheel('out')", ""),
    "every public name": (
        "import isolated_hooks\nmany = isolated_hooks._MODULES['many'].split()\n"
        "for name in {*isolated_hooks.__all__} - {*many}: getattr(isolated_hooks, name)",
        "",
    ),
    "a name of many packages, where a hook may have put a module": (
        "sys.path.append(sys.argv[1])\nfailing(lambda: __import__('isolated_hooks').build_many)",
        "FAILED PolicyError",
    ),
    "a policy file": (
        "open('policy.toml', 'w').write('[tool.isolated-hooks]\\nnetwork = [\"10.0.0.5:443\"]\\n')\n"
        "from isolated_hooks import load_policy\nload_policy('policy.toml')",
        "",
    ),
    "a policy that is wrong": ("failing(lambda: caller(netwrok=True))", "FAILED TypeError"),
    "the default runner": ("caller(None).build_wheel('out')", ""),
}


@pytest.mark.parametrize("calls", CALLS)
def test_a_caller_imports_nothing_after_its_first_hook_began(calls: str, tmp_path: Path) -> None:
    code, words = CALLS[calls]
    project = write_project(tmp_path / "project", extra=_FAILING)
    (tmp_path / "out" / "m").mkdir(parents=True)
    late, output = late_imports(_CALLS + code, tmp_path, str(project))
    assert late == []
    assert words in output


def test_a_launcher_of_another_distribution_is_imported_with_its_caller(tmp_path: Path) -> None:
    project, more = write_project(tmp_path / "project"), tmp_path / "more"
    (more / "mine-1.0.dist-info").mkdir(parents=True)
    (more / "mine-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (more / "mine-1.0.dist-info" / "entry_points.txt").write_text("[isolated_hooks.launchers]\nmine = mine:Mine\n")
    (more / "mine.py").write_text("Mine = dict\n")
    before, after = _CALLS.split("first.get_requires_for_build_wheel()")
    code = f"{before}\nother = caller(launcher='mine')\nfirst.get_requires_for_build_wheel(){after}"
    code += "failing(other.build_wheel, 'out'); print('mine' in sys.modules)"
    late, output = late_imports(code, tmp_path, str(project), PYTHONPATH=str(more))
    assert late == []
    assert "FAILED SandboxUnavailableError\nTrue" in output


def test_the_spy_sees_a_late_import(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    code = f"{_CALLS}\nfor name in ('tomllib', 'tomllib._parser'): sys.modules.pop(name, None)\n"
    code += "import isolated_hooks.files.documents as d\nsource = open(d.__file__).read()\n"
    code += "exec(compile('import quopri, this', d.__file__, 'exec'))"
    late, _ = late_imports(code, tmp_path, str(project))
    assert any(line.startswith("LATE this ") for line in late)


@pytest.mark.parametrize("arguments", [("-n", "-w"), ("-n",), ("-n", "--metadata"), ("-n", "-w", "--explain-denials")])
def test_build_causes_no_import_of_ours(arguments: tuple[str, ...], tmp_path: Path) -> None:
    write_project(tmp_path / "project", without=("get_requires_for_build_wheel",))
    late, output = late_imports(f"main('build', *{arguments!r}, 'project')", tmp_path)
    assert late == []
    assert "CODE 0" in output


def test_a_build_that_fails_causes_no_import_of_ours(tmp_path: Path) -> None:
    failing = "def build_wheel(directory, config_settings=None, metadata_directory=None): open('/srv/none', 'w')"
    write_project(tmp_path / "project", without=("get_requires_for_build_wheel",), extra=failing)
    late, output = late_imports("main('build', '-n', '-w', '--report', 'report.json', 'project')", tmp_path)
    assert late == []
    assert "CODE 1" in output


@pytest.mark.slow
def test_a_build_with_an_environment_causes_no_import_of_ours(tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for name in ("static", "dynamic"):
        write_wheel(links, name)
    write_needy(tmp_path / "project", ["static"], ["dynamic"])
    late, output = late_imports(
        "main('build', '-w', 'project')", tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS=os.fspath(links)
    )
    assert "CODE 0" in output, output
    assert late == []


def test_run_causes_no_import_of_ours(tmp_path: Path) -> None:
    for command, code in (("true", 0), ("false", 1)):
        late, output = late_imports(f"main('run', '--', {command!r})", tmp_path)
        assert late == []
        assert f"CODE {code}" in output


def test_pip_causes_no_import_of_ours(tmp_path: Path) -> None:
    write_project(tmp_path / "project")
    code = "main('pip', 'wheel', '--no-index', '--no-deps', '--no-build-isolation', './project')"
    late, output = late_imports(code, tmp_path)
    assert "CODE 0" in output, output
    assert late == []


@pytest.mark.skipif(importlib.util.find_spec("fromager") is None, reason="fromager is not installed")
def test_fromager_causes_no_import_of_ours(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=_FAILING)
    code = f"""
from pathlib import Path
from types import SimpleNamespace
from isolated_hooks import Policy
from isolated_hooks.frontends import fromager
from fromager import dependencies
with fromager.swapped(lambda _: Policy()):
    project, isolation = Path({os.fspath(project)!r}), True
    filters = SimpleNamespace(keep_env=[], delete_env=[], DEFAULT_KEEP_ENV=())
    made = dependencies.get_build_backend_hook_caller(
        ctx=SimpleNamespace(settings=SimpleNamespace(external_commands=filters), network_isolation=True),
        req=SimpleNamespace(name="example"),
        build_dir=project,
        override_environ={{}},
        build_env=SimpleNamespace(
            python=sys.executable, sdist_root_dir=project, get_venv_environ=lambda **_: {{"VIRTUAL_ENV": sys.prefix}}
        ),
        log_filename=None,
    )
    made.get_requires_for_build_wheel()
    made.build_wheel("out")
    try:
        made.prepare_metadata_for_build_editable("out")
    except Exception as error:
        print(type(error))
"""
    (tmp_path / "out").mkdir()
    late, _ = late_imports(code, tmp_path)
    assert late == []


@pytest.mark.parametrize("first", ["from isolated_hooks import IsolatedHookCaller", "import isolated_hooks"])
def test_a_frontend_that_changes_to_the_source_tree_imports_nothing_from_there(first: str, tmp_path: Path) -> None:
    """``python -c`` and the prompt of Python put the current directory on ``sys.path``, under an empty name."""
    tree = write_project(tmp_path / "tree")
    (tmp_path / "start").mkdir()
    for name in ("pyproject_hooks", "packaging", "inspect", "tomllib", "tarfile", "zipfile", "logging", "ipaddress"):
        (tree / f"{name}.py").write_text(f"raise SystemExit('the tree was imported: {name}')\n")
    code = f"""
import os, sys
assert sys.path[0] == ""
{first}
os.chdir({os.fspath(tree)!r})
from isolated_hooks import *
IsolatedHookCaller(".", "backend", ["."])
print("isolated_hooks.run.hook" in sys.modules, "tomllib" in sys.modules or "tomli" in sys.modules)
assert not any(type(finder).__module__.startswith("isolated_hooks") for finder in sys.meta_path)
"""
    argv = [sys.executable, "-c", code]
    done = subprocess.run(
        argv, cwd=tmp_path / "start", env=clean_environ(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True True\n", "")
    control = "import os; os.chdir(os.environ['TREE']); import tarfile"
    argv = [sys.executable, "-c", control]
    environ = clean_environ(TREE=os.fspath(tree))
    assert b"the tree was imported" in subprocess.run(argv, env=environ, capture_output=True, check=False).stderr
