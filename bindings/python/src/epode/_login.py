"""From what an application gives to the engine's credentials: one kind, never a guess."""

from __future__ import annotations

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
    try:
        return text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        # The error would show what it is about.
        pass
    raise ConfigurationError("a password or token has no form in UTF-8: there is half a character in it, a lone surrogate")
