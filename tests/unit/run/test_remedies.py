"""The remedy for a host without user namespaces: what is named is what stands in the way."""

from __future__ import annotations

import errno
import os
import resource

import pytest

from isolated_hooks import SandboxSetupError, SandboxUnavailableError
from isolated_hooks.run import remedies
from isolated_hooks.sandbox import attempts, bubblewrap_guard


@pytest.fixture(autouse=True)
def nothing_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "_in_container", lambda: False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    _says(monkeypatch)


def _says(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Have files of /proc, by the end of their names, hold something."""
    monkeypatch.setattr(remedies, "_read", lambda path: values.get(os.path.basename(path), ""))


@pytest.mark.parametrize(
    ("name", "value", "uid", "said"),
    [
        ("max_user_namespaces", "0", 1000, "sysctl user.max_user_namespaces="),
        ("max_user_namespaces", "0", 0, "sysctl user.max_user_namespaces="),
        ("unprivileged_userns_clone", "0", 1000, "sysctl kernel.unprivileged_userns_clone=1"),
        ("apparmor_restrict_unprivileged_userns", "1", 1000, "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("status", "Name:\tpython\nSeccomp:\t2", 1000, "seccomp=/usr/share/containers/seccomp.json"),
        ("status", "Name:\tpython\nSeccomp:\t0", 1000, "user_namespaces(7)"),
    ],
)
def test_what_stands_in_the_way_is_named(
    name: str, value: str, uid: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _says(monkeypatch, **{name: value})
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert said in remedies.remedy()


@pytest.mark.parametrize("name", ["unprivileged_userns_clone", "apparmor_restrict_unprivileged_userns"])
def test_what_does_not_bind_root_is_not_named_to_root(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, **{name: "0" if name.startswith("unprivileged") else "1"})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert name not in remedies.remedy()


def test_the_apparmor_profile_names_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, apparmor_restrict_unprivileged_userns="1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("sys.executable", "/usr/bin/python-of-this-test")
    assert "/usr/bin/python-of-this-test flags=(unconfined)" in remedies.remedy()
    assert "userns," in remedies.remedy()


def test_a_pod_and_a_container_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "_in_container", lambda: True)
    assert "docker run --security-opt seccomp=" in remedies.remedy()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert "securityContext.seccompProfile" in remedies.remedy()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENOMEM])
def test_what_has_run_out_is_no_word_of_the_host_on_namespaces(number: int) -> None:
    failed = {"state": "failed", "stage": "starting pid 1", "syscall": "", "path": b"", "errno": number}
    refused = remedies.refusal(failed)
    assert isinstance(refused, SandboxSetupError)
    assert os.strerror(number) in str(refused)
    assert isinstance(remedies.refusal({**failed, "errno": errno.EPERM}), SandboxUnavailableError)


def test_too_few_descriptors_name_the_limit_and_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies.resource, "getrlimit", lambda _: (64, 128))
    failed = {"state": "failed", "stage": "identity", "syscall": "open_tree", "path": b"/x", "errno": errno.EMFILE}
    assert str(remedies.refusal(failed)).endswith(
        "identity: open_tree: /x: Too many open files (the limit RLIMIT_NOFILE is 64, at most 128: raise it, for "
        "instance with ulimit -n)"
    )
    assert str(remedies.refusal({**failed, "reason": "what is so"})).endswith("identity: open_tree: /x: what is so")


def test_a_host_that_cannot_observe_is_named() -> None:
    error = remedies.refusal({"stage": attempts.OBSERVING, "syscall": "seccomp", "errno": errno.ENOSYS})
    assert isinstance(error, SandboxUnavailableError)
    assert "seccomp_unotify(2)" in error.remedy and "without --explain-denials" in error.remedy


def test_an_id_map_that_cannot_be_written_has_a_remedy_of_its_own() -> None:
    assert "mount /proc read-write" in remedies.remedy_of({"syscall": "write", "errno": errno.EROFS})
    assert remedies.remedy_of({"syscall": "write", "errno": errno.EPERM}) == remedies.remedy()


@pytest.mark.parametrize(
    ("number", "limit", "command"), [(errno.EMFILE, "NOFILE", "ulimit -n"), (errno.EAGAIN, "NPROC", "ulimit -u")]
)
def test_a_limit_of_the_caller_is_named_with_its_value(
    number: int, limit: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (7, 9) if kind == getattr(resource, f"RLIMIT_{limit}") else ()
    )
    error = remedies.refusal({"stage": "a stage of no host", "syscall": "pipe", "errno": number})
    assert isinstance(error, SandboxSetupError)
    assert f"the limit RLIMIT_{limit} is 7, at most 9: raise it, for instance with {command}" in str(error)


def test_bubblewrap_that_does_not_work_is_the_hosts_fault() -> None:
    error = remedies.refusal({"stage": "bubblewrap", "said": "odd"})
    assert isinstance(error, SandboxUnavailableError)
    assert "the launcher bubblewrap does not work here: odd" in str(error)
    assert error.remedy == "use the launcher native, which works in more places"


def test_no_namespace_left_is_load_unless_the_host_allows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """unshare(2) fails with ENOSPC for both, and hooks may use up all that there are."""
    failed = {"stage": "identity", "syscall": "unshare", "errno": errno.ENOSPC}
    _says(monkeypatch, max_user_namespaces="15000", max_net_namespaces="15000")
    assert remedies.is_load("unshare", errno.ENOSPC)
    assert isinstance(remedies.refusal(failed), SandboxSetupError)
    _says(monkeypatch, max_user_namespaces="15000", max_net_namespaces="0")
    assert not remedies.is_load("unshare", errno.ENOSPC)
    assert isinstance(remedies.refusal(failed), SandboxUnavailableError)
    assert remedies.is_load("mount", errno.ENOSPC)


def test_a_bubblewrap_that_follows_links_names_the_version_to_install() -> None:
    error = remedies.refusal({"stage": "bubblewrap", "syscall": bubblewrap_guard.CVE, "errno": errno.EPERM})
    assert isinstance(error, SandboxUnavailableError)
    assert bubblewrap_guard.UNGUARDED in error.missing[0]
    assert error.remedy.startswith("install bubblewrap 0.12 or newer; or ")


def test_a_kernel_without_landlock_has_a_remedy_of_its_own_unless_it_is_load() -> None:
    failed = {"stage": "filesystem", "syscall": "landlock_create_ruleset", "errno": errno.ENOSYS}
    error = remedies.refusal(failed)
    assert isinstance(error, SandboxUnavailableError)
    assert error.missing == ("filesystem: landlock_create_ruleset fails with Function not implemented",)
    assert "use Linux 5.19 or newer, with landlock" in error.remedy
    assert isinstance(remedies.refusal({**failed, "errno": errno.ENOMEM}), SandboxSetupError)
