"""What takes the place of a source tree whose changes are discarded: an overlay over the tree, or a copy of it.

One such view serves all hooks of a caller. It lies in a private directory, which the caller removes when nobody uses it
any more, and which a later call removes if this process is killed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import weakref
from collections.abc import Iterable, Iterator

from ..errors import SandboxSetupError, SandboxUnavailableError
from ..files.copying import CopyLimitError, copy_tree
from ..files.trees import remove_tree
from ..plan import Discarded
from ..sandbox import mounts
from ..text import visible
from .workspace import PrivateDirectory, opened

__all__ = ["DiscardedTree", "DiscardedTrees"]

_MOST_BYTES = 4 << 30
_MOST_ENTRIES = 200_000


class DiscardedTree(PrivateDirectory):
    """The view of one source tree.

    :param source: the real path of the tree
    :param avoid: the trees that hooks write to
    :param overlay: the launcher can set up overlays
    :ivar now: what takes the place of the tree now: an overlay, as long as nothing has shown that the host has none
    :ivar used: a hook has run with it, so it cannot become another one
    """

    def __init__(self, source: str, avoid: Iterable[str], *, overlay: bool) -> None:
        self.source = source
        self.used = False
        self._lock = threading.Lock()
        super().__init__((source, *avoid))
        self.now = Discarded(self.path, overlay=True)
        if not overlay or _has_mounts(source):
            try:
                self.copy()
            except BaseException:
                self.close()
                raise

    def _fill(self, path: str) -> None:
        # The top directory of an overlay has the mode of this one.
        mode = stat.S_IMODE(os.stat(self.source).st_mode) & 0o777
        for name in ("upper", "work"):
            os.mkdir(f"{path}/{name}", 0o700)
        if os.stat(f"{path}/upper").st_gid != os.getegid():  # in a directory with the set-group-ID bit
            os.chown(f"{path}/upper", -1, os.getegid())
        os.chmod(f"{path}/upper", mode)

    def copy(self) -> None:
        """Go on with a copy, because this host has no overlay for us.

        :raises SandboxUnavailableError: the tree is too large for that
        :raises SandboxSetupError: the copy could not be written, or hooks have run with the overlay
        """
        if not self.now.overlay:
            return
        if self.used:
            reason = "an earlier hook had an overlay of the source tree, which this host refuses now"
            raise SandboxSetupError("discarding changes", path=self.source, reason=reason)
        path = f"{self.path}/copy"
        try:
            os.mkdir(path, 0o700)
            with opened(self.source) as source, opened(path) as target:
                copy_tree(source, target, size=_MOST_BYTES, entries=_MOST_ENTRIES)
        except CopyLimitError as error:
            raise SandboxUnavailableError(
                [
                    "source = 'discard': this host has no overlay for us, and the source tree "
                    f"{visible(self.source)!r} is too large for a copy: {error} (expected at most {_MOST_BYTES >> 30} "
                    f"GiB and {_MOST_ENTRIES} entries)"
                ],
                "set TMPDIR to a directory on a file system that can hold the changes of an overlay, such as ext4, or "
                "use source = 'read-write' on a copy of your own",
            ) from error
        except OSError as error:
            raise SandboxSetupError("copying the source tree", path=path, errno=error.errno or 0) from error
        self.now = Discarded(path, overlay=False)

    def renew(self) -> None:
        """Prepare the next overlay: a volatile one accepts no work directory of an earlier one, overlayfs(5).

        :raises SandboxSetupError: that failed
        """
        if not self.now.overlay:
            return
        try:
            with opened(self.path) as directory:
                remove_tree(directory, "work")
                os.mkdir("work", 0o700, dir_fd=directory)
        except OSError as error:
            raise SandboxSetupError("discarding changes", path=self.path, errno=error.errno or 0) from error

    @contextlib.contextmanager
    def in_use(self) -> Iterator[DiscardedTree]:
        """Let one hook at a time use it: the kernel does not define two overlays over one directory of changes."""
        with self._lock:
            yield self


class DiscardedTrees:
    """The views of a caller, by source tree. They are removed with this object, at the latest when Python ends."""

    def __init__(self) -> None:
        self._trees: dict[str, DiscardedTree] = {}
        self._lock = threading.Lock()

    def of(self, source: str, avoid: Iterable[str], *, overlay: bool) -> DiscardedTree:
        """Return the view of a source tree, which is made when it is first asked for.

        :raises SandboxUnavailableError: this host has no means for it
        :raises SandboxSetupError: it could not be made
        """
        real = os.path.realpath(source)
        with self._lock:
            if not self._trees:
                weakref.finalize(self, _close_all, self._trees, os.getpid())
            if real not in self._trees:
                self._trees[real] = DiscardedTree(real, avoid, overlay=overlay)
            return self._trees[real]

    def close(self) -> None:
        """Remove all of them."""
        _close_all(self._trees, os.getpid())


def _close_all(trees: dict[str, DiscardedTree], process: int) -> None:
    if os.getpid() != process:
        return  # a child that has inherited this object
    while trees:
        _, tree = trees.popitem()
        with contextlib.suppress(OSError):
            tree.close()


def _has_mounts(source: str) -> bool:
    """Return whether something is mounted beneath a tree: an overlay would not show it."""
    points = (os.fsdecode(mount.mount_point) for mount in mounts.mounted_beneath((os.fsencode(source),)))
    return any(point != source for point in points)
