"""Credentials for named hosts: the accepted forms, and every other one without what may be a password."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from isolated_hooks import Policy, PolicyError
from isolated_hooks.policy import load_policy

HOSTS = ["index.example.org:443", "mirror:8443/private", "10.0.0.5:80", "[2001:db8::7]:443", "192.0.2.7:8080", "a:80"]


@pytest.mark.parametrize(
    ("entry", "normal", "authority"),
    [
        ("index.example.org:443=netrc", "index.example.org:443=netrc", "index.example.org"),
        ("Index.Example.ORG:443=keyring", "index.example.org:443=keyring", "index.example.org"),
        ("mirror:8443=keyring:a builder=x", "mirror:8443=keyring:a builder=x", "mirror:8443"),
        ("mirror:8443/plain=netrc", "mirror:8443/plain=netrc", "mirror:8443"),
        ("10.0.0.5:80/plain=netrc", "10.0.0.5:80/plain=netrc", "10.0.0.5"),
        ("10.0.0.5:80=netrc", "10.0.0.5:80=netrc", "10.0.0.5:80"),
        ("[2001:DB8::0:7]:443=netrc", "[2001:db8::7]:443=netrc", "[2001:db8::7]"),
    ],
)
def test_an_entry_has_one_normal_form(entry: str, normal: str, authority: str) -> None:
    policy = Policy(network=HOSTS, network_auth=[entry, normal])
    assert policy.network_auth == (normal,)
    assert [auth.authority for auth in policy.auths] == [authority]
    assert Policy(**policy.to_dict()) == policy  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("index.example.org:443", "stays in netrc"),
        ("index.example.org:443=geheim", "stays in netrc"),
        ("index.example.org:443=builder:geheim", "stays in netrc"),
        ("index.example.org:443=netrc:geheim", "after netrc nothing"),
        ("index.example.org:443=keyring:", "a user name"),
        ("index.example.org:443=keyring:user:geheim", "without a colon"),
        ("index.example.org:443=keyring:a\nb", "a user name"),
        ("index.example.org:443=keyring:" + "x" * 256, "a user name"),
        ("index.example.org:443=NETRC", "stays in netrc"),
        ("user:geheim@index.example.org:443=netrc", "stays in netrc"),
        ("https://user:geheim@index.example.org=netrc", "stays in netrc"),
        ("index.example.org=netrc", "as in network"),
        ("index.example.org.:443=netrc", "as in network"),
        ("*:443=netrc", "as in network"),
        ("mirror:8443/private=netrc", "leave /private"),
        ("mirror:8443/private/plain=netrc", "leave /private"),
        ("=netrc", "as in network"),
        ("", "stays in netrc"),
        (443, "HOST:PORT=netrc"),
    ],
)
def test_another_form_is_refused_and_what_may_be_a_password_is_not_repeated(entry: object, word: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy(network=HOSTS, network_auth=[entry])  # type: ignore[list-item]
    text = str(caught.value)
    assert text.startswith(
        "policy: network_auth: expected HOST:PORT=netrc, HOST:PORT=keyring or HOST:PORT=keyring:USER"
    )
    assert word in text
    assert "geheim" not in text
    assert "\n" not in text


@pytest.mark.parametrize("network", [True, False, ["index.example.org:80"], ["other.example.org:443"]])
def test_only_hosts_that_network_names_have_one(network: bool | list[str]) -> None:
    with pytest.raises(PolicyError, match=r"network_auth: index\.example\.org:443 is not in network .*: add "):
        Policy(network=network, network_auth=["index.example.org:443=netrc"])


@pytest.mark.parametrize("entry", ["index.example.org:443/plain=netrc", "a:80/plain=keyring"])
def test_none_goes_to_a_public_host_without_tls(entry: str) -> None:
    with pytest.raises(PolicyError, match=r"to a public host without TLS .*: remove /plain"):
        Policy(network=HOSTS, network_auth=[entry])
    with pytest.raises(PolicyError, match="to a public host without TLS"):
        Policy(network=["8.8.8.8:80"], network_auth=["8.8.8.8:80/plain=netrc"])


def test_a_host_has_one_entry_and_the_list_is_a_list() -> None:
    with pytest.raises(PolicyError, match="has two entries"):
        Policy(network=HOSTS, network_auth=["mirror:8443=netrc", "mirror:8443=keyring"])
    with pytest.raises(PolicyError, match="expected a list"):
        Policy(network=HOSTS, network_auth="mirror:8443=netrc")


def test_a_policy_without_a_network_has_no_credentials(tmp_path: pathlib.Path) -> None:
    policy = Policy(network=HOSTS, network_auth=["mirror:8443=netrc"], source="read-only")
    assert policy.without_network() == Policy(source="read-only")
    with pytest.raises(PolicyError, match="is not in network"):
        dataclasses.replace(policy, network=False)
    file = tmp_path / "policy.toml"
    file.write_text('network = ["mirror:8443/private"]\nnetwork-auth = ["mirror:8443=keyring:builder"]\n')
    assert load_policy(file).default.network_auth == ("mirror:8443=keyring:builder",)
