"""Property-based tests, with a small budget, of the code that reads hostile input, and tests for bugs found by fuzzing.

``guided.py`` tests the same properties, guided by coverage and without end; see ``docs/fuzzing.rst``.
"""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import properties
from support.archivebuilders import add, make_sdist, make_wheel, make_zip, wheel_files
from support.fakes import DIR, Entry, Link

# Few, and the same in every run; ``nox -s fuzz`` asks for more, at random.
_EXAMPLES = os.environ.get("ISOLATED_HOOKS_EXAMPLES", "")
_few = settings(
    max_examples=int(_EXAMPLES or 150),
    derandomize=not _EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

# output.json

_KEYS = st.sampled_from(
    "return_val unsupported no_backend backend_invalid hook_missing traceback backend_error missing_hook_name warnings"
    " message filename lineno other".split()
)
_TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(exclude_categories=()), max_size=5),
    st.sampled_from(
        [properties.WHEEL, properties.SDIST, "pkg-1.0.dist-info", "a>1", "build_editable", "##vso[x]", "\n::x"]
    ),
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(_KEYS, _TEXTS), inner, max_size=4)),
    max_leaves=12,
)
_WARNINGS = st.lists(
    st.fixed_dictionaries({"message": _TEXTS, "filename": _TEXTS, "lineno": st.one_of(st.integers(), _TEXTS)}),
    max_size=3,
)
_DOCUMENTS = st.one_of(
    _VALUES,
    st.dictionaries(_KEYS, _VALUES),
    st.fixed_dictionaries(
        {"return_val": _VALUES}, optional={"warnings": _WARNINGS, "unsupported": st.booleans(), "traceback": _TEXTS}
    ),
)


@_few
@given(_DOCUMENTS)
def test_any_document_is_accepted_or_refused(document: object) -> None:
    properties.output_holds(json.dumps(document).encode("utf-8", "surrogatepass"))


@_few
@given(st.binary(max_size=200), _DOCUMENTS, st.integers(0, 200))
def test_any_bytes_are_accepted_or_refused(data: bytes, document: object, offset: int) -> None:
    properties.output_holds(data)
    text = json.dumps(document).encode("utf-8", "surrogatepass")
    properties.output_holds(text[:offset] + data[:3] + text[offset:])


def test_good_documents_are_accepted() -> None:
    """Otherwise the properties of accepted documents would hold only because there are none."""
    for value in (properties.WHEEL, properties.SDIST, "pkg-1.0.dist-info", ["a>1"], ["build_editable"]):
        assert properties.output_holds(json.dumps({"return_val": value}).encode())


# Names and requirements

_NAME_PARTS = st.one_of(
    st.sampled_from(
        "pkg foo.bar - _ . .. / 1.0 1!2.0rc1+l.1 py3 none any .whl .tar.gz .zip .dist-info \n \x1b ~ $".split(" ")
    ),
    st.text(max_size=4),
)


@_few
@given(st.lists(_NAME_PARTS, max_size=10).map("".join))
def test_any_name_is_a_plain_file_name_or_refused(name: str) -> None:
    properties.names_hold(name)


@_few
@given(
    st.from_regex(
        r"\A[A-Za-z0-9._]{1,8}-[0-9.a-z!+]{1,8}(-[0-9]{1,2})?-[a-z0-9.]{1,6}-[a-z]{1,4}-[a-z_0-9]{1,6}\.whl\Z"
    ),
    st.from_regex(r"\A[A-Za-z0-9._-]{1,8}-[0-9.a-z!+]{1,8}\.(tar\.gz|zip|dist-info)\Z"),
)
def test_names_that_look_right_are_plain_file_names_or_refused(wheel: str, other: str) -> None:
    properties.names_hold(wheel)
    properties.names_hold(other)


def test_good_names_are_accepted() -> None:
    for name in (properties.WHEEL, properties.SDIST, "pkg-1.0.dist-info", "Foo.Bar-1!2.0rc1+l.1.tar.gz"):
        assert properties.names_hold(name)


_REQUIREMENT_PARTS = st.one_of(
    st.sampled_from(
        "a b[c] ( ) >=1 , == ~= 1.* ; @ https://x file:/// # ' \" and or python_version extra in not".split()
    ),
    st.sampled_from([" ", "\n", "\\\n", "--index-url", "-r", "${X}", "$X", "\x1b[m", "\u202e", "\0", "git+ssh://"]),
    st.text(max_size=3),
)


@_few
@given(st.lists(_REQUIREMENT_PARTS, max_size=10).map("".join))
def test_any_text_is_a_requirement_or_refused(text: str) -> None:
    properties.requirement_holds(text)


def test_good_requirements_are_accepted() -> None:
    for text in ("a", "a[b,c]>=1,<2; python_version < '3' and extra == \"x\"", "d @ https://h/p"):
        assert properties.requirement_holds(text)


_TOML = st.sampled_from(
    [
        "[project]\n",
        "name",
        " = ",
        "'A.b'",
        '"x"',
        "project.",
        "{",
        "}",
        "[",
        "]",
        "\n",
        ".",
        "'''",
        "\\u0000",
        "#",
        "1",
    ]
)


@_few
@given(st.one_of(st.lists(_TOML, max_size=15).map(lambda parts: "".join(parts).encode()), st.binary(max_size=60)))
def test_any_pyproject_gives_a_normalised_name_or_none(data: bytes) -> None:
    properties.project_holds(data)


# Archives

_PATHS = st.lists(
    st.one_of(
        st.sampled_from(["pkg", "..", ".", "", "A", "a", "pkg-1.0.dist-info", "pkg-1.0.data", "l"]), st.text(max_size=3)
    ),
    min_size=1,
    max_size=4,
).map("/".join)
_WHEEL, _SDIST = make_wheel(), make_sdist()


@_few
@given(st.dictionaries(_PATHS, st.text(max_size=10), max_size=4))
def test_any_accepted_wheel_unpacks_within_its_directory(files: Mapping[str, str]) -> None:
    wheel = make_zip(wheel_files({k: v for k, v in files.items() if k and "\0" not in k}).items())
    properties.archive_holds(wheel, properties.WHEEL)


_KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"S", b"x"]
)
_SDIST_PATHS = _PATHS.map(lambda path: f"pkg-1.0/{path}")
_MEMBERS = st.tuples(_SDIST_PATHS, _KINDS, st.one_of(_SDIST_PATHS, _PATHS), st.sampled_from([0o644, 0o755, 0o4755]))
_FORMATS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


@_few
@given(st.lists(_MEMBERS, max_size=5), _FORMATS)
def test_any_accepted_sdist_unpacks_within_its_directory(
    members: list[tuple[str, bytes, str, int]], format: int
) -> None:
    more = (add(name, type=kind, linkname=target, mode=mode) for name, kind, target, mode in members)
    properties.archive_holds(make_sdist(*more, format=format), properties.SDIST)


@_few
@given(st.lists(st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3))
def test_archives_with_changed_bytes_are_accepted_or_refused(changes: list[tuple[float, bytes]]) -> None:
    tar = bytearray(gzip.decompress(_SDIST))
    wheel = bytearray(_WHEEL)
    for where, value in changes:
        for data in (tar, wheel):
            offset = int(where * len(data))
            data[offset : offset + len(value)] = value
    properties.archive_holds(bytes(wheel), properties.WHEEL)
    properties.archive_holds(properties.repaired_tar(bytes(tar)), properties.SDIST)


def test_good_archives_are_accepted() -> None:
    assert properties.archive_holds(_WHEEL, properties.WHEEL)
    assert properties.archive_holds(_SDIST, properties.SDIST)
    assert properties.archive_holds(properties.repaired_tar(gzip.decompress(_SDIST)), properties.SDIST)


# The planner

_ODD = ["a", "b", "s p", "new\nline", "co:lon", "ü", "-", "\\", "$HOME", "~", "%s", "bin", "home", "\x1b[2J", "'\""]
_STEPS = st.one_of(
    st.sampled_from(_ODD), st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=4)
).filter(lambda part: part not in (".", ".."))
_WAYS = st.lists(_STEPS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(("w", *parts)))
_TARGETS = st.one_of(
    _WAYS,
    st.sampled_from(
        ["/", "..", ".", "../..", "a/../b", "/tmp", "/home/u", "/home/u/code/proj", "/etc", "/proc/self", "/w"]
    ),
    st.lists(st.one_of(_STEPS, st.just("..")), min_size=1, max_size=4).map("/".join),
)
_ENTRIES = st.dictionaries(_WAYS, st.one_of(st.just(""), st.just(DIR), _TARGETS.map(Link)), max_size=8)


@_few
@given(
    entries=_ENTRIES,
    source=_WAYS,
    output=st.one_of(_WAYS, _TARGETS),
    python=st.one_of(st.just("/usr/bin/python3"), _WAYS),
    search=st.lists(st.one_of(_WAYS, _TARGETS), max_size=2),
    expose=st.lists(_WAYS, max_size=2),
)
def test_every_target_is_at_its_path_beneath_the_new_root(
    entries: dict[str, Entry], source: str, output: str, python: str, search: list[str], expose: list[str]
) -> None:
    output = os.path.abspath(os.path.join("/", output))
    properties.plan_holds(entries, source=source, output=output, python=python, search=search, expose=expose)


@pytest.mark.parametrize("name", _ODD)
def test_a_plan_is_made_for_every_odd_name(name: str) -> None:
    source = f"/w/{name}"
    assert properties.plan_holds(
        {f"{source}/link": Link("/etc")},
        source=source,
        output=f"{source}/link/../out",
        python="/usr/bin/python3",
        search=[],
        expose=[],
    ) or properties.plan_holds(
        {}, source=source, output=f"{source}/out", python="/usr/bin/python3", search=[], expose=[]
    )


# Bugs found by fuzzing


def test_found_an_archive_without_members() -> None:
    """This raised ValueError: we looked for the end of the members behind a first member that did not exist."""
    assert not properties.archive_holds(b"PK\5\6" + bytes(18), properties.WHEEL)
    assert not properties.archive_holds(b"PK\5\6" + bytes(18), "pkg-1.0.zip")


def test_found_an_output_directory_that_is_home() -> None:
    """The plan shows staging there, but the check took it for the host's directory."""
    assert properties.plan_holds({}, source="/w/a", output="/home", python="/usr/bin/python3", search=[], expose=[])
