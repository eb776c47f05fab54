from __future__ import annotations

import json
import marshal
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from support.each import each

import isolated_hooks.sandbox.environ as child
from isolated_hooks.frontends.pip.program import STATE
from isolated_hooks.plan.credentials import holds_credentials
from isolated_hooks.plan.environ import EnvironRules, looks_secret, plan_environ
from isolated_hooks.plan.environtables import (
    ALWAYS_KEEP,
    BUILD_VARIABLES,
    NETWORK_VARIABLES,
    NEVER,
    PATH_LISTS,
    SECRET_PARTS,
    SECRET_WORDS,
    STRUCTURAL,
)
from isolated_hooks.plan.gitsettings import git_variables
from isolated_hooks.plan.projectvariables import PROJECT_VARIABLES
from isolated_hooks.policy import Policy

KEY = b"k" * 32
CANARIES = {
    "TWINE_PASSWORD": "hunter2",
    "TWINE_USERNAME": "someone",
    "NGC_API_KEY": "hunter2",
    "AWS_ACCESS_KEY_ID": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "AWS_PROFILE": "hunter2",
    "GITHUB_TOKEN": "hunter2",
    "GITHUB_ENV": "/hunter2",
    "GH_PAT": "hunter2",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "hunter2",
    "CI_JOB_JWT": "hunter2",
    "SSH_AUTH_SOCK": "/run/hunter2",
    "DBUS_SESSION_BUS_ADDRESS": "unix:hunter2",
    "NETRC": "/hunter2",
    "PIP_INDEX_URL": "https://u:hunter2@host/",
    "PIP_EXTRA_INDEX_URL": "https://host/",
    "UV_INDEX_PRIVATE_PASSWORD": "hunter2",
    "KUBECONFIG": "/hunter2",
    "npm_config__authToken": "hunter2",
    "my_password": "hunter2",
    "cc": "hunter2",
    "Path": "/hunter2",
    "CARGO_REGISTRY_TOKEN": "hunter2",
    "CARGO_REGISTRIES_MINE_TOKEN": "hunter2",
    "CARGO_REGISTRIES_MINE_INDEX": "sparse+https://host/",
    "CARGO_REGISTRIES_MINE_CREDENTIAL_PROVIDER": "hunter2",
    "MATURIN_PASSWORD": "hunter2",
    "CMAKE_API_KEY": "hunter2",
    "CMAKE_api_key": "hunter2",
    "SETUPTOOLS_KEY": "hunter2",
    "LC_MINE": "hunter2",
    "LD_PRELOAD": "/hunter2.so",
    "LD_AUDIT": "/hunter2.so",
    "PYTHONPATH": "/hunter2",
    "PYTHONHOME": "/hunter2",
    "PYTHONSTARTUP": "/hunter2",
    "BASH_ENV": "/hunter2",
    "ENV": "/hunter2",
    "BASH_FUNC_ls%%": "() { hunter2; }",
    "PERL5OPT": "-Mhunter2",
    "GIT_SSH_COMMAND": "hunter2",
    "GIT_CONFIG_KEY_9": "hunter2",
    "GCONV_PATH": "/hunter2",
    "HTTPS_PROXY": "hunter2",
    "VIRTUAL_ENV": "/hunter2",
    "NOT_UTF8": "hunter2\udcff\udc80",
    "CFLAGS": "-DURL=https://user:hunter2@host/x",
    "LDFLAGS": "https://hunter2@host",
    "CPPFLAGS": "user:hunter2@host:8080",
    "\udcff": "hunter2",
    "EMPTY": "",
}


def plan(
    ambient: dict[str, str] | None = None,
    *,
    started_with: dict[str, str] | None = None,
    extra: dict[str, str] | None = None,
    tools: Mapping[str, str] = MappingProxyType({}),
    **policy: Any,
) -> EnvironRules:
    ambient = ambient or {}
    return plan_environ(
        ambient,
        ambient if started_with is None else started_with,
        extra,
        Policy(**policy),
        home="/home/build",
        tmpdir="/tmp",
        user="build",
        tools=tools,
        git=git_variables(),
        shows={"/usr/lib/x", "/usr/lib/y", "/envs/e/bin"}.__contains__,
    )


def encode(variables: dict[str, str]) -> dict[bytes, bytes]:
    def one(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    return {one(name): one(value) for name, value in variables.items()}


def run(
    rules: EnvironRules,
    merged: dict[str, str],
    *,
    roots: tuple[bytes, ...] = (b"/usr",),
    refused: tuple[bytes, ...] = (),
) -> dict[str, str]:
    """Apply the rules as the child does, after marshal has written and read them."""
    wire = marshal.loads(marshal.dumps(rules.for_child(KEY, path_roots=roots, path_refused=refused)))
    result = child.apply(encode(merged), wire)
    return {
        name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for name, value in result.items()
    }


def hook_environ(ambient: dict[str, str], **arguments: Any) -> dict[str, str]:
    """Return the hook's environment, if the frontend merges its own with extra_environ, as for subprocess."""
    return run(plan(ambient, **arguments), {**ambient, **(arguments.get("extra") or {})})


# Credentials.


@pytest.mark.parametrize("network", [False, True])
def test_ambient_canaries_do_not_survive(network: bool) -> None:
    ambient = {name: value for name, value in CANARIES.items() if not (network and name == "HTTPS_PROXY")}
    rules = plan(ambient, network=network)
    result = run(rules, ambient)
    assert not result.keys() & ambient.keys()
    assert not [value for value in result.values() if "hunter2" in value]
    assert set(rules.dropped) == ambient.keys()


def test_injected_canaries_survive() -> None:
    def check(name: str) -> None:
        # Injected by extra_environ, by a runner that adds a variable, and by a runner that changes one.
        assert hook_environ({}, extra={name: "x"})[name] == "x"
        assert run(plan({}), {name: "x"})[name] == "x"
        assert run(plan(CANARIES), {**CANARIES, name: "changed"})[name] == "changed"

    each(CANARIES, check)


def test_the_rules_contain_no_value() -> None:
    rules = plan({**CANARIES, "CXX": "hunter2"}, extra={"X": "hunter2"}, env_keep=["KUBECONFIG"])
    assert b"hunter2" not in marshal.dumps(rules.for_child(KEY))
    assert "hunter2" not in repr(rules)
    assert "hunter2" not in json.dumps(rules.to_dict())


def test_the_digest_is_keyed() -> None:
    assert child.digest(KEY, b"value") == child.digest(KEY, b"value")
    assert len({child.digest(KEY, b"value"), child.digest(b"j" * 32, b"value"), child.digest(KEY, b"valuf")}) == 3
    assert len(child.digest(KEY, b"")) == 16


@pytest.mark.parametrize("length", [0, 15, 65])
def test_a_weak_key_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="expected 16 to 64"):
        plan().for_child(b"k" * length)


def test_a_runner_that_lets_the_ambient_value_win_does_not_leak_it() -> None:
    rules = plan({"MY_TOKEN": "hunter2"}, extra={"MY_TOKEN": "other"})
    assert "MY_TOKEN" not in run(rules, {"MY_TOKEN": "hunter2"})
    assert run(rules, {"MY_TOKEN": "other"})["MY_TOKEN"] == "other"


# The tables.

KEEP_TABLES = (*ALWAYS_KEEP, *BUILD_VARIABLES, *PROJECT_VARIABLES, *NETWORK_VARIABLES, *PATH_LISTS, *sorted(STRUCTURAL))


def example(entry: str) -> str:
    return entry[:-1] + "X" if entry.endswith("*") else entry


def test_no_table_keeps_a_name_that_looks_secret() -> None:
    assert [entry for entry in KEEP_TABLES if looks_secret(example(entry))] == []


def test_no_prefix_keeps_a_name_that_looks_secret() -> None:
    words = [*SECRET_PARTS, *(f"_{word}" for word in SECRET_WORDS)]

    def check(entry: str) -> None:
        names = [entry[:-1] + word for word in words] + [entry[:-1] + word.lower() + "_x" for word in words]
        assert hook_environ(dict.fromkeys(names, "hunter2"), network=True).keys() & {*names} == set()

    each((entry for entry in KEEP_TABLES if entry.endswith("*")), check)


def test_variables_in_never_are_not_kept() -> None:
    def check(name: str) -> None:
        assert hook_environ({name: "hunter2"}, network=True).get(name) in (None, "/home/build/.cargo")

    each(map(example, NEVER), check)


def test_entries_are_names_or_meaningful_prefixes() -> None:
    for entry in (*KEEP_TABLES, *NEVER):
        stem = entry[:-1] if entry.endswith("*") else entry
        assert stem.replace("_", "").isalnum()
        assert len(stem.replace("_", "")) >= 2
    for table in (ALWAYS_KEEP, BUILD_VARIABLES, PROJECT_VARIABLES, NETWORK_VARIABLES, NEVER):
        assert len(set(table)) == len(table)


def test_listed_variables_are_kept() -> None:
    def check(name: str) -> None:
        assert hook_environ({name: "a value"})[name] == "a value"
        assert hook_environ({name: "a value"}, env_delete=[name.lower()]).get(name) is None

    each(map(example, (*ALWAYS_KEEP, *BUILD_VARIABLES, *PROJECT_VARIABLES)), check)


READ_BY_BUILDS = """
    CC CXX CFLAGS LDFLAGS CMAKE_ARGS CMAKE_PREFIX_PATH PKG_CONFIG_PATH CARGO_BUILD_JOBS RUSTFLAGS RUSTUP_TOOLCHAIN
    MAX_JOBS SOURCE_DATE_EPOCH SETUPTOOLS_SCM_PRETEND_VERSION SETUPTOOLS_SCM_PRETEND_VERSION_FOR_X PBR_VERSION
    CUDA_HOME TORCH_CUDA_ARCH_LIST ARCHFLAGS MAKEFLAGS NINJA_STATUS OPENBLAS_NUM_THREADS LC_ALL TZ NO_COLOR
"""


def test_variables_that_real_builds_read_are_kept() -> None:
    names = READ_BY_BUILDS.split()
    kept = hook_environ(dict.fromkeys(names, "a value"))
    assert [name for name in names if kept.get(name) != "a value"] == []


@pytest.mark.parametrize("name", ["pybind11_DIR", "Boost_ROOT", "OpenCV_DIR", "LZO_DIR", "ZLIB_INCLUDE_DIR"])
def test_the_directory_of_a_package_is_kept_if_it_is_visible(name: str) -> None:
    assert hook_environ({name: "/usr/lib/x"})[name] == "/usr/lib/x"
    assert hook_environ({name: "/usr/lib/x:/usr/lib/y"})[name] == "/usr/lib/x:/usr/lib/y"
    for value in ("/home/x", "/usr/lib/x:/home/x", "x", "", "ON"):
        assert plan({name: value}).decisions[name].keep is (name in PROJECT_VARIABLES), value


@pytest.mark.parametrize(
    "name", ["GITHUB_X_DIR", "CI_PROJECT_DIR", "CCACHE_DIR", "X_CACHE_DIR", "XDG_X_DIR", "SSL_CERT_DIR", "MY_TOKEN_DIR"]
)
def test_the_directory_of_something_else_is_not_kept(name: str) -> None:
    assert name not in hook_environ({name: "/usr/lib/x"})


def test_case_matters_in_the_tables() -> None:
    assert "cflags" not in hook_environ({"cflags": "x"})


def test_proxies_and_certificates_are_kept_only_with_the_network() -> None:
    def check(name: str) -> None:
        assert name not in hook_environ({name: "http://proxy:8080"})
        assert hook_environ({name: "http://proxy:8080"}, network=True)[name] == "http://proxy:8080"
        for value in ("http://u:p@proxy:8080", "http://u@proxy", "u:p@proxy:8080"):
            assert name not in hook_environ({name: value}, network=True)

    each(NETWORK_VARIABLES, check)


@pytest.mark.parametrize(
    "name",
    [
        "X_TOKEN",
        "tokenX",
        "A_PASSWORD_B",
        "GH_PAT",
        "PAT",
        "x.key",
        "MY-KEY",
        "ApiKey",
        "OAUTH",
        "DB_PASS",
        "db_pwd",
        "INDEX_PSW",
        "SSHPASS",
    ],
)
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["PATH", "CFLAGS", "MONKEY", "PATCH", "COMPASS", "KEYMAP", "BYPASS"])
def test_names_that_do_not_look_secret(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    "value",
    [
        "https://u:p@h",
        "https://token@h/x",
        "//u:p@h:3128",
        "--proxy=//u:p@h",
        "-DA=git+ssh://git@h/x",
        "x https://u:p?@h",
        "u:p@h",
        "--proxy=u:p@h",
        "A='u:p@h'",
    ],
)
def test_values_with_credentials(value: str) -> None:
    assert holds_credentials(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "https://h:80/x@1",
        "/opt//python@3.12/lib:/opt//b@2",
        "-Wl,-rpath,@loader_path/../lib",
        "/opt//python@3.12/lib:/x/y@1",
        "a@b",
        "-O2 -g",
        "key: a@b",
    ],
)
def test_values_without_credentials(value: str) -> None:
    assert not holds_credentials(value)


def test_a_long_value_is_searched_in_linear_time() -> None:
    # With a regular expression of quadratic time this would not end.
    assert not holds_credentials("=" * 2_000_000)
    assert not holds_credentials("a:" * 1_000_000)
    assert not holds_credentials("//" * 1_000_000)


# The policy's own patterns.


def test_keep_matches_names_or_prefixes_and_case_matters() -> None:
    ambient = {"AWS_PROFILE": "p", "AWS_REGION": "r", "MY_TOKEN": "t", "my_token": "u", "LD_PRELOAD": "/x.so"}
    result = hook_environ(ambient, env_keep=["AWS_*", "MY_TOKEN", "LD_PRELOAD"])
    assert {name: result.get(name) for name in ambient} == {**ambient, "my_token": None}


def test_keep_keeps_even_values_with_credentials() -> None:
    assert hook_environ({"CFLAGS": "https://u:p@h"}, env_keep=["CFLAGS"])["CFLAGS"] == "https://u:p@h"


def test_delete_drops_ambient_and_injected_variables_in_any_case() -> None:
    rules = plan({"CFLAGS": "a", "CC": "b"}, env_delete=["cflags", "Mine_*"])
    result = run(rules, {"CFLAGS": "changed", "CC": "b", "MINE_A": "1", "mine_b": "2", "MINE": "3"})
    assert {"CC", "MINE"} <= result.keys()
    assert result.keys().isdisjoint(("CFLAGS", "MINE_A", "mine_b"))
    assert rules.decisions["CFLAGS"].reason == "deleted"


def test_keep_overrides_delete() -> None:
    policy: dict[str, Any] = {"env_keep": ["A_*"], "env_delete": ["*"]}
    assert hook_environ({"A_X": "1", "CC": "2"}, **policy).get("A_X") == "1"
    assert "CC" not in hook_environ({"A_X": "1", "CC": "2"}, **policy)
    injected = run(plan({}, **policy), {"A_Y": "1", "B": "2"})
    assert injected["A_Y"] == "1"
    assert "B" not in injected


def test_delete_does_not_drop_a_variable_that_the_runner_call_passed() -> None:
    extra = {"HOOK_BACKEND": "setuptools.build_meta"}
    assert hook_environ({}, extra=extra, env_delete=["*"])["HOOK_BACKEND"] == "setuptools.build_meta"
    # With nested frontends the variable is ambient too, with the same value.
    outer = {**extra, "TWINE_PASSWORD": "canary"}
    assert hook_environ(outer, extra=extra, env_delete=["*"])["HOOK_BACKEND"] == "setuptools.build_meta"
    assert hook_environ(outer, extra=extra)["HOOK_BACKEND"] == "setuptools.build_meta"


def test_a_copy_of_the_whole_environment_is_still_ambient() -> None:
    ambient = {"TWINE_PASSWORD": "canary", "KUBECONFIG": "/k", "CC": "gcc"}
    hook = hook_environ(ambient, extra={**ambient, "HOOK_BACKEND": "setuptools.build_meta"})
    assert hook["HOOK_BACKEND"] == "setuptools.build_meta"
    assert hook["CC"] == "gcc"
    assert not {"TWINE_PASSWORD", "KUBECONFIG"} & set(hook)


def test_parent_and_child_agree_on_case_beyond_ascii() -> None:
    # str.lower() would make these match, bytes.lower() does not. Neither side may drop a variable that the other keeps.
    name = "\u00c4_CC"
    rules = plan({name: "1"}, env_delete=["\u00e4_*"])
    assert rules.decisions[name].reason == "unlisted"
    assert run(plan({}, env_delete=["\u00e4_*"]), {name: "1"})[name] == "1"
    assert run(plan({}, env_delete=["\u00c4_*"]), {"\u00e4_CC": "1"})["\u00e4_CC"] == "1"


# Changes that the frontend made in its own environment.


@pytest.mark.parametrize("name", sorted(STRUCTURAL))
def test_structural_names_are_kept_only_if_the_frontend_changed_them(name: str) -> None:
    ambient = {name: "/env/site"}
    assert name not in hook_environ(ambient, started_with=ambient)
    assert hook_environ(ambient, started_with={name: "/other"})[name] == "/env/site"
    assert hook_environ(ambient, started_with={})[name] == "/env/site"


def test_a_change_does_not_keep_any_other_name() -> None:
    result = hook_environ({"GITHUB_TOKEN": "x", "LD_PRELOAD": "/x", "PYTHONHOME": "/x"}, started_with={})
    assert result.keys().isdisjoint(("GITHUB_TOKEN", "LD_PRELOAD", "PYTHONHOME"))


# Values that the filter adapts to the sandbox.

FITTED = {
    "HOME": "/home/build",
    "TMPDIR": "/tmp",
    "TEMP": "/tmp",
    "TMP": "/tmp",
    "USER": "build",
    "LOGNAME": "build",
    "XDG_CACHE_HOME": "/home/build/.cache",
    "XDG_CONFIG_HOME": "/home/build/.config",
    "XDG_DATA_HOME": "/home/build/.local/share",
    "XDG_STATE_HOME": "/home/build/.local/state",
    "CARGO_HOME": "/home/build/.cargo",
    "CARGO_NET_OFFLINE": "true",
    **git_variables(),
}


def test_an_empty_environment_is_adapted() -> None:
    assert hook_environ({}) == {
        **FITTED,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PIP_RETRIES": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.mark.parametrize("name", FITTED)
def test_adapted_values_override_others_and_are_reported(name: str) -> None:
    ambient = {name: "ambient"}
    assert hook_environ(ambient, env_keep=[name])[name] == FITTED[name]
    assert hook_environ(ambient, env_delete=[name])[name] == FITTED[name]
    assert run(plan({}), {name: "injected"})[name] == FITTED[name]
    rules = plan(ambient, extra={name: "passed"})
    assert run(rules, {name: "passed"})[name] == FITTED[name]
    assert rules.overridden == (name,)
    assert rules.decisions[name].reason == "replaced"
    assert not rules.decisions[name].keep
    assert name not in rules.dropped


def test_a_value_that_already_fits_is_not_reported_as_overridden() -> None:
    assert plan(extra=dict(FITTED)).overridden == ()


def test_the_runtime_directory_is_removed_even_if_injected() -> None:
    ambient = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    assert "XDG_RUNTIME_DIR" not in hook_environ(ambient, env_keep=["XDG_RUNTIME_DIR"])
    assert "XDG_RUNTIME_DIR" not in hook_environ({}, extra=ambient)
    assert plan(extra=ambient).overridden == ("XDG_RUNTIME_DIR",)
    assert plan(ambient).decisions["XDG_RUNTIME_DIR"].reason == "removed"


@pytest.mark.parametrize("name", [STATE, "_ISOLATED_HOOKS_OF_ANOTHER_FRONTEND"])
def test_variables_of_our_own_processes_are_removed_even_if_injected(name: str) -> None:
    assert name not in hook_environ({name: "state"}, env_keep=[name, "_*"])
    assert name not in hook_environ({}, extra={name: "state"})
    assert name not in run(plan({}), {name: "injected"})
    assert plan(extra={name: "state"}).overridden == (name,)
    assert plan({name: "state"}).decisions[name].reason == "removed"
    assert name not in plan({name: "state"}).dropped
    assert hook_environ({}, extra={f"X{name}": "kept", "_ISOLATED": "kept"}).keys() >= {f"X{name}", "_ISOLATED"}


def test_offline_settings_apply_only_without_the_network() -> None:
    result = hook_environ({}, network=True)
    assert result.keys().isdisjoint(("CARGO_NET_OFFLINE", "PIP_RETRIES", "PIP_DISABLE_PIP_VERSION_CHECK"))


def test_defaults_give_way_to_the_frontend_but_not_to_the_ambient_value() -> None:
    assert hook_environ({}, extra={"PIP_RETRIES": "7"})["PIP_RETRIES"] == "7"
    assert hook_environ({"PIP_RETRIES": "7"})["PIP_RETRIES"] == "0"
    assert hook_environ({"PIP_RETRIES": "7"}, env_keep=["PIP_*"])["PIP_RETRIES"] == "7"


def test_rustup_home_is_set_only_if_visible() -> None:
    ambient = {"RUSTUP_HOME": "/root/.rustup"}
    assert "RUSTUP_HOME" not in hook_environ(ambient)
    assert hook_environ(ambient, tools={"RUSTUP_HOME": "/opt/rustup"})["RUSTUP_HOME"] == "/opt/rustup"


def test_hooks_may_write_bytecode() -> None:
    assert "PYTHONDONTWRITEBYTECODE" not in hook_environ({})


# Lists of directories.


def path(value: str, roots: tuple[bytes, ...], refused: tuple[bytes, ...] = (), *, name: str = "PATH") -> str | None:
    return run(plan({name: value}), {name: value}, roots=roots, refused=refused).get(name)


def test_path_keeps_visible_entries_in_order_without_duplicates() -> None:
    value = "/usr/bin:/home/me/bin:/opt/x/bin:/usr/bin:/usrlocal:/usr"
    assert path(value, (b"/usr", b"/opt/x/")) == "/usr/bin:/opt/x/bin:/usr"


@pytest.mark.parametrize("entry", ["", ".", "bin", "usr/bin", "/usr/../home", "/usr/bin/..", "~/bin"])
def test_path_drops_relative_entries(entry: str) -> None:
    assert path(f"{entry}:/usr/bin:{entry}", (b"/usr", b"/home", b"/")) == "/usr/bin"


def test_path_drops_directories_that_the_hook_can_write_to() -> None:
    roots, refused = (b"/usr",), (b"/usr/src/pkg", b"/usr/tmp/")
    assert path("/usr/src/pkg/bin:/usr/src/pkg:/usr//tmp/./x:/usr/src/pkg2", roots, refused) == "/usr/src/pkg2"
    assert path("/usr/x:/bin", (b"/usr", b"/bin"), (b"/usr",)) == "/bin"


def test_path_keeps_a_build_environment_in_a_writable_directory() -> None:
    value = "/tmp/env/bin:/tmp/other/bin:/src/.venv/bin"
    assert path(value, (b"/tmp/env", b"/src/.venv"), (b"/tmp", b"/src")) == "/tmp/env/bin:/src/.venv/bin"


def test_the_deepest_directory_decides_in_any_order() -> None:
    roots, refused = (b"/usr/src/env", b"/usr"), (b"/usr/src", b"/home")
    value = "/usr/src/env/bin:/usr/src/bin:/usr/bin"
    for turn in (1, -1):
        assert path(value, roots[::turn], refused[::turn]) == "/usr/src/env/bin:/usr/bin"


@pytest.mark.parametrize("value", ["", "/home/me/bin", ":", "bin"])
def test_path_is_never_empty(value: str) -> None:
    assert path(value, (b"/usr",)) == "/usr/local/bin:/usr/bin:/bin"


def test_path_without_roots_is_the_default() -> None:
    rules = plan({"PATH": "/usr/bin"}).for_child(KEY)
    assert child.apply({b"PATH": b"/usr/bin"}, rules)[b"PATH"] == b"/usr/local/bin:/usr/bin:/bin"


def test_path_is_filtered_even_if_injected() -> None:
    value = "/env/bin:/home/me/bin:/usr/bin"
    cases: list[dict[str, Any]] = [{"extra": {"PATH": value}}, {"env_keep": ["PATH"]}, {"started_with": {}}]
    for arguments in cases:
        rules = plan({"PATH": value}, **arguments)
        assert run(rules, {"PATH": value}, roots=(b"/usr", b"/env"))["PATH"] == "/env/bin:/usr/bin"


def test_a_deleted_path_is_replaced_by_the_default() -> None:
    assert hook_environ({"PATH": "/usr/x"}, env_delete=["path"])["PATH"] == "/usr/local/bin:/usr/bin:/bin"


def test_entries_need_not_be_utf8() -> None:
    assert path("/usr/\udcff:/\udcfe", (b"/usr",)) == "/usr/\udcff"


def test_library_path_is_filtered_and_has_no_default() -> None:
    assert path("/opt/a/lib:/home/x", (b"/opt",), name="LD_LIBRARY_PATH") == "/opt/a/lib"
    assert path("/home/x:", (b"/opt",), name="LD_LIBRARY_PATH") is None
    assert path("/opt//python@3.12/lib", (b"/opt",), name="LD_LIBRARY_PATH") == "/opt//python@3.12/lib"


# The rules themselves.


def test_every_ambient_variable_has_a_decision_and_a_reason() -> None:
    ambient = {**CANARIES, "CC": "gcc", "LANG": "C", "PATH": "/usr/bin", "HOME": "/root", "K": "1", "P": "2", "D": "3"}
    rules = plan(ambient, extra={"P": "2"}, env_keep=["K"], env_delete=["D"])
    reasons = {name: (rules.decisions[name].keep, rules.decisions[name].reason) for name in ambient}
    assert len(reasons) == len(rules.decisions)
    expected = {
        "CC": (True, "build"),
        "LANG": (True, "built-in"),
        "PATH": (True, "path"),
        "HOME": (False, "replaced"),
        "K": (True, "env_keep"),
        "P": (True, "passed"),
        "D": (False, "deleted"),
        "TWINE_PASSWORD": (False, "secret name"),
        "CFLAGS": (False, "secret value"),
        "LD_PRELOAD": (False, "never"),
        "KUBECONFIG": (False, "unlisted"),
    }
    assert {name: reasons[name] for name in expected} == expected


def test_decisions_and_the_child_agree() -> None:
    ambient = {**CANARIES, "CC": "gcc", "LANG": "C", "K": "1", "D": "3", "PYTHONPATH": "/new"}
    rules = plan(ambient, started_with={}, env_keep=["K"], env_delete=["D"])
    result = run(rules, ambient)
    assert {name for name in ambient if name in result} == {
        n for n, decision in rules.decisions.items() if decision.keep
    }


def test_to_dict_lists_names_and_reasons() -> None:
    result = plan({"CC": "x", "A_TOKEN": "hunter2"}, extra={"HOME": "/x"}).to_dict()
    assert result["kept"] == {"CC": "build"}
    assert result["dropped"] == {"A_TOKEN": "secret name"}
    assert result["overridden"] == ["HOME"]
    assert result["set"] == FITTED


def test_later_changes_of_the_environment_do_not_change_the_rules() -> None:
    ambient = {"A_TOKEN": "hunter2"}
    rules = plan(ambient)
    ambient["A_TOKEN"] = "changed"
    assert "A_TOKEN" not in run(rules, {"A_TOKEN": "hunter2"})


def test_apply_does_not_change_its_argument() -> None:
    merged = {b"A": b"1"}
    result = child.apply(merged, plan({"A": "1"}).for_child(KEY))
    assert merged == {b"A": b"1"}
    assert result is not merged


def test_without_extra_environ() -> None:
    assert plan({"CC": "x"}, extra=None).overridden == ()


def test_the_child_imports_next_to_nothing() -> None:
    package = pathlib.Path(child.__file__).parent
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); import sandbox.environ; "
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-I", "-S", "-B", "-c", code, str(package.parent)]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(names) <= {"__future__", "_blake2", "sandbox", "sandbox.environ"}


def test_env_remove_removes_variables_even_if_injected() -> None:
    ambient = {"CC": "gcc"}
    assert "CC" not in hook_environ(ambient, env_remove=["CC"], env_keep=["CC", "C*"])
    assert "CC" not in hook_environ({}, extra=ambient, env_remove=["CC"])
    assert "CC" not in run(plan({}, env_remove=["CC"]), {"CC": "injected"})
    assert plan(ambient, env_remove=["CC"]).dropped == ("CC",)
    assert hook_environ(ambient, env_remove=["CXX"])["CC"] == "gcc"
    assert hook_environ({}, env_remove=["HOME"])["HOME"] == FITTED["HOME"]


def test_an_activated_environment_is_named_if_its_programs_are_visible() -> None:
    ambient = {"CONDA_PREFIX": "/envs/e", "VIRTUAL_ENV": "/envs/hidden"}
    chosen = plan(ambient)
    assert (chosen.decisions["CONDA_PREFIX"].keep, chosen.decisions["VIRTUAL_ENV"].keep) == (True, False)
    assert not plan({"CONDA_PREFIX": "/usr/lib/x"}).decisions["CONDA_PREFIX"].keep
