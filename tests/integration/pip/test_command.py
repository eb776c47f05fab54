"""``isolated-hooks pip``: pip as ever, with every hook in a sandbox, in every pip that it starts."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.index import write_wheel
from support.lanes import first_fast
from support.projects import (
    CLI,
    WHEEL,
    clean_environ,
    command,
    contents,
    facts,
    nothing_left,
    run_text,
    running,
    write_project,
)
from support.repository import NARROW

from isolated_hooks import Policy
from isolated_hooks.frontends.pip import Records, pip_command
from isolated_hooks.frontends.pip import program as piprunner
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

OFFLINE = ("--no-index", "--no-cache-dir")
# Sees, from inside, that this is the sandbox.
SANDBOXED = """
def get_requires_for_build_wheel(config_settings=None):
    tell(home=os.environ["HOME"])
    return []
"""

HOSTILE = """
import base64, hashlib, os, zipfile

CANARY = {canary!r}
HERE = os.path.dirname(CANARY)
TAG = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
METADATA = "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n"


def attack(where):
    try:
        with open(CANARY, "a") as file:
            print(where, file=file)
    except OSError:
        pass


attack("backend of {name}")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = {{
        "{name}.py": "NAME = {name!r}\\n",
        "{name}.pth": f"import os; os.access({{HERE!r}}, os.W_OK) and open({{CANARY + '-pth'!r}}, 'a').write('x')\\n",
        "{name}-1.0.dist-info/METADATA": METADATA,
        "{name}-1.0.dist-info/WHEEL": TAG,
    }}
    record = ""
    name = "{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{{path}},sha256={{digest}},{{len(text.encode())}}\\n"
            wheel.writestr(path, text)
        wheel.writestr("{name}-1.0.dist-info/RECORD", record + "{name}-1.0.dist-info/RECORD,,\\n")
    return name
"""


def sdist(directory: Path, name: str, backend: str, requires: str = "[]") -> Path:
    """Write an sdist with an in-tree backend."""
    directory.mkdir(parents=True, exist_ok=True)
    pyproject = f'[build-system]\nrequires = {requires}\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": pyproject, "backend.py": backend, "PKG-INFO": f"Name: {name}\nVersion: 1.0\n"}
    path = directory / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"{name}-1.0/{file}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", extra=SANDBOXED)


def test_a_wheel_is_built_and_the_hooks_are_told_of(project: Path, tmp_path: Path) -> None:
    done = command("pip", "wheel", *OFFLINE, "-w", tmp_path / "out", project)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]
    assert facts(project)[0] == {"home": "/sandbox"}
    assert "* Ran 3 hooks in a sandbox: get_requires_for_build_wheel, prepare_metadata_for_build_wheel" in done.stderr
    assert "Building wheel for example (pyproject.toml)" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("by_us", [True, False])
def test_a_build_requirement_that_exists_as_hostile_sdist_alone(by_us: bool, tmp_path: Path) -> None:
    """A pip that pip starts builds it, and its .pth file is in the build environment from then on."""
    canary = tmp_path / "canary"
    links = tmp_path / "links"
    sdist(links, "evil", HOSTILE.format(canary=os.fspath(canary), name="evil"))
    needs_more = "\ndef get_requires_for_build_wheel(config_settings=None):\n    return ['worse']\n"
    sdist(links, "worse", HOSTILE.format(canary=os.fspath(canary), name="worse"), "['evil']")
    sdist(tmp_path, "good", HOSTILE.format(canary=os.fspath(canary), name="good") + needs_more, "['evil']")
    arguments = ("wheel", *OFFLINE, "--find-links", links, "-w", tmp_path / "out", tmp_path / "good-1.0.tar.gz")
    # The option is not handed down to the pips that pip starts.
    environ = {"PIP_NO_CACHE_DIR": "1"}
    argv = ["pip", *arguments]
    done = command(*argv, environ=environ) if by_us else run_text([sys.executable, "-m", *argv], environ=environ)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == ["good-1.0-py3-none-any.whl"]
    attacks = canary.read_text().splitlines() if canary.exists() else []
    if by_us:
        assert attacks == []
        assert not (tmp_path / "canary-pth").exists()
        # Of good, of worse, and of evil for each of them.
        assert "* Ran 12 hooks in a sandbox: " in done.stderr
    else:
        assert {"backend of evil", "backend of worse", "backend of good"} <= set(attacks), "the attack is none"
        assert (tmp_path / "canary-pth").exists(), "the .pth file is none"


@pytest.mark.slow
def test_the_command_for_others(project: Path, tmp_path: Path) -> None:
    with Records() as records:
        argv = [*pip_command(Policy(env_keep=["KEPT"]), records=records), "wheel", *OFFLINE, "-w", tmp_path, project]
        done = run_text(argv)
        record = records.read()
    assert done.returncode == 0, done.stderr
    assert facts(project)[0] == {"home": "/sandbox"}
    assert [report.hook for report in record.reports][-1] == "build_wheel"
    assert record.problems == ()


@pytest.mark.slow
def test_pip_in_the_process_of_another_program(project: Path, tmp_path: Path) -> None:
    program = f"""
        import sys
        from isolated_hooks import Policy
        from isolated_hooks.frontends.pip import embedded
        with embedded(Policy()) as reports:
            from pip._internal.cli.main import main
            code = main(["wheel", "--no-index", "-w", {os.fspath(tmp_path)!r}, {os.fspath(project)!r}])
        print(len(reports), "told")
        from pip._internal.req import req_install
        print(req_install.ConfiguredBuildBackendHookCaller.__mro__[1].__name__)
        sys.exit(code)
    """
    done = run_text([sys.executable, "-c", textwrap.dedent(program)])
    assert done.returncode == 0, done.stderr
    assert facts(project)[0] == {"home": "/sandbox"}
    assert done.stdout.splitlines()[-2:] == ["3 told", "BuildBackendHookCaller"]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The interpreter of a virtual environment without pip."""
    venv.create(tmp_path / "environment", with_pip=False, symlinks=True)
    return tmp_path / "environment" / "bin" / "python"


@pytest.mark.slow
def test_an_editable_install_into_another_environment(project: Path, environment: Path) -> None:
    """pip runs itself again with that interpreter, which has no package of ours, and keeps the swap."""
    (project / "example_module.py").write_text("ANSWER = 42\n")
    (project / "backend.py").write_text((project / "backend.py").read_text() + SANDBOXED.replace("_wheel", "_editable"))
    done = command("pip", "--python", environment, "install", "--no-index", "-e", project)
    assert done.returncode == 0, done.stderr
    assert "* Ran 4 hooks in a sandbox: _supported_features, get_requires_for_build_editable" in done.stderr
    assert {"home": "/sandbox"} in facts(project)
    imported = run_text([environment, "-c", "import example_module; print(example_module.ANSWER)"], cwd="/")
    assert imported.stdout == "42\n", imported.stderr
    installed = json.loads(command("pip", "--python", environment, "list", "--format", "json").stdout)
    assert [entry["name"] for entry in installed] == ["example"]


@pytest.mark.slow
def test_an_install_that_keeps_later_imports_out(project: Path, tmp_path: Path) -> None:
    done = command("pip", "install", "--no-index", "--target", tmp_path / "target", project)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "example.py").exists()
    assert "* Ran 3 hooks in a sandbox" in done.stderr


@pytest.mark.parametrize(
    ("extra", "options", "code", "said"),
    first_fast(
        [
            (
                "def build_wheel(d, c=None, m=None):\n    return '../x.whl'\n",
                (),
                1,
                "single plain path component: ../x.whl",
            ),
            (
                "def build_wheel(d, c=None, m=None):\n    time.sleep(60)\n",
                ("--time-limit", "1"),
                1,
                "ended after 1 second",
            ),
            ("def build_wheel(d, c=None, m=None):\n    raise ValueError('no')\n", (), 1, "Failed building wheel"),
            ("def prepare_metadata_for_build_wheel(d, c=None):\n    return '..'\n", (), 1, "name has to"),
            (
                "",
                (
                    "--env-keep",
                    "=",
                ),
                2,
                "env_keep",
            ),
            ("", ("--config", "/nonexistent"), 2, "cannot be read"),
            ("", ("--pip", "/nonexistent"), 2, "there is no pip in"),
            ("", ("--bogus",), 2, "no such option"),
        ],
        1,
    ),
)
def test_what_goes_wrong_is_told(extra: str, options: Sequence[str], code: int, said: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=SANDBOXED + extra)
    done = command("pip", *options, "wheel", *OFFLINE, "-w", tmp_path / "out", project)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr.replace("Traceback (most recent call last):\n        File", "")


@pytest.mark.slow
def test_quiet_and_verbose(project: Path, tmp_path: Path) -> None:
    quiet = command("pip", "-q", "wheel", *OFFLINE, "-w", tmp_path, project)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    (project / "backend.py").write_text((project / "backend.py").read_text() + "\nprint('said by the backend')\n")
    for options, shown in ((("-v",), True), ((), False)):
        done = command("pip", "wheel", *options, *OFFLINE, "-w", tmp_path, project)
        assert ("said by the backend" in done.stdout + done.stderr) == shown, done


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    first_fast(
        [
            (("--version",), 0, "pip "),
            (("--help",), 0, "sandbox options"),
            (("help", "wheel"), 0, "isolated-hooks pip wheel"),
            (("wheel", "--help"), 0, "isolated-hooks pip wheel"),
            (("list",), 0, "pip"),
            (("wheel",), 1, "You must give at least one requirement"),
            (("wheel", "--bogus"), 2, "no such option"),
            (("nothing",), 1, "unknown command"),
        ],
        3,
    ),
)
def test_what_builds_nothing_is_as_ever(arguments: Sequence[str], code: int, said: str) -> None:
    done = command("pip", *arguments)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
    assert "in a sandbox: " not in done.stderr


def fake_pip(directory: Path, files: Mapping[str, str]) -> Path:
    """Write a package with the name pip."""
    needed = ("__init__", "_internal/__init__", "_internal/cli/__init__", "_internal/commands/__init__")
    needed += ("_internal/req/__init__", "_internal/utils/__init__", "_internal/operations/__init__")
    for name, text in {**dict.fromkeys(needed, ""), **files}.items():
        path = directory / "pip" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


STARTER = "def get_runnable_pip(): return '/bin/false'\n"
REQUIREMENT = "from pip._internal.caller import ConfiguredBuildBackendHookCaller\ndef load_pyproject_toml(): ...\n"
CALLER = """
class BuildBackendHookCaller:
    def __init__(self, source_dir, build_backend, runner=None):
        self.source_dir = source_dir
    def build_wheel(self): ...
    build_sdist = get_requires_for_build_wheel = prepare_metadata_for_build_wheel = subprocess_runner = build_wheel

class ConfiguredBuildBackendHookCaller(BuildBackendHookCaller): ...
"""
FAKE = {
    "__init__": "__version__ = '99.0'\n",
    "_internal/exceptions": "class InstallationError(Exception): ...\n",
    "_internal/caller": CALLER,
    "_internal/build_env": STARTER,
    "_internal/cli/main_parser": STARTER,
    "_internal/req/req_install": REQUIREMENT,
    "_internal/utils/subprocess": "import subprocess\n",
    "_internal/operations/prepare": "import shutil\ndef unpack_file(*_): ...\n",
    "_internal/operations/install/__init__": "",
    "_internal/network/__init__": "",
    "_internal/network/cache": "class SafeFileCache:\n    def get(self, key): ...\n",
    "_internal/cli/req_command": "def install_req_from_req_string(*_): ...\n",
    "_internal/cache": "class Cache: ...\n",
    "_internal/operations/install/wheel": "class PipScriptMaker:\n    def make(self): ...\n",
    **{
        f"_internal/commands/{name}": "import shutil, pip._internal.req.req_install, pip._internal.utils.subprocess\n"
        "import pip._internal.operations.prepare, pip._internal.cli.req_command\n"
        for name in ("download", "install", "wheel")
    },
}


@pytest.mark.parametrize(
    ("changes", "said"),
    first_fast(
        [
            (
                {"_internal/req/req_install": "def load_pyproject_toml(): ...\n"},
                "ConfiguredBuildBackendHookCaller' does not exist",
            ),
            ({"_internal/build_env": ""}, "does not support pip 99.0"),
            ({"_internal/cli/main_parser": ""}, "starts further pips in an unknown way"),
            ({"_internal/req/req_install": REQUIREMENT.partition("def")[0]}, "reads pyproject.toml in an unknown way"),
            ({"_internal/utils/subprocess": ""}, "starts hooks in an unknown way"),
            ({"_internal/operations/prepare": "def unpack_file(*_): ...\n"}, "saves wheels in an unknown way"),
            ({"_internal/operations/prepare": "import shutil\n"}, "unpacks sdists in an unknown way"),
            ({"_internal/cli/req_command": ""}, "reads dependencies in an unknown way"),
            ({"_internal/cache": ""}, "caches in an unknown way"),
            ({"_internal/operations/install/wheel": ""}, "writes scripts in an unknown way"),
            ({"_internal/commands/wheel": "import nothing_of_that_name\n"}, "nothing_of_that_name"),
        ],
        2,
    ),
)
def test_a_pip_in_which_there_is_nothing_to_swap_is_refused(changes: dict[str, str], said: str, tmp_path: Path) -> None:
    main = "print('it was run')\ndef main(args): print('it was run')\n"
    whole = fake_pip(tmp_path / "whole", {**FAKE, "_internal/cli/main": main})
    assert "it was run" in command("pip", "--pip", whole, "list").stdout, "the fake is none"
    broken = fake_pip(tmp_path / "broken", {**FAKE, "_internal/cli/main": main, **changes})
    done = command("pip", "--pip", broken, "list")
    assert (done.returncode, done.stdout) == (2, ""), done.stdout
    assert said in done.stderr


@pytest.mark.parametrize(
    ("main", "said"),
    first_fast(
        [
            ("subprocess.run([sys.executable, '-c', 'print(\"outside\")'])", "outside of any known hook"),
            ("os.execv(sys.executable, [sys.executable, '-c', 'print(\"outside\")'])", "outside of any known hook"),
            (
                "from pip._internal.caller import BuildBackendHookCaller; BuildBackendHookCaller('.', 'x')",
                "without a sandbox",
            ),
        ],
        1,
    ),
)
def test_what_gets_past_the_swap_is_refused(main: str, said: str, tmp_path: Path) -> None:
    text = f"import os, subprocess, sys\ndef main(args):\n    {main}\n"
    fake = fake_pip(tmp_path, {**FAKE, "_internal/cli/main": text})
    done = command("pip", "--pip", fake, "list")
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_pip_within_the_source_tree_is_refused(project: Path, tmp_path: Path) -> None:
    """A hook could change it, and the next pip that it starts would run that."""
    shutil.copytree(os.path.dirname(importlib.util.find_spec("pip").origin), project / "pip")  # type: ignore[union-attr,type-var]
    done = command("pip", "--pip", project, "wheel", *OFFLINE, "-w", tmp_path, project)
    assert done.returncode == 2
    assert "where a hook could change it" in done.stderr
    assert facts(project) == []


def test_a_pip_in_the_current_directory_is_not_run(project: Path) -> None:
    fake_pip(project, {"_internal/cli/main": "raise SystemExit('of the source tree')\n"})
    done = command("pip", "--version", cwd=project)
    assert done.returncode == 0, done.stderr


def test_the_runner_says_by_itself_what_it_is() -> None:
    done = run_text([sys.executable, piprunner.__file__, "list"])
    assert (done.returncode, done.stdout) == (2, "")
    assert "run 'isolated-hooks pip'" in done.stderr


_TALKING = """
def get_requires_for_build_wheel(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    print("::set-env name=X::1")
    print("\\x1b]0;title\\x07 \\x1b[31mred\\x1b[0m ##vso[task.setvariable]1", flush=True)
    {end}
    return _wheel(wheel_directory, {{"example.py": ""}})
"""


@pytest.mark.slow
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)"], ids=["verbose", "failing"])
def test_what_a_hook_prints_steers_neither_terminal_nor_ci(end: str, raw: bool, tmp_path: Path) -> None:
    """pip shows it with -v, and if the hook fails."""
    project = write_project(tmp_path / "project", extra=_TALKING.format(end=end))
    own = ["--raw-output"] if raw else []
    shown = ["-v"] if end == "pass" else []
    done = command("pip", *own, "wheel", *shown, *OFFLINE, "-w", tmp_path / "out", project)
    said = done.stdout + done.stderr
    assert "title" in said, said
    assert ("\x1b]0;" in said) is raw
    assert ("##vso[" in said) is raw
    assert (re.search("^ *::set-env", said, re.MULTILINE) is not None) is raw


# Where pip puts what was built.

_LINKING = """
def get_requires_for_build_wheel(config_settings=None): return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    place, target = {place!r}, {target!r}
    if os.path.isdir(place):
        os.rmdir(place)
    if not os.path.lexists(place):
        os.symlink(target, place)
    return _wheel(wheel_directory, {{}})
"""


@pytest.mark.slow
@pytest.mark.parametrize("directory", first_fast([".", "wheels"]))
def test_a_link_that_a_hook_makes_where_the_wheel_goes_is_not_followed(directory: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    project = tmp_path / "project"
    place, target = (project / WHEEL, victim / "file") if directory == "." else (project / directory, victim)
    write_project(project, extra=_LINKING.format(place=str(place), target=str(target)))
    arguments = ["wheel", *OFFLINE, "-w", directory, "."]
    done = command("pip", *arguments, cwd=project)
    assert contents(victim) == {"file": b"precious"}
    if directory == ".":
        assert done.returncode == 0, done.stderr
        assert place.is_file() and not place.is_symlink()
        place.unlink()
    else:
        assert done.returncode == 1
        assert "was replaced by a link while hooks were run" in done.stderr
        place.unlink()
    assert run_text([sys.executable, "-m", "pip", *arguments], project).returncode == 0
    assert contents(victim) != {"file": b"precious"}, "pip does not follow it either"


@pytest.mark.slow
def test_what_a_hook_makes_of_an_unpacked_sdist_is_removed(tmp_path: Path) -> None:
    """pip removes it by shutil.rmtree, which ends pip with a RecursionError on Python 3.12 and older."""
    deep = "for _ in range(3000): os.mkdir('d'); os.chdir('d')\n    os.chdir('/')"
    extra = f"def build_wheel(d, *_):\n    {deep}\n    return _wheel(d, {{}})"
    project = write_project(tmp_path / "example-1.0", extra=extra)
    sdist = tmp_path / "example-1.0.tar.gz"
    with tarfile.open(sdist, "w:gz") as packed:
        packed.add(project, "example-1.0")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path / "out")
    with nothing_left(tmp_path):
        done = command("pip", "wheel", *OFFLINE, *options, sdist)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]


@pytest.mark.slow
def test_a_link_where_a_wheel_of_a_dependency_goes_is_not_followed(tmp_path: Path) -> None:
    """The link leads to a file that does not exist; pip does not overwrite existing files."""
    (tmp_path / "links").mkdir()
    write_wheel(tmp_path / "links", "dependency")
    project = write_project(tmp_path / "project")
    name = "dependency-1.0-py3-none-any.whl"
    (project / name).symlink_to(tmp_path / "made")
    arguments = ["wheel", "--no-index", "--find-links", tmp_path / "links", "dependency"]
    assert command("pip", *arguments, cwd=project).returncode == 0
    assert not (tmp_path / "made").exists()
    assert not (project / name).is_symlink()
    (project / name).unlink()
    (project / name).symlink_to(tmp_path / "made")
    assert run_text([sys.executable, "-m", "pip", *map(str, arguments)], project).returncode == 0
    assert (tmp_path / "made").exists(), "pip does not follow it either"


_REPORTING = """
def get_requires_for_build_wheel(config_settings=None):
    os.path.lexists({place!r}) or os.symlink({target!r}, {place!r})
    return []
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("install", "--dry-run", "--ignore-installed", "--report", "pylock.toml", "."),
        ("install", "--dry-run", "--ignore-installed", "--report", "deep/pylock.toml", "."),
        ("lock", "--output", "pylock.toml", "."),
    ],
    ids=["report", "directory", "lock"],
)
def test_what_else_pip_writes_goes_by_no_link_of_a_hook(arguments: tuple[str, ...], tmp_path: Path) -> None:
    if arguments[0] == "lock" and run_text([sys.executable, "-m", "pip", "help", "lock"]).returncode:
        pytest.skip("this pip has no such command")
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "pylock.toml").write_text("precious")
    name = arguments[-2]
    project = tmp_path / "project"
    linked = name.partition("/")[0]
    target = victim if linked != name else victim / "pylock.toml"
    write_project(project, extra=_REPORTING.format(place=linked, target=str(target)))
    arguments = (arguments[0], *OFFLINE, *arguments[1:])
    done = command("pip", *arguments, cwd=project)
    assert done.returncode == 1, done.stderr
    assert f"{os.fspath(project / linked)!r} leads out of the source tree, and a hook may have made" in done.stderr
    assert contents(victim) == {"pylock.toml": b"precious"}
    assert run_text([sys.executable, "-m", "pip", *arguments], project).returncode == 0
    assert contents(victim) != {"pylock.toml": b"precious"}, "pip does not follow it either"


@pytest.mark.slow
def test_a_program_with_pip_in_it_saves_by_no_link_of_a_hook(tmp_path: Path) -> None:
    """Whose directory for downloads lies in the source tree, as a cache of pip-tools may."""
    victim = tmp_path / "victim"
    project = tmp_path / "project"
    write_project(project, extra=_LINKING.format(place=str(project / WHEEL), target=str(victim)))
    program = f"""
        import contextlib, sys
        from isolated_hooks import Policy
        from isolated_hooks.frontends.pip import embedded
        with embedded(Policy()) if sys.argv[1] == "ours" else contextlib.nullcontext():
            from pip._internal.cli.main import main
            sys.exit(main(["wheel", *{OFFLINE!r}, "-w", {os.fspath(project)!r}, {os.fspath(project)!r}]))
    """
    done = run_text([sys.executable, "-c", textwrap.dedent(program), "ours"])
    assert done.returncode != 0
    assert "leads out of the source tree" in done.stderr
    assert not victim.exists()
    assert run_text([sys.executable, "-c", textwrap.dedent(program), "theirs"]).returncode == 0
    assert victim.exists(), "pip does not follow it either"


@pytest.mark.slow
def test_links_of_the_users_own_are_followed(project: Path, tmp_path: Path) -> None:
    """They lead to the source tree, or within it."""
    (project / "reports").mkdir()
    (project / "within").symlink_to("reports")
    (tmp_path / "link").symlink_to(project)
    report = tmp_path / "link" / "within" / "report.json"
    done = command("pip", "install", "--dry-run", "--ignore-installed", *OFFLINE, "--report", report, project)
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "reports" / "report.json").read_text())["install"]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "code"), [(["--bad-option"], 2), ([], 3)])
def test_a_usage_error_is_one_on_any_host(options: list[str], code: int, project: Path) -> None:
    argv = [sys.executable, NARROW, "unshare=EPERM", "--", *CLI, "pip", *OFFLINE, "wheel", *options, project]
    done = run_text(argv)
    assert done.returncode == code, done.stderr
    assert ("no such option: --bad-option" in done.stderr) is (code == 2)
    assert ("the sandbox is not available on this host" in done.stderr) is (code == 3)
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_next_call_removes_what_a_killed_one_leaves(number: int, tmp_path: Path) -> None:
    slow = "import time\ndef build_wheel(*_):\n    open('started', 'w').close()\n    time.sleep(600)\n"
    project = write_project(tmp_path / "project", extra=slow)
    with nothing_left(tmp_path, at_once=False) as temporary:
        environ = clean_environ(TMPDIR=os.fspath(temporary))
        argv = [*CLI, "pip", "wheel", *OFFLINE, "--no-build-isolation", "-w", os.fspath(tmp_path), os.fspath(project)]
        with subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            assert until(lambda: (project / "started").exists(), seconds=60)
            process.send_signal(number)
        assert os.listdir(temporary)
        assert until(lambda: not running(temporary))
        command("run", "--", "true", cwd=project, environ={"TMPDIR": os.fspath(temporary)})
