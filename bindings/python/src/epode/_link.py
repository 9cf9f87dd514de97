"""What a link is to the turn loop, and what the turn loop is to a link, whatever carries it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from epode import _native
from epode._tls import Tls


class Desk(Protocol):
    """Takes what a link has to tell; each call is a turn of the engine. A link that is closed tells nothing any more."""

    def connected(self, link: int, info: _native.LinkInfo) -> None:
        """The link is up, or TLS on it is."""

    def received(self, link: int, data: bytes) -> None:
        """Bytes of TCP, cut anywhere, or one WebSocket message."""

    def written(self, link: int, count: int) -> None:
        """So many more bytes have left."""

    def responded(self, link: int, request: int, status: int, body: bytes, tls: _native.TlsFacts | None) -> None:
        """One HTTP answer, whole."""

    def failed(self, link: int, request: int | None, failure: _native.Failure) -> None:
        """The link broke, or one request on it."""

    def ended(self, link: int) -> None:
        """The server closed the link."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a ``Connect`` says but for the endpoint, and what all links share."""

    link: int
    server_name: str
    #: Present the client certificate.
    identified: bool
    #: Bytes of one message or answer that may be buffered.
    max_message: int
    tls: Tls
    desk: Desk


class Link(ABC):
    """One link, from the moment that it is made: it connects by itself, and tells the desk what came of it."""

    @abstractmethod
    def order(self, output: _native.Output) -> None:
        """Carries out an output of the engine's that names this link, but ``Connect`` and ``Close``."""

    @abstractmethod
    def read(self, reading: bool) -> None:
        """The application is slow: no more is read from the server, and what is read already waits here. Or it goes on."""

    @abstractmethod
    async def close(self, flush: float) -> None:
        """Lets out what was ordered, for at most so many seconds; nothing of the link is left when this returns, cancelled or not."""
