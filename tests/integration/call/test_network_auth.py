"""A credential that is added outside: what a hook reads with it, and what is refused before any hook runs."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.guarded import HEADER, PASSWORD, USER, Guarded, guarded, write_netrc
from support.index import write_wheel
from support.projects import WITH_PYTHON, command
from support.webserver import in_sandbox

from isolated_hooks import PolicyError
from isolated_hooks.report import HookReport

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("server")) as served:
        served.pages["/page"] = (200, {"ETag": "x"}, b"for those who know")
        yield served


@pytest.fixture(autouse=True)
def caller(server: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have netrc and the authority of the server, and no proxy. Return the tree of the command."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    monkeypatch.setenv("NETRC", str(write_netrc(tmp_path / "netrc")))
    server.heads.clear()
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def read(code: str, tree: Path, *entries: str) -> tuple[str, HookReport]:
    places = [entry.partition("=")[0].removesuffix("/plain") for entry in entries]
    return in_sandbox(code, tree, *places, network_auth=entries)


@pytest.mark.parametrize("launcher", ["native", "bubblewrap"])
def test_a_hook_reads_what_the_credential_opens_and_has_none(server: Guarded, caller: Path, launcher: str) -> None:
    if launcher == "bubblewrap":
        from shutil import which

        if which("bwrap") is None:
            pytest.skip("no bubblewrap")
    code = f"print(get('http://{server.place}/page'), get('http://{server.place}/none'))"
    printed, report = in_sandbox(code, caller, server.place, network_auth=[f"{server.place}=netrc"], launcher=launcher)
    assert printed == "for those who know 404\n"
    assert [HEADER in head for head in server.heads] == [True, True]
    (connection,) = report.connections
    assert (connection.port, connection.count, connection.allowed) == (server.port, 2, True)
    assert connection.sent > 100
    assert connection.received > 100
    document = json.dumps(report.to_dict())
    assert f"it adds credentials outside: {server.place}=netrc" in document
    assert PASSWORD not in document
    assert HEADER.removeprefix("Basic ") not in document


def test_a_tunnel_has_none_and_neither_has_a_host_without_an_entry(server: Guarded, caller: Path) -> None:
    code = f"""
import ssl
context = ssl._create_unverified_context()
try:
    print(urllib.request.urlopen("https://{server.place}/page", context=context))
except OSError as error:
    print(error.code)
"""
    assert read(code, caller, f"{server.place}=netrc")[0] == "401\n"
    assert in_sandbox(f"print(get('http://{server.place}/page'))", caller, server.place)[0] != "for those who know\n"
    assert [HEADER in head for head in server.heads] == [False]


def test_a_credential_that_the_host_does_not_take_is_told(
    server: Guarded, caller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(write_netrc(tmp_path / "netrc", password="another")))
    printed, report = read(f"print(get('http://{server.place}/page'))", caller, f"{server.place}=netrc")
    assert printed == "401\n"
    assert [c.problem for c in report.connections] == ["it answers 401 to the credential of network-auth"]
    assert "another" not in json.dumps(report.to_dict())


def test_a_private_host_without_tls(caller: Path, tmp_path: Path) -> None:
    with guarded(tmp_path / "plain", tls=False) as plain:
        plain.pages["/page"] = (200, {}, b"in clear")
        printed, _ = read(f"print(get('http://{plain.place}/page'))", caller, f"{plain.place}/plain=netrc")
        assert printed == "in clear\n"
        # Without the word it has to speak TLS, so the credential stays here.
        plain.heads.clear()
        printed, report = read(f"print(get('http://{plain.place}/page'))", caller, f"{plain.place}=netrc")
        assert printed == "502\n"
        assert plain.heads == []
        assert [c.problem[:17] for c in report.connections] == ["TLS with it fails"]


def test_a_server_that_is_not_the_one_gets_nothing(
    caller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded(tmp_path / "other", name="other.example") as other:
        code = f"print(ask(b'GET http://{other.place}/page HTTP/1.1\\r\\n\\r\\n'))"
        printed, report = read(code, caller, f"{other.place}=netrc")
        assert "unable to get local issuer certificate" in printed
        assert "SSL_CERT_FILE" in printed
        assert [c.problem[:17] for c in report.connections] == ["TLS with it fails"]
        monkeypatch.setenv("SSL_CERT_FILE", str(other.authority))
        printed, _ = read(code, caller, f"{other.place}=netrc")
        assert "502" in printed
        assert "mismatch" in printed
        assert other.heads == []


def test_pip_in_a_hook_installs_from_an_index_that_wants_a_password(
    server: Guarded, caller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(tmp_path, "bricks")
    link = f'<a href="../../files/{wheel.name}">{wheel.name}</a>'
    server.pages["/simple/bricks/"] = (200, {"Content-Type": "text/html"}, f"<!DOCTYPE html>{link}".encode())
    server.pages[f"/files/{wheel.name}"] = (200, {}, wheel.read_bytes())
    monkeypatch.setenv("PIP_INDEX_URL", f"https://{USER}:{PASSWORD}@{server.place}/simple")
    code = f"""
import subprocess
print(os.environ["PIP_INDEX_URL"], os.environ["PIP_TRUSTED_HOST"])
argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "-q", "bricks"]
done = subprocess.run(argv, capture_output=True, text=True)
print(done.returncode, done.stderr, os.path.exists("{wheel.name}"))
"""
    printed, _ = read(code, caller, f"{server.place}=netrc")
    assert printed.splitlines() == [f"http://{server.place}/simple {server.place}", "0  True"], printed


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("127.0.0.2:443=netrc", "has no entry for this host"),
        ("127.0.0.1:1/plain=keyring:nobody", "keyring"),
    ],
)
def test_a_credential_that_cannot_be_had_is_an_error_before_the_hook(entry: str, word: str, caller: Path) -> None:
    with pytest.raises(PolicyError, match=word):
        read("open('ran', 'w')", caller, entry)
    assert not (caller / "ran").exists()


def test_netrc_in_what_the_hook_sees_is_an_error(
    server: Guarded, caller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    for file in (caller / "netrc", shown / "netrc"):
        monkeypatch.setenv("NETRC", str(write_netrc(file)))
        policy = {"network_auth": [f"{server.place}=netrc"], "expose": [str(shown)]}
        with pytest.raises(PolicyError, match="is where hooks may see it"):
            in_sandbox("open('ran', 'w')", caller, server.place, **policy)
    code = f"print(get('http://{server.place}/page'), os.path.exists({str(shown / 'netrc')!r}))"
    printed, _ = in_sandbox(code, caller, server.place, **policy, hide=[str(shown / "netrc")])
    assert printed == "for those who know False\n"
    assert not (caller / "ran").exists()


def test_a_link_in_the_tree_does_not_choose_netrc(
    server: Guarded, caller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (caller / "link").symlink_to(tmp_path / "netrc")
    monkeypatch.setenv("NETRC", str(caller / "link"))
    with pytest.raises(PolicyError, match="is where hooks may see it"):
        read("open('ran', 'w')", caller, f"{server.place}=netrc")


class Tunnel(socketserver.StreamRequestHandler):
    """An operator's proxy that knows CONNECT, and keeps what it was told."""

    told = b""

    def handle(self) -> None:
        place = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        host, _, port = place.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self._back, args=(server,))
            back.start()
            while data := self.connection.recv(65536):
                type(self).told += data
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _back(self, server: socket.socket) -> None:
        while data := server.recv(65536):
            self.connection.sendall(data)
        self.connection.shutdown(socket.SHUT_WR)


def test_an_operators_proxy_carries_tls_and_sees_no_credential(
    server: Guarded, caller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        try:
            for name in ("http_proxy", "https_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_address[1]}")
            assert read(f"print(get('http://{server.place}/page'))", caller, f"{server.place}=netrc")[0] == (
                "for those who know\n"
            )
            with pytest.raises(PolicyError, match=r"add 127\.0\.0\.1 to no_proxy"):
                read("open('ran', 'w')", caller, f"{server.place}/plain=netrc")
        finally:
            proxy.shutdown()
            thread.join()
    assert len(Tunnel.told) > 100
    assert HEADER.encode() not in Tunnel.told
    assert not (caller / "ran").exists()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("127.0.0.1:1=geheim", "'127.0.0.1:1=...'"),
        ("127.0.0.2:1=netrc", "127.0.0.2:1 is not in network"),
        ("127.0.0.1:1=netrc", "cannot be read: No such file or directory"),
        ("", "got ''"),
    ],
)
def test_the_command_line_ends_with_2_and_says_what_to_write(
    value: str, shown: str, caller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "missing"))
    options = ("--network", "127.0.0.1:1", f"--network-auth={value}")
    done = command("run", *options, "--", "touch", "ran", cwd=caller)
    assert done.returncode == 2, done.stderr
    assert shown in done.stderr
    assert "geheim" not in done.stderr
    assert "expected" in done.stderr
    assert not (caller / "ran").exists()


def test_the_command_line_reads_with_it(server: Guarded, caller: Path) -> None:
    fetch = f"import urllib.request; print(urllib.request.urlopen('http://{server.place}/page').read())"
    options = ("-v", "--network", server.place, "--network-auth", f"{server.place}=netrc")
    done = command("run", *options, "--", "python3", "-c", fetch, cwd=caller, environ=WITH_PYTHON)
    assert done.stdout == "b'for those who know'\n", done.stderr
    assert PASSWORD not in done.stderr
    explained = command("explain", *options[1:], ".", cwd=caller).stdout
    assert f"it adds credentials outside: {server.place}=netrc" in explained
