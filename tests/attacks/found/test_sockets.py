"""Unix sockets and FIFOs of others: an accomplice outside binds, listens, connects and reads while a hook runs."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from support.attacks.place import quiet
from support.lanes import fast
from support.projects import CLI
from support.repository import NARROW

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.plan import Identity
from isolated_hooks.run import trial
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import json, os, socket, sys, time

def attempt(do, *arguments):
    try:
        return ["done", repr(do(*arguments))]
    except OSError as error:
        return [type(error).__name__, error.errno]

def wait_for(name):
    end = time.monotonic() + 20
    while not os.path.lexists(name) and time.monotonic() < end:
        time.sleep(0.01)

def client(address, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.settimeout(5)
        one.connect(address)

def get_requires_for_build_wheel(config_settings=None):
    found = {}
    here = {"__file__": __file__, "found": found}
    exec(config_settings["code"], {**globals(), **here})
    with open(config_settings["answer"], "w") as file:
        json.dump(found, file)
    return []
"""


class World:
    """A source tree with a backend that runs the code in its settings, and a directory outside of it."""

    def __init__(self, path: Path) -> None:
        self.tree = path / "tree"
        self.outside = path / "outside"
        for directory in (self.tree, self.outside):
            directory.mkdir()
        (self.tree / "tiny.py").write_text(_BACKEND)

    def run(self, code: str, *, policy: Policy | None = None, plain: bool = False) -> dict[str, Any]:
        """Run code in a hook, or without a sandbox, and return what it has found."""
        name = secrets.token_hex(4)
        settings = {"code": code, "answer": name if policy is None or policy.source == "read-write" else f"/tmp/{name}"}
        if plain:
            caller = pyproject_hooks.BuildBackendHookCaller(str(self.tree), "tiny", ["."], quiet)
        else:
            caller = IsolatedHookCaller(str(self.tree), "tiny", ["."], quiet, policy=policy)
        caller.get_requires_for_build_wheel(settings)
        found: dict[str, Any] = json.loads((self.tree / name).read_text())
        return found


@pytest.fixture
def world() -> Iterator[World]:
    """A short path: an address has room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ih-") as path:
        yield World(Path(os.path.realpath(path)))


@contextlib.contextmanager
def listening(path: Path, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """A socket outside that listens at ``path``, for everybody."""
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(str(path))
        os.chmod(path, 0o777)
        server.listen()
        server.setblocking(False)
        yield server


def reached(server: socket.socket) -> bool:
    """Whether somebody has connected."""
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def accomplice(do: Callable[[], None]) -> Iterator[None]:
    """Let a thread of this process, outside of every sandbox, do something while a hook runs."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            do()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    assert not failed, failed


BOTH = pytest.mark.parametrize("plain", [False, True], ids=["sandboxed", "plain"])


@BOTH
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET], ids=["stream", "seqpacket"])
@pytest.mark.parametrize("again", [False, True], ids=["bound-later", "bound-again"])
def test_a_socket_that_somebody_binds_in_the_tree_meanwhile(world: World, kind: int, again: bool, plain: bool) -> None:
    """The hook has started when the accomplice binds, or unlinks and binds again."""
    path = world.tree / "s"
    stack = contextlib.ExitStack()
    if again:
        stack.enter_context(listening(path, kind))
    servers: list[socket.socket] = []

    def bind() -> None:
        until(lambda: (world.tree / "started").exists())
        path.unlink(missing_ok=True)
        servers.append(stack.enter_context(listening(path, kind)))
        (world.tree / "bound").touch()

    code = f"""
open("started", "w").close()
wait_for("bound")
found["connected"] = attempt(client, "s", {int(kind)})
"""
    with stack:
        with accomplice(bind):
            found = world.run(code, plain=plain)
        assert (found["connected"][0] == "done") == plain
        assert reached(servers[0]) == plain


@BOTH
def test_a_socket_by_any_name(world: World, plain: bool) -> None:
    """Absolute, relative, through links, through /proc and /dev/fd, from another directory, and not blocking."""
    path = world.tree / "directory" / "s"
    path.parent.mkdir()
    (world.tree / "link").symlink_to("directory/s")
    (world.tree / "up").symlink_to(path.parent)
    code = """
def not_blocking(address):
    one = socket.socket(socket.AF_UNIX)
    one.setblocking(False)
    one.connect(address)

fd = os.open("directory", os.O_RDONLY)
at = os.open("directory/s", os.O_PATH)
names = ["directory/s", os.path.abspath("directory/s"), "link", "up/s", "./directory/../directory/s",
         f"/proc/self/fd/{fd}/s", f"/proc/{os.getpid()}/fd/{fd}/s", f"/dev/fd/{fd}/s", f"/proc/self/fd/{at}",
         f"/dev/fd/{at}", "/proc/self/cwd/directory/s", "/proc/thread-self/cwd/directory/s"]
for name in names:
    found[name] = attempt(client, name)
found["not blocking"] = attempt(not_blocking, "directory/s")
os.chdir("directory")
found["here"] = attempt(client, "s")
os.chdir("..")
os.rename("directory", "moved")
found["moved"] = attempt(client, "moved/s")
attempt(os.link, "moved/s", "hard")
found["hard"] = attempt(client, "hard")
"""
    with listening(path) as server:
        found = world.run(code, plain=plain)
        assert len(found) == 16
        assert {name for name, (how, *_) in found.items() if how == "done"} == (set(found) if plain else set())
        assert reached(server) == plain


@BOTH
def test_a_socket_of_another_network_namespace(world: World, plain: bool) -> None:
    """/proc/net/unix does not list it."""
    program = "import socket, sys; s = socket.socket(1); s.bind(sys.argv[1]); s.listen(); print(flush=True); input()"
    private = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--net"]
    command = [*private, sys.executable, "-c", program, str(world.tree / "s")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            if not process.stdout.readline():
                pytest.skip("this host has no network namespace for us")
            os.chmod(world.tree / "s", 0o777)
            found = world.run('found["connected"] = attempt(client, "s")', plain=plain)
        finally:
            process.kill()
    assert (found["connected"][0] == "done") == plain


@BOTH
@pytest.mark.parametrize("network", [False, True], ids=["offline", "online"])
def test_an_exposed_socket(world: World, network: bool, plain: bool, launcher: str) -> None:
    """A read-only mount stops no connection, with the caller's network neither."""
    policy = Policy(expose=[str(world.outside)], network=network, launcher=launcher)
    with listening(world.outside / "s") as server:
        found = world.run(
            f'found["connected"] = attempt(client, {str(world.outside / "s")!r})', policy=policy, plain=plain
        )
        assert found["connected"][0] == ("done" if plain else "ConnectionRefusedError")
        assert reached(server) == plain


_LISTEN = """
server = socket.socket(socket.AF_UNIX)
server.bind(address)
if address[0] != chr(0):
    os.chmod(address, 0o777)
server.listen()
server.settimeout(2)
client(address)
server.accept()
found["inside"] = "reached"
open("listening", "w").close()
found["outside"] = attempt(server.accept)
"""


@BOTH
@pytest.mark.parametrize("place", fast(["tree", "writable", "abstract"], ["tree", "abstract"]))
def test_what_a_hook_binds_is_reachable_from_inside_only(world: World, place: str, plain: bool, launcher: str) -> None:
    """An accomplice who connects could hand in a descriptor of anything."""
    where = world.tree if place == "tree" else world.outside
    address = "\0" + secrets.token_hex(8) if place == "abstract" else str(where / "s")
    connected: list[str] = []

    def connect() -> None:
        until(lambda: (world.tree / "listening").exists())
        with socket.socket(socket.AF_UNIX) as one, contextlib.suppress(OSError):
            one.connect(address)
            connected.append(address)

    policy = Policy(writable=[str(world.outside)], launcher=launcher)
    with accomplice(connect):
        found = world.run(f"address = {address!r}\n{_LISTEN}", policy=policy, plain=plain)
    assert found["inside"] == "reached"
    assert (found["outside"][0] == "done") == bool(connected) == plain


def test_an_abstract_name_in_the_callers_network_cannot_be_bound(world: World) -> None:
    """Landlock keeps the hook from others' abstract names, and others not from the hook's."""
    code = 'found["bound"] = attempt(lambda: socket.socket(socket.AF_UNIX).bind(chr(0) + "of-a-hook"))'
    assert world.run(code, policy=Policy(network=True))["bound"][0] == "PermissionError"


@BOTH
def test_an_abstract_name_of_others_in_the_callers_network(world: World, plain: bool) -> None:
    """Landlock's scope and pid 1 both refuse them."""
    address = "\0" + secrets.token_hex(8)
    code = f"""
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
    found[str(kind)] = attempt(lambda: socket.socket(socket.AF_UNIX, kind).connect({address!r}))
found["not blocking"] = attempt(client, {address!r})
"""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(address)
        server.listen()
        server.setblocking(False)
        found = world.run(code, policy=Policy(network=True), plain=plain)
        assert reached(server) == plain
    assert (found.pop("not blocking")[0] == "done") == plain
    assert plain or not [how for how in found.values() if how[0] == "done"]


def test_no_socket_sends_without_being_connected(world: World) -> None:
    """The address of sendmsg(2) is memory that the hook can change after anybody has looked at it."""
    code = """
for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
    found[str(kind)] = attempt(socket.socket, socket.AF_UNIX, kind), attempt(socket.socketpair, socket.AF_UNIX, kind)
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    one = socket.socket(socket.AF_UNIX, kind)
    two = socket.socketpair(socket.AF_UNIX, kind)[0]
    found[str(kind)] = attempt(one.sendto, b"x", "s"), attempt(one.sendmsg, [b"x"], [], 0, "s")
    attempt(two.sendto, b"x", "s")
    attempt(two.sendmsg, [b"x"], [], 0, "s")
"""
    with listening(world.tree / "s") as server:
        found = world.run(code)
        assert len(found) == 4
        assert not [how for pair in found.values() for how in pair if how[0] == "done"]
        assert not reached(server)


_RACES = """
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
AF_UNIX = (1).to_bytes(2, "little")
mine, theirs = (AF_UNIX + name + bytes(40 - len(name)) for name in (b"mine", b"theirs"))
server = socket.socket(socket.AF_UNIX)
server.bind("mine")
server.listen(100)
server.setblocking(False)
stop = time.monotonic() + 3
memory = ctypes.create_string_buffer(mine)
listener = socket.create_server(("127.0.0.1", 0))
internet = (2).to_bytes(2, "little") + listener.getsockname()[1].to_bytes(2, "big") + bytes((127, 0, 0, 1)) + bytes(8)

def swap_memory():
    while time.monotonic() < stop:
        memory.raw = theirs + b"\\0"
        memory.raw = mine + b"\\0"

def swap_links():
    for name in ("a", "b"):
        if os.path.lexists(name):
            os.unlink(name)
    os.symlink("mine", "a")
    os.symlink("theirs", "b")
    while time.monotonic() < stop:
        for name in "ab":
            os.symlink(os.readlink(name), "new")
            os.rename("new", "swapped")

def connect(prepare):
    while time.monotonic() < stop:
        one = prepare()
        with contextlib_suppress:
            libc.connect(one[0].fileno(), one[1], one[2])
        one[0].close()
        try:
            server.accept()[0].close()
        except OSError:
            pass

class contextlib_suppress_type:
    def __enter__(self): pass
    def __exit__(self, *_): return True
contextlib_suppress = contextlib_suppress_type()

def by_memory():
    return socket.socket(socket.AF_UNIX), memory, 40

def by_link():
    return socket.socket(socket.AF_UNIX), AF_UNIX + b"swapped" + bytes(33), 42

number = socket.socket(socket.AF_UNIX).detach()

def swap_descriptors():
    while time.monotonic() < stop:
        for family in (socket.AF_UNIX, socket.AF_INET):
            with socket.socket(family) as one:
                os.dup2(one.fileno(), number)

class Fixed:
    def fileno(self): return number
    def close(self): pass

def by_descriptor():
    return Fixed(), AF_UNIX + b"theirs" + bytes(34), 42

work = [swap_memory, swap_links, swap_descriptors]
work += [lambda p=p: connect(p) for p in (by_memory, by_link, by_descriptor) for _ in range(2)]
threads = [threading.Thread(target=one) for one in work]
for one in threads: one.start()
for one in threads: one.join()
found["done"] = True
"""


@pytest.mark.slow
def test_nothing_is_looked_at_twice(world: World) -> None:
    """Other threads of the hook change the address, the descriptor and the links while pid 1 looks at them."""
    with listening(world.tree / "theirs") as server:
        assert world.run(_RACES)["done"]
        assert not reached(server)


@pytest.mark.slow
def test_many_sockets_in_the_tree_cost_nothing(world: World) -> None:
    """3,000 of them made every later hook fail."""
    code = "for number in range(3000):\n    socket.socket(socket.AF_UNIX).bind(f's{number}')"
    world.run(code)
    assert sum(name.startswith("s") for name in os.listdir(world.tree)) == 3000
    for number in range(3000):
        os.unlink(world.tree / f"s{number}")
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(world.tree / f"s{number}"))
    assert world.run("found['ran'] = True")["ran"]


def test_a_link_that_an_earlier_hook_has_left_is_bound_again(world: World) -> None:
    code = "socket.socket(socket.AF_UNIX).bind('s'); found['again'] = attempt(socket.socket(socket.AF_UNIX).bind, 's')"
    for _ in range(2):
        assert world.run(code)["again"] == ["OSError", 98]


_ERRORS = """
import errno
def error_of(do, *arguments):
    try:
        do(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "none"
unix = lambda: socket.socket(socket.AF_UNIX)
os.mkdir("directory")
open("file", "w").close()
bound = unix()
bound.bind("bound")
tcp = socket.create_server(("127.0.0.1", 0))
connected = socket.create_connection(tcp.getsockname())
found["missing"] = error_of(unix().connect, "missing")
found["a file"] = error_of(unix().connect, "file")
found["a directory"] = error_of(unix().connect, "directory")
found["not listening"] = error_of(unix().connect, "bound")
found["beneath a file"] = error_of(unix().connect, "file/s")
found["empty"] = error_of(unix().connect, "")
found["bound twice"] = error_of(bound.bind, "other")
found["in use"] = error_of(unix().bind, "bound"), error_of(unix().bind, "file"), error_of(unix().bind, "directory")
found["no directory"] = error_of(unix().bind, "missing/s"), error_of(unix().bind, "file/s")
found["connected"] = error_of(connected.connect, tcp.getsockname())
found["port in use"] = error_of(socket.socket().bind, tcp.getsockname())
tcp.close()
found["refused"] = error_of(socket.socket().connect, ("127.0.0.1", 1))
found["unreachable"] = error_of(socket.socket().connect, ("192.0.2.1", 80))
with open("file") as file:
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    for name, number in (("not a socket", file.fileno()), ("no descriptor", 999)):
        libc.connect(number, bytes(16), 16)
        found[name] = errno.errorcode[ctypes.get_errno()]
    one = socket.socket()
    for name, address, size in (("bad memory", 8, 16), ("too long", 8, 4096), ("negative", 8, -1)):
        libc.connect(one.fileno(), ctypes.c_void_p(address), size)
        found[name] = errno.errorcode[ctypes.get_errno()]
"""


def test_errors_are_those_of_the_kernel(world: World) -> None:
    """What a program is told inside, it is told outside."""
    inside = world.run(_ERRORS)
    for name in ("directory", "file", "bound"):
        path = world.tree / name
        path.rmdir() if path.is_dir() else path.unlink()
    outside = world.run(_ERRORS, plain=True)
    for found in (inside, outside):
        found.pop("unreachable")
    assert inside == outside


_WORKS = """
import asyncio, multiprocessing, signal, subprocess, threading
def pairs():
    # What has a limit of waiting connections makes others wait, and a signal does not disturb them.
    server = socket.socket(socket.AF_UNIX)
    server.bind("few")
    server.listen(0)
    done = []
    def one():
        client = socket.socket(socket.AF_UNIX)
        client.connect("few")
        done.append(client)
    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads: thread.start()
    for _ in threads: server.accept()
    for thread in threads: thread.join()
    return len(done)

def alarmed():
    ticks = []
    signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    server = socket.socket(socket.AF_UNIX)
    server.bind("alarmed")
    server.listen(300)
    tcp = socket.create_server(("127.0.0.1", 0), backlog=300)
    for _ in range(200):
        for family, address in ((socket.AF_UNIX, "alarmed"), (socket.AF_INET, tcp.getsockname())):
            with socket.socket(family) as one:
                one.connect(address)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return len(ticks) > 0

def timeout():
    server = socket.socket(socket.AF_UNIX)
    server.bind("never")
    server.listen(0)
    first = socket.socket(socket.AF_UNIX)
    first.connect("never")
    one = socket.socket(socket.AF_UNIX)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, (0).to_bytes(8, "little") + (200000).to_bytes(8, "little"))
    return attempt(one.connect, "never")

def udp():
    one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    one.bind(("127.0.0.1", 0))
    two.connect(one.getsockname())
    two.send(b"x")
    return one.recv(1).decode()

async def streams():
    async def answer(reader, writer):
        writer.write(await reader.read(3))
        writer.close()
    server = await asyncio.start_unix_server(answer, "asyncio")
    reader, writer = await asyncio.open_unix_connection("asyncio")
    writer.write(b"abc")
    text = await reader.read(3)
    server.close()
    return text.decode()

def queue():
    # mq_open(3) opens files in a mount that nobody sees, and Landlock looks at these too.
    import ctypes
    libc = ctypes.CDLL("libc.so.6" if hasattr(ctypes.CDLL("libc.so.6"), "mq_open") else "librt.so.1", use_errno=True)
    return libc.mq_open(b"/of-a-hook", os.O_CREAT | os.O_RDWR, 0o600, None) >= 0 and libc.mq_unlink(b"/of-a-hook") == 0

found["queue"] = queue()
found["pairs"] = pairs()
found["alarmed"] = alarmed()
found["timeout"] = timeout()
found["udp"] = udp()
found["asyncio"] = asyncio.run(streams())
program = '''
import multiprocessing, os
def work(queue):
    queue.put(os.getpid())
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=work, args=(queue,))
        process.start()
        assert queue.get(timeout=60) == process.pid
        process.join()
    with multiprocessing.Manager() as manager:
        shared = manager.dict()
        shared["x"] = 1
        assert dict(shared) == {"x": 1}
'''
with open("program.py", "w") as file:
    file.write(program)
in_tree = {**os.environ, "TMPDIR": os.getcwd()}
found["multiprocessing"] = subprocess.run([sys.executable, "program.py"]).returncode
found["in the tree"] = subprocess.run([sys.executable, "program.py"], env=in_tree).returncode
"""


@pytest.mark.slow
def test_what_builds_do_with_sockets_works(world: World, launcher: str) -> None:
    """multiprocessing in each way of starting, asyncio, waiting connections, signals, a time limit, UDP."""
    found = world.run(_WORKS, policy=Policy(launcher=launcher))
    assert found.pop("timeout")[1] in (11, 115)
    assert found == {
        "queue": True,
        "pairs": 20,
        "alarmed": True,
        "udp": "x",
        "asyncio": "abc",
        "multiprocessing": 0,
        "in the tree": 0,
    }


_MAKE = """
all: one two
one two:
\t@echo $@ > $@.out
"""


@pytest.mark.slow
def test_a_server_of_gnupg_and_a_job_server_work(world: World) -> None:
    """gpg-agent binds in its home, here in the tree, and make passes a FIFO, where its version does."""
    (world.tree / "Makefile").write_text(_MAKE)
    code = """
import shutil, subprocess
found["fifo"] = subprocess.run("mkfifo f && (echo x > f & cat f)", shell=True, capture_output=True, text=True).stdout
if shutil.which("make"):
    style = "--jobserver-style=fifo" in subprocess.run(["make", "--help"], capture_output=True, text=True).stdout
    subprocess.run(["make", "-j2", *(["--jobserver-style=fifo"] if style else [])], check=True)
    found["make"] = os.path.exists("two.out")
if shutil.which("gpg-agent") and shutil.which("gpg-connect-agent"):
    os.mkdir("gnupg", 0o700)
    command = ["gpg-connect-agent", "--homedir", os.path.abspath("gnupg"), "getinfo pid", "/bye"]
    found["gnupg"] = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.split()[-1:]
"""
    found = world.run(code)
    assert found.pop("fifo") == "x\n"
    assert found.get("make", True)
    assert found.get("gnupg", ["OK"]) == ["OK"]


@pytest.mark.parametrize("place", ["exposed", "read-only tree", ".git", "exposed file", "beside programs", "in /opt"])
@BOTH
def test_a_fifo_of_somebody_else_cannot_be_written_to(
    world: World, place: str, plain: bool, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A read-only mount stops nobody from writing to one: an overlay does, or Landlock, which alone does in /opt."""
    if place == "in /opt":
        if os.geteuid() != 0:
            pytest.skip("only root can put something into /opt")
        world.outside = Path(tempfile.mkdtemp(prefix="isolated-hooks-test-", dir="/opt"))
        request.addfinalizer(lambda: shutil.rmtree(world.outside))
        world.outside.chmod(0o755)
    directory = {"exposed": world.outside, "read-only tree": world.tree, ".git": world.tree / ".git"}.get(place)
    directory = directory or world.outside
    directory.mkdir(exist_ok=True)
    path = directory / "fifo"
    os.mkfifo(path)
    os.chmod(path, 0o666)
    exposed = [str(path if place == "exposed file" else directory)] if place.startswith("exposed") else []
    if place in ("beside programs", "in /opt"):
        (directory / "program").write_text("#!/bin/sh\n")
        (directory / "program").chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        monkeypatch.setattr("isolated_hooks.run.situation.started_with", lambda: dict(os.environ))
    policy = Policy(
        source="read-only" if place == "read-only tree" else "read-write",
        expose=exposed,
        writable=[str(world.tree / "answers")] if place == "read-only tree" else [],
    )
    (world.tree / "answers").mkdir()
    code = f"""
def write(flags):
    fd = os.open({str(path)!r}, flags | os.O_NONBLOCK)
    os.write(fd, b"from a hook")
    os.close(fd)

found["seen"] = os.path.exists({str(path)!r})
attempt(write, os.O_WRONLY)
attempt(write, os.O_RDWR)
attempt(write, os.O_WRONLY | os.O_CREAT)
"""
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        name = "answers/it"
        caller = (
            pyproject_hooks.BuildBackendHookCaller(str(world.tree), "tiny", ["."], quiet)
            if plain
            else IsolatedHookCaller(str(world.tree), "tiny", ["."], quiet, policy=policy)
        )
        caller.get_requires_for_build_wheel({"code": code, "answer": name})
        assert json.loads((world.tree / name).read_text())["seen"]
        try:
            assert (os.read(reader, 100) != b"") == plain
        except BlockingIOError:
            assert not plain
    finally:
        os.close(reader)


_PROGRAM = """
import errno, json, os, socket, sys
found = {}
def attempt(do, *arguments):
    try:
        do(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
tcp = socket.create_server(("127.0.0.1", 0))
found["internet"] = attempt(socket.create_connection, tcp.getsockname())
found["pair"] = attempt(socket.socketpair)
found["theirs"] = attempt(lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[1]))
def own():
    server = socket.socket(socket.AF_UNIX)
    server.bind("own")
    server.listen()
    socket.socket(socket.AF_UNIX).connect("own")
    socket.socket(socket.AF_UNIX).connect(os.path.abspath("own"))
    socket.socket(socket.AF_UNIX).connect("/proc/self/cwd/own")
found["own"] = attempt(own)
print(json.dumps(found))
"""
_HIDING = 'mount -t tmpfs none /proc/sys && exec "$@"'
_OUTER = {
    # Where the whole host has a listener already, a filter beneath cannot have one: EBUSY.
    "a listener above": (sys.executable, os.fspath(NARROW), "landlock-abi=1", "--"),
    # A fresh /proc would show what is hidden there, so the sandbox shows the old one, with the pids from above.
    "the old /proc": ("unshare", "--map-root-user", "--mount", "sh", "-c", _HIDING, "sh"),
    "a /proc of a PID namespace above": ("unshare", "--map-root-user", "--pid", "--fork"),
    "no Landlock": (sys.executable, os.fspath(NARROW), "landlock_create_ruleset=ENOSYS", "--"),
    "no id map": ("setpriv", "--bounding-set=-setfcap,-setuid,-setgid", "--inh-caps=-setfcap,-setuid,-setgid"),
}


@pytest.mark.slow
@pytest.mark.parametrize("host", _OUTER)
def test_on_hosts_that_offer_less(world: World, host: str) -> None:
    """Nowhere is a socket of others reached. Without a broker, the hook has only pairs of unix sockets."""
    if subprocess.run([*_OUTER[host], "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this host cannot be made to offer less")
    command = [*_OUTER[host], *CLI, "run", "--", "python3", "-c", _PROGRAM, str(world.tree / "theirs")]
    with listening(world.tree / "theirs") as server:
        done = subprocess.run(command, cwd=world.tree, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert not reached(server)
    assert (found["internet"], found["pair"]) == ("done", "done")
    brokered = host != "a listener above"
    assert found["own"] == ("done" if brokered else "EPERM")
    assert found["theirs"] == ("ECONNREFUSED" if brokered else "EPERM")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners and mirror its id map")
@pytest.mark.parametrize("refused", [(), (Identity.SINGLE, Identity.RANGE)], ids=["range", "mirror"])
@pytest.mark.parametrize("owners", ["one", "several"])
def test_with_every_identity(
    world: World, refused: tuple[Identity, ...], owners: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of ids takes pid 1's access to its own child, unless it takes that back."""
    if owners == "several":
        (world.tree / "theirs").touch()
        os.chown(world.tree / "theirs", 1001, 105)
    if refused:
        monkeypatch.setattr(trial, "refused_identities", lambda *_: frozenset(refused))
    code = """
server = socket.socket(socket.AF_UNIX)
server.bind("own")
server.listen()
found["own"] = attempt(client, "own")
"""
    assert world.run(code)["own"][0] == "done"
