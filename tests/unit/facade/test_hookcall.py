from __future__ import annotations

import json
import os
import pathlib
from types import MappingProxyType
from typing import Any

import pytest

from isolated_hooks.errors import PolicyError
from isolated_hooks.hookcall import HookCall
from isolated_hooks.policy import HOOKS

OUTPUT = {
    "build_wheel": "wheel_directory",
    "build_editable": "wheel_directory",
    "build_sdist": "sdist_directory",
    "prepare_metadata_for_build_wheel": "metadata_directory",
    "prepare_metadata_for_build_editable": "metadata_directory",
}


class World:
    """A source tree, a hook script and a control directory, as pyproject_hooks creates them."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.source = top / "source"
        self.script = top / "script.py"
        self.control = top / "control"
        self.source.mkdir()
        self.control.mkdir()
        self.script.touch()
        self.write({"kwargs": {"config_settings": None}})

    def write(self, document: Any) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        (self.control / "input.json").write_bytes(data)

    def command(self, hook: str = "get_requires_for_build_wheel") -> list[str]:
        return ["/usr/bin/python3", str(self.script), hook, str(self.control)]

    def parse(self, hook: str = "get_requires_for_build_wheel", **kwargs: Any) -> HookCall:
        self.write({"kwargs": kwargs})
        return HookCall.parse(self.command(hook), str(self.source))

    def refused(self, command: Any = None, cwd: str | None = None) -> str:
        with pytest.raises(PolicyError) as caught:
            HookCall.parse(self.command() if command is None else command, cwd or str(self.source))
        return str(caught.value)


@pytest.fixture
def world(tmp_path: pathlib.Path) -> World:
    return World(tmp_path)


def test_a_call_says_what_pyproject_hooks_asked_for(world: World) -> None:
    call = world.parse("build_sdist", sdist_directory="/out", config_settings={"a": ["b"]})
    assert call == HookCall(
        "/usr/bin/python3",
        str(world.script),
        "build_sdist",
        str(world.control),
        str(world.source),
        {"sdist_directory": "/out", "config_settings": {"a": ["b"]}},
    )


@pytest.mark.parametrize("length", [0, 1, 3, 5])
def test_any_other_number_of_arguments_is_refused(world: World, length: int) -> None:
    command = [*world.command(), "more"][:length]
    text = world.refused(command)
    assert text.startswith("not a hook call: expected [python, script, hook, control directory], got [")


@pytest.mark.parametrize("part", [None, 1, b"bytes", pathlib.Path("path"), ["list"]])
@pytest.mark.parametrize("place", range(4))
def test_an_argument_that_is_not_text_is_refused(world: World, place: int, part: object) -> None:
    command: list[object] = [*world.command()]
    command[place] = part
    assert "not a hook call" in world.refused(command)


def test_a_refusal_shows_no_control_characters_and_no_endless_text(world: World) -> None:
    text = world.refused(["\x1b[31m" + "x" * 10_000])
    assert "\x1b" not in text
    assert len(text) < 400
    text = world.refused(["python", str(world.script), "\x1b]0;" + "y" * 10_000, str(world.control)])
    assert "\x1b" not in text
    assert text.count("y") < 100


@pytest.mark.parametrize("hook", ["", "build", "__import__", "build_wheel ", "Build_wheel", "build_wheel\n", "_x"])
def test_an_unknown_hook_is_refused_with_the_known_ones(world: World, hook: str) -> None:
    text = world.refused(world.command(hook))
    assert text.startswith("unknown hook ")
    assert all(known in text for known in HOOKS)


def test_a_source_tree_that_is_not_a_directory_is_refused(world: World) -> None:
    for bad in (world.script, world.top / "none"):
        assert world.refused(cwd=str(bad)) == f"the source tree {str(bad)!r} is not a directory"


def test_a_script_that_is_not_a_file_is_refused(world: World) -> None:
    for bad in (world.source, world.top / "none"):
        command = ["python", str(bad), "build_wheel", str(world.control)]
        assert world.refused(command) == f"the hook script {str(bad)!r} does not exist"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'["kwargs"]',
        b"null",
        b"1",
        b'"kwargs"',
        b"{}",
        b'{"args": {}}',
        b'{"kwargs": null}',
        b'{"kwargs": []}',
        b'{"kwargs": "text"}',
        b'{"kwargs": {}} more',
        b'{"kwargs": {"x": "' + b"x" * (16 * 2**20) + b'"}}',
        b'{"kwargs": ' + b"[" * 200_000,
    ],
    ids=lambda document: repr(document[:20]),
)
def test_arguments_that_are_not_a_json_object_are_refused(world: World, document: bytes) -> None:
    world.write(document)
    text = world.refused()
    assert text.startswith("not a hook call: ")
    assert str(world.control / "input.json") in text
    assert len(text) < 1000


def test_missing_arguments_are_refused(world: World) -> None:
    (world.control / "input.json").unlink()
    assert "input.json" in world.refused()
    (world.control / "input.json").mkdir()
    assert "input.json" in world.refused()
    command = [*world.command()[:3], "with\0null"]
    assert "not a hook call" in world.refused(command)


@pytest.mark.parametrize(("hook", "name"), OUTPUT.items())
@pytest.mark.parametrize("value", [{}, {"other": "/x"}, None, 5, ["/x"], {"x": 1}], ids=repr)
def test_a_hook_without_a_directory_for_its_output_is_refused(
    world: World, hook: str, name: str, value: object
) -> None:
    kwargs = value if isinstance(value, dict) and "x" not in value else {name: value}
    world.write({"kwargs": kwargs})
    text = world.refused(world.command(hook))
    assert "not a hook call" in text
    assert name in text


@pytest.mark.parametrize("hook", HOOKS)
def test_the_output_directory_is_the_one_that_the_hook_writes_to(world: World, hook: str) -> None:
    everything = {"wheel_directory": "/w", "sdist_directory": "/s", "metadata_directory": "/m"}
    call = world.parse(hook, **everything)
    assert call.output_directory == (everything[OUTPUT[hook]] if hook in OUTPUT else None)


@pytest.mark.parametrize("hook", HOOKS)
def test_only_hooks_that_build_a_wheel_read_prepared_metadata(world: World, hook: str) -> None:
    call = world.parse(hook, wheel_directory="/w", sdist_directory="/s", metadata_directory="/m/x.dist-info")
    builds = hook in ("build_wheel", "build_editable")
    assert call.metadata_directory == ("/m/x.dist-info" if builds else None)
    assert world.parse("build_wheel", wheel_directory="/w").metadata_directory is None
    assert world.parse("build_wheel", wheel_directory="/w", metadata_directory=None).metadata_directory is None


def test_paths_become_absolute_and_keep_their_links(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    os.symlink("source", world.top / "link")
    monkeypatch.chdir(world.top)
    world.write({"kwargs": {"wheel_directory": "a/../out", "metadata_directory": "./m/x.dist-info"}})
    call = HookCall.parse(["bin/python", "./script.py", "build_wheel", "source/../control"], "link/.")
    assert (call.script, call.control_dir) == (str(world.script), str(world.control))
    assert call.source_dir == str(world.top / "link")
    assert call.output_directory == str(world.top / "out")
    assert call.metadata_directory == str(world.top / "m/x.dist-info")
    assert call.python == "bin/python"  # the planner searches the hook's PATH for it


def test_the_default_source_tree_is_the_working_directory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.source)
    assert HookCall.parse(world.command(), None).source_dir == str(world.source)
    assert HookCall.parse(world.command(), "").source_dir == str(world.source)


def test_another_output_directory_changes_only_that_argument(world: World) -> None:
    kwargs = {"wheel_directory": "/w", "config_settings": {"k": "v"}, "metadata_directory": None}
    call = world.parse("build_wheel", **kwargs)
    assert call.with_output_directory("/aside") == {**kwargs, "wheel_directory": "/aside"}
    assert dict(call.kwargs) == kwargs


def test_the_arguments_cannot_be_changed(world: World) -> None:
    call = world.parse("build_wheel", wheel_directory="/w")
    assert isinstance(call.kwargs, MappingProxyType)
    with pytest.raises(TypeError):
        call.kwargs["wheel_directory"] = "/other"  # type: ignore[index]
