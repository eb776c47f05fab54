"""Holes that an attack on this package found, now closed. A hook tries each, and the test judges from outside."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import packaging
import pyproject_hooks
import pytest
from support.attacks.place import quiet
from support.lanes import first_fast

import isolated_hooks
from isolated_hooks import IsolatedHookCaller, Policy, PolicyError, UntrustedResultError
from isolated_hooks.files.paths import RealFilesystem, resolve
from isolated_hooks.files.steered import Trees
from isolated_hooks.launchers.linker_variables import trusted_libraries
from isolated_hooks.plan import Identity
from isolated_hooks.protections import Protection
from isolated_hooks.run import trial
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners and mirror its id map")

_CANARY = "canary-of-this-test"
_WITHOUT_IDMAPPED = frozenset((Identity.SINGLE, Identity.RANGE))

_BACKEND = """
import errno, json, os

def get_requires_for_build_wheel(config_settings=None):
    evidence = {}

    def attempt(name, do, *arguments):
        try:
            evidence[name] = ["done", repr(do(*arguments))]
        except OSError as error:
            evidence[name] = [errno.errorcode.get(error.errno, "?")]

    exec(config_settings["code"], {"attempt": attempt, "evidence": evidence, "os": os})
    with open("evidence.json", "w") as file:
        json.dump(evidence, file)
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with open(os.path.join(wheel_directory, "x-1-py3-none-any.whl"), "w") as file:
        file.write("written by the hook")
    return "x-1-py3-none-any.whl"
"""

# A frontend in its own process. Its options are in its first argument.
_FRONTEND = """
import json, resource, sys
from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.run import trial
from isolated_hooks.plan import Identity

options = json.loads(sys.argv[1])
if options.get("mirror"):
    trial.refused_identities = lambda *_: frozenset((Identity.SINGLE, Identity.RANGE))
if "nofile" in options:
    resource.setrlimit(resource.RLIMIT_NOFILE, (options["nofile"],) * 2)
policy = Policy(writable=options.get("writable", []))
caller = IsolatedHookCaller(options["tree"], "tiny", ["."], policy=policy)
caller.get_requires_for_build_wheel({"code": options["code"]})
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with a backend that runs the code in its config settings."""
    return _make_tree(tmp_path / "tree")


def _make_tree(path: Path) -> Path:
    path.mkdir()
    (path / "tiny.py").write_text(_BACKEND)
    return path


def _caller(tree: Path, *, policy: Policy | None = None, runner: Any = None) -> IsolatedHookCaller:
    return IsolatedHookCaller(str(tree), "tiny", ["."], runner or quiet, policy=policy)


def _evidence(tree: Path) -> dict[str, Any]:
    evidence: dict[str, Any] = json.loads((tree / "evidence.json").read_text())
    return evidence


def _call(tree: Path, code: str, **named: Any) -> dict[str, Any]:
    """Run code in a hook, and return the evidence."""
    _caller(tree, **named).get_requires_for_build_wheel({"code": code})
    return _evidence(tree)


def _frontend(tree: Path, code: str, *, python: str = sys.executable, options: Any = None, **named: Any) -> None:
    """Run code in a hook of a frontend in its own process."""
    packages = (isolated_hooks, pyproject_hooks, packaging)
    path = os.pathsep.join(dict.fromkeys(str(Path(str(package.__file__)).parents[1]) for package in packages))
    described = json.dumps({"tree": str(tree), "code": code, **(options or {})})
    command = [python, "-B", "-c", _FRONTEND, described]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, cwd="/", timeout=120, check=True, **named)


def _failed(evidence: Mapping[str, Any], *names: str) -> bool:
    assert evidence.keys() >= set(names), "the hook did not try everything"
    return not any(evidence[name][0] == "done" for name in names)


def test_the_frontends_own_environment_in_the_tree_stays_as_it_is(tree: Path) -> None:
    """The hook can neither write to the virtual environment that runs the frontend nor move it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tree / "a" / ".venv")], check=True)
    before = (tree / "a/.venv/pyvenv.cfg").read_bytes()
    code = """
attempt("append", open, "a/.venv/pyvenv.cfg", "a")
attempt("create", open, "a/.venv/planted", "w")
attempt("rename", os.rename, "a/.venv", "a/moved")
attempt("rename its parent", os.rename, "a", "moved")
"""
    _frontend(tree, code, python=str(tree / "a/.venv/bin/python"))
    assert _failed(_evidence(tree), "append", "create", "rename", "rename its parent")
    assert (tree / "a/.venv/pyvenv.cfg").read_bytes() == before
    assert not (tree / "a/.venv/planted").exists()


def test_a_frontend_that_is_reached_by_a_link_in_the_tree_is_refused(tree: Path, tmp_path: Path) -> None:
    """Otherwise the hook could replace the link with its own directory, and the frontend would import from it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    (tree / ".venv").symlink_to(tmp_path / "env")
    code = 'attempt("rename", os.rename, ".venv", "moved")'
    with pytest.raises(subprocess.CalledProcessError) as caught:
        _frontend(tree, code, python=str(tree / ".venv/bin/python"), stderr=subprocess.PIPE)
    assert b"PolicyError" in caught.value.stderr
    assert b"is reached by the link" in caught.value.stderr
    assert (tree / ".venv").is_symlink()
    _frontend(tree, code, python=str(tmp_path / "env/bin/python"))
    assert not _failed(_evidence(tree), "rename"), (
        "the hook could not rename the link even now, so the attack proves nothing"
    )


@pytest.mark.parametrize(
    ("environ", "changed"),
    [
        ({"LD_LIBRARY_PATH": ":/nonexistent"}, {"LD_LIBRARY_PATH": "/nonexistent"}),
        ({"LD_LIBRARY_PATH": "/a::/b"}, {"LD_LIBRARY_PATH": "/a:/b"}),
        ({"LD_LIBRARY_PATH": "lib;/a"}, {"LD_LIBRARY_PATH": "/a"}),
        ({"LD_PRELOAD": "./x.so"}, {"LD_PRELOAD": ""}),
        ({"LD_PRELOAD": "libm.so.6 lib/x.so"}, {"LD_PRELOAD": ""}),
        ({"LD_LIBRARY_PATH": "/a:/b", "LD_PRELOAD": "/a/x.so libm.so.6"}, {}),
    ],
)
def test_the_linker_is_not_led_to_the_current_directory(environ: dict[str, str], changed: dict[str, str]) -> None:
    """Empty and relative elements are removed; absolute ones stay."""
    assert trusted_libraries(environ, Trees(())) == changed


def test_the_launcher_loads_nothing_from_the_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frontend's runner gets a library path without the current directory, which is the source tree."""
    environs: list[Mapping[str, str]] = []

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environs.append(extra_environ or {})
        quiet(cmd, cwd, extra_environ)

    monkeypatch.setenv("LD_LIBRARY_PATH", ":/nonexistent")
    _call(tree, "", runner=runner)
    assert [environ["LD_LIBRARY_PATH"] for environ in environs] == ["/nonexistent"]


def test_a_link_beside_a_path_entry_in_the_tree_shows_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox shows the siblings of a directory on PATH, but not the targets of links in the tree."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(_CANARY)
    (tree / "bin").mkdir()
    (tree / "share").symlink_to(outside)
    monkeypatch.setenv("PATH", f"{tree / 'bin'}{os.pathsep}{os.environ['PATH']}")
    code = f'attempt("link", open, "share/secret"); attempt("path", open, {str(outside / "secret")!r})'
    assert _failed(_call(tree, code), "link", "path")


def test_a_link_in_the_tree_to_a_metadata_directory_is_refused(tree: Path, tmp_path: Path) -> None:
    """A link in the tree must not choose a directory outside that the sandbox shows."""
    (tmp_path / "outside/x-1.dist-info").mkdir(parents=True)
    (tree / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(PolicyError, match="metadata directory"):
        _caller(tree).build_wheel(str(tmp_path / "out"), metadata_directory=str(tree / "link/x-1.dist-info"))


@needs_root
def test_a_home_directory_beneath_opt_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox shows /opt, but not a home directory in it. A project in that home still builds."""
    base = Path("/opt") / f"ih-canary-{secrets.token_hex(6)}"
    home = base / "home"
    try:
        home.mkdir(parents=True)
        (home / ".netrc").write_text(_CANARY)
        tree = _make_tree(home / "proj")
        monkeypatch.setenv("HOME", str(home))
        assert _failed(_call(tree, f'attempt("netrc", open, {str(home / ".netrc")!r})'), "netrc")
    finally:
        shutil.rmtree(base, ignore_errors=True)


def test_no_workspace_is_in_the_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If TMPDIR is in the source tree, the workspace is elsewhere, because the hook must not change it."""
    (tree / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tree / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    code = 'evidence["names"] = [n for _, ds, fs in os.walk(".") for n in ds + fs]'
    names = _call(tree, code)["names"]
    assert "tiny.py" in names
    assert not [name for name in names if "isolated-hooks-" in name]


def test_what_is_hidden_cannot_be_moved_into_view(tree: Path) -> None:
    """A hook that renamed a parent of a hidden path would reveal the path to the next hook."""
    (tree / "a").mkdir()
    (tree / "a/secret").write_text(_CANARY)
    caller = _caller(tree, policy=Policy(hide=[str(tree / "a/secret")]))
    caller.get_requires_for_build_wheel({"code": 'attempt("rename", os.rename, "a", "b")'})
    assert _failed(_evidence(tree), "rename")
    code = 'for d in "ab": attempt(d, lambda: open(f"{d}/secret").read())'
    caller.get_requires_for_build_wheel({"code": code})
    assert _evidence(tree).keys() == {"a", "b"}
    assert _CANARY not in (tree / "evidence.json").read_text()
    assert (tree / "a/secret").read_text() == _CANARY


def test_a_log_file_as_stdout_is_only_added_to(tree: Path, tmp_path: Path) -> None:
    """If stdout is a log file, the hook cannot read or truncate its earlier lines."""
    log = tmp_path / "log"
    log.write_text(_CANARY + "\n")
    code = """
def read():
    return os.read(os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK), 4096)

attempt("read", read)
attempt("pread", os.pread, 1, 4096, 0)
attempt("ftruncate", os.ftruncate, 1, 0)
attempt("truncate", os.truncate, "/proc/self/fd/1", 0)
attempt("open", open, "/proc/self/fd/1", "w")
print("from the hook", flush=True)
"""
    with log.open("a+") as stdout:
        _frontend(tree, code, stdout=stdout)
    assert _failed(_evidence(tree), "read", "pread", "ftruncate", "truncate")
    assert _CANARY not in (tree / "evidence.json").read_text()
    assert log.read_text() == f"{_CANARY}\nfrom the hook\n"


def test_a_terminal_as_stdout_is_not_the_hooks(tree: Path) -> None:
    """The hook gets a terminal, but cannot read the input of the frontend's terminal or change its mode."""
    ours, theirs = os.openpty()
    try:
        before = termios.tcgetattr(theirs)
        os.write(ours, _CANARY.encode() + b"\n")
        code = """
import tty
evidence["terminal"] = os.isatty(1)
os.set_blocking(1, False)
attempt("read", os.read, 1, 4096)
attempt("raw", tty.setraw, 1)
attempt("read raw", os.read, 1, 4096)
os.set_blocking(1, True)
"""
        _frontend(tree, code, stdin=theirs, stdout=theirs, stderr=theirs)
        assert _evidence(tree)["terminal"] is True
        assert _failed(_evidence(tree), "read", "read raw")
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_socket_in_the_tree_cannot_be_connected_to(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only mount does not stop connections to a socket, so the sandbox hides the socket."""
    monkeypatch.chdir(tree)  # the path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        os.chmod("s", 0o777)
        server.listen()
        server.setblocking(False)
        code = """
import socket

def connect():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("s")

attempt("connect", connect)
"""
        assert _failed(_call(tree, code), "connect")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_git_is_read_only(tree: Path) -> None:
    """The next git command obeys .git, so a hook can read it but neither write to it nor replace it."""
    (tree / ".git/hooks").mkdir(parents=True)
    (tree / ".git/config").write_text(_CANARY)
    code = """
attempt("config", open, ".git/config", "a")
attempt("hook", open, ".git/hooks/pre-commit", "w")
attempt("rename", os.rename, ".git", "moved")
evidence["read"] = open(".git/config").read()
"""
    evidence = _call(tree, code)
    assert _failed(evidence, "config", "hook", "rename")
    assert evidence["read"] == _CANARY
    assert (tree / ".git/config").read_text() == _CANARY
    assert os.listdir(tree / ".git/hooks") == []


def test_where_git_is_led_by_a_file_stays_as_it_is(tree: Path) -> None:
    """In a worktree or a submodule, .git is a file that names the repository."""
    (tree / ".git").write_text("gitdir: /elsewhere\n")
    evidence = _call(tree, """
attempt("write", open, ".git", "a")
attempt("rename", os.rename, ".git", "moved")
attempt("unlink", os.unlink, ".git")
open("planted", "w").close()
attempt("replace", os.replace, "planted", ".git")
""")  # fmt: skip
    assert _failed(evidence, "write", "rename", "unlink", "replace")
    assert (tree / ".git").read_text() == "gitdir: /elsewhere\n"


def test_the_root_itself_is_read_only(tree: Path) -> None:
    """Its mode would not be enough: it binds neither the owner nor a process with CAP_DAC_OVERRIDE."""
    evidence = _call(tree, 'evidence["flags"] = os.statvfs("/").f_flag\nattempt("made", os.mkdir, "/made")')
    assert evidence["flags"] & os.ST_RDONLY
    assert _failed(evidence, "made")


def test_a_link_to_itself_leads_nowhere(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not hang the planner, whichever input contains it."""
    loop = tree / "loop"
    loop.symlink_to(loop)
    assert resolve(RealFilesystem(), str(loop))[0] is None
    assert resolve(RealFilesystem(), str(loop / "beneath"))[0] is None
    monkeypatch.setenv("PATH", f"{loop}{os.pathsep}{os.environ['PATH']}")
    assert _call(tree, 'evidence["ran"] = True') == {"ran": True}
    with pytest.raises(PolicyError, match="does not exist"):
        _caller(tree).build_wheel(str(tmp_path / "out"), metadata_directory=str(loop))


@pytest.mark.slow
@needs_root
def test_more_directories_than_descriptors_are_given_back(tree: Path, tmp_path: Path) -> None:
    """New files in the tree and in writable paths go to the caller, even in more directories than descriptors."""
    writable = tmp_path / "writable"
    writable.mkdir()
    code = f"""
for number in range(1500):
    os.makedirs(f"wide/{{number}}/beneath")
os.makedirs("/".join(["deep"] * 400))
os.mkdir({str(writable / "new")!r})
open({str(writable / "new/file")!r}, "w").close()
evidence["made"] = len(os.listdir("wide"))
evidence["uid"] = os.stat("wide").st_uid
"""
    _frontend(tree, code, options={"mirror": True, "nofile": 256, "writable": [str(writable)]})
    evidence = _evidence(tree)
    assert evidence["made"] == 1500
    assert evidence["uid"] != 0, "the hook ran as root, so there is nothing to give back"
    assert (writable / "new/file").exists()
    paths = [*tree.rglob("*"), *writable.rglob("*")]
    assert len(paths) > 3400
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in paths} == {(0, 0)}


@needs_root
def test_a_large_owner_does_not_choose_the_identity(tree: Path) -> None:
    """The author of an archive must not be able to get capabilities over the caller's ids for the hook."""
    (tree / "file").touch()
    os.chown(tree / "file", 70000, 70000)
    caller = _caller(tree)
    caller.get_requires_for_build_wheel({"code": ""})
    statuses = {status.protection: status for status in caller.reports[-1].protections}
    assert statuses[Protection.IDENTITY].reason == "a throw-away block of ids"


def test_the_thread_that_starts_a_hook_may_end_before_it(tree: Path) -> None:
    """The hook dies with the frontend's process. With PR_SET_PDEATHSIG alone it would die with a thread."""

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        started: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            started.append(subprocess.Popen(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})}))
            until(lambda: (tree / "started").exists())

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        assert until(lambda: not os.path.exists(f"/proc/self/task/{thread.native_id}"))
        (tree / "go").touch()
        assert started[0].wait(60) == 0

    code = """
import time
open("started", "w").close()
for _ in range(1000):
    if os.path.exists("go"):
        break
    time.sleep(0.02)
evidence["went"] = os.path.exists("go")
"""
    assert _call(tree, code, runner=runner) == {"went": True}


def test_an_output_directory_by_another_name_of_the_tree(tree: Path, tmp_path: Path) -> None:
    """A link in the tree must not redirect results, even if the output path names the tree in another way."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "other").symlink_to(tree)
    (tree / "dist").symlink_to(tmp_path / "outside")
    with pytest.raises(UntrustedResultError):
        _caller(tree).build_wheel(str(tmp_path / "other/dist"))
    assert os.listdir(tmp_path / "outside") == []


def _one_owner(_tree: Path) -> None:
    """Leave the tree as it is."""


def _mixed_owners(tree: Path) -> None:
    (tree / "file").touch()
    os.chown(tree / "file", 1001, 1001)


@contextlib.contextmanager
def _refused(identities: frozenset[Identity]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if identities:
            patch.setattr(trial, "refused_identities", lambda *_: identities)
        yield


@pytest.mark.parametrize(
    ("prepare", "refused"),
    first_fast(
        [
            pytest.param(_one_owner, frozenset(), id="one-owner"),
            pytest.param(_mixed_owners, frozenset(), id="mixed-owners", marks=needs_root),
            pytest.param(_one_owner, _WITHOUT_IDMAPPED, id="mirrored", marks=needs_root),
        ]
    ),
)
def test_devices_keep_their_mode(tree: Path, prepare: Callable[[Path], None], refused: frozenset[Identity]) -> None:
    """The hook can write to a device, but not change its mode on the host, even with CAP_FOWNER."""
    prepare(tree)
    before = stat.S_IMODE(os.stat("/dev/null").st_mode)
    code = 'attempt("chmod", os.chmod, "/dev/null", 0o600); attempt("write", os.write, os.open("/dev/null", 1), b"x")'
    try:
        with _refused(refused):
            evidence = _call(tree, code)
        assert stat.S_IMODE(os.stat("/dev/null").st_mode) == before
    finally:
        if stat.S_IMODE(os.stat("/dev/null").st_mode) != before:
            os.chmod("/dev/null", before)
    assert _failed(evidence, "chmod")
    assert not _failed(evidence, "write")
