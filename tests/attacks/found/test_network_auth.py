"""A hook wants a credential that the proxy adds outside: for itself, for another host, or to do more than read."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.guarded import HEADER, PASSWORD, Guarded, guarded, write_netrc
from support.webserver import Served, in_sandbox, serving

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(autouse=True)
def caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have netrc for both names of the loopback interface, and no proxy. Return the tree of the command."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    file = write_netrc(tmp_path / "netrc")
    file.write_text(file.read_text() + file.read_text().replace("127.0.0.1", "localhost"))
    monkeypatch.setenv("NETRC", str(file))
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.fixture(params=["tls", "plain"])
def named(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    with guarded(tmp_path / "named", tls=request.param == "tls") as served:
        monkeypatch.setenv("SSL_CERT_FILE", str(served.authority))
        served.pages["/page"] = (200, {}, b"for those who know")
        yield served


@pytest.fixture
def other() -> Iterator[Served]:
    """A host that the hook may reach, and for which there is no credential."""
    with serving(b"other") as served:
        yield served


def entry(named: Guarded) -> str:
    return f"{named.place}{'' if named.tls else '/plain'}=netrc"


def test_no_spelling_of_a_request_takes_the_credential_elsewhere(named: Guarded, other: Served, caller: Path) -> None:
    requests = f"""
named, other, port = "{named.place}", "{other.place}", "{other.port}"
own = "{named.port}"
get = "GET http://" + named + "/page HTTP/1.1\\r\\n"
requests = [
    get + "Host: " + other, get + "Connection: host\\r\\nHost: " + other, get + "X-Forwarded-Host: " + other,
    "GET http://" + other + "/ HTTP/1.1\\r\\nHost: " + named, "GET http://" + named + "@" + other + "/ HTTP/1.1",
    "GET http://" + other + "@" + named + "/ HTTP/1.1", "GET http://" + other + "#@" + named + "/ HTTP/1.1",
    "GET http://" + other + "/?http://" + named + "/ HTTP/1.1", "GET //" + other + "/ HTTP/1.1\\r\\nHost: " + named,
    "GET http://" + named + "//" + other + "/ HTTP/1.1", "GET http://" + named + "\\\\@" + other + "/ HTTP/1.1",
    "GET http://" + named + ".:" + port + "/ HTTP/1.1", "GET http://127.0.0.1.:" + own + "/page HTTP/1.1",
    "GET http://[::ffff:127.0.0.1]:" + own + "/page HTTP/1.1", "GET http://[::1]:" + own + "/page HTTP/1.1",
    "GET http://127.1:" + own + "/page HTTP/1.1", "GET http://0x7f.1:" + own + "/page HTTP/1.1",
    "GET http://127.0.0.1:" + port + "/ HTTP/1.1", "GET http://LOCALHOST:" + own + "/page HTTP/1.1",
    "GET https://" + named + "/page HTTP/1.1", "GET http://" + named + "/page HTTP/1.1\\nHost: " + other,
    get + "Content-Length: 4\\r\\n\\r\\nGET http://" + other + "/ HTTP/1.1",
    get + "Transfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET http://" + other + "/ HTTP/1.1",
    get + "\\r\\nGET http://" + other + "/ HTTP/1.1",
    "CONNECT " + other + " HTTP/1.1\\r\\n\\r\\nGET / HTTP/1.0",
]
print(json.dumps([ask(request.encode() + b"\\r\\n\\r\\n") for request in requests]))
"""
    printed, _ = in_sandbox(requests, caller, named.place, other.place, network_auth=[entry(named)])
    answers = json.loads(printed)
    assert any("for those who know" in answer for answer in answers)  # it is there to be taken
    assert len(other.heads) >= 3  # and there was somewhere to take it
    assert [head for head in other.heads if "Authorization" in head] == []
    assert {line for head in named.heads for line in head.splitlines() if line.startswith("Host:")} == {
        f"Host: {named.place}"
    }
    assert {head.split(" ", 1)[1].split("\n")[0] for head in named.heads} <= {
        "/page HTTP/1.1",
        f"//{other.place}/ HTTP/1.1",
    }
    assert [answer for answer in answers if PASSWORD in answer or HEADER.split()[1] in answer] == []


def test_it_opens_nothing_but_reading(named: Guarded, caller: Path) -> None:
    code = f"""
answers = []
for method in "POST PUT DELETE PATCH OPTIONS TRACE PROPFIND get Get".split():
    answers.append(ask((method + " http://{named.place}/page HTTP/1.1\\r\\nContent-Length: 0\\r\\n\\r\\n").encode()))
print([answer.split(" ")[1] for answer in answers])
extra = "X-HTTP-Method-Override: DELETE\\r\\nX-Method-Override: PUT\\r\\n"
extra += "Authorization: Basic eDp5\\r\\nCookie: a=b\\r\\n"
print("for those who know" in ask(("GET http://{named.place}/page HTTP/1.1\\r\\n" + extra + "\\r\\n").encode()))
"""
    printed, report = in_sandbox(code, caller, named.place, network_auth=[entry(named)])
    codes, read = printed.splitlines()
    assert codes == str(["502"] * 7 + ["400"] * 2)
    assert read == "True"
    (head,) = named.heads
    assert head.startswith("GET /page")
    assert "Override" not in head
    assert "Cookie" not in head
    assert head.count("Authorization") == 1
    assert f"Authorization: {HEADER}" in head
    assert sum(c.count for c in report.connections if c.problem.startswith("only GET and HEAD")) == 7


def test_nothing_that_came_for_it_comes_back_but_the_body(named: Guarded, other: Served, caller: Path) -> None:
    named.pages["/page"] = (
        302,
        {
            "Location": f"http://{other.place}/elsewhere",
            "Set-Cookie": "session=stolen",
            "X-Auth-Token": "stolen",
            "Authorization": "stolen",
            "WWW-Authenticate": "Bearer stolen",
        },
        b"gone",
    )
    code = f"""
print(ask(b"GET http://{named.place}/page HTTP/1.1\\r\\n\\r\\n"))
print(ask(b"GET http://{named.place}/none HTTP/1.1\\r\\n\\r\\n"))
"""
    printed, _ = in_sandbox(code, caller, named.place, other.place, network_auth=[entry(named)])
    assert f"Location: http://{other.place}/elsewhere" in printed
    assert "gone" in printed
    assert "404" in printed
    assert "stolen" not in printed
    assert other.heads == []


def test_it_is_nowhere_in_the_sandbox(named: Guarded, caller: Path) -> None:
    """Neither in a variable or a command line, nor in the memory of any process that the hook can open."""
    # The classes of characters keep the hook's own code from matching.
    code = f"""
import re
print(get("http://{named.place}/page"))
needles = re.compile(rb"the-wor[d]-of-the-operato[r]|YnVpbGRlcjp0aG[U]")
found, opened, sizes = [], [], 0
for name in filter(str.isdigit, os.listdir("/proc")):
    for file in ("environ", "cmdline", "mem"):
        path = f"/proc/{{name}}/{{file}}"
        try:
            with open(path, "rb", buffering=0) as one:
                spans = [(0, 1 << 20)]
                if file == "mem":
                    lines = [line.split() for line in open(f"/proc/{{name}}/maps") if " r" in line]
                    spans = [[int(part, 16) for part in line[0].split("-")] for line in lines]
                for start, end in spans:
                    try:
                        one.seek(start) if file == "mem" else None
                        data = one.read(min(end - start, 1 << 26))
                    except (OSError, ValueError, OverflowError):
                        continue
                    sizes += len(data)
                    found += [path] * bool(needles.search(data))
                opened.append(file)
        except OSError:
            pass
print(found, sorted(set(opened)), sizes > 1000000, needles.search(json.dumps(dict(os.environ)).encode()))
names = [os.path.join(top, name) for top, _, names in os.walk(os.getcwd()) for name in names]
names += [os.path.join(top, name) for top, _, names in os.walk("/tmp") for name in names]
print([name for name in names if os.path.isfile(name) and needles.search(open(name, "rb").read())])
"""
    printed, report = in_sandbox(code, caller, named.place, network_auth=[entry(named)])
    assert printed.splitlines() == ["for those who know", "[] ['cmdline', 'environ', 'mem'] True None", "[]"]
    assert PASSWORD not in json.dumps(report.to_dict())


def test_a_name_in_another_spelling_is_still_that_host_alone(
    tmp_path: Path, caller: Path, monkeypatch: pytest.MonkeyPatch, other: Served
) -> None:
    with guarded(tmp_path / "named", name="localhost") as named:
        monkeypatch.setenv("SSL_CERT_FILE", str(named.authority))
        named.pages["/page"] = (200, {}, b"for those who know")
        place = f"localhost:{named.port}"
        code = f"""
spellings = ["LocalHost:{named.port}", "localhost.:{named.port}", "localhost:{other.port}", "{named.place}"]
print([ask(("GET http://" + one + "/page HTTP/1.1\\r\\n\\r\\n").encode())[9:12] for one in spellings])
"""
        hosts = (f"{place}/private", f"localhost:{other.port}/private", named.place)
        printed, _ = in_sandbox(code, caller, *hosts, network_auth=[f"{place}=netrc"])
        # The last one speaks HTTP without TLS to a port that wants TLS.
        assert printed.startswith("['200', '403', '200'"), printed
        assert [f"Host: {place}\n" in head for head in named.heads] == [True]
        assert [head for head in other.heads if "Authorization" in head] == []


def test_a_server_that_speaks_no_tls_or_no_http_gets_and_gives_nothing(caller: Path) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            one, _ = server.accept()
            with one:
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                one.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    while data := one.recv(65536):
                        heard.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        code = f"print(ask(b'GET http://127.0.0.1:{port}/ HTTP/1.1\\r\\n\\r\\n').split(' ')[1])"
        printed, _ = in_sandbox(code, caller, f"127.0.0.1:{port}", network_auth=[f"127.0.0.1:{port}=netrc"])
        thread.join()
    assert printed == "502\n"
    assert heard
    assert HEADER.encode() not in b"".join(heard)
