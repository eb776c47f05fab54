"""A hook, or a change of the frontend, turns against the process that stays ready, its other launches, or the next."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import marshal
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.forks import in_child
from support.repository import TESTS

from isolated_hooks import IsolatedHookCaller
from isolated_hooks.launchers import ready, warm
from isolated_hooks.launchers.ready import KEEPER
from isolated_hooks.launchers.surroundings import surroundings
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

BACKEND = """
import os, resource, socket, time

def get_requires_for_build_wheel(config_settings=None):
    exec((config_settings or {}).get("code", ""))
    return []
"""
# A hook that waits for the test, and one that has more descriptors under way than its frontend may, unix(7).
WAITS = "open('begun', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.01)"
SENDS = """
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
fd, kept = os.open("/dev/null", os.O_RDONLY), []
while len(kept) < 20:
    kept += socket.socketpair()
    for _ in range(3):
        socket.send_fds(kept[-1], [b"x"], [fd] * 120)
"""


@pytest.fixture(autouse=True)
def none_ready() -> Iterator[None]:
    KEEPER.forked()
    yield
    KEEPER.forked()


def _tree(path: Path) -> Path:
    path.mkdir()
    (path / "backend.py").write_text(BACKEND)
    return path


def _call(tree: Path, code: str = "") -> bool:
    """Call the hook with code. Return whether it was warm."""
    caller = IsolatedHookCaller(os.fspath(tree), "backend", ["."], pyproject_hooks.quiet_subprocess_runner)
    caller.get_requires_for_build_wheel({"code": code})
    return caller.reports[-1].warm


@contextlib.contextmanager
def _running(tree: Path, code: str) -> Iterator[list[object]]:
    """Within the context, a hook runs in another thread. Yield what it ends with: whether it was warm, or an error."""
    ends: list[object] = []

    def run() -> None:
        try:
            ends.append(_call(tree, code))
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert until(lambda: (tree / "begun").exists() or bool(ends))
        yield ends
    finally:
        (tree / "go").touch()
        thread.join(60)


def _script(code: str, *arguments: object, env: dict[str, str] | None = None) -> str:
    code = "from pathlib import Path\nfrom test_warm_launches import _call\nimport os, sys\n" + textwrap.dedent(code)
    variables = {**os.environ, "PYTHONPATH": f"{os.path.dirname(__file__)}:{TESTS}", **(env or {})}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout


# A shortage that one hook brings about ends no other.


@pytest.mark.skipif(os.geteuid() == 0, reason="the kernel does not count what is under way for root")
def test_a_hook_with_many_descriptors_under_way_ends_no_other(tmp_path: Path) -> None:
    def work() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most < 4096:
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, most))
        assert _call(tmp_path / "next")
        with _running(tmp_path / "other", WAITS) as ends, _running(tmp_path / "greedy", SENDS + WAITS) as greedy:
            assert greedy == []
            assert not _call(tmp_path / "next")
            assert ends == []
        assert ends == [True]

    for name in ("other", "greedy", "next"):
        _tree(tmp_path / name)
    in_child(work)


def test_a_frontend_that_can_send_nothing_starts_the_next_launcher_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ETOOMANYREFS, "Too many references: cannot splice")

    trees = [_tree(tmp_path / name) for name in ("other", "next")]
    with _running(trees[0], WAITS) as ends:
        server = KEEPER.server
        assert server is not None
        monkeypatch.setattr(socket, "send_fds", fail)
        assert not _call(trees[1])
        monkeypatch.undo()
        assert _call(trees[1])
        assert KEEPER.server is server
        assert ends == []
    assert ends == [True]


def test_a_process_without_a_descriptor_left_ends_no_launch(tmp_path: Path) -> None:
    trees = [_tree(tmp_path / name) for name in ("other", "next")]
    with _running(trees[0], WAITS) as ends:
        server = KEEPER.server
        assert server is not None
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{server.pid}/fd"))
        warm_ones = []
        for more in range(12):
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + more, before[1]))
            warm_ones.append(_call(trees[1]))
        assert warm_ones[0] is False
        assert warm_ones[-1] is True
        assert KEEPER.server is server
        assert ends == []
    assert ends == [True]


# The next hook has the surroundings of a new child.


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount and change its root directory")
def test_a_frontend_that_has_another_root_directory(tmp_path: Path) -> None:
    """Its path is the same as before, as seen from itself."""
    root = tmp_path / "root"
    root.mkdir()
    tree = _tree(tmp_path / "tree")

    def work() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS
        assert libc.mount(None, b"/", None, 0x4000 | 1 << 18, None) == 0  # MS_REC | MS_PRIVATE
        assert libc.mount(b"/", os.fsencode(root), None, 0x1000 | 0x4000, None) == 0  # MS_BIND | MS_REC
        assert _call(tree)
        server, before = KEEPER.server, surroundings()
        assert server is not None
        assert server.is_equal()
        os.chroot(root)
        os.chdir("/")
        assert surroundings() != before
        assert not server.is_equal()

    in_child(work)


def test_a_variable_without_a_name(tmp_path: Path) -> None:
    """execve(2) passes it on, and setenv(3) does not."""
    code = "print(os.environ[''], [_call(Path(sys.argv[1])) for _ in range(2)])"
    assert _script(code, _tree(tmp_path / "tree"), env={"": "x"}) == "x [False, False]\n"


@pytest.mark.skipif(shutil.which("localedef") is None, reason="there is no localedef to make a locale with")
def test_a_workspace_whose_path_is_in_the_encoding_of_the_locale(tmp_path: Path) -> None:
    made = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", tmp_path / "de_DE.ISO-8859-1"]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("there is nothing here to make that locale of")
    temporary = os.fsencode(tmp_path) + b"/\xe9"
    os.mkdir(temporary)
    variables = {
        "LOCPATH": os.fspath(tmp_path),
        "LC_ALL": "de_DE.ISO-8859-1",
        "TMPDIR": os.fsdecode(temporary),
        "PYTHONUTF8": "0",
    }
    code = "print(sys.getfilesystemencoding(), _call(Path(sys.argv[1])))"
    assert _script(code, _tree(tmp_path / "tree"), env=variables) == "iso8859-1 True\n"


def test_a_frontend_that_adopts_orphans_waits_for_no_further_child(tmp_path: Path) -> None:
    """As pid 1 of a container does."""
    tree = _tree(tmp_path / "tree")

    def work() -> None:
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
        assert not _call(tree)
        assert "adopts orphans" in (warm.problem() or "")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ready, "begin", lambda _: pytest.fail("it started another one"))
            assert not _call(tree)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    in_child(work)


# Descriptors.


def test_no_program_of_the_frontends_inherits_a_descriptor(tmp_path: Path) -> None:
    """It could end the process, or a launch."""

    def inherited() -> set[str]:
        return {fd for fd in os.listdir("/proc/self/fd") if _is_inheritable(int(fd))}

    before = inherited()
    with _running(_tree(tmp_path / "tree"), WAITS) as ends:
        assert KEEPER.server is not None
        assert inherited() <= before
    assert ends == [True]


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:  # that of the directory itself
        return False


def test_a_frontend_that_has_closed_its_descriptors_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of the process's descriptor may mean another file by then, or another process."""

    def work() -> None:
        assert _call(_tree(tmp_path / "tree"))
        server = KEEPER.server
        assert server is not None
        os.closerange(3, 1000)
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        os.dup2(os.pidfd_open(other.pid), server.pidfd)
        monkeypatch.setattr(select, "poll", None)
        KEEPER.end(kill=True)
        monkeypatch.undo()
        assert other.poll() is None
        other.communicate(b"\n")
        assert other.returncode == 0

    in_child(work)


# The end.


def test_a_child_that_another_thread_forks_meanwhile_keeps_no_process_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have copies of both ends of the channel, and the process would live on with the frontend's rights."""
    children: list[int] = []
    read, write = os.pipe()

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        if not children:
            children.append(os.fork())
            if children == [0]:
                os.close(write)
                os.read(read, 1)
                os._exit(0)
        return subprocess.Popen(*arguments, **options)

    one = types.SimpleNamespace(**{**vars(subprocess), "Popen": start})
    monkeypatch.setattr(ready, "subprocess", one)
    try:
        assert _call(_tree(tmp_path / "tree"))
        assert KEEPER.server is not None
        pidfd = os.dup(KEEPER.server.pidfd)
        monkeypatch.setattr(ready, "SECONDS", 30.0)
        warm.end()
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(0)
        os.close(pidfd)
    finally:
        os.close(write)
        os.waitpid(children[0], 0)
        os.close(read)


def test_a_launch_that_has_not_begun_ends_with_the_process(tmp_path: Path) -> None:
    assert _call(_tree(tmp_path / "tree"))
    server = KEEPER.server
    assert server is not None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request, directory = os.memfd_create("request"), os.open("/", os.O_PATH)
    os.write(request, marshal.dumps(([], {})))
    with ours, theirs:
        socket.send_fds(server.channel, [b"launch"], [request, theirs.fileno(), directory, 0, 1, 2])
        theirs.close()
        ours.settimeout(30)
        data, rights = ready.received(ours)
        assert data == b"started"
        (child,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert until(lambda: _state(child) == "S")  # it waits for our word
        os.kill(server.pid, signal.SIGKILL)
        poll = select.poll()
        poll.register(rights[0], select.POLLIN)
        assert poll.poll(30_000)
    for fd in (request, directory, *rights):
        os.close(fd)


def _state(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_nothing_that_no_process_can_have_is_asked_for() -> None:
    for words, variables in (([b"a\0b"], {}), ([], {b"": b"x"}), ([], {b"a=b": b"x"}), ([], {b"a": b"\0"})):
        with pytest.raises(ValueError, match=r"setenv|null"):
            warm._check(words, variables)
    warm._check([b"a", b""], {b"a": b"="})
