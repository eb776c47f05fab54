"""The unit of a build: the directory around a source tree, which is all that a command of the build may write to.

fromager keeps more there than the source tree: the build environment, the log, lists of requirements that it reads
again, the control directories of hooks, and ``dist``. A command sees all that was there before it read-only, and a
command that is no hook may write to ``dist``. It can make new entries, but none that fromager would obey:
:class:`Watch` removes those.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import stat
import threading
from collections.abc import Iterable, Iterator

from ...errors import PolicyError, UntrustedResultError
from ...files.paths import is_within
from ...files.spelling import absolute
from ...files.trees import remove_tree
from ...frozen import dataclass
from ...policy import Policy
from ...text import visible
from .interface import StrOrBytesPath

__all__ = ["DIST", "Unit", "Watch"]

#: The directory in a unit into which builds write their artefacts.
DIST = "dist"
_OWN = "sdist_root_dir"
# fromager names its environments so.
_ENVIRONMENT = re.compile(r"build-.*", re.DOTALL)
# fromager reads files of these names again, writes to them, or takes them for an environment.
_RESERVED = re.compile(rf"{_ENVIRONMENT.pattern}|build\.log|.*requirements\.txt|pyvenv\.cfg", re.DOTALL)
# Each entry that was there before costs a mount.
_MOST_KEPT = 256
_MOST_MADE = 4096
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_State = tuple[int, int, int, str]


class _Known:
    """What we know of a unit until it is torn down.

    :ivar made: what commands have made at its top
    :ivar busy: held while a command runs, which could otherwise change what fromager makes for another one meanwhile
    """

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.busy = threading.Lock()


_units: dict[str, _Known] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Unit:
    """One unit.

    :ivar path: the real path of the directory around the source tree
    :ivar tree: the source tree, as fromager spells it
    """

    path: str
    tree: str

    @classmethod
    def of(cls, sdist_root_dir: str | os.PathLike[str]) -> Unit:
        """Return the unit of a source tree.

        :raises PolicyError: the tree is not a directory, or the directory around it holds more than one build
        """
        spelled = absolute(sdist_root_dir)
        path = os.path.realpath(os.path.dirname(spelled))
        try:
            kind = os.lstat(spelled).st_mode
        except OSError as error:
            raise PolicyError(
                f"{_OWN}: cannot be used (expected a directory, got {visible(spelled)!r}: {error.strerror}). Remedy: "
                "unpack the source first"
            ) from error
        if not stat.S_ISDIR(kind):
            raise PolicyError(
                f"{_OWN}: not a directory (expected the source tree itself, got {visible(spelled)!r}). Remedy: name "
                "the directory, and no link to it"
            )
        home = os.path.realpath(os.path.expanduser("~"))
        if is_within(home, path):
            raise PolicyError(
                f"{_OWN}: lies in a directory with more than one build (expected one of its own, got "
                f"{visible(path)!r}, which contains the home directory). Remedy: unpack the source one directory deeper"
            )
        return cls(path, spelled)

    def directory(self, cwd: StrOrBytesPath) -> str:
        """Return the real path of a current directory.

        :raises PolicyError: it is not in the unit
        :raises OSError: it is no directory, with the errors of :func:`subprocess.run`
        """
        spelled = os.fsdecode(cwd)
        real = os.path.realpath(spelled)
        if not is_within(real, self.path):
            raise PolicyError(
                f"cwd: outside of what the build may see (expected a directory in {visible(self.path)!r}, got "
                f"{visible(spelled)!r}). Remedy: use the source tree or a directory beside it"
            )
        if not os.path.isdir(real):
            number = errno.ENOTDIR if os.path.exists(real) else errno.ENOENT
            raise OSError(number, os.strerror(number), cwd)
        return real

    def environments(self) -> tuple[str, ...]:
        """Return the interpreters of the build environments that fromager has made beside the tree.

        Their links decide which other installation a command sees. So a directory that a command has made counts
        never, not even after the tear-down, when nobody remembers who made it: no command keeps one of such a name.
        """
        paths = (f"{self.path}/{name}" for name in self._kept() if _ENVIRONMENT.fullmatch(name))
        return tuple(f"{path}/bin/python" for path in paths if os.path.isfile(f"{path}/pyvenv.cfg"))

    def policy(self, policy: Policy, *, narrow: bool, dist: bool, outputs: tuple[str, ...] = ()) -> Policy:
        """Return the policy for one command.

        :param narrow: nothing can keep a part of a tree read-only, so the command only gets the tree and ``dist``
        :param dist: the command may write to ``dist``
        :param outputs: real paths of directories for which the sandbox has something of its own
        """
        artefacts = f"{self.path}/{DIST}"
        written = (artefacts,) if dist and os.path.isdir(artefacts) and not os.path.islink(artefacts) else ()
        if narrow or policy.source != "read-write":
            return dataclasses.replace(policy, writable=(*policy.writable, *written))
        kept = (path for name in self._kept() if (path := f"{self.path}/{name}") not in (*written, *outputs))
        return dataclasses.replace(
            policy, writable=(*policy.writable, self.path, *written), expose=(*policy.expose, *kept)
        )

    def _kept(self) -> list[str]:
        """Return the names beside the tree that no command of the build has made, without links and special files."""
        known = frozenset(self._known().made)
        with os.scandir(self.path) as entries:
            names = [
                e.name for e in entries if e.name not in known and not e.is_symlink() and (e.is_dir() or e.is_file())
            ]
        names = [name for name in names if name != os.path.basename(self.tree)]
        if len(names) > _MOST_KEPT:
            raise PolicyError(
                f"{_OWN}: lies in a directory with too much else (expected at most {_MOST_KEPT} entries, got "
                f"{len(names)} in {visible(self.path)!r}). Remedy: unpack the source one directory deeper"
            )
        return sorted(names)

    def remember(self, names: Iterable[str]) -> None:
        """Note what a command has made at the top, to which later commands may write, too."""
        self._known().made.update(names)

    def alone(self) -> threading.Lock:
        """Return the lock to hold while a command runs."""
        return self._known().busy

    def _known(self) -> _Known:
        with _lock:
            return _units.setdefault(self.path, _Known())

    def forget(self) -> None:
        """Forget what commands have made here."""
        with _lock:
            _units.pop(self.path, None)


class Watch:
    """Watches the top of a unit, and its ``dist``, while one command runs."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._before = {where: dict(_states(where)) for where in (unit.path, f"{unit.path}/{DIST}")}

    def check(self) -> None:
        """Remove what the command must not have made. Call it when every process of the sandbox is dead.

        :raises UntrustedResultError: there was something
        """
        refused: list[tuple[str, str]] = []
        for where, before in self._before.items():
            now = dict(_states(where))
            new = [name for name in now if name not in before]
            broken = {name: rule for name in new if (rule := self._rule(where, name, now[name]))}
            broken |= dict.fromkeys(new[_MOST_MADE:], "too many entries")
            for name in broken:
                _remove(where, name)
            if where == self._unit.path:
                self._unit.remember(name for name in new if name not in broken)
            links = (name for name, state in before.items() if state[3] and now.get(name) != state)
            broken |= dict.fromkeys(links, "a link that was changed")
            refused += [(rule, f"{where}/{name}") for name, rule in broken.items()]
        if refused:
            rule, path = refused[0]
            raise UntrustedResultError(f"a build must not leave this beside its source tree: {rule}", path)

    def _rule(self, where: str, name: str, state: _State) -> str:
        """Return why a new entry is refused, or an empty text."""
        kind, _, links, _ = state
        if kind == stat.S_IFLNK:
            return "a link, which may lead anywhere"
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            return "neither a regular file nor a directory"
        if kind == stat.S_IFREG and links > 1:
            return "a file with a second name"
        reserved = where == self._unit.path and _RESERVED.fullmatch(name)
        return "a name that fromager itself uses" if reserved else ""


def _states(directory: str) -> Iterator[tuple[str, _State]]:
    """Yield the mode, the inode, the number of links and the target of each entry, or nothing if there is none."""
    try:
        fd = os.open(directory, _DIRECTORY)
    except OSError:
        return
    try:
        for name in os.listdir(fd):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            target = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
            yield name, (stat.S_IFMT(status.st_mode), status.st_ino, status.st_nlink, target)
    finally:
        os.close(fd)


def _remove(directory: str, name: str) -> None:
    fd = os.open(directory, _DIRECTORY)
    try:
        remove_tree(fd, name)
    finally:
        os.close(fd)
