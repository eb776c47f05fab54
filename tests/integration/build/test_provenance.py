"""``isolated-hooks build --provenance`` and ``verify``: what is stated, what is not, and what no hook can change."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import socket
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from support.index import PASSWORD, Index, backend_sdist, write_wheel
from support.jsonschema import problems
from support.lanes import first_fast
from support.projects import SDIST, WHEEL, WITH_PYTHON, command, contents, facts, write_project
from support.repository import ROOT
from support.requirements import write_needy
from support.together import commands, refused

from isolated_hooks.files.digests import directory_digest

pytestmark = pytest.mark.usefixtures("sandbox")

ENDING = ".intoto.jsonl"
SCHEMA = json.loads((ROOT / "docs/enforcement.schema.json").read_text(encoding="utf-8"))
SECRET = "the-value-of-a-variable"


def build(project: Path, *arguments: str | Path, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    """Build a project without an environment, from the directory above it, into ``out`` and ``stated`` there."""
    place = project.parent
    argv = ("build", "-n", "--provenance", "stated", "-o", "out", *arguments, project.name)
    done = command(*argv, cwd=place, environ={**WITH_PYTHON, "MY_SECRET": SECRET, **environ})
    assert done.returncode == code, done.stderr
    return done


def stated(place: Path, name: str = WHEEL) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the predicates of the two statements about an artefact."""
    text = (place / "stated" / f"{name}{ENDING}").read_text(encoding="ascii")
    first, second = map(json.loads, text.splitlines())
    digest = hashlib.sha256((place / "out" / name).read_bytes()).hexdigest()
    assert problems(second["predicate"], SCHEMA) == []
    for statement in (first, second):
        assert statement["subject"] == [{"name": name, "digest": {"sha256": digest}}]
    return first["predicate"], second["predicate"]


def verify(place: Path, *arguments: str | Path, name: str = WHEEL) -> subprocess.CompletedProcess[str]:
    return command("verify", f"out/{name}", f"stated/{name}{ENDING}", *arguments, cwd=place)


def test_each_artefact_has_its_statements_and_they_are_verified(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    source = directory_digest(os.fspath(project))
    build(project, "-Cmode=value", "-C--build-option=--token=abcdefgh")
    assert sorted(os.listdir(tmp_path / "stated")) == [f"{WHEEL}{ENDING}", f"{SDIST}{ENDING}"]
    sdist, _ = stated(tmp_path, SDIST)
    assert sdist["buildDefinition"]["resolvedDependencies"][0]["digest"] == {"dirHash": source}
    wheel, enforced = stated(tmp_path)
    (material,) = wheel["buildDefinition"]["resolvedDependencies"]
    digest = hashlib.sha256((tmp_path / "out" / SDIST).read_bytes()).hexdigest()
    assert (material["name"], material["digest"]) == (SDIST, {"sha256": digest})
    asked = wheel["buildDefinition"]["externalParameters"]
    assert asked["source"] == "project"
    assert asked["configSettings"] == {"mode": "value", "--build-option": "(withheld)"}
    assert "MY_SECRET" in wheel["buildDefinition"]["internalParameters"]["variablesWithheld"]
    assert [hook["hook"] for hook in enforced["hooks"]] == [
        "get_requires_for_build_sdist",
        "build_sdist",
        "get_requires_for_build_wheel",
        "build_wheel",
    ]
    assert enforced["policy"] == asked["policy"]
    for name in (WHEEL, SDIST):
        done = verify(tmp_path, name=name)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"verified: {name}, SHA-256 ")
        assert "proves nothing about who wrote it" in done.stdout


def test_nothing_of_the_host_stands_in_a_statement(tmp_path: Path) -> None:
    asks = """
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    for path in (%r, "/srv/of this host/x", os.getcwd() + "/missing"):
        try: open(path)
        except OSError: pass
    return _wheel(wheel_directory, {})
"""
    (tmp_path / "outside").write_text("x")
    project = write_project(tmp_path / "project", extra=asks % os.fspath(tmp_path / "outside"))
    (tmp_path / "tools").mkdir()
    options = ("-w", "--explain-denials", "--expose", "tools", "--report", "report.json")
    build(project, *options, INDEX_TOKEN=SECRET, USER="somebody-here", LOGNAME="somebody-here")
    _, enforced = stated(tmp_path)
    assert enforced["observed"] is True
    assert enforced["policy"]["expose"] == ["tools"]
    denied = [entry for hook in enforced["hooks"] for entry in hook["denied"]]
    assert any(entry["what"] == "(the current directory)/outside" for entry in denied), denied
    text = (tmp_path / "stated" / f"{WHEEL}{ENDING}").read_text()
    for secret in (SECRET, os.fspath(tmp_path), socket.gethostname(), "/srv/", os.path.expanduser("~") + "/"):
        assert secret not in text
    assert "somebody-here" not in text
    assert (tmp_path / "report.json").exists()
    assert verify(tmp_path, "--expose", "tools").returncode == 0
    wider = verify(tmp_path, "--network")
    assert wider.returncode == 1
    assert "expose allows more than the given policy (it has tools)" in wider.stderr


@pytest.mark.slow
def test_build_requirements_are_stated_by_digest(index: Index, tmp_path: Path) -> None:
    needed = write_wheel(index.project("needed"), "needed")
    backend_sdist(index.project("outer"), "outer")
    project = write_needy(tmp_path / "project", ["needed", "outer"])
    argv = ("build", "-w", "--provenance", "stated", "-o", "out", "project")
    done = command(*argv, cwd=tmp_path, environ=index.environ())
    assert done.returncode == 0, done.stderr
    wheel, enforced = stated(tmp_path)
    source, *requirements = wheel["buildDefinition"]["resolvedDependencies"]
    assert {*source["digest"]} == {"dirHash"}
    by_name = {entry["name"]: entry for entry in requirements}
    digest = hashlib.sha256(needed.read_bytes()).hexdigest()
    assert by_name[needed.name]["digest"] == {"sha256": digest}
    assert by_name[needed.name]["annotations"] == {"role": "build requirement"}
    assert by_name["outer-1.0-py3-none-any.whl"]["annotations"]["role"].endswith("built here from an sdist")
    whose = [(hook["of"], hook["hook"]) for hook in enforced["hooks"]]
    assert ("requirement", "build_wheel") in whose
    assert whose[-1] == ("project", "build_wheel")
    text = (tmp_path / "stated" / f"{WHEEL}{ENDING}").read_text()
    assert PASSWORD not in text
    assert index.url.partition("@")[2] not in text
    assert verify(tmp_path).returncode == 0
    assert project.exists()


@pytest.mark.slow
def test_an_sdist_that_is_given_is_what_the_wheel_was_built_from(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    build(project, "-s")
    (tmp_path / SDIST).write_bytes((tmp_path / "out" / SDIST).read_bytes())
    build(tmp_path / SDIST, "-w")
    wheel, _ = stated(tmp_path)
    digest = hashlib.sha256((tmp_path / SDIST).read_bytes()).hexdigest()
    assert wheel["buildDefinition"]["resolvedDependencies"] == [
        {"name": SDIST, "digest": {"sha256": digest}, "annotations": {"role": "sdist"}}
    ]
    assert wheel["buildDefinition"]["externalParameters"]["source"] == SDIST


def test_statements_are_signed_with_a_key_that_no_hook_sees(tmp_path: Path) -> None:
    pytest.importorskip("securesystemslib", reason="signatures need isolated-hooks[sign]")
    asks = "def build_wheel(d, *_, **__):\n    tell(seen=os.path.exists(%r)); return _wheel(d, {})\n"
    project = write_project(tmp_path / "project", extra=asks % os.fspath(tmp_path / "key.pem"))
    (tmp_path / "tools").mkdir()
    for place in (tmp_path, project, tmp_path / "tools"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", place / "key.pem"], check=True)
    public = ["openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]
    subprocess.run(public, cwd=tmp_path, check=True)
    wrong = {
        ("--provenance", "stated", "--sign-key", "project/key.pem"): "hooks could read",
        ("--provenance", "stated", "--sign-key", "tools/key.pem", "--expose", "tools"): "hooks could read",
        ("--provenance", "stated", "--sign-key", "missing.pem"): "cannot be read",
        ("--provenance", "stated", "--sign-key", "public.pem"): "not a private Ed25519 key",
        ("--sign-key", "key.pem"): "nothing to sign",
    }
    refused(wrong, commands([("build", "-n", *options, "project") for options in wrong], tmp_path, WITH_PYTHON))
    assert facts(project) == []
    build(project, "-w", "--sign-key", "key.pem")
    assert [fact["seen"] for fact in facts(project) if "seen" in fact] == [False]
    assert b"PRIVATE KEY" not in (tmp_path / "stated" / f"{WHEEL}{ENDING}").read_bytes()
    done = verify(tmp_path, "--key", "public.pem")
    assert done.returncode == 0, done.stderr
    assert "only a signature by the given key counts" in done.stdout
    assert "proves nothing about who wrote it" in verify(tmp_path).stdout
    build(project, "-w")
    done = verify(tmp_path, "--key", "public.pem")
    assert (done.returncode, done.stdout) == (1, "")
    assert "it is not signed" in done.stderr


# What a hook tries.

PLANTS = """
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = _wheel(wheel_directory, {})
    with open(os.path.join(wheel_directory, name), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    forged = json.dumps({"_type": "https://in-toto.io/Statement/v1", "predicateType": "forged", "predicate": {},
                         "subject": [{"name": name, "digest": {"sha256": digest}}]})
    for place in (wheel_directory, ".", "dist", %r, %r):
        try:
            os.makedirs(place, exist_ok=True)
            with open(os.path.join(place, name + ".intoto.jsonl"), "w") as file:
                file.write(forged)
        except OSError:
            pass
    return name
"""


def test_a_statement_that_a_hook_plants_is_not_taken(tmp_path: Path) -> None:
    places = [os.fspath(tmp_path / name) for name in ("out", "stated")]
    project = write_project(tmp_path / "project", extra=PLANTS % tuple(places))
    build(project, "-w")
    assert os.listdir(tmp_path / "out") == [WHEEL]
    assert os.listdir(tmp_path / "stated") == [f"{WHEEL}{ENDING}"]
    assert "forged" not in (tmp_path / "stated" / f"{WHEEL}{ENDING}").read_text()
    planted = project / f"{WHEEL}{ENDING}"
    assert "forged" in planted.read_text()  # it ran
    done = command("verify", tmp_path / "out" / WHEEL, planted)
    assert done.returncode == 1
    assert "no statement says how it was built" in done.stderr


HOSTILE = r"""
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    NAME = '"}],"x":[{"\n{"_type":1}\x1b[2J'
    os.makedirs(os.path.join(os.environ["HOME"], NAME), exist_ok=True)
    open(NAME, "w").close()
    print(NAME)
    globals()["METADATA"] = METADATA + "Summary: " + NAME.replace("\n", " ") + "\n"
    return _wheel(wheel_directory, {NAME: ""})
"""


def test_names_of_a_hook_stay_in_their_places(tmp_path: Path) -> None:
    build(write_project(tmp_path / "project", extra=HOSTILE), "-w", "--explain-denials")
    stated(tmp_path)
    data = (tmp_path / "stated" / f"{WHEEL}{ENDING}").read_bytes()
    assert data.count(b"\n") == 2
    assert b"\\u001b" not in data
    assert verify(tmp_path).returncode == 0


NAMED = "def build_wheel(d, *_, **__):\n    open(d + '/' + %r, 'w').close(); return %r\n"


@pytest.mark.parametrize(
    "name", first_fast(['example-1.0-"},{"-none-any.whl', "../stated/x-1.0-py3-none-any.whl", "x.intoto.jsonl"])
)
def test_a_name_that_is_none_leaves_no_statement(name: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=NAMED % (name, name))
    build(project, "-w", code=1)
    assert os.listdir(tmp_path / "stated") == []


# The last hook has ended, and something of the host's changes the wheel before the statement.
_CHANGED = """
import os, sys
from isolated_hooks.cli import build, main
from isolated_hooks.frontends.build.provenance import Provenance
write = Provenance.write
def changed(self):
    {change}
    return write(self)
Provenance.write = changed
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "change",
    first_fast(
        [
            "open('out/{wheel}', 'ab').write(b'x')",
            "os.unlink('out/{wheel}')",
            "os.rename('out/{wheel}', 'kept'); os.symlink('../kept', 'out/{wheel}')",
            "os.rename('out', 'moved'); os.mkdir('out')",
        ]
    ),
)
def test_a_wheel_that_changes_after_it_was_vetted_has_no_statement(change: str, tmp_path: Path) -> None:
    write_project(tmp_path / "project")
    program = _CHANGED.format(change=change.format(wheel=WHEEL))
    argv = [sys.executable, "-c", program, "build", "-n", "--provenance", "stated", "-o", "out", "project"]
    environ = {**os.environ, **WITH_PYTHON}
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "changed after it was vetted" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path / "stated") == []


# What goes wrong.


@pytest.mark.slow
def test_a_build_that_fails_has_no_statement(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="def build_wheel(*_, **__): raise ValueError('broken')")
    build(project, "-w", code=1)
    assert os.listdir(tmp_path / "stated") == []


def test_a_directory_that_cannot_be_used_is_refused_before_a_hook_runs(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra="tell(imported=True)")
    (tmp_path / "file").write_text("")
    (tmp_path / "cache").mkdir()
    (tmp_path / "tree").symlink_to("project")
    (project / "link").symlink_to(tmp_path)
    (tmp_path / "policy.toml").write_text('hooks = ["build_sdist"]')
    before = contents(project)
    cannot = "nothing can be written to"
    wrong = {
        ("--provenance", "file"): cannot,
        ("--provenance", ""): cannot,
        ("--provenance", "project"): cannot,
        ("--provenance", "project/dist"): cannot,
        ("--provenance", "project/link/stated"): cannot,
        ("--provenance", "tree/stated"): cannot,
        ("--provenance", "cache/stated", "--writable", "cache"): cannot,
        ("--provenance", "/proc/stated"): cannot,
        ("--provenance", "stated", "--metadata"): "not allowed with --metadata",
        ("--provenance", "stated", "--config", "policy.toml"): "nobody vets what build_wheel builds",
    }
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        wrong[("--provenance", "closed")] = cannot
        wrong[("--provenance", "closed/stated")] = cannot
    ended = commands([("build", "-n", *options, "project") for options in wrong], tmp_path, WITH_PYTHON)
    refused(wrong, ended)
    assert facts(project) == []
    assert contents(project) == before
    assert not (tmp_path / "stated").exists()


def test_verify_says_what_is_wrong_and_with_which_exit_code(tmp_path: Path) -> None:
    build(write_project(tmp_path / "project"), "-w")
    wheel, statement = (tmp_path / "out" / WHEEL).read_bytes(), (tmp_path / "stated" / f"{WHEEL}{ENDING}").read_bytes()
    (tmp_path / "changed").mkdir()
    (tmp_path / "changed" / WHEEL).write_bytes(wheel[:-1] + bytes([wheel[-1] ^ 1]))
    for name, data in {
        "cut": statement[:-20],
        "text": b"statement\n",
        "empty": b"",
        "twice": b'{"a":1,"a":2}\n',
    }.items():
        (tmp_path / name).write_bytes(data)
    weak = statement.replace(b'"network":{"state":"active"', b'"network":{"state":"disabled"')
    assert weak != statement
    (tmp_path / "weak").write_bytes(weak)
    (tmp_path / "half").write_bytes(statement.splitlines(keepends=True)[0])
    (tmp_path / "policy.toml").write_text('source = "read-only"')
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 30)
    os.mkfifo(tmp_path / "fifo")
    good = f"stated/{WHEEL}{ENDING}"
    expected: dict[tuple[str, ...], tuple[int, str]] = {
        (f"out/{WHEEL}", good): (0, ""),
        (f"out/{WHEEL}", good, "--allow-degraded", "identity"): (0, ""),
        (f"changed/{WHEEL}", good): (1, "is not its subject"),
        (f"out/{WHEEL}", "cut"): (1, "line 2 must be JSON"),
        (f"out/{WHEEL}", "text"): (1, "must be JSON"),
        (f"out/{WHEEL}", "empty"): (1, "1 to 256 statements"),
        (f"out/{WHEEL}", "twice"): (1, "same key twice"),
        (f"out/{WHEEL}", "large"): (1, "too large"),
        (f"out/{WHEEL}", "half"): (1, "what was enforced"),
        (f"out/{WHEEL}", "weak"): (1, "the protection network was disabled"),
        (f"out/{WHEEL}", good, "--config", "policy.toml"): (1, "source allows more than the given policy"),
        (f"out/{WHEEL}", good, "--source", "read-only"): (1, "source allows more than the given policy"),
        (f"out/{WHEEL}", good, "half", "half"): (0, ""),
        (f"out/{WHEEL}",): (2, "STATEMENT"),
        (): (2, "WHEEL"),
        (f"out/{WHEEL}", "missing"): (2, "cannot be read"),
        (f"out/{WHEEL}", "stated"): (2, "cannot be read"),
        ("missing.whl", good): (2, "cannot be read"),
        ("out", good): (2, "cannot be read"),
        ("fifo", good): (2, "is not a file"),
        (f"out/{WHEEL}", good, "--allow-degraded", "nothing"): (2, "nothing"),
        (f"out/{WHEEL}", good, "--config", "missing.toml"): (2, "missing.toml"),
    }
    ended = commands([("verify", *arguments) for arguments in expected], tmp_path)
    for arguments, done in zip(expected, ended, strict=True):
        code, text = expected[arguments]
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert text in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        if code == 1:
            assert done.stdout == ""
            assert "proves nothing about who wrote it" in done.stderr


@pytest.mark.slow
def test_a_second_build_replaces_what_an_earlier_one_has_stated(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "stated").mkdir()
    (tmp_path / "stated" / f"{WHEEL}{ENDING}").symlink_to(tmp_path / "precious")
    build(project, "-w")
    first = stated(tmp_path)[0]["runDetails"]["metadata"]["invocationId"]
    build(project, "-w")
    assert stated(tmp_path)[0]["runDetails"]["metadata"]["invocationId"] != first
    assert (tmp_path / "precious").read_text() == "precious"
    assert os.listdir(tmp_path / "stated") == [f"{WHEEL}{ENDING}"]
    (tmp_path / "stated" / f"{WHEEL}{ENDING}").unlink()
    (tmp_path / "stated" / f"{WHEEL}{ENDING}").mkdir()
    done = build(project, "-w", code=1)
    assert "could not be written" in done.stderr


_INDEPENDENT = """
import json, sys
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1 import statement_pb2
for line in open(sys.argv[1]):
    parsed = json_format.Parse(line, statement_pb2.Statement())
    statement = Statement.copy_from_pb(parsed)
    statement.validate()
    assert json_format.MessageToDict(parsed)["subject"] == json.loads(line)["subject"]
    print(statement.pb.predicate_type)
"""


@pytest.mark.slow
@pytest.mark.network
def test_the_verifier_of_in_toto_accepts_the_statements(tmp_path: Path) -> None:
    build(write_project(tmp_path / "project"))
    python = tmp_path / "env/bin/python"
    venv.create(tmp_path / "env", with_pip=True)
    run = functools.partial(subprocess.run, check=True, capture_output=True, text=True)
    run([python, "-m", "pip", "install", "--quiet", "in-toto-attestation"])
    for name in (WHEEL, SDIST):
        done = run([python, "-c", _INDEPENDENT, tmp_path / "stated" / f"{name}{ENDING}"])
        assert done.stdout.split() == ["https://slsa.dev/provenance/v1", "urn:isolated-hooks:enforcement:v1"]
