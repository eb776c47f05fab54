"""Attacks on what can be read and changed: families A, C and H."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attackkinds import Arguments, Attack, changed, done, leaks, nothing, others
from attackworld import HOME_FILES, TEXT, VARIABLES, World


def _descriptor_attacks() -> Iterable[Attack]:
    def arguments(world: World) -> dict[str, Any]:
        directory, file = world.inherited
        return {"directory": directory, "file": file, "name": ".netrc", "text": TEXT}

    yield Attack("H01-directory", "read by an inherited directory", "inherited", arguments, leaks("A01/.netrc"))
    yield Attack(
        "H02-reopen",
        "reopen an inherited file for writing",
        "inherited",
        arguments,
        changed(lambda w: w.home / "opened"),
    )
    yield Attack("H01-count", "find other descriptors than 0, 1, 2", "descriptors", nothing, others)
    yield Attack("H10-stdin", "read the frontend's standard input", "standard_input", nothing, leaks("typed"))


def _reads(name: str, tries: str, path: Callable[[World], Path | None], canary: str, needs: str = "") -> Attack:
    def arguments(world: World) -> dict[str, Any]:
        target = path(world)
        return {"paths": [] if target is None else [str(target)]}

    return Attack(name, tries, "read", arguments, leaks(canary), needs)


def _creates(name: str, tries: str, directory: Callable[[World], Path], needs: str = "") -> Attack:
    def target(world: World) -> Path:
        return directory(world) / f"isolated-hooks-written-{world.random}"

    def arguments(world: World) -> dict[str, Any]:
        return {"paths": [world.target(directory(world))], "text": TEXT}

    return Attack(name, tries, "create", arguments, changed(target), needs)


def _home_reads() -> Iterable[Attack]:
    for attack, names in HOME_FILES.items():

        def arguments(world: World, names: tuple[str, ...] = names) -> dict[str, Any]:
            return {"paths": [p for n in names for p in (str(world.home / n), f"~/{n}")]}

        yield Attack(
            f"{attack}-home", f"read {', '.join(names)}", "read", arguments, leaks(*(f"{attack}/{n}" for n in names))
        )


def _file_reads() -> Iterable[Attack]:
    yield from _home_reads()
    yield _reads("A01-real-home", "read in the account's own home", lambda w: w.elsewhere.get("real-home"), "real-home")
    yield _reads("A09-run", "read in /run, where secrets are mounted", lambda w: w.elsewhere.get("run"), "run", "root")
    yield _reads("A15-etc", "read a file of /etc", lambda w: w.elsewhere.get("etc"), "etc", "root")
    yield _reads("A15-srv", "read a file of /srv", lambda w: w.elsewhere.get("opt-less"), "opt-less", "root")
    yield _reads("A13-parent", "read .env above the source tree", lambda w: w.base / "work/.env", "parent")
    yield _reads("A14-other-build", "read another build's directory", _other_build, "other-build")
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        yield _reads(f"C11-read{place.replace('/', '-')}", f"read in {place}", _planted_in(place), place)
    yield Attack(
        "A15-shadow", "read /etc/shadow", "open_for_reading", lambda _: {"paths": ["/etc/shadow"]}, done, "root"
    )
    yield Attack("A14-list", "list what is beside the source tree", "list_names", _siblings, leaks("sibling"))
    yield Attack(
        "G13-relative",
        "read by way of the inherited working directory",
        "read",
        lambda _: {"paths": ["../other-build/secret", "../.env"]},
        leaks("other-build", "parent"),
    )


def _other_build(world: World) -> Path:
    return world.base / "work/other-build/secret"


def _siblings(world: World) -> dict[str, Any]:
    return {"paths": ["..", str(world.tree.parent)]}


def _planted_in(place: str) -> Callable[[World], Path | None]:
    return lambda world: world.elsewhere.get(place)


def _environment_reads() -> Iterable[Attack]:
    names = (*VARIABLES, "PIP_INDEX_URL")
    yield Attack("A12-environment", "read variables", "environment", lambda _: {"names": names}, leaks(*names))
    yield Attack(
        "A11-parent-environment",
        "read the environment of the parent process",
        "process_files",
        lambda _: {"pid": 0, "names": ["environ"]},
        leaks(*names),
    )
    victim = {"environ": "victim-environ", "cmdline": "argument", "cwd/secret": "other-build"}
    for file, canary in victim.items():
        yield Attack(
            f"A11-{file.replace('/', '-')}",
            f"read /proc/PID/{file} of another process",
            "process_files",
            lambda world, file=file: {"pid": world.victim.pid, "names": [file]},
            leaks(canary),
        )
    yield Attack(
        "G12-proc-root",
        "read through /proc/PID/root of another process",
        "process_files",
        lambda world: {"pid": world.victim.pid, "names": [f"root{world.home}/.netrc"]},
        leaks("A01/.netrc"),
    )


def _file_writes() -> Iterable[Attack]:
    yield _creates("C01-site-packages", "put a module into the build environment", lambda w: w.site)
    yield _creates("C03-interpreter", "put a file into the interpreter's prefix", lambda w: w.prefix / "lib")
    yield _creates("C03-usr", "put a file into /usr/lib", lambda _: Path("/usr/lib"), "root")
    yield _creates("C03-etc", "put a file into /etc", lambda _: Path("/etc"), "root")
    yield _creates(
        "C04-real-home", "put a file into the account's home", lambda w: w.real_home, "an account may have no home"
    )
    yield _creates("C04-home", "put a file into HOME", lambda w: w.home)
    yield _creates("C11-other-build", "put a file into another build", lambda w: w.base / "work/other-build")
    yield _creates("C11-output", "put a file into the frontend's own output directory", lambda w: w.out)
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        yield _creates(f"C11-write{place.replace('/', '-')}", f"put a file into {place}", lambda _, p=place: Path(p))
    files: dict[str, Callable[[World], Path]] = {
        "C02-requirement": lambda w: w.site / "requirement.py",
        "C02-interpreter": lambda w: w.prefix / "lib/marker",
        "C04-profile": lambda w: w.home / ".bashrc",
        "C06-cache": lambda w: w.home / ".cache/pip/wheel",
        "C10-github-env": lambda w: w.home / "github-env",
    }
    for name, path in files.items():
        yield Attack(name, "append to a file that exists", "append", _appends(path), changed(path))
    yield Attack(
        "C02-replace",
        "put another module in the place of a build requirement's",
        "replace",
        lambda w: {"path": str(w.site / "replaced.py"), "text": TEXT},
        changed(lambda w: w.site / "replaced.py"),
    )
    yield Attack(
        "C02-metadata",
        "set times and mode of a file of the build environment",
        "change_metadata",
        lambda w: {"path": str(w.site / "metadata.py")},
        lambda w, _: (w.site / "metadata.py").stat().st_mtime == 1,
    )
    yield Attack(
        "C14-set-user-id",
        "leave a set-user-ID file in the source tree",
        "set_user_id",
        lambda w: {"path": str(w.tree / "set-user-id")},
        lambda w, _: any(path.stat().st_mode & 0o6000 for path in w.tree.glob("set-user-id*")),
    )


def _appends(path: Callable[[World], Path]) -> Arguments:
    return lambda world: {"paths": [str(path(world))], "text": TEXT}


FILE_ATTACKS = (
    *_descriptor_attacks(),  # first, before other attacks leave descriptors of their own open
    *_file_reads(),
    *_environment_reads(),
    *_file_writes(),
)
