"""The forms of a build requirement that we hand to an installer, from pyproject.toml and from hooks alike.

They are a list of what we accept: a name, extras, a version specifier and a marker, as PEP 508 writes them; or a name
and a URL of a listed kind. An installer would also read options, paths and variables, and pip and uv differ in which.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from ..errors import UntrustedResultError
from ..text import is_visible, visible
from .markers import vet_marker

__all__ = ["FILE", "MAX_ITEMS", "MAX_REQUIREMENT", "MAX_REQUIREMENTS", "WEB", "vet_requirement", "vet_requirements"]

#: Kinds of URLs: downloads and clones, and files of this host. A requirement may name them only where a policy, or the
#: place that it comes from, allows it.
WEB = frozenset(("https", "http", "git+https", "git+http", "git+ssh", "hg+https", "hg+http", "svn+https", "svn+http"))
FILE = frozenset(("file", "git+file", "hg+file", "svn+file"))

MAX_ITEMS = 1000
MAX_REQUIREMENT = 4096
# packaging takes two microseconds for each character of the worst requirement.
MAX_REQUIREMENTS = 128 << 10
MAX_PARENTHESES = 32

# What RFC 3986 allows in a URL. So it holds no space, quote, backslash or brace: pip and uv expand ${NAME}.
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_USER = re.compile(r"[A-Za-z0-9._-]+")


def vet_requirements(texts: Sequence[str], *, schemes: Collection[str] = ()) -> tuple[str, ...]:
    """Vet all requirements of a project, or of a hook's answer.

    :param schemes: as :func:`vet_requirement`
    :raises UntrustedResultError: there are too many, or one of them has none of the forms
    """
    if len(texts) > MAX_ITEMS:
        raise UntrustedResultError(f"there must not be more than {MAX_ITEMS} build requirements", len(texts))
    if sum(map(len, texts)) > MAX_REQUIREMENTS:
        raise UntrustedResultError(f"all build requirements must not have more than {MAX_REQUIREMENTS} characters")
    return tuple(vet_requirement(text, schemes=schemes) for text in texts)


def vet_requirement(text: str, *, schemes: Collection[str] = ()) -> str:
    """Vet one requirement, and return it. Frontends pass it to an installer, or write it into a requirements file.

    :param schemes: the kinds of URLs that it may name, of :data:`WEB` and :data:`FILE`
    :raises UntrustedResultError: it has none of the forms
    """
    if len(text) > MAX_REQUIREMENT:
        raise UntrustedResultError(f"a requirement must not be longer than {MAX_REQUIREMENT} characters", text[:200])
    if not is_visible(text):
        raise UntrustedResultError("a requirement must not contain control or invisible characters", text)
    # A marker may compare any two strings, and frontends print the requirements that they install.
    if visible(text) != text:
        raise UntrustedResultError("a requirement must not contain a command to a CI service", text)
    # In a requirements file, pip replaces ${NAME} from the frontend's environment, and joins lines at a backslash.
    if "${" in text or "\\" in text:
        raise UntrustedResultError("a requirement must not contain '${' or a backslash", text)
    # packaging reads the parentheses of a marker recursively.
    if text.count("(") > MAX_PARENTHESES:
        raise UntrustedResultError(f"a requirement must not hold more than {MAX_PARENTHESES} parentheses", text)
    try:
        requirement = Requirement(text)
    except (InvalidRequirement, ValueError, RecursionError):
        raise UntrustedResultError("a requirement has to be a single dependency specifier (PEP 508)", text) from None
    vet_marker(requirement)
    if requirement.url is not None:
        _vet_url(requirement.url, text, schemes)
    return text


def _vet_url(url: str, text: str, schemes: Collection[str]) -> None:
    if not schemes:
        raise UntrustedResultError("a requirement must not name a URL unless the policy allows it", text)
    if not _URL.fullmatch(url):
        raise UntrustedResultError("the URL of a requirement must be as RFC 3986 writes it", text)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises an error for a port that is no number
    except ValueError:
        raise UntrustedResultError("the URL of a requirement must be as RFC 3986 writes it", text) from None
    scheme = parts.scheme
    if scheme in FILE and scheme not in schemes:
        raise UntrustedResultError(
            "a requirement must not refer to a file on this host unless the policy allows it", text
        )
    if scheme not in schemes:
        listed = ", ".join(sorted(schemes))
        raise UntrustedResultError(f"the URL of a requirement must be of a listed kind ({listed})", text)
    if scheme in FILE:
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise UntrustedResultError("a requirement must name a file of this host as file:///path", text)
        return
    user, at, _ = parts.netloc.rpartition("@")
    if not parts.hostname or parts.hostname.startswith("-"):
        raise UntrustedResultError("the URL of a requirement must name a host", text)
    # ssh wants a user, git@ for most hosts. Anything else before the host is a credential, and not the operator's.
    if at and not (scheme == "git+ssh" and _USER.fullmatch(user) and not user.startswith("-")):
        raise UntrustedResultError("the URL of a requirement must not hold a user name or password", text)
