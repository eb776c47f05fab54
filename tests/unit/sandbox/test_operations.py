from __future__ import annotations

import marshal
from typing import Any

import pytest

from isolated_hooks.sandbox import syscalls
from isolated_hooks.sandbox.operations import (
    OPERATIONS,
    Accounts,
    Bind,
    Cover,
    Devpts,
    File,
    Hold,
    Kept,
    Limits,
    Masked,
    Operation,
    Overlay,
    Proc,
    Scratch,
    Symlink,
    from_wire,
)

ODD = "/a b/ä\n:\udcff"

EXAMPLES: dict[str, Operation] = {
    "Bind": Bind("/s" + ODD, "/t" + ODD, writable=True, owned="tree", device=True),
    "Overlay": Overlay("/s" + ODD, "/t" + ODD, above="/ws/view" + ODD, owned="tree"),
    "Kept": Kept("/t" + ODD, "/t" + ODD, writable=True),
    "Cover": Cover("/ws/empty", "/t" + ODD),
    "File": File("/etc/hosts", "127.0.0.1 localhost\n"),
    "Masked": Masked("/t/.git/config" + ODD, "[core]\n"),
    "Hold": Hold("/t/.git" + ODD),
    "Limits": Limits("/sys/fs/cgroup", "/sys/fs/cgroup/a" + ODD, (("memory.max", "1\n"),)),
    "Accounts": Accounts("/etc", "sandbox", "/home/sandbox"),
    "Symlink": Symlink("/bin" + ODD, "usr/bin"),
    "Scratch": Scratch("/.scratch", (("/tmp", 0o1777), (ODD, 0o700)), 3 * 2**20, 1000),
    "Proc": Proc("/proc"),
    "Devpts": Devpts("/dev/pts"),
}


def test_there_is_an_example_of_every_operation() -> None:
    assert set(EXAMPLES) == set(OPERATIONS)
    assert set(OPERATIONS.values()) == {*Operation.__subclasses__(), *Bind.__subclasses__()}
    assert all(OPERATIONS[name] is type(example) for name, example in EXAMPLES.items())


def as_text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return tuple(map(as_text, value)) if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_arrives_in_the_child_unchanged_with_bytes_for_text(name: str) -> None:
    sent = EXAMPLES[name]
    kind, values = marshal.loads(marshal.dumps(sent.to_wire()))
    received = from_wire(kind, values)
    assert type(received) is type(sent)
    assert {key: as_text(value) for key, value in received.values().items()} == sent.values()
    assert not any(isinstance(value, str) for value in received.values().values())
    assert received.describe() == sent.describe()
    assert received.to_wire() == (kind, values)
    if isinstance(received, Scratch):
        assert all(isinstance(path, bytes) for path, _ in received.targets)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_cannot_be_changed(name: str) -> None:
    operation = EXAMPLES[name]
    before = operation.values()
    for field in (*operation.fields, "more"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(operation, field, "/other")
    assert operation.values() == before


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_argument_of_an_operation_can_be_deleted(name: str) -> None:
    operation = type(EXAMPLES[name])(**EXAMPLES[name].values())
    for field in operation.fields:
        with pytest.raises(AttributeError, match="immutable"):
            delattr(operation, field)
    assert operation == EXAMPLES[name]


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_equal_by_kind_and_value(name: str) -> None:
    operation = EXAMPLES[name]
    same = type(operation)(**operation.values())
    assert same == operation
    assert hash(same) == hash(operation)
    assert repr(same) == repr(operation)
    for field in operation.fields:
        assert type(operation)(**{**operation.values(), field: "/quite/another"}) != operation
    assert operation != operation.values()
    assert [o for o in EXAMPLES.values() if o == operation] == [operation]


def test_two_kinds_with_the_same_values_differ() -> None:
    assert Proc("/x") != Devpts("/x")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Bind("/a", "/b", colour="red"), "Bind: expected source, target, writable"),
        (lambda: Proc("/proc", "more"), "Proc: expected target, got '/proc', 'more'"),
    ],
)
def test_an_unknown_argument_of_an_operation_is_refused(make: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        make()


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (Bind("/usr", "/usr"), ["read-only", "/usr"]),
        (Bind("/src", "/src", writable=True), ["read-write", "/src"]),
        (Bind("/ws/staging", "/src/dist", writable=True), ["read-write", "/src/dist", "from /ws/staging"]),
        (Bind("/dev/null", "/dev/null", device=True), ["device", "/dev/null"]),
        (Symlink("/bin", "usr/bin"), ["link", "/bin -> usr/bin"]),
        (File("/etc/hosts", "secret"), ["synthetic", "/etc/hosts"]),
        (Accounts("/etc", "sandbox", "/home/sandbox"), ["synthetic", "/etc/passwd", "sandbox"]),
        (Scratch("/.s", (("/tmp", 0o1777), ("/run", 0o755)), 5 * 2**20, 9), ["/tmp, /run", "empty", "5 MiB"]),
        (Proc("/proc"), ["fresh", "/proc", "read-only"]),
        (Devpts("/dev/pts"), ["fresh", "/dev/pts"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_operation_describes_itself(operation: Operation, words: list[str]) -> None:
    text = operation.describe()
    assert all(word in text for word in words)
    assert "secret" not in text
    assert "from" not in Bind("/usr", "/usr").describe()


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("device", [False, True])
def test_a_bind_never_allows_set_user_id_bits_and_allows_devices_only_on_request(writable: bool, device: bool) -> None:
    attributes = Bind("/a", "/a", writable=writable, device=device).attributes()
    assert attributes & syscalls.MOUNT_ATTR_NOSUID
    assert bool(attributes & syscalls.MOUNT_ATTR_RDONLY) is not writable
    assert bool(attributes & syscalls.MOUNT_ATTR_NODEV) is not device


def test_by_default_a_bind_is_read_only_and_shows_the_system() -> None:
    bind = Bind("/a", "/b")
    assert (bind.writable, bind.owned, bind.device) == (False, "", False)
