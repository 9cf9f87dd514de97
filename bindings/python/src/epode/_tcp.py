"""One TCP link: TLS at once (XEP-0368) or when the engine asks for it (RFC 6120 §5), then bytes in both directions."""

from __future__ import annotations

from typing import Final

from epode import _native
from epode._link import Opening
from epode._stream import Stream
from epode._tls import XMPP

#: Bytes that are handed in at once. What the application has no room for waits behind the piece that filled it up.
_PIECE: Final = 8 * 1024


class TcpLink(Stream):
    """A stream of XML over TCP."""

    def __init__(self, opening: Opening, endpoint: _native.Endpoint) -> None:
        self._direct = endpoint.tls == _native.TcpTls.DIRECT
        self._tls_wanted = False
        super().__init__(opening, endpoint.host, endpoint.port)

    async def open(self) -> None:
        if self._direct:
            # The server waits for a handshake: what it says before is no TLS, and fails it.
            await self._secure(XMPP)
        else:
            self._connected(_native.LinkInfo(encrypted=False, verified=_native.Verified.NO()))

    def order(self, output: _native.Output) -> None:
        if isinstance(output, _native.Output.WRITE):
            self.send(output.bytes, len(output.bytes))
        elif isinstance(output, _native.Output.START_TLS):
            # From here on nothing is read but by TLS. What was read before goes to the engine, which ends the link for it: somebody has
            # put it there (RFC 6120 §5.4.3.3).
            self.hold()
            self._tls_wanted = True

    def arrived(self, data: bytes) -> None:
        for begin in range(0, len(data), _PIECE):
            self.hand_in(data[begin : begin + _PIECE])

    def all_handed_in(self) -> None:
        if self._tls_wanted and not self._closed:
            self._tls_wanted = False
            self.start_work(lambda: self._secure(None))

    async def _secure(self, alpn: str | None) -> None:
        connection = await self.secure(alpn)
        opening = self.opening
        self._connected(opening.tls.info(connection, opening.server_name, identified=opening.identified))

    def _connected(self, info: _native.LinkInfo) -> None:
        if not self._closed:
            self.opening.desk.connected(self.opening.link, info)
