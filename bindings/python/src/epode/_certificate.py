"""What is read in certificates (DER): the channel binding ``tls-server-end-point``, and whether a client can log in with one now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from epode.errors import ConfigurationError

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
# RFC 4055 §2.1: the hash functions, as RSASSA-PSS names them; SHA-1 counts as SHA-256.
_HASHES: Final = {
    "1.3.14.3.2.26": "sha256",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_PSS: Final = "1.2.840.113549.1.1.10"
_MGF1: Final = "1.2.840.113549.1.1.8"
_SHA1: Final = "1.3.14.3.2.26"

# RFC 5280 §4.2.1.12.
_EXTENDED_KEY_USAGE: Final = "2.5.29.37"
_CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
_ANY_USAGE: Final = "2.5.29.37.0"

_OID: Final = 0x06
_UTC_TIME: Final = 0x17
_SEQUENCE: Final = 0x30
_CONTEXT: Final = 0xA0


def server_end_point(certificate: bytes) -> bytes | None:
    """RFC 5929 §4: the hash of the server's certificate, by the hash function of its signature, if that has one."""
    try:
        # RFC 5280 §4.1: Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
        _, algorithm, *_ = _members(_only(certificate, _SEQUENCE))
        name = _hash(algorithm[1])
    except (IndexError, ValueError):
        return None
    return None if name is None else hashlib.new(name, certificate).digest()


def check_identity(certificate: bytes, name: str) -> None:
    """Raises :class:`ConfigurationError` if no server could take the certificate now; most would refuse it without a word."""
    try:
        whole, *_ = _members(_only(certificate, _SEQUENCE))
        # TBSCertificate ::= SEQUENCE { version [0], serialNumber, signature, issuer, validity, ... extensions [3] }
        members = [member for member in _members(whole[1]) if member[0] != _CONTEXT]
        begin, end = (_time(*member) for member in _members(members[3][1]))
        extensions = next((content for tag, content in members if tag == _CONTEXT | 3), None)
        usages = None if extensions is None else _usages(_only(extensions, _SEQUENCE))
    except (IndexError, ValueError):
        raise ConfigurationError(f"the certificate {name!r} cannot be read: it is no X.509 certificate") from None
    now = datetime.now(UTC)
    if now > end:
        why = f"expired on {end:%Y-%m-%d %H:%M} UTC: a new one is needed"
    elif now < begin:
        why = f"is valid only from {begin:%Y-%m-%d %H:%M} UTC: check the clock of this machine"
    elif usages is not None and not usages & {_CLIENT_AUTH, _ANY_USAGE}:
        why = "is not meant for logging in (its extended key usage lacks clientAuth): one with that usage is needed"
    else:
        return
    raise ConfigurationError(f"the client certificate {name!r} {why}; no connection was made")


def _hash(algorithm: bytes) -> str | None:
    # AlgorithmIdentifier ::= SEQUENCE { algorithm, parameters }
    (_, oid), *parameters = _members(algorithm)
    name = _dotted(oid)
    if name != _PSS:
        return _SIGNATURES.get(name)
    # RFC 4055 §3.1: hashAlgorithm [0] and maskGenAlgorithm [1], each with SHA-1 where it is left out. Both have to have one hash.
    fields = dict(_members(parameters[0][1]))
    hashed = masked = _SHA1
    if _CONTEXT in fields:
        hashed = _algorithm(_only(fields[_CONTEXT], _SEQUENCE))
    if _CONTEXT | 1 in fields:
        (_, mask), (_, inner), *_ = _members(_only(fields[_CONTEXT | 1], _SEQUENCE))
        if _dotted(mask) != _MGF1:
            return None
        masked = _algorithm(inner)
    return _HASHES.get(hashed) if hashed == masked else None


def _algorithm(identifier: bytes) -> str:
    (_, oid), *_ = _members(identifier)
    return _dotted(oid)


def _usages(extensions: bytes) -> set[str] | None:
    for _, extension in _members(extensions):
        (_, oid), *_, (_, value) = _members(extension)
        if _dotted(oid) == _EXTENDED_KEY_USAGE:
            return {_dotted(usage) for tag, usage in _members(_only(value, _SEQUENCE)) if tag == _OID}
    return None


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280 §4.1.2.5.1: years of two digits are those from 1950 to 2049.
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _only(der: bytes, tag: int) -> bytes:
    (found, content), *_ = _members(der)
    if found != tag:
        raise ValueError(found)
    return content


def _members(der: bytes) -> list[tuple[int, bytes]]:
    return list(_elements(der))


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents, one behind the other."""
    at = 0
    while at < len(der):
        tag, length, begin = der[at], der[at + 1], at + 2
        if length & 0x80:
            begin += length & 0x7F
            length = int.from_bytes(der[at + 2 : begin], "big")
        if len(der) < begin + length:
            raise ValueError(length)
        yield tag, der[begin : begin + length]
        at = begin + length


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
