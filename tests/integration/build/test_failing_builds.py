"""A build that fails says why: the first hint is the line that mends it, and a failure of its own has none."""

from __future__ import annotations

import argparse
import http.server
import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.brokenprojects import BROKEN, Broken
from support.lanes import first_fast
from support.projects import WHEEL, caller, cannot_run, command, write_project
from support.repository import ROOT

from isolated_hooks import Policy
from isolated_hooks.cli.options import add_policy_options, policy_of

pytestmark = pytest.mark.usefixtures("sandbox")

PAGE = ROOT / "docs" / "failing-builds.rst"


class Answering(http.server.BaseHTTPRequestHandler):
    """Has an answer for every host, as a proxy."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which a server answers outside, also as a proxy."""
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def block_of(stderr: str) -> str:
    """Return the last block that the command has printed."""
    return stderr[stderr.rindex("* Ran ") :].split("\n", 1)[1].strip()


def build(broken: Broken, project: Path, environ: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return command("build", "-nwx", *broken.options, *options, project, environ=environ)


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_the_first_hint_mends_the_build(name: str, tmp_path: Path, port: int) -> None:
    broken, base = BROKEN[name], tmp_path / "base"
    base.mkdir()
    if broken.program and shutil.which(broken.program) is None:
        cannot_run(f"{broken.program} is not installed")
    project, environ = broken.write(base, port=port), broken.variables(base, port=port)
    failed = build(broken, project, environ)
    assert failed.returncode == 1
    block = block_of(failed.stderr)
    assert len(block.splitlines()) <= 12
    first = re.search(r"  1\. .*\n     add: (.*?)    or to the policy: (.*)", block)
    option = broken.option.format(base=base)
    assert (first and first[1]) == (option or None), failed.stderr
    shown = block.replace(os.fspath(base), "/srv/example").replace(str(port), "8000").replace("\n", "\n    ")
    assert shown in PAGE.read_text(encoding="utf-8"), shown
    if not first:
        return
    done = build(broken, project, environ, *shlex.split(option))
    assert done.returncode == 0, done.stderr
    assert (project / "dist" / WHEEL).exists()
    assert "may have made" not in done.stderr
    # The line of a policy, as the block writes it, means the same.
    policy = base / "policy.toml"
    policy.write_text(f"[tool.isolated-hooks]\n{first[2]}\n", encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_policy_options(parser)
    by_option, by_file = (
        policy_of(parser.parse_args(args)) for args in (shlex.split(option), ["--config", str(policy)])
    )
    assert by_file == by_option != Policy()


@pytest.mark.parametrize(
    "code",
    first_fast(
        ("x = = 1", "raise KeyError('NO_SUCH_NAME')", "import subprocess; subprocess.check_call(['no-such-compiler'])")
    ),
)
def test_a_failure_of_its_own_has_no_hint(code: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=f"def build_wheel(*args):\n    {code}\n")
    done = command("build", "-nwx", project, environ={"CI_COMMIT_TAG": "secret value"})
    assert done.returncode == 1
    assert block_of(done.stderr).startswith("* Nothing points to the sandbox: build_wheel fails")
    assert "add:" not in done.stderr
    assert "CI_COMMIT_TAG" not in done.stderr


@pytest.mark.parametrize("name", first_fast(("build", "run")))
def test_a_limit_that_ended_a_hook_is_raised_by_the_line_of_the_hint(name: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="import time\ntime.sleep(20)\n")
    if name == "build":
        done = command("build", "-nwx", "--limit", "wall-time=2", project)
    else:
        done = command("run", "--limit", "wall-time=2", "sleep", "20", cwd=project)
    assert done.returncode == (124 if name == "run" else 1), done.stderr
    assert "  1. it met the limit wall-time of 2 seconds\n     add: --limit wall-time=4 " in done.stderr


def test_a_credential_is_not_offered(tmp_path: Path) -> None:
    """Neither a variable nor a file that a hook merely names: the output is the hook's to choose."""
    (tmp_path / ".netrc").write_text("machine a login b password c")
    code = "print(\"KeyError: 'MY_TOKEN'\\nNo such file or directory: '{0}/.netrc'\", flush=True); raise SystemExit(1)"
    hook = f"def build_wheel(*args):\n    {code.format(tmp_path)}\n"
    project = write_project(tmp_path / "project", extra=hook)
    done = command("build", "-nwx", project, environ={"MY_TOKEN": "hidden-value", "HOME": os.fspath(tmp_path)})
    block = block_of(done.stderr)
    assert "MY_TOKEN, which looks like a credential" in block
    assert "a place of private files" in block
    assert "add:" not in block
    assert "hidden-value" not in done.stderr


def test_the_class_reports_and_logs_the_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pid 1 has seen the connection: the runner shows us no output. The runner's own exception passes through."""
    code = "import socket\n    socket.create_connection(('192.0.2.1', 443))"
    hooks = caller(write_project(tmp_path / "project", extra=f"def build_wheel(*args):\n    {code}\n"))
    problem = subprocess.CalledProcessError(7, "theirs")

    def runner(cmd: list[str], cwd: str | None = None, extra_environ: dict[str, str] | None = None) -> None:
        subprocess.run(cmd, cwd=cwd, env={**os.environ, **(extra_environ or {})}, stderr=subprocess.DEVNULL)
        raise problem

    (tmp_path / "dist").mkdir()
    raises = pytest.raises(subprocess.CalledProcessError)
    with caplog.at_level("INFO", "isolated_hooks"), hooks.subprocess_runner(runner), raises as caught:
        hooks.build_wheel(tmp_path / "dist")
    assert caught.value is problem
    (hint,) = hooks.reports[-1].hints
    assert hint.sentence == "it tried to connect to 192.0.2.1 port 443, and hooks have no network"
    assert (hint.option, hint.key) == ("--network", "network = true")
    assert [record.getMessage() for record in caplog.records] == [hooks.reports[-1].explanation]


def test_names_that_a_hook_looked_up_are_told_though_it_says_nothing(tmp_path: Path) -> None:
    """And it is answered as a resolver that only reads files answers: at once, that nobody knows this name."""
    code = """import socket
    for name in ("a.example.org", "b.example.org", "localhost"):
        try:
            socket.getaddrinfo(name, 443)
        except socket.gaierror as error:
            assert error.errno == socket.EAI_NONAME, error
            assert name != "localhost"
    raise SystemExit("it did not work")"""
    project = write_project(tmp_path / "project", extra=f"def build_wheel(*args):\n    {code}\n")
    done = command("build", "-nwx", project)
    assert done.returncode == 1
    lines = [line for line in block_of(done.stderr).splitlines() if "add:" in line or " look " in line]
    assert "(b.example.org)" in lines[0] and "--network b.example.org:443 " in lines[1]
    assert "(a.example.org)" in lines[2] and "--network a.example.org:443 " in lines[3]
    assert len(lines) == 4


@pytest.mark.slow
def test_a_link_that_leads_out_is_told_and_the_line_gives_the_wheel_of_a_build_without_us(tmp_path: Path) -> None:
    """Without its target the build has no error, and another result."""
    code = """def build_wheel(*args, **options):
    print("sees it" if os.path.exists("LICENSE") else "sees nothing", flush=True)
    return _build(*args, **options)
"""
    project = write_project(tmp_path / "project", extra=f"_build = build_wheel\n{code}")
    (tmp_path / "LICENSE").touch()
    (project / "LICENSE").symlink_to("../LICENSE")
    done = command("build", "-nwx", project)
    assert done.returncode == 0, done.stderr
    assert "sees nothing" in done.stdout
    (option,) = re.findall(r"note: the link 'LICENSE' .*: (--expose .*)", done.stderr)
    mended = command("build", "-nwx", *shlex.split(option), project)
    assert "sees it" in mended.stdout and "note: the link" not in mended.stderr
