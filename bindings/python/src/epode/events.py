"""What happens, as frozen dataclasses to match on. All text in them comes from others, and is not to be trusted."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["queued", "sent", "acked", "failed"]
Transport: TypeAlias = Literal["tcp", "websocket", "bosh"]
Blame: TypeAlias = Literal["stopped", "connection", "tls", "login", "incompatible", "misbehaved", "ended"]


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
    server_proved: bool
    """The server proved that it knows the password too; without, TLS alone vouches for the server."""
    resumed: bool
    """An earlier session goes on; nothing was lost."""
    client_certificate_requested: bool | None
    """Whether the server asked for a client certificate. Python's ``ssl`` cannot tell: ``None``."""
    round_trips: int
    transport: Transport = "bosh"
    """How it travels."""


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
    """The end: the last event. ``str()`` of it is a sentence for a person."""

    blame: Blame
    code: str
    """What it was, for programs: ``stopped``, ``refused``, ``no_mechanism``, ``timeout``..."""
    sentence: str
    condition: str | None = None
    """The condition that the server gave, as ``not-authorized``."""
    text: str | None = None
    """The server's own text."""

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
