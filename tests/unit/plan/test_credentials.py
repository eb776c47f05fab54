"""Credentials in values are found by their shape, and nothing else is taken for one."""

from __future__ import annotations

import configparser

import pytest

from isolated_hooks.plan.credentials import holds_credentials, without_credentials

# Joined here, so that no scanner takes this file for a leak.
TOKENS = [
    "gh" + "p_0123456789abcdefABCDEF0123456789abcd",
    "gh" + "s_0123456789abcdefABCDEF0123456789abcd",
    "github" + "_pat_11ABCDEFG0abcdefghij_0123456789",
    "gl" + "pat-abcdefghij0123456789",
    "n" + "pm_0123456789abcdefABCDEF0123456789abcd",
    "pypi-" + "AgEIcHlwaS5vcmcCJGFhYWFhYWFh",
    "AK" + "IAABCDEFGHIJKLMNOP",
    "xo" + "xb-123456789012-abcdef",
    "hf" + "_abcdefghijklmnopqrstuvwxyz",
    "dckr" + "_pat_abcdefghij",
    "pul-" + "0123456789abcdef" * 3,
    "sk-" + "abcdefghij" * 5,
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "-DX={} -O2", "--index https://h/simple?t={}", '{{"a": "{}"}}', "'{}'"])
def test_a_token_is_found_by_its_prefix(token: str, around: str) -> None:
    assert holds_credentials(around.format(token))


@pytest.mark.parametrize(
    "value",
    [
        "-DINDEX_TOKEN=hunter2",
        "-DINDEX_TOKEN:STRING=hunter2",
        "-Dindex_password='hunter2'",
        '-C link-arg=x --cfg token="hunter2"',
        "-Csetup-args=-Dsecret=hunter2",
        "FOO=1;API_KEY=hunter2",
        '{"password": "hunter2"}',
        "--password hunter2",
        "--index-token=hunter2",
        "Authorization: Bearer abcdefghijkl",
        "http.extraheader=AUTHORIZATION: basic eDpoLXRva2Vu",
        "AWS_SECRET_ACCESS_KEY=hunter2",
        "MY_CREDENTIALS=hunter2",
        "machine example.org login u password hunter2",
        "-DDB_PASS=hunter2",
        "-Dpwd:STRING='hunter2'",
        "https://index.example.org/a?se=2027&sig=abcdef%2Bxyz",
        "https://index.example.org/a?X-Amz-Date=1&X-Amz-Signature=deadbeefdeadbeef",
        "https://index.example.org/a?Signature=abcdefgh~&Key-Pair-Id=x",
    ],
)
def test_a_credential_is_found_by_the_name_before_it(value: str) -> None:
    assert holds_credentials(value)


@pytest.mark.parametrize(
    "value",
    [
        "-DUSE_TOKEN=ON -DPASSWORD=off -DSECRET=0",
        "-DMAX_TOKENS=4096",
        "-mllvm -debug-pass=Structure -Rpass=inline -DTWO_PASS=ON",
        "OLDPWD=/src PWD=/src/a",
        "https://h/a?design=landscape",
        "-DTOKEN_FILE=/run/secrets/token",
        "-DTOKEN=${TOKEN}",
        "-DTOKEN=$ENV{TOKEN}",
        "-I/opt/tokenizers/include:/usr/include",
        "/opt/token:/usr/lib",
        '--cfg feature="token"',
        "-C target-cpu=native -C link-arg=-fuse-ld=lld",
        "-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON",
        "--max-tokenizers 5",
        "-Wl,-rpath,$ORIGIN -fno-basic-block",
        "keyring:password-store",
        "secretary: a person",
        "-DWITH_SECRET=",
        "-DMSG.something_long precious0123456789012345678901234567890",
    ],
)
def test_other_values_are_kept(value: str) -> None:
    assert not holds_credentials(value)


@pytest.mark.slow
def test_the_search_takes_linear_time() -> None:
    for part in (
        "TOKEN_",
        "--token-",
        "SECRET ",
        "bearer ",
        "eyJa.",
        "eyJaaaaaaaa-",
        "?sig=",
        "_PASS:A",
        "TOKEN:A",
        "-----BEGIN A",
        "=a:",
        "a",
    ):
        holds_credentials(part * 30_000)
        without_credentials(part * 30_000)
    for part in ("a.", "a", "token", "\n", "\\\n", "[a]", "a = b\n"):
        without_credentials(part * 60_000)


CONFIG = f"""\
[core]
\trepositoryformatversion = 0
\tignorecase = false
[remote "origin"]
\turl = https://x-access-token:{TOKENS[0]}@example.org/a/b
\tfetch = +refs/heads/*:refs/remotes/origin/*
[remote "mirror"] url = https://hunter2@example.org/a
[remote "ssh"]
\turl = ssh://git@example.org/a
\tpushurl = git@example.org:a/b.git
[http "https://example.org/"]
\textraheader = AUTHORIZATION: basic hunter2
\tproxy = http://u:hunter2@proxy:3128
[url "https://hunter2@example.org/"]
\tinsteadOf = https://example.org/
[sendemail]
\tsmtpPass = hunter\\
2hunter2
[my "tool"]
\tapi-token = hunter2
[branch "main"]
\tremote = origin
"""


def test_credentials_are_taken_out_of_a_configuration_of_git() -> None:
    masked = without_credentials(CONFIG)
    assert "hunter2" not in masked
    assert TOKENS[0] not in masked
    for kept in (
        "\tignorecase = false\n",
        "\turl = https://example.org/a/b\n",
        "\tfetch = +refs/heads/*:refs/remotes/origin/*\n",
        '[remote "mirror"] url = https://example.org/a\n',
        "\turl = ssh://git@example.org/a\n",
        "\tpushurl = git@example.org:a/b.git\n",
        '[url "https://example.org/"]\n',
        '[branch "main"]\n\tremote = origin\n',
    ):
        assert kept in masked
    configparser.RawConfigParser(strict=False, allow_no_value=True).read_string(
        "\n".join(line.strip() for line in masked.splitlines())
    )


def test_a_configuration_without_credentials_stays_as_it_is() -> None:
    plain = "".join(line for line in CONFIG.splitlines(keepends=True)[:3]) + "; a comment\n\n[a]\nb\n"
    assert without_credentials(plain) == plain
    assert without_credentials("") == ""


def test_a_section_that_is_masked_still_ends_the_one_before() -> None:
    masked = without_credentials(f'[a]\nx = 1\n[url "{TOKENS[0]}"]\ninsteadOf = z\n')
    assert masked == '[a]\nx = 1\n[url "masked"]\ninsteadOf = z\n'
