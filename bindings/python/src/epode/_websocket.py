"""One WebSocket link (RFC 7395): the connection is ours, the protocol on it that of ``websockets``, without extensions and redirects."""

from __future__ import annotations

import logging
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from epode import _native
from epode._failure import printable
from epode._link import Opening
from epode._stream import Stream
from epode._tls import HTTP

# In what the library would log are logins.
_SILENT: Final = logging.Logger("epode.websocket", logging.CRITICAL + 1)

#: RFC 6455 §7.4.1.
_NORMAL: Final = 1000


class WebSocketLink(Stream):
    """Whole messages over a WebSocket."""

    def __init__(self, opening: Opening, endpoint: _native.Endpoint) -> None:
        self._uri = _parse(endpoint.url)
        self._protocol = ClientProtocol(
            self._uri, subprotocols=[Subprotocol("xmpp")], max_size=opening.max_message, logger=_SILENT
        )
        # The text message that is not whole yet.
        self._message = bytearray()
        self._tls_info: _native.LinkInfo | None = None
        super().__init__(opening, self._uri.host, self._uri.port)

    async def open(self) -> None:
        opening = self.opening
        if self._uri.secure:
            connection = await self.secure(HTTP)
            self._tls_info = opening.tls.info(connection, opening.server_name, identified=opening.identified)
        else:
            self._tls_info = _native.LinkInfo(encrypted=False, verified=_native.Verified.NO())
        request = self._protocol.connect()
        request.headers["User-Agent"] = "epode"
        self._protocol.send_request(request)
        self._let_out()

    def order(self, output: _native.Output) -> None:
        if isinstance(output, _native.Output.FRAME):
            text = output.text.encode()
            # After the server's close frame nothing may be sent (RFC 6455 §5.5.1).
            if self._protocol.state is State.OPEN:
                self._protocol.send_text(text)
                self._let_out(len(text))

    def arrived(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._take()

    def eof_received(self) -> None:
        if not self._closed:
            # An answer without a length ends here.
            self._protocol.receive_eof()
            self._take()
        super().eof_received()

    def _take(self) -> None:
        protocol = self._protocol
        for event in protocol.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, Frame):
                self._frame(event)
        # Answers of the library's own: to a ping, to a close.
        self._let_out()
        if isinstance(protocol.handshake_exc, InvalidMessage):
            # Nothing comes of what is no HTTP: no event says so.
            self.over(_native.Failure.HTTP(_why(protocol.handshake_exc)))
        if protocol.parser_exc is not None and protocol.handshake_exc is None:
            self.over(_native.Failure.OTHER(f"the server broke the WebSocket protocol: {_why(protocol.parser_exc)}"))

    def late(self, data: bytes) -> None:
        # The server's answer to our close frame ends the connection.
        self._protocol.receive_data(data)
        self._protocol.events_received()
        if self._protocol.close_rcvd is not None and self._transport is not None:
            self._transport.close()

    def goodbye(self) -> bool:
        if self._protocol.state is not State.OPEN:
            return False
        self._protocol.send_close(_NORMAL)
        self._let_out()
        # RFC 6455 §7.1.1: the server closes the connection first.
        return True

    def _answered(self, response: Response) -> None:
        refused = self._protocol.handshake_exc
        if refused is not None:
            status = response.status_code
            why = f"its status is {status}, and not the 101 of a WebSocket" if status != 101 else _why(refused)
            self.over(_native.Failure.HTTP(why))
            return
        info = self._tls_info
        assert info is not None
        # Whether the server selected it is for the engine to judge.
        info.subprotocol = self._protocol.subprotocol
        if not self._closed:
            self.opening.desk.connected(self.opening.link, info)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            # The library has bounded the whole, and a fragment may have nothing in it: that must not add up.
            self._message += frame.data
            if frame.fin:
                # That it is UTF-8 is checked with the rest.
                self.hand_in(bytes(self._message))
                self._message.clear()
        elif frame.opcode is Opcode.BINARY:
            self.over(_native.Failure.OTHER("the server sent a binary message, which XMPP has no use for"))
        elif frame.opcode is Opcode.CLOSE:
            self.over(None)

    def _let_out(self, counted: int = 0) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            self.send(data, counted)


def _parse(url: str) -> WebSocketURI:
    try:
        return parse_uri(url)
    except InvalidURI as error:
        raise ValueError(f"{url!r} is no URL of a WebSocket: {error}") from None


def _why(error: BaseException) -> str:
    return printable(str(error)) or type(error).__name__
