"""The identities: how a hook can get a user of its own, the traits of each way, and the choice between them."""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Any

from ..files.ownership import Owners
from ..frozen import dataclass

__all__ = ["Identity", "Nproc", "Traits", "choose_identity"]


class _For(enum.Flag):
    """The callers that an identity suits."""

    USER = enum.auto()  # an ordinary user
    ONE_OWNER = enum.auto()  # root, if all files that the hook may write to have the same owner
    MANY_OWNERS = enum.auto()  # root, if they have several owners
    ROOT = ONE_OWNER | MANY_OWNERS
    ANYBODY = USER | ROOT


class Nproc(enum.Enum):
    """The processes that RLIMIT_NPROC counts, getrlimit(2), which decide whether the kernel enforces the limit."""

    NAMESPACE = enum.auto()  # those of the sandbox's user namespace
    UID = enum.auto()  # those of the throw-away uid
    CALLER = enum.auto()  # all processes of the caller, so the watching process counts the hook's as well
    NOBODY = enum.auto()  # none: it does not bind root, so only the watching process counts them

    @property
    def exact(self) -> bool:
        """Whether the kernel alone enforces the limit."""
        return self in (Nproc.NAMESPACE, Nproc.UID)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """The properties of an identity. Code asks for these traits and never compares identities.

    :ivar callers: the callers that it suits
    :ivar user: the hook's user in words, for reports
    :ivar words: the same in full, for plans; ``{}`` stands for ``user``
    :ivar kernel_root: why the identity is degraded if the caller is the kernel's own root; empty if it is not
    :ivar capabilities: the hook's capabilities, in its own user namespace if it has one
    :ivar because: why the hook has them
    :ivar confined: it uses Landlock and seccomp instead of namespaces
    :ivar only_namespaces: it needs nothing except namespaces, so a host that refuses it refuses namespaces
    :ivar last: nothing is left to try if the host refuses it
    :ivar throw_away: the hook has a uid that nobody else has
    :ivar idmapped: it shows files with idmapped mounts, which some filesystems do not support
    :ivar other_ids: its user namespace maps ids other than the caller's; the host refuses that if a runner has entered
        a user namespace before that does not map them
    :ivar unmapped: the host may refuse a map for its user namespace; then nothing can be created on a tmpfs there
    :ivar leaves_files: the hook's new files belong to the throw-away uid, and the caller gets them afterwards
    :ivar reads_all: the hook can read the system's files whatever their modes, because it is root or has
        CAP_DAC_OVERRIDE
    :ivar nproc: the processes that RLIMIT_NPROC counts
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
# Without CAP_FOWNER: Landlock does not confine chmod(2), so the hook could change the mode of every file of the host.
_ONE = ("CAP_DAC_OVERRIDE",)
_CONFINED = "{}, confined by Landlock and seccomp, because there are no user namespaces"


class Identity(enum.Enum):
    """How the hook gets a user of its own. We try them in this order, the least privilege first."""

    USER = "user"  # an ordinary caller: its own uid, the only mapped one
    SINGLE = "single"  # root, files of one owner: a throw-away uid, idmapped mounts
    RANGE = "range"  # root, files of many owners: a throw-away block of ids, idmapped mounts, two capabilities
    MIRROR = "mirror"  # root, no idmapped mounts: a throw-away uid in the caller's own id map, two capabilities
    SHARED = "shared"  # root that may not become another user: its own uid, reported as degraded
    SEPARATE = "separate"  # root, no user namespaces: a throw-away uid, one capability, Landlock and seccomp
    CONFINED = "confined"  # no user namespaces: Landlock and seccomp confine the caller's own user

    @property
    def traits(self) -> Traits:
        """Its properties."""
        return _TRAITS[self]

    @property
    def confined(self) -> bool:
        """Whether it uses Landlock and seccomp instead of namespaces."""
        return self.traits.confined

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The hook's capabilities, in its own user namespace if it has one, with names such as ``CAP_FOWNER``."""
        return self.traits.capabilities

    @property
    def words(self) -> str:
        """A description in words."""
        return self.traits.words.format(self.traits.user)

    def to_wire(self) -> dict[str, Any]:
        """Return the traits that the child needs, in types that :mod:`marshal` supports."""
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
        user="the caller's own user, the only mapped one",
        kernel_root=("the caller is the kernel's root under another uid, and so is the hook, behind a read-only /proc"),
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
        words="{}; idmapped mounts let it use the files of every owner",
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
        because="a filesystem does not support idmapped mounts, or they cannot show an owner of the source tree",
        throw_away=True,
        other_ids=True,
        leaves_files=True,
        reads_all=True,
    ),
    Identity.SHARED: Traits(
        callers=_For.ROOT,
        user="the caller's own user, who is root only in its user namespace",
        words="the caller's own uid, because the host does not let it become another user",
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
    """Return the identity of least privilege that the host and the launcher may support.

    :param owners: the owners of the files that the hook may write to if the caller is root, otherwise ``None``
    :param refused: the identities that the host refuses, as far as we know, and those that the launcher lacks
    :return: the identity, and the uid and gid that own the files; two zeros if the identity does not need the owner
    """
    single = None if owners is None else owners.single
    # An idmapped mount of the block shows the first 65536 ids of the disk. Files with larger ids belong to nobody
    # there. We accept that, because the author of an archive must not choose the identity.
    caller = _For.USER if owners is None else _For.MANY_OWNERS if single is None else _For.ONE_OWNER
    ladder = [identity for identity in Identity if caller in identity.traits.callers]
    identity = next((i for i in ladder if i not in refused), ladder[-1])
    return identity, single if single is not None and identity.traits.callers is _For.ONE_OWNER else (0, 0)
