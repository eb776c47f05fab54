"""The ways in which a hook gets a user of its own, and which of them is taken."""

from __future__ import annotations

import enum
from collections.abc import Collection

from ..files.ownership import Owners

__all__ = ["Identity", "choose_identity"]


class Identity(enum.Enum):
    """How the hook gets a user of its own."""

    USER = "user"  # an ordinary caller: its own uid, the only one that is mapped
    SINGLE = "single"  # root, files of one owner: a throw-away uid, idmapped mounts
    RANGE = "range"  # root, files of many owners: a throw-away block of ids, idmapped mounts, two capabilities
    MIRROR = "mirror"  # root, no idmapped mounts: a throw-away uid in the caller's own id map, two capabilities
    SHARED = "shared"  # root that may not become anybody else: its own uid, reported as degraded
    SEPARATE = "separate"  # root, no user namespaces: a throw-away uid, one capability, Landlock and seccomp
    CONFINED = "confined"  # no user namespaces: Landlock and seccomp confine the caller's own user

    @property
    def confined(self) -> bool:
        """Whether there are no namespaces, so that Landlock and seccomp have to do."""
        return self in (Identity.SEPARATE, Identity.CONFINED)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities that the hook holds: in its own user namespace, where it has one."""
        return _CAPABILITIES.get(self, ())

    @property
    def words(self) -> str:
        """What it is, in words."""
        return _WORDS[self]


_CAPABILITIES = {
    Identity.RANGE: ("CAP_DAC_OVERRIDE", "CAP_FOWNER"),
    Identity.MIRROR: ("CAP_DAC_OVERRIDE", "CAP_FOWNER"),
    # Not CAP_FOWNER: Landlock does not confine chmod(2), so that would reach every file of the host.
    Identity.SEPARATE: ("CAP_DAC_OVERRIDE",),
}
_WORDS = {
    Identity.USER: "the caller's own user, as the only one that is mapped",
    Identity.SINGLE: "a throw-away uid; idmapped mounts let it use the caller's files",
    Identity.RANGE: "a throw-away block of ids; idmapped mounts let it use files of every owner",
    Identity.MIRROR: "a throw-away uid in a mirror of the caller's id map",
    Identity.SHARED: "the caller's own uid, because the host lets it become nobody else",
    Identity.SEPARATE: "a throw-away uid, confined by Landlock and seccomp, as there are no user namespaces",
    Identity.CONFINED: "the caller's own user, confined by Landlock and seccomp, as there are no user namespaces",
}


def choose_identity(owners: Owners | None, refused: Collection[Identity]) -> tuple[Identity, tuple[int, int]]:
    """Return how the hook gets a user of its own, in the order of least privilege, and the one owner of its files.

    :param owners: of what the hook may write to where the caller is root, else ``None``
    :param refused: what the host is known to refuse, or the launcher does not know
    :return: the identity; and the uid and gid of :attr:`Identity.SINGLE`, for any other zeros
    """
    if owners is None:
        return Identity.CONFINED if Identity.USER in refused else Identity.USER, (0, 0)
    # An idmapped mount of the block shows the first 65536 ids of the disk.
    mapped = Identity.SINGLE if owners.single is not None else Identity.RANGE
    # Files of larger ids are nobody's there: which way is taken must not be up to who made the archive.
    ladder = [mapped, Identity.MIRROR, Identity.SHARED, Identity.SEPARATE]
    identity = next((i for i in ladder if i not in refused), Identity.CONFINED)
    return identity, owners.single if identity is Identity.SINGLE and owners.single else (0, 0)
