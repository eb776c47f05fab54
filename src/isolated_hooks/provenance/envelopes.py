"""Signed envelopes for statements: DSSE, with a local Ed25519 key, made and checked by securesystemslib.

The library is an extra. It is imported with the first key, so before any hook: a hook could put another one in its
place.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import PolicyError

__all__ = ["PAYLOAD_TYPE", "Check", "EnvelopeError", "Sign", "checker", "payload_of", "signer"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MOST_SIGNATURES = 16
_REMEDY = "Remedy: make one with 'openssl genpkey -algorithm ed25519 -out key.pem', without a password"

#: Returns the envelope of a statement.
Sign = Callable[[bytes], Mapping[str, Any]]
#: Returns whether an envelope has a signature by the key, over its payload.
Check = Callable[[Mapping[str, Any]], bool]


class EnvelopeError(ValueError):
    """A document is no envelope of an in-toto statement; the text says why."""


def signer(pem: bytes, label: str) -> Sign:
    """Return what signs with a private key.

    :param pem: the key, PKCS #8 in PEM, without a password
    :param label: the option that names it, for errors
    :raises PolicyError: the library is missing, or it is no such key
    """
    dsse, signing, keys, serialization = _library(label)
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, _unsupported()):
        key = None
    if not isinstance(key, keys.Ed25519PrivateKey):
        raise PolicyError(f"{label}: not a private Ed25519 key in PEM. {_REMEDY}")
    by_key = signing.CryptoSigner(key)

    def sign(payload: bytes) -> Mapping[str, Any]:
        envelope = dsse.Envelope(payload, PAYLOAD_TYPE, {})
        envelope.sign(by_key)
        document: Mapping[str, Any] = envelope.to_dict()
        return document

    sign(b"{}")  # which imports the rest of the library
    return sign


def checker(pem: bytes, label: str) -> Check:
    """Return what checks signatures by a key.

    :param pem: the public key in PEM
    :param label: the option that names it, for errors
    :raises PolicyError: the library is missing, or it is no such key
    """
    dsse, signing, keys, serialization = _library(label)
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, _unsupported()):
        key = None
    if not isinstance(key, keys.Ed25519PublicKey):
        raise PolicyError(
            f"{label}: not a public Ed25519 key in PEM. Remedy: 'openssl pkey -in key.pem -pubout' prints that of a "
            "private key"
        )
    by_key = signing.SSlibKey.from_crypto(key)

    def check(envelope: Mapping[str, Any]) -> bool:
        signed = dsse.Envelope(payload_of(envelope), PAYLOAD_TYPE, {}).pae()
        return any(_is_valid(signing, by_key, entry, signed) for entry in envelope["signatures"])

    return check


def _is_valid(signing: Any, key: Any, entry: Mapping[str, Any], signed: bytes) -> bool:
    from securesystemslib import exceptions

    # The id of a key is a hint: whoever signs with another tool may have another one.
    signature = signing.Signature(key.keyid, _decoded(entry.get("sig")).hex())
    try:
        key.verify_signature(signature, signed)
    except (exceptions.UnverifiedSignatureError, exceptions.VerificationError):
        return False
    return True


def payload_of(envelope: Mapping[str, Any]) -> bytes:
    """Return the statement in an envelope, whoever has signed it.

    :raises EnvelopeError: it is none
    """
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise EnvelopeError(f"its envelope holds no in-toto statement (expected the payloadType {PAYLOAD_TYPE})")
    signatures = envelope.get("signatures")
    if (
        not isinstance(signatures, list)
        or not 1 <= len(signatures) <= _MOST_SIGNATURES
        or not all(isinstance(entry, dict) for entry in signatures)
    ):
        raise EnvelopeError(f"its envelope is not signed (expected 1 to {_MOST_SIGNATURES} signatures)")
    return _decoded(envelope.get("payload"))


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(text if isinstance(text, str) else "*", validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeError("its envelope holds something that is not base64") from None


def _library(label: str) -> tuple[Any, Any, Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
        from securesystemslib import dsse
        from securesystemslib import signer as signing
    except ImportError as problem:
        raise PolicyError(
            f"{label}: signatures need another package: {problem}. Remedy: pip install isolated-hooks[sign]"
        ) from problem
    return dsse, signing, ed25519, serialization


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm
