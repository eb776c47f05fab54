from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

import pytest
from support.fakes import no_hang

from isolated_hooks.errors import PolicyError
from isolated_hooks.policy import DEFAULT_REQUIRE, HOOKS, Limits, Policy, load_policy, parse_size
from isolated_hooks.policy.policy import policy_values
from isolated_hooks.protections import ROWS, Protection, ProtectionState

GIB = 1024**3


def refused(**arguments: Any) -> str:
    with pytest.raises(PolicyError) as caught:
        Policy(**arguments)
    return str(caught.value)


def of_table(table: dict[str, Any], where: str = "here") -> Policy:
    return Policy(**policy_values(table, where))


def write(tmp_path: pathlib.Path, text: str) -> pathlib.Path:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load_refused(tmp_path: pathlib.Path, text: str) -> str:
    path = write(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_defaults_are_strict() -> None:
    policy = Policy()
    assert policy.hooks == frozenset(HOOKS)
    assert len(policy.hooks) == 9
    assert policy.network is False
    assert policy.source == "read-write"
    assert policy.expose == policy.writable == policy.hide == policy.env_keep == policy.env_delete == ()
    assert policy.limits == Limits(temp_size=4 * GIB, output_size=4 * GIB)
    assert policy.require == DEFAULT_REQUIRE
    assert policy.allow_degraded == frozenset()
    assert policy.allow_url_requirements is False
    assert policy.allow_other_names is False
    assert policy.deep_check is False
    assert policy.launcher == "native"


def test_every_hook_that_pyproject_hooks_can_call_is_sandboxed() -> None:
    stems = {"build_wheel", "build_sdist", "build_editable", "_supported_features"}
    stems |= {f"get_requires_for_build_{kind}" for kind in ("wheel", "sdist", "editable")}
    stems |= {f"prepare_metadata_for_build_{kind}" for kind in ("wheel", "editable")}
    assert set(HOOKS) == stems


def test_a_policy_is_frozen_and_takes_keywords_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy().network = True  # type: ignore[misc]
    with pytest.raises(TypeError):
        Policy(HOOKS)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Limits(1.0)  # type: ignore[call-arg]


def test_a_policy_can_be_replaced_compared_and_hashed() -> None:
    policy = dataclasses.replace(Policy(network=True, expose=["/opt/x"]), network=False)
    assert policy == Policy(expose=["/opt/x"])
    assert hash(policy) == hash(Policy(expose=["/opt/x"]))
    with pytest.raises(PolicyError):
        dataclasses.replace(policy, source="elsewhere")  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["network", "allow_url_requirements", "allow_other_names", "deep_check"])
@pytest.mark.parametrize("value", [1, 0, "false", "yes", None])
def test_flags_take_only_true_and_false(key: str, value: object) -> None:
    message = refused(**{key: value})
    assert key in message
    assert repr(value) in message
    assert "true or false" in message


def test_hooks_are_checked() -> None:
    assert Policy(hooks=["build_wheel"]).hooks == {"build_wheel"}
    assert "did you mean 'build_wheel'" in refused(hooks=["build_whel"])
    assert "list" in refused(hooks="build_wheel")
    assert "nothing is sandboxed" in refused(hooks=[])
    assert "hooks" in refused(hooks=[["build_wheel"]])


def test_source_has_two_values() -> None:
    assert Policy(source="read-only").source == "read-only"
    assert "expected one of read-write, read-only, discard, got 'overlay'" in refused(source="overlay")
    assert "did you mean 'read-only'" in refused(source="readonly")
    assert "source" in refused(source=["read-only"])


@pytest.mark.parametrize("name", ["native", "bubblewrap", "x", "My.Own-launcher_2"])
def test_only_the_form_of_a_launcher_name_is_checked(name: str) -> None:
    assert Policy(launcher=name).launcher == name
    assert of_table({"launcher": name}).launcher == name


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "../x", "a\n", None, 7, ["native"], "x" * 101])
def test_malformed_launcher_names_are_refused(name: object) -> None:
    assert "launcher" in refused(launcher=name)


@pytest.mark.parametrize("key", ["expose", "writable", "hide"])
def test_paths_are_normalised_and_links_stay(key: str, tmp_path: pathlib.Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/usr")
    policy = Policy(**{key: [link, "//opt//x/./y/", "/opt/x/y", "/a/../b"]})  # type: ignore[arg-type]
    assert getattr(policy, key) == (str(link), "/opt/x/y", "/b")


@pytest.mark.parametrize("key", ["expose", "writable", "hide"])
@pytest.mark.parametrize(
    "path",
    ["relative", "~/x", "", "/", "//", "/..", "/.", "/a\0b", b"/opt", 7, "/proc", "/proc/1", "//proc/self", "/dev"],
)
def test_paths_that_would_open_the_sandbox_are_refused(key: str, path: object) -> None:
    message = refused(**{key: [path]})
    assert key in message
    assert "expected" in message


def test_a_single_text_is_not_a_list() -> None:
    for key in ("expose", "writable", "hide", "env_keep", "env_delete", "require", "allow_degraded"):
        assert "list" in refused(**{key: "/opt"})
        assert "list" in refused(**{key: {"/opt": 1}})
        assert "list" in refused(**{key: 3})


@pytest.mark.parametrize("key", ["env_keep", "env_delete"])
@pytest.mark.parametrize("pattern", ["", "A=B", "A B", "*_TOKEN", "A*B", "A**", "A?", "[AB]", "A\0", "A\n", 3, None])
def test_patterns_are_names_or_prefixes(key: str, pattern: object) -> None:
    assert key in refused(**{key: ["FINE_*", pattern]})


def test_only_env_delete_takes_an_asterisk_alone() -> None:
    assert Policy(env_delete=["*"]).env_delete == ("*",)
    assert "credential" in refused(env_keep=["*"])


def test_patterns_keep_their_order_without_repetition() -> None:
    assert Policy(env_keep=["B_*", "A", "B_*"]).env_keep == ("B_*", "A")


def test_requiring_one_more_protection_gives_up_none() -> None:
    policy = Policy(require=["identity"])
    assert policy.require == DEFAULT_REQUIRE | {Protection.IDENTITY}
    assert Policy(require=()).require == DEFAULT_REQUIRE


def test_protections_by_name_and_by_member() -> None:
    assert Policy(allow_degraded=["network", Protection.IPC]).allow_degraded == {Protection.NETWORK, Protection.IPC}
    assert "did you mean 'network'" in refused(allow_degraded=["netwrk"])
    assert "require" in refused(require=[None])


def test_permits_active_protections_and_little_else() -> None:
    policy = Policy()
    for protection in Protection:
        assert policy.permits(protection, ProtectionState.ACTIVE)
        assert not policy.permits(protection, ProtectionState.DISABLED)
    for protection in DEFAULT_REQUIRE:
        assert not policy.permits(protection, ProtectionState.DEGRADED)
        assert not policy.permits(protection, ProtectionState.UNAVAILABLE)
    for protection in set(Protection) - DEFAULT_REQUIRE:
        assert policy.permits(protection, ProtectionState.DEGRADED)
        assert policy.permits(protection, ProtectionState.UNAVAILABLE) == (ROWS[protection].needed is None)


def test_permits_follows_require_and_allow_degraded() -> None:
    strict = Policy(require=["identity"])
    assert not strict.permits(Protection.IDENTITY, ProtectionState.DEGRADED)
    relaxed = Policy(require=["identity"], allow_degraded=["identity", "ipc"])
    assert relaxed.permits(Protection.IDENTITY, ProtectionState.UNAVAILABLE)
    assert relaxed.permits(Protection.IPC, ProtectionState.UNAVAILABLE)
    assert not relaxed.permits(Protection.NETWORK, ProtectionState.DEGRADED)


def test_only_the_network_can_be_disabled() -> None:
    policy = Policy(network=True)
    assert policy.permits(Protection.NETWORK, ProtectionState.DISABLED)
    assert not policy.permits(Protection.NETWORK, ProtectionState.DEGRADED)
    assert not policy.permits(Protection.FILESYSTEM, ProtectionState.DISABLED)


COUNTS = "cpu_time memory processes open_files file_size temp_size output_size log_size free_space".split()


@pytest.mark.parametrize("key", ["wall_time", "idle_time", *COUNTS])
@pytest.mark.parametrize("value", [0, -1, True, "five", float("nan"), float("inf"), 2**63, [1]])
def test_limits_are_positive_numbers(key: str, value: object) -> None:
    message = refused(limits={key: value})
    assert f"limits.{key}" in message
    assert "expected" in message


@pytest.mark.parametrize("key", COUNTS)
def test_whole_limits_refuse_fractions(key: str) -> None:
    assert key in refused(limits={key: 1.5})


def test_unknown_limits_are_refused() -> None:
    for key in ("inodes", "idle-time", "wall-time"):
        assert "unknown key" in refused(limits={key: 1})


def test_every_limit_except_two_can_be_none() -> None:
    for field in dataclasses.fields(Limits):
        nothing: dict[str, Any] = {field.name: None}
        if field.name not in ("temp_size", "output_size"):
            assert getattr(Limits(**nothing), field.name) is None
        else:
            with pytest.raises(PolicyError):
                Limits(**nothing)


def test_limits_take_numbers_and_a_mapping_takes_sizes() -> None:
    assert Limits(wall_time=3).wall_time == 3.0
    assert isinstance(Limits(wall_time=3).wall_time, float)
    assert Policy(limits={"temp_size": "500M", "cpu_time": 5}).limits == Limits(temp_size=500 * 1024**2, cpu_time=5)
    with pytest.raises(PolicyError):
        Limits(temp_size="500M")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        (7, 7),
        ("12B", 12),
        ("500M", 500 * 1024**2),
        ("500 MiB", 500 * 1024**2),
        ("2GiB", 2 * GIB),
        ("2gib", 2 * GIB),
        ("2G", 2 * GIB),
        ("2GB", 2 * 10**9),
        ("1K", 1024),
        ("1kB", 1000),
        ("3T", 3 * 1024**4),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0G",
        "-1",
        "1.5G",
        "G",
        "5X",
        "1e9",
        "1_000",
        "\u0661",
        "1\u212a",
        "9" * 19 + "T",
        "9" * 5000,
        True,
        None,
        1.0,
        0,
    ],
)
def test_malformed_sizes_are_refused(text: Any) -> None:
    with pytest.raises(PolicyError, match=r"temp-size: expected a positive size in bytes, .*, got "):
        parse_size(text, label="temp-size")


def test_errors_show_no_control_characters_and_are_short() -> None:
    message = refused(expose=["\x1b[2J\u202e" + "x" * 9999])
    assert message.isprintable()
    assert len(message) < 400


def test_to_dict_is_json_and_complete() -> None:
    policy = Policy(expose=["/b", "/a"], allow_degraded=["network", "ipc"], limits={"cpu_time": 5})
    result = json.loads(json.dumps(policy.to_dict()))
    assert set(result) == {field.name for field in dataclasses.fields(Policy)}
    assert result["hooks"] == sorted(HOOKS)
    assert result["require"] == sorted(protection.value for protection in DEFAULT_REQUIRE)
    assert result["allow_degraded"] == ["ipc", "network"]
    assert result["expose"] == ["/b", "/a"]
    assert result["limits"]["cpu_time"] == 5
    assert Policy(**result) == policy


# Tables and files


def test_a_table_spells_keys_with_hyphens() -> None:
    policy = of_table({"env-keep": ["A"], "limits": {"temp-size": "1G"}})
    assert policy == Policy(env_keep=["A"], limits={"temp_size": GIB})
    with pytest.raises(PolicyError, match=r"^here: unknown key 'env_keep'; did you mean 'env-keep'\?$"):
        of_table({"env_keep": ["A"]})
    with pytest.raises(PolicyError, match=r"^here: limits: unknown key 'temp_size'; did you mean 'temp-size'\?$"):
        of_table({"limits": {"temp_size": 1}})
    with pytest.raises(PolicyError, match=r"^here: env-keep: "):
        of_table({"env-keep": "A"})
    with pytest.raises(PolicyError, match=r"^here: limits\.temp-size: expected a positive size .*, got '1X'"):
        of_table({"limits": {"temp-size": "1X"}})
    with pytest.raises(PolicyError, match=r"^here: limits: expected a table, got 5"):
        of_table({"limits": 5})
    with pytest.raises(PolicyError, match="unknown key 'packages'"):
        of_table({"packages": {}})
    with pytest.raises(PolicyError, match="unknown key 3"):
        of_table({3: 1})  # type: ignore[dict-item]


def test_a_table_takes_every_key() -> None:
    table = {name.replace("_", "-"): value for name, value in Policy().to_dict().items() if name != "limits"}
    limits = {"wall-time": 1.5, "temp-size": "1K"}
    assert of_table({**table, "limits": limits}) == Policy(limits=Limits(wall_time=1.5, temp_size=1024))


@pytest.mark.parametrize("head", ["", "[tool.isolated-hooks]\n", "[project]\nname='x'\n[tool.isolated-hooks]\n"])
def test_a_file_is_one_table_or_contains_one(tmp_path: pathlib.Path, head: str) -> None:
    path = write(tmp_path, head + "network = true\n")
    loaded = load_policy(path)
    assert loaded.default == loaded.for_package(None) == loaded.for_package("any") == Policy(network=True)
    assert loaded.path == str(path)


def test_an_empty_file_is_the_default_policy(tmp_path: pathlib.Path) -> None:
    assert load_policy(os.fspath(write(tmp_path, ""))).default == Policy()


def test_errors_name_the_file_and_the_key(tmp_path: pathlib.Path) -> None:
    assert "env-keep" in load_refused(tmp_path, "env-keep = 'A'")
    assert "did you mean 'network'" in load_refused(tmp_path, "[tool.isolated-hooks]\nnetwrok = true")
    assert "network: expected a list of HOST:PORT, or true or false, got 1" in load_refused(
        tmp_path, "[tool.isolated-hooks]\nnetwork = 1"
    )
    assert "not valid TOML" in load_refused(tmp_path, "network = ")
    assert "a table" in load_refused(tmp_path, "[tool]\nisolated-hooks = 3")
    assert "a table" in load_refused(tmp_path, "packages = 3")
    assert "a table" in load_refused(tmp_path, "packages.x = 3")


def test_a_misspelled_or_missing_table_is_not_the_default_policy(tmp_path: pathlib.Path) -> None:
    assert "[tool.isolated_hooks]" in load_refused(tmp_path, "[tool.isolated_hooks]\nsource = 'read-only'")
    assert "no table" in load_refused(tmp_path, "[project]\nname = 'x'")
    assert "no table" in load_refused(tmp_path, "tool = 3")


def test_keys_beside_the_table_are_refused(tmp_path: pathlib.Path) -> None:
    assert "stands outside" in load_refused(tmp_path, "source = 'read-only'\n[tool.isolated-hooks]\nnetwork = true")


def test_unreadable_files_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "absent.toml")
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b"launcher = '\xff'")
    with pytest.raises(PolicyError, match="not valid TOML"):
        load_policy(path)


@pytest.mark.parametrize("kind", ["fifo", "huge", "/dev/zero", "dots"])
def test_what_would_be_read_or_parsed_without_end_is_refused(kind: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "policy.toml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(10 << 30)
    elif kind == "dots":
        path.write_text("a" + ".a" * 200_000 + " = 1\n")
    with no_hang(), pytest.raises(PolicyError, match=r"not a policy file: .*expected") as caught:
        load_policy(kind if kind.startswith("/") else path)
    assert (kind if kind.startswith("/") else "policy.toml") in str(caught.value)


@pytest.mark.parametrize("text", ["hooks = {}", "limits = {{ wall-time = {} }}", "expose = [{}]", "packages = {}"])
def test_a_number_too_long_to_print_is_an_error_like_any_other(text: str, tmp_path: pathlib.Path) -> None:
    """Python refuses to write integers of more than 4300 digits in decimal, and TOML has hexadecimal ones."""
    path = write(tmp_path, text.format("0x" + "f" * 5000))
    with pytest.raises(PolicyError, match=r"type int that is too large to print|expected"):
        load_policy(path)


def test_package_tables_replace_single_keys(tmp_path: pathlib.Path) -> None:
    loaded = load_policy(
        write(
            tmp_path,
            """
            [tool.isolated-hooks]
            expose = ["/opt/a"]
            env-keep = ["A"]
            limits = {wall-time = 60, temp-size = "1G"}
            [tool.isolated-hooks.packages.Foo_Bar]
            expose = ["/opt/b"]
            network = true
            limits = {temp-size = "9G"}
            """,
        )
    )
    base = Policy(expose=["/opt/a"], env_keep=["A"], limits=Limits(wall_time=60, temp_size=GIB))
    changed = dataclasses.replace(
        base, expose=("/opt/b",), network=True, limits=Limits(wall_time=60, temp_size=9 * GIB)
    )
    assert loaded.for_package(None) == loaded.for_package("foo") == base
    for spelling in ("foo-bar", "Foo.Bar", "FOO__bar"):
        assert loaded.for_package(spelling) == changed


def test_package_tables_are_checked_when_the_file_is_read(tmp_path: pathlib.Path) -> None:
    assert "packages.x: unknown key 'netwrok'" in load_refused(tmp_path, "[packages.x]\nnetwrok = true")
    assert "packages.x: limits.cpu-time" in load_refused(tmp_path, "[packages.x.limits]\ncpu-time = 0")
    assert "unknown key 'packages'" in load_refused(tmp_path, "[packages.x.packages.y]\nnetwork = true")
    assert "name of a package" in load_refused(tmp_path, "[packages.'../x']\nnetwork = true")
    assert "spelling only" in load_refused(tmp_path, "[packages.a-b]\n[packages.A_B]\n")


def test_a_home_is_expanded_in_files_only(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    loaded = load_policy(write(tmp_path, "expose = ['~/a']\nwritable = ['~']\n[packages.x]\nhide = ['~/b']"))
    assert loaded.default.expose == ("/home/someone/a",)
    assert loaded.default.writable == ("/home/someone",)
    assert loaded.for_package("x").hide == ("/home/someone/b",)
    assert "absolute" in load_refused(tmp_path, "expose = ['a/~']")
    assert "absolute" in load_refused(tmp_path, "expose = ['~no-such-user-here/a']")
    assert "expose" in load_refused(tmp_path, "expose = [3]")
    assert "expose" in load_refused(tmp_path, "expose = '~'")


def test_a_home_that_is_not_absolute_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "relative")
    assert "absolute" in load_refused(tmp_path, "expose = ['~/a']")


def test_env_remove_takes_only_whole_names() -> None:
    assert Policy(env_remove=["A", "B", "A"]).env_remove == ("A", "B")
    for name in ("*", "A_*", "A B", ""):
        assert "env_remove" in refused(env_remove=[name])
