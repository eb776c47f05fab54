"""Programs beyond /usr: which directory belongs to a path in /opt that PATH or a variable names.

/opt holds toolchains, and also other builds, homes and services. So a hook sees only the directory of a program that it
is led to, up to the top of that program's own prefix, because a compiler finds its libraries beside itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from ..files.paths import Filesystem, is_within, resolve
from ..files.spelling import normal

__all__ = [
    "CREDENTIAL_NAMES",
    "CREDENTIAL_PATHS",
    "NOT_INSTALLED",
    "OPT",
    "PARTS",
    "SHARED_NAMES",
    "linked_paths",
    "loader_paths",
    "named_paths",
    "toolchain",
]

OPT = "/opt"
# Vendors that install several parts side by side, which refer to each other: the number of names beneath /opt that one
# installation of theirs has. FHS 3.0, 3.13, gives each vendor such a directory.
_VENDORS = {"rh": 2, "intel": 2, "nvidia": 2, "amd": 2, "AMD": 2, "arm": 2, "ibm": 2, "cray": 2, "xilinx": 2}
_ALONE = re.compile(r"/opt/(?:rocm|cuda|amdgpu)[\w.-]*")
#: The names that a prefix has.
PARTS = frozenset("bin lib lib64 lib32 include libexec share".split())
#: A directory with one of these is a project, a service or a home, and no toolchain, even if it has a bin directory.
NOT_INSTALLED = frozenset(
    """.git .hg .svn .ssh .env .netrc .config .cache .local .bashrc .bash_history .profile .credentials .runner .gnupg
    .aws .docker .kube .npmrc .pypirc .pip pyproject.toml setup.py setup.cfg package.json Cargo.toml _work""".split()
)
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
_IN_VALUE = re.compile(r"/opt/[^\s:;,\"'=()<>|&]+")
_LINK_DIRECTORIES = ("/usr/local/bin", "/etc/alternatives")
_MOST_PATHS = 256

#: The names of files and directories in a prefix, or in its ``etc``, that hold credentials of the tools which read
#: them: pip, uv, conda, npm, yarn, git, cargo, docker, twine and others.
CREDENTIAL_NAMES = frozenset(
    """pip.conf pip pip.ini uv uv.toml pypirc .pypirc .pip .condarc condarc condarc.d .mambarc mambarc conda .conda
    npmrc .npmrc yarnrc .yarnrc .yarnrc.yml gitconfig .gitconfig .git-credentials git-credentials .netrc netrc _netrc
    .env .aws .azure .config .docker docker containers auth.json credentials credentials.toml .credentials .cargo
    .ssh .gnupg .kube .token .hgrc .wgetrc wgetrc .curlrc .terraformrc .gem .m2 .gradle .vault-token krb5.keytab
    .runner .credentials_rsaparams""".split()
)

#: Those among them that are also names of installed programs, so that they count only in an ``etc``.
SHARED_NAMES = frozenset("pip uv conda docker containers credentials wgetrc".split())
#: Further paths in a prefix that hold credentials: npm's configuration of all its users.
CREDENTIAL_PATHS = ("lib/node_modules/npm/npmrc",)


def toolchain(filesystem: Filesystem, path: str) -> str | None:
    """Return the directory to show for a real path beneath /opt, or ``None`` if there is none that is not too wide."""
    if not is_within(path, OPT) or path == OPT:
        return None
    here = path if filesystem.kind(path) == "directory" else os.path.dirname(path)
    levels = _levels(here)
    if not levels:
        return path  # a file directly in /opt
    if _ALONE.fullmatch(levels[0]):
        return levels[0]
    count = _VENDORS.get(os.path.basename(levels[0]), 0)
    if 0 < count <= len(levels):
        return levels[count - 1]
    names = {level: frozenset(filesystem.names(level)) for level in levels}
    if any(name in names[level] for level in levels for name in _ENVIRONMENTS):
        return here  # an environment shows its own entries, see interpreter.py
    tops = [level for level in levels if names[level] & PARTS and not names[level] & NOT_INSTALLED]
    return tops[0] if tops else path


def _levels(directory: str) -> list[str]:
    """Return the directories from /opt, without /opt, down to a directory, the upper ones first."""
    levels: list[str] = []
    while is_within(directory, OPT) and directory != OPT:
        levels.insert(0, directory)
        directory = os.path.dirname(directory)
    return levels


def named_paths(value: str) -> Iterator[str]:
    """Yield the paths beneath /opt that the value of a variable contains, as in ``-I/opt/x/include``."""
    for number, match in enumerate(_IN_VALUE.finditer(value)):
        if number >= _MOST_PATHS:
            return
        yield normal(match[0])


def linked_paths(filesystem: Filesystem) -> Iterator[tuple[str, str]]:
    """Yield the links to programs beneath /opt that the system has, with their targets, as manylinux's cmake."""
    for directory in _LINK_DIRECTORIES:
        for name, target in filesystem.links(directory):
            if target.startswith((f"{OPT}/", "/etc/alternatives/", "..", "/usr/local/")):
                real, _ = resolve(filesystem, f"{directory}/{name}")
                if real is not None and is_within(real, OPT):
                    yield f"{directory}/{name}", real


def loader_paths(filesystem: Filesystem) -> Iterator[str]:
    """Yield the directories beneath /opt from which every program of the system loads libraries, ldconfig(8)."""
    directory = "/etc/ld.so.conf.d"
    for name in filesystem.names(directory):
        if name.endswith(".conf"):
            yield from _lines(filesystem.text(f"{directory}/{name}").splitlines())


def _lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        path = line.split("#")[0].strip()
        if path.startswith(f"{OPT}/"):
            yield normal(path)
