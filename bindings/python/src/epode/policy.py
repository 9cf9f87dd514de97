"""What a login may and may not be, as frozen dataclasses with the engine's defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from epode import _convert, _native
from epode.errors import ConfigurationError
from epode.events import ChannelBinding

_BINDINGS: Final = {name: kind for kind, name in _convert.BINDINGS.items()}


@dataclass(frozen=True, slots=True)
class DigestMd5:
    """How DIGEST-MD5 (RFC 2831, historic) is used."""

    realm: str | None = None
    """The realm, whatever the server offers; ``None``: the one that is called like the domain, or the only one."""
    always_utf8: bool = False
    """Names and passwords are hashed as UTF-8 also where they could be ISO-8859-1."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which SASL mechanisms may be used, of those that the credentials allow.

    The order of preference is the engine's: EXTERNAL, tokens (HT), SCRAM with channel binding (SHA-512, -384, -256, -1), SCRAM without,
    OAUTHBEARER, X-OAUTH2, DIGEST-MD5, PLAIN, ANONYMOUS.
    """

    allow_plain: bool = False
    """PLAIN shows the password to the server."""
    digest_md5: DigestMd5 | None = None
    """DIGEST-MD5, only if this is set."""
    only: Sequence[str] | None = None
    """Only these, if set."""
    least: str | None = None
    """Nothing that stands behind this one in the order of preference, if set."""
    channel_bindings: Sequence[ChannelBinding] | None = None
    """Bind to these only, if set. This package's driver gives ``tls-server-end-point``."""
    scram_iterations: tuple[int, int] = (4_096, 2_000_000)
    """The fewest and the most iterations that a SCRAM server may ask for."""
    sasl2: bool = True
    """Use SASL2 (XEP-0388) where the server has it."""
    pin: bool = True
    """Refuse less than the strongest class of mechanism that the server has offered to this account before."""
    pin_channel_binding: bool = False
    """Channel binding that was there before has to be there again."""
    allow_missing_ht_server_proof: bool = False
    """Take a login by token where the server does not prove that it knows the token. A wrong proof is never taken."""
    upgrade: bool = False
    """Give the server the means for a stronger SCRAM where it asks for them (XEP-0480), after it has proved itself."""

    def _native(self, *, allow_plain: bool) -> _native.Mechanisms:
        digest = self.digest_md5
        least, most = self.scram_iterations
        unknown = [name for name in self.channel_bindings or () if name not in _BINDINGS]
        if unknown:
            raise ConfigurationError(f"{unknown[0]!r} is not one of {', '.join(_BINDINGS)}")
        return _native.Mechanisms(
            allow_plain=allow_plain or self.allow_plain,
            digest_md5=digest and _native.DigestMd5(realm=digest.realm, always_utf8=digest.always_utf8),
            only=None if self.only is None else list(self.only),
            least=self.least,
            channel_bindings=None if self.channel_bindings is None else [_BINDINGS[name] for name in self.channel_bindings],
            scram_min=least,
            scram_max=most,
            sasl2=self.sasl2,
            pin=self.pin,
            pin_channel_binding=self.pin_channel_binding,
            allow_missing_ht_server_proof=self.allow_missing_ht_server_proof,
            upgrade=self.upgrade,
        )


@dataclass(frozen=True, slots=True)
class UserAgent:
    """What the client says about itself (XEP-0388 §2.3): a server lists it to the user, and ties login tokens to it."""

    id: str | None = None
    """A UUID of version 4, the same for all the life of an installation; ``None``: the engine draws one, and keeps it with the token."""
    software: str | None = "epode"
    device: str | None = None
    """The device, for the user. It is sent to the server: the host's name need not be."""
