"""``isolated-hooks build`` does what ``python -m build`` does: the same artefacts, output, messages and exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.lanes import fast, first_fast
from support.projects import (
    SDIST,
    WHEEL,
    cannot_run,
    command,
    contents,
    facts,
    nothing_left,
    run_text,
    write_project,
)
from support.repository import FIXTURES
from support.together import commands, refused

pytestmark = pytest.mark.usefixtures("sandbox")

# Arguments for build, run in a directory that holds ``project`` and what the test below puts beside it.
WORKING = {
    "source directory": "-n project",
    "sdist": "-n -s project",
    "wheel": "-nw project",
    "both from the tree": "-n -s -w project",
    "long options": "--no-isolation --wheel --outdir new/deep project",
    "shortened options": "--no-iso --whe --outd new project",
    "options last": "project -w -n",
    "two dashes": "-n -w -- project",
    "output beside": "-n -w -o out project",
    "output here": "-n -w -o . project",
    "output is the source": "-n -w -o project project",
    "output is the source's parent, absolute": "-n -s -o {base} project",
    "output over a link": "-n -w -o link project",
    "output beneath a link": "-n -w -o link/new project",
    "one setting": "-n -w -C key=value project",
    "settings": "-n -w -C key=1 -C key=2 -C--option=a=b -Cempty= -C--network project",
    "a setting without a value": "-n -w -C bare project",
    "settings by JSON": '-n -w --config-json {{"a":["--network",1,null]}} project',
    "unchecked": "-n -x -w needy",
    "quiet": "-n -w -q project",
    "quieter": "-n -w -qq project",
    "quiet with others": "-nwq project",
    "verbose": "-n -w -v project",
    "metadata": "-n --metadata project",
    "metadata of a wheel": "--metadata given/example-1.0-py3-none-any.whl",
    "a report": "-n --report report.json project",
    "an sdist": "-n given/example-1.0.tar.gz",
    "an sdist to another place": "-n -w -o out given/example-1.0.tar.gz",
    "kept sources": "-n --sdist-extract-dir kept project",
    "output of the backend": "-n -w loud",
}
FAILING = {
    "no such option": "--no-such-option project",
    "an option without its value": "-n project -o",
    "an option of ours without its value": "-n project --expose",
    "exclusive options": "-n --env-dir env project",
    "a wheel to build": "-n given/example-1.0-py3-none-any.whl",
    "an sdist from an sdist": "-n -s given/example-1.0.tar.gz",
    "JSON that is none": "-n --config-json { project",
    "not a project": "-n empty",
    "not there": "-n missing",
    "a file": "-n given/notes.txt",
    "an sdist that is none": "-n given/broken-1.0.tar.gz",
    "output is a file": "-n -w -o given/notes.txt project",
    "missing requirements": "-n -w needy",
    "a failing backend": "-n -w failing",
    "a failing backend, quietly": "-n -w -q failing",
    "an exiting backend": "-n -s failing",
    "no such backend": "-n -w no-backend",
    "a missing hook": "-n -s without-sdist",
    "a broken pyproject.toml": "-n broken-toml",
}
_WORKING_FAST = ("source directory", "an sdist", "output of the backend")
_FAILING_FAST = ("no such option", "a failing backend")


def write_base(base: Path) -> Path:
    """Write a directory with all that the cases above name."""
    write_project(base / "project")
    loud = "print('from the backend'); sys.stdout.flush(); print('its errors', file=sys.stderr)"
    write_project(base / "loud", extra=loud)
    failing = "def build_wheel(*_): raise RuntimeError('not today')\ndef build_sdist(*_): sys.exit('and not there')"
    write_project(base / "failing", extra=failing)
    write_project(base / "without-sdist", without=["build_sdist"])
    for name, old, new in (
        ("needy", "requires = []", 'requires = ["no-such-requirement>=1"]'),
        ("no-backend", '"backend"', '"elsewhere"'),
        ("broken-toml", "]", ""),
    ):
        path = write_project(base / name) / "pyproject.toml"
        path.write_text(path.read_text().replace(old, new, 1))
    for name in ("empty", "out", "linked", "given"):
        (base / name).mkdir()
    (base / "link").symlink_to("linked")
    (base / "given" / "notes.txt").write_text("no project")
    (base / "given" / "broken-1.0.tar.gz").write_text("no archive")
    with tarfile.open(base / "given" / SDIST, "w:gz") as sdist:
        for name in ("pyproject.toml", "backend.py"):
            sdist.add(base / "project" / name, f"example-1.0/{name}")
        (base / "given" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
        sdist.add(base / "given" / "PKG-INFO", "example-1.0/PKG-INFO")
    with zipfile.ZipFile(base / "given" / WHEEL, "w") as wheel:
        wheel.write(base / "given" / "PKG-INFO", "example-1.0.dist-info/METADATA")
    return base


def both(arguments: list[str], tmp_path: Path) -> list[subprocess.CompletedProcess[str]]:
    """Run build and ours in equal directories at the same path, compare what they leave, and return what they said."""
    done, left = [], []
    base, original = tmp_path / "base", write_base(tmp_path / "original")
    for program in ("build", "isolated_hooks build"):
        shutil.copytree(original, base, symlinks=True)
        argv = [sys.executable, "-m", *program.split(), *arguments]
        with nothing_left(tmp_path):
            done.append(run_text(argv, cwd=base))
        left.append(contents(base))
        if "report.json" in left[-1]:
            report = json.loads(left[-1]["report.json"] or b"")
            report.pop("isolated_hooks", None)  # what we add to build's own schema, see test_report.py
            left[-1]["report.json"] = json.dumps(report).encode()
        shutil.rmtree(base)
    assert left[1] == left[0]
    return done


@pytest.mark.parametrize("case", fast(WORKING, _WORKING_FAST))
def test_what_works_is_the_same(case: str, tmp_path: Path) -> None:
    plain, ours = both([part.format(base=tmp_path / "base") for part in WORKING[case].split()], tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout), ours.stderr
    shown = re.sub(r"isolated-hooks-\w+", "", ours.stderr)
    assert shown.startswith(plain.stderr)
    added = shown.removeprefix(plain.stderr)
    if "quiet" in case or case == "metadata of a wheel":
        assert added == ""
    else:
        assert re.match(r"\* Ran \d hooks? in a sandbox: ", added)
        assert "  active: filesystem," in added


@pytest.mark.parametrize("case", fast(FAILING, _FAILING_FAST))
def test_what_fails_is_the_same(case: str, tmp_path: Path) -> None:
    plain, ours = both(FAILING[case].split(), tmp_path)
    assert plain.returncode in (1, 2)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout), ours.stderr
    if case == "an option of ours without its value":
        assert "argument --expose: expected one argument" in ours.stderr
        return
    usage = "isolated-hooks build: error: "
    if usage in ours.stderr:  # argparse's: the usage that comes before has our options as well
        assert ours.stderr.rpartition(usage)[2] == plain.stderr.rpartition("python -m build: error: ")[2]
    else:
        # A traceback that ends in pyproject_hooks may name the line of our caller, so what counts is the last line.
        assert plain.stderr.splitlines()[-1] in ours.stderr.splitlines()
        assert not re.search(r"isolated_hooks/\w+\.py", ours.stderr)


@pytest.mark.slow
def test_options_that_end_at_once(tmp_path: Path) -> None:
    for option in ("--version", "-V"):
        plain = run_text([sys.executable, "-m", "build", option], cwd=tmp_path)
        ours = command("build", option, cwd=tmp_path)
        assert (ours.returncode, ours.stdout, ours.stderr) == (0, plain.stdout, "")
    plain = run_text([sys.executable, "-m", "build", "--help"], cwd=tmp_path)
    ours = command("build", "--help", cwd=tmp_path)
    assert ours.returncode == 0
    theirs = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", plain.stdout))
    assert len(theirs) > 20
    assert theirs - set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", ours.stdout)) <= {"-m"}
    for option in ("--config FILE", "--network", "--expose PATH", "--env-keep NAME", "--time-limit SECONDS"):
        assert option in ours.stdout
    assert ours.stdout.startswith("usage: isolated-hooks build ")
    assert os.listdir(tmp_path) == []


# Build environments.


def isolated(arguments: list[str | Path], tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    # Without requirements, so nothing has to be fetched.
    extra = "if sys.argv[1:2] == ['build_wheel']: tell(prefix=sys.prefix)"
    project = write_project(tmp_path / "project", extra=extra, without=["get_requires_for_build_wheel"])
    done = command("build", "-w", "-o", tmp_path / "out", *arguments, project, cwd=tmp_path, environ=environ)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]
    return done


def prefix_of(project: Path) -> str:
    """Return the prefix of the interpreter that built the wheel."""
    (prefix,) = [told["prefix"] for told in facts(project) if "prefix" in told]
    return str(prefix)


def test_an_environment_of_pip(tmp_path: Path) -> None:
    with nothing_left(tmp_path) as temporary:
        isolated([], tmp_path)
        assert prefix_of(tmp_path / "project").startswith(os.fspath(temporary))


def test_an_environment_in_a_directory_of_the_users(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        isolated(["--env-dir", "environment"], tmp_path)
    assert prefix_of(tmp_path / "project") == os.fspath(tmp_path / "environment")


@pytest.mark.network
def test_an_environment_of_uv(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", os.fspath(tmp_path / "tools"), "uv"]
    if run_text(install).returncode:
        cannot_run("uv cannot be installed")
    path = f"{tmp_path / 'tools' / 'bin'}:{os.environ.get('PATH', os.defpath)}"
    # With its cache in view of nobody, as it is in a home.
    done = isolated(["--installer", "uv"], tmp_path, PATH=path, UV_CACHE_DIR=os.fspath(tmp_path / "cache"))
    assert "venv+uv" in done.stderr
    assert prefix_of(tmp_path / "project") != sys.prefix


@pytest.mark.network
def test_a_real_project_with_a_c_extension(tmp_path: Path) -> None:
    if not shutil.which("cc") and not shutil.which("gcc"):
        cannot_run("there is no C compiler")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "setuptools>=77"]
    if run_text([*download, "--dest", tmp_path / "downloaded"]).returncode:
        cannot_run("setuptools cannot be downloaded")
    project = tmp_path / "project"
    shutil.copytree(FIXTURES / "c-extension", project, ignore=shutil.ignore_patterns("dist", "build", "*.egg-info"))
    with nothing_left(tmp_path):
        done = command("build", project, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sdist, wheel = sorted(os.listdir(project / "dist"), reverse=True)
    assert done.stdout == f"Successfully built {sdist} and {wheel}\n" or wheel in done.stdout
    wheels = [name for name in os.listdir(project / "dist") if name.endswith(".whl")]
    assert len(wheels) == 1
    assert "linux" in wheels[0]
    with zipfile.ZipFile(project / "dist" / wheels[0]) as archive:
        archive.extractall(tmp_path / "installed")
    use = [sys.executable, "-c", "import fastsum._fastsum as f; print(f.__file__)"]
    done = run_text(use, cwd=tmp_path / "installed")
    assert done.stdout.startswith(os.fspath(tmp_path / "installed")), done.stderr


# The options of ours.

_LOOK = """
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    import socket
    places = config_settings["places"]
    seen = {place: os.path.exists(place) for place in places}
    for place in places:
        try:
            with open(os.path.join(place, "written"), "w"): seen[place] = "written"
        except OSError: pass
    tell(seen=seen, environ=sorted(os.environ), links=len(socket.if_nameindex()))
    return _wheel(wheel_directory, {})
"""


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """Directories that a hook cannot see by default."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return [os.fspath(tmp_path / name) for name in ("one", "two")]


def look(options: list[str], places: list[str], tmp_path: Path, **environ: str) -> dict[str, object]:
    """Return the paths that a hook sees under these options."""
    project = write_project(tmp_path / "project", extra=_LOOK)
    settings = ["--config-json", json.dumps({"places": places})]
    done = command("build", "-nw", *settings, *options, "project", cwd=tmp_path, environ=environ)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = facts(project)[-1]
    return told


@pytest.mark.slow
def test_options_make_the_policy(places: list[str], tmp_path: Path) -> None:
    told = look([], places, tmp_path, OURS_A="1", OURS_B="2", CFLAGS="-O1")
    assert told["seen"] == dict.fromkeys(places, False)
    assert told["links"] == 1
    assert {"OURS_A", "OURS_B", "CFLAGS"} & set(told["environ"]) == {"CFLAGS"}  # type: ignore[call-overload]
    options = ["--expose", "one", f"--writable={places[1]}", "--env-keep", "OURS_*", "--env-delete", "CFLAGS"]
    told = look(options, places, tmp_path, OURS_A="1", OURS_B="2", CFLAGS="-O1")
    assert told["seen"] == {places[0]: True, places[1]: "written"}
    assert {"OURS_A", "OURS_B", "CFLAGS"} & set(told["environ"]) == {"OURS_A", "OURS_B"}  # type: ignore[call-overload]
    told = look([*options, "--hide", "two"], places, tmp_path)
    assert told["seen"] == {places[0]: True, places[1]: False}


def test_the_network_is_given_where_it_is_asked_for(tmp_path: Path) -> None:
    import socket

    if len(socket.if_nameindex()) < 2:
        pytest.skip("this host has nothing but a loopback itself")
    assert look(["--network"], [], tmp_path)["links"] == len(socket.if_nameindex())


@pytest.mark.slow
def test_a_file_makes_the_policy_and_options_add_to_it(places: list[str], tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        f'[tool.isolated-hooks]\nexpose = ["{places[0]}"]\n'
        '[tool.isolated-hooks.packages.example]\nenv-keep = ["OURS_A"]\n'
    )
    told = look(["--config", "policy.toml"], places, tmp_path, OURS_A="1")
    assert told["seen"] == {places[0]: True, places[1]: False}
    assert "OURS_A" not in told["environ"]  # type: ignore[operator]
    options = ["--config", "policy.toml", "--package", "Example", "--expose", "two"]
    told = look(options, places, tmp_path, OURS_A="1")
    assert told["seen"] == dict.fromkeys(places, True)
    assert "OURS_A" in told["environ"]  # type: ignore[operator]


def test_the_projects_own_table_is_not_read(places: list[str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=_LOOK)
    with open(project / "pyproject.toml", "a") as file:
        file.write(f'\n[tool.isolated-hooks]\nnetwork = true\nexpose = ["{places[0]}"]\n')
    settings = ["--config-json", json.dumps({"places": places})]
    assert command("build", "-nw", *settings, project, cwd=tmp_path).returncode == 0
    (told,) = [entry for entry in facts(project) if "seen" in entry]
    assert told["seen"] == dict.fromkeys(places, False)
    assert told["links"] == 1


#: Wrong options, with what the error says.
WRONG = {
    ("--config", "missing.toml"): "missing.toml: cannot be read",
    ("--package", "example"): "add --config FILE",
    ("--config", "wrong.toml"): "nettwork",
    ("--config", "type.toml"): "network",
    ("--config", "notes.txt"): "not valid TOML",
    ("--source", "elsewhere"): "--source",
    ("--time-limit", "-1"): "--time-limit: expected a positive number of seconds up to 2147483647, got -1",
    ("--time-limit", "soon"): "--time-limit",
    ("--expose", "missing"): "does not exist",
    ("--env-keep", "=A"): "env_keep",
}


def test_a_wrong_policy_is_a_usage_error(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="tell(imported=True)")
    (tmp_path / "wrong.toml").write_text("nettwork = true\n")
    (tmp_path / "type.toml").write_text('network = "yes"\n')
    (tmp_path / "notes.txt").write_text("not = = toml")
    with nothing_left(tmp_path):
        ended = commands([("build", "-nw", *options, "project") for options in WRONG], tmp_path)
    refused(WRONG, ended)
    assert facts(project) == []
    assert not (project / "dist").exists()


@pytest.mark.slow
def test_the_time_limit_ends_a_build(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="def build_wheel(*_): time.sleep(600)")
    with nothing_left(tmp_path):
        done = command("build", "-nw", "--time-limit", "2", "project", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (1, "")
    assert "ended after 2 seconds: limit 'wall_time'" in done.stderr
    assert contents(project / "dist") == {}


def test_a_result_that_is_refused_fails_the_build(tmp_path: Path) -> None:
    extra = "def build_wheel(d, *_): os.symlink('/etc/hostname', os.path.join(d, WHEEL)); return WHEEL"
    project = write_project(tmp_path / "project", extra=extra)
    with nothing_left(tmp_path):
        done = command("build", "-nw", "project", cwd=tmp_path)
    assert done.returncode == 1
    assert "the hook's result was refused: " in done.stderr
    assert contents(project / "dist") == {}


def test_what_was_kept_from_the_hooks_is_named_without_its_value(tmp_path: Path) -> None:
    write_project(tmp_path / "project")
    done = command("build", "-nw", "project", cwd=tmp_path, environ={"SOME_TOKEN": "value-of-it"})
    assert "SOME_TOKEN" in done.stderr
    assert "value-of-it" not in done.stderr + done.stdout


# What build unpacks.

# Its own check, for the versions of Python without the filter, takes each link by its words: up2 seems to stay inside.
_SLIPPING = """
def build_sdist(sdist_directory, config_settings=None):
    def add(name, text=b"", link=""):
        member = tarfile.TarInfo("example-1.0/" + name)
        member.size, member.linkname = len(text), link
        member.type = tarfile.SYMTYPE if link else tarfile.REGTYPE
        sdist.addfile(member, io.BytesIO(text))

    with tarfile.open(os.path.join(sdist_directory, SDIST), "w:gz") as sdist:
        for name in ("pyproject.toml", "backend.py"):
            add(name, open(os.path.join(HERE, name), "rb").read())
        add("PKG-INFO", METADATA.encode())
        add("a/b/file")
        add("a/b/up", link="../..")
        add("a/b/up2", link="up/../..")
        add("a/b/up2/slipped", b"outside")
    return SDIST
"""


@pytest.mark.parametrize("given", first_fast([False, True]))
def test_an_sdist_that_unpacks_to_other_places_is_not_unpacked(given: bool, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=_SLIPPING)
    unpacked = tmp_path / "unpacked" / "here"
    arguments = ["-n", "-o", "out", "--sdist-extract-dir", unpacked]
    if given:
        done = command("build", "-n", "-s", "-o", "given", project, cwd=tmp_path)
        assert done.returncode == 1, "the hook's own is refused"
        plainly = [sys.executable, "-m", "build", "-n", "-s", "-o", "given", project]
        assert run_text(plainly, tmp_path).returncode == 0
        project = tmp_path / "given" / SDIST
    # As on a Python without the filter, whichever this one is: build's own check is what is left.
    (tmp_path / "old.py").write_text(_AS_ON_OLD_PYTHON)
    for module, code in (("build", 0), ("isolated_hooks", 1)):
        shutil.rmtree(unpacked.parent, ignore_errors=True)
        done = run_text([sys.executable, "old.py", module, *arguments, project], tmp_path)
        assert done.returncode == code, done.stderr
        assert (unpacked.parent / "slipped").exists() == (module == "build")
    assert "a member of an archive must not lie within a file" in done.stderr


_AS_ON_OLD_PYTHON = """
import sys
import tarfile
from pathlib import Path
import build.__main__
import build._compat.tarfile as compat

def extract(tar, path):
    base = Path(path).resolve()
    for member in tar.getmembers():
        compat._validate_safe_member(member, base)
    tar.extractall(path, **({"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}))

build.__main__.safe_extractall = extract
module, *arguments = sys.argv[1:]
if module == "build":
    sys.exit(build.__main__.main(arguments))
from isolated_hooks.cli import main
sys.exit(main(["build", *arguments]))
"""


DEEP = "for _ in range(3000): os.mkdir('d'); os.chdir('d')\n    os.chdir('/')"
CLOSED = "os.makedirs('closed/deep/er'); os.chmod('closed/deep', 0); os.chmod('closed', 0)"


@pytest.mark.slow
@pytest.mark.parametrize("made", [DEEP, CLOSED], ids=["deep", "closed"])
def test_what_a_hook_makes_of_an_unpacked_sdist_is_removed(made: str, tmp_path: Path) -> None:
    """build unpacks the sdist that it has built, and shutil.rmtree leaves some trees or fails."""
    extra = f"def build_wheel(d, *_):\n    {made}\n    return _wheel(d, {{}})"
    project = write_project(tmp_path / "project", extra=extra)
    with nothing_left(tmp_path):
        done = command("build", "-n", "-o", tmp_path / "out", project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == [WHEEL, SDIST]


# Where it is started.


@pytest.mark.parametrize("closed", first_fast(["012", "1", "2"]))
def test_it_builds_without_standard_streams(closed: str, tmp_path: Path) -> None:
    extra = "def build_wheel(d, *_): print('said'); return _wheel(d, {})"
    project = write_project(tmp_path / "project", extra=extra)
    close = " ".join(f"{number}>&-" for number in closed)
    argv = [sys.executable, "-m", "isolated_hooks", "build", "-nw", "-o", tmp_path / "out", project]
    done = run_text(["sh", "-c", f'exec "$@" {close}', "sh", *argv])
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]


@pytest.mark.slow
@pytest.mark.parametrize("options", [("-m", "isolated_hooks"), ("-misolated_hooks",)])
def test_nothing_is_imported_from_the_current_directory(options: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("pyproject_hooks", "packaging", "build", "installer", "pip", "argparse", "dataclasses", "tomli"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the tree was imported')")
    for command_line in (["--help"], ["build", "--version"], ["pip", "--version"], ["doctor", "--help"]):
        done = run_text([sys.executable, *options, *command_line], tmp_path)
        assert done.returncode == 0, done.stderr
    done = run_text([sys.executable, "-m", "build", "--version"], tmp_path)
    assert "the tree was imported" in done.stderr, "it would not have been imported anyway"
