"""The ways in which a hook gets a user of its own, with all that sets them apart, and which of them is taken."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection
from typing import Any

from ..files.ownership import Owners

__all__ = ["Identity", "Nproc", "Traits", "choose_identity"]


class _For(enum.Flag):
    """For whom an identity is."""

    USER = enum.auto()  # an ordinary caller
    ONE_OWNER = enum.auto()  # root, where all files that the hook may write to have one owner
    MANY_OWNERS = enum.auto()  # root, where they have several
    ROOT = ONE_OWNER | MANY_OWNERS
    ANYBODY = USER | ROOT


class Nproc(enum.Enum):
    """Whose processes RLIMIT_NPROC counts, getrlimit(2), and whether that keeps the limit."""

    NAMESPACE = enum.auto()  # those of the sandbox's user namespace
    UID = enum.auto()  # those of the throw-away uid
    CALLER = enum.auto()  # all of the caller's, so they are watched as well
    NOBODY = enum.auto()  # none: it does not bind root, so they are watched instead

    @property
    def exact(self) -> bool:
        """The kernel alone keeps the limit."""
        return self in (Nproc.NAMESPACE, Nproc.UID)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traits:
    """What sets an identity apart. Nobody asks which identity it is: this is what there is to know of each.

    :ivar callers: for whom it is
    :ivar user: who the hook is, in words, for reports
    :ivar words: the same in full, for plans; ``{}`` stands for ``user``
    :ivar kernel_root: why it is degraded where the caller is the kernel's own root, if it is
    :ivar capabilities: what the hook holds, in its own user namespace, where it has one
    :ivar because: why it holds them
    :ivar confined: there are no namespaces, so Landlock and seccomp have to do
    :ivar only_namespaces: it takes nothing but namespaces, so where it is refused those are
    :ivar last: the host has to allow it, since there is nothing else to try
    :ivar throw_away: the hook has a uid that nobody else has
    :ivar idmapped: idmapped mounts show it the files, so filesystems have a say in it
    :ivar other_ids: its user namespace maps ids beyond the caller's, so it is refused where a runner has entered a user
        namespace of its own before, in which these are not mapped
    :ivar unmapped: the host may refuse its user namespace a map; then nothing can be made on a tmpfs there
    :ivar leaves_files: what the hook makes belongs to the throw-away uid, and is given to the caller afterwards
    :ivar reads_all: modes of the system's files do not keep the hook from reading them: it is root, or it holds
        CAP_DAC_OVERRIDE
    :ivar nproc: whose processes RLIMIT_NPROC counts
    """

    callers: _For
    user: str
    words: str = "{}"
    kernel_root: str = ""
    capabilities: tuple[str, ...] = ()
    because: str = ""
    confined: bool = False
    only_namespaces: bool = False
    last: bool = False
    throw_away: bool = False
    idmapped: bool = False
    other_ids: bool = False
    unmapped: bool = False
    leaves_files: bool = False
    reads_all: bool = False
    nproc: Nproc = Nproc.NAMESPACE


_TWO = ("CAP_DAC_OVERRIDE", "CAP_FOWNER")
# Not CAP_FOWNER: Landlock does not confine chmod(2), so that would reach every file of the host.
_ONE = ("CAP_DAC_OVERRIDE",)
_CONFINED = "{}, confined by Landlock and seccomp, as there are no user namespaces"


class Identity(enum.Enum):
    """How the hook gets a user of its own. In the order in which they are tried: of least privilege."""

    USER = "user"  # an ordinary caller: its own uid, the only one that is mapped
    SINGLE = "single"  # root, files of one owner: a throw-away uid, idmapped mounts
    RANGE = "range"  # root, files of many owners: a throw-away block of ids, idmapped mounts, two capabilities
    MIRROR = "mirror"  # root, no idmapped mounts: a throw-away uid in the caller's own id map, two capabilities
    SHARED = "shared"  # root that may not become anybody else: its own uid, reported as degraded
    SEPARATE = "separate"  # root, no user namespaces: a throw-away uid, one capability, Landlock and seccomp
    CONFINED = "confined"  # no user namespaces: Landlock and seccomp confine the caller's own user

    @property
    def traits(self) -> Traits:
        """What sets it apart."""
        return _TRAITS[self]

    @property
    def confined(self) -> bool:
        """Whether there are no namespaces, so that Landlock and seccomp have to do."""
        return self.traits.confined

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities that the hook holds: in its own user namespace, where it has one."""
        return self.traits.capabilities

    @property
    def words(self) -> str:
        """What it is, in words."""
        return self.traits.words.format(self.traits.user)

    def to_wire(self) -> dict[str, Any]:
        """Return what the child has to know, as :mod:`marshal` takes it."""
        traits = self.traits
        return {
            "enter": self.value.encode(),
            "of_root": _For.USER not in traits.callers,
            "capabilities": [name.encode() for name in traits.capabilities],
            "throw_away": traits.throw_away,
            "leaves_files": traits.leaves_files,
            "counts_callers": traits.nproc is Nproc.CALLER,
        }


_TRAITS = {
    Identity.USER: Traits(
        callers=_For.USER,
        user="the caller's own user, as the only one that is mapped",
        kernel_root=(
            "the caller is the kernel's root under another number, and so is the hook, behind a read-only /proc"
        ),
        only_namespaces=True,
    ),
    Identity.SINGLE: Traits(
        callers=_For.ONE_OWNER,
        user="a throw-away uid",
        words="{}; idmapped mounts let it use the caller's files",
        throw_away=True,
        idmapped=True,
        other_ids=True,
    ),
    Identity.RANGE: Traits(
        callers=_For.MANY_OWNERS,
        user="a throw-away block of ids",
        words="{}; idmapped mounts let it use files of every owner",
        capabilities=_TWO,
        because="the source tree has several owners",
        throw_away=True,
        idmapped=True,
        other_ids=True,
    ),
    Identity.MIRROR: Traits(
        callers=_For.ROOT,
        user="a throw-away uid",
        words="{} in a mirror of the caller's id map",
        capabilities=_TWO,
        because="a filesystem takes no idmapped mounts, or the source tree has owners beyond them",
        throw_away=True,
        other_ids=True,
        leaves_files=True,
        reads_all=True,
    ),
    Identity.SHARED: Traits(
        callers=_For.ROOT,
        user="the caller's own user, who is root in its user namespace alone",
        words="the caller's own uid, because the host lets it become nobody else",
        kernel_root=(
            "the host lets root become nobody else, so the hook has the caller's uid, behind a read-only /proc"
        ),
        only_namespaces=True,
        unmapped=True,
        reads_all=True,
        nproc=Nproc.NOBODY,
    ),
    Identity.SEPARATE: Traits(
        callers=_For.ROOT,
        user="a throw-away uid",
        words=_CONFINED,
        capabilities=_ONE,
        confined=True,
        throw_away=True,
        leaves_files=True,
        nproc=Nproc.UID,
    ),
    Identity.CONFINED: Traits(
        callers=_For.ANYBODY,
        user="the caller's own user",
        words=_CONFINED,
        confined=True,
        last=True,
        nproc=Nproc.CALLER,
    ),
}


def choose_identity(owners: Owners | None, refused: Collection[Identity]) -> tuple[Identity, tuple[int, int]]:
    """Return how the hook gets a user of its own, in the order of least privilege, and the one owner of its files.

    :param owners: of what the hook may write to where the caller is root, else ``None``
    :param refused: what the host is known to refuse, or the launcher does not know
    :return: the identity; and the uid and gid of :attr:`Identity.SINGLE`, for any other zeros
    """
    single = None if owners is None else owners.single
    # An idmapped mount of the block shows the first 65536 ids of the disk. Files of larger ids are nobody's there:
    # which way is taken must not be up to who made the archive.
    caller = _For.USER if owners is None else _For.MANY_OWNERS if single is None else _For.ONE_OWNER
    ladder = [identity for identity in Identity if caller in identity.traits.callers]
    identity = next((i for i in ladder if i not in refused), ladder[-1])
    return identity, single if single is not None and identity.traits.callers is _For.ONE_OWNER else (0, 0)
