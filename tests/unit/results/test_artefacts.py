"""Artefacts out of a hostile staging directory, and the removal of hostile trees."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.lanes import first_fast

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.files.entries import open_file
from isolated_hooks.files.trees import remove_tree
from isolated_hooks.results import artefacts
from isolated_hooks.results.artefacts import Artefact, export_fallback, export_file, export_metadata, vet_wheel_name

WHEEL = "pkg-1.0-py3-none-any.whl"
DIST_INFO = "pkg-1.0.dist-info"
NOBODY = 65534


@contextlib.contextmanager
def opened(*paths: Path) -> Iterator[list[int]]:
    with contextlib.ExitStack() as stack:
        fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in paths]
        for fd in fds:
            stack.callback(os.close, fd)
        yield fds


class Place:
    """A staging directory and a destination."""

    def __init__(self, root: Path) -> None:
        self.staging = root / "staging"
        self.destination = root / "destination"
        self.staging.mkdir()
        self.destination.mkdir()

    def export(self, name: str = WHEEL, *, limit: int = 1 << 20) -> Artefact:
        with opened(self.staging, self.destination) as (staging, destination):
            return export_file(staging, name, destination, limit=limit)

    def metadata(self, name: str = DIST_INFO, *, limit: int = 1 << 20, **options: int) -> Artefact:
        with opened(self.staging, self.destination) as (staging, destination):
            return export_metadata(staging, name, destination, limit=limit, **options)

    def fallback(self, *, limit: int = 1 << 20) -> tuple[str, ...]:
        with opened(self.staging, self.destination) as (staging, destination):
            return export_fallback(staging, destination, metadata=DIST_INFO, limit=limit)

    def exported(self) -> list[str]:
        return sorted(os.listdir(self.destination))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def in_child(action: Callable[[], None], *, user: int | None = None, file_size: int | None = None) -> None:
    """Run ``action`` in a process of its own, as another user where the tests run as root."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if file_size is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))
            if user is not None and os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            action()
            status = 0
        except BaseException:
            # pytest holds the streams of Python, not the descriptor.
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def ready_for_nobody(path: Path) -> Path:
    """Make ``path`` a directory that another user reaches and owns; only as far as the tests' own directories go."""
    path.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    return path


# Files


def test_an_artefact_is_copied_and_hashed(place: Place) -> None:
    data = os.urandom(3_000_000)
    (place.staging / WHEEL).write_bytes(data)
    assert place.export(limit=3_000_000) == Artefact(WHEEL, 3_000_000, hashlib.sha256(data).hexdigest())
    assert (place.destination / WHEEL).read_bytes() == data
    assert place.exported() == [WHEEL]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_mode_comes_from_the_umask_and_not_from_the_hook(place: Place, mask: int) -> None:
    (place.staging / WHEEL).write_bytes(b"x")
    (place.staging / WHEEL).chmod(0o777)
    before = os.umask(mask)
    try:
        place.export()
    finally:
        os.umask(before)
    assert stat.S_IMODE((place.destination / WHEEL).stat().st_mode) == 0o666 & ~mask


def test_extended_attributes_stay_behind(place: Place) -> None:
    (place.staging / WHEEL).write_bytes(b"x")
    try:
        os.setxattr(place.staging / WHEEL, "user.hostile", b"x")
    except OSError:
        pytest.skip("no extended attributes here")
    place.export()
    assert "user.hostile" not in os.listxattr(place.destination / WHEEL)


def socket_at(path: Path) -> None:
    # A path that fits into sockaddr_un, wherever the tests run.
    before = os.open(".", os.O_PATH)
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.fchdir(before)
        os.close(before)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 10 << 30)


def hard_link(path: Path) -> None:
    other = path.parent.parent / "of the caller"
    other.write_text("secret")
    os.link(other, path)


def special(bit: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(b"x")
        path.chmod(0o755 | bit)
        if not path.stat().st_mode & bit:
            pytest.skip("this bit cannot be set here")

    return make


HOSTILE: dict[str, Callable[[Path], None]] = {
    "missing": lambda _: None,
    "fifo": os.mkfifo,
    "socket": socket_at,
    "directory": Path.mkdir,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to a file": lambda path: path.symlink_to("/etc/hostname"),
    "link to a link": lambda path: path.symlink_to(path.name),
    "hard link": hard_link,
    "sparse": sparse,
    "setuid": special(stat.S_ISUID),
    "setgid": special(stat.S_ISGID),
    "sticky": special(stat.S_ISVTX),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_artefact_is_refused_and_the_earlier_one_stays(place: Place, kind: str) -> None:
    (place.destination / WHEEL).write_text("earlier")
    HOSTILE[kind](place.staging / WHEEL)
    with pytest.raises(UntrustedResultError):
        place.export()
    assert place.exported() == [WHEEL]
    assert (place.destination / WHEEL).read_text() == "earlier"


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x.whl", "/etc/hostname", "a/b", "a\\b", "a\nb", "a\0b", "a\u202eb", "a\ud800"),
        "é" * 128,
        ".isolated-hooks-x",
    ],
)
def test_an_impossible_name_is_refused(place: Place, name: str) -> None:
    (place.staging.parent / "x.whl").write_text("outside")
    with pytest.raises(UntrustedResultError):
        place.export(name)
    assert place.exported() == []


def test_the_size_limit_is_exact(place: Place) -> None:
    (place.staging / WHEEL).write_bytes(b"x" * 100)
    with pytest.raises(UntrustedResultError, match=r"must not be larger than the limit of 99 bytes \(got 100\)"):
        place.export(limit=99)
    assert place.export(limit=100).size == 100


def test_a_sparse_file_within_the_limit_is_copied_block_by_block(place: Place) -> None:
    (place.staging / WHEEL).touch()
    os.truncate(place.staging / WHEEL, 64 << 20)

    def export() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), resource.RLIM_INFINITY))
        assert place.export(limit=64 << 20).size == 64 << 20

    in_child(export)


@pytest.mark.parametrize("change", [1, -1])
def test_a_file_that_changes_its_size_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch, change: int) -> None:
    path = place.staging / WHEEL
    path.write_bytes(b"x" * 100)
    real_read = os.read

    def read(fd: int, count: int) -> bytes:
        os.truncate(path, 100 + change)
        return real_read(fd, count)

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(UntrustedResultError, match="change its size"):
        place.export(limit=1000)
    assert place.exported() == []


def test_a_file_that_grows_without_end_is_not_copied_past_its_size(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.staging / WHEEL).write_bytes(b"x" * 100)
    written: list[int] = []

    def write(_: int, data: bytes) -> int:
        written.append(len(data))
        return len(data)

    monkeypatch.setattr(os, "read", lambda *_: b"x" * 100)
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(UntrustedResultError, match="change its size"):
        place.export(limit=1000)
    assert sum(written) <= 100


def test_short_writes_lose_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(1000)
    (place.staging / WHEEL).write_bytes(data)
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, block: real_write(fd, bytes(block)[:7]))
    place.export()
    assert (place.destination / WHEEL).read_bytes() == data


def test_an_artefact_swapped_for_a_link_after_opening_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_text("vetted")
    with opened(tmp_path) as (fd,), open_file(fd, WHEEL.encode(), limit=100) as file:
        (tmp_path / WHEEL).unlink()
        (tmp_path / WHEEL).symlink_to("/etc/hostname")
        assert file.read(100) == b"vetted"


def test_a_link_in_the_destination_is_replaced_and_not_followed(place: Place) -> None:
    victim = place.destination.parent / "victim"
    victim.write_text("kept")
    (place.destination / WHEEL).symlink_to(victim)
    (place.staging / WHEEL).write_text("new")
    place.export()
    assert victim.read_text() == "kept"
    assert not (place.destination / WHEEL).is_symlink()
    assert (place.destination / WHEEL).read_text() == "new"


def test_a_directory_in_the_destination_is_an_error_of_the_caller(place: Place) -> None:
    (place.destination / WHEEL / "x").mkdir(parents=True)
    (place.staging / WHEEL).write_text("new")
    with pytest.raises(IsADirectoryError):
        place.export()
    assert place.exported() == [WHEEL]


@pytest.mark.parametrize("what", ["file", "metadata"])
def test_a_destination_that_takes_no_more_keeps_the_earlier_artefact(place: Place, what: str) -> None:
    staged = place.staging / DIST_INFO / "METADATA" if what == "metadata" else place.staging / WHEEL
    staged.parent.mkdir(exist_ok=True)
    staged.write_bytes(b"x" * 100_000)
    earlier = place.destination / staged.relative_to(place.staging)
    earlier.parent.mkdir(exist_ok=True)
    earlier.write_text("earlier")

    def export() -> None:
        with pytest.raises(OSError, match="File too large"):
            place.metadata() if what == "metadata" else place.export()

    in_child(export, file_size=50_000)
    assert len(place.exported()) == 1
    assert earlier.read_text() == "earlier"


def test_a_full_destination_keeps_the_earlier_artefact(place: Place) -> None:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() or not mount or not umount:
        pytest.skip("only root mounts a small file system")
    command = [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place.destination)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (place.destination / WHEEL).write_text("earlier")
        (place.staging / WHEEL).write_bytes(b"x" * 200_000)
        with pytest.raises(OSError, match="No space left"):
            place.export()
        assert place.exported() == [WHEEL]
        assert (place.destination / WHEEL).read_text() == "earlier"
    finally:
        subprocess.run([umount, str(place.destination)], check=True)


# Metadata


def dist_info(place: Place) -> Path:
    path = place.staging / DIST_INFO
    (path / "licenses" / "deep").mkdir(parents=True)
    (path / "METADATA").write_text("Name: pkg")
    (path / "licenses" / "deep" / "ÜBER.txt").write_text("free")
    return path


def test_metadata_is_copied(place: Place) -> None:
    dist_info(place)
    artefact = place.metadata()
    copied = place.destination / DIST_INFO
    lines = [
        f"{hashlib.sha256((copied / path).read_bytes()).hexdigest()}  {path}\n"
        for path in ("METADATA", "licenses/deep/ÜBER.txt")
    ]
    assert artefact == Artefact(DIST_INFO, 13, hashlib.sha256("".join(lines).encode()).hexdigest())
    assert (copied / "licenses" / "deep" / "ÜBER.txt").read_text() == "free"
    assert place.exported() == [DIST_INFO]


def test_metadata_takes_no_modes_from_the_hook(place: Place) -> None:
    path = dist_info(place)
    (path / "METADATA").chmod(0o777)
    path.chmod(0o1777)
    before = os.umask(0o022)
    try:
        place.metadata()
    finally:
        os.umask(before)
    assert stat.S_IMODE((place.destination / DIST_INFO).stat().st_mode) & ~stat.S_ISGID == 0o755
    assert stat.S_IMODE((place.destination / DIST_INFO / "METADATA").stat().st_mode) == 0o644


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in ("missing", "directory")])
@pytest.mark.parametrize("where", ["METADATA", "licenses/deep/zz"])
def test_hostile_metadata_is_refused_and_the_earlier_stays(place: Place, where: str, kind: str) -> None:
    path = dist_info(place) / where
    path.unlink(missing_ok=True)
    HOSTILE[kind](path)
    (place.destination / DIST_INFO).mkdir()
    (place.destination / DIST_INFO / "METADATA").write_text("earlier")
    with pytest.raises(UntrustedResultError):
        place.metadata()
    assert place.exported() == [DIST_INFO]
    assert (place.destination / DIST_INFO / "METADATA").read_text() == "earlier"


@pytest.mark.parametrize("target", ["/etc", "elsewhere", "."])
def test_links_to_directories_are_not_followed(place: Place, target: str) -> None:
    (place.staging / "elsewhere").mkdir()
    (place.staging / "elsewhere" / "METADATA").write_text("outside")
    (place.staging / DIST_INFO).symlink_to(target)
    with pytest.raises(UntrustedResultError):
        place.metadata()
    (place.staging / DIST_INFO).unlink()
    (dist_info(place) / "link").symlink_to(target)
    with pytest.raises(UntrustedResultError):
        place.metadata()
    assert place.exported() == []


def test_a_file_is_no_metadata_directory(place: Place) -> None:
    (place.staging / DIST_INFO).write_text("x")
    with pytest.raises(UntrustedResultError):
        place.metadata()
    assert place.exported() == []


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", "a\u202eb".encode(), b"\x1b[2J", b"a\\b", b".isolated-hooks-x"])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_hostile_names_in_metadata_are_refused(place: Place, name: bytes, kind: str) -> None:
    path = os.fsencode(dist_info(place)) + b"/licenses/" + name
    if kind == "directory":
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    with pytest.raises(UntrustedResultError, match="file name"):
        place.metadata()
    assert place.exported() == []


@pytest.mark.parametrize("name", ["", "..", "x/pkg-1.0.dist-info", "METADATA", "pkg-1.0.dist-info/", "pkg.dist-info"])
def test_only_a_dist_info_directory_is_metadata(place: Place, name: str) -> None:
    path = dist_info(place)
    if name in ("METADATA", "pkg.dist-info"):
        path.rename(place.staging / name)
    with pytest.raises(UntrustedResultError):
        place.metadata(name)
    assert place.exported() == []


def test_the_metadata_limits_are_exact(place: Place) -> None:
    dist_info(place)
    # 13 bytes; METADATA, licenses, deep and one file; two levels.
    for limit, max_files, max_depth in ((12, 4, 2), (13, 3, 2), (13, 4, 1)):
        with pytest.raises(UntrustedResultError):
            place.metadata(limit=limit, max_files=max_files, max_depth=max_depth)
        assert place.exported() == []
    assert place.metadata(limit=13, max_files=4, max_depth=2).size == 13


def test_depth_is_not_a_count_of_directories(place: Place) -> None:
    path = dist_info(place)
    for number in range(20):
        (path / str(number)).mkdir()
    assert place.metadata(max_depth=2).size == 13


@pytest.mark.parametrize("kind", ["directory", "read-only", "file", "link"])
def test_metadata_replaces_what_is_there(place: Place, kind: str) -> None:
    dist_info(place)
    earlier = place.destination / DIST_INFO
    outside = place.destination.parent / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    if kind == "file":
        earlier.write_text("earlier")
    elif kind == "link":
        earlier.symlink_to(outside)
    else:
        earlier.mkdir()
        (earlier / "STALE").write_text("earlier")
        if kind == "read-only":
            earlier.chmod(0o500)
    place.metadata()
    assert place.exported() == [DIST_INFO]
    assert sorted(os.listdir(earlier)) == ["METADATA", "licenses"]
    assert not earlier.is_symlink()
    assert os.listdir(outside) == ["kept"]


def test_a_rename_that_fails_puts_the_earlier_metadata_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    dist_info(place)
    (place.destination / DIST_INFO).mkdir()
    (place.destination / DIST_INFO / "METADATA").write_text("earlier")
    real_rename, calls = os.rename, iter(range(99))

    def rename(source: bytes, target: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if next(calls) == 1:
            raise OSError(5, "Input/output error")
        real_rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="Input/output"):
        place.metadata()
    assert place.exported() == [DIST_INFO]
    assert (place.destination / DIST_INFO / "METADATA").read_text() == "earlier"


# The fallback


MARKER = "PYPROJECT_HOOKS_ALREADY_BUILT_WHEEL"
MARKERS = ["PEP517_ALREADY_BUILT_WHEEL", MARKER, "A_ALREADY_BUILT_WHEEL"]


@pytest.mark.parametrize("marker", MARKERS)
def test_the_fallback_s_wheel_and_marker_are_exported(place: Place, marker: str) -> None:
    dist_info(place)
    (place.staging / WHEEL).write_text("wheel")
    (place.staging / marker).touch()
    (place.staging / "payload.sh").write_text("never exported")
    (place.staging / "README").write_text("never exported")
    assert place.fallback() == (WHEEL, marker)
    assert place.exported() == sorted([WHEEL, marker])
    assert (place.destination / WHEEL).read_text() == "wheel"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {WHEEL: "x"},
        {MARKER: ""},
        {WHEEL: "x", "other-1.0-py3-none-any.whl": "x", MARKER: ""},
        {WHEEL: "x", MARKER: "", "A_ALREADY_BUILT_WHEEL": ""},
        {WHEEL: "x", MARKER: "not empty"},
        {WHEEL: "x", MARKER.lower(): ""},
        {WHEEL: "x", f"{MARKER}\n": ""},
        {WHEEL: "x", "A-_ALREADY_BUILT_WHEEL": ""},
        # Of another project or release: it would replace that one's where there is one.
        {"other-1.0-py3-none-any.whl": "x", MARKER: ""},
        {"pkg-2.0-py3-none-any.whl": "x", MARKER: ""},
        {WHEEL: "x", "LICENSE": ""},
        {"x.whl": "x", MARKER: ""},
        {"x y-1.0-py3-none-any.whl": "x", MARKER: ""},
    ],
)
def test_without_exactly_one_of_each_nothing_is_exported(place: Place, files: dict[str, str]) -> None:
    for name, text in files.items():
        (place.staging / name).write_text(text)
    assert place.fallback() == ()
    assert place.exported() == []


@pytest.mark.parametrize("hostile", [WHEEL, MARKER])
@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if not kind.startswith("s")] + ["sparse"])
def test_a_hostile_fallback_exports_nothing_of_it(place: Place, hostile: str, kind: str) -> None:
    (place.staging / (MARKER if hostile == WHEEL else WHEEL)).touch()
    HOSTILE[kind](place.staging / hostile)
    with contextlib.suppress(UntrustedResultError):
        assert place.fallback() == ()
    assert hostile not in place.exported()


def test_a_flood_of_names_is_refused(place: Place) -> None:
    for number in range(10_001):
        os.mknod(place.staging / str(number))
    with pytest.raises(UntrustedResultError, match="10000 entries"):
        place.fallback()


def test_names_that_are_no_text_do_not_matter_to_the_fallback(place: Place) -> None:
    os.mknod(os.fsencode(place.staging) + b"/\xff-1.0-py3-none-any.whl")
    (place.staging / WHEEL).touch()
    (place.staging / MARKER).touch()
    assert place.fallback() == (WHEEL, MARKER)


# Trees


def remove(parent: Path, name: str | bytes = "tree") -> None:
    with opened(parent) as (fd,):
        remove_tree(fd, name)


def nested(path: Path, levels: int, *, name: str = "d", mode: int = 0o700) -> None:
    """Make a chain of directories far longer than any path may be; ``mode`` for all of them."""
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        child = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.fchmod(fd, mode)
        os.close(fd)
        fd = child
    os.close(fd)


def hostile_tree(path: Path, outside: Path) -> None:
    (path / "empty").mkdir(parents=True)
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "b" / "file").write_text("x")
    (path / "a" / "to a directory").symlink_to(outside)
    (path / "a" / "to a file").symlink_to(outside / "kept")
    (path / "a" / "to itself").symlink_to("to itself")
    (path / "a" / "up").symlink_to("..")
    os.mkfifo(path / "a" / "fifo")
    socket_at(path / "a" / "socket")
    sparse(path / "a" / "sparse")
    for name in (b"\xff\xfe", b"new\nline", b"\x1b]0;x\x07", b"-rf", b" ", b"x" * 255):
        os.mkdir(os.fsencode(path) + b"/a/" + name)
        os.mknod(os.fsencode(path) + b"/a/" + name + b"/" + name)
    for label, mode in (("none", 0), ("read-only", 0o555), ("not searchable", 0o600), ("write-only", 0o200)):
        inner = path / "a" / label / "inner"
        inner.mkdir(parents=True)
        (inner / "file").touch()
        inner.chmod(mode)
        inner.parent.chmod(mode)
    path.chmod(0)


@pytest.mark.parametrize("user", [None, NOBODY])
def test_a_hostile_tree_is_removed_and_nothing_else(tmp_path: Path, user: int | None) -> None:
    home, outside = ready_for_nobody(tmp_path / "home"), tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    outside.chmod(0o751)
    with opened(home) as (fd,):

        def action() -> None:
            os.fchdir(fd)
            hostile_tree(Path("tree"), outside)
            remove_tree(fd, "tree")

        in_child(action, user=user)
    assert os.listdir(home) == []
    assert (outside / "kept").read_text() == "kept"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o751


@pytest.mark.slow
@pytest.mark.parametrize("user", first_fast([None, NOBODY]))
@pytest.mark.parametrize("mode", first_fast([0o700, 0]))
def test_five_thousand_levels_need_no_stack_and_few_descriptors(tmp_path: Path, user: int | None, mode: int) -> None:
    home = ready_for_nobody(tmp_path / "home")
    with opened(home) as (fd,):

        def action() -> None:
            os.fchdir(fd)
            nested(Path("tree"), 5000, name="d" * 200, mode=mode)
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            sys.setrecursionlimit(200)
            remove_tree(fd, "tree")

        in_child(action, user=user)
    assert os.listdir(home) == []


def test_many_branches_of_the_same_names_are_removed(tmp_path: Path) -> None:
    for first in range(5):
        for second in range(5):
            for third in range(5):
                (tmp_path / "tree" / str(first) / str(second) / str(third)).mkdir(parents=True)
                (tmp_path / "tree" / str(first) / str(second) / str(third) / "0").touch()
    remove(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_has_the_name_is_removed(tmp_path: Path, kind: str) -> None:
    (tmp_path / "parent").mkdir()
    HOSTILE[kind](tmp_path / "parent" / "tree")
    remove(tmp_path / "parent")
    assert os.listdir(tmp_path / "parent") == []


def test_a_link_to_a_directory_is_removed_and_not_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "outside" / "kept").mkdir(parents=True)
    (tmp_path / "tree").symlink_to("outside")
    remove(tmp_path)
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(tmp_path / "outside") == ["kept"]


def test_a_name_of_any_bytes_is_removed(tmp_path: Path) -> None:
    for name in (b"\xff", "\udcff"):
        (tmp_path / os.fsdecode(b"\xff") / "x").mkdir(parents=True)
        remove(tmp_path, name)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a/..", "a\0"])
def test_only_one_component_can_be_removed(tmp_path: Path, name: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(ValueError, match="component"):
        remove(tmp_path, name)
    assert (tmp_path / "a" / "b").exists()


def test_what_cannot_be_removed_is_told_after_everything_else_was(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root makes what an ordinary user cannot remove")
    home = ready_for_nobody(tmp_path / "home")
    (home / "tree" / "foreign" / "inner").mkdir(parents=True)
    # Many, so that some come after the foreign one in whatever order the file system has.
    own = [home / "tree" / str(number) for number in range(20)]
    for path in own:
        (path / "inner").mkdir(parents=True)
        os.chown(path / "inner", NOBODY, NOBODY)
    for path in (home / "tree", *own):
        os.chown(path, NOBODY, NOBODY)
    with opened(home) as (fd,):

        def action() -> None:
            with pytest.raises(PermissionError):
                remove_tree(fd, "tree")

        in_child(action, user=NOBODY)
    assert os.listdir(home / "tree") == ["foreign"]


def test_a_directory_swapped_for_a_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (tmp_path / "tree").mkdir()
    real_unlink = os.unlink

    def unlink(name: bytes, *, dir_fd: int) -> None:
        if name == b"tree":
            os.rmdir(name, dir_fd=dir_fd)
            os.symlink("outside", name, dir_fd=dir_fd)
            raise IsADirectoryError
        real_unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(NotADirectoryError):
        remove(tmp_path)
    assert os.listdir(tmp_path / "outside") == ["kept"]


def test_a_name_of_too_many_tags_is_refused_before_they_are_combined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: 255 bytes stand for 60,000 combinations, and every reader of the name makes an object of each."""
    monkeypatch.setattr(artefacts, "parse_wheel_filename", lambda _: pytest.fail("it is parsed"))
    with pytest.raises(UntrustedResultError):
        vet_wheel_name(f"a-1-{'.'.join('a' * 38)}-{'.'.join('b' * 38)}-{'.'.join('c' * 38)}.whl")
