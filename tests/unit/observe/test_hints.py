"""From evidence to hints: what outside does not confirm gives no hint, and any output gives a short block."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from isolated_hooks.files.paths import RealFilesystem
from isolated_hooks.observe.causes import findings_of
from isolated_hooks.observe.evidence import MOST_BYTES, Evidence, Outside, last_lines
from isolated_hooks.observe.hints import hints_of
from isolated_hooks.observe.rendering import rendered
from isolated_hooks.sandbox.attempts import MOST, Attempts


def evidence(base: Path, output: str = "", **facts: object) -> Evidence:
    tree = base / "tree"
    tree.mkdir(exist_ok=True)
    outside = Outside(
        RealFilesystem(), str(base / "home"), str(tree), {"PATH": "/usr/bin"}, ((str(tree), 2), ("/usr", 1))
    )
    return Evidence(outside, last_lines(output), **facts)  # type: ignore[arg-type]


def options(given: Evidence) -> list[str]:
    return [hint.option for hint in hints_of(findings_of(given))]


@pytest.mark.parametrize(
    "output",
    (
        "No such file or directory: '{base}/absent'",  # the base exists, and holds the tree
        "No such file or directory: '{base}/tree/absent'",
        "No such file or directory: '/usr/include/absent.h'",
        "No such file or directory: '/etc/shadow'",
        "Permission denied: '/proc/1/environ'",
        "Read-only file system: '/'",
        "sh: 1: sh: not found",
        "KeyError: 'NOT_DROPPED'",
        "fatal: not a git repository",
        "FileNotFoundError: [Errno 2]",
        "{base}/shown",
    ),
)
def test_what_outside_does_not_confirm_gives_no_line(output: str, tmp_path: Path) -> None:
    (tmp_path / "shown").write_text("")
    assert options(evidence(tmp_path, output.format(base=tmp_path), dropped=("CI",))) in ([], [""])


def test_the_most_likely_comes_first_and_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    line = f"No such file or directory: '{tmp_path}/data'\n"
    given = evidence(
        tmp_path, line * 3, tried=(("192.0.2.1", 443), ("192.0.2.2", 443), ("192.0.2.3", 53)), limit=("memory", 2**30)
    )
    assert options(given) == ["--limit memory=2G", f"--expose {tmp_path}/data", "--network"]
    assert options(evidence(tmp_path, tried=(("192.0.2.1", 443),), network=True)) == []


@pytest.mark.parametrize(
    ("output", "line"),
    (
        ("curl: (6) Could not resolve host: files.example.org", "files.example.org:443"),
        ("fatal: http://a.example.org/x: Name or service not known", "a.example.org:80"),
        ("[Errno -2] Name or service not known", ""),
    ),
)
def test_a_name_that_the_output_has_is_offered_alone(output: str, line: str, tmp_path: Path) -> None:
    (hint,) = hints_of(findings_of(evidence(tmp_path, output)))
    key = f'network = ["{line}"]' if line else "network = true"
    assert (hint.option, hint.key) == (f"--network {line}".rstrip(), key)


def test_the_names_of_queries_say_more_than_words(tmp_path: Path) -> None:
    """Those that the output has come alone: nothing else failed the hook. Otherwise the last one comes first."""
    names = (b"telemetry.example.net", b"localhost", b"1.0.0.127.in-addr.arpa", b"Files.example.org.")
    tried = (("127.0.0.1", 53),)
    line = "--network files.example.org:443"
    silent = evidence(tmp_path, "download failed", names=names, tried=tried)
    assert options(silent) == [line, "--network telemetry.example.net:443"]
    said = "could not resolve files.example.org: Name or service not known"
    assert options(evidence(tmp_path, said, names=names, tried=tried)) == [line]
    plain = "GET http://files.example.org/"
    assert options(evidence(tmp_path, plain, names=names)) == ["--network files.example.org:80"]
    assert options(evidence(tmp_path, names=names, network=True)) == []
    # A name that no host has leads to no line: the shortest one would be the whole network.
    assert hints_of(findings_of(evidence(tmp_path, names=(b"a\xff;b", b"`id`.c")))) == ()


def test_a_host_that_the_policy_does_not_name_is_offered(tmp_path: Path) -> None:
    asked = (("files.example.org", 8080), ("2001:db8::1", 443))
    assert options(evidence(tmp_path, asked=asked)) == [
        "--network files.example.org:8080",
        "--network '[2001:db8::1]:443'",
    ]


@pytest.mark.parametrize("text", ("'/", "a", "no such file '/\ud800\0' ", "A_B KeyError\n", "sh: x: not found\n"))
def test_any_output_gives_a_short_block(text: str, tmp_path: Path) -> None:
    names = tuple(f"A_{number}" for number in range(99))
    output = text * (2 * MOST_BYTES // len(text)) + "\n" + "KeyError environ " + " ".join(names)
    hints = hints_of(findings_of(evidence(tmp_path, output, dropped=(*names, "A_B"))))
    assert hints
    assert len(rendered("build_wheel", hints, read=True).splitlines()) <= 12


def test_attempts_are_bounded_and_take_any_bytes() -> None:
    attempts = Attempts()
    for address in (b"", b"\2", b"\2\0\0\x35", b"\x0a\0" + bytes(9), b"\xff" * 128, b"\1\0/path"):
        attempts.note(address, 111)
    assert attempts.rows() == []
    attempts.note(b"\2\0\1\xbb\x7f\0\0\1", 0)  # a connection that worked
    assert attempts.rows() == []
    for last in range(3 * MOST):
        attempts.note(b"\2\0\1\xbb\xc0\0\2" + bytes((last,)) + bytes(8), 101)
    assert len(attempts.rows()) == MOST
    assert attempts.rows()[1] == (2, b"\xc0\0\2\1", 443, 101)


@pytest.mark.parametrize("word", ("sub/new.c", "sub/old.c", "{base}/tree/sub/new.c"))
def test_a_mode_in_the_tree_that_binds_root_s_hook_alone_is_named(word: str, tmp_path: Path) -> None:
    output = f"PermissionError: [Errno 13] Permission denied: '{word.format(base=tmp_path)}'"
    given = evidence(tmp_path, output, bound=True)
    (tmp_path / "tree" / "sub").mkdir()
    (tmp_path / "tree" / "sub" / "old.c").write_text("")
    assert options(given) == []  # its owner may write there, so something else is in the way
    (tmp_path / "tree" / "sub" / "old.c").chmod(0o444)
    (tmp_path / "tree" / "sub").chmod(0o555)
    (hint,) = hints_of(findings_of(given))
    assert (hint.cause, hint.option) == ("mode", "")
    assert "chmod -R u+w" in hint.sentence
    assert options(evidence(tmp_path, output)) == []  # an ordinary user fails without a sandbox too
    (tmp_path / "tree" / "sub").chmod(0o755)


@pytest.mark.parametrize(
    ("output", "cause", "option"),
    (
        ("ERROR: No matching distribution found for x", "offline", "--network"),
        ("OSError: [Errno 101] Network is unreachable", "offline", "--network"),
        ("As a reminder, you're using offline mode", "offline", "--network"),
        ("unshare failed", "nested", ""),
        ('sudo: The "no new privileges" flag is set', "raised", ""),
        ("PermissionError: [Errno 1] Operation not permitted: 'f'", "forbidden", ""),
        ("MemoryError", "said memory", "--limit memory=2G"),
    ),
)
def test_words_alone_give_a_hint_that_says_so(output: str, cause: str, option: str, tmp_path: Path) -> None:
    (hint,) = hints_of(findings_of(evidence(tmp_path, output, memory=2**30)))
    assert (hint.cause, hint.option) == (cause, option)


def test_words_about_the_network_or_memory_need_a_network_or_limit_that_is_missing(tmp_path: Path) -> None:
    assert options(evidence(tmp_path, "Network is unreachable\nMemoryError", network=True)) == []


@pytest.mark.parametrize(
    ("line", "found"),
    (
        ("MY_SDK must point to the SDK", ["--env-keep MY_SDK"]),
        ("MYSDK points nowhere", []),
        ("the variable MYSDK points nowhere", ["--env-keep MYSDK"]),
    ),
)
def test_a_dropped_variable_that_the_output_names(line: str, found: list[str], tmp_path: Path) -> None:
    assert options(evidence(tmp_path, line, dropped=("MY_SDK", "MYSDK"))) == found


def test_a_path_above_the_tree_is_resolved_from_there(tmp_path: Path) -> None:
    (tmp_path / "shared.txt").write_text("")
    given = evidence(tmp_path, "No such file or directory: '../shared.txt'\ncat: ../none.txt: No such file")
    assert options(given) == [f"--expose {tmp_path}/shared.txt"]


def test_sockets_of_services_and_devices(tmp_path: Path) -> None:
    output = "/run/{0}: No such file\nNo such file or directory: '/dev/null'\ncannot open '/run/none': No such file"
    service = next(path for path in Path("/run").iterdir())
    (hint,) = hints_of(findings_of(evidence(tmp_path, output.format(service.name))))
    assert (hint.cause, hint.option) == ("service", "")


@pytest.mark.parametrize(
    "place",
    ("programs", "programs/sub", "tools/share", "modules/a", "other/.git/hooks", "venv/lib/site-packages",
     "home/.cargo/registry", "home/.local/share/systemd/user"),
)  # fmt: skip
def test_no_line_opens_a_place_of_code_to_a_hook_that_asks_for_it(place: str, tmp_path: Path) -> None:
    given = evidence(tmp_path, f"PermissionError: [Errno 13] Permission denied: '{tmp_path}/{place}/new'")
    environ = {"PATH": f"{tmp_path}/programs:{tmp_path}/tools/bin:/usr/bin", "PYTHONPATH": f"{tmp_path}/modules"}
    given = dataclasses.replace(given, outside=dataclasses.replace(given.outside, environ=environ))
    for directory in (place, "tools/bin", "data"):
        (tmp_path / directory).mkdir(parents=True, exist_ok=True)
    assert options(given) == [""]
    line = f"PermissionError: [Errno 13] Permission denied: '{tmp_path}/data/new'"
    assert options(dataclasses.replace(given, lines=(line,))) == [f"--writable {tmp_path}/data"]


def test_no_line_keeps_a_variable_whose_value_is_a_credential(tmp_path: Path) -> None:
    given = evidence(tmp_path, "KeyError: 'INDEX'", dropped=("INDEX",))
    for value, line in (("https://me:word@example.org", ""), ("https://example.org", "--env-keep INDEX")):
        outside = dataclasses.replace(given.outside, environ={"INDEX": value})
        assert options(dataclasses.replace(given, outside=outside)) == [line]


def test_a_relative_path_in_a_tree_that_the_policy_makes_read_only(tmp_path: Path) -> None:
    output = "error: could not create 'src/x.egg-info': Read-only file system"
    (hint,) = hints_of(findings_of(evidence(tmp_path, output, read_only=True)))
    assert (hint.cause, hint.option) == ("source", "--source read-write")
    assert options(evidence(tmp_path, output)) == []
