"""Attacks that read or change files and the environment: families A, B, C and H."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ...protections import Protection
from ..attack import Arguments, Attack, Verdict, changed, done, leaks, names_others, no_arguments
from ..promises import Promise
from ..world.world import HOME_FILES, TEXT, VARIABLES, World

__all__ = ["FILE_ATTACKS"]


def _descriptor_attacks() -> Iterable[Attack]:
    def arguments(world: World) -> dict[str, Any]:
        return {**world.inherited, "name": ".netrc", "text": TEXT, "token": world.canaries["inherited-token"]}

    verdicts: tuple[tuple[str, str, Any], ...] = (
        ("H01-directory", "read by an inherited directory", leaks("A01/.netrc")),
        ("H02-reopen", "reopen an inherited file for writing", changed(lambda w: w.home / "opened")),
        ("E14-socket", "send something by an inherited socket", lambda w, _: w.inherited_was_used()),
    )
    for name, tries, verdict in verdicts:
        yield Attack(name, tries, "inherited", arguments, verdict, harmless=True)
    yield Attack(
        "H01-count", "find other descriptors than 0, 1, 2", "descriptors", no_arguments, names_others, harmless=True
    )
    tries = "read the frontend's standard input"
    yield Attack("H10-stdin", tries, "standard_input", no_arguments, leaks("typed"), harmless=True)


def _reads(
    name: str, tries: str, path: Callable[[World], Path | None], canary: str, unless: str = "", **more: Any
) -> Attack:
    def arguments(world: World) -> dict[str, Any]:
        target = path(world)
        return {"paths": [] if target is None else [str(target)]}

    return Attack(name, tries, "read", arguments, leaks(canary), unless, **more)


def _creates(name: str, tries: str, directory: Callable[[World], Path], unless: str = "", **more: Any) -> Attack:
    def target(world: World) -> Path:
        return directory(world) / f"isolated-hooks-written-{world.random}"

    def arguments(world: World) -> dict[str, Any]:
        return {"paths": [world.path_to_create(directory(world))], "text": TEXT}

    return Attack(name, tries, "create", arguments, changed(target), unless, **more)


def _home_reads() -> Iterable[Attack]:
    for kind, names in HOME_FILES.items():

        def arguments(world: World, names: tuple[str, ...] = names) -> dict[str, Any]:
            return {"paths": [p for n in names for p in (str(world.home / n), f"~/{n}")]}

        canaries = leaks(*(f"{kind}/{n}" for n in names))
        # The protection of A10, the keyring, covers the session keyring only. A10-home reads an ordinary file.
        more: dict[str, Any] = {"harmless": True, "stopped": (Protection.FILESYSTEM,), "tests": Promise.SEES}
        yield Attack(f"{kind}-home", f"read {', '.join(names)}", "read", arguments, canaries, **more)


def _file_reads() -> Iterable[Attack]:
    yield from _home_reads()
    in_home = "an account may have no home that can be written to"
    yield _reads("A01-real-home", "read in the account's own home", _planted("real-home"), "real-home", in_home,
                 harmless=True)  # fmt: skip
    yield _reads("A09-run", "read in /run, where secrets are mounted", _planted("run"), "run", root=True, harmless=True)
    yield _reads("A15-etc", "read a file of /etc", _planted("etc"), "etc", root=True)
    yield _reads("A15-srv", "read a file of /srv", _planted("srv"), "srv", root=True)
    places: dict[str, tuple[str, str, str]] = {
        "A02-environment": ("read pip.conf of the frontend's virtual environment", "venv/pip.conf", "pip.conf"),
        "A09-credentials": ("read a service's credentials", "credentials/token", "credentials"),
        "A13-parent": ("read .env above the source tree", "work/.env", "parent"),
        "A14-other-build": ("read another build's directory", "work/other-build/secret", "other-build"),
        "A20-event": ("read what a CI service says of the event", "ci/event.json", "event"),
    }
    for name, (tries, path, canary) in places.items():
        yield _reads(name, tries, _beside(path), canary, harmless=True, stopped=(Protection.FILESYSTEM,))
    tries = "read the control directory of another hook"
    yield _reads("B07-control", tries, lambda w: w.tmp / "tmpcontrol/input.json", "control", harmless=True)
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        name = f"C11-read{place.replace('/', '-')}"
        yield _reads(
            name, f"read in {place}", _planted(place), place, _MAY_BE_CLOSED, harmless=True, tests=Promise.SEES
        )
    shadow = {"paths": ["/etc/shadow"]}
    yield Attack("A15-shadow", "read /etc/shadow", "open_for_reading", lambda _: shadow, done, root=True)
    beside = leaks("sibling")
    yield Attack("A14-list", "list what is beside the source tree", "list_names", _siblings, beside, harmless=True)
    yield Attack(
        "G13-relative",
        "read by way of the inherited working directory",
        "read",
        lambda _: {"paths": ["../other-build/secret", "../.env"]},
        leaks("other-build", "parent"),
        harmless=True,
    )
    yield Attack(
        "K11-exists",
        "find out whether a file of the caller's exists",
        "look_at",
        lambda w: {"paths": [str(w.home / ".netrc")]},
        done,
        harmless=True,
        tests=Promise.SEES,
    )


_MAY_BE_CLOSED = "a host may close it to this user"


def _planted(place: str) -> Callable[[World], Path | None]:
    return lambda world: world.elsewhere.get(place)


def _beside(path: str) -> Callable[[World], Path]:
    return lambda world: world.base / path


def _in(place: str) -> Callable[[World], Path]:
    return lambda _world: Path(place)


def _siblings(world: World) -> dict[str, Any]:
    return {"paths": ["..", str(world.tree.parent)]}


def _file_of_the_victim(name: str) -> Arguments:
    return lambda world: {"pid": world.victim.pid, "names": [name]}


def _environment_reads() -> Iterable[Attack]:
    names = (*VARIABLES, "PIP_INDEX_URL")
    yield Attack(
        "A12-environment", "read variables", "environment", lambda _: {"names": names}, leaks(*names), harmless=True
    )
    loading = ("BASH_ENV", "GCONV_PATH", "GIT_SSH_COMMAND", "PERL5LIB", "PYTHONSTARTUP")
    tries = "get variables that make programs load something"
    yield Attack("B05-loading", tries, "environment", lambda _: {"names": loading}, leaks(*loading), harmless=True)
    yield Attack(
        "B06-search-path",
        "get a search path with entries that a hook can write to",
        "search_path",
        no_arguments,
        lambda w, e: any(not p.startswith("/") or p.startswith(str(w.tree)) for p in e["entries"]),
        harmless=True,
    )
    yield Attack(
        "A11-parent-environment",
        "read the environment of the parent process",
        "process_files",
        lambda _: {"pid": 0, "names": ["environ"]},
        leaks(*names),
        harmless=True,
    )
    victim = {"environ": "victim-environ", "cmdline": "argument", "cwd/secret": "other-build"}
    for file, canary in victim.items():
        yield Attack(
            f"A11-{file.replace('/', '-')}",
            f"read /proc/PID/{file} of another process",
            "process_files",
            _file_of_the_victim(file),
            leaks(canary),
            harmless=True,
        )
    yield Attack(
        "G12-proc-root",
        "read through /proc/PID/root of another process",
        "process_files",
        lambda world: {"pid": world.victim.pid, "names": [f"root{world.home}/.netrc"]},
        leaks("A01/.netrc"),
        harmless=True,
    )


def _file_creations() -> Iterable[Attack]:
    own: dict[str, tuple[str, Callable[[World], Path]]] = {
        "C01-site-packages": ("put a module into the build environment", lambda w: w.site),
        "C03-interpreter": ("put a file into the interpreter's prefix", lambda w: w.prefix / "lib"),
        "C04-home": ("put a file into HOME", lambda w: w.home),
        "C04-units": ("leave a unit for the user's service manager", lambda w: w.home / ".config/systemd/user"),
        "C07-git-hooks": ("leave a hook for the next git command", lambda w: w.tree / ".git/hooks"),
        "C11-other-build": ("put a file into another build", lambda w: w.base / "work/other-build"),
        "C11-output": ("put a file into the frontend's own output directory", lambda w: w.out),
    }
    for name, (tries, directory) in own.items():
        yield _creates(name, tries, directory, harmless=True, stopped=(Protection.FILESYSTEM,))
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        name = f"C11-write{place.replace('/', '-')}"
        yield _creates(name, f"put a file into {place}", _in(place), _MAY_BE_CLOSED, harmless=True)
    for name, place in {"C03-usr": "/usr/lib", "C03-etc": "/etc", "C05-spool": "/var/spool"}.items():
        yield _creates(name, f"put a file into {place}", _in(place), root=True)
    tries = "put a file into the account's home"
    yield _creates("C04-real-home", tries, lambda w: w.real_home, "an account may have no home")


def _file_changes() -> Iterable[Attack]:
    files: dict[str, tuple[str, Callable[[World], Path]]] = {
        "C02-requirement": ("append to a module of the build environment", lambda w: w.site / "requirement.py"),
        "C02-interpreter": ("append to a file of the interpreter's", lambda w: w.prefix / "lib/marker"),
        "C04-profile": ("append to the shell's profile", lambda w: w.home / ".bashrc"),
        "C06-cache": ("append to a wheel in the installer's cache", lambda w: w.home / ".cache/pip/wheel"),
        "C07-git-config": ("append to the configuration of git in the tree", lambda w: w.tree / ".git/config"),
        "C10-github-env": ("append to the CI service's variables", lambda w: w.home / "github-env"),
        "H04-program": ("append to a program of the interpreter's", lambda w: w.prefix / "bin/tool"),
    }
    for name, (tries, path) in files.items():
        yield Attack(name, tries, "append", _appends(path), changed(path), harmless=True)
    yield Attack(
        "C02-replace",
        "put another module in the place of a build requirement's",
        "replace",
        lambda w: {"path": str(w.site / "replaced.py"), "text": TEXT},
        changed(lambda w: w.site / "replaced.py"),
        harmless=True,
    )
    metadata: dict[str, tuple[str, Callable[[World], Path]]] = {
        "C02-metadata": ("set times and mode of a file of the build environment", lambda w: w.site / "metadata.py"),
        "K11-metadata": ("set times and mode of a file of the caller's", lambda w: w.home / "metadata"),
    }
    for name, (tries, path) in metadata.items():
        yield Attack(
            name,
            tries,
            "change_metadata",
            _at(path),
            _has_another_time(path),
            harmless=True,
        )
    yield Attack(
        "C14-set-user-id",
        "leave a set-user-ID file in the source tree",
        "set_user_id",
        lambda w: {"path": str(w.tree / "set-user-id")},
        lambda w, _: any(path.stat().st_mode & 0o6000 for path in w.tree.glob("set-user-id*")),
        harmless=True,
    )
    yield Attack(
        "C14-immutable",
        "make a file of the source tree one that nobody can remove",
        "make_immutable",
        lambda w: {"path": str(w.tree / "immutable")},
        done,
        "a filesystem may have no such attribute",
        root=True,
    )


def _at(path: Callable[[World], Path]) -> Arguments:
    return lambda world: {"path": str(path(world))}


def _has_another_time(path: Callable[[World], Path]) -> Verdict:
    return lambda world, _evidence: path(world).stat().st_mtime == 1


def _appends(path: Callable[[World], Path]) -> Arguments:
    return lambda world: {"paths": [str(path(world))], "text": TEXT}


FILE_ATTACKS = tuple(
    itertools.chain(
        _descriptor_attacks(),  # first, because other attacks leave descriptors open
        _file_reads(),
        _environment_reads(),
        _file_creations(),
        _file_changes(),
    )
)
