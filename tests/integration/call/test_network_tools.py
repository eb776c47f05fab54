"""The variables that we set lead real npm, uv, cargo, Go and Maven to a host that the policy names."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.guarded import HEADER, write_netrc
from support.projects import WITH_PYTHON
from support.registries import HOST, TOOLS, Switchboard, switchboard
from support.webserver import in_sandbox

pytestmark = [pytest.mark.usefixtures("sandbox"), pytest.mark.slow]

# Without TLS, with TLS in a tunnel, and with a credential that the proxy adds.
_WAYS = [(name, way) for name in TOOLS for way in ("http", "https", "auth")]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switchboard]:
    for name in ("all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / "tree").mkdir()
    with switchboard(tmp_path / "tree") as board:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.delenv(name.upper(), raising=False)
            monkeypatch.setenv(name, f"http://127.0.0.1:{board.port}")
        yield board


@pytest.mark.parametrize(("name", "way"), _WAYS)
def test_it_gets_a_package_of_a_host_that_the_policy_names(
    name: str, way: str, board: Switchboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which(name, path=WITH_PYTHON["PATH"])
    if program is None:
        pytest.skip(f"no {name}")
    tool, tree, port = TOOLS[name], tmp_path / "tree", 80 if way == "http" else 443
    base = f"http://{HOST}:443" if way == "auth" else f"{way}://{HOST}"
    board.pages |= tool.pages(base)
    for path, text in tool.files.items():
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_text(text.replace("{base}", base))
    argv = [program, *(word.replace("{base}", base) for word in tool.argv[1:])]
    variables = {key: value.replace("{base}", base) for key, value in tool.variables.items()}
    variables |= _trust_of_java(board.authority, tree) if name == "mvn" else {tool.trust: str(board.authority)}
    code = f"""
import subprocess
done = subprocess.run({argv!r}, env={{**os.environ, **{variables!r}}}, capture_output=True, text=True)
print(done.returncode, done.stdout, done.stderr)
"""
    policy = {}
    if way == "auth":
        monkeypatch.setenv("NETRC", str(write_netrc(tmp_path / "netrc", HOST)))
        monkeypatch.setenv("SSL_CERT_FILE", str(board.authority))
        policy["network_auth"] = [f"{HOST}:443=netrc"]
    printed, report = in_sandbox(code, tree, f"{HOST}:{port}", **policy)
    assert printed.startswith("0 "), printed
    got = [path.removeprefix("http://").removeprefix("https://") for path in board.seen]
    assert any(path in (f"{HOST}{tool.last}", f"{HOST}:{port}{tool.last}") for path in got), board.seen
    assert {(c.host, c.port, c.allowed) for c in report.connections} == {(HOST, port, True)}
    assert {HEADER in head for head in board.heads} == {way == "auth"}


def _trust_of_java(authority: Path, tree: Path) -> dict[str, str]:
    """Return what makes a JVM trust an authority: its certificates are in a file of its own format."""
    if shutil.which("keytool") is None:
        pytest.skip("no keytool")
    argv = ["keytool", "-importcert", "-noprompt", "-file", str(authority), "-keystore", str(tree / "trust")]
    subprocess.run([*argv, "-storepass", "changeit"], check=True, capture_output=True)
    return {
        "JAVA_TOOL_OPTIONS": f"-Djavax.net.ssl.trustStore={tree / 'trust'} -Djavax.net.ssl.trustStorePassword=changeit"
    }
