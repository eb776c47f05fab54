"""The shapes of credentials in values, and a copy of git's configuration without them.

A shape finds what people put into URLs and options, and the tokens that services mark with a prefix so that scanners
can find them. A password that looks like a word is found only after a name such as ``TOKEN=``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["UNREADABLE_CONFIG", "holds_credentials", "without_credentials"]

# Whoever writes a value may choose the worst one for a search. So each repetition has a bound, or it excludes the
# character before it, so that no part of the value is looked at from many starts.

# The part before an "@" in the authority of a URL (RFC 3986, 3.2.1). Even a user name alone may be a token. People also
# write proxies without a scheme, as user:password@host, with or without two slashes before it.
_USERINFO = re.compile(r"://[^\s/]*@|//[^\s/:@]+:[^\s/@]+@")
_WITHOUT_SCHEME = re.compile(r"(?:^|[=,;\"'])[^=,;\"':]+:.", re.DOTALL)
_AFTER_SEPARATOR = re.compile(r"[=,;\"'][^=,;\"':]+:.", re.DOTALL)
_SPACE_OR_SLASH = re.compile(r"[\s/]")
# Prefixes that their services document, for secret scanners: GitHub, GitLab, npm, PyPI, AWS, Slack, Hugging Face,
# Docker, Google, Atlassian, Vault, Anaconda, crates.io, Grafana, Stripe, SendGrid, Azure DevOps, JSON web tokens, keys.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_\w{8}|github_pat_\w{8}|gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt|oas)-[\w-]{8}|npm_\w{8}|pypi-AgE|"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12}|xox[a-z]-[\w-]{6}|xapp-[\w-]{6}|hf_[A-Za-z]{16}|dckr_(?:pat|oat)_[\w-]{8}|"
    r"AIza[\w-]{20}|ya29\.[\w-]{8}|GOCSPX-[\w-]{8}|AT(?:ATT|BB|CTT)3?x?[\w-]{16}|hv[sbr]\.[\w-]{8}|"
    r"(?:sk|rk|pk)[-_](?:live|test|proj|ant|svcacct)[-_][\w-]{8}|SG\.[\w-]{8}|gl(?:sa|c)_\w{8}|dop_v1_\w{8}|"
    r"rubygems_\w{8}|shp(?:at|ss|ca|pa)_\w{8}|cio[A-Za-z0-9]{32}|tskey-\w{4}|dapi[0-9a-f]{32}|AccountKey=|SharedAccess|"
    r"sk-[A-Za-z0-9]{40}|pul-[0-9a-f]{40}|lin_api_\w{8}|figd_[\w-]{8}|NRAK-[A-Z0-9]{8}|PMAK-[0-9a-f]{8}|"
    r"eyJ[\w-]{8,512}\.[\w-]{8}|-----BEGIN [A-Z ]{0,24}PRIVATE KEY)"
)
_NAMES = "TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|API[_-]?KEY|ACCESS[_-]?KEY|PRIVATE[_-]?KEY|AUTH[_-]?KEY"
# The signature of a URL that whoever has it may use: of AWS, Google, Azure and CloudFront.
_SIGNED = re.compile(r"[?&](?:X-(?:Amz|Goog)-Signature|Signature|sig)=[\w%+/=-]{8}", re.IGNORECASE)
# NAME=value, as in -DINDEX_TOKEN:STRING=value or {"password": "value"}; --password value; a header of HTTP.
_ASSIGNED = re.compile(
    rf"(?:{_NAMES})S?(?:_\w{{0,32}})?[\"']?(?::[A-Z]{{1,12}})?[ ]{{0,4}}[=:][ ]{{0,4}}[\"']?([^\s\"',;&]*)"
    rf"|--[a-z-]{{0,24}}(?:{_NAMES})[ ]{{1,4}}([^\s-][^\s]*)"
    # These two are also parts of other words, and of options of LLVM.
    r"|(?:_|-D)(?:PASS|PWD)(?::[A-Z]{1,12})?=[\"']?([^\s\"',;&]*)",
    re.IGNORECASE,
)
# A header of HTTP, or a line of netrc(5).
_HEADER = re.compile(
    r"\b(?:bearer|basic)[ ]{1,4}[A-Za-z0-9+/._=~-]{8}|\b(?:machine[ ]\S{1,64}|login[ ]\S{1,64})[ ]password[ ]", re.I
)
# A switch, a number, a path, or a reference to another variable.
_HARMLESS = re.compile(r"(?:on|off|true|false|yes|no|none|null|auto|system|\d{1,8}|\.{0,2}/.*|[$<%@].*|\**)\Z", re.I)


def holds_credentials(value: str) -> bool:
    """Return whether a value contains something with the shape of a credential."""
    return (
        any(pattern.search(value) is not None for pattern in (_USERINFO, _TOKEN, _SIGNED, _HEADER))
        or _has_userinfo(value)
        or next(_assigned(value), None) is not None
    )


def _has_userinfo(value: str) -> bool:
    """Return whether a value contains user:password@host, at its start or after a space or a separator."""
    *parts, _ = value.split("@")
    for number, part in enumerate(parts):
        word = _SPACE_OR_SLASH.split(part)[-1]
        above = part[: len(part) - len(word)]
        begins = not above.endswith("/") if above else number == 0
        if _WITHOUT_SCHEME.search(word) if begins else _AFTER_SEPARATOR.search(word):
            return True
    return False


def _assigned(value: str) -> Iterator[re.Match[str]]:
    for match in _ASSIGNED.finditer(value):
        text = next(group for group in match.groups() if group is not None)
        if not _HARMLESS.match(text):
            yield match


#: The content that stands for a configuration of git that is too large to look through.
UNREADABLE_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"

_SECTION = re.compile(r"\s*\[\s*([\w.-]+)")
_KEY = re.compile(r"\s*(?:\[[^\]]*\]\s*)?([A-Za-z][\w-]*)\s*=?")
# Variables of git-config(1) whose value is a credential, or a header, a proxy or a program that gives one.
_SECRET_KEYS = frozenset("extraheader proxy smtppass pass password token cookiefile smtpuser".split())
_URL_USERINFO = re.compile(r"(\w[\w+.-]{0,31}://)[^\s/@\"]*@")


def without_credentials(config: str) -> str:
    """Return a configuration of git, git-config(1), without the lines and the parts of URLs that are credentials.

    Everything else stays as it is, so git works with it. The user name of an ``ssh://`` URL is no credential.
    """
    kept: list[str] = []
    pieces: list[str] = []
    for line in config.splitlines(keepends=True):
        pieces.append(line)
        if not line.rstrip("\r\n").endswith("\\"):  # otherwise the value goes on in the next line
            kept.append(_masked("".join(pieces)))
            pieces.clear()
    return "".join(kept) + (_masked("".join(pieces)) if pieces else "")


def _masked(line: str) -> str:
    masked = _URL_USERINFO.sub(_bare, line)
    key = _KEY.match(masked)
    section = _SECTION.match(masked)
    if (key is not None and key[1].lower() in _SECRET_KEYS) or holds_credentials(_SSH.sub("", masked)):
        # A section has to stay, because the lines beneath it would belong to another one.
        return f'[{section[1]} "masked"]\n' if section is not None else "# masked by isolated-hooks\n"
    return masked


_SSH = re.compile(r"(?:git\+)?ssh://[\w.-]*@|\b[\w.-]{1,64}@[\w.-]{1,255}:")


def _bare(match: re.Match[str]) -> str:
    url = match[0]
    return url if url.startswith(("ssh://", "git+ssh://")) and ":" not in url.split("://")[1] else match[1]
