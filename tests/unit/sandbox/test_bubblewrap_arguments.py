"""The arguments of bwrap for a plan, and the checks by which pid 1 verifies the sandbox that bwrap has set up."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from support.fakes import SOURCE, make_plan

from isolated_hooks.plan import Plan
from isolated_hooks.policy import Policy
from isolated_hooks.sandbox import bubblewrap, bubblewrap_inside, seccomp, syscalls
from isolated_hooks.sandbox.operations import (
    OPERATIONS,
    Bind,
    Devpts,
    File,
    Operation,
    Scratch,
    Symlink,
    from_wire,
)


def words_of(
    plan: Plan | None = None,
    operations: Sequence[Operation] | None = None,
    sources: Mapping[bytes, bytes] = MappingProxyType({}),
) -> tuple[list[str], bubblewrap.Files]:
    """Return the arguments as text, and the files that they refer to."""
    wire = (make_plan() if plan is None else plan).to_wire(bytes(32))
    wired = wire["operations"] if operations is None else [operation.to_wire() for operation in operations]
    files = bubblewrap.Files()
    words = bubblewrap.arguments(wire, [from_wire(*operation) for operation in wired], sources, files)
    return [os.fsdecode(word) for word in words], files


def content(number: str) -> bytes:
    """Read everything from a descriptor and close it."""
    with open(int(number), "rb") as file:
        return file.read()


def after(words: Sequence[str], *beginning: str) -> str:
    """Return the word that follows the words in ``beginning``."""
    start = next(n for n in range(len(words)) if words[n : n + len(beginning)] == list(beginning))
    return words[start + len(beginning)]


@pytest.fixture(autouse=True)
def closed() -> Any:
    """Close the descriptors that a test opens."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    for number in set(os.listdir("/proc/self/fd")) - before:
        try:
            os.close(int(number))
        except OSError:
            continue


def test_every_restriction_that_bwrap_offers_is_used() -> None:
    words, _ = words_of()
    for word in (
        "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --unshare-net --disable-userns "
        "--clearenv --new-session --die-with-parent --as-pid-1"
    ).split():
        assert words.count(word) == 1
    assert after(words, "--cap-drop") == "ALL"
    assert (after(words, "--uid"), after(words, "--gid")) == ("1000", "1000")
    assert after(words, "--hostname") == "localhost"
    assert words[-2:] == ["--remount-ro", "/"]
    assert after(words, "--proc", "/proc") == "--remount-ro"
    assert not any("try" in word for word in words if word.startswith("--")), "a step that bwrap may skip"


def test_the_hook_has_the_callers_network_only_if_the_policy_allows_it() -> None:
    assert "--unshare-net" not in words_of(make_plan(policy=Policy(network=True)))[0]


def test_bwrap_installs_our_filter() -> None:
    words, _ = words_of()
    # The user namespace is the caller's here, so its instances of inotify(7) count for the caller.
    assert content(after(words, "--seccomp")) == seccomp.shared_program(syscalls.MACHINE, watches=False)


def test_the_arguments_contain_no_variable() -> None:
    words, _ = words_of(make_plan(environ={"CC": "a-compiler", "PATH": "/usr/bin"}))
    assert not any("a-compiler" in word or word == "--setenv" for word in words)


def test_binds_are_read_only_unless_writable() -> None:
    operations = [
        Bind("/a", "/a"),
        Bind("/b", "/x/b", writable=True),
        Bind("/dev/null", "/dev/null", device=True),
        Bind("/c", "/c"),
    ]
    words, _ = words_of(operations=operations, sources={b"/c": b"/mnt/7"})
    assert " ".join(words).endswith(
        "--ro-bind /a /a --bind /b /x/b --dev-bind /dev/null /dev/null --ro-bind /mnt/7 /c --remount-ro /"
    )


def test_the_source_tree_and_staging_are_the_only_writable_binds() -> None:
    words, _ = words_of()
    writable = {words[n + 2] for n, word in enumerate(words) if word == "--bind"}
    assert SOURCE in writable
    assert not any(path.startswith(("/usr", "/etc", "/bin", "/lib", "/opt")) for path in writable)
    read_only = make_plan(policy=Policy(source="read-only"))
    assert SOURCE not in {words[n + 2] for n, word in enumerate(words_of(read_only)[0]) if word == "--bind"}


def test_bwrap_reads_files_from_memory() -> None:
    words, _ = words_of(operations=[File("/etc/x", "text\n"), Symlink("/l", "to")])
    number = after(words, "--perms", "0644", "--file")
    assert after(words, "--file", number) == "/etc/x"
    assert content(number) == b"text\n"
    assert after(words, "--symlink", "to") == "/l"
    assert b"sandbox:x:1000:1000:" in content(words_of()[0][words_of()[0].index("/etc/passwd") - 1])


def test_a_file_of_any_size_arrives_complete_and_is_close_on_exec() -> None:
    files = bubblewrap.Files()
    number = files.add(b"x" * 3_000_000)
    assert not os.get_inheritable(int(number))
    assert len(content(number.decode())) == 3_000_000


def test_dev_comes_before_its_entries_and_its_links_are_created_once() -> None:
    words, _ = words_of()
    assert words.index("--dev") < min(n for n, word in enumerate(words) if word.startswith("/dev/"))
    assert "/dev/stdin" not in words
    assert words[-4:-2] == ["--remount-ro", "/dev"]
    without, _ = words_of(operations=[Symlink("/dev/fd", "/proc/self/fd")])
    assert "--dev" not in without
    assert "/dev/fd" in without
    assert "--dev" in words_of(operations=[Devpts("/dev/pts")])[0]


@pytest.mark.parametrize("size", [1, 11, 12, 4096, 4 * 2**30, 2**63 - 1])
def test_the_sizes_of_the_writable_directories_add_up_to_the_limit_at_most(size: int) -> None:
    targets = (("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/run", 0o755), ("/dev/shm", 0o1777), ("/sandbox", 0o700))
    words, _ = words_of(operations=[Scratch("/.scratch", targets, size, 7)])
    sizes = [int(words[n + 1]) for n, word in enumerate(words) if word == "--size"]
    assert len(sizes) == len(targets)
    assert all(part > 0 for part in sizes), "tmpfs(5) takes 0 as unlimited"
    assert sum(sizes) <= max(size, len(targets))
    assert after(words, "--size", str(sizes[0]), "--perms") == "1777"
    assert after(words, "--perms", "0700", "--tmpfs") == "/sandbox"


def test_every_operation_has_arguments() -> None:
    assert set(bubblewrap._OPTIONS) == set(OPERATIONS.values())


@pytest.mark.parametrize(
    ("pieces", "pid"),
    [
        ([b'{\n    "child-pid": 4711\n}\n'], 4711),
        ([b'{\n    "child-pid": 47', b"11", b',\n    "net-namespace": 4026532559', b"\n}\n"], 4711),
        ([b'{"x": 1, "child-pid":3}'], 3),
        ([b""], 0),
        ([b"{"], 0),
    ],
)
def test_the_pid_may_arrive_in_pieces(pieces: list[bytes], pid: int) -> None:
    read, write = os.pipe()
    for piece in pieces:
        os.write(write, piece)
    os.close(write)
    assert bubblewrap.pid_of(read) == pid


def shown_of(path: str, *, writable: bool = True) -> dict[bytes, tuple[int, int, bool]]:
    status = os.lstat(path)
    return {os.fsencode(path): (status.st_dev, status.st_ino, writable)}


def test_the_check_fails_outside_a_sandbox() -> None:
    with pytest.raises(OSError):
        bubblewrap_inside._check_status()


def test_mounts_that_differ_from_the_plan_are_refused() -> None:
    """The mounts in this test exist, but their options are made up."""
    options = {b"/": (b"ro",), b"/proc": (b"ro",)}
    bubblewrap_inside._check_mounts(shown_of("/proc"), options)
    for change, shown in (
        ({b"/": (b"rw",)}, {}),
        ({b"/proc": (b"rw",)}, {}),
        ({}, {b"/proc": (0, 1, True)}),  # another file
        ({}, shown_of("/usr")),  # not mounted
        ({b"/usr": (b"rw", b"nosuid")}, shown_of("/usr", writable=False)),
        ({b"/proc/self": (b"ro",)}, shown_of("/proc/self")),  # a link
    ):
        with pytest.raises(OSError):
            bubblewrap_inside._check_mounts(shown, {**options, **change})
