from __future__ import annotations

import os
import pathlib
import stat

import pytest
from support.fakes import DIR, FIFO, HOME, Entry, FakeFilesystem, Link, host, no_hang
from support.planning import python_at, venv_at

from isolated_hooks.files.paths import RealFilesystem, is_within
from isolated_hooks.plan.interpreter import interpreter_paths, named_bases, prefix_entries

VENV = "/tmp/build-env"
UV = f"{HOME}/.local/share/uv/python"


def paths(entries: dict[str, Entry], python: str) -> set[str]:
    return set(interpreter_paths(host(entries), python, bases=None))


def covered(shown: set[str], filesystem: FakeFilesystem, path: str) -> bool:
    """Return whether the real path of a path is beneath one of the paths found."""
    real = filesystem.real(path)
    return any(is_within(real or path, filesystem.real(p) or p) for p in shown)


def test_an_installation_is_its_prefix_without_shared_directories() -> None:
    shown = paths(python_at("/srv/py"), "/srv/py/bin/python3.12")
    assert shown == {"/srv/py/bin/python3.12", *(f"/srv/py/{name}" for name in ("bin", "include", "lib"))}


@pytest.mark.parametrize("lib", ["lib", "lib64", "lib32"])
def test_the_standard_library_may_be_in_any_of_the_library_directories(lib: str) -> None:
    assert f"/srv/py/{lib}" in paths(python_at("/srv/py", lib=lib), "/srv/py/bin/python3")


@pytest.mark.parametrize("name", ["python3.12", "python3.13t", "pypy3.10", "python2.7", "python3.100"])
def test_every_python_is_recognised_by_its_standard_library(name: str) -> None:
    entries: dict[str, Entry] = {"/srv/py/bin/x": "", f"/srv/py/lib/{name}/os.py": ""}
    assert "/srv/py/lib" in paths(entries, "/srv/py/bin/x")


@pytest.mark.parametrize("name", ["python3.12/other.py", "python3/os.py", "python-3.12/os.py", "xpython3.12/os.py"])
def test_a_directory_without_a_standard_library_is_not_a_prefix(name: str) -> None:
    entries: dict[str, Entry] = {"/srv/py/bin/x": "", f"/srv/py/lib/{name}": ""}
    assert paths(entries, "/srv/py/bin/x") == {"/srv/py/bin/x"}


def test_debian() -> None:
    shown = paths({}, "/usr/bin/python3")
    assert {"/usr/bin", "/usr/lib", "/usr/include"} <= shown
    assert not shown & {"/usr/share", "/usr", "/", "/etc"}


def test_the_root_directory_as_a_prefix_is_never_shown_completely() -> None:
    shown = paths({}, "/bin/python3")
    assert not shown & {"/", "/etc", "/home", "/share", "/tmp", "/var", "//"}
    assert covered(shown, host(), "/usr/lib/python3.12/os.py")


def test_a_virtual_environment_and_its_base() -> None:
    entries = {**python_at("/srv/py"), **venv_at(VENV, "/srv/py/bin/python3")}
    shown = paths(entries, f"{VENV}/bin/python")
    assert {f"{VENV}/{name}" for name in ("bin", "lib", "lib64", "pyvenv.cfg")} <= shown
    assert {f"/srv/py/{name}" for name in ("bin", "include", "lib")} <= shown
    assert not shown & {VENV, "/srv/py", f"{VENV}/pip.conf", f"{VENV}/.env", "/srv/py/share", "/srv/py/etc"}


def test_a_virtual_environment_whose_python_is_a_copy() -> None:
    entries = {**python_at("/srv/py"), **venv_at(VENV, "/srv/py/bin/python3"), f"{VENV}/bin/python": "copy"}
    assert "/srv/py/lib" in paths(entries, f"{VENV}/bin/python")


@pytest.mark.parametrize("python", ["copy", Link("/srv/py/bin/python3"), Link("/srv/other/bin/python3")])
def test_a_base_that_a_build_requirement_may_have_named(python: Entry) -> None:
    """It counts if it is one of those that the frontend trusts. The links of an interpreter lead to any other."""
    entries: dict[str, Entry] = {
        **python_at("/srv/py"),
        **python_at("/srv/other"),
        **venv_at(VENV, "/srv/other/bin/python3"),
        f"{VENV}/bin/python": python,
    }
    files = host({**entries, "/srv/name": Link("other")})
    linked = {python.target.split("/")[2]} if isinstance(python, Link) else set()
    for trusted, more in (((), set()), (("/srv/py", "/usr"), set()), (("/srv/name",), {"other"})):
        shown = interpreter_paths(files, f"{VENV}/bin/python", bases=trusted)
        assert {name for name in ("py", "other") if f"/srv/{name}/lib" in shown} == linked | more
    assert named_bases(files, f"{VENV}/bin/python") == ("/srv/other",)


def test_a_virtual_environment_of_a_virtual_environment() -> None:
    outer, inner = "/w/outer", "/w/inner"
    entries = {
        **python_at(f"{HOME}/py"),
        **venv_at(outer, f"{HOME}/py/bin/python3"),
        **venv_at(inner, f"{outer}/bin/python"),
    }
    shown = paths(entries, f"{inner}/bin/python3")
    assert {f"{inner}/lib", f"{outer}/bin", f"{HOME}/py/lib"} <= shown
    assert f"{HOME}/py" not in shown


def test_uv_keeps_its_pythons_behind_a_linked_directory() -> None:
    real = f"{UV}/cpython-3.12.7-linux-x86_64-gnu"
    entries = {
        **python_at(real),
        f"{UV}/cpython-3.12-linux-x86_64-gnu": Link(real),
        **venv_at(VENV, f"{UV}/cpython-3.12-linux-x86_64-gnu/bin/python3.12"),
    }
    shown = paths(entries, f"{VENV}/bin/python")
    assert covered(shown, host(entries), f"{real}/lib/python3.12/os.py")
    assert not any(is_within(f"{HOME}/.local/share/keyrings", path) for path in shown)
    assert not any(is_within(f"{UV}-secret", path) for path in shown)


def test_a_link_in_the_local_prefix_to_an_interpreter_does_not_show_that_prefix() -> None:
    entries = {**python_at(f"{UV}/x"), f"{HOME}/.local/bin/python3.12": Link(f"{UV}/x/bin/python3.12")}
    shown = paths(entries, f"{HOME}/.local/bin/python3.12")
    assert covered(shown, host(entries), f"{UV}/x/lib/python3.12/os.py")
    for path in ("share", "share/keyrings", "lib", "lib/secret", "bin"):
        assert f"{HOME}/.local/{path}" not in shown


def test_an_interpreter_in_the_local_prefix_does_not_show_shared_directories() -> None:
    shown = paths(python_at(f"{HOME}/.local"), f"{HOME}/.local/bin/python3")
    assert f"{HOME}/.local/lib" in shown
    assert not shown & {f"{HOME}/.local", f"{HOME}/.local/share", f"{HOME}/.local/etc"}


def test_pyenv() -> None:
    root = f"{HOME}/.pyenv/versions/3.12.1"
    entries = {**python_at(root), f"{HOME}/.pyenv/shims/python": "#!/bin/sh", f"{HOME}/.pyenv/libexec/pyenv": ""}
    assert f"{root}/lib" in paths(entries, f"{root}/bin/python3")
    assert paths(entries, f"{HOME}/.pyenv/shims/python") == {f"{HOME}/.pyenv/shims/python"}


def test_conda_keeps_its_compilers_in_directories_named_after_a_triplet() -> None:
    prefix = f"{HOME}/miniconda3/envs/b"
    mine = (
        "x86_64-conda-linux-gnu aarch64-conda_cos7-linux-gnu x86_64-conda-linux-musl compiler_compat conda-meta".split()
    )
    others = "pkgs envs .condarc x86_64-linux secrets my-conda-linux-gnu/../x X86-a-linux-gnu".split()
    files: dict[str, Entry] = {f"{prefix}/{name}/file": "" for name in (*mine, "ssl", "targets")}
    entries = {**python_at(prefix), **files, **{f"{prefix}/{name}": "" for name in others if "/" not in name}}
    shown = paths(entries, f"{prefix}/bin/python")
    assert {f"{prefix}/{name}" for name in mine} <= shown
    assert not shown & {f"{prefix}/{name}" for name in others}


def test_only_known_names_of_a_prefix_are_shown() -> None:
    files = FakeFilesystem(
        {
            f"/p/{name}": DIR
            for name in ("bin", "lib", "pip.conf", ".ssh", "Library", "x-y-linux-gnux32", "-a-linux-gnu")
        }
    )
    assert prefix_entries(files, "/p") == ("/p/bin", "/p/lib", "/p/x-y-linux-gnux32")


# Others create a virtual environment, so its configuration may say anything.


def of_the_system(path: str) -> bool:
    """Return whether every sandbox shows this path."""
    return any(
        is_within(os.path.normpath(f"/{path.lstrip('/')}"), top) for top in "/usr /bin /sbin /lib /lib64".split()
    )


@pytest.mark.parametrize(
    "text",
    [
        f"home = {HOME}/.ssh/x",
        f"home = {HOME}/.ssh",
        f"home = {HOME}",
        f"home = {HOME}/.local/bin",
        f"HOME={HOME}/.aws/bin",
        "home = /",
        "home = //",
        "home = /etc/ssh",
        "home = ../../.ssh/x",
        "home = ",
        "home",
        "= /x",
        f"home = /usr/bin/../../{HOME}/.ssh/x",
        f"home = {HOME}/.ssh/x\nhome = {HOME}/.aws/x",
        "home = /nowhere/bin\0/x",
        "\udcff\udcfe",
        "home = " + "/x" * 40_000,
        "x = y\n" * 20_000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_a_home_key_without_an_interpreter_shows_nothing(text: str) -> None:
    entries = {**venv_at(VENV, "/usr/bin/python3"), f"{VENV}/pyvenv.cfg": text}
    shown = paths(entries, f"{VENV}/bin/python")
    assert f"{VENV}/lib" in shown
    assert all(of_the_system(path) or is_within(path, VENV) for path in shown)


def test_the_case_and_spaces_of_a_configuration_do_not_matter() -> None:
    entries = {**python_at("/srv/py"), f"{VENV}/bin/python": "", f"{VENV}/pyvenv.cfg": "\n  Home=  /srv/py/bin  \n"}
    assert "/srv/py/lib" in paths(entries, f"{VENV}/bin/python")


@pytest.mark.parametrize("configuration", [DIR, FIFO, Link("loop"), Link("pyvenv.cfg"), Link("/nowhere"), ""])
def test_a_configuration_that_is_not_a_file_is_ignored(configuration: Entry) -> None:
    entries = {**venv_at(VENV, "/usr/bin/python3"), f"{VENV}/pyvenv.cfg": configuration}
    with no_hang():
        shown = paths(entries, f"{VENV}/bin/python")
    assert all(path == f"{VENV}/bin/python" or of_the_system(path) for path in shown)


@pytest.mark.parametrize(
    "target", [f"{HOME}/.ssh/id_rsa", f"{HOME}/.netrc", "/etc/shadow", HOME, "/", "/etc", "../../../etc/shadow", "."]
)
def test_a_link_to_something_other_than_an_interpreter_shows_only_the_link(target: str) -> None:
    entries = {**venv_at(VENV, "/usr/bin/python3"), f"{VENV}/bin/python": Link(target)}
    shown = paths(entries, f"{VENV}/bin/python")
    assert all(of_the_system(path) or is_within(path, VENV) for path in shown), shown


def test_endless_links_and_missing_files_are_not_an_error() -> None:
    with no_hang():
        for target in ("python", "python3", "../bin/python", "/nowhere"):
            entries = {**venv_at(VENV, "/usr/bin/python3"), f"{VENV}/bin/python": Link(target)}
            assert f"{VENV}/bin/python" in paths(entries, f"{VENV}/bin/python")
        assert paths({}, "/none/bin/python") == {"/none/bin/python"}


# On a real filesystem.


def test_an_interpreter_is_never_run(tmp_path: pathlib.Path) -> None:
    """Build requirements may have replaced it, and everything beside it."""
    marker = tmp_path / "it was run"
    binaries = tmp_path / "env/bin"
    binaries.mkdir(parents=True)
    for name in ("python", "python3", "python-config", "activate", "uv", "pip"):
        (binaries / name).write_text(f"#!/bin/sh\ntouch '{marker}'\n")
        (binaries / name).chmod(stat.S_IRWXU)
    library = tmp_path / "env/lib/python3.12"
    library.mkdir(parents=True)
    for name in ("os.py", "site.py", "sitecustomize.py"):
        (library / name).write_text(f"open({str(marker)!r}, 'w')")
    (tmp_path / "env/pyvenv.cfg").write_text(f"home = {binaries}\n")
    shown = interpreter_paths(RealFilesystem(), str(binaries / "python"), bases=None)
    assert {str(tmp_path / "env/lib"), str(binaries)} <= set(shown)
    assert not marker.exists()


def test_the_interpreter_that_runs_this_test_is_found() -> None:
    import sys

    shown = interpreter_paths(RealFilesystem(), sys.executable, bases=None)
    reals = [os.path.realpath(path) for path in shown]
    for needed in (os.path.realpath(sys.executable), os.path.realpath(os.__file__)):
        assert any(is_within(needed, real) for real in reals), needed
