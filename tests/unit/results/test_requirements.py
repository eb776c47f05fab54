"""The forms of a requirement that we hand to an installer."""

from __future__ import annotations

import pytest

from isolated_hooks import UntrustedResultError
from isolated_hooks.results.requirements import FILE, WEB, vet_requirement, vet_requirements


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "A.b_c-d",
        "a[x,y]",
        "a>=1,!=1.5,<2",
        "a (>=1)",
        "a==1.*; python_version < '3.12' and os_name == 'posix'",
        "a~=1.0 ; extra == 'x'",
    ],
)
def test_names_and_versions_are_always_accepted(text: str) -> None:
    assert vet_requirement(text) == text


@pytest.mark.parametrize(
    "url",
    [
        "https://h.example/a-1.0-py3-none-any.whl#sha256=00",
        "https://h.example:8443/a%20b.zip",
        "https://[::1]/a.whl",
        "http://127.0.0.1:8080/a.whl",
        "git+https://github.com/x/a@v1#subdirectory=b&egg=a",
        "git+ssh://git@github.com/x/a.git",
        "git+ssh://h.example/a",
        "hg+https://h.example/a",
    ],
)
def test_urls_are_accepted_where_they_may_be_named(url: str) -> None:
    assert vet_requirement(f"a @ {url}", schemes=WEB) == f"a @ {url}"
    with pytest.raises(UntrustedResultError, match="unless the policy allows it"):
        vet_requirement(f"a @ {url}")


@pytest.mark.parametrize("url", ["file:///srv/a.whl", "FILE:/srv/a.whl", "file://localhost/srv/a", "git+file:///srv/a"])
def test_files_of_this_host_are_a_kind_of_their_own(url: str) -> None:
    assert vet_requirement(f"a @ {url}", schemes=WEB | FILE) == f"a @ {url}"
    with pytest.raises(UntrustedResultError, match="file on this host"):
        vet_requirement(f"a @ {url}", schemes=WEB)


@pytest.mark.parametrize(
    "url",
    [
        "../../dir",
        "dir",
        "/etc/a.whl",
        "./a.whl",
        "~/a.whl",
        "C:/a.whl",
        "//h.example/a.whl",
        "https:a.whl",
        "https:///a.whl",
        "https://-h/a.whl",
        "https://user@h.example/a.whl",
        "https://user:word@h.example/a.whl",
        "https://:@h.example/a.whl",
        "https://h.example:port/a.whl",
        "https://[h/a.whl",
        "https://h.example/${NAME}/a.whl",
        "https://h.example/$%7BNAME}/a.whl",
        "https://h.example/a\\b.whl",
        "https://h.example/ä.whl",
        "ftp://h.example/a.whl",
        "ssh://h.example/a",
        "git+git://h.example/a",
        "git+ext://h.example/a",
        "git+ssh://git:word@h.example/a",
        "git+ssh://-oProxyCommand=x@h.example/a",
        "git+ssh://-oProxyCommand=x/a",
        "file://h.example/a.whl",
        "file:a.whl",
        "file:../a.whl",
        "javascript:a",
        "data:,a",
    ],
)
def test_other_urls_are_refused_even_if_files_are_allowed(url: str) -> None:
    with pytest.raises(UntrustedResultError):
        vet_requirement(f"a @ {url}", schemes=WEB | FILE)


@pytest.mark.parametrize("text", ["a\x1b[2J", "a\u202e", "a\nb", "a\x00"])
def test_invisible_characters_are_named(text: str) -> None:
    with pytest.raises(UntrustedResultError, match="control or invisible"):
        vet_requirement(text)


def test_there_are_bounds_on_all_of_them() -> None:
    assert len(vet_requirements(["a"] * 1000)) == 1000
    with pytest.raises(UntrustedResultError, match="1000"):
        vet_requirements(["a"] * 200_000)
    with pytest.raises(UntrustedResultError, match="characters"):
        vet_requirements(["a" * 4000] * 40)
    with pytest.raises(UntrustedResultError, match="longer than"):
        vet_requirements(["a" * 4097])
