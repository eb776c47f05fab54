"""The caller's own indexes for pip, as far as the proxy adds the credentials for them."""

from __future__ import annotations

import pytest

from isolated_hooks import Policy
from isolated_hooks.plan.wayout import indexes

POLICY = Policy(
    network=["index.example.org:443", "files.example.org:8443", "10.0.0.5:80", "other.example.org:443", "[::1]:443"],
    network_auth=[
        *("index.example.org:443=netrc", "files.example.org:8443=keyring", "10.0.0.5:80/plain=netrc"),
        "[::1]:443=netrc",
    ],
)


@pytest.mark.parametrize(
    ("url", "led", "trusted"),
    [
        ("https://index.example.org/simple", "http://index.example.org:443/simple", "index.example.org:443"),
        (
            "https://me:geheim@Index.example.org:443/simple/",
            "http://index.example.org:443/simple/",
            "index.example.org:443",
        ),
        ("https://index.example.org", "http://index.example.org:443/", "index.example.org:443"),
        ("https://files.example.org:8443/x", "http://files.example.org:8443/x", "files.example.org:8443"),
        ("http://10.0.0.5/x", "http://10.0.0.5:80/x", "10.0.0.5:80"),
        ("https://[::1]/x", "http://[::1]:443/x", "[::1]:443"),
    ],
)
def test_an_index_on_such_a_host_is_given_without_a_user_name(url: str, led: str, trusted: str) -> None:
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        assert indexes(POLICY.auths, {name: url}) == {name: led, "PIP_TRUSTED_HOST": trusted}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://other.example.org/simple",  # named, and without a credential
        "https://index.example.org:8443/simple",
        "http://index.example.org/simple",
        "http://index.example.org:443/simple",
        "https://10.0.0.5:80/simple",
        "https://index.example.org/simple?token=geheim",
        "https://index.example.org/simple#geheim",
        "https://index.example.org/token=geheim/simple",
        "https://index.example.org.other.example/simple",
        "https://index.example.org:x/simple",
        "https://[::1/simple",
        "file:///srv/index",
    ],
)
def test_any_other_is_not_given(url: str) -> None:
    assert indexes(POLICY.auths, {"PIP_INDEX_URL": url, "PIP_EXTRA_INDEX_URL": f"{url} {url}"}) == {}
    assert indexes((), {"PIP_INDEX_URL": "https://index.example.org/simple"}) == {}


def test_of_several_those_are_given_that_lead_there() -> None:
    urls = "https://me:geheim@other.example.org/a https://index.example.org/b https://files.example.org:8443/c"
    assert indexes(POLICY.auths, {"PIP_EXTRA_INDEX_URL": urls}) == {
        "PIP_EXTRA_INDEX_URL": "http://index.example.org:443/b http://files.example.org:8443/c",
        "PIP_TRUSTED_HOST": "index.example.org:443 files.example.org:8443",
    }
