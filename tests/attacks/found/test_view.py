"""What a hook finds beyond the system: toolchains that the operator names, and no other build or credential."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyproject_hooks
import pytest
from support.attacks.place import quiet

from isolated_hooks import IsolatedHookCaller, Policy
from isolated_hooks.report import HookReport

pytestmark = pytest.mark.usefixtures("sandbox")

_BACKEND = """
import os, subprocess, time

def read(*paths):
    for path in paths:
        try:
            open("seen", "a").write(f"{os.path.basename(path)}={open(path).read().strip()} ")
        except OSError as error:
            open("seen", "a").write(f"{os.path.basename(path)}=({error.errno}) ")

def get_requires_for_build_wheel(config_settings=None):
    exec(config_settings["code"], globals())
    return []
"""
TOKEN = "gh" + "p_0123456789abcdefABCDEF0123456789abcd"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "tiny.py").write_text(_BACKEND)
    return path


def _hook(tree: Path, code: str, policy: Policy | None = None) -> tuple[dict[str, str], HookReport]:
    hooks = IsolatedHookCaller(str(tree), "tiny", ["."], quiet, policy=policy)
    hooks.get_requires_for_build_wheel({"code": code})
    seen = (tree / "seen").read_text() if (tree / "seen").exists() else ""
    return dict(item.split("=", 1) for item in seen.split()), hooks.reports[-1]


def _plainly(tree: Path, code: str) -> dict[str, str]:
    """Run the same code without a sandbox: the control."""
    (tree / "seen").unlink(missing_ok=True)
    hooks = pyproject_hooks.BuildBackendHookCaller(str(tree), "tiny", ["."], quiet, python_executable=sys.executable)
    hooks.get_requires_for_build_wheel({"code": code})
    return dict(item.split("=", 1) for item in (tree / "seen").read_text().split())


def _write(path: Path, text: str = "text", mode: int = 0o644) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.fixture
def opt() -> Iterator[Path]:
    """A directory of /opt."""
    if os.geteuid() != 0:
        pytest.skip("only root can put something into /opt; tests/unit/plan/test_toolchains.py tries the plan")
    directory = Path(tempfile.mkdtemp(prefix="isolated-hooks-test-", dir="/opt"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def test_another_build_in_opt_does_not_exist(tree: Path, opt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = _write(opt / "tool/bin/prog", '#!/bin/sh\ncat "$(dirname "$0")/../data/table"\n', 0o755)
    _write(opt / "tool/data/table", "table")
    include = _write(opt / "dependency/include/x.h", "header")
    secrets = [
        _write(opt / "other/secret"),
        _write(opt / "tool/pip.conf"),
        _write(opt / "tool/etc/npmrc"),
        _write(opt / "tool/etc/pip/conf"),
        _write(opt / "runner/.credentials"),
    ]
    monkeypatch.setenv("PATH", f"{os.path.dirname(tool)}:{os.environ['PATH']}")
    monkeypatch.setenv("CFLAGS", f"-O2 -I{os.path.dirname(include)}")
    code = 'open("out", "w").write(subprocess.check_output(["prog"], text=True)); read(*%r)'
    seen, _ = _hook(tree, code % [include, *secrets])
    assert (tree / "out").read_text() == "table"
    assert seen.pop("x.h") == "header"
    assert seen == {"secret": "(2)", "pip.conf": "", "npmrc": "", "conf": "(2)", ".credentials": "(2)"}
    assert set(_plainly(tree, f"read(*{secrets!r})").values()) == {"text"}


def test_private_files_beside_programs_are_not_shown(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook has the uid of the owner, or an idmapped mount shows the files as its own."""
    program = _write(tmp_path / "bin/prog", "#!/bin/sh\necho ran > out\n", 0o755)
    private = [_write(tmp_path / "bin/key", mode=0o600), _write(tmp_path / "bin/closed/inner")]
    (tmp_path / "bin/closed").chmod(0o700)
    monkeypatch.setenv("PATH", f"{os.path.dirname(program)}:{os.environ['PATH']}")
    seen, _ = _hook(tree, f'subprocess.check_call(["prog"]); read(*{private!r})')
    assert (tree / "out").read_text() == "ran\n"
    assert seen == {"key": "", "inner": "(2)"}
    assert _plainly(tree, f"read(*{private!r})") == {"key": "text", "inner": "text"}


def test_programs_of_a_strict_umask_still_run(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, every mode keeps others out, and so tells nothing."""
    program = _write(tmp_path / "bin/prog", "#!/bin/sh\necho ran > out\n", 0o700)
    (tmp_path / "bin").chmod(0o700)
    monkeypatch.setenv("PATH", f"{os.path.dirname(program)}:{os.environ['PATH']}")
    _hook(tree, 'subprocess.check_call(["prog"])')
    assert (tree / "out").read_text() == "ran\n"


_VALUES = {
    "CMAKE_ARGS": f"-DX=1 -DINDEX_TOKEN={TOKEN}",
    "RUSTFLAGS": '--cfg token="hunter2"',
    "MESON_ARGS": "-Dpassword=hunter2",
    "CFLAGS": f"-DKEY='\"{TOKEN}\"'",
    "MAKEFLAGS": "URL=https://u:hunter2@example.org",
}


def test_credentials_in_the_values_of_build_variables(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _VALUES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CXXFLAGS", "-O2 -DTOKENIZERS=ON -DMAX_TOKENS=4096")
    _, report = _hook(tree, 'open("seen", "w").write("env=" + repr(dict(os.environ)).replace(" ", ""))')
    environ = (tree / "seen").read_text()
    assert TOKEN not in environ
    assert "hunter2" not in environ
    assert "-DMAX_TOKENS=4096" in environ
    assert set(report.dropped) >= _VALUES.keys()
    (tree / "seen").unlink()
    assert TOKEN in _plainly(tree, 'open("seen", "w").write("env=" + repr(dict(os.environ)).replace(" ", ""))')["env"]


def test_what_is_hidden_stays_hidden_if_somebody_outside_replaces_it(tree: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    paths = [shared / "secret", shared / "later", shared / "place/inner"]
    _write(paths[0])
    _write(paths[2])
    _write(shared / "open")

    def replace() -> None:
        until = time.monotonic() + 60
        while not (tree / "started").exists() and time.monotonic() < until:
            time.sleep(0.01)
        _write(tmp_path / "new")
        os.replace(tmp_path / "new", paths[0])
        _write(paths[1])
        os.rename(shared / "place", shared / "moved")
        _write(paths[2])
        (tree / "go").touch()

    thread = threading.Thread(target=replace)
    thread.start()
    code = f"""
open("started", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
read(*{[*map(str, paths), str(shared / "open")]!r})
"""
    hide = [paths[0], paths[1], shared / "place"]
    seen, _ = _hook(tree, code, Policy(expose=[shared], hide=hide))
    thread.join()
    assert seen == {"secret": "(2)", "later": "(2)", "inner": "(2)", "open": "text"}
    assert set(_plainly(tree, f"read(*{[*map(str, paths)]!r})").values()) == {"text"}
