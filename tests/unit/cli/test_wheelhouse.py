"""The command ``wheelhouse`` with a process that builds nothing in the place of the one that builds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.each import each

from isolated_hooks import HookReport, Policy, PolicyError, SandboxUnavailableError
from isolated_hooks.cli import wheelhouse
from isolated_hooks.many import package
from isolated_hooks.many.permit import Watch
from isolated_hooks.many.supervise import Ended
from isolated_hooks.results.artefacts import Artefact

WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with three sdists. The process in the place of the builder builds the first two."""
    for name in ("demo-1.0.tar.gz", "second-1.0.tar.gz", "failing-1.0.tar.gz"):
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(package, "supervise", build)
    monkeypatch.setattr(wheelhouse, "check_host", lambda _: ())
    return tmp_path


def build(command: Sequence[str], watch: Watch, environ: Mapping[str, str], *, tied: bool) -> Ended:
    order = json.loads(Path(command[-1]).read_text())
    name = os.path.basename(order["arguments"][-1]).replace(".tar.gz", "-py3-none-any.whl")
    if name.startswith("failing"):
        answer = {"code": 1, "error": "the hook was ended", "kind": "HookTimeoutError", "hooks": []}
        Path(order["answer"]).write_text(json.dumps(answer))
        return Ended(1, "one\ntwo\x07\n", stopped=False)
    (Path(order["arguments"][1]) / name).write_bytes(b"wheel")
    artefact = Artefact(name, 5, hashlib.sha256(b"wheel").hexdigest())
    report = HookReport("build_wheel", "/tree", (), 0, artefacts=(artefact,))
    hooks = [dataclasses.replace(report, hook="get_requires_for_build_wheel", artefacts=()), report]
    answer = {"code": 0, "error": "", "kind": "", "hooks": [hook.to_dict() for hook in hooks]}
    Path(order["answer"]).write_text(json.dumps(answer))
    return Ended(0, "", stopped=False)


def test_the_table_is_on_stdout_and_progress_on_stderr(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-w", "out", "-j1", "--report", "report.json", "demo-1.0.tar.gz", "failing-1.0.tar.gz"]
    assert wheelhouse.main(arguments) == 1
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        ["demo", "1.0", "built"],
        ["failing", "1.0", "limit"],
        ["1", "built,", "1"],
    ]
    assert "ERROR failing 1.0: limit: the hook was ended (2 of 2)" in err
    assert "  | two\\x07\n" in err
    assert json.loads((place / "report.json").read_text())["counts"]["limit"] == 1
    assert sorted(os.listdir(place / "out")) == [WHEEL, f"{WHEEL}.json"]


def test_all_that_stand_are_success(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-w", "out", "--resume", "demo-1.0.tar.gz", "second-1.0.tar.gz"]
    assert (wheelhouse.main(arguments), wheelhouse.main(arguments)) == (0, 0)
    assert capsys.readouterr().out.splitlines()[-1] == "2 stands"


def test_a_record_that_cannot_be_written_costs_no_wheel(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "out" / f"{WHEEL}.json").mkdir(parents=True)
    assert wheelhouse.main(["-w", "out", "demo-1.0.tar.gz"]) == 0
    assert "demo 1.0: no record for --resume was written" in capsys.readouterr().err
    assert (place / "out" / WHEEL).exists()


def test_each_package_gets_its_policy_and_its_share_of_the_cores(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "policy.toml").write_text("[packages.demo]\nnetwork = true\n")
    monkeypatch.setattr(wheelhouse, "cores_here", lambda: 8)
    options = wheelhouse._parser().parse_args(["-w", "out", "-j2", "demo-1.0.tar.gz", "second-1.0.tar.gz"])
    options.config = "policy.toml"
    tasks = wheelhouse._tasks(options, wheelhouse.policies_of(options))
    assert [task.policy for task in tasks] == [Policy(network=True), Policy()]
    assert [task.request.cores for task in tasks] == [4, 4]


def test_a_host_that_gives_no_package_its_sandbox_is_refused_at_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(policy: Policy) -> None:
        tried.append(policy)
        if not policy.network:
            raise SandboxUnavailableError(["a wall"], "build one")

    monkeypatch.setattr(wheelhouse, "check_host", refuse)
    with pytest.raises(SandboxUnavailableError):
        wheelhouse.main(["-w", "out", "demo-1.0.tar.gz", "second-1.0.tar.gz"])
    assert tried == [Policy()]
    assert not (place / "out").exists()
    (place / "policy.toml").write_text("[packages.second]\nnetwork = true\n")
    arguments = ["-w", "out", "--config", "policy.toml", "demo-1.0.tar.gz", "second-1.0.tar.gz"]
    assert wheelhouse.main(arguments) == 0, "what the host refuses to one package is that one's result"


WRONG: dict[tuple[str, ...], str] = {
    ("-w", "out"): "expected an SDIST or -r FILE",
    ("-w", "out", "--package", "demo", "demo-1.0.tar.gz"): "--package: each package",
    ("-w", "out", "none-1.0.tar.gz"): "does not exist",
    ("-w", "out", "-r", "none.txt"): "cannot be read",
}


def test_wrong_usage_is_an_error(place: Path) -> None:
    def check(arguments: tuple[str, ...]) -> None:
        with pytest.raises(PolicyError) as caught:
            wheelhouse.main(arguments)
        assert WRONG[arguments] in str(caught.value)

    each(WRONG, check)
    for jobs in ("0", "x", "9" * 20):
        with pytest.raises(SystemExit):
            wheelhouse.main(["-w", "out", "-j", jobs, "demo-1.0.tar.gz"])
    assert not (place / "out").exists()


def test_the_report_is_there_although_nobody_takes_the_table(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wheelhouse, "print", refuses, raising=False)
    with pytest.raises(OSError, match="No space left"):
        wheelhouse.main(["-w", "out", "--report", "report.json", "demo-1.0.tar.gz"])
    assert json.loads((place / "report.json").read_text())["counts"]["built"] == 1
