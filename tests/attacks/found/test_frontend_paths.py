"""K1: what a hook plants where the frontends search, read, replace or remove something afterwards has no effect."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from support.index import Index, serve, write_wheel
from support.lanes import fast, first_fast
from support.projects import CLI, SDIST, WHEEL, command, facts, run_text, write_project
from support.repository import ROOT
from support.requirements import write_needy

pytestmark = pytest.mark.usefixtures("sandbox")

#: By name: the arguments of the frontend before the output directory.
FRONTENDS: Mapping[str, tuple[str, ...]] = {
    "build": ("build", "--wheel", "--outdir"),
    "pip": ("pip", "wheel", "--no-deps", "--wheel-dir"),
}
#: The same frontends without us: the controls, which show that an attack works.
STOCK = (sys.executable, "-m")
BOTH = pytest.mark.parametrize("program", [CLI, pytest.param(STOCK, marks=pytest.mark.slow)], ids=["ours", "stock"])
_PLANT = """
def plant(path, text, mode=0o755):
    path = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def get_requires_for_build_wheel(config_settings=None):
    PLANT
    tell(planted=True)
    return ["second"]
"""


#: Lists of directories that lead into the tree, where ``{tree}`` stands for it, and ``{link}`` for a link outside that
#: leads to it. The frontend starts in the tree, so an empty entry or a relative one means a directory there too.
SEARCHED: Mapping[str, str] = {
    "PATH": "{tree}/.venv/bin:{link}/linked:{tree}/lib/../dots::relative:{path}",
    "PYTHONPATH": "{tree}/src::/nonexistent",
    "PYTHONUSERBASE": "{tree}",
}
#: What a hook plants in each of these directories. It leaves a mark with the name of its directory.
PLANTED = (
    ".venv/bin/uname",
    "linked/uname",
    "dots/uname",
    "uname",
    "relative/uname",
    "src/sitecustomize.py",
    "sitecustomize.py",
    f"lib/python{sysconfig.get_python_version()}/site-packages/a.pth",
    # From Python 3.15 on, PEP 829 has files that name a function to call; the module lies beside it.
    f"lib/python{sysconfig.get_python_version()}/site-packages/a.start",
    f"lib/python{sysconfig.get_python_version()}/site-packages/planted.py",
)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with serve(tmp_path / "index") as served:
        for name in ("first", "second"):
            write_wheel(served.project(name), name)
        yield served


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory that no sandbox shows."""
    path = tmp_path / "canary"
    path.mkdir()
    return path


def planting(directory: Path, paths: Iterable[str], canary: Path) -> Path:
    """Write a project with a hook that plants programs and modules, which leave marks."""
    plants = []
    for path in paths:
        mark = canary / path.replace("/", "-")
        text = f'#!/bin/sh\n/usr/bin/touch {mark}\nexec /bin/{os.path.basename(path)} "$@"\n'
        if path.endswith(".start"):
            text = "planted:main\n"
        elif path.endswith((".py", ".pth")):
            text = f"import os; os.path.isdir({str(canary)!r}) and open({str(mark)!r}, 'w').close()\n"
        plants.append(f"plant({path!r}, {text!r})")
    project = write_needy(directory, ["first"], extra=_PLANT.replace("PLANT", "; ".join(plants)))
    for name in ("lib", "bin", "src"):
        (project / name).mkdir()
    return project


def searching(project: Path) -> dict[str, str]:
    """Return an environment whose search paths lead into a project."""
    link = project.parent / "link"
    link.symlink_to(project)
    places = {"tree": project, "link": link, "path": os.environ.get("PATH", os.defpath)}
    return {"PWD": os.fspath(project), **{name: value.format(**places) for name, value in SEARCHED.items()}}


def build(
    project: Path, frontend: str, environ: Mapping[str, str], *options: str | Path, program: tuple[str, ...] = CLI
) -> subprocess.CompletedProcess[str]:
    out = project.parent / "out"
    cwd = environ.get("PWD", os.fspath(project.parent))
    return run_text([*program, *FRONTENDS[frontend], out, *options, project], cwd, environ)


#: A hook that puts a link in the place of the directory ``build``, if it can.
_SWAP = """
def build_wheel(directory, *_):
    try:
        os.rename(HERE + "/build", HERE + "/moved")
        os.symlink(%r, HERE + "/build")
    except OSError:
        pass
    return _wheel(directory, {})
"""


@pytest.mark.parametrize("frontend", first_fast(FRONTENDS))
def test_no_search_path_leads_into_the_tree(frontend: str, index: Index, canary: Path, tmp_path: Path) -> None:
    """Each entry comes before the system's, so any one that stays runs what is planted there."""
    project = planting(tmp_path / "project", PLANTED, canary)
    done = build(project, frontend, {**index.environ(), **searching(project)})
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [WHEEL]
    assert {"planted": True} in facts(project)
    assert os.listdir(canary) == []


@pytest.mark.slow
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_search_path_into_the_tree_runs_it_without_us(
    frontend: str, index: Index, canary: Path, tmp_path: Path
) -> None:
    project = planting(tmp_path / "project", PLANTED, canary)
    build(project, frontend, {**index.environ(), **searching(project)}, program=STOCK)
    assert {".venv-bin-uname", "src-sitecustomize.py"} <= {*os.listdir(canary)}


@pytest.mark.slow
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_an_editable_install_of_the_tree(frontend: str, index: Index, canary: Path, tmp_path: Path) -> None:
    """Each interpreter of an environment with a .pth file into the tree would import sitecustomize from there."""
    project = planting(tmp_path / "project", ["src/sitecustomize.py"], canary)
    run_text([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"])
    (site,) = (tmp_path / "env").glob("lib/*/site-packages")
    # First, as setuptools' easy-install.pth did it: Debian's interpreter has a sitecustomize of its own.
    first = f"import sys; sys.path.insert(0, {os.fspath(project / 'src')!r})"
    (site / "editable.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT}/src\n{first}\n")
    python = (os.fspath(tmp_path / "env" / "bin" / "python"), "-m", "isolated_hooks")
    done = build(project, frontend, index.environ(), program=python)
    assert done.returncode == 0, done.stderr
    assert {"planted": True} in facts(project)
    assert os.listdir(canary) == []
    run_text([python[0], "-I", "-c", ""])
    assert os.listdir(canary) == ["src-sitecustomize.py"]


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_temporary_files_do_not_lie_in_the_tree(
    frontend: str, program: tuple[str, ...], index: Index, tmp_path: Path
) -> None:
    """TMPDIR in the tree: the build environment, downloads and wheels would lie there, writable for the hooks."""
    look = "tell(there=os.listdir(os.path.join(HERE, 'tmp')))"
    project = write_needy(tmp_path / "project", ["first"], extra=_PLANT.replace("PLANT", look))
    (project / "tmp").mkdir()
    done = build(project, frontend, {**index.environ(), "TMPDIR": os.fspath(project / "tmp")}, program=program)
    assert done.returncode == 0, done.stderr
    (there,) = (entry["there"] for entry in facts(project) if "there" in entry)
    assert (there == []) == (program is CLI)


# What the frontend reads again.

#: What a hook puts in the place of a file: code, with the file's path as ``path``.
SWAPS = {
    "fifo": "os.mkfifo(path)",
    "directory": "os.mkdir(path)",
    "link": "os.symlink('/etc/hostname', path)",
    "zero": "os.symlink('/dev/zero', path)",
    "deep": "open(path, 'w').write('a = ' + '[' * 200000)",
    "dots": "open(path, 'w').write('a' + '.a' * 200000 + ' = 1')",
    "many": "open(path, 'w').write('[build-system]\\nrequires = [' + '\"x\",' * 60000 + ']')",
    "variable": "open(path, 'w').write('[build-system]\\nrequires = [\"x @ https://h/${TOKEN}\"]')",
}


def _after_sdist(code: str) -> str:
    return f"""
_real_sdist = build_sdist
def build_sdist(d, *_):
    made = _real_sdist(d)
    {code}
    return made
"""


def swapping(directory: Path, name: str, code: str) -> Path:
    """Write a project whose sdist hook puts something in the place of a file, so that the wheel is built from that."""
    swap = f"path = os.path.join(HERE, {name!r}); os.unlink(path); {code}"
    project = write_project(directory, extra=_after_sdist(swap))
    path = project / "backend.py"
    path.write_text(path.read_text().replace('["packaging>=1"]', "[]"))
    return project


@pytest.mark.slow
@pytest.mark.parametrize("name", SWAPS)
def test_pyproject_is_not_read_again_as_a_hook_left_it(name: str, tmp_path: Path) -> None:
    """The sdist is there, the wheel is refused, and nothing hangs."""
    project = swapping(tmp_path / "project", "pyproject.toml", SWAPS[name])
    (tmp_path / "policy.toml").write_text("allow-other-names = true\n")  # otherwise the change of the name is refused
    options = ("--config", tmp_path / "policy.toml", "-n", "-x", "--sdist", "--wheel", "-o", tmp_path / "out")
    done = command("build", *options, project, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "pyproject.toml" in done.stderr or "build requirement" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["directory", "deep"])
def test_pyproject_is_read_again_without_us(name: str, tmp_path: Path) -> None:
    """The control, with what neither hangs nor fills the memory."""
    project = swapping(tmp_path / "project", "pyproject.toml", SWAPS[name])
    done = run_text([*STOCK, "build", "-n", "-x", "-s", "-w", "-o", tmp_path / "out", project], tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stdout + done.stderr


@pytest.mark.parametrize("name", fast(["fifo", "link", "zero"], [], slow=["fifo"]))
def test_constraints_are_those_of_the_start(name: str, index: Index, tmp_path: Path) -> None:
    project = swapping(tmp_path / "project", "constraints.txt", SWAPS[name])
    (project / "pyproject.toml").write_text(
        (project / "pyproject.toml").read_text().replace("requires = []", 'requires = ["first"]')
    )
    (project / "constraints.txt").write_text("first==1.0\n")
    options = ("--dependency-constraints-txt", project / "constraints.txt")
    done = command(
        *("build", "--sdist", "--wheel", *options, "-o", tmp_path / "out", project),
        environ={**index.environ(), "PIP_CONSTRAINT": os.fspath(project / "constraints.txt")},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == [WHEEL, SDIST]


@pytest.mark.slow
@BOTH
def test_constraints_send_no_variable(program: tuple[str, ...], index: Index, tmp_path: Path) -> None:
    """A hook puts a URL with the name of a variable of the caller's into the file, which pip reads again."""
    where = index.url.removesuffix("/simple") + "/${INDEX_TOKEN}/first-1.0-py3-none-any.whl"
    project = swapping(
        tmp_path / "project", "constraints.txt", f"open(path, 'w').write({'first @ ' + where!r} + chr(10))"
    )
    (project / "pyproject.toml").write_text(
        (project / "pyproject.toml").read_text().replace("requires = []", 'requires = ["first"]')
    )
    (project / "constraints.txt").write_text("first==1.0\n")
    run_text(
        [*program, "build", "-s", "-w", "-o", tmp_path / "out", project],
        tmp_path,
        {**index.environ(), "PIP_CONSTRAINT": os.fspath(project / "constraints.txt"), "INDEX_TOKEN": "of-the-caller"},
    )
    assert any("of-the-caller" in path for path in index.asked) == (program is STOCK)


# What the frontend replaces or removes.

_LINK_FOR_A_LOG = """
def get_requires_for_build_wheel(config_settings=None):
    if os.path.exists(HERE + "/log"):
        os.unlink(HERE + "/log")
    os.symlink(%r, HERE + "/log")
    return ["second"]
"""


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_log_is_written_through_no_link(
    frontend: str, program: tuple[str, ...], index: Index, tmp_path: Path
) -> None:
    """Each pip appends to the log: the one that runs after the hook as well."""
    (tmp_path / "profile").write_text("precious")
    project = write_needy(tmp_path / "project", ["first"], extra=_LINK_FOR_A_LOG % os.fspath(tmp_path / "profile"))
    build(project, frontend, {**index.environ(), "PIP_LOG": os.fspath(project / "log")}, program=program)
    assert os.path.islink(project / "log")
    assert ((tmp_path / "profile").read_text() == "precious") == (program is CLI)


@BOTH
def test_a_report_goes_where_it_was_to_go(program: tuple[str, ...], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "report.json").write_text("precious")
    project = write_project(tmp_path / "project", extra=_SWAP % str(outside))
    (project / "build").mkdir()
    report = project / "build" / "report.json"
    done = run_text(
        [*program, "build", "-n", "-x", "-w", "-o", tmp_path / "out", "--report", report, project], tmp_path
    )
    if program is STOCK:
        assert (outside / "report.json").read_text() != "precious"
        return
    assert done.returncode == 1, done.stderr
    assert "a hook must not move a directory that the frontend uses" in done.stderr
    assert (outside / "report.json").read_text() == "precious"
    assert not (project / "moved" / "report.json").exists()


@BOTH
@pytest.mark.parametrize("top", first_fast(["precious", "example-2.0", "Example-1.0"]))
def test_an_unpacked_sdist_replaces_nothing_else(top: str, program: tuple[str, ...], tmp_path: Path) -> None:
    """--sdist-extract-dir: a hook chooses the name of the sdist's top directory."""
    extract = tmp_path / "home"
    (extract / top).mkdir(parents=True)
    (extract / top / "file").write_text("precious")
    extra = f"""
def build_sdist(d, *_):
    with tarfile.open(os.path.join(d, SDIST), "w:gz") as tar:
        for name in ("PKG-INFO", "pyproject.toml"):
            info = tarfile.TarInfo({top!r} + "/" + name)
            data = METADATA.encode() if name == "PKG-INFO" else open(os.path.join(HERE, name), "rb").read()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return SDIST
"""
    project = write_project(tmp_path / "project", extra=extra)
    done = run_text(
        [*program, "build", "-n", "-x", "-o", tmp_path / "out", "--sdist-extract-dir", extract, project], tmp_path
    )
    assert (extract / top / "file").exists() == (program is CLI)
    if program is STOCK:
        return
    assert done.returncode == 1
    assert (extract / top / "file").read_text() == "precious"
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.slow
@BOTH
def test_an_unpacked_sdist_stays_where_it_was_to_go(program: tuple[str, ...], tmp_path: Path) -> None:
    """The directory lies in the tree, and a hook puts a link in its place."""
    outside = tmp_path / "outside"
    (outside / "example-1.0").mkdir(parents=True)
    (outside / "example-1.0" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
    swap = f"os.rename(HERE + '/build', HERE + '/moved'); os.symlink({str(outside)!r}, HERE + '/build')"
    hook = (
        f"_real_sdist = build_sdist\ndef build_sdist(d, *_):\n    made = _real_sdist(d)\n    {swap}\n    return made\n"
    )
    project = write_project(tmp_path / "project", extra=hook)
    (project / "build").mkdir()
    extract = project / "build"
    done = run_text(
        [*program, "build", "-n", "-x", "-o", tmp_path / "out", "--sdist-extract-dir", extract, project], tmp_path
    )
    if program is STOCK:
        assert os.listdir(outside / "example-1.0") != ["PKG-INFO"]
        return
    assert done.returncode == 1
    assert "must not move a directory" in done.stderr
    assert os.listdir(outside / "example-1.0") == ["PKG-INFO"]


@pytest.mark.slow
def test_an_unpacked_sdist_is_unpacked_again(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    argv = ("build", "-n", "-x", "-o", tmp_path / "out", "--sdist-extract-dir", tmp_path / "unpacked", project)
    for _ in range(2):
        done = command(*argv)
        assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "unpacked") == ["example-1.0"]


@pytest.mark.slow
@BOTH
def test_an_environment_is_removed_where_it_was_made(program: tuple[str, ...], index: Index, tmp_path: Path) -> None:
    """--env-dir in the tree: the hook puts a link in the place of its parent."""
    outside = tmp_path / "outside"
    (outside / "env").mkdir(parents=True)
    (outside / "env" / "file").write_text("precious")
    project = write_project(tmp_path / "project", extra=_SWAP % str(outside))
    path = project / "backend.py"
    path.write_text(path.read_text().replace('["packaging>=1"]', "[]"))
    (project / "build").mkdir()
    environment = project / "build" / "env"
    done = run_text(
        [*program, "build", "-w", "-o", tmp_path / "out", "--env-dir", environment, project], tmp_path, index.environ()
    )
    assert (outside / "env" / "file").exists() == (program is CLI)
    if program is STOCK:
        return
    assert not (project / "moved" / "env" / "pyvenv.cfg").exists()
    assert "Traceback" not in done.stderr + done.stdout
