"""The list of hosts: its accepted forms, and every other one with the value and what to write."""

from __future__ import annotations

import pytest

from isolated_hooks import Policy, PolicyError, Protection, ProtectionState


@pytest.mark.parametrize(
    ("entry", "normal"),
    [
        ("index.example.org:443", "index.example.org:443"),
        ("Index.Example.org:443", "index.example.org:443"),
        ("pypi-mirror:65535", "pypi-mirror:65535"),
        ("pypi_mirror:1/private", "pypi_mirror:1/private"),
        ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
        ("10.0.0.5:8080", "10.0.0.5:8080"),
        ("169.254.169.254:80", "169.254.169.254:80"),
        ("[2001:DB8:0:0::7]:443", "[2001:db8::7]:443"),
        ("[::1]:3141", "[::1]:3141"),
    ],
)
def test_an_entry_has_one_normal_form(entry: str, normal: str) -> None:
    policy = Policy(network=[entry, normal])
    assert policy.network == (normal,)
    assert [str(host) for host in policy.hosts] == [normal]
    assert policy.to_dict()["network"] == [normal]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("index.example.org", "a port is a number"),
        ("index.example.org:", "a port is a number"),
        ("index.example.org:0", "a port is a number"),
        ("index.example.org:65536", "a port is a number"),
        ("index.example.org:+80", "a port is a number"),
        ("index.example.org:080", "a port is a number"),
        ("index.example.org:https", "a port is a number"),
        ("index.example.org:44٣", "a port is a number"),
        ("", "a port is a number"),
        (":443", "HOST:PORT"),
        ("*:443", "no wildcards"),
        ("*.index.example.org:443", "no wildcards"),
        ("https://index.example.org:443", "leave out the scheme"),
        ("user@index.example.org:443", "any user name"),
        ("index.example.org/simple:443", "the path"),
        ("index.example.org.:443", "HOST:PORT"),
        ("-index.example.org:443", "HOST:PORT"),
        ("pypi..org:443", "HOST:PORT"),
        ("py pi.org:443", "HOST:PORT"),
        ("index.example.org\x00.evil.example:443", "HOST:PORT"),
        ("index.example.org\n:443", "HOST:PORT"),
        (f"{'a' * 64}.org:443", "HOST:PORT"),
        (f"{'a.' * 127}org:443", "HOST:PORT"),
        ("bücher.example:443", "xn--"),
        ("index.example.org:443/Private", "a port is a number"),
        ("2001:db8::7:443", "in brackets"),
        ("[2001:db8::7:443", "in brackets"),
        ("[fe80::1%eth0]:443", "without a zone"),
        ("[10.0.0.5]:443", "without a zone"),
        ("[]:443", "HOST:PORT"),
        ("[::ffff:127.0.0.1]:443", "127.0.0.1"),
        ("127.1:443", "HOST:PORT"),
        ("2130706433:443", "HOST:PORT"),
        ("0x7f000001:443", "HOST:PORT"),
        ("0177.0.0.1:443", "HOST:PORT"),
        ("0.0.0.0:443", "no host has this address"),
        ("[::]:443", "no host has this address"),
        ("224.0.0.1:443", "no host has this address"),
        ("255.255.255.255:443", "no host has this address"),
        ("10.0.0.5:443/private", "needs no /private"),
        (443, "HOST:PORT"),
        (b"index.example.org:443", "HOST:PORT"),
    ],
)
def test_another_form_is_refused_with_the_value_and_the_accepted_one(entry: object, word: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy(network=["files.example:80", entry])  # type: ignore[list-item]
    text = str(caught.value)
    assert text.startswith("policy: network: expected HOST:PORT, such as index.example.org:443")
    assert word in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "value", [[], (), "index.example.org:443", {"index.example.org": 443}, 1, None, ["a:1"] * 1001]
)
def test_a_list_is_a_list_with_entries(value: object) -> None:
    with pytest.raises(PolicyError, match="policy: network: expected"):
        Policy(network=value)  # type: ignore[arg-type]


def test_named_hosts_are_not_the_whole_network() -> None:
    named, whole, none = Policy(network=["index.example.org:443"]), Policy(network=True), Policy()
    assert [policy.whole_network for policy in (named, whole, none)] == [False, True, False]
    assert [bool(policy.hosts) for policy in (named, whole, none)] == [True, False, False]
    assert not named.permits(Protection.NETWORK, ProtectionState.DISABLED)
