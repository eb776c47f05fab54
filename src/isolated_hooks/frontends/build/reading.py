"""What build reads in a source tree: pyproject.toml, through the vetted reader and a parser whose work is bounded.

build opens and parses the file again for each distribution, so after hooks that may have put anything in its place.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from build import BuildException

from ...errors import UntrustedResultError
from ...files.documents import DocumentError, parse_toml
from ...files.reading import read_file
from ...files.spelling import absolute
from ...files.steered import Trees
from ...policy import Policy
from ...results.boundedtoml import MAX_PYPROJECT
from ...results.requirements import MAX_ITEMS, MAX_REQUIREMENTS
from ...text import visible
from .installation import RequirementsError
from .inventory import parsed

__all__ = ["PyprojectReader", "check_requirements"]


class PyprojectReader:
    """Takes the place of build's function that reads pyproject.toml.

    :param policy: says whether requirements may refer to files on this host
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def __call__(self, path: Any) -> dict[str, Any]:
        """Return the document, or an empty one if there is no file.

        :raises build.BuildException: build must not use the file
        """
        name = absolute(path)
        try:
            document = parse_toml(read_file(name, Trees((os.path.dirname(name),)), limit=MAX_PYPROJECT))
        except DocumentError as problem:
            raise BuildException(f"{visible(name)!r} is not used: {problem}") from problem
        except ValueError as problem:  # in build's words
            raise BuildException(
                f"Failed to parse {visible(os.fspath(path))}: {visible(str(problem), limit=200)}"
            ) from None
        except FileNotFoundError:
            return {}
        except UntrustedResultError as problem:
            raise BuildException(f"{visible(name)!r} is not used: {problem.rule}: {problem.text}") from problem
        except OSError as error:
            raise BuildException(f"{visible(name)!r} cannot be read: {error.strerror}") from error
        system = document.get("build-system")
        requires = system.get("requires") if isinstance(system, dict) else None
        if isinstance(requires, list):  # otherwise build has an error of its own
            check_requirements([text for text in requires if isinstance(text, str)], self._policy)
        return document


def check_requirements(texts: Collection[str], policy: Policy) -> None:
    """Check all requirements of a project.

    :raises RequirementsError: there are too many, or one of them has none of the accepted forms
    """
    if len(texts) > MAX_ITEMS or sum(map(len, texts)) > MAX_REQUIREMENTS:
        raise RequirementsError(
            f"there are too many build requirements (expected at most {MAX_ITEMS} with {MAX_REQUIREMENTS} characters, "
            f"got {len(texts)} with {sum(map(len, texts))})"
        )
    for text in texts:
        parsed(text, local=policy.allow_url_requirements)
