"""The index of the wheels of a run: what it answers, to whom, and for how long."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import threading
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from isolated_hooks import UsedWheel
from isolated_hooks.many.index import Index

NAME = "my_demo-1.0-py3-none-any.whl"
DATA = b"wheel" * 100_000
WHEEL = UsedWheel("my-demo", "1.0", hashlib.sha256(DATA).hexdigest())


def get(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 80, timeout=30)
    try:
        connection.request(method, parts.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / NAME).write_bytes(DATA)
    return os.fspath(tmp_path / NAME)


def test_pages_and_files_are_as_the_standards_say(path: str) -> None:
    with Index() as index:
        url = index.directory({path: WHEEL})
        assert url.startswith("http://127.0.0.1:")
        status, headers, page = get(f"{url}simple/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert b'<a href="my-demo/">my-demo</a>' in page
        for spelling in ("my-demo", "My_Demo", "MY.demo"):
            assert f'href="../../files/{NAME}#sha256={WHEEL.sha256}"'.encode() in get(f"{url}simple/{spelling}/")[2]
        accept = "application/vnd.pypi.simple.v1+json, text/html; q=0.1"
        status, headers, page = get(f"{url}simple/my-demo/", Accept=accept)
        assert headers["content-type"] == "application/vnd.pypi.simple.v1+json"
        document = json.loads(page)
        assert (document["name"], document["meta"]) == ("my-demo", {"api-version": "1.0"})
        assert document["files"][0]["hashes"] == {"sha256": WHEEL.sha256}
        file = urljoin(f"{url}simple/my-demo/", document["files"][0]["url"])
        assert get(file)[2] == DATA
        status, headers, body = get(file, "HEAD")
        assert (status, headers["content-length"], body) == (200, str(len(DATA)), b"")
        assert [p["name"] for p in json.loads(get(f"{url}simple/", Accept=accept)[2])["projects"]] == ["my-demo"]


def test_nothing_else_is_found(path: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link-1.0-py3-none-any.whl").symlink_to("secret")
    os.mkfifo(tmp_path / "fifo-1.0-py3-none-any.whl")
    others = {
        f"{tmp_path}/{name}-1.0-py3-none-any.whl": UsedWheel(name, "1.0", "0" * 64) for name in ("link", "fifo", "gone")
    }
    with Index() as index:
        mine, theirs = index.directory({path: WHEEL, **others}), index.directory({})
        top = mine[: mine.rindex("/", 0, -1) + 1]
        beyond = ("secret", "..%2fsecret", "%2e%2e/secret", "../secret", "", NAME + "x")
        wrong = [top, f"{top}simple/", f"{top}x/simple/", f"{theirs}files/{NAME}", f"{theirs}simple/my-demo/"]
        wrong += [mine, f"{mine}other/", f"{mine}simple/my-demo/x/", f"{mine}simple/none/"]
        wrong += [f"{mine}files/{name}" for name in beyond]
        wrong += [f"{mine}files/{os.path.basename(path)}" for path in others]
        assert {url: get(url)[0] for url in wrong} == dict.fromkeys(wrong, 404)
        assert get(f"{mine}simple/", "POST")[0] == 501
        index.forget(mine)
        assert get(f"{mine}simple/")[0] == 404
        assert b"secret" not in get(f"{top}<secret>/")[2]


def test_no_two_directories_have_a_name_that_anybody_could_guess() -> None:
    with Index() as index:
        names = {urlsplit(index.directory({})).path.strip("/") for _ in range(50)}
    assert len(names) == 50
    assert {len(name) for name in names} == {43}, "256 bits"


def test_it_listens_on_the_loopback_interface_alone_and_ends_with_the_context() -> None:
    with Index() as index:
        port = urlsplit(index.directory({})).port
        assert index._server is not None
        assert index._server.socket.getsockname() == ("127.0.0.1", port)
        assert not index._server.socket.get_inheritable()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port or 0), timeout=10):
        pass


def test_without_a_wheel_nobody_listens() -> None:
    before = threading.active_count()
    with Index() as index:
        index.forget("")
        assert (index._server, threading.active_count()) == (None, before)


def test_a_fork_does_not_keep_the_port() -> None:
    with Index() as index:
        port = urlsplit(index.directory({})).port
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        os.close(read)
    try:
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port or 0), timeout=10):
            pass
    finally:
        os.close(write)
        os.waitpid(pid, 0)


def test_many_idle_connections_do_not_stop_it(path: str) -> None:
    with Index() as index:
        url = index.directory({path: WHEEL})
        port = urlsplit(url).port or 0
        idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(60)]
        assert get(f"{url}simple/")[0] == 200
        for connection in idle:
            connection.close()
