"""Debian's packages of every suite, without installing them: an apt of our own, in a directory of ours.

It asks the mirrors that this machine's own apt is set up for, and trusts the keys of debian-archive-keyring.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from support.containers.engines import call

__all__ = ["Archive"]

_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Debian's label of a mirror, and its suites. A suite that a mirror does not have is passed over.
_SUITES = {
    "Debian": (
        *("bullseye", "bookworm", "bookworm-updates", "bookworm-backports"),
        *("trixie", "trixie-backports", "forky", "sid", "experimental"),
    ),
    "Debian-Security": ("bullseye-security", "bookworm-security", "trixie-security"),
}
_PACKAGE = re.compile(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", re.MULTILINE)


class Archive:
    """An apt with its own lists, status and cache.

    :param directory: where everything of it lies
    :param architecture: as Debian names it
    :param only: the only suites that are looked at; empty: all
    """

    def __init__(self, directory: Path, architecture: str, only: Sequence[str] = ()) -> None:
        self.directory = directory
        self.architecture = architecture
        self._options = self._set_up(only)
        self._update()

    def newest(self, pattern: str) -> str:
        """Return the name of the package that matches a regular expression and has the newest version, or ``""``."""
        names = [name for name in self._apt("apt-cache", "pkgnames").split() if re.fullmatch(pattern, name)]
        shown = self._apt("apt-cache", "show", *names) if names else ""
        newest, version = "", "0"
        for name, its_version in _PACKAGE.findall(shown):
            if _later(its_version, version):
                newest, version = name, its_version
        return str(newest)

    def fetch(self, names: Sequence[str], *, keep: str = "") -> list[Path]:
        """Download packages and what they depend on, and return their files.

        :param keep: a regular expression: of what they depend on, only names that match are fetched
        """
        self._apt("apt-get", "clean")
        wanted = self._dependencies(names, keep) if keep else names
        cache = self.directory / "cache" / "archives"
        if keep:
            self._apt("apt-get", "download", *wanted, cwd=cache)
        else:
            self._apt("apt-get", "install", "-y", "-qq", "--no-install-recommends", "--download-only", *wanted)
        return sorted(cache.glob("*.deb"))

    def _dependencies(self, names: Sequence[str], keep: str) -> list[str]:
        """Return packages with what they depend on, as far as the names match."""
        found, new = list(names), list(names)
        while new:
            listed = self._apt("apt-cache", "depends", "--important", *new)
            depends = (line.split(": ")[-1] for line in listed.splitlines() if "Depends: " in line)
            new = [name for name in dict.fromkeys(depends) if re.fullmatch(keep, name) and name not in found]
            found += new
        return found

    def _update(self) -> None:
        """Fetch the lists, once. A mirror need not have every suite.

        :raises RuntimeError: there is no list at all
        """
        lists = self.directory / "state" / "lists"
        if any(lists.glob("*_Packages*")):
            return
        try:
            self._apt("apt-get", "update", "-qq")
        except RuntimeError:
            if not any(lists.glob("*_Packages*")):
                raise

    def _apt(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        return call([program, *self._options, *arguments], cwd=cwd)

    def _set_up(self, only: Sequence[str]) -> list[str]:
        for name in ("state/lists/partial", "cache/archives/partial", "etc"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()
        sources = self.directory / "etc" / "sources.list"
        lines = [
            f"deb [signed-by={_KEYS}] {address} {suite} main\n"
            for label, address in _mirrors()
            for suite in _SUITES.get(label, ())
            if not only or suite in only
        ]
        sources.write_text("".join(lines))
        settings = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State": self.directory / "state",
            "Dir::State::status": self.directory / "status",
            "Dir::Cache": self.directory / "cache",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "root",  # the directory is root's alone
            "Acquire::Languages": "none",
            # A machine made for containers may be set up to keep neither: each question would take half a minute.
            "Acquire::GzipIndexes": "false",
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        }
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _mirrors() -> list[tuple[str, str]]:
    """Return label and address of each mirror that this machine's apt uses, apt-get(8)."""
    listed = call(["apt-get", "indextargets", "--format", "$(LABEL)\t$(REPO_URI)", "Created-By: Packages"])
    pairs = (line.partition("\t") for line in listed.splitlines())
    return list(dict.fromkeys((label, address) for label, _, address in pairs if label in _SUITES))


def _later(version: str, other: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", version, "gt", other]).returncode == 0
