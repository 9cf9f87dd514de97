"""``tls-server-end-point`` (RFC 5929 §4): the hash of the server's certificate, by the hash function of its signature."""

from __future__ import annotations

import hashlib
from typing import Final

# Signatures that have one hash function in their name. Those with MD5 or SHA-1 count as SHA-256 (RFC 5929 §4.1). A signature that is
# not here, as Ed25519, has no such hash, and so no channel binding.
_SIGNATURES: Final = {
    # RFC 3279 §2.2: RSA with MD5 and SHA-1, DSA and ECDSA with SHA-1.
    "1.2.840.113549.1.1.4": "sha256",
    "1.2.840.113549.1.1.5": "sha256",
    "1.2.840.10040.4.3": "sha256",
    "1.2.840.10045.4.1": "sha256",
    # RFC 4055 §5: RSA.
    "1.2.840.113549.1.1.14": "sha224",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    # RFC 5758 §3: DSA and ECDSA.
    "2.16.840.1.101.3.4.3.1": "sha224",
    "2.16.840.1.101.3.4.3.2": "sha256",
    "1.2.840.10045.4.3.1": "sha224",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
_SEQUENCE: Final = 0x30
_OID: Final = 0x06


def server_end_point(certificate: bytes) -> bytes | None:
    """The channel binding of a certificate (DER), if it has one."""
    try:
        # RFC 5280 §4.1: Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm, .. }, .. }
        whole, _ = _element(certificate, _SEQUENCE)
        _, behind = _element(whole, _SEQUENCE)
        algorithm, _ = _element(behind, _SEQUENCE)
        oid, _ = _element(algorithm, _OID)
    except (IndexError, ValueError):
        return None
    name = _SIGNATURES.get(_dotted(oid))
    return None if name is None else hashlib.new(name, certificate).digest()


def _element(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """What is in the first element, and what stands behind it."""
    if der[0] != tag:
        raise ValueError(tag)
    length, begin = der[1], 2
    if length & 0x80:
        begin = 2 + (length & 0x7F)
        length = int.from_bytes(der[2:begin], "big")
    if len(der) < begin + length:
        raise ValueError(length)
    return der[begin : begin + length], der[begin + length :]


def _dotted(oid: bytes) -> str:
    arcs, value = list[int](), 0
    for byte in oid:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    if not arcs:
        return ""
    # X.690 §8.19.4: the first two arcs are one number.
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))
