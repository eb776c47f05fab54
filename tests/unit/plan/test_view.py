from __future__ import annotations

from collections.abc import Mapping

import pytest
from support.fakes import DEVICE, DIR, HOME, SECRETS, SOURCE, Entry, FakeFilesystem, Link, Shown, host

from isolated_hooks.errors import PolicyError
from isolated_hooks.files.paths import is_within
from isolated_hooks.plan.system import show_system
from isolated_hooks.plan.view import HOME as HOME_INSIDE
from isolated_hooks.plan.view import SCRATCH, View, refuse_reserved
from isolated_hooks.sandbox.operations import Accounts, Bind, Cover, File, Operation, Proc, Scratch, Symlink

FILES = FakeFilesystem(
    {
        "/a/b/c/file": "",
        "/a/b/link": Link("c"),
        "/x/real/deep": DIR,
        "/x/link": Link("real"),
        "/y": Link("x/link"),
        "/z/file": "",
        "/dev/null": DEVICE,
    }
)


def view(filesystem: FakeFilesystem = FILES) -> View:
    return View(filesystem)


def based(filesystem: FakeFilesystem | None = None, *, network: bool = False) -> View:
    inside = View(host() if filesystem is None else filesystem)
    show_system(inside, network=network, size=2**30, inodes=1000)
    return inside


def by_target(inside: View) -> dict[str, Operation]:
    return {operation.target: operation for operation in inside.operations()}


def test_a_path_is_shown_read_only_where_it_is_outside() -> None:
    inside = view()
    assert inside.show("/a/b") == "/a/b"
    assert inside.operations() == (Bind("/a/b", "/a/b"),)


def test_a_missing_path_is_not_shown() -> None:
    inside = view()
    assert inside.show("/none/at/all") is None
    assert inside.show("/y/none") is None
    assert inside.operations() == ()


def test_every_link_on_the_way_is_created_again_and_the_mount_point_contains_none() -> None:
    inside = view()
    assert inside.show("/y/deep", writable=True, owned="tree") == "/x/real/deep"
    assert set(inside.operations()) == {
        Symlink("/y", "x/link"),
        Symlink("/x/link", "real"),
        Bind("/x/real/deep", "/x/real/deep", writable=True, owned="tree"),
    }


def test_a_link_in_a_shown_directory_is_not_created_again() -> None:
    inside = view()
    inside.show("/a")
    inside.show("/a/b/link/file")
    assert inside.operations() == (Bind("/a", "/a"),)


def test_place_resolves_a_path_without_showing_it() -> None:
    inside = view()
    assert inside.place("/y/deep") == "/x/real/deep"
    assert {type(operation) for operation in inside.operations()} == {Symlink}


def test_scratch_comes_first_and_parents_before_their_entries() -> None:
    inside = view()
    inside.stage("/ws/s", "/a/b/c", writable=True)
    inside.show("/z/file", writable=True)
    inside.show("/a")
    inside.add(Scratch("/.scratch", (("/tmp", 0o1777),), 1, 1))
    inside.add(File("/tmp/file", ""))
    inside.show("/y")
    targets = [operation.target for operation in inside.operations()]
    assert targets[0] == "/.scratch"
    for number, target in enumerate(targets[1:], 1):
        assert not any(is_within(earlier, target) for earlier in targets[1:number])


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("owned", ["", "caller"])
def test_a_bind_within_another_with_the_same_traits_is_omitted(writable: bool, owned: str) -> None:
    inside = view()
    inside.show("/a/b/c", writable=writable, owned=owned)
    inside.show("/a", writable=writable, owned=owned)
    inside.show("/a/b/c/file", writable=writable, owned=owned)
    assert [operation.target for operation in inside.operations()] == ["/a"]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ({"writable": True}, {}),
        ({}, {"writable": True}),
        ({"owned": "tree"}, {"owned": "caller"}),
        ({"owned": "caller"}, {}),
        ({}, {"device": True}),
    ],
)
def test_a_bind_within_another_with_different_traits_stays(outer: dict[str, bool], inner: dict[str, bool]) -> None:
    inside = view()
    inside.show("/a", **outer)  # type: ignore[arg-type]
    inside.show("/a/b", **inner)  # type: ignore[arg-type]
    inside.show("/a/b/c", **outer)  # type: ignore[arg-type]
    assert [operation.target for operation in inside.operations()] == ["/a", "/a/b", "/a/b/c"]


def test_a_bind_from_elsewhere_is_never_omitted() -> None:
    inside = view()
    inside.show("/a", writable=True, owned="caller")
    inside.stage("/ws/s", "/a/b", writable=True)
    inside.show("/a/b/c", writable=True, owned="caller")
    assert [operation.target for operation in inside.operations()] == ["/a", "/a/b", "/a/b/c"]


def test_a_writable_path_stays_writable_when_shown_again() -> None:
    inside = view()
    inside.show("/a", writable=True, owned="tree")
    inside.show("/a")
    assert inside.operations() == (Bind("/a", "/a", writable=True, owned="tree"),)
    inside = view()
    inside.show("/a")
    inside.show("/a", writable=True, owned="tree")
    assert inside.operations() == (Bind("/a", "/a", writable=True, owned="tree"),)


def test_covers() -> None:
    inside = view()
    inside.show("/a/b")
    assert [inside.covers(path) for path in ("/a", "/a/b", "/a/b/c", "/a/bc", "/")] == [False, True, True, False, False]


def hide(inside: View, path: str) -> None:
    inside.hide(path, empty="/ws/empty", nothing="/ws/nothing")


def test_what_is_beside_a_hidden_path_is_shown_one_by_one() -> None:
    """A mount over the hidden path itself goes away if somebody outside replaces the path, rename(2)."""
    inside = view(FILES | {"/a/b/other": "", "/a/b/c/more": ""})
    inside.show("/a")
    hide(inside, "/a/b/c/file")
    assert {o.target: type(o) for o in inside.operations()} == {
        "/a/b/c/more": Bind,
        "/a/b/link": Symlink,
        "/a/b/other": Bind,
    }


def test_a_hidden_path_in_a_writable_directory_is_covered() -> None:
    for path, source in (("/a/b/c", "/ws/empty"), ("/a/b/c/file", "/ws/nothing")):
        inside = view()
        inside.show("/a", writable=True)
        hide(inside, path)
        assert by_target(inside)[path] == Cover(source, path)


def test_a_hidden_path_beside_too_many_others_is_covered() -> None:
    inside = view(FILES | {f"/a/b/{number}": "" for number in range(300)})
    inside.show("/a")
    hide(inside, "/a/b/c")
    assert by_target(inside)["/a/b/c"] == Cover("/ws/empty", "/a/b/c")


@pytest.mark.parametrize("path", ["/a/none", "/a/b/none/deep", "/a/b/link/none"])
def test_a_hidden_path_that_does_not_exist_yet_never_appears(path: str) -> None:
    inside = view()
    inside.show("/a")
    hide(inside, path)
    later = FILES | {path.replace("link", "c"): ""}
    shown = Shown(inside.operations(), later)
    assert shown.reveals(path.replace("link", "c")) == []
    assert shown.reveals("/a/b/c/file") == ["/a/b/c/file"]


def test_hiding_a_directory_hides_everything_beneath() -> None:
    inside = view()
    inside.show("/a")
    inside.show("/a/b", writable=True)
    inside.stage("/ws/s", "/a/b/c", writable=True)
    inside.add(Bind("/dev/null", "/a/b/c/file"))
    hide(inside, "/a/b")
    assert not Shown(inside.operations(), FILES).reveals("/a/b/c/file")


def test_hiding_a_separately_shown_path_removes_it() -> None:
    inside = view()
    inside.show("/a/b")
    inside.show("/z")
    hide(inside, "/a")
    assert inside.operations() == (Bind("/z", "/z"),)
    hide(inside, "/z")
    assert inside.operations() == ()


def test_hiding_an_invisible_path_changes_nothing() -> None:
    inside = view()
    inside.show("/a")
    for path in ("/z", "/z/file", "/none"):
        hide(inside, path)
    assert inside.operations() == (Bind("/a", "/a"),)


@pytest.mark.parametrize("path", ["/y", "/y/deep", "/x/link/deep", "/x/real"])
def test_a_path_is_hidden_by_any_of_its_names(path: str) -> None:
    inside = view()
    inside.show("/x")
    inside.show("/y")
    hide(inside, path)
    assert Shown(inside.operations(), FILES).reveals("/x/real/deep") == []


def test_a_path_hidden_by_another_name_is_hidden_with_everything_beneath() -> None:
    inside = view()
    inside.show("/x")
    inside.show("/x/real/deep", writable=True)
    hide(inside, "/y")
    assert Shown(inside.operations(), FILES).reveals("/x/real/deep") == []


def test_a_hidden_directory_is_not_in_the_search_path() -> None:
    inside = view()
    inside.show("/a/b")
    inside.show("/y")
    hide(inside, "/a/b")
    assert "/a/b" not in inside.read_only_roots()
    assert {"/y", "/x/link", "/x/real"} <= set(inside.read_only_roots())


def test_read_only_roots_contain_no_writable_path() -> None:
    inside = view()
    inside.show("/a", writable=True)
    inside.show("/dev/null", device=True)
    inside.show("/z/file")
    assert inside.read_only_roots() == ("/z/file",)


# The view that every sandbox starts from.


@pytest.mark.parametrize("network", [False, True])
def test_no_secret_of_the_host_is_visible(network: bool) -> None:
    inside = Shown(based(network=network).operations(), host())
    assert inside.secrets() == []


def test_only_listed_entries_of_etc_are_visible() -> None:
    entries: dict[str, Entry] = {f"/etc/unheard-of-{number}": "" for number in range(3)}
    entries |= {"/etc/python3.12/x": "", "/etc/python3-secrets": "", "/etc/ssl/certs-private": ""}
    files = host(entries)
    inside = Shown(based(files).operations(), files)
    visible = {path for path in files.entries if path.startswith("/etc/") and inside.reveals(path)}
    tops = "alternatives ld.so.cache localtime os-release python3.12 ssl/certs ssl/openssl.cnf pki/tls/certs".split()
    assert all(any(is_within(path, f"/etc/{top}") for top in tops) for path in visible)
    assert {f"/etc/{top}" for top in tops} <= visible


def test_the_table_lists_no_file_with_accounts_or_credentials() -> None:
    forbidden = """pip.conf gitconfig passwd shadow gshadow group machine-id sudoers ssh ssl ssl/private krb5.conf
        krb5.keytab hosts.allow environment profile profile.d security pam.d netrc npmrc docker containers cron.d
        systemd NetworkManager wpa_supplicant xdg default sysconfig odbc.ini my.cnf subuid mtab fstab pki pki/tls
        pki/tls/private""".split()
    # Directories whose other entries we list are visible already.
    files = host({f"/etc/{name}": "" for name in forbidden if host().kind(f"/etc/{name}") is None})
    inside = Shown(based(files).operations(), files)
    for name in forbidden:
        assert inside.origin(f"/etc/{name}") is None, name


@pytest.mark.parametrize(
    "name", ["server.key", "own-key.pem", "key.pem", "ca.p12", "store.pfx", "store.jks", ".key", "x y.key"]
)
@pytest.mark.parametrize("directory", ["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/java", "/etc/crypto-policies"])
def test_a_private_key_among_the_certificates_is_masked(directory: str, name: str) -> None:
    files = host({f"{directory}/{name}": "", f"{directory}/ca.pem": ""})
    inside = Shown(based(files).operations(), files)
    assert inside.reveals(f"{directory}/{name}") == []
    assert inside.reveals(f"{directory}/ca.pem") == [f"{directory}/ca.pem"]


def test_private_keys_are_masked_if_the_certificates_are_behind_a_link() -> None:
    files = host().without("/etc/ssl/certs") | {
        "/etc/ssl/certs": Link("../pki/tls/certs"),
        "/etc/pki/tls/certs/k.key": "",
    }
    assert Shown(based(files).operations(), files).reveals("/etc/pki/tls/certs/k.key") == []


def test_the_sandbox_has_its_own_version_of_private_files() -> None:
    inside = Shown(based().operations(), host())
    for path, _ in SCRATCH:
        assert isinstance(inside.at(path), Scratch)
    assert isinstance(inside.at("/proc/1"), Proc)
    assert any(operation == Accounts("/etc", "sandbox", HOME_INSIDE) for operation in inside.operations)
    assert inside.at("/etc/hostname") == File("/etc/hostname", "localhost\n")
    for path in (
        "/root",
        "/home",
        "/home/u",
        "/var",
        "/var/lib",
        "/srv",
        "/boot",
        "/mnt",
        "/etc/passwd",
        "/sys/kernel",
    ):
        assert inside.origin(path) is None


def test_the_writable_directories_share_one_limit_and_have_their_modes() -> None:
    scratch = [operation for operation in based().operations() if isinstance(operation, Scratch)]
    assert len(scratch) == 1
    assert (scratch[0].size, scratch[0].inodes) == (2**30, 1000)
    modes = dict(scratch[0].targets)
    assert modes["/tmp"] == modes["/var/tmp"] == modes["/dev/shm"] == 0o1777
    assert modes[HOME_INSIDE] == 0o700


def test_no_part_of_the_system_is_writable() -> None:
    inside = based()
    assert not [operation for operation in inside.operations() if isinstance(operation, Bind) and operation.writable]


def test_only_harmless_devices_are_shown_and_all_read_only() -> None:
    devices = [operation for operation in based().operations() if isinstance(operation, Bind) and operation.device]
    assert {device.target for device in devices} == {f"/dev/{n}" for n in "null zero full random urandom tty".split()}
    assert not any(device.writable for device in devices)


def test_without_the_network_names_are_looked_up_only_in_files() -> None:
    inside = Shown(based().operations(), host())
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"):
        assert isinstance(inside.at(path), File), path
    resolver, hosts, switch = (inside.mounts[f"/etc/{name}"].values()["content"] for name in
                               ("resolv.conf", "hosts", "nsswitch.conf"))  # fmt: skip
    assert "nameserver" not in resolver
    assert "127.0.0.1 localhost" in hosts
    assert "dns" not in switch


def test_with_the_network_the_hosts_names_are_used() -> None:
    inside = Shown(based(network=True).operations(), host())
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"):
        assert inside.origin(path) == path


def test_with_the_network_a_resolver_behind_a_link_is_shown() -> None:
    files = host().without("/etc/resolv.conf") | {
        "/etc/resolv.conf": Link("../run/systemd/resolve/stub-resolv.conf"),
        "/run/systemd/resolve/stub-resolv.conf": "",
    }
    inside = Shown(based(files, network=True).operations(), files)
    assert inside.mounts["/etc/resolv.conf"] == Symlink("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
    assert inside.origin("/run/systemd/resolve/stub-resolv.conf")
    assert inside.secrets() == []


def test_a_merged_usr_and_a_split_one_both_work() -> None:
    inside = Shown(based().operations(), host())
    assert inside.mounts["/bin"] == Symlink("/bin", "usr/bin")
    split = host().without("/bin", "/lib") | {"/bin/sh": "", "/lib/x86_64-linux-gnu/libc.so.6": ""}
    inside = Shown(based(split).operations(), split)
    assert inside.origin("/bin/sh") == "/bin/sh"
    assert inside.origin("/lib/x86_64-linux-gnu/libc.so.6")


@pytest.mark.parametrize(
    ("link", "target", "real"),
    [
        ("/home", "var/home", "/var/home"),
        ("/tmp", "/big/tmp", "/big/tmp"),
        ("/var/tmp", "/tmp", "/tmp"),
        ("/var/tmp", "../tmp", "/tmp"),
        ("/dev/shm", "/run/shm", "/run/shm"),
        ("/var", "data/var", "/data/var"),
        ("/run", "var/run", "/var/run"),
    ],
)
def test_a_writable_directory_may_be_a_link_on_the_host(link: str, target: str, real: str) -> None:
    """If /home leads to /var/home, a source tree beneath /home needs the link, and the sandbox's home a directory."""
    files = host().without(link) | {link: Link(target), f"{real}/u/proj": DIR, "/var/home/u/proj": DIR}
    inside = based(files)
    assert inside.show(f"{link}/u/proj", writable=True) == f"{real}/u/proj"
    operations = inside.operations()
    links = {operation.target for operation in operations if isinstance(operation, Symlink)}
    assert link in links
    targets = [path for o in operations if isinstance(o, Scratch) for path, _ in o.targets]
    assert len(set(targets)) == len(targets)
    for target in (*targets, *(o.target for o in operations if not isinstance(o, (Scratch, Symlink)))):
        assert not any(is_within(target, name) for name in links), target


def test_the_sandboxs_home_hides_the_hosts_directory_of_that_name() -> None:
    files = host({HOME_INSIDE: Link(HOME)})
    inside = Shown(based(files).operations(), files)
    assert isinstance(inside.at(HOME_INSIDE), Scratch)
    assert inside.secrets() == []


# Paths that cannot be shown at all.


@pytest.mark.parametrize(
    "path",
    ["/", "/dev", "/etc", "/home", "/proc", "/sys", "/var", "/tmp", "/var/tmp", "/run", "/dev/shm", HOME_INSIDE,
     "/proc/1", "/proc/self/cwd", "/sys/kernel", "//", "/usr/..", "/usr/../tmp", "/tmp/"],
)  # fmt: skip
def test_a_directory_of_the_sandboxs_own_is_refused(path: str) -> None:
    with pytest.raises(PolicyError, match="cannot be shown in the sandbox, which has its own") as caught:
        refuse_reserved(path, "the path", filesystem=host())
    assert "choose a directory beneath it" in str(caught.value)
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize(("target", "own"), [("/", "/"), ("/tmp", "/tmp"), ("/proc/1", "/proc/1"), ("../..", "/")])
def test_a_link_to_a_directory_of_the_sandboxs_own_is_refused(target: str, own: str) -> None:
    with pytest.raises(PolicyError, match=f"its own {own}:"):
        refuse_reserved(f"{HOME}/link", "the path", filesystem=host({f"{HOME}/link": Link(target)}))


def test_a_directory_of_the_sandboxs_own_is_refused_if_its_name_is_a_link() -> None:
    files = host().without("/tmp") | {"/tmp": Link("/big/tmp"), "/big/tmp/proj": DIR}
    for path in ("/tmp", "/big/tmp"):
        with pytest.raises(PolicyError):
            refuse_reserved(path, "the path", filesystem=files)
    refuse_reserved("/big/tmp/proj", "the path", filesystem=files)


@pytest.mark.parametrize("path", [SOURCE, "/tmp/x", "/var/lib", "/home/u", "/opt", "/dev/dri", "/system", "/processes"])
def test_any_other_path_may_be_shown(path: str) -> None:
    refuse_reserved(path, "the path", filesystem=host())


def test_a_refusal_shows_no_control_characters() -> None:
    with pytest.raises(PolicyError) as caught:
        refuse_reserved("/proc/\x1b[31m\n", "the path", filesystem=host())
    assert not {"\x1b", "\n"} & set(str(caught.value))


def test_the_secrets_of_these_tests_exist() -> None:
    assert all(host().kind(path) in ("file", "device") for path in SECRETS)


class _Counting(FakeFilesystem):
    """Records the directories that the view walks."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        super().__init__(entries)
        self.walked: list[str] = []

    def private(self, path: str) -> tuple[str, ...]:
        self.walked.append(path)
        return super().private(path)


def test_a_directory_of_the_system_is_walked_once() -> None:
    """A walk can take a second. It skips private directories, so a path beneath one needs its own walk."""
    files = _Counting({**host().entries, "/opt/private/tool/key": "", "/usr/lib/x": ""})
    files.not_for_all = ("/opt/private", "/opt/private/tool/key", "/usr/lib/x")
    inside = View(files)
    show_system(inside, network=False, size=2**30, inodes=1000)
    for path in ("/usr/lib", "/opt/private/tool"):
        inside.show(path)
    inside.cover_private(empty="/empty", nothing="/nothing")
    assert "/usr" in files.walked
    assert "/usr/lib" not in files.walked
    covers = {operation.target for operation in inside.operations() if isinstance(operation, Cover)}
    assert {"/usr/lib/x", "/opt/private/tool/key"} <= covers
