"""A password-protected package index on the loopback interface for tests, and functions that write packages for it."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["PASSWORD", "Index", "backend_sdist", "serve", "write_sdist", "write_wheel"]

PASSWORD = "index-password"

# A backend for sdists without dependencies. "extra" adds the code that differs from one sdist to the next.
_BACKEND = """\
import base64, hashlib, os, zipfile
{extra}
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "{distribution}-{version}-py3-none-any.whl"
    info = "{distribution}-{version}.dist-info"
    files = {{
        "{distribution}.py": "VALUE = '{name} from an sdist'\\n",
        info + "/METADATA": "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        info + "/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(info + "/RECORD", "".join(path + ",,\\n" for path in [*files, info + "/RECORD"]))
    return name
"""


class Index:
    """The directory of an index, as PEP 503 lays it out.

    :ivar url: the URL of the index, with the user name and the password
    :ivar asked: the paths of all requests that came with the password
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self.asked: list[str] = []

    def project(self, name: str) -> Path:
        """Return the directory for the files of a project."""
        path = self.directory / "simple" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def environ(self) -> dict[str, str]:
        """Return the variables that make pip and uv use this index and ignore the host's configuration."""
        pip = {"PIP_INDEX_URL": self.url, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_NO_CACHE_DIR": "1"}
        uv = {"UV_DEFAULT_INDEX": self.url, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(self.directory / "uv-cache")}
        return {**pip, **uv, "PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "10"}


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: object, index: Index, **options: object) -> None:
        self._index = index
        super().__init__(*args, directory=str(index.directory), **options)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        expected = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._index.asked.append(self.path)
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serve(directory: Path) -> Iterator[Index]:
    """Serve an index from a directory for the duration of the context."""
    index = Index(directory)
    (directory / "simple").mkdir(parents=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, index=index))
    index.url = f"http://user:{PASSWORD}@127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_wheel(
    directory: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
) -> Path:
    """Write a pure wheel with a module that has the distribution's name, and return its path."""
    distribution = name.replace("-", "_")
    info = f"{distribution}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    members = {
        f"{distribution}.py": f"VALUE = '{name} {version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(files or {}),
    }
    path = directory / f"{distribution}-{version}-py3-none-any.whl"
    record = ""
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in members.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{member},sha256={digest},{len(text.encode())}\n"
            entry = zipfile.ZipInfo(member)
            entry.external_attr = (0o100755 if "/scripts/" in member else 0o100644) << 16
            wheel.writestr(entry, text)
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def write_sdist(directory: Path, name: str, files: Mapping[str, str], version: str = "1.0") -> Path:
    """Write an sdist with these files, and return its path."""
    distribution = name.replace("-", "_")
    path = directory / f"{distribution}-{version}.tar.gz"
    metadata = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    with tarfile.open(path, "w:gz") as sdist:
        for member, text in {**metadata, **files}.items():
            entry = tarfile.TarInfo(f"{distribution}-{version}/{member}")
            entry.size = len(text.encode())
            sdist.addfile(entry, io.BytesIO(text.encode()))
    return path


def backend_sdist(
    directory: Path, name: str, *, extra: str = "", requires: Sequence[str] = (), version: str = "1.0", after: str = ""
) -> Path:
    """Write an sdist with a backend of its own.

    :param extra: code that the backend runs when it is imported
    :param requires: its build requirements
    :param after: code for the end of the backend, where it can wrap the hook
    """
    distribution = name.replace("-", "_")
    backend = _BACKEND.format(name=name, distribution=distribution, version=version, extra=extra) + after
    pyproject = f'[build-system]\nrequires = {[*requires]!r}\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    return write_sdist(directory, name, {"pyproject.toml": pyproject, "backend.py": backend}, version)
