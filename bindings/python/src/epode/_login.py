"""From what an application gives to the engine's credentials: one kind, never a guess."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final

from epode import _convert, _native
from epode.errors import ConfigurationError

_IDENTITY: Final = "certificate"


def credentials(
    *,
    der: bytes | None,
    password: str | bytes | None,
    access_token: str | bytes | None,
    scram_key: bytes | None,
    new_account: bool,
    anonymous: bool,
    kept_token: bool,
) -> _native.Credentials:
    """The engine's credentials. ``kept_token``: with nothing else, the token of an earlier login is what there is."""
    secret = _secret(password)
    given = {
        "a certificate or a password": der is not None or secret is not None,
        "an access token": access_token is not None,
        "a SCRAM key": scram_key is not None,
        "an anonymous login": anonymous,
    }
    names = [name for name, is_given in given.items() if is_given]
    if len(names) > 1:
        raise ConfigurationError(f"{' and '.join(names)} were given: one kind of credentials logs in")
    make = _native.Credentials
    if new_account:
        if secret is None or der is not None:
            raise ConfigurationError("a new account needs a password, and nothing else")
        return make.NEW_ACCOUNT(secret)
    if der is not None:
        return make.CERTIFICATE(_IDENTITY, der) if secret is None else make.CERTIFICATE_AND_PASSWORD(_IDENTITY, secret)
    if secret is not None:
        return make.PASSWORD(secret)
    if access_token is not None:
        return make.ACCESS_TOKEN(_secret(access_token))
    if scram_key is not None:
        try:
            return make.SCRAM_KEY(_native.DerivedKey.from_bytes(scram_key))
        except _native.Refused as error:
            raise _convert.refused(error) from None
    if anonymous:
        return make.ANONYMOUS()
    if kept_token:
        return make.KEPT_TOKEN()
    raise ConfigurationError("no credentials were given: a certificate, a password, or both are needed")


def _secret(text: str | bytes | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else text


def tls_context(ca: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """Verifies the server by these authorities; without them, by the system's."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the file of authorities {os.fspath(ca or '')!r} cannot be used: {_why(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def load_identity(
    context: ssl.SSLContext,
    certificate: Path,
    key: str | os.PathLike[str] | None,
    key_password: str | bytes | None,
) -> bytes:
    """Loads certificate and key, and gives the certificate's DER encoding: the engine reads the names in it (XEP-0178)."""
    # Without a password OpenSSL would ask on the terminal, and an event loop would wait for a person.
    password = b"" if key_password is None else key_password
    try:
        context.load_cert_chain(certificate, key, password)
        text = certificate.read_text(encoding="ascii", errors="replace")
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        first = text[text.index(begin) : text.index(end) + len(end)]
        return ssl.PEM_cert_to_DER_cert(first)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"the certificate {os.fspath(certificate)!r} cannot be used: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not the one of the certificate"
        return "no PEM in it, or the wrong pass phrase" if error.reason is None else error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return str(error)
