from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.fakes import (
    CONTROL,
    DIR,
    FIFO,
    HOME,
    LAYOUT,
    SCRIPT,
    SOURCE,
    Entry,
    FakeFilesystem,
    Link,
    Shown,
    hook_call,
    host,
    make_plan,
    shown,
    situation,
)
from support.planning import PATH, check_operations, made, python_at, tree, venv_at

from isolated_hooks.errors import PolicyError
from isolated_hooks.files.ownership import Owners
from isolated_hooks.files.paths import is_within
from isolated_hooks.plan import Identity, Plan
from isolated_hooks.plan.identities import choose_identity
from isolated_hooks.plan.planner import plan_command
from isolated_hooks.policy import HOOKS, Policy
from isolated_hooks.sandbox.identity import ENTER
from isolated_hooks.sandbox.landlock import LIST, READ, WRITE
from isolated_hooks.sandbox.operations import Bind, Scratch, Symlink
from isolated_hooks.sandbox.privileges import CAPABILITIES


def look(filesystem: FakeFilesystem | None = None, **changes: Any) -> Shown:
    """Return the view of the filesystem in the plan of a call."""
    files = host() if filesystem is None else filesystem
    return shown(make_plan(files, **changes), files)


def mount(inside: Shown, path: str) -> Bind:
    bind = inside.mounts[path]
    assert isinstance(bind, Bind)
    return bind


# The source tree.


@pytest.mark.parametrize("hook", HOOKS)
def test_only_the_source_tree_of_the_home_directory_is_visible(hook: str) -> None:
    inside = look(call=hook_call(hook))
    assert inside.writable(f"{SOURCE}/setup.py")
    assert inside.secrets() == []
    for path in (HOME, f"{HOME}/code", f"{HOME}/code/other", "/home/other", "/root", "/tmp/other", "/ws"):
        assert inside.origin(path) is None
        assert inside.reveals(path) == []


def test_the_source_tree_can_be_read_only() -> None:
    inside = look(policy=Policy(source="read-only"))
    assert inside.origin(f"{SOURCE}/setup.py")
    assert not inside.writable(f"{SOURCE}/setup.py")
    assert inside.writable(f"{SOURCE}/dist")


@pytest.mark.parametrize("source", ["/tmp/other", "/var/tmp/x", "/dev/shm/x", "/opt/x/src", "/srv/x"])
def test_a_source_tree_may_be_elsewhere(source: str) -> None:
    files = host({f"{source}/setup.py": "", f"{source}/dist": DIR})
    inside = look(files, call=hook_call(source_dir=source))
    assert inside.writable(f"{source}/setup.py")
    assert [path for path in inside.secrets() if not is_within(path, source)] == []


def test_a_source_tree_behind_a_link_has_both_names() -> None:
    files = host({"/src": Link(SOURCE)})
    plan = make_plan(files, call=hook_call(source_dir="/src"))
    inside = shown(plan, files)
    assert inside.mounts["/src"] == Symlink("/src", SOURCE)
    assert inside.writable(f"{SOURCE}/setup.py")
    assert (plan.cwd, plan.source) == ("/src", SOURCE)
    assert inside.secrets() == []


@pytest.mark.parametrize("source", [HOME, "/home", f"{HOME}/code/.."])
def test_a_source_tree_that_contains_the_home_directory_is_refused_with_a_remedy(source: str) -> None:
    if source == "/home":  # /home itself is refused for another reason
        source, home = "/data", "/data/u"
    else:
        home = HOME
    files = host({"/data/u/.netrc": ""})
    with pytest.raises(PolicyError) as caught:
        make_plan(files, call=hook_call(source_dir=source), home=home)
    assert str(caught.value) == (
        f"the source tree {source!r} contains the caller's home directory, so a hook could read every credential in "
        "it: move the project to a directory of its own, or name the source tree in 'expose'"
    )


def test_a_source_tree_that_contains_the_home_directory_is_refused_through_links_too() -> None:
    files = host({"/src": Link(HOME), "/h": Link("/home/u")})
    for source, home in (("/src", HOME), (HOME, "/h"), ("/src", "/h")):
        with pytest.raises(PolicyError, match="home directory"):
            make_plan(files, call=hook_call(source_dir=source), home=home)


def test_a_source_tree_that_contains_the_home_directory_is_accepted_if_the_policy_allows_it() -> None:
    files = host({f"{HOME}/dist": DIR})
    inside = look(files, call=hook_call(source_dir=HOME), policy=Policy(expose=(HOME,)))
    assert inside.writable(f"{HOME}/.netrc")


def test_a_missing_home_directory_is_not_an_error() -> None:
    assert look(home="/nonexistent").writable(SOURCE)


@pytest.mark.parametrize("source", ["/", "/etc", "/tmp", "/proc/self/cwd", "/home", "/dev", "/var"])
def test_a_directory_of_the_sandboxs_own_cannot_be_the_source_tree(source: str) -> None:
    with pytest.raises(PolicyError, match=r"the source tree .* cannot be shown"):
        make_plan(call=hook_call(source_dir=source))


@pytest.mark.parametrize("parent", ["/opt", "/usr/src", "/usr/local/src"])
def test_neighbours_of_a_source_tree_in_a_system_directory_are_not_visible(parent: str) -> None:
    source = f"{parent}/builds/proj"
    files = host({f"{source}/dist": DIR, f"{parent}/builds/other/secret": ""})
    inside = look(files, call=hook_call(source_dir=source))
    assert inside.writable(source)
    assert inside.reveals(f"{parent}/builds/other/secret") == []
    assert inside.origin("/usr/lib/python3.12/os.py")


def test_a_home_directory_in_a_system_directory_is_not_visible() -> None:
    home = "/opt/app"
    files = host({f"{home}/.netrc": "", f"{home}/proj/dist": DIR, f"{home}/bin/x": "", "/opt/tool/bin/x": ""})
    path = f"{home}/bin:/opt/tool/bin"
    inside = look(files, call=hook_call(source_dir=f"{home}/proj"), home=home, path=path)
    assert inside.reveals(f"{home}/.netrc") == []
    assert inside.writable(f"{home}/proj")
    assert inside.origin("/opt/tool/bin/x")


# A hook cannot change programs that run outside the sandbox.


@pytest.mark.parametrize("name", [".venv", "build/envs/.venv"])
def test_the_frontends_own_environment_in_the_source_tree_cannot_be_changed(name: str) -> None:
    prefix = f"{SOURCE}/{name}"
    files = host(venv_at(prefix, "/usr/bin/python3"))
    inside = look(files, trusted=(prefix, "/usr"))
    assert inside.writable(f"{SOURCE}/setup.py")
    assert inside.origin(f"{prefix}/lib/python3.12/site-packages/x.py")
    assert not inside.writable(f"{prefix}/lib/python3.12/site-packages/x.py")
    # Otherwise the hook could rename a directory on the way and put another in its place.
    parent = os.path.dirname(prefix)
    while parent != SOURCE:
        assert mount(inside, parent).writable
        parent = os.path.dirname(parent)


@pytest.mark.parametrize("real", [f"{SOURCE}/envs/3.12", f"{HOME}/envs/3.12"])
def test_a_link_in_the_source_tree_that_leads_to_the_frontends_environment_is_refused(real: str) -> None:
    """A hook could replace the link."""
    files = host({**venv_at(real, "/usr/bin/python3"), f"{SOURCE}/.venv": Link(real)})
    for prefix in (f"{SOURCE}/.venv", f"{SOURCE}/.venv/lib"):
        with pytest.raises(PolicyError, match=f"by the link '{SOURCE}/.venv' in the source tree.*run it as '{real}"):
            make_plan(files, trusted=(prefix,))
    assert make_plan(files, trusted=(f"{SOURCE}/.venv",), policy=Policy(source="read-only"))
    # If the frontend was started by its real path, nothing runs through the link.
    assert not look(files, trusted=(real,)).writable(f"{real}/lib/python3.12/site-packages/x.py")


def test_a_source_tree_that_is_the_frontends_own_environment_is_refused() -> None:
    with pytest.raises(PolicyError, match="use a virtual environment in a directory of its own"):
        make_plan(host(venv_at(SOURCE, "/usr/bin/python3")), trusted=(SOURCE,))


def test_a_tree_within_a_writable_one_stays_in_its_place() -> None:
    above = os.path.dirname(SOURCE)
    inside = look(call=hook_call("get_requires_for_build_wheel"), policy=Policy(writable=(above, f"{SOURCE}/dist")))
    for path in (above, SOURCE, f"{SOURCE}/dist"):
        assert mount(inside, path).writable  # else a hook could move it away, and put a link in its place


def test_the_way_to_a_control_directory_in_a_writable_path_stays_in_its_place() -> None:
    control = "/ws/calls/one/control"
    files = host({control: DIR})
    inside = look(files, call=hook_call(control_dir=control), policy=Policy(writable=("/ws",)))
    for directory in (control, "/ws/calls/one", "/ws/calls"):
        assert mount(inside, directory).writable


def test_the_git_directory_of_a_worktree_cannot_be_changed() -> None:
    assert not look(host({f"{SOURCE}/.git": "gitdir: ../main/.git/worktrees/x"})).writable(f"{SOURCE}/.git")


def test_gits_configuration_and_hooks_cannot_be_changed() -> None:
    files = host({f"{SOURCE}/.git/hooks/pre-commit": "", f"{SOURCE}/.git/config": ""})
    inside = look(files)
    for path in (".git/hooks/pre-commit", ".git/config"):
        assert inside.origin(f"{SOURCE}/{path}")
        assert not inside.writable(f"{SOURCE}/{path}")
    assert look(files, policy=Policy(writable=(f"{SOURCE}/.git",))).writable(f"{SOURCE}/.git/config")


def test_private_files_of_the_system_are_covered_if_modes_do_not_restrict_the_hook() -> None:
    python = "/usr/local/private/python"
    files = host({"/usr/local/a/key": "secret", "/usr/local/private/notes": "secret", f"{python}/bin/python3": "",
                  f"{python}/lib/python3.12/os.py": ""})  # fmt: skip
    files.not_for_all = ("/usr/local/a/key", "/usr/local/private")
    call = hook_call(python=f"{python}/bin/python3")
    for refused in ({Identity.SINGLE, Identity.RANGE}, {Identity.SINGLE, Identity.RANGE, Identity.MIRROR}):
        inside = look(files, call=call, owners=Owners((0, 0)), refused=frozenset(refused))
        assert inside.reveals("/usr/local/a/key") == inside.reveals("/usr/local/private/notes") == []
        assert inside.reveals(f"{python}/lib/python3.12/os.py") != []
    # Here its mode restricts the hook, and there the hook has the uid of the owner.
    assert look(files, call=call, owners=Owners((0, 0))).reveals("/usr/local/a/key") != []
    assert look(files, call=call).reveals("/usr/local/a/key") == []


# Search paths.


@pytest.mark.parametrize("variable", ["PATH", "PYTHONPATH"])
@pytest.mark.parametrize(
    "entry",
    ["/", "//", "/bin", "//bin", "/sbin", "/etc", "/etc/ssh", "/etc/ssl", "/etc/ssl/certs", "/home", HOME, f"{HOME}/",
     f"{HOME}/bin", f"{HOME}/.local/bin", f"/{HOME}/.local/bin", f"{HOME}/../u/.local/bin", f"{HOME}/code",
     f"{HOME}/code/proj/..", "/tmp", "/tmp/", "/var", "/var/tmp", "/run", "/dev", "/dev/vda", "/dev/shm", "/proc",
     "/proc/1", "/sys", "/sys/kernel", "/nowhere", "", ".", "bin", "../..", "~", "/usr/bin/../../etc",
     f"{SOURCE}/bin", f"{SOURCE}/../other/../.."],
)  # fmt: skip
def test_a_search_path_never_shows_private_directories(variable: str, entry: str) -> None:
    files = host({f"{HOME}/.local/bin/tool": "", f"{HOME}/lib/secret": ""})
    environ = {"PATH": PATH, variable: f"{entry}:{PATH}"}
    inside = look(files, environ=environ, started_with={"PATH": PATH})
    assert inside.secrets() == []
    for path in (HOME, f"{HOME}/code", "/home", "/tmp", "/etc", "/", "/var", "/dev", "/proc", f"{HOME}/.local"):
        assert inside.origin(path) is None, path


@pytest.mark.parametrize("home", ["/h", "/home/../home/u", "/home/u/"])
def test_the_home_directory_by_another_name_is_not_a_prefix_either(home: str) -> None:
    files = host({"/h": Link(HOME), f"{HOME}/.local/bin/tool": "", f"{HOME}/share/secret": "", f"{HOME}/bin/tool": ""})
    for entry in (f"{HOME}/.local/bin", "/h/.local/bin", f"{HOME}/bin", "/h/bin"):
        inside = look(files, home=home, path=f"{entry}:{PATH}")
        assert inside.secrets() == []
        assert inside.reveals(f"{HOME}/share/secret") == []
        assert inside.origin(f"{entry.replace('/h/', HOME + '/')}/tool")


def test_the_local_prefix_of_somebody_else_is_not_shown_either() -> None:
    """For example root, whose PATH comes from the user's shell."""
    inside = look(host({f"{HOME}/.local/bin/tool": ""}), home="/root", path=f"{HOME}/.local/bin:{PATH}")
    assert inside.origin(f"{HOME}/.local/bin/tool")
    assert inside.secrets() == []


@pytest.mark.parametrize("variable", ["PATH", "PYTHONPATH"])
@pytest.mark.parametrize("name", ["/link", SOURCE])
def test_no_parent_of_the_source_tree_is_shown_under_any_name_of_the_tree(variable: str, name: str) -> None:
    files = host({"/link": Link(SOURCE)})
    environ = {"PATH": PATH, variable: f"{HOME}/code:{PATH}"}
    inside = look(files, call=hook_call(source_dir=name), environ=environ, started_with={"PATH": PATH})
    assert inside.secrets() == []


def test_programs_are_shown_with_their_files_and_nothing_else_of_their_prefix() -> None:
    names = "bin lib share include x86_64-conda-linux-gnu secrets .config etc pip.conf".split()
    files = host({f"/srv/tool/{name}/file": "" for name in names})
    inside = look(files, path=f"/srv/tool/bin:{PATH}")
    visible = {name for name in names if inside.origin(f"/srv/tool/{name}/file")}
    assert visible == {"bin", "lib", "share", "include", "x86_64-conda-linux-gnu"}
    assert not inside.writable("/srv/tool/bin/file")


def test_a_directory_of_programs_with_another_name_is_shown_alone() -> None:
    inside = look(host({"/srv/tool/programs/x": "", "/srv/tool/lib/x": ""}), path=f"/srv/tool/programs:{PATH}")
    assert inside.origin("/srv/tool/programs/x")
    assert inside.origin("/srv/tool/lib/x") is None


def test_a_virtual_environment_in_the_search_path_is_shown_with_its_base() -> None:
    files = host({**python_at(f"{HOME}/py"), **venv_at("/tmp/env", f"{HOME}/py/bin/python3")})
    own = {"PATH": f"/tmp/env/bin:{PATH}"}
    inside = look(files, environ=own, started_with=own)
    for path in ("/tmp/env/bin", "/tmp/env/lib/python3.12/site-packages/x.py", f"{HOME}/py/lib/python3.12/os.py"):
        assert inside.origin(path), path
        assert not inside.writable(path)
    assert inside.reveals("/tmp/env/pip.conf") == []
    assert inside.secrets() == []
    # A build requirement may have written the file that names the base.
    inside = look(files, environ=own, started_with={"PATH": PATH})
    assert inside.origin("/tmp/env/lib/python3.12/site-packages/x.py")
    assert inside.origin(f"{HOME}/py/lib/python3.12/os.py") is None


def test_a_base_that_only_a_file_of_the_environment_names_is_not_shown_and_a_note_says_so() -> None:
    entries: dict[str, Entry] = {
        **python_at(f"{HOME}/py"),
        **venv_at("/tmp/env", f"{HOME}/py/bin/python3"),
        "/tmp/env/bin/python": "copy",
    }
    call = hook_call(python="/tmp/env/bin/python")
    plan = make_plan(host(entries), call=call)
    assert shown(plan, host(entries)).origin(f"{HOME}/py/lib/python3.12/os.py") is None
    assert [note for note in plan.notes if note.endswith(f"if you trust it: --expose {HOME}/py")]
    exposing = Policy(expose=(f"{HOME}/py",))
    for plan in (
        make_plan(host(entries), call=call, trusted=(f"{HOME}/py",)),
        make_plan(host(entries), call=call, policy=exposing),
    ):
        assert shown(plan, host(entries)).origin(f"{HOME}/py/lib/python3.12/os.py")
        assert not [note for note in plan.notes if "pyvenv.cfg" in note]


def test_rust() -> None:
    cargo = {f"{HOME}/.cargo/bin/cargo": "", f"{HOME}/.rustup/toolchains/t/bin/rustc": ""}
    plan = make_plan(host(cargo), path=f"{HOME}/.cargo/bin:{PATH}")
    inside = shown(plan, host(cargo))
    assert inside.origin(f"{HOME}/.cargo/bin/cargo")
    assert inside.origin(f"{HOME}/.rustup/toolchains/t/bin/rustc")
    assert not inside.writable(f"{HOME}/.rustup/toolchains/t/bin/rustc")
    assert inside.reveals(f"{HOME}/.cargo/credentials.toml") == []
    assert plan.environ.set["RUSTUP_HOME"] == f"{HOME}/.rustup"


def test_rust_elsewhere() -> None:
    files = host({f"{HOME}/.cargo/bin/cargo": "", "/srv/rustup/toolchains/x": ""})
    environ = {"PATH": f"{HOME}/.cargo/bin:{PATH}", "RUSTUP_HOME": "/srv/rustup"}
    plan = make_plan(files, environ=environ)
    assert shown(plan, files).origin("/srv/rustup/toolchains/x")
    assert plan.environ.set["RUSTUP_HOME"] == "/srv/rustup"
    for wrong in (HOME, "/home", "/tmp"):
        inside = look(files, environ={**environ, "RUSTUP_HOME": wrong})
        assert inside.secrets() == []


def test_no_rust_no_variable() -> None:
    assert "RUSTUP_HOME" not in make_plan().environ.set


def test_pyenv_shims() -> None:
    root = f"{HOME}/.pyenv"
    files = host({
        **python_at(f"{root}/versions/3.12.1"), f"{root}/shims/python": "#!/bin/sh", f"{root}/libexec/pyenv": "",
        f"{root}/version": "3.12.1", f"{root}/cache/secret": "", f"{root}/.git/config": "",
    })  # fmt: skip
    own = {"PATH": f"{root}/shims:{PATH}"}
    inside = look(files, environ=own, started_with=own)
    for path in ("shims/python", "libexec/pyenv", "version", "versions/3.12.1/lib/python3.12/os.py"):
        assert inside.origin(f"{root}/{path}"), path
    for path in ("cache/secret", ".git/config"):
        assert inside.reveals(f"{root}/{path}") == []


def test_pyenv_shims_show_the_versions_that_they_run_and_no_environment_beside_them() -> None:
    versions = f"{HOME}/.pyenv/versions"
    files = host({
        **python_at(f"{versions}/3.11.9"), **python_at(f"{versions}/3.12.1"), **python_at(f"{versions}/3.13.0"),
        **venv_at(f"{versions}/project", f"{versions}/3.13.0/bin/python3"),
        f"{versions}/3.12.1/pip.conf": "secret", f"{versions}/3.12.1/envs/other/secret": "",
        f"{HOME}/.pyenv/shims/python": "#!/bin/sh", f"{HOME}/.pyenv/libexec/pyenv": "",
        f"{HOME}/.pyenv/version": "3.12 system\n", f"{SOURCE}/.python-version": "3.11.9\nproject\n../../..\n",
    })  # fmt: skip
    own = {"PATH": f"{HOME}/.pyenv/shims:{PATH}"}
    inside = look(files, environ=own, started_with=own)
    for path in ("3.12.1/lib/python3.12/os.py", "3.11.9/bin/python3"):
        assert inside.origin(f"{versions}/{path}"), path
    for path in ("3.13.0/bin/python3", "project/bin/python", "project/pip.conf", "3.12.1/pip.conf",
                 "3.12.1/envs/other/secret"):  # fmt: skip
        assert inside.reveals(f"{versions}/{path}") == []


def test_entries_of_pythonpath_are_shown_but_no_project_of_the_callers() -> None:
    files = host({"/srv/mine/x.py": "", "/srv/theirs/x.py": "", "/srv/project/x.py": "", "/srv/project/.git": DIR})
    own = {"PATH": PATH, "PYTHONPATH": "/srv/mine:/srv/project"}
    inside = look(files, environ=own, started_with=own)
    assert inside.origin("/srv/mine/x.py")
    assert inside.origin("/srv/project/x.py") is None
    inside = look(files, environ={**own, "PYTHONPATH": "/srv/theirs"}, started_with=own)
    assert inside.origin("/srv/theirs/x.py")
    assert not inside.writable("/srv/theirs/x.py")
    assert look(files, environ=own, started_with=own, extra={"PYTHONPATH": "/srv/theirs"}).origin("/srv/theirs/x.py")


def test_an_entry_that_modes_keep_from_root_hooks_is_not_shown_and_named() -> None:
    files = host({"/srv/mine/x.py": "", "/srv/private/x.py": "", "/srv/tools/x": ""})
    files.not_for_all = ("/srv/private", "/srv/tools")
    own = {"PATH": f"/srv/tools:{PATH}", "PYTHONPATH": "/srv/mine:/srv/private"}
    plan = make_plan(files, environ=own, started_with=own, owners=ROOT)
    inside = shown(plan, files)
    assert inside.origin("/srv/mine/x.py")
    assert inside.origin("/srv/private/x.py") is None
    assert inside.origin("/srv/tools/x") is None
    (note,) = (note for note in plan.notes if note.startswith("PYTHONPATH"))
    assert note == "PYTHONPATH names '/srv/private', which is not shown; to show it: --expose /srv/private"
    assert plan.environ.defaults["PYTHONPATH"] == "/srv/mine"
    followed = Policy(expose=("/srv/private",))
    plan = make_plan(files, environ=own, started_with=own, owners=ROOT, policy=followed)
    assert (plan.environ.defaults["PYTHONPATH"], plan.notes) == ("/srv/mine:/srv/private", ())
    # An ordinary user's hook has that user's uid.
    inside = look(files, environ=own, started_with=own)
    assert inside.origin("/srv/private/x.py")
    assert inside.origin("/srv/tools/x")


def test_the_search_path_of_the_call_precedes_the_ambient_one() -> None:
    files = host({"/srv/a/bin/x": "", "/srv/b/bin/x": ""})
    inside = look(files, path=f"/srv/a/bin:{PATH}", extra={"PATH": f"/srv/b/bin:{PATH}"})
    assert inside.origin("/srv/b/bin/x")
    assert inside.origin("/srv/a/bin/x") is None


def test_a_build_environment_without_programs_is_shown_if_the_frontend_added_it_to_path() -> None:
    files = host({"/srv/env/overlay/lib/python3.12/site-packages/setuptools.py": "", "/srv/env/pip.conf": ""})
    module = "/srv/env/overlay/lib/python3.12/site-packages/setuptools.py"
    environ = {"PATH": f"/srv/env/overlay/bin:{PATH}"}
    inside = look(files, environ=environ, started_with={"PATH": PATH})
    assert inside.origin(module)
    assert not inside.writable(module)
    assert inside.origin("/srv/env/pip.conf") is None
    assert look(files, environ=environ, started_with=environ).origin(module) is None


def test_a_directory_of_programs_behind_a_link_has_both_names() -> None:
    files = host({"/tools": Link("/srv/real"), "/srv/real/bin/x": ""})
    plan = make_plan(files, path=f"/tools/bin:{PATH}")
    assert shown(plan, files).origin("/srv/real/bin/x")
    assert shown(plan, files).mounts["/tools"] == Symlink("/tools", "/srv/real")
    assert "/srv/real/bin" in plan.path_roots
    assert "/tools" in plan.path_roots


def test_a_directory_that_the_hook_can_write_to_is_not_in_the_search_path() -> None:
    files = host({"/data/out": DIR, "/src": Link(SOURCE)})
    plan = make_plan(files, call=hook_call(source_dir="/src"), policy=Policy(writable=("/data/out",)))
    assert {"/src", SOURCE, "/data/out", "/tmp", "/var/tmp", "/dev/shm", "/run"} <= set(plan.path_refused)
    assert "/usr" in plan.path_roots
    assert not set(plan.path_roots) & {SOURCE, "/data/out", CONTROL, f"{SOURCE}/dist", "/dev/null"}


# Links that an earlier hook may have created in a directory that it can write to.

LINKS = (f"{SOURCE}/left", "/data/out/left")
WRITABLE = Policy(writable=("/data/out",))


def hostile(link: str, target: str, more: dict[str, Entry] | None = None) -> FakeFilesystem:
    return host({"/data/out": DIR, link: Link(target), **(more or {})})


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(
    "target", [f"{HOME}/.ssh", HOME, "/etc/ssh", "/root", "/", f"{HOME}/code/other", f"{HOME}/.ssh/id_rsa"]
)
@pytest.mark.parametrize("entry", ["", "/bin", "/../.ssh"])
@pytest.mark.parametrize("variable", ["PATH", "PYTHONPATH"])
def test_a_search_path_through_a_hooks_link_shows_nothing(link: str, target: str, entry: str, variable: str) -> None:
    environ = {"PATH": PATH, variable: f"{link}{entry}:{PATH}"}
    inside = look(hostile(link, target), environ=environ, started_with={"PATH": PATH}, policy=WRITABLE)
    assert inside.secrets() == []


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("bin", f"{HOME}/.ssh"),
        ("lib", f"{HOME}/.ssh"),
        ("bin/python", f"{HOME}/.ssh/id_rsa"),
        ("bin/python", f"{HOME}/.netrc"),
        ("bin/python", "/etc/shadow"),
        ("pyvenv.cfg", f"{HOME}/.netrc"),
    ],
)
def test_a_virtual_environment_with_a_hooks_link_in_the_search_path_shows_nothing(
    link: str, name: str, target: str
) -> None:
    entries: dict[str, Entry] = venv_at(link, "/usr/bin/python3")
    files = host({"/data/out": DIR, **entries}).without(f"{link}/{name}") | {f"{link}/{name}": Link(target)}
    inside = look(files, path=f"{link}/bin:{PATH}", policy=WRITABLE)
    assert inside.secrets() == []
    inside = look(files, call=hook_call(python=f"{link}/bin/python"), policy=WRITABLE)
    assert inside.secrets() == []


@pytest.mark.parametrize("link", LINKS)
def test_prepared_metadata_behind_a_hooks_link_is_refused(link: str) -> None:
    files = hostile(link, f"{HOME}/.ssh", {f"{HOME}/.ssh/x.dist-info/METADATA": "", f"{HOME}/.ssh/x.whl": ""})
    for directory in (link, f"{link}/x.dist-info"):
        call = hook_call(kwargs={"wheel_directory": f"{SOURCE}/dist", "metadata_directory": directory})
        with pytest.raises(PolicyError, match="link"):
            make_plan(files, call=call, policy=WRITABLE)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("key", ["expose", "writable"])
def test_a_path_of_the_policy_behind_a_hooks_link_is_refused(link: str, key: str) -> None:
    paths = {"writable": ["/data/out"], "expose": []}
    paths[key].append(link)
    with pytest.raises(PolicyError, match="link"):
        make_plan(hostile(link, f"{HOME}/.ssh"), policy=Policy(**paths))  # type: ignore[arg-type]


def test_a_link_that_stays_within_the_tree_is_accepted() -> None:
    files = host({f"{SOURCE}/meta": Link("build/meta"), f"{SOURCE}/build/meta/x.dist-info/METADATA": ""})
    call = hook_call(kwargs={"wheel_directory": f"{SOURCE}/dist", "metadata_directory": f"{SOURCE}/meta/x.dist-info"})
    assert look(files, call=call).origin(f"{SOURCE}/build/meta/x.dist-info/METADATA")


# The interpreter.


def test_an_interpreter_in_the_home_directory_is_shown_without_the_home_directory() -> None:
    files = host({**python_at(f"{HOME}/.pyenv/versions/3.12.1"), f"{HOME}/.pyenv/secret": ""})
    inside = look(files, call=hook_call(python=f"{HOME}/.pyenv/versions/3.12.1/bin/python3"))
    assert inside.origin(f"{HOME}/.pyenv/versions/3.12.1/lib/python3.12/os.py")
    assert inside.reveals(f"{HOME}/.pyenv/secret") == []
    assert inside.secrets() == []


def test_a_build_environment_in_the_temporary_directory_is_shown_read_only() -> None:
    files = host({**venv_at("/tmp/env", "/usr/bin/python3"), "/tmp/env-other/secret": ""})
    plan = make_plan(files, call=hook_call(python="/tmp/env/bin/python"))
    inside = shown(plan, files)
    assert inside.origin("/tmp/env/lib/python3.12/site-packages/x.py")
    assert not inside.writable("/tmp/env/lib/python3.12/site-packages/x.py")
    assert inside.reveals("/tmp/env-other/secret") == inside.reveals("/tmp/env/pip.conf") == []
    assert isinstance(inside.at("/tmp/env/elsewhere"), Scratch)
    assert plan.argv[0] == "/tmp/env/bin/python"
    assert "/tmp/env/bin" in plan.path_roots


def test_a_build_environment_within_the_source_tree_works() -> None:
    uv = f"{HOME}/.local/share/uv/python/cpython-3.12"
    files = host({
        **python_at(uv), f"{HOME}/.local/bin/python3.12": Link(f"{uv}/bin/python3.12"),
        **venv_at(f"{SOURCE}/.venv", f"{HOME}/.local/bin/python3.12"),
    })  # fmt: skip
    inside = look(files, call=hook_call(python=f"{SOURCE}/.venv/bin/python"))
    assert inside.origin(f"{SOURCE}/.venv/bin/python")
    assert inside.origin(f"{uv}/lib/python3.12/os.py")
    assert inside.mounts[f"{HOME}/.local/bin/python3.12"]
    assert inside.secrets() == []


def test_an_interpreter_without_a_directory_is_looked_up_in_the_hooks_path() -> None:
    files = host({**python_at("/srv/a"), **python_at("/srv/b")})
    call = hook_call(python="python3")
    assert make_plan(files, call=call, path=f"/srv/a/bin:{PATH}").argv[0] == "/srv/a/bin/python3"
    extra = {"PATH": "relative::/nowhere:/srv/b/bin"}
    assert make_plan(files, call=call, path=f"/srv/a/bin:{PATH}", extra=extra).argv[0] == "/srv/b/bin/python3"
    assert make_plan(files, call=call).argv[0] == "/usr/bin/python3"


@pytest.mark.parametrize("python", ["python9", "", "bin/python3", "./python3", "../python3", "\x1b[31mx"])
def test_an_interpreter_that_is_not_found_is_refused(python: str) -> None:
    files = host({f"{SOURCE}/bin/python3": "", "/bin/bin/python3": ""})
    with pytest.raises(PolicyError, match="name an absolute path") as caught:
        make_plan(files, call=hook_call(python=python), path=f":.:bin:{PATH}")
    assert "\x1b" not in str(caught.value)


def test_an_interpreter_named_through_an_invisible_directory() -> None:
    files = host({**python_at("/srv/a"), "/srv/elsewhere/x": "", "/link": Link("/srv/a/bin")})
    assert make_plan(files, call=hook_call(python="/srv/elsewhere/../a/bin/python3")).argv[0] == "/srv/a/bin/python3"
    # ".." after a link is the parent of the link's target.
    assert make_plan(files, call=hook_call(python="/link/../bin/python3")).argv[0] == "/srv/a/bin/python3"
    assert make_plan(files, call=hook_call(python="/srv/a/bin/python3")).argv[0] == "/srv/a/bin/python3"


def test_the_plan_keeps_the_frontends_command() -> None:
    plan = make_plan()
    assert plan.argv == ("/usr/bin/python3", SCRIPT, "build_wheel", CONTROL)
    assert plan.cwd == plan.source == SOURCE
    assert (plan.stdin, plan.terminal) == ("null", False)


def test_a_hook_script_in_a_hidden_directory_is_shown_alone() -> None:
    script = f"{HOME}/.venv/lib/hook/_in_process.py"
    inside = look(host({script: "", f"{HOME}/.venv/lib/hook/other": ""}), call=hook_call(script=script))
    assert inside.origin(script) == script
    assert not inside.writable(script)
    assert inside.origin(f"{HOME}/.venv/lib/hook/other") is None


# The control directory and the output.


def test_the_workspaces_control_directory_replaces_the_frontends() -> None:
    inside = look()
    assert mount(inside, CONTROL) == Bind(LAYOUT.control, CONTROL, writable=True, owned="caller")
    assert inside.reveals(CONTROL) == []


def test_a_control_directory_behind_a_link_is_replaced_at_its_real_path() -> None:
    files = host({"/t": Link("/tmp")})
    plan = make_plan(files, call=hook_call(control_dir="/t/control-1"))
    assert mount(shown(plan, files), CONTROL).source == LAYOUT.control
    assert plan.argv[3] == "/t/control-1"


def test_a_control_directory_within_the_source_tree_cannot_be_moved_away() -> None:
    control = f"{SOURCE}/tmp/deep/control"
    inside = look(host({control: DIR}), call=hook_call(control_dir=control))
    assert mount(inside, control).source == LAYOUT.control
    assert {f"{SOURCE}/tmp", f"{SOURCE}/tmp/deep"} <= set(inside.mounts)


def test_staging_replaces_the_output_directory() -> None:
    plan = make_plan()
    inside = shown(plan)
    assert plan.stage is not None
    assert (plan.stage.target, plan.stage.inside, plan.stage.staging) == (f"{SOURCE}/dist",) * 2 + (LAYOUT.staging,)
    assert mount(inside, f"{SOURCE}/dist") == Bind(LAYOUT.staging, f"{SOURCE}/dist", writable=True, owned="caller")
    assert inside.reveals(f"{SOURCE}/dist") == []
    assert plan.kwargs == {"wheel_directory": f"{SOURCE}/dist"}


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook_call(hook).output_directory is None])
def test_a_hook_without_output_has_no_staging(hook: str) -> None:
    plan = make_plan(call=hook_call(hook))
    assert plan.stage is None
    assert not [o for o in plan.operations if isinstance(o, Bind) and o.source == LAYOUT.staging]


def output(directory: str, **kwargs: Any) -> Any:
    return hook_call(kwargs={"wheel_directory": directory, "config_settings": {"a": "b"}, **kwargs})


def staged(plan: Plan, files: FakeFilesystem) -> str:
    """Return the only path at which the staging directory appears."""
    places = [o.target for o in plan.operations if isinstance(o, Bind) and o.source == LAYOUT.staging]
    assert len(places) == 1
    assert plan.stage is not None
    assert files.real(plan.stage.inside) == places[0] or plan.stage.inside == places[0]
    inside = shown(plan, files)
    assert mount(inside, places[0]).writable
    assert inside.secrets() == []
    # Everything else that the hook needs is still visible.
    for needed in (f"{SOURCE}/setup.py", SCRIPT, "/usr/lib/python3.12/os.py"):
        assert inside.origin(needed), needed
    assert mount(inside, CONTROL).source == LAYOUT.control
    return places[0]


@pytest.mark.parametrize("directory", ["/data/out", "/tmp/out", f"{HOME}/out", f"{SOURCE}/a/b", "/opt/out", "/run/out"])
def test_an_output_directory_may_be_anywhere(directory: str) -> None:
    files = host({f"{directory}/earlier.whl": ""})
    plan = make_plan(files, call=output(directory))
    assert staged(plan, files) == directory
    assert shown(plan, files).reveals(f"{directory}/earlier.whl") == []


def test_an_output_directory_behind_a_link_is_replaced_at_its_real_path() -> None:
    files = host({"/out": Link("data/wheels"), "/data/wheels": DIR})
    plan = make_plan(files, call=output("/out"))
    assert staged(plan, files) == "/data/wheels"
    assert shown(plan, files).mounts["/out"] == Symlink("/out", "data/wheels")


@pytest.mark.parametrize(
    "directory",
    [SOURCE, f"{HOME}/code", HOME, "/home", "/", "/tmp", "/usr", "/usr/lib", "/etc", "/run", "/dev", "/proc", CONTROL,
     "/tmp/env", "/tmp/env/lib", "/out", os.path.dirname(SCRIPT), "/home/sandbox/..", "/sandbox"],
)  # fmt: skip
def test_staging_moves_aside_if_the_output_directory_contains_files_that_the_hook_needs(directory: str) -> None:
    files = host({**venv_at("/tmp/env", "/usr/bin/python3"), "/out": Link(SOURCE)})
    call = output(directory)
    call = hook_call(python="/tmp/env/bin/python", kwargs=call.kwargs)
    plan = make_plan(files, call=call)
    staging = staged(plan, files)
    assert not is_within(staging, directory) or directory in ("/", "/run")
    assert plan.stage is not None
    assert plan.stage.target == os.path.abspath(directory)
    assert plan.kwargs == {"wheel_directory": plan.stage.inside, "config_settings": {"a": "b"}}
    assert shown(plan, files).origin("/tmp/env/lib/python3.12/site-packages/x.py")


# Metadata that an earlier hook prepared.

INFO = f"{HOME}/meta/x-1.dist-info"


def with_metadata(more: dict[str, Entry] | None = None, directory: str = INFO) -> tuple[FakeFilesystem, Any]:
    files = host({f"{INFO}/METADATA": "", f"{HOME}/meta/secret": "", **(more or {})})
    return files, output(f"{SOURCE}/dist", metadata_directory=directory)


def test_prepared_metadata_is_shown_read_only() -> None:
    files, call = with_metadata()
    inside = look(files, call=call)
    assert inside.origin(f"{INFO}/METADATA")
    assert not inside.writable(f"{INFO}/METADATA")
    assert inside.reveals(f"{HOME}/meta/secret") == []


@pytest.mark.parametrize("marker", ["WHEEL_BUILT", "PYPROJECT_HOOKS_ALREADY_BUILT"])
def test_a_wheel_built_for_its_metadata_is_shown_with_its_marker(marker: str) -> None:
    files, call = with_metadata({f"{HOME}/meta/x-1-py3-none-any.whl": "zip", f"{HOME}/meta/{marker}": ""})
    inside = look(files, call=call)
    for name in ("x-1-py3-none-any.whl", marker):
        assert inside.origin(f"{HOME}/meta/{name}")
        assert not inside.writable(f"{HOME}/meta/{name}")
    assert inside.reveals(f"{HOME}/meta/secret") == []


@pytest.mark.parametrize(
    "files",
    [
        {"x.whl": "zip"},
        {"x.whl": "zip", "MARK": "not empty"},
        {"x.whl": "zip", "mark": ""},
        {"x.whl": "zip", "y.whl": "zip", "MARK": ""},
        {"x.whl": "zip", "MARK": "", "OTHER": ""},
        {"x.whl": Link("secret"), "MARK": ""},
        {"x.whl": DIR, "MARK": ""},
        {"x.whl": "zip", "MARK": Link("secret")},
        {"MARK": ""},
    ],
    ids=repr,
)
def test_nothing_else_beside_prepared_metadata_is_shown(files: dict[str, Entry]) -> None:
    extended, call = with_metadata({f"{HOME}/meta/{name}": entry for name, entry in files.items()})
    inside = look(extended, call=call)
    for name in (*files, "secret"):
        assert inside.reveals(f"{HOME}/meta/{name}") == [], name


def test_missing_metadata_is_refused() -> None:
    files, call = with_metadata(directory=f"{HOME}/meta/none.dist-info")
    with pytest.raises(PolicyError, match=r"the metadata directory '.*none.dist-info' does not exist"):
        make_plan(files, call=call)


# The policy.


def test_the_paths_of_the_policy_are_shown() -> None:
    files = host({"/data/in/x": "", "/data/out/x": "", "/data/link": Link("in"), "/dev/dri/card0": FIFO})
    policy = Policy(expose=("/data/link", "/dev/dri"), writable=("/data/out",))
    inside = look(files, policy=policy)
    assert inside.origin("/data/in/x")
    assert not inside.writable("/data/in/x")
    assert inside.mounts["/data/link"] == Symlink("/data/link", "in")
    assert inside.writable("/data/out/x")
    assert mount(inside, "/dev/dri").device
    assert not mount(inside, "/dev/dri").writable
    assert not look(files, policy=Policy(writable=("/dev/dri",))).writable("/dev/dri/card0")


@pytest.mark.parametrize("key", ["expose", "writable"])
def test_a_missing_path_of_the_policy_is_refused(key: str) -> None:
    with pytest.raises(PolicyError, match=f"policy: {key}: '/none' does not exist"):
        make_plan(policy=Policy(**{key: ("/none",)}))  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["expose", "writable"])
@pytest.mark.parametrize("path", ["/etc", "/tmp", "/home", "/var", "/run", "/sys/kernel", "/sandbox"])
def test_a_path_of_the_policy_that_belongs_to_the_sandbox_is_refused(key: str, path: str) -> None:
    with pytest.raises(PolicyError, match="cannot be shown"):
        make_plan(policy=Policy(**{key: (path,)}))  # type: ignore[arg-type]


def test_hide_overrides_other_keys() -> None:
    files = host(
        {"/usr/local/cuda/secret/x": "", f"{SOURCE}/.env": "", "/data/in/x": "", "/usr/local/cuda/bin/nvcc": ""}
    )
    hidden = ("/usr/local/cuda/secret", f"{SOURCE}/.env", "/data/in", "/none")
    inside = look(files, policy=Policy(expose=("/data/in",), hide=hidden))
    for path in ("/usr/local/cuda/secret/x", f"{SOURCE}/.env", "/data/in/x"):
        assert inside.reveals(path) == []
    assert inside.origin("/usr/local/cuda/bin/nvcc")
    assert inside.origin("/data/in") is None


def test_a_hidden_path_in_the_source_tree_cannot_be_moved_away() -> None:
    inside = look(host({f"{SOURCE}/a/b/secret": ""}), policy=Policy(hide=(f"{SOURCE}/a/b/secret",)))
    assert {f"{SOURCE}/a", f"{SOURCE}/a/b", f"{SOURCE}/a/b/secret"} <= set(inside.mounts)


def test_the_policy_decides_about_the_network_and_the_size_of_temporary_files() -> None:
    assert look().at("/etc/resolv.conf") != look(policy=Policy(network=True)).at("/etc/resolv.conf")
    plan = make_plan(policy=Policy(limits={"temp_size": 12345}))
    assert [o.size for o in plan.operations if isinstance(o, Scratch)] == [12345]


# Any other command.


def command(**changes: Any) -> Plan:
    arguments: dict[str, Any] = {"stdin": "inherit", "terminal": "", **changes}
    return plan_command(["sh", "-c", "true"], SOURCE, Policy(), situation(), LAYOUT, **arguments)


def test_a_command_gets_the_view_of_a_hook_with_its_directory_as_source_tree() -> None:
    plan = command()
    inside = shown(plan)
    assert inside.writable(f"{SOURCE}/setup.py")
    assert inside.secrets() == []
    assert (plan.argv, plan.cwd) == (("sh", "-c", "true"), SOURCE)
    assert (plan.stage, plan.kwargs, plan.stdin, plan.terminal) == (None, None, "inherit", False)
    with pytest.raises(PolicyError, match="home directory"):
        plan_command(["sh"], HOME, Policy(), situation(), LAYOUT, stdin="null", terminal="")


def test_the_hooks_own_terminal_is_the_console() -> None:
    plan = command(terminal="/dev/pts/7")
    assert plan.terminal is True
    assert mount(shown(plan), "/dev/console") == Bind("/dev/pts/7", "/dev/console", device=True)


# The identity of the hook.

ROOT = Owners((0, 0))
MIXED = Owners(None)
UNREAD = Owners((0, 0), "/tree/closed")
MAPPED = frozenset((Identity.SINGLE, Identity.RANGE))


@pytest.mark.parametrize(
    ("owners", "refused", "identity", "owner"),
    [
        (None, frozenset(), Identity.USER, (0, 0)),
        (ROOT, frozenset(), Identity.SINGLE, (0, 0)),
        (Owners((1001, 105)), frozenset(), Identity.SINGLE, (1001, 105)),
        (Owners((70000, 70000)), frozenset(), Identity.SINGLE, (70000, 70000)),
        (MIXED, frozenset(), Identity.RANGE, (0, 0)),
        # A directory that we cannot look into must not give the hook more access. The run refuses the tree then.
        (UNREAD, frozenset(), Identity.SINGLE, (0, 0)),
        (ROOT, MAPPED, Identity.MIRROR, (0, 0)),
        (MIXED, MAPPED, Identity.MIRROR, (0, 0)),
        (ROOT, MAPPED | {Identity.MIRROR}, Identity.SHARED, (0, 0)),
        (ROOT, MAPPED | {Identity.MIRROR, Identity.SHARED}, Identity.SEPARATE, (0, 0)),
        (None, frozenset((Identity.USER,)), Identity.CONFINED, (0, 0)),
    ],
)
def test_the_hook_gets_the_identity_that_needs_the_least_privilege(
    owners: Owners | None, refused: frozenset[Identity], identity: Identity, owner: tuple[int, int]
) -> None:
    assert choose_identity(owners, refused) == (identity, owner)


@pytest.mark.parametrize("owners", [None, ROOT, MIXED, UNREAD])
def test_every_refusal_leads_to_another_identity_until_the_last(owners: Owners | None) -> None:
    refused: frozenset[Identity] = frozenset()
    for _ in Identity:
        identity, _ = choose_identity(owners, refused)
        if identity in refused:
            break
        refused |= {identity}
    assert identity is Identity.CONFINED
    if owners is None:
        assert refused == {Identity.USER, Identity.CONFINED}


@pytest.mark.parametrize("identity", Identity)
def test_the_traits_of_an_identity_fit_together(identity: Identity) -> None:
    """Each identity is one row of a table, and nothing else would notice a row that contradicts itself."""
    traits = identity.traits
    assert identity.value.encode() in ENTER, "the child does not know it"
    assert set(identity.to_wire()["capabilities"]) <= set(CAPABILITIES)
    assert traits.user
    assert bool(traits.because) == bool(traits.capabilities and not traits.confined)
    assert traits.throw_away or not (traits.idmapped or traits.other_ids or traits.leaves_files)
    # If the kernel shows all files as the hook's own, the hook leaves no file of another owner behind.
    assert traits.leaves_files == (traits.throw_away and not traits.idmapped)
    assert traits.last == (identity is list(Identity)[-1])


@pytest.mark.parametrize("identity", Identity)
def test_only_a_tree_of_several_owners_needs_capabilities(identity: Identity) -> None:
    owners = {Identity.USER: None, Identity.CONFINED: None, Identity.RANGE: MIXED}.get(identity, ROOT)
    before = [i for i in Identity if i is not identity]
    first = (Identity.USER, Identity.SINGLE, Identity.RANGE)
    plan = make_plan(owners=owners, refused=frozenset() if identity in first else frozenset(before))
    assert plan.identity is identity
    two = ("CAP_DAC_OVERRIDE", "CAP_FOWNER")
    held = {Identity.RANGE: two, Identity.MIRROR: two, Identity.SEPARATE: two[:1]}
    assert plan.capabilities == held.get(identity, ())


# Without namespaces the sandbox cannot replace one path with another.


def confined(files: FakeFilesystem | None = None, **changes: Any) -> Plan:
    return make_plan(files, refused=frozenset((Identity.USER,)), **changes)


def test_without_namespaces_a_tree_with_programs_that_run_outside_is_refused() -> None:
    files = host(venv_at(f"{SOURCE}/.venv", "/usr/bin/python3"))
    allowed = Policy(allow_degraded=["no-namespaces"])
    trusted = (f"{SOURCE}/.venv",)
    with pytest.raises(PolicyError, match="a hook could change it"):
        confined(files, trusted=trusted, policy=allowed)
    # If the policy does not allow missing namespaces at all, the error says that instead.
    assert confined(files, trusted=trusted).confined
    assert confined(files, trusted=("/usr",), policy=allowed).confined
    read_only = Policy(allow_degraded=["no-namespaces"], source="read-only")
    assert confined(files, trusted=trusted, policy=read_only).confined


def test_without_namespaces_a_hook_gets_directories_of_the_workspace() -> None:
    plan = confined()
    assert plan.argv[3] == LAYOUT.control
    assert plan.kwargs == {"wheel_directory": LAYOUT.staging}
    rules = dict(plan.rules)
    assert {path for path, kind in rules.items() if kind == WRITE} >= {SOURCE, *(vars(LAYOUT)[n] for n in
                                                                 ("scratch", "control", "staging"))}  # fmt: skip
    assert rules["/usr"] == READ
    assert not any(
        is_within(secret, path) for secret in (f"{HOME}/.netrc", "/etc/shadow", "/tmp/other") for path in rules
    )


def test_without_namespaces_rules_avoid_private_files_of_the_system() -> None:
    share = "/usr/share"
    names = {f"{share}/a/key": "", f"{share}/a/b/c": "", f"{share}/private/x": "", f"{share}/z": ""}
    files = host({**names, f"{share}/a/link": Link("key")})
    files.not_for_all = ("/usr/share/a/key", "/usr/share/private")
    everything = frozenset(Identity) - {Identity.SEPARATE}
    rules = dict(make_plan(files, owners=ROOT, refused=everything).rules)
    beneath = {path: kind for path, kind in rules.items() if is_within(path, "/usr/share")}
    beneath.pop("/usr/share/doc")
    assert beneath == {"/usr/share": LIST, "/usr/share/a": LIST, "/usr/share/a/b": READ, "/usr/share/z": READ}
    # For an ordinary user's hook the modes themselves suffice.
    assert dict(confined(files).rules)["/usr"] == READ


def test_without_namespaces_nothing_within_a_shown_directory_can_be_hidden() -> None:
    files = host({f"{SOURCE}/.env": ""})
    with pytest.raises(PolicyError, match="policy: hide"):
        confined(files, policy=Policy(hide=(f"{SOURCE}/.env",)))
    confined(files, policy=Policy(hide=(f"{HOME}/.ssh",)))


# Arbitrary names and links.

_NAMES = st.sampled_from(
    ["a", "b", " ", "x y", "new\nline", "co:lon", "ä漢", "..x", "-rf", "bin", "lib", "\udcff", "pyvenv.cfg"]
)
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(("w", *parts)))
_TARGETS = st.one_of(
    _PATHS,
    st.sampled_from(["/", "..", ".", "../..", "a/../b", "/tmp", HOME, f"{HOME}/.ssh", SOURCE, "/etc", "/usr", "/w"]),
    st.lists(st.one_of(_NAMES, st.just("..")), min_size=1, max_size=4).map("/".join),
)
_ENTRIES = st.dictionaries(_PATHS, st.one_of(st.just(""), st.just(DIR), _TARGETS.map(Link)), max_size=12)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, database=None)
@given(
    entries=_ENTRIES,
    search=st.lists(st.one_of(_PATHS, _TARGETS), max_size=3),
    source=_PATHS,
    directory=st.one_of(_PATHS, _TARGETS),
    python=st.one_of(st.just("/usr/bin/python3"), _PATHS),
    expose=st.lists(_PATHS, max_size=2),
)
def test_every_target_is_free_of_links_and_no_secret_is_visible(
    entries: dict[str, Entry], search: list[str], source: str, directory: str, python: str, expose: list[str]
) -> None:
    files = tree(entries)
    secret = "/w/secret of a neighbour"
    output = os.path.abspath(os.path.join("/", directory))
    files = made(made(files | {secret: ""}, source), output)
    assume(all(files.kind(files.real(path) or "/none") == "directory" for path in (source, output)))
    call = hook_call(python=python, source_dir=source, kwargs={"wheel_directory": output})
    environ = {"PATH": ":".join((*search, PATH)), "PYTHONPATH": ":".join(search)}
    try:
        plan = make_plan(files, call=call, environ=environ, started_with={}, policy=Policy(expose=expose))
    except PolicyError:
        return
    check_operations(plan, files)
    view = shown(plan, files)
    # The source tree, the interpreter, directories of programs and exposed paths are visible with everything beneath.
    named = {files.real(path) for path in (source, python, *expose, *(e for e in search if e.startswith("/")))}
    for path in view.secrets():
        assert any(root is not None and is_within(path, root) for root in named), path
    assert view.reveals(secret) == [] or any(root in ("/w", secret) for root in named)


def test_only_what_is_exposed_read_only_is_shown_apart() -> None:
    files = host({"/data/in/x": "", "/data/out/x": ""})
    plan = make_plan(files, policy=Policy(expose=("/data/in",), writable=("/data/out",)))
    assert {o.target for o in plan.operations if getattr(o, "separate", False)} == {"/data/in"}
