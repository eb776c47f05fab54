"""Changes to pip that a wheelhouse asks for in the state: fetch an sdist without any hook, and use an index of ours."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...errors import UntrustedResultError
from ...files.reading import read_file
from ...files.spelling import absolute
from ...files.steered import Trees
from ...results.archives.rules import MAX_DOCUMENT, read_identity

__all__ = ["requested_seams"]


def requested_seams(state: Mapping[str, Any]) -> Iterator[tuple[Any, str, Any]]:
    """Yield each change to pip as an owner, the name of its attribute, and the new value.

    :raises AttributeError, ImportError: this pip works in another way
    """
    if state.get("fetches"):
        sdist: Any = importlib.import_module("pip._internal.distributions.sdist").SourceDistribution
        yield sdist, "prepare_distribution_metadata", _from_pkg_info(sdist.prepare_distribution_metadata)
    if index := state.get("index"):
        finder: Any = importlib.import_module("pip._internal.index.package_finder").PackageFinder
        yield finder, "find_all_candidates", _preferring(finder.find_all_candidates, index)
        adapters: Any = importlib.import_module("pip._vendor.requests.adapters")
        yield adapters, "select_proxy", _direct(adapters.select_proxy, index)


def _from_pkg_info(prepare: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the method that asks hooks for the metadata of an sdist: its PKG-INFO has the name and the version.

    ``pip download --no-deps`` compares these two, and does nothing else with the metadata.
    """

    @functools.wraps(prepare)
    def prepare_distribution_metadata(self: Any, *args: Any, **kwargs: Any) -> None:
        document = _pkg_info(absolute(self.req.unpacked_source_directory))
        if document is None:
            prepare(self, *args, **kwargs)
            return
        name, version = read_identity(document, "PKG-INFO")
        temporary: Any = importlib.import_module("pip._internal.utils.temp_dir").TempDirectory
        above = temporary(kind="modern-metadata", globally_managed=True).path
        directory = os.path.join(above, f"{name.replace('-', '_')}-{version}.dist-info")
        os.mkdir(directory)
        with open(os.path.join(directory, "METADATA"), "xb") as file:
            file.write(document)
        self.req.metadata_directory = directory

    return prepare_distribution_metadata


def _pkg_info(tree: str) -> bytes | None:
    try:
        document = read_file(f"{tree}/PKG-INFO", Trees((tree,)), limit=MAX_DOCUMENT)
        read_identity(document, "PKG-INFO")
    except (OSError, UntrustedResultError):
        return None  # then hooks have to say
    return document


def _preferring(find: Callable[..., Any], index: str) -> Callable[..., Any]:
    """Wrap the method that finds the files of a project: of a version that our index has, it is the one there.

    pip would prefer a file of another index whose tags are more specific.
    """

    @functools.wraps(find)
    def find_all_candidates(self: Any, project_name: str) -> list[Any]:
        found = find(self, project_name)
        # A constraint ``== 1.0`` is also met by 1.0+local, which would win.
        ours = {candidate.version.public for candidate in found if candidate.link.url.startswith(index)}
        return [c for c in found if c.version.public not in ours or c.link.url.startswith(index)]

    return find_all_candidates


def _direct(select: Callable[..., Any], index: str) -> Callable[..., Any]:
    """Wrap the function that selects the proxy for a URL: no proxy reaches our loopback interface."""

    @functools.wraps(select)
    def select_proxy(url: str, proxies: Any) -> Any:
        return None if url.startswith(index) else select(url, proxies)

    return select_proxy
