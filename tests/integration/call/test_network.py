"""A list of hosts: what a hook reaches, what the report says, and what is refused before it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyproject_hooks
import pytest
from support.index import serve, write_wheel
from support.lanes import first_fast
from support.projects import command
from support.repository import NARROW, ROOT
from support.webserver import Served, free_port, in_sandbox, serving

from isolated_hooks import (
    HookReport,
    IsolatedHookCaller,
    Policy,
    PolicyError,
    Protection,
    ProtectionState,
    SandboxUnavailableError,
)
from isolated_hooks.report import Connection

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def no_proxy_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


LAUNCHERS = ["native", pytest.param("bubblewrap", marks=pytest.mark.skipif(not shutil.which("bwrap"), reason="none"))]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_named_host_is_reached_and_no_other(launcher: str, server: Served, tmp_path: Path) -> None:
    other = free_port()
    code = f"""
print(get("http://{server.place}/path?secret=1"))
print(get("http://127.0.0.1:{other}/"), get("http://example.org/"), get("https://example.org/"))
"""
    printed, report = in_sandbox(code, tmp_path, server.place, launcher=launcher)
    assert printed.splitlines() == ["served", "403 403 Tunnel connection failed: 403 Forbidden"]
    unnamed = "the policy does not name it"
    found = {(c.host, c.port): (c.count, c.allowed, c.problem) for c in report.connections}
    assert found == {
        ("127.0.0.1", server.port): (1, True, ""),
        ("127.0.0.1", other): (1, False, unnamed),
        ("example.org", 80): (1, False, unnamed),
        ("example.org", 443): (1, False, unnamed),
    }
    made = next(c for c in report.connections if c.allowed)
    assert made.sent > 50
    assert made.received > 6
    assert "secret" not in json.dumps(report.to_dict())
    assert HookReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    status = next(s for s in report.protections if s.protection is Protection.NETWORK)
    assert status.state is ProtectionState.ACTIVE
    assert status.reason.endswith(f"these hosts alone: {server.place}")


def test_a_tunnel_carries_what_it_is_given(server: Served, tmp_path: Path) -> None:
    code = f"""
print(ask(b"CONNECT {server.place} HTTP/1.1\\r\\n\\r\\nGET /inner HTTP/1.0\\r\\n\\r\\n").replace("\\r\\n", "|"))
"""
    printed, report = in_sandbox(code, tmp_path, server.place)
    assert printed.startswith("HTTP/1.1 200 Connection established||HTTP/1.0 200 OK|")
    assert printed.endswith("served\n")
    assert server.heads[-1].startswith("GET /inner")
    assert [(c.port, c.count) for c in report.connections] == [(server.port, 1)]


def test_a_hook_of_a_backend_reaches_it_too(server: Served, tmp_path: Path) -> None:
    (tmp_path / "backend.py").write_text(
        "import urllib.request\ndef get_requires_for_build_wheel(config_settings=None):\n"
        "    return [urllib.request.urlopen(config_settings['url']).read().decode()]\n"
    )
    caller = IsolatedHookCaller(
        str(tmp_path), "backend", ".", pyproject_hooks.quiet_subprocess_runner, policy=Policy(network=[server.place])
    )
    assert caller.get_requires_for_build_wheel({"url": f"http://{server.place}/"}) == ["served"]
    assert caller.reports[-1].connections[0].allowed


def test_the_callers_own_proxy_variables_do_not_get_in(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTP_PROXY", "http://user:word@proxy.example:1")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    code = "print(json.dumps({k: v for k, v in os.environ.items() if 'proxy' in k.lower() or 'CERT' in k}))"
    variables = json.loads(in_sandbox(code, tmp_path, server.place)[0])
    assert "FTP_PROXY" not in variables
    assert variables["SSL_CERT_FILE"].startswith("/etc")
    assert variables["NO_PROXY"] == variables["no_proxy"] == "localhost,::1"  # a named loopback is the caller's
    ours = "http://127.0.0.1:61080"
    names = "http_proxy HTTPS_PROXY npm_config_https_proxy CARGO_HTTP_PROXY".split()
    assert [variables[name] for name in names] == [ours] * 4


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("git"), reason="no curl or no git")
def test_programs_find_the_way(server: Served, tmp_path: Path) -> None:
    code = f"""
import subprocess
run = lambda *argv: subprocess.run(argv, capture_output=True, text=True)
print(run("curl", "-sS", "http://{server.place}/of-curl").stdout)
run("git", "ls-remote", "http://{server.place}/of-git")
run(sys.executable, "-m", "pip", "download", "--no-deps", "-i", "http://{server.place}/of-pip", "none")
"""
    before = len(server.heads)
    printed, _ = in_sandbox(code, tmp_path, server.place)
    assert printed == "served\n"
    seen = "".join(server.heads[before:])
    assert [word for word in ("/of-curl", "/of-git/info/refs", "/of-pip/none/") if word not in seen] == []


def test_a_name_that_resolves_to_a_private_address_is_refused_before_anything_runs(
    server: Served, tmp_path: Path
) -> None:
    place = f"localhost:{server.port}"
    with pytest.raises(PolicyError, match=f"{place}/private") as caught:
        in_sandbox("open('ran', 'w')", tmp_path, place)
    assert "127.0.0.1" in str(caught.value) or "::1" in str(caught.value)
    assert not (tmp_path / "ran").exists()
    printed, _ = in_sandbox(f"print(get('http://{place}/'))", tmp_path, f"{place}/private")
    assert printed == "served\n"


def test_an_operators_proxy_is_gone_through(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://user:the%20word@{server.place}")
    printed, report = in_sandbox("print(get('http://nowhere.invalid:81/x'))", tmp_path, "nowhere.invalid:81")
    assert printed == "served\n"
    assert server.heads[-1].startswith("GET http://nowhere.invalid:81/x HTTP/1.1")
    assert "Proxy-Authorization: Basic dXNlcjp0aGUgd29yZA==" in server.heads[-1]
    assert report.connections[0].allowed
    monkeypatch.setenv("no_proxy", "other.example, .invalid")
    printed, report = in_sandbox("print(get('http://nowhere.invalid:81/x'))", tmp_path, "nowhere.invalid:81")
    assert printed == "502\n"
    assert "cannot be resolved" in report.connections[0].problem


@pytest.mark.parametrize("url", ["http://user:geheim@127.0.0.1:{}", "socks5://user:geheim@127.0.0.1:{}", "geheim"])
def test_an_operators_proxy_that_is_down_or_of_another_kind(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url.format(free_port()))
    with pytest.raises((SandboxUnavailableError, PolicyError), match="HTTPS_PROXY") as caught:
        in_sandbox("open('ran', 'w')", tmp_path, "example.org:443")
    assert "geheim" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_without_user_namespaces_it_is_refused(tmp_path: Path) -> None:
    options = [
        "run",
        "--network",
        "example.org:443",
        "--allow-degraded",
        "no-namespaces",
        "--allow-degraded",
        "network",
    ]
    done = subprocess.run(
        [
            sys.executable,
            NARROW,
            "docker",
            "--",
            sys.executable,
            "-m",
            "isolated_hooks",
            *options,
            "--",
            "touch",
            "ran",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 125, done.stderr
    assert "network namespace" in done.stderr
    assert "Remedy: " in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", first_fast(["example.org", "*:443", "example.org:0", "https://example.org", ""], 2))
def test_the_command_line_names_the_value_and_the_form(value: str, tmp_path: Path) -> None:
    done = command("run", f"--network={value}", "--", "touch", "ran", cwd=tmp_path)
    assert done.returncode == 2
    assert repr(value) in done.stderr
    assert "HOST:PORT" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_explain_and_doctor_say_which_hosts(tmp_path: Path) -> None:
    explained = command("explain", "--network", "example.org:443", ".", cwd=tmp_path).stdout
    assert "network: these hosts alone, through a proxy outside: example.org:443\n" in explained
    assert "PID, IPC, UTS, cgroup, network" in explained
    document = json.loads(command("doctor", "--json", "--network", "10.0.0.5:443", cwd=tmp_path).stdout)
    assert document["protections"]["network"]["reason"].endswith("these hosts alone: 10.0.0.5:443")
    assert document["protections"]["network"]["state"] == "active"


def test_what_names_no_host_starts_no_proxy(tmp_path: Path) -> None:
    """The frontend's half of the proxy is imported all the same: nothing is imported after the first hook."""
    code = """
import subprocess, sys
import isolated_hooks.run.run
from isolated_hooks import Policy
from isolated_hooks.run.command import run_command
isolated_hooks.run.run.Proxy = None
report = run_command(["true"], sys.argv[1], Policy(), lambda command: subprocess.run(command, check=False))
print(report.returncode, report.connections, [m for m in sys.modules if m.startswith("isolated_hooks.network.serving")])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "0 () []\n"


def test_a_connection_is_made_or_refused() -> None:
    assert Connection("a", 1, 1).allowed
    assert not Connection("a", 1, 1, problem="why").allowed


@pytest.mark.slow
def test_the_recipe_of_the_page_builds_with_a_frontend_that_knows_nothing_of_us(tmp_path: Path) -> None:
    """``python -m build`` as a whole in the sandbox: it installs a requirement from an index, and builds a wheel."""
    project, index = tmp_path / "project", tmp_path / "index"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["bricks"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (project / "backend.py").write_text(
        "import bricks, zipfile\n"
        "def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):\n"
        "    with zipfile.ZipFile(f'{wheel_directory}/demo-1-py3-none-any.whl', 'w') as wheel:\n"
        "        wheel.writestr('demo.py', bricks.__name__)\n"
        "    return 'demo-1-py3-none-any.whl'\n"
    )
    with serve(index) as served:
        write_wheel(served.project("bricks"), "bricks")
        place = served.url.partition("@")[2].split("/")[0]
        argv = ["env", f"PIP_INDEX_URL={served.url}", sys.executable, "-m", "build", "--wheel"]
        expose = [option for path in {sys.prefix, sys.base_prefix} for option in ("--expose", path)]
        done = command("run", "-v", *expose, "--network", place, "--", *argv, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "dist/demo-1-py3-none-any.whl").exists()
    assert f"connected to: {place}" in done.stderr
