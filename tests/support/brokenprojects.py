"""Ten builds that work without a sandbox and fail in it, each for one reason, with the line that mends it."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from .projects import run_text, write_project

__all__ = ["BROKEN", "Broken"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broken:
    """One project.

    :ivar code: what its hook ``build_wheel`` does before it builds; ``{base}`` and ``{port}`` are replaced
    :ivar option: the line that has to come first; empty if no option helps
    :ivar options: further options of the command
    :ivar environ: changes of the caller's environment; ``{base}`` and ``{port}`` are replaced
    :ivar prepare: makes what lies outside of the tree, in the base directory
    :ivar tree: the source tree, relative to the base directory
    :ivar program: a program of the host that it needs
    """

    code: str
    option: str = ""
    options: tuple[str, ...] = ()
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prepare: Callable[[Path], object] = lambda base: None
    tree: str = "project"
    program: str = ""

    def write(self, base: Path, *, port: int = 0) -> Path:
        """Write the project and what lies around it."""
        self.prepare(base)
        code = self.code.format(base=base, port=port)
        body = f"    {code}\n    return _build(*args, **options)\n"
        hook = f"_build = build_wheel\ndef build_wheel(*args, **options):\n{body}"
        return write_project(base / self.tree, extra=hook)

    def variables(self, base: Path, *, port: int = 0) -> dict[str, str]:
        """Return the changes of the caller's environment."""
        return {name: value.format(base=base, port=port) for name, value in self.environ.items()}


def _tool(base: Path) -> None:
    """Write a program that computes the path of another one and starts it, as some wrappers do."""
    for name, text in (
        ("home/tools/myprotoc", "exit 0"),
        ("home/.local/bin/myprotoc", 'exec "$(dirname "$0")/../../tools/myprotoc"'),
    ):
        (base / name).parent.mkdir(parents=True)
        (base / name).write_text(f"#!/bin/sh\n{text}\n")
        (base / name).chmod(0o755)


def _file(name: str) -> Callable[[Path], object]:
    def prepare(base: Path) -> None:
        (base / name).parent.mkdir(parents=True)
        (base / name).write_text("")

    return prepare


def _program_32(base: Path) -> None:
    """Write a program that ends at once, for i386: elf(5), one segment, exit(0) by int 0x80."""
    code = b"\xb8\x01\x00\x00\x00\x31\xdb\xcd\x80"
    start, size = 0x08048000, 84 + len(code)
    header = b"\x7fELF\x01\x01\x01" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, start + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, start, start, size, size, 5, 0x1000)
    (base / "project").mkdir()
    program = base / "project/helper"
    program.write_bytes(header + segment + code)
    program.chmod(0o755)


def _repository(base: Path) -> None:
    top = base / "mono"
    (top / "py").mkdir(parents=True)
    for arguments in (["init", "-q", "."], ["commit", "-q", "--allow-empty", "-m", "first"]):
        done = run_text(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments], cwd=top)
        assert done.returncode == 0, done.stderr


_RUN = "import subprocess; subprocess.check_call("

#: The projects, by what they need.
BROKEN: Mapping[str, Broken] = {
    "the network": Broken(
        code="import urllib.request as r; r.build_opener(r.ProxyHandler({{}})).open('http://127.0.0.1:{port}/')",
        option="--network",
    ),
    "a host by its name": Broken(
        code="import urllib.request as r; r.urlopen('http://downloads.example.org/')",
        option="--network downloads.example.org:80",
        # The operator's proxy knows every host.
        environ={"http_proxy": "http://127.0.0.1:{port}", "no_proxy": ""},
    ),
    "a tool in the home": Broken(
        code=_RUN + "['myprotoc'])",
        option="--expose {base}/home/tools/myprotoc",
        environ={"HOME": "{base}/home", "PATH": "{base}/home/.local/bin:/usr/bin:/bin"},
        prepare=_tool,
    ),
    "a variable": Broken(
        code="os.environ['CI_COMMIT_TAG']", option="--env-keep CI_COMMIT_TAG", environ={"CI_COMMIT_TAG": "v1.0"}
    ),
    "to write outside": Broken(
        code="open('{base}/site/out.txt', 'w').close()", option="--writable {base}/site", prepare=_file("site/old")
    ),
    "a cache": Broken(
        code="open('{base}/cache/model.bin').close()",
        option="--expose {base}/cache/model.bin",
        prepare=_file("cache/model.bin"),
    ),
    "temporary space": Broken(
        code="open('/tmp/big', 'wb').write(bytes(40 << 20))",
        option="--limit temp-size=64M",
        options=("--limit", "temp-size=32M"),
    ),
    "a program for 32 bits": Broken(code=_RUN + "['./helper'])", prepare=_program_32),
    "the repository above": Broken(
        code=_RUN + "['git', '-C', '..', 'rev-parse', 'HEAD'])",
        option="--expose {base}/mono",
        prepare=_repository,
        tree="mono/py",
        program="git",
    ),
    "a private header": Broken(
        code="open('a.c', 'w').write('#include <private.h>\\n'); "
        "command = ['gcc', '-I{base}/sdk/include', '-c', 'a.c']; print(*command, flush=True); " + _RUN + "command)",
        option="--expose {base}/sdk/include",
        prepare=_file("sdk/include/private.h"),
        program="gcc",
    ),
}
