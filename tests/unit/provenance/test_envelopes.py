"""Signed envelopes: who signed, and what of an envelope counts."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.statements import bundle

from isolated_hooks.errors import PolicyError, UntrustedResultError
from isolated_hooks.provenance.envelopes import PAYLOAD_TYPE, checker, payload_of, signer
from isolated_hooks.provenance.verification import parsed_statements

pytest.importorskip("securesystemslib", reason="signatures need isolated-hooks[sign]")
pytest.importorskip("cryptography", reason="signatures need isolated-hooks[sign]")
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def pair(key: Any = None) -> tuple[bytes, bytes]:
    """Return a new key pair in PEM, or the given one: the private key and the public one."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return private, key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)


PRIVATE, PUBLIC = pair()


def envelope(payload: bytes = b"{}", private: bytes = PRIVATE) -> dict[str, Any]:
    return json.loads(json.dumps(signer(private, "--sign-key")(payload)))  # type: ignore[no-any-return]


def test_an_envelope_is_signed_as_dsse_says() -> None:
    made = envelope(b'{"a": 1}')
    assert made["payloadType"] == PAYLOAD_TYPE
    (signature,) = made["signatures"]
    signed = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), 8, b'{"a": 1}')
    key = s.load_pem_public_key(PUBLIC)
    assert isinstance(key, ed25519.Ed25519PublicKey)
    key.verify(base64.b64decode(signature["sig"]), signed)
    assert payload_of(made) == b'{"a": 1}'
    assert checker(PUBLIC, "--key")(made)


def test_only_a_signature_by_the_key_counts() -> None:
    check = checker(PUBLIC, "--key")
    made, other = envelope(), envelope(private=pair()[0])
    assert not check(other)
    assert not check({**made, "payload": base64.b64encode(b"[]").decode()})
    assert not check({**made, "signatures": [{**made["signatures"][0], "sig": "AAAA"}]})
    # The id of a key is a hint alone, in both directions.
    keyid = made["signatures"][0]["keyid"]
    assert not check({**other, "signatures": [{**other["signatures"][0], "keyid": keyid}]})
    assert check({**made, "signatures": [{"sig": made["signatures"][0]["sig"]}]})
    assert check({**made, "signatures": [*other["signatures"], *made["signatures"]]})


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "type": lambda e: e.update(payloadType="text/plain"),
    "no signatures": lambda e: e.pop("signatures"),
    "empty": lambda e: e.update(signatures=[]),
    "many": lambda e: e.update(signatures=e["signatures"] * 1000),
    "signature of another type": lambda e: e.update(signatures=["x"]),
    "no sig": lambda e: e["signatures"][0].pop("sig"),
    "payload of another type": lambda e: e.update(payload=1),
    "payload that is not base64": lambda e: e.update(payload="*"),
    "no statement in it": lambda e: e.update(payload="AAAA"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_envelope_is_refused(name: str) -> None:
    made = envelope(bundle().splitlines()[0])
    WRONG[name](made)
    with pytest.raises(UntrustedResultError, match=r"x, line 1"):
        parsed_statements(json.dumps(made).encode(), "x", checker(PUBLIC, "--key"))


def test_a_line_that_is_not_signed_is_refused_if_a_key_is_given() -> None:
    check = checker(PUBLIC, "--key")
    signed = b"\n".join(json.dumps(envelope(line)).encode() for line in bundle().splitlines())
    assert len(parsed_statements(signed, "x", check)) == 2
    assert parsed_statements(signed, "x")[0].kind == parsed_statements(bundle(), "x")[0].kind
    with pytest.raises(UntrustedResultError, match="line 1: it is not signed"):
        parsed_statements(bundle(), "x", check)
    with pytest.raises(UntrustedResultError, match="line 3: it is not signed"):
        parsed_statements(signed + b"\n" + bundle(), "x", check)
    with pytest.raises(UntrustedResultError, match="line 1: no signature of it is by the given key"):
        parsed_statements(signed, "x", checker(pair()[1], "--key"))


def test_what_is_no_key_is_refused() -> None:
    curve = pair(ec.generate_private_key(ec.SECP256R1()))
    for wrong in (b"", b"key", PUBLIC, curve[0]):
        with pytest.raises(PolicyError, match="--sign-key: not a private Ed25519 key"):
            signer(wrong, "--sign-key")
    for wrong in (b"", b"key", PRIVATE, curve[1]):
        with pytest.raises(PolicyError, match="--key: not a public Ed25519 key"):
            checker(wrong, "--key")
    key = ed25519.Ed25519PrivateKey.generate()
    locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"word"))
    with pytest.raises(PolicyError, match="without a password"):
        signer(locked, "--sign-key")


def test_without_the_library_the_remedy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "securesystemslib", None)
    for make, pem in ((signer, PRIVATE), (checker, PUBLIC)):
        with pytest.raises(PolicyError, match=r"pip install isolated-hooks\[sign\]"):
            make(pem, "--key")
