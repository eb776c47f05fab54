"""What an sdist, a build requirement or a hook writes does not choose what the frontends write outside the sandbox."""

from __future__ import annotations

import io
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pip
import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from support.index import backend_sdist, write_wheel
from support.lanes import first_fast
from support.projects import CLI, WHEEL, command, run_text, write_project
from support.requirements import write_needy

from isolated_hooks.files.steered import Trees
from isolated_hooks.frontends.build import ends, inventory
from isolated_hooks.frontends.build.installation import scheme_of
from isolated_hooks.frontends.build.inventory import installed_in, is_met
from isolated_hooks.frontends.fromager.frontend import work_directory
from isolated_hooks.frontends.opening import refusal_of_change
from isolated_hooks.frontends.pip.output import filtered_log

pytestmark = pytest.mark.usefixtures("sandbox")

ENVIRON = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_NO_CACHE_DIR": "1", "PIP_FIND_LINKS": ""}
# As pip 23 and 24 do, and later ones under a Python whose tarfile does.
FOLLOWS_LINKS = """
def unpack_file(filename, location, content_type=None):
    with tarfile.open(filename) as archive:
        archive.extraction_filter = lambda member, path: member
        for member in archive:
            member.name = member.name.partition("/")[2] or "."
            archive.extract(member, location)
"""
# As in pip 24 to 26.2.
ANY_NAME = r"""
ENTRY_RE = re.compile(r'(?P<name>([^\[]\S*))\s*=\s*(?P<callable>(\w+)([:\.]\w+)*)\s*(\[(?P<flags>\w+)\])?')
"""
ANY_PATH = "\ndef _raise_for_invalid_entrypoint(*_): ...\n"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory that no sandbox shows."""
    (tmp_path / "canary").mkdir()
    return tmp_path / "canary"


def weak_pip(directory: Path) -> Path:
    """Copy pip, and take out what some of its versions check."""
    shutil.copytree(os.path.dirname(pip.__file__), directory / "pip")
    for name, text in {
        "_internal/utils/unpacking": FOLLOWS_LINKS,
        "_vendor/distlib/util": ANY_NAME,
        "_internal/operations/install/wheel": ANY_PATH,
    }.items():
        with open(directory / "pip" / f"{name}.py", "a") as file:
            file.write(text)
    return directory


def linked_sdist(directory: Path, canary: Path) -> Path:
    """Write an sdist with a link, and a file behind that link."""
    sdist = backend_sdist(directory, "linked")
    with tarfile.open(sdist) as archive:
        members = [(member, archive.extractfile(member)) for member in archive.getmembers()]
        data = [(member, file.read() if file else b"") for member, file in members]
    with tarfile.open(sdist, "w:gz") as archive:
        for member, content in data:
            archive.addfile(member, io.BytesIO(content))
        link, behind = tarfile.TarInfo("linked-1.0/link"), tarfile.TarInfo("linked-1.0/link/mark")
        link.type, link.linkname = tarfile.SYMTYPE, os.fspath(canary)
        archive.addfile(link)
        archive.addfile(behind)
    return sdist


def plainly(weak: Path, *arguments: str | Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run_text([sys.executable, weak / "pip", *arguments], environ=environ)


@pytest.mark.slow
def test_an_sdist_with_links(canary: Path, tmp_path: Path) -> None:
    sdist, weak = linked_sdist(tmp_path, canary), weak_pip(tmp_path / "weak")
    arguments = ("wheel", "--no-deps", "-w", tmp_path / "out", sdist)
    plainly(weak, *arguments, environ=ENVIRON)
    assert os.listdir(canary) == ["mark"], "the attack does not work without us"
    (canary / "mark").unlink()
    done = command("pip", "--pip", weak, *arguments, environ=ENVIRON)
    assert (done.returncode, os.listdir(canary)) == (1, [])
    assert "cannot be unpacked" in done.stderr
    assert "Traceback" not in done.stderr


def refused_with_us(requirement: str, canary: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Build a project that needs a hostile package of ``links`` by an old pip, without us and then with us."""
    weak = weak_pip(tmp_path / "weak")
    project = write_needy(tmp_path / "project", [requirement])
    environ = {**ENVIRON, "PIP_FIND_LINKS": os.fspath(tmp_path / "links")}
    arguments = ("wheel", "--no-deps", "-w", tmp_path / "out", project)
    plainly(weak, *arguments, environ=environ)
    assert os.listdir(canary) == ["mark"], "the attack does not work without us"
    (canary / "mark").unlink()
    done = command("pip", "--pip", weak, *arguments, environ=environ)
    assert (done.returncode, os.listdir(canary)) == (1, [])
    return done


@pytest.mark.slow
def test_a_build_requirement_that_is_an_sdist_with_links(canary: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    linked_sdist(tmp_path / "links", canary)
    refused_with_us("linked", canary, tmp_path)


@pytest.mark.slow
def test_an_sdist_is_unpacked_as_ever(tmp_path: Path) -> None:
    sdist = backend_sdist(tmp_path, "plain")
    done = command("pip", "wheel", "--no-deps", "-w", tmp_path / "out", sdist, environ=ENVIRON)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == ["plain-1.0-py3-none-any.whl"]


@pytest.mark.slow
def test_an_sdist_that_unpacks_to_more_than_the_limit(tmp_path: Path) -> None:
    sdist = tmp_path / "large-1.0.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        member = tarfile.TarInfo("large-1.0/zeros")
        member.size = 64 << 20
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    arguments = ("download", "--no-deps", "-d", tmp_path / "out", sdist)
    done = command("pip", "--limit", "file-size=16M", *arguments, environ=ENVIRON)
    assert done.returncode == 1
    assert "cannot be unpacked" in done.stderr or "limit" in done.stderr


@pytest.mark.slow
def test_a_build_requirement_whose_script_has_a_path_for_a_name(canary: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    scripts = f"[console_scripts]\n{canary / 'mark'} = steering:VALUE\n"
    write_wheel(tmp_path / "links", "steering", files={"steering-1.0.dist-info/entry_points.txt": scripts})
    done = refused_with_us("steering", canary, tmp_path)
    assert "is not that of a script" in done.stdout + done.stderr


NEEDS_NOTHING = """
def get_requires_for_build_wheel(config_settings=None):
    return []
"""
EXCHANGES = f"""{NEEDS_NOTHING}
real = build_wheel
def build_wheel(*arguments):
    os.rename(HERE + "/vendor", HERE + "/old")
    os.symlink(CANARY, HERE + "/vendor")
    return real(*arguments)
"""


@pytest.mark.slow
def test_a_hook_exchanges_the_target_of_an_install(canary: Path, tmp_path: Path) -> None:
    """pip moves the packages there, and with --upgrade removes what has the same names."""
    precious = canary / "example.py"
    for way in ("plain", "ours"):
        precious.write_text("precious")
        project = write_project(tmp_path / way, extra=EXCHANGES.replace("CANARY", repr(os.fspath(canary))))
        (project / "vendor").mkdir()
        arguments = ("install", "--no-deps", "--upgrade", "--target", project / "vendor", project)
        if way == "plain":
            assert run_text([sys.executable, "-m", "pip", *arguments], environ=ENVIRON).returncode == 0
            assert precious.read_text() != "precious", "the attack does not work without us"
            shutil.rmtree(canary)
            canary.mkdir()
            continue
        done = command("pip", *arguments, environ=ENVIRON)
        assert done.returncode == 1
        assert "leads out of the source tree" in done.stderr
        assert (os.listdir(canary), precious.read_text()) == (["example.py"], "precious")


def test_every_change_through_a_link_is_refused(canary: Path, tmp_path: Path) -> None:
    """os.rename and the rest raise other events than open."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "way").symlink_to(canary)
    trees, through, beside = Trees([os.fspath(tree)], kept=()), f"{tree}/way/file", f"{tree}/file"
    events = {
        "os.rename": ((beside, through, -1, -1), (through, beside, -1, -1)),
        "os.link": ((beside, through, -1, -1), (through, beside, -1, -1)),
        "os.symlink": (("anywhere", through, -1),),
        "os.mkdir": ((through, 0o777, -1),),
        "os.remove": ((through.encode(), -1),),
        "os.rmdir": ((through, -1),),
        "os.chmod": ((through, 0o777, -1), (f"{tree}/way", 0o777, -1)),
        "os.chown": ((through, 0, 0, -1),),
        "os.utime": ((through, None, None, -1),),
        "os.truncate": ((through, 0),),
        "shutil.rmtree": ((through,), (Path(through), None)),
    }
    for event, calls in events.items():
        assert all(refusal_of_change(trees, event, call) for call in calls), event
    allowed = [("os.rename", (beside, f"{tree}/other", -1, -1)), ("os.remove", (f"{tree}/way", -1))]
    allowed += [("os.remove", ("way/file", 5)), ("os.chmod", (5, 0o777, -1)), ("os.listdir", (through,))]
    assert [refusal_of_change(trees, event, call) for event, call in allowed] == [None] * len(allowed)


@pytest.mark.slow
def test_an_install_into_the_tree_works(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=NEEDS_NOTHING)
    for _ in range(2):
        arguments = ("install", "--no-deps", "--upgrade", "--target", project / "vendor", project)
        done = command("pip", *arguments, environ=ENVIRON)
        assert done.returncode == 0, done.stderr
        assert (project / "vendor" / "example.py").is_file()
    assert WHEEL not in os.listdir(project)


SPEAKS = f"""{NEEDS_NOTHING}
METADATA += "Requires-Dist: foo; bad \\x1b]0;title\\x07\\x1b[2J ##vso[task.complete]\\n"
"""


def test_metadata_do_not_speak_to_the_terminal_through_pip(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logger, handler = logging.getLogger("isolated_hooks.test"), logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    hostile = "bad \x1b]0;title\x07\x1b[31mred ##vso[task.complete]"
    try:
        logger.warning("before: %s", hostile)
        with filtered_log():
            logger.warning("within: %s", hostile)
            try:
                raise ValueError(hostile)
            except ValueError:
                logger.exception("failed")
        logger.warning("after: %s", hostile)
    finally:
        logger.removeHandler(handler)
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "\x1b]" in line] == [f"before: {hostile}", f"after: {hostile}"]
    shown = "bad \\x1b]0;title\\x07\x1b[31mred ##vso\\x5btask.complete]\x1b[0m"
    assert f"within: {shown}" in lines
    assert f"ValueError: {shown}" in lines


@pytest.mark.slow
def test_metadata_that_speak_to_the_terminal(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", extra=SPEAKS)
    done = command("pip", "wheel", "-w", tmp_path / "out", project, environ=ENVIRON)
    assert done.returncode != 0
    assert "\x1b]" not in done.stdout + done.stderr
    assert "##vso[" not in done.stdout + done.stderr


def product(tmp_path: Path, extras: int) -> tuple[Requirement, dict[str, Distribution]]:
    """Install a distribution whose extras need all smaller ones, and return the requirement that asks for them."""
    names = [f"e{number}" for number in range(extras)]
    requires = [f"many[{','.join(names[:end])}]; extra == {names[end]!r}" for end in range(1, extras)]
    wheel = write_wheel(tmp_path, "many", requires=requires)
    place = Path(scheme_of(os.fspath(tmp_path / "env"))["purelib"])
    shutil.unpack_archive(wheel, place, "zip")
    return Requirement(f"many[{','.join(names)}]"), installed_in(os.fspath(tmp_path / "env"))


def test_a_requirement_whose_extras_multiply(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hook names the extras, and a wheel what they need: that takes the third power of their number."""
    requirement, installed = product(tmp_path, 30)
    looked_at = 0
    evaluate = Marker.evaluate

    def counted(*args: Any, **options: Any) -> bool:
        nonlocal looked_at
        looked_at += 1
        return evaluate(*args, **options)

    monkeypatch.setattr(Marker, "evaluate", counted)
    assert is_met(requirement, installed)
    assert looked_at > 10_000, "without a bound"
    monkeypatch.setattr(inventory, "MAX_STEPS", 1000)
    looked_at = 0
    assert not is_met(requirement, installed)
    assert looked_at <= 1000


@pytest.mark.parametrize("name", first_fast(["loop", "fifo"]))
def test_a_directory_that_cannot_be_made_is_a_usage_error(name: str, tmp_path: Path) -> None:
    """build parses its arguments where it expects no error of its own: that was an internal error."""
    project = write_project(tmp_path / "project")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    done = command("build", "-n", "--sdist-extract-dir", tmp_path / name, project)
    assert done.returncode == 2, done.stderr
    assert f"{name}' cannot be used: " in done.stderr
    outside = project / "constraints.txt"
    outside.symlink_to(tmp_path / "elsewhere.txt")
    (tmp_path / "elsewhere.txt").write_text("")
    done = command("build", "-n", "--dependency-constraints-txt", outside, project)
    assert done.returncode == 2, done.stderr
    assert "must not lead out" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["given-1.tar.gz", "given-1-py3-none-any.whl"])
def test_a_given_package_that_is_no_file(name: str, tmp_path: Path) -> None:
    """Bare pip waits for a writer of the FIFO, or reads the device until the disk is full."""
    os.mkfifo(tmp_path / name)
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / name).symlink_to("/dev/zero")
    # With a directory, pip looks there for a package that it has downloaded before, under the same name.
    for package, options in ((tmp_path / name, ["--wheel-dir", tmp_path]), (tmp_path / "device" / name, [])):
        done = command("pip", "wheel", "--no-deps", *options, package, cwd=tmp_path, timeout=60)
        assert done.returncode == 1, done.stderr
        assert f"{name}' is not a package" in done.stderr


@pytest.mark.slow
def test_no_argument_at_all() -> None:
    done = command("pip")
    assert (done.returncode, "internal error" in done.stderr) == (0, False), done.stderr
    assert work_directory([]) == os.path.abspath("work-dir")


_TIDY = """
import os, sys, time
try:
    open(sys.argv[1], "w").close()
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    os.unlink(sys.argv[1])
"""


class _Interrupted:
    def feed(self, data: bytes) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_of_build_alone_lets_pip_remove_its_files(tmp_path: Path) -> None:
    """kill(1) reaches one process, not the group of the terminal: pip was killed, and left its directories."""
    mark = tmp_path / "mark"
    argv = [sys.executable, "-c", _TIDY, os.fspath(mark)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"ready\n"
        killed.kill()
    assert mark.exists(), "the control: a killed program leaves its files"
    with pytest.raises(KeyboardInterrupt):
        ends._run(argv, None, None, _Interrupted())  # type: ignore[arg-type]
    assert not mark.exists()


PLANTS = f"""{NEEDS_NOTHING}
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    os.makedirs(os.path.dirname(HERE + PLACE), exist_ok=True)
    with open(HERE + PLACE, "wb") as file:
        file.write(PLANTED)
    os.mkdir(os.path.join(directory, INFO))
    with open(os.path.join(directory, INFO, "METADATA"), "w") as file:
        file.write(METADATA)
    return INFO
"""


@pytest.mark.slow
@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_hook_plants_a_wheel_in_a_cache_in_the_tree(by: str, tmp_path: Path) -> None:
    """The next requirement of the command is another package, which pip would take from there."""
    (tmp_path / "links").mkdir()
    backend_sdist(tmp_path / "links", "other")
    planted = write_wheel(tmp_path, "other", files={"other.py": "PLANTED = 1\n"}).read_bytes()
    environ = {**ENVIRON, "PIP_FIND_LINKS": os.fspath(tmp_path / "links"), "PIP_NO_CACHE_DIR": ""}
    wheel = ("wheel", "--no-deps", "-w")
    done = run_text(
        [sys.executable, "-m", "pip", "--cache-dir", tmp_path / "c", *wheel, tmp_path, "other"], "/", environ
    )
    assert done.returncode == 0, done.stderr
    (place,) = (tmp_path / "c").rglob("*.whl")
    extra = PLANTS.replace("PLACE", repr(f"/{place.relative_to(tmp_path)}")).replace("PLANTED", repr(planted))
    for way, program in (("plain", (sys.executable, "-m")), ("ours", CLI)):
        project = write_project(tmp_path / way, extra=extra)
        cache = project / "c"
        option, variable = (("--cache-dir", cache), {}) if by == "option" else ((), {"PIP_CACHE_DIR": os.fspath(cache)})
        done = run_text(
            [*program, "pip", *option, *wheel, tmp_path / f"{way}-out", project, "other"], "/", {**environ, **variable}
        )
        assert done.returncode == 0, done.stderr
        with zipfile.ZipFile(tmp_path / f"{way}-out" / "other-1.0-py3-none-any.whl") as built:
            assert (b"PLANTED" in built.read("other.py")) == (way == "plain"), way


@pytest.mark.slow
def test_metadata_that_name_another_directory_of_the_operator(tmp_path: Path) -> None:
    """pip would build the directory, and put its content into the output directory."""
    other = write_project(tmp_path / "other", extra=NEEDS_NOTHING)
    for file in other.iterdir():
        file.write_text(file.read_text().replace("example", "private"))
    depends = f"{NEEDS_NOTHING}\nMETADATA += 'Requires-Dist: private @ {other.as_uri()}\\n'\n"
    project = write_project(tmp_path / "project", extra=depends)
    arguments = ("wheel", "-w", tmp_path / "out", project)
    plain = run_text([sys.executable, "-m", "pip", *arguments], "/", ENVIRON)
    assert plain.returncode == 0, plain.stderr
    assert "private-1.0-py3-none-any.whl" in os.listdir(tmp_path / "out"), "the attack does not work without us"
    shutil.rmtree(tmp_path / "out")
    (other / "facts.jsonl").unlink()
    done = command("pip", *arguments, environ=ENVIRON)
    assert done.returncode == 1
    assert "must not refer to a file on this host" in done.stderr
    assert not (other / "facts.jsonl").exists()
    (tmp_path / "policy.toml").write_text("allow-url-requirements = true\n")
    done = command("pip", "--config", tmp_path / "policy.toml", *arguments, environ=ENVIRON)
    assert done.returncode == 0, done.stderr
