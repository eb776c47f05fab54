"""A hook that reaches named hosts tries to reach others, the proxy's process, or the proxy's patience."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest
from support.webserver import Served, in_sandbox, in_thread, serving

from isolated_hooks import SandboxSetupError
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(scope="module")
def named() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def other() -> Iterator[Served]:
    with serving(b"stolen") as served:
        yield served


@pytest.fixture(autouse=True)
def no_proxy_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_nothing_is_reached_directly(named: Served, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        datagrams.settimeout(0)
        port = datagrams.getsockname()[1]
        code = f"""
def datagram(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", address)
def tcp(address):
    socket.create_connection(address, 5).close()
print(json.dumps([
    attempt(tcp, ("127.0.0.1", {named.port})), attempt(tcp, ("192.0.2.1", 80)),
    attempt(datagram, ("127.0.0.1", {port})), attempt(datagram, ("192.0.2.1", 53)),
    attempt(socket.getaddrinfo, "example.org", 80),
]))
"""
        socket.create_connection(("127.0.0.1", named.port)).close()  # it works outside
        printed, report = in_sandbox(code, tmp_path, named.place)
        tcp, far, _, unreachable, name = json.loads(printed)
        assert (tcp, name) == ("ConnectionRefusedError", "gaierror")
        assert far == unreachable == "OSError"  # ENETUNREACH
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)
    assert report.connections == ()


def test_no_spelling_of_a_request_leads_elsewhere(named: Served, other: Served, tmp_path: Path) -> None:
    code = f"""
named, other = "{named.place}", "{other.place}"
port = "{other.port}"
requests = [
    "GET http://" + other + "/ HTTP/1.1", "CONNECT " + other + " HTTP/1.1", "GET / HTTP/1.1\\r\\nHost: " + other,
    "GET http://" + named + "@" + other + "/ HTTP/1.1", "GET http://" + other + "#@" + named + "/ HTTP/1.1",
    "GET http://localhost:" + port + "/ HTTP/1.1", "CONNECT [::ffff:127.0.0.1]:" + port + " HTTP/1.1",
    "CONNECT 127.1:" + port + " HTTP/1.1", "CONNECT 0x7f000001:" + port + " HTTP/1.1",
    "CONNECT " + named + "\\0." + other + " HTTP/1.1", "CONNECT " + named + " HTTP/1.1\\nCONNECT " + other,
    "CONNECT 127.0.0.1:0" + port + " HTTP/1.1", "CONNECT 127.0.0.1:99999 HTTP/1.1",
]
print(json.dumps([ask(request.encode() + b"\\r\\n\\r\\n").split(" ")[1] for request in requests]))
first, second = ("GET http://" + place + "/ HTTP/1.1\\r\\n" for place in (named, other))
print(ask((first + "Host: " + other + "\\r\\n\\r\\n").encode())[-6:])
print(ask((first + "\\r\\n" + second + "\\r\\n").encode()).count("stolen"))
"""
    printed, report = in_sandbox(code, tmp_path, named.place)
    codes, kept, stolen = printed.splitlines()
    assert set(json.loads(codes)) <= {"400", "403"}
    assert (kept, stolen) == ("served", "0")
    assert other.heads == []
    assert f"Host: {named.place}" in named.heads[0]
    assert {c.port for c in report.connections if c.allowed} == {named.port}


def test_slow_and_huge_and_many_requests_do_not_stop_it(named: Served, tmp_path: Path) -> None:
    code = f"""
silent = [socket.create_connection(("127.0.0.1", 61080)) for _ in range(100)]
for one in silent:
    one.sendall(b"GET http://")
for one in silent:
    one.close()
print(ask(b"GET http://{named.place}/ HTTP/1.1\\r\\n" + b"A: " + b"b" * 10**6 + b"\\r\\n\\r\\n").split(" ")[1:2])
for number in range(300):
    ask(b"CONNECT host-%d.example:443 HTTP/1.1\\r\\n\\r\\n" % number)
print(get("http://{named.place}/"))
"""
    printed, report = in_sandbox(code, tmp_path, named.place)
    assert printed.splitlines() == ["['400']", "served"]
    assert len(report.connections) <= 257
    assert sum(connection.count for connection in report.connections) == 100 + 1 + 300 + 1


def proxies() -> set[int]:
    """Return the proxies that this process has started."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            line = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if int(stat[1]) == os.getpid() and b"network/serving/__main__.py" in line:
            found.add(int(name))
    return found


def test_the_process_of_the_proxy_is_out_of_reach(named: Served, tmp_path: Path) -> None:
    seen: list[set[int]] = []
    code = """
while not os.path.exists("pid"):
    time.sleep(0.01)
pid = int(open("pid").read())
paths = [f"/proc/{n}/cmdline" for n in os.listdir("/proc") if n.isdigit()]
lines = [open(path, "rb").read() for path in paths if os.access(path, os.R_OK)]
print(attempt(os.kill, pid, 9), attempt(os.pidfd_open, pid), os.path.exists(f"/proc/{pid}/environ"))
print(any(b"serving" in line and b"__main__.py" in line and b"-c" not in line for line in lines))
print([fd for fd in os.listdir("/proc/self/fd") if int(fd) > 3])
"""

    def start(command: list[str]) -> None:
        seen.append(proxies())
        (number,) = seen[0]
        os.kill(number, 0)  # an attack that works outside
        (tmp_path / "part").write_text(str(number))
        os.rename(tmp_path / "part", tmp_path / "pid")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        printed.append(done.stdout)
        os.kill(number, 0)

    printed: list[str] = []
    in_sandbox(code, tmp_path, named.place, start=start)
    assert printed[0].splitlines() == ["ProcessLookupError ProcessLookupError False", "False", "[]"]
    assert proxies() == set()


def test_a_hook_whose_proxy_ends_is_ended(named: Served, tmp_path: Path) -> None:
    def end_it() -> None:
        assert until(lambda: (tmp_path / "started").exists())
        for number in proxies():
            os.kill(number, signal.SIGKILL)

    killer = threading.Thread(target=end_it)
    killer.start()
    try:
        with pytest.raises(SandboxSetupError, match="the proxy to the hosts in 'network' ended"):
            in_sandbox("open('started', 'w').close(); time.sleep(300); open('went-on', 'w')", tmp_path, named.place)
    finally:
        killer.join()
    assert not (tmp_path / "went-on").exists()


def test_the_proxy_ends_with_a_hook_that_leaves_connections_open(named: Served, tmp_path: Path) -> None:
    code = f"""
one = socket.create_connection(("127.0.0.1", 61080))
one.sendall(b"CONNECT {named.place} HTTP/1.1\\r\\n\\r\\n")
print(one.recv(12), flush=True)
os._exit(0)
"""
    printed, report = in_sandbox(code, tmp_path, named.place)
    assert printed == "b'HTTP/1.1 200'\n"
    assert report.connections[0].count == 1
    assert proxies() == set()


@contextlib.contextmanager
def lax_proxy() -> Iterator[tuple[int, list[str]]]:
    """Serve as an operator's proxy that takes every further request on a connection, and methods in any case."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            while line := self.rfile.readline(65536).decode("latin-1").strip():
                size = 0
                while header := self.rfile.readline(65536).strip():
                    name, _, value = header.lower().partition(b":")
                    size = int(value) if name == b"content-length" else size
                asked.append(f"{line} {self.rfile.read(size).decode()}".strip())
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server, in_thread(server):
        yield server.server_address[1], asked


def test_no_second_request_reaches_the_operators_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    further = "GET http://metadata.example/ HTTP/1.1\r\n\r\n"
    first = "POST http://named.example/{} HTTP/1.1\r\n{}\r\n"
    requests = (
        first.format("length", "Content-Length: 4\r\n") + "body" + further,
        first.format("none", "") + further,
        first.format("chunked", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" + further,
        first.format("two", "Content-Length: 4\r\nContent-Length: 99\r\n") + "body" + further,
        first.format("sign", "Content-Length: +4\r\n") + "body" + further,
        "connect http://named.example/tunnel HTTP/1.1\r\n\r\n",
    )
    with lax_proxy() as (port, asked):
        with socket.create_connection(("127.0.0.1", port)) as one:  # it works outside
            one.sendall(requests[0].encode())
            one.shutdown(socket.SHUT_WR)
            while one.recv(65536):
                pass
        assert len(asked) == 2 and "metadata" in asked[1]
        asked.clear()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        code = f"""
for request in {requests}:
    with socket.create_connection(("127.0.0.1", 61080), timeout=30) as one:
        one.sendall(request.encode())
        one.recv(1)
        attempt(one.sendall, b"GET http://late.example/ HTTP/1.1\\r\\n\\r\\n")  # later, too
        attempt(one.shutdown, socket.SHUT_WR)
        while attempt(one.recv, 65536)[2:3] not in ("'", "n"):  # b'' or ConnectionResetError
            pass
"""
        in_sandbox(code, tmp_path, "named.example:80")
    line = "POST http://named.example/{} HTTP/1.1"
    assert sorted(asked) == [f"{line.format('length')} body", line.format("none")]


@contextlib.contextmanager
def telling_proxy() -> Iterator[tuple[int, list[str]]]:
    """Serve as an operator's proxy that answers TRACE itself, and whose pages about errors show the whole request."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            lines = []
            while line := self.rfile.readline(65536).strip():
                lines.append(line)
            if not lines:  # somebody looked whether we are there
                return
            asked.append(b"\n".join(lines).decode())
            page = b"<a href='mailto:proxy@named.example?body=" + quote_from_bytes(b"\n".join(lines)).encode() + b"'>"
            body = page if b"/error" in lines[0] else b"\n".join(lines) if b"/echo" in lines[0] else b"a page"
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server, in_thread(server):
        yield server.server_address[1], asked


def test_the_operators_proxy_shows_no_hook_its_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = base64.b64encode(b"operator:secret-word").decode()
    with telling_proxy() as (port, asked):
        monkeypatch.setenv("http_proxy", f"http://operator:secret-word@127.0.0.1:{port}")
        code = """
requests = ["TRACE {}echo", "TRACK {}echo", "DEBUG {}echo", "GET {}echo", "GET {}error", "OPTIONS {}error", "GET {}x"]
for request in requests:
    head = request.format("http://named.example/") + " HTTP/1.1\\r\\nMax-Forwards: 0\\r\\n\\r\\n"
    print(ask(head.encode()), "|")
"""
        printed, report = in_sandbox(code, tmp_path, "named.example:80")
    assert len(asked) == 4
    assert all(f"Proxy-Authorization: Basic {word}" in head for head in asked)  # it was there to be shown
    assert not any("Max-Forwards" in head for head in asked)
    assert "secret-word" not in printed
    assert word[:10] not in printed
    assert printed.count("gets no request with this method") == 3
    assert printed.split("|")[-2].endswith("a page ")
    assert word[:10] not in json.dumps(report.to_dict())
    shown = [c.count for c in report.connections if "shows its own credential" in c.problem]
    assert shown == [3]
