"""The plug-in against the interface that fromager's authors propose (its pull request 1171).

A factory of our own makes the calls, which knows nothing but the Protocols. Each test runs with what the functions look
at of fromager's objects, and where fromager is installed, with its own ``WorkContext`` as well.
"""

from __future__ import annotations

import importlib
import inspect
import io
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.documents import code_block
from support.factory import Factory, plain_context
from support.projects import FEW_FILES, INFO, SDIST, WHEEL, facts, nothing_left, outcome, run_text, running
from support.repository import NARROW

from isolated_hooks import PolicyError, SandboxUnavailableError, UntrustedResultError
from isolated_hooks.frontends import fromager_plugin
from isolated_hooks.frontends.fromager import plugin
from isolated_hooks.frontends.fromager.policies import SCRUB, SWITCH

pytestmark = pytest.mark.usefixtures("sandbox")

Make = Callable[..., Factory]


@pytest.fixture(params=["stand-in", "fromager"])
def context(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ``WorkContext``, or what stands for one."""
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.delenv(SCRUB, raising=False)
    monkeypatch.setenv("PATH", FEW_FILES["PATH"])
    work = tmp_path / "work-dir"
    if request.param == "stand-in":
        return plain_context(work)
    context = pytest.importorskip("fromager.context", reason="fromager is not installed")
    places = {name: tmp_path / name for name in ("patches_dir", "sdists_repo", "wheels_repo")}
    return context.WorkContext(active_settings=None, work_dir=work, network_isolation=True, **places)


@pytest.fixture
def make(context: Any) -> Make:
    """Makes a factory for a package."""
    return lambda *arguments, **options: Factory(fromager_plugin, context, *arguments, **options)


@pytest.fixture
def package(make: Make) -> Factory:
    return make()


# The shape of the interface.


@pytest.mark.parametrize("name", ["setup_sandbox", "teardown_sandbox"])
def test_the_lifecycle_takes_three_keywords(name: str) -> None:
    signature = inspect.signature(getattr(fromager_plugin, name))
    assert [(p.name, p.kind, p.default) for p in signature.parameters.values()] == [
        (name, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty) for name in ("ctx", "req", "sdist_root_dir")
    ]


@pytest.mark.parametrize("name", ["run_sandboxed", "run_unconfined"])
def test_the_commands_take_a_part_of_what_subprocess_takes(name: str) -> None:
    first, *others = inspect.signature(getattr(fromager_plugin, name)).parameters.values()
    assert (first.name, first.kind) == ("args", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in others)
    assert [p.name for p in others if p.default is inspect.Parameter.empty] == ["ctx", "req", "sdist_root_dir"]
    optional = [p.name for p in others if p.default is None]
    assert optional == ["stdin", "stdout", "stderr", "cwd", "timeout", "text", "env"]


def test_the_settings_of_the_document_name_each_function() -> None:
    lines = code_block("frontends/fromager.rst", "yaml", "external_commands").splitlines()
    assert lines[0] == "external_commands:"
    names = dict(line.strip().split(": ") for line in lines[1:] if line.strip())
    assert list(names) == ["setup_sandbox", "teardown_sandbox", "run_sandboxed", "run_unconfined"]
    for name, where in names.items():
        module, _, function = where.partition(":")
        assert getattr(importlib.import_module(module), function) is getattr(fromager_plugin, name)


def test_fromagers_own_type_for_settings_finds_each_function() -> None:
    pydantic = pytest.importorskip("pydantic", reason="fromager is not installed")
    for name in ("setup_sandbox", "teardown_sandbox", "run_sandboxed", "run_unconfined"):
        found = pydantic.TypeAdapter(pydantic.ImportString).validate_python(
            f"isolated_hooks.frontends.fromager_plugin:{name}"
        )
        assert found is getattr(fromager_plugin, name)


# What subprocess.run promises.

_SAME = {
    "success": (["/bin/true"], {}),
    "a code": (["/bin/sh", "-c", "exit 7"], {}),
    "a signal": (["/bin/sh", "-c", "kill -9 $$"], {}),
    "another signal": (["/bin/sh", "-c", "kill -SEGV $$"], {}),
    "bytes": ([b"/bin/echo", b"caf\xc3\xa9 \xff"], {"stdout": subprocess.PIPE}),
    "a path": ([Path("/bin/echo"), Path("a/b")], {"stdout": subprocess.PIPE}),
    "mixed": (["/bin/echo", b"bytes", Path("path")], {"stdout": subprocess.PIPE}),
    "a tuple": (("/bin/echo", "x"), {"stdout": subprocess.PIPE}),
    "a name": (["echo", "by", "name"], {"stdout": subprocess.PIPE}),
    "text": (["/bin/sh", "-c", "printf 'a\\r\\nb'"], {"stdout": subprocess.PIPE, "text": True}),
    "no text": (["/bin/sh", "-c", "printf 'a\\r\\nb'"], {"stdout": subprocess.PIPE, "text": False}),
    "both streams": (["/bin/sh", "-c", "echo o; echo e >&2"], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}),
    "one stream": (["/bin/sh", "-c", "echo o; echo e >&2"], {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}),
    "no output": (
        ["/bin/sh", "-c", "echo o; echo e >&2"],
        {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL},
    ),
    "no input": (["/bin/cat"], {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}),
    "a pipe as input": (["/bin/cat"], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}),
    "an empty environment": (["/bin/echo", "x"], {"stdout": subprocess.PIPE, "env": {}}),
    "no such program": (["/bin/there-is-none"], {}),
    "no such name": (["there-is-none-of-this-name"], {}),
    "no program": (["/etc/passwd"], {}),
    "a directory": (["/usr"], {}),
    "nothing": ([], {}),
    "a null byte": (["/bin/echo", "a\0b"], {}),
    "no such directory": (["/bin/true"], {"cwd": "missing"}),
    "a file as directory": (["/bin/true"], {"cwd": "pyproject.toml"}),
    "a wrong type": ([3], {}),
    "no file": (["/bin/cat"], {"stdin": io.StringIO("text")}),
}


@pytest.mark.parametrize("case", _SAME)
def test_the_result_is_that_of_subprocess(case: str, package: Factory) -> None:
    args, options = _SAME[case]
    if "cwd" in options:
        options = {**options, "cwd": package.tree / options["cwd"]}

    def described(call: Any, *arguments: Any, **more: Any) -> Any:
        done = outcome(call, *arguments, **{"cwd": package.tree, **options, **more})
        is_process = isinstance(done, subprocess.CompletedProcess)
        return (done.args, done.returncode, done.stdout, done.stderr) if is_process else done

    expected = described(subprocess.run, args)
    assert described(fromager_plugin.run_sandboxed, args, **package.arguments) == expected
    assert described(fromager_plugin.run_unconfined, args, **package.arguments) == expected


def test_stdin_is_a_file(package: Factory, tmp_path: Path) -> None:
    (tmp_path / "given.txt").write_text("given\n")
    with open(tmp_path / "given.txt") as file:
        assert package.run("/bin/cat", stdin=file, stdout=subprocess.PIPE, text=True).stdout == "given\n"


def test_stdin_is_empty_unless_it_is_given(package: Factory) -> None:
    assert package.shell("cat; readlink /proc/self/fd/0").stdout == "/dev/null\n"


def test_output_goes_to_a_file(package: Factory) -> None:
    log = package.unit / "build.log"
    with open(log, "wb") as file:
        package.run("/bin/sh", "-c", "echo out; echo err >&2", stdout=file, stderr=subprocess.STDOUT)
    assert log.read_text() == "out\nerr\n"


def test_a_time_limit_ends_the_command_and_keeps_its_output(package: Factory, tmp_path: Path) -> None:
    script = ["/bin/sh", "-c", "echo before; exec sleep 60"]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True, "timeout": 1.5}
    with pytest.raises(subprocess.TimeoutExpired) as expected:
        subprocess.run(script, check=False, **options)
    with nothing_left(tmp_path), pytest.raises(subprocess.TimeoutExpired) as caught:
        package.run(*script, **options)
    for name in ("timeout", "output", "stderr"):
        assert getattr(caught.value, name) == getattr(expected.value, name)
    assert list(caught.value.cmd) == script


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_at_all_is_a_time_limit(timeout: float, package: Factory) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        package.run("/bin/true", timeout=timeout)
    assert caught.value.timeout == timeout


def test_a_longer_time_limit_than_that_of_the_policy_is_none(
    package: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.toml").write_text("limits = { wall-time = 1 }\n")
    monkeypatch.setenv(SWITCH, str(tmp_path / "policy.toml"))
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        package.run("/bin/sleep", "60", timeout=50)
    assert caught.value.timeout == 1


def test_no_environment_means_that_of_fromager_without_secrets(
    package: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "-O1")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    assert package.shell("echo [$CFLAGS] [$SOME_TOKEN]").stdout == "[-O1] []\n"


def test_an_environment_is_the_whole_environment(package: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-O1")
    given = {"GIVEN": "yes", "PATH": os.environ["PATH"]}
    assert package.shell("echo [$CFLAGS] [$GIVEN]", env=given).stdout == "[] [yes]\n"


def test_the_default_directory_is_the_source_tree(package: Factory) -> None:
    assert package.shell("pwd").stdout == f"{package.tree}\n"


@pytest.mark.parametrize("spelled", [str, os.fsencode, Path])
def test_the_directory_is_any_of_the_unit(spelled: Callable[[str], Any], package: Factory) -> None:
    inner = package.tree / "inner"
    inner.mkdir()
    for directory in (package.unit, inner, package.dist):
        assert package.shell("pwd", cwd=spelled(str(directory))).stdout == f"{directory}\n"
    assert package.shell("echo x > above", cwd=inner).returncode == 0
    assert (inner / "above").read_text() == "x\n"


def test_a_directory_outside_is_refused(package: Factory, tmp_path: Path) -> None:
    (package.tree / "link").symlink_to(tmp_path)
    for outside in ("/", tmp_path, package.unit / "..", package.tree / "link"):
        with pytest.raises(PolicyError, match="outside of what the build may see"):
            package.run("/bin/true", cwd=outside)


# The unit.


def test_a_command_may_write_beside_its_source_tree_and_nowhere_else(package: Factory, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    done = package.shell(
        f"echo a > ../made; mkdir ../tmp; echo b > ../dist/a.whl; echo c > in; cat {tmp_path}/secret.txt"
    )
    assert "No such file" in done.stderr
    made = {name: (package.unit / name).read_text() for name in ("made", "dist/a.whl", f"{package.tree.name}/in")}
    assert list(made.values()) == ["a\n", "b\n", "c\n"]
    assert all((package.unit / name).stat().st_uid == os.geteuid() for name in made)
    # What one command has made, the next one may change.
    assert package.shell("echo d > ../made && mv ../made ../tmp/moved").returncode == 0
    assert (package.unit / "tmp" / "moved").read_text() == "d\n"


def test_the_build_environment_stays_as_it_is(make: Make) -> None:
    package = make()
    environment = package.environment()
    before = sorted(os.listdir(environment / "bin"))
    attack = f"""
        echo x > {environment}/bin/python3; rm {environment}/bin/python3; mv {environment} {package.unit}/moved
        mv {environment}/bin {environment}/nib; echo x > {environment}/lib/x.pth; touch {environment}/pyvenv.cfg
        rm -rf {environment}
    """
    assert "Read-only file system" in package.shell(attack).stderr
    assert sorted(os.listdir(environment / "bin")) == before
    # And it works: as an interpreter by its path and by its name.
    for python in (f"{environment}/bin/python3", "python3"):
        done = package.run(
            *(python, "-c", "import sys; print(sys.prefix)"),
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": f"{environment}/bin:{os.environ['PATH']}"},
        )
        assert done.stdout == f"{environment}\n"


_STEERING = {
    "the log as a link": "ln -s {outside}/victim ../build.log",
    "requirements": "echo evil > ../build-backend-requirements.txt",
    "requirements as a link": "ln -s {outside}/victim ../requirements.txt",
    "an environment": "mkdir -p ../build-9.9.9/bin",
    "a link under any name": "ln -s {outside} ../anything",
    "a FIFO": "mkfifo ../anything",
    "a link as artefact": "ln -s {outside}/victim ../dist/example-1.0-py3-none-any.whl",
    "a FIFO as artefact": "mkfifo ../dist/example-1.0.tar.gz",
    "a second name": "echo x > ../dist/a && ln ../dist/a ../dist/b",
    "a link as dist": "rmdir ../dist 2>/dev/null; mv ../dist ../tsid 2>/dev/null; ln -s {outside} ../dist; mkfifo ../f",
}


@pytest.mark.parametrize("case", _STEERING)
def test_no_command_steers_what_fromager_does_next(case: str, package: Factory, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(UntrustedResultError):
        package.shell(_STEERING[case].format(outside=outside))
    assert sorted(os.listdir(package.unit)) == ["dist", package.tree.name]
    assert package.dist.is_dir() and not package.dist.is_symlink() and os.listdir(package.dist) == []
    assert os.listdir(outside) == []


def test_what_was_refused_is_protected_once_fromager_makes_it(package: Factory) -> None:
    with pytest.raises(UntrustedResultError):
        package.shell("mkdir ../build-9.9.9")
    (package.unit / "build-9.9.9").mkdir()
    package.shell("echo x > ../build-9.9.9/x.pth")
    assert os.listdir(package.unit / "build-9.9.9") == []


def test_files_of_fromager_stay_as_they_are(package: Factory) -> None:
    for name in ("build.log", "build-backend-requirements.txt"):
        (package.unit / name).write_text("as it was")
    (package.unit / "current").symlink_to("build.log")
    package.shell("for f in build.log build-backend-requirements.txt; do echo x > ../$f; rm ../$f; mv ../$f ../y; done")
    assert (package.unit / "build.log").read_text() == "as it was"
    assert (package.unit / "build-backend-requirements.txt").read_text() == "as it was"
    with pytest.raises(UntrustedResultError, match="link that was changed"):
        package.shell("rm ../current; echo x > ../current")


def test_a_unit_of_everything_is_refused(context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("tree")
    monkeypatch.setenv("HOME", str(tmp_path))
    package = Factory(fromager_plugin, context)
    for tree, words in (
        ("tree", "contains the home"),
        ("file", "not a directory"),
        ("link", "no link"),
        ("no", "No such"),
    ):
        with pytest.raises(PolicyError, match=words):
            package.commands.setup_sandbox(**{**package.arguments, "sdist_root_dir": tmp_path / tree})


# Hooks.


def test_hooks_build_a_wheel_with_their_files_in_the_unit(package: Factory, tmp_path: Path) -> None:
    with nothing_left(tmp_path), package.set_up():
        assert package.hook("get_requires_for_build_wheel") == (0, ["packaging>=1"])
        metadata = package.unit / "metadata"
        metadata.mkdir()
        where = {"metadata_directory": str(metadata), "_allow_fallback": False}
        assert package.hook("prepare_metadata_for_build_wheel", **where) == (0, INFO)
        assert package.hook("build_sdist", sdist_directory=str(package.dist)) == (0, SDIST)
        assert package.wheel() == WHEEL
    assert sorted(os.listdir(package.dist)) == [WHEEL, SDIST]
    assert sorted(os.listdir(package.unit)) == ["dist", package.tree.name, "metadata"]
    assert [fact["hook"] for fact in facts(package.tree)][-1] == "build_wheel"


def test_hooks_run_with_the_interpreter_of_the_environment(make: Make) -> None:
    package = make(extra="tell(prefix=sys.prefix)")
    environment = package.environment()
    assert package.wheel(python=environment / "bin" / "python3") == WHEEL
    assert facts(package.tree)[0]["prefix"] == str(environment)


def test_an_environment_of_fromagers_own_builds_and_stays_as_it_is(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    environments = pytest.importorskip("fromager.build_environment", reason="fromager is not installed")
    if not os.path.exists(f"{sys.prefix}/bin/uv"):
        pytest.skip("uv is not installed beside fromager")
    package = make(
        extra="tell(prefix=sys.prefix)\ntry:\n    open(sys.prefix + '/evil.pth', 'w')\nexcept OSError:\n    pass\n"
    )
    if not isinstance(package.arguments["ctx"], sys.modules["fromager.context"].WorkContext):
        pytest.skip("with fromager's own context only")
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin:{os.environ['PATH']}")
    package.arguments["ctx"].network_isolation = False  # of uv, which has nothing to ask for
    environment = environments.BuildEnvironment(**package.arguments)
    before = sorted(os.listdir(environment.path))
    with package.set_up():
        assert package.wheel(python=environment.python) == WHEEL
        script = "import sys; print(sys.prefix); open(sys.prefix + '/evil.pth', 'w')"
        variables = {**os.environ, **environment.get_venv_environ()}
        done = package.run("python3", "-c", script, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert os.fsdecode(done.stdout) == f"{environment.path}\n" and b"Read-only file system" in done.stderr
    assert facts(package.tree)[0]["prefix"] == str(environment.path)
    assert sorted(os.listdir(environment.path)) == before


_FORGING = """
def get_requires_for_build_wheel(config_settings=None):
    for name in os.listdir(".."):
        for forged in (f"../{name}/output.json", f"../{name}/input.json"):
            try:
                os.remove(forged)
                open(forged, "w").write('{"return_val": ["evil"]}')
            except OSError:
                pass
        try:
            os.rename(f"../{name}", f"../was-{name}")
            os.symlink(os.getcwd(), f"../{name}")
        except OSError as error:
            tell(refused=name)
    return ["packaging>=1"]
"""


def test_a_hook_does_not_steer_the_control_files_of_its_call(make: Make) -> None:
    package = make(extra=_FORGING)
    assert package.hook("get_requires_for_build_wheel") == (0, ["packaging>=1"])
    refused = [fact for fact in facts(package.tree) if "refused" in fact]
    assert len(refused) == 3  # its control directory, dist and the source tree
    assert sorted(os.listdir(package.unit)) == ["dist", package.tree.name]


def test_a_hook_that_fails_returns_its_code(make: Make) -> None:
    package = make(extra="def get_requires_for_build_wheel(config_settings=None):\n    os._exit(5)\n")
    assert package.hook("get_requires_for_build_wheel") == (5, None)
    killed = make("killed", extra="def build_sdist(*_):\n    os.kill(os.getpid(), 9)\n")
    assert killed.hook("build_sdist", sdist_directory=str(killed.dist)) == (-signal.SIGKILL, None)


def test_a_wheel_stays_as_it_was_built(package: Factory) -> None:
    package.wheel()
    wheel = package.dist / WHEEL
    before = wheel.read_bytes()
    assert package.shell(f"echo x > {wheel}; rm {wheel}; mv {wheel} {wheel}.old").returncode != 0
    assert wheel.read_bytes() == before


def test_neither_kind_of_command_reaches_the_network(make: Make) -> None:
    connect = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"  # RFC 5737: nobody's
    package = make(extra=f"def get_requires_for_build_wheel(config_settings=None):\n    {connect}\n")
    environment = package.environment()
    done = package.run(environment / "bin" / "python3", "-c", connect, stderr=subprocess.PIPE)
    assert b"unreachable" in done.stderr
    assert package.hook("get_requires_for_build_wheel")[0] == 1


# The life cycle.


def test_nothing_is_left_after_a_build(package: Factory, tmp_path: Path) -> None:
    before = sorted(os.listdir(package.unit))
    with nothing_left(tmp_path), package.set_up():
        package.run("/bin/true")
    assert sorted(os.listdir(package.unit)) == before


def test_a_set_up_that_fails_is_torn_down(package: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise SandboxUnavailableError(["nothing"], "none")

    monkeypatch.setattr(plugin, "check_host", refuse)
    with nothing_left(tmp_path), pytest.raises(SandboxUnavailableError), package.set_up():
        pytest.fail("the build must not begin")


def test_a_wrong_policy_fails_in_the_set_up(package: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy.toml").write_text("netwrok = true\n")
    monkeypatch.setenv(SWITCH, str(tmp_path / "policy.toml"))
    with nothing_left(tmp_path), pytest.raises(PolicyError, match="netwrok"), package.set_up():
        pytest.fail("the build must not begin")


def test_a_tear_down_needs_nothing(package: Factory, tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        package.commands.teardown_sandbox(**package.arguments)
        package.commands.setup_sandbox(**package.arguments)
        package.commands.setup_sandbox(**package.arguments)
        package.commands.teardown_sandbox(**package.arguments)
        package.commands.teardown_sandbox(**package.arguments)
        gone = {**package.arguments, "sdist_root_dir": tmp_path / "gone" / "gone"}
        package.commands.teardown_sandbox(**gone)
        assert package.run("/bin/true").returncode == 0  # nor does a command


_KILLED = """
import os, pathlib, sys
sys.path.insert(0, sys.argv[1])
from support.documents import code_block
from support.factory import Factory, plain_context
from isolated_hooks.frontends import fromager_plugin
package = Factory(fromager_plugin, plain_context(pathlib.Path(sys.argv[2])), "killed")
package.commands.setup_sandbox(**package.arguments)
package.run("/bin/sh", "-c", "echo begun > begun; exec sleep 600")
"""


def test_a_tear_down_removes_what_a_killed_fromager_has_left(package: Factory, tmp_path: Path) -> None:
    tests = pathlib.Path(__file__).parents[2]
    with nothing_left(tmp_path, at_once=False) as temporary:
        argv = [sys.executable, "-c", _KILLED, tests, package.unit.parent]
        with subprocess.Popen(argv, env={**os.environ, "TMPDIR": str(temporary)}) as process:
            begun = package.unit.parent / "killed-1.0" / "killed-1.0" / "begun"
            while not begun.exists() and process.poll() is None:
                threading.Event().wait(0.05)
            process.kill()
        assert begun.exists() and os.listdir(temporary)
        while os.listdir(temporary) and running(temporary):
            package.commands.teardown_sandbox(**package.arguments)
            threading.Event().wait(0.05)
        package.commands.teardown_sandbox(**package.arguments)
        assert os.listdir(temporary) == []


def test_packages_in_parallel_do_not_disturb_each_other(make: Make, tmp_path: Path) -> None:
    packages = [make(f"example{number}") for number in range(6)]

    def build(package: Factory) -> Any:
        number = packages.index(package)
        with package.set_up():
            others = [str(other.unit) for other in packages if other is not package]
            seen = package.shell(f"ls {' '.join(others)}; echo {number} > ../dist/mine; exit {number}")
            return package.hook("get_requires_for_build_wheel"), seen.returncode, seen.stdout, package.wheel()

    with nothing_left(tmp_path), ThreadPoolExecutor(4) as pool:
        results = list(pool.map(build, packages))
    assert results == [((0, ["packaging>=1"]), number, "", WHEEL) for number in range(6)]
    for number, package in enumerate(packages):
        assert sorted(os.listdir(package.dist)) == [WHEEL, "mine"]
        assert (package.dist / "mine").read_text() == f"{number}\n"


def test_commands_of_one_package_run_one_after_another(package: Factory) -> None:
    script = "test ! -e ../busy && echo x > ../busy && sleep 0.3 && rm ../busy"
    with ThreadPoolExecutor(3) as pool:
        assert [done.returncode for done in pool.map(package.shell, [script] * 3)] == [0, 0, 0]


# Policies.


def test_each_package_has_its_own_policy(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "policy.toml").write_text(
        f"""
        [tool.isolated-hooks.packages.Special]
        expose = ["{tmp_path}/shown"]
        source = "read-only"
        [tool.isolated-hooks.packages.trusted]
        hooks = ["build_editable"]
        """
    )
    monkeypatch.setenv(SWITCH, str(tmp_path / "policy.toml"))
    script = (
        f"ls -d {tmp_path}/shown; echo x > made; echo x > ../made; echo x > ../dist/made; ls /proc/{os.getpid()}/ns"
    )
    results = {}
    for name in ("plain", "special", "trusted"):
        package = make(name)
        with package.set_up():
            shown = package.shell(script).stdout
        made = [n for n in (f"{package.tree.name}/made", "made", "dist/made") if (package.unit / n).exists()]
        results[name] = (f"{tmp_path}/shown" in shown, [os.path.dirname(n) for n in made], "mnt" in shown)
    assert results == {
        "plain": (False, ["plain-1.0", "", "dist"], False),
        "special": (True, ["dist"], False),
        "trusted": (True, ["trusted-1.0", "", "dist"], True),
    }


def test_a_host_without_a_sandbox_builds_what_the_policy_takes_out(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise SandboxUnavailableError(["nothing"], "none")

    (tmp_path / "policy.toml").write_text('[packages.trusted]\nhooks = ["build_editable"]\n')
    monkeypatch.setenv(SWITCH, str(tmp_path / "policy.toml"))
    monkeypatch.setattr(plugin, "check_host", refuse)
    with make("trusted").set_up():
        pass
    with pytest.raises(SandboxUnavailableError), make("other").set_up():
        pytest.fail("the build must not begin")


_CONFINED = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from support.factory import Factory, plain_context
from isolated_hooks.frontends import fromager_plugin
package = Factory(fromager_plugin, plain_context(pathlib.Path(sys.argv[2])), "confined")
environment = package.environment()
with package.set_up():
    package.shell(f"echo x > in; echo x > ../dist/made; echo x > ../made; echo x > {environment}/x.pth")
    assert package.hook("get_requires_for_build_wheel", python=environment / "bin/python3") == (0, ["packaging>=1"])
    package.wheel(python=environment / "bin/python3")
print(*sorted(entry.relative_to(package.unit) for entry in package.unit.glob("*/*") if entry.name in sys.argv[3:]))
print(*sorted(entry.name.partition("-3")[0] for entry in package.unit.iterdir()))
"""


def test_without_namespaces_a_command_writes_to_its_tree_and_dist_alone(
    package: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.toml").write_text('allow-degraded = ["no-namespaces"]\n')
    monkeypatch.setenv(SWITCH, str(tmp_path / "policy.toml"))
    tests = pathlib.Path(__file__).parents[2]
    narrow = (sys.executable, NARROW, "unshare=EPERM", "--")
    script = (sys.executable, "-W", "ignore", "-c", _CONFINED, tests, package.unit.parent)
    done = run_text([*narrow, *script, "in", "made", "x.pth", WHEEL], environ=FEW_FILES)
    assert done.stdout.splitlines() == [f"confined-1.0/in dist/{WHEEL} dist/made", "build confined-1.0 dist"], (
        done.stderr
    )


def test_another_limit_than_time_is_a_code_and_a_word_in_the_log(
    package: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "policy.toml").write_text('limits = { file-size = "64KiB" }\n')
    monkeypatch.setenv(SWITCH, str(tmp_path / "policy.toml"))
    done = package.run("/bin/dd", "if=/dev/zero", "of=large", "bs=128k", "count=1", stderr=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGXFSZ
    assert "it exceeded the limit 'file_size'" in caplog.text


def test_no_command_steers_how_the_next_one_is_started(package: Factory) -> None:
    package.shell("mkdir lib && echo garbage > lib/libc.so.6")
    variables = {**os.environ, "LD_LIBRARY_PATH": f"{package.tree}/lib"}
    assert package.run("/bin/true", env=variables).returncode == 0


def test_variables_that_fromager_scrubs_are_gone(package: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCRUB, "GIVEN")
    assert package.shell("echo [$GIVEN]", env={**os.environ, "GIVEN": "x"}).stdout == "[]\n"


def test_an_error_of_the_set_up_is_no_exit_code(package: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCRUB, "not a name")
    with pytest.raises(PolicyError, match=SCRUB):
        package.run("/bin/true")
