"""``isolated-hooks learn``: small broken projects, the policy that mends each, and what it does not give by itself."""

from __future__ import annotations

import functools
import http.server
import os
import shlex
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.brokenprojects import BROKEN
from support.index import backend_sdist, write_wheel
from support.lanes import first_fast
from support.projects import cannot_run, command, contents, facts, write_project
from support.together import commands, refused

from isolated_hooks.files.documents import parse_toml

pytestmark = pytest.mark.usefixtures("sandbox")

EMPTY: dict[str, Any] = {"tool": {"isolated-hooks": {}}}
HOSTILE = """
_build = build_wheel
def build_wheel(*args, **options):
    import socket, urllib.request
    opener = urllib.request.build_opener()
    for step in (
        lambda: opener.open("http://127.0.0.1:{port}/home", timeout=5),
        lambda: open("{base}/home/.netrc").read(),
        lambda: open("{base}/home/letters/love").read(),
        lambda: open(".git/hooks/post-commit", "w"),
        lambda: open("{base}/out/planted", "w"),
    ):
        {action}
    return _build(*args, **options)
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, list[str]]]:
    """A port at which a server answers outside, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Print nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


def learn(project: Path, base: Path, *options: str | Path, **environ: str) -> Any:
    (base / "home").mkdir(exist_ok=True)
    given = {"HOME": f"{base}/home", **dict.fromkeys(("http_proxy", "no_proxy", "HTTP_PROXY", "NO_PROXY"), "")}
    return command("learn", "-nw", *options, project, environ={**given, **environ})


def policy_of(done: Any) -> dict[str, Any]:
    table: dict[str, Any] = parse_toml(done.stdout.encode())["tool"]["isolated-hooks"]
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"),
    (
        ("a private header", ""),
        ("a cache", ""),
        ("a variable", ""),
        ("temporary space", ""),
        ("a tool in the home", "--allow-home {base}/home/tools/myprotoc"),
        ("to write outside", "--allow-write {base}/site"),
    ),
)
def test_the_printed_policy_mends_the_build(name: str, flags: str, tmp_path: Path) -> None:
    broken = BROKEN[name]
    if broken.program and shutil.which(broken.program) is None:
        cannot_run(f"{broken.program} is not installed")
    project, environ = broken.write(tmp_path), broken.variables(tmp_path)
    before, flags = contents(project), flags.format(base=tmp_path)
    if flags:
        done = learn(project, tmp_path, *broken.options, **environ)
        assert done.returncode == 1
        assert all(line.startswith("#") for line in done.stdout.splitlines())
        assert f"# pass {flags}: " in done.stdout
    done = learn(project, tmp_path, *broken.options, *shlex.split(flags), **environ)
    assert done.returncode == 0, done.stderr
    assert contents(project) == before  # the tree was never written to
    # One line, that which the hint would give; and a comment on it.
    (values,) = policy_of(done).values()
    assert len(values) == 1
    assert ", build_wheel: it" in done.stdout
    if not broken.options:
        policy = tmp_path / "policy.toml"
        policy.write_text(done.stdout, encoding="utf-8")
        given = {"HOME": f"{tmp_path}/home", **environ}
        assert command("build", "-nw", "--config", policy, project, environ=given).returncode == 0


@pytest.mark.slow
def test_a_host_takes_a_flag_and_is_then_the_only_one(served: tuple[int, list[str]], tmp_path: Path) -> None:
    port, asked = served
    code = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/x', timeout=5).read()"
    hook = (
        f"_build = build_wheel\ndef build_wheel(*args, **options):\n    {code}\n    return _build(*args, **options)\n"
    )
    project = write_project(tmp_path / "project", extra=hook)
    done = learn(project, tmp_path)
    assert done.returncode == 1
    assert f'#   network = ["127.0.0.1:{port}"]  # pass --allow-host 127.0.0.1:{port}: ' in done.stdout
    assert asked == []
    done = learn(project, tmp_path, "--allow-host", f"127.0.0.1:{port}")
    assert done.returncode == 0, done.stderr
    assert policy_of(done) == {"network": [f"127.0.0.1:{port}"]}
    assert {*asked} == {"/x"}


@pytest.mark.parametrize("action", first_fast(("step()", "try: step()\n        except OSError: pass")))
def test_a_hostile_package_gets_nothing(action: str, served: tuple[int, list[str]], tmp_path: Path) -> None:
    """Neither if it fails without what it asks for, nor if it goes on."""
    port, asked = served
    for name in ("home/.netrc", "home/letters/love", "out/old"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("hidden-value")
    code = HOSTILE.replace("{port}", str(port)).replace("{base}", os.fspath(tmp_path)).replace("{action}", action)
    project = write_project(tmp_path / "project", extra=code, files={".git/HEAD": "ref: refs/heads/main\n"})
    (project / ".git/hooks").mkdir()
    before = contents(tmp_path)
    done = learn(project, tmp_path)
    assert done.returncode == (1 if action == "step()" else 0), done.stderr
    assert asked == []
    assert contents(tmp_path) == before
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert lines in ([], ["[tool.isolated-hooks]"])
    assert "hidden-value" not in done.stdout + done.stderr
    told = ("127.0.0.1 port", ".netrc, a place of private", "post-commit, which git", "letters/love, which exists")
    for words in told[:1] if action == "step()" else told:
        assert words in done.stderr


def test_a_project_that_builds_needs_nothing(tmp_path: Path) -> None:
    done = learn(write_project(tmp_path / "project"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert parse_toml(done.stdout.encode()) == EMPTY
    assert "builds under the present policy: it needs no line" in done.stderr
    assert "(1 run)" in done.stdout


@pytest.mark.slow
def test_a_failure_of_its_own_is_not_mended(tmp_path: Path) -> None:
    done = learn(
        write_project(tmp_path / "project", extra="def build_wheel(*args):\n    raise KeyError('x')\n"), tmp_path
    )
    assert done.returncode == 1
    assert "does not build" in done.stdout
    assert all(line.startswith("#") for line in done.stdout.splitlines())


@pytest.mark.slow
def test_the_output_is_whole_or_not_there(tmp_path: Path) -> None:
    project, path = write_project(tmp_path / "project"), tmp_path / "policy.toml"
    done = learn(project, tmp_path, "--output", path)
    assert (done.returncode, done.stdout) == (0, "")
    assert parse_toml(path.read_bytes()) == EMPTY
    path.write_text("mine")
    done = learn(project, tmp_path, "--output", path)
    assert done.returncode == 2 and "exists" in done.stderr and "--force" in done.stderr
    assert path.read_text() == "mine"
    assert learn(project, tmp_path, "--output", path, "--force").returncode == 0
    assert parse_toml(path.read_bytes()) == EMPTY


#: Wrong options, with what the error says.
WRONG = {
    ("--max-runs", "0"): "expected a number from 1 to 50, got '0'",
    ("--max-runs", "x"): "expected a number from 1 to 50",
    ("--outdir", "x"): "--outdir: not allowed with learn",
    ("--source", "read-write"): "--source: expected discard",
    ("--allow-host", "*.example.org:443"): "there are no wildcards",
    ("--allow-host", "example.org"): "--allow-host",
    ("--allow-home", "/usr"): "is not in your home",
    ("--allow-write", "/absent/place"): "does not exist",
    ("--output", "/absent/place"): "--output",
    ("--network", "example.org:99999"): "a port is a number from 1 to 65535",
}


def test_bad_input_is_refused_before_any_run(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    ended = commands([("learn", "-nw", *options, project) for options in WRONG], tmp_path)
    refused(WRONG, ended)
    assert not any("run 1" in done.stderr for done in ended)
    assert facts(project) == []


def test_a_source_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    done = learn(tmp_path / "absent", tmp_path)
    assert done.returncode == 2 and "is no directory" in done.stderr


@pytest.mark.slow
def test_what_the_hooks_of_requirements_ask_for_is_learnt_too(tmp_path: Path) -> None:
    """Build requirements that exist only as sdists are built by pip in a process of its own."""
    links = tmp_path / "links"
    links.mkdir()
    write_wheel(links, "packaging")  # which the project's own hook asks for
    backend_sdist(links, "mortar", extra="import os\nos.environ['CI_COMMIT_TAG']")
    backend_sdist(links, "bricks", requires=["mortar"])
    toml = '[build-system]\nrequires = ["bricks"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    project = write_project(tmp_path / "project", files={"pyproject.toml": toml})
    index = {"PIP_FIND_LINKS": str(links), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    given = {"HOME": f"{tmp_path}/home", "CI_COMMIT_TAG": "v1", **index}
    (tmp_path / "home").mkdir()
    done = command("learn", "-w", project, environ=given, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert policy_of(done) == {"env-keep": ["CI_COMMIT_TAG"]}
    cached = list((tmp_path / "home").rglob("*.whl"))
    assert cached == []  # a wheel that was built on trial
