"""``learn``: which lines it tries by itself, when it stops, and what it prints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isolated_hooks import Policy
from isolated_hooks.files.documents import parse_toml
from isolated_hooks.observe.candidates import Allowances, Judge, Line, policy_with
from isolated_hooks.observe.hints import Cause, Finding, Hint, hints_of
from isolated_hooks.observe.learning import MOST_REMOVALS, Outcome, document, learn

HOME = "/home/me"


def hint(cause: Cause, value: str, what: str = "") -> Hint:
    return hints_of([Finding(cause=cause, what=what or value, value=value, program="cc1", count=1)])[0]


def judge(**allowed: object) -> Judge:
    return Judge(HOME, Allowances(**allowed), lambda path: True)  # type: ignore[arg-type]


def failing(*hints: Hint, words: str = "build_wheel fails") -> Outcome:
    return Outcome(built=False, failure=words, failed=tuple(("build_wheel", h) for h in hints))


@pytest.mark.parametrize(
    ("cause", "value", "line"),
    (
        (Cause.READ, "/srv/sdk", ("expose", "/srv/sdk")),
        (Cause.HEADER, "/srv/sdk/include", ("expose", "/srv/sdk/include")),
        (Cause.PROGRAM, f"{HOME}/tools", ("expose", f"{HOME}/tools")),  # the caller's own PATH names it
        (Cause.VARIABLE, "CI_COMMIT_TAG", ("env-keep", "CI_COMMIT_TAG")),
        (Cause.FULL, "temp-size=64M", ("limits", "temp-size=64M")),
        (Cause.SAID_MEMORY, "memory=2G", ("limits", "memory=2G")),
    ),
)
def test_what_is_tried_without_a_flag(cause: Cause, value: str, line: tuple[str, str]) -> None:
    found = judge().line("build_wheel", hint(cause, value))
    assert found is not None
    assert (found.key, found.value, found.flag) == (*line, "")
    assert found.why.startswith("cc1, build_wheel: it")


@pytest.mark.parametrize(
    ("cause", "value", "flag", "allowed"),
    (
        (Cause.HOST, "a.example:443", "--allow-host a.example:443", {"hosts": ("a.example:443",)}),
        (Cause.LOOKUP, "a.example:443", "--allow-host a.example:443", {"hosts": ("a.example:443",)}),
        (Cause.CONNECTION, "192.0.2.1:9", "--allow-host 192.0.2.1:9", {"network": True}),
        (Cause.DIRECT, "", "--allow-network", {"network": True}),
        (Cause.OFFLINE, "", "--allow-network", {"network": True}),
        (Cause.READ, f"{HOME}/x y", f"--allow-home '{HOME}/x y'", {"home": (f"{HOME}/x y",)}),
        (Cause.READ, f"{HOME}/x/y", f"--allow-home {HOME}/x/y", {"home": (f"{HOME}/x",)}),
        (Cause.REPOSITORY, f"{HOME}/mono", f"--allow-home {HOME}/mono", {"home": (HOME,)}),
        (Cause.WIDE, HOME, f"--allow-home {HOME}", {"home": (HOME,)}),
        (Cause.WRITE, "/srv/out", "--allow-write /srv/out", {"write": ("/srv",)}),
        (Cause.PRIVATE, f"{HOME}/.netrc", f"--allow-credentials {HOME}/.netrc", {"credentials": (f"{HOME}/.netrc",)}),
        (Cause.SECRET, "MY_TOKEN", "--allow-credentials MY_TOKEN", {"credentials": ("MY_TOKEN",)}),
    ),
)
def test_what_takes_a_flag(cause: Cause, value: str, flag: str, allowed: dict[str, object]) -> None:
    found = judge().line("build_wheel", hint(cause, value, "it"))
    assert found is not None and found.flag == flag
    # A flag for something else allows nothing.
    others = {
        "home": (f"{HOME}/other",),
        "write": ("/opt",),
        "credentials": ("OTHER", "/srv"),
        "hosts": ("b.example:1",),
    }
    found = judge(**others).line("build_wheel", hint(cause, value, "it"))
    assert found is not None and found.flag
    found = judge(**allowed).line("build_wheel", hint(cause, value, "it"))
    assert found is not None and not found.flag


@pytest.mark.parametrize("cause", (Cause.GUARDED, Cause.HIDDEN, Cause.HOME, Cause.SIGNAL, Cause.SYSTEM_WRITE))
def test_what_nothing_allows_is_no_line(cause: Cause) -> None:
    everything = judge(network=True, home=(HOME,), write=("/",), credentials=("/",))
    assert everything.line("build_wheel", hint(cause, "/srv/x")) is None


def test_a_name_with_escapes_and_a_wide_place_are_left_to_the_operator() -> None:
    assert judge().line("build_wheel", hint(Cause.READ, "/srv/\x1b[2J")) is None
    wide = judge(home=(HOME,)).line("build_wheel", hint(Cause.WIDE, "/srv"))
    assert wide is not None and wide.flag == "--expose /srv"


def test_lines_add_to_the_policy() -> None:
    base = Policy(network=("a.example:443",), env_keep=("A",))
    lines = [
        Line("network", "b.example:443"),
        Line("env-keep", "B"),
        Line("writable", "/srv/w"),
        Line("limits", "temp-size=64M"),
    ]
    policy = policy_with(base, lines)
    assert policy.network == ("a.example:443", "b.example:443")
    assert policy.env_keep == ("A", "B")
    assert (policy.writable, policy.limits.temp_size) == (("/srv/w",), 64 << 20)
    assert policy_with(base, [Line("network", "true")]).network is True
    assert policy_with(base, []) == base


def builder(needed: dict[str, Hint], more: tuple[Hint, ...] = ()) -> Callable[[Policy], Outcome]:
    """Return a build that needs some paths, and tells of one after the other."""

    def run(policy: Policy) -> Outcome:
        for path, asked in needed.items():
            if path not in policy.expose:
                return failing(asked, *more, words=f"build_wheel fails: {path}")
        return Outcome(built=True)

    return run


def test_lines_are_found_one_after_the_other_and_what_is_not_needed_goes() -> None:
    needed = {path: hint(Cause.READ, path) for path in ("/srv/a", "/srv/b")}
    told: list[str] = []
    run = builder(needed, (hint(Cause.READ, "/srv/other"), hint(Cause.VARIABLE, "OTHER")))
    learned = learn(run, Policy(), judge(), most=6, tell=told.append)
    assert learned.built
    assert [line.value for line in learned.lines] == ["/srv/a", "/srv/b"]
    assert learned.runs == 3 + 4  # two that fail, one that builds, and one without each of the four lines
    assert any("run 2: build_wheel fails: /srv/b, which is otherwise than in the run before" in text for text in told)
    table = parse_toml(document(learned, "project").encode())["tool"]
    assert table == {"isolated-hooks": {"expose": ["/srv/a", "/srv/b"]}}


def test_a_project_that_builds_needs_no_line() -> None:
    learned = learn(lambda policy: Outcome(built=True), Policy(), judge(), most=1)
    assert (learned.built, learned.lines, learned.runs) == (True, (), 1)
    assert parse_toml(document(learned, "a").encode()) == {"tool": {"isolated-hooks": {}}}


def test_it_stops_where_nothing_new_appears_and_after_the_last_run() -> None:
    policies: list[Policy] = []

    def never(policy: Policy) -> Outcome:
        policies.append(policy)
        return failing(hint(Cause.READ, "/srv/a"))

    assert not learn(never, Policy(), judge(), most=6).built
    assert len(policies) == 2

    def always_more(policy: Policy) -> Outcome:
        policies.append(policy)
        return failing(hint(Cause.READ, f"/srv/{len(policies)}"))

    policies.clear()
    told: list[str] = []
    learned = learn(always_more, Policy(), judge(), most=3, tell=told.append)
    assert (learned.built, learned.runs, len(policies)) == (False, 3, 3)
    assert told[-1] == "it does not build after 3 runs: --max-runs allows more"


def test_what_takes_a_flag_is_never_tried_and_printed_as_a_comment() -> None:
    policies: list[Policy] = []

    def run(policy: Policy) -> Outcome:
        policies.append(policy)
        return failing(hint(Cause.LOOKUP, "a.example:443"), hint(Cause.WIDE, HOME), hint(Cause.SECRET, "MY_TOKEN"))

    learned = learn(run, Policy(), judge(), most=6)
    assert policies == [Policy()]
    text = document(learned, "project")
    assert all(row.startswith("#") for row in text.splitlines())
    assert '#   network = ["a.example:443"]  # pass --allow-host a.example:443: cc1, build_wheel: it tried' in text
    assert f"pass --allow-home {HOME}:" in text and "pass --allow-credentials MY_TOKEN:" in text


def test_the_hook_that_failed_goes_first() -> None:
    """What other hooks were denied did not make them fail, so it is tried only if nothing else is left."""
    other = ("build_sdist", hint(Cause.READ, "/srv/other"))

    def run(policy: Policy) -> Outcome:
        if "/srv/a" in policy.expose:
            return Outcome(built=True)
        return Outcome(False, "fails", (("build_wheel", hint(Cause.READ, "/srv/a")),), (other,))

    learned = learn(run, Policy(), judge(), most=6)
    assert ([line.value for line in learned.lines], learned.runs) == (["/srv/a"], 2)


def test_removals_have_a_bound_and_the_rest_says_so() -> None:
    paths = [f"/srv/{number:02}" for number in range(MOST_REMOVALS + 3)]

    def run(policy: Policy) -> Outcome:
        return Outcome(built=True) if set(paths) <= {*policy.expose} else failing(*(hint(Cause.READ, p) for p in paths))

    learned = learn(run, Policy(), judge(), most=6)
    assert learned.runs == 2 + MOST_REMOVALS
    assert document(learned, "a").count("nobody has tried without it") == 3


def test_a_limit_that_is_met_again_replaces_the_earlier_line() -> None:
    def run(policy: Policy) -> Outcome:
        size = policy.limits.temp_size >> 20
        return Outcome(built=size >= 128) if size >= 128 else failing(hint(Cause.FULL, f"temp-size={size * 2}M"))

    learned = learn(run, Policy(limits={"temp_size": 32 << 20}), judge(), most=6)
    assert [line.value for line in learned.lines] == ["temp-size=128M"]
    table = parse_toml(document(learned, "a").encode())["tool"]
    assert table == {"isolated-hooks": {"limits": {"temp-size": "128M"}}}


def test_a_hostile_comment_stays_a_comment() -> None:
    asked = hints_of(
        [Finding(cause=Cause.READ, what="/srv/a\nnetwork = true", value="/srv/a", program="x\nnetwork = true")]
    )
    learned = learn(builder({"/srv/a": asked[0]}), Policy(), judge(), most=6)
    assert parse_toml(document(learned, "p\nnetwork = true").encode())["tool"] == {
        "isolated-hooks": {"expose": ["/srv/a"]}
    }
