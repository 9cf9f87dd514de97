"""What happens, as frozen dataclasses to match on. All text in them comes from others, and is not to be trusted."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["queued", "sent", "acked", "failed"]
Transport: TypeAlias = Literal["tcp", "websocket", "bosh"]
ServerProof: TypeAlias = Literal["verified", "none", "absent"]
ChannelBinding: TypeAlias = Literal["tls-exporter", "tls-unique", "tls-server-end-point"]
Profile: TypeAlias = Literal["sasl1", "sasl2"]
Blame: TypeAlias = Literal["stopped", "connection", "tls", "login", "incompatible", "misbehaved", "ended", "internal"]


@dataclass(frozen=True, slots=True)
class _Stanza:
    sender: str | None
    """The attribute ``from``, which the server vouches for."""
    to: str | None
    type: str | None
    id: str | None
    xml: bytes = field(repr=False)
    """The whole stanza, as a document of its own in UTF-8."""

    def element(self) -> ElementTree.Element:
        """The stanza as a tree, parsed now. The engine has bounded its size and depth."""
        return ElementTree.fromstring(self.xml)


@dataclass(frozen=True, slots=True)
class Message(_Stanza):
    """A message (RFC 6121 §5). ``body`` is its text; many messages have none."""

    body: str | None = None


@dataclass(frozen=True, slots=True)
class Presence(_Stanza):
    """A presence (RFC 6121 §4)."""


@dataclass(frozen=True, slots=True)
class Answer(_Stanza):
    """What :meth:`epode.Client.request` gives: the ``iq`` of type ``result``."""


@dataclass(frozen=True, slots=True)
class Request(_Stanza):
    """An ``iq`` request in a namespace given as ``answers``: :meth:`~epode.Client.respond` to it, or :meth:`~epode.Client.refuse` it."""

    token: int = 0


@dataclass(frozen=True, slots=True)
class Online:
    """Logged in, and a resource is bound: once, and again after each :class:`Interrupted`."""

    jid: str
    """The full JID that the server bound."""
    mechanism: str
    """The SASL mechanism, as ``EXTERNAL``."""
    server_proof: ServerProof
    """Whether the server proved that it knows the password, or the token, too: ``none`` where the mechanism has no such proof, ``absent`` where
    the server left it out and the policy allows that."""
    channel_binding: ChannelBinding | None
    """What the login is bound to, if it is."""
    profile: Profile | None
    """By which protocol the login was done: RFC 6120, or XEP-0388. ``None`` where nobody logged in."""
    resumed: bool
    """An earlier session goes on; nothing was lost."""
    client_certificate_requested: bool | None
    """Whether the server asked for a client certificate. Python's ``ssl`` cannot tell: ``None``."""
    round_trips: int
    transport: Transport = "bosh"
    """How it travels."""

    @property
    def server_proved(self) -> bool:
        """The server proved that it knows the password too; without, TLS alone vouches for the server."""
        return self.server_proof == "verified"


@dataclass(frozen=True, slots=True)
class Task:
    """What the server wants besides the credentials (XEP-0388 §2.6.3). No event: it goes to the one who does it, ``connect(tasks=...)``."""

    task: str
    payload: bytes | None = field(repr=False)
    """What the server says within the task, as a document of its own in UTF-8; ``None`` where it is to begin."""
    text: str | None
    """The server's text for the user."""


@dataclass(frozen=True, slots=True)
class TokenRefusal:
    """What the server says of an access token that it refused (RFC 7628 §3.2.2)."""

    status: str | None
    """As ``invalid_token``."""
    scope: str | None
    """The scope that a token has to have."""
    openid_configuration: str | None
    """Where the server says that its OpenID configuration is. Do not ask a place that you do not know."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What the server offers before the login, where the client only looks."""

    features: bytes = field(repr=False)
    """``<stream:features/>``, as a document of its own in UTF-8."""
    transport: Transport
    encrypted: bool
    """TLS protects the connection."""

    def element(self) -> ElementTree.Element:
        """The features as a tree, parsed now. The engine has bounded their size and depth."""
        return ElementTree.fromstring(self.features)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far a stanza has come. ``acked`` and ``failed`` are final, and one of them always comes."""

    token: int
    """What :meth:`epode.Client.send` gave for it."""
    stage: Stage


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that does not stop the client, but that a person should know."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Offline:
    """The end: the last event. ``str()`` of it is a sentence for a person. ``internal`` is a fault of epode's own."""

    blame: Blame
    code: str
    """What it was, for programs: ``stopped``, ``refused``, ``no_mechanism``, ``timeout``..."""
    sentence: str
    condition: str | None = None
    """The condition that the server gave, as ``not-authorized``."""
    text: str | None = None
    """The server's own text."""
    detail: str | None = None
    """What was the matter within ``code``, where that has several reasons: ``key_does_not_fit`` of a ``mechanism``."""
    token: TokenRefusal | None = None
    """For ``token_refused``: what the server says of the access token."""

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The link is gone, and the client will connect again by itself: then there is another :class:`Online`."""

    reason: Offline
    """Why it is gone, in the words of an end."""
    retry_in: float | None
    """In how many seconds the next attempt is made; ``None``: when there is a network again."""
    resumable: bool
    """The session can probably be resumed: nothing is lost so far."""

    def __str__(self) -> str:
        return self.reason.sentence


Event: TypeAlias = Online | Interrupted | Offered | Message | Presence | Request | Delivery | Notice | Offline
