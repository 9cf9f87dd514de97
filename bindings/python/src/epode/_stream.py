"""A link over one connection: connecting, TLS, reading that can be held back, writing that says how far it has come, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from epode import _native
from epode._failure import failure
from epode._link import Link, Opening

#: Bytes that wait for one server to take them (32 MiB). The engine counts what it hands out, and an application waits long before; a
#: server that asks and asks and never reads is not refused, and its answers would have nowhere else to wait.
_MAX_QUEUED: Final = 32 * 1024 * 1024

#: How long one address of the server's may take, in seconds, if there is another one; the last has until the engine gives up.
_NEXT_ADDRESS: Final = 3.0


class Stream(Link, asyncio.Protocol):
    """What TCP and WebSocket have in common. It connects when it is made; the rest are calls from the event loop."""

    def __init__(self, opening: Opening, host: str, port: int) -> None:
        self.opening = opening
        self._host = host
        self._port = port
        self._loop = asyncio.get_running_loop()
        #: The one that carries what the link says: of TCP, or of TLS above it.
        self._transport: asyncio.Transport | None = None
        self._socket_transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._closed = False
        # ---- in
        #: What was read and not handed in: each is one `received`.
        self._inbox = deque[bytes]()
        self._handing_in = False
        #: How the connection ended, to be told behind the inbox.
        self._end: _native.Failure | None | _Open = _OPEN
        self._reading = True
        #: No application of the connection's wants bytes now: TLS is about to have them.
        self._held = False
        # ---- out
        self._outgoing = list[bytes]()
        self._waiting = 0
        #: Bytes that the engine counts and nobody has told it of yet: gathered here, and given to the transport.
        self._gathered = 0
        self._unwritten = 0
        self._flushing: asyncio.Handle | None = None
        self._full = False
        self._work = self._loop.create_task(self._guarded(self._begin), name=f"epode link {opening.link}")

    # ---- what the two do by themselves

    @abstractmethod
    async def open(self) -> None:
        """TCP is up: goes on until the link is, and says so."""

    @abstractmethod
    def arrived(self, data: bytes) -> None:
        """Bytes of the connection, to be made into what :meth:`hand_in` takes."""

    def goodbye(self) -> bool:
        """The engine has closed the link: says the last thing on it, and whether the server is to end the connection then."""
        return False

    # ---- life

    async def _begin(self) -> None:
        # Not within the turn that asked for the link, which nobody knows yet, also on a loop that begins its tasks at once.
        await asyncio.sleep(0)
        await self._loop.create_connection(lambda: self, sock=await self._dial())
        await self.open()

    async def _dial(self) -> socket.socket:
        """A connection to the first address that answers. asyncio's own race of them keeps a socket that has won when it is cancelled."""
        found = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        problem: OSError = OSError(f"no address was found for {self._host}")
        for left, (family, kind, protocol, _, address) in zip(reversed(range(len(found))), found, strict=True):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(_NEXT_ADDRESS if left else None):
                    await self._loop.sock_connect(sock, address)
            except OSError as error:  # A timeout is one, too.
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise problem

    def start_work(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Goes on with this, beside what is read and written; the link breaks if it fails."""
        self._work = self._loop.create_task(self._guarded(work), name=f"epode link {self.opening.link}")

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            # Made here: a coroutine that is cancelled before it begins complains.
            await work()
        except (OSError, ValueError, ExceptionGroup) as error:
            self.over(failure(error))

    async def secure(self, alpn: str | None) -> ssl.SSLObject:
        """Shakes hands for TLS; nothing is read as plain bytes from now on."""
        transport = self._transport
        assert transport is not None
        context = self.opening.tls.context(alpn, identified=self.opening.identified)
        name = self.opening.server_name.removeprefix("[").removesuffix("]")
        # Ours is a protocol that is connected already: what it does not know is the transport.
        secured = await self._loop.start_tls(transport, self, context, server_hostname=name)
        if secured is None:
            raise ConnectionResetError("the connection ended in the handshake")
        self._held = False
        self._adopt(secured)
        connection: ssl.SSLObject = secured.get_extra_info("ssl_object")
        return connection

    async def close(self, flush: float) -> None:
        self._closed = True
        self._inbox.clear()
        try:
            if self._transport is not None and self._work.done() and flush > 0:
                # What the server still says is of no interest, but its end is.
                self._resume()
                waits = self.goodbye()
                self._flush()
                if not waits:
                    self._transport.close()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(flush):
                        await self._lost.wait()
        finally:
            self._work.cancel()
            if self._flushing is not None:
                self._flushing.cancel()
            for transport in (self._transport, self._socket_transport):
                if transport is not None:
                    transport.abort()
            # The loop closes the socket in its next round.
            with contextlib.suppress(asyncio.CancelledError):
                await self._work
            await _rounds(2)

    def over(self, end: _native.Failure | None) -> None:
        """The link is over: broken, or ended by the server. Told once, behind all that arrived before."""
        if self._end is _OPEN:
            self._end = end
            self._hand_in()

    # ---- in

    def hand_in(self, message: bytes) -> None:
        """Something for the engine, in its order."""
        if not self._closed:
            self._inbox.append(message)

    def read(self, reading: bool) -> None:
        self._reading = reading
        self._judge_reading()
        if reading:
            # Not inside the turn that allowed it.
            self._loop.call_soon(self._hand_in)

    def hold(self) -> None:
        """Reads nothing more until TLS is there."""
        self._held = True
        self._judge_reading()

    @property
    def handed_in(self) -> bool:
        """All that was read is with the engine."""
        return not self._inbox

    def all_handed_in(self) -> None:
        """Called when the last of what was read is with the engine."""

    def _hand_in(self) -> None:
        if self._handing_in:
            return
        self._handing_in = True
        desk, link = self.opening.desk, self.opening.link
        try:
            while self._inbox and self._reading and not self._closed:
                desk.received(link, self._inbox.popleft())
            if self._inbox or not self._reading or self._closed:
                return
            self.all_handed_in()
            end = self._end
            if isinstance(end, _Open):
                return
            self._closed = True
            if end is None:
                desk.ended(link)
            else:
                desk.failed(link, None, end)
        finally:
            self._handing_in = False
            self._judge_reading()

    def _judge_reading(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        # What is read while it cannot be handed in waits here, and that has to end.
        if self._held or (not self._closed and (not self._reading or bool(self._inbox))):
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _resume(self) -> None:
        self._reading, self._held = True, False
        self._judge_reading()

    # ---- out

    def send(self, data: bytes, counted: int) -> None:
        """Sends this; ``counted`` bytes of it are the engine's."""
        transport = self._transport
        if transport is None or self._lost.is_set():
            return
        self._outgoing.append(data)
        self._waiting += len(data)
        self._gathered += counted
        if self._waiting + transport.get_write_buffer_size() > _MAX_QUEUED:
            self.over(_native.Failure.OTHER("the server takes nothing of what is sent to it"))
            return
        # Many small stanzas make one packet, and one record of TLS.
        if self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._transport is None or not self._outgoing:
            return
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self._waiting = 0
        self._unwritten += self._gathered
        self._gathered = 0
        # The transport says at once if not all of it has left.
        self._transport.write(data)
        if not self._full:
            self._tell_written()

    def _tell_written(self) -> None:
        count, self._unwritten = self._unwritten, 0
        if count and not self._closed:
            self.opening.desk.written(self.opening.link, count)

    # ---- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket_transport = transport
        self._adopt(transport)

    def _adopt(self, transport: Any) -> None:
        self._transport = transport
        self._full = False
        # Full as soon as anything waits, and not full once nothing does: what lies in between is not told. (With a limit of 0, asyncio's
        # TLS would be full for ever.)
        transport.set_write_buffer_limits(high=1, low=0)
        self._judge_reading()

    def data_received(self, data: bytes) -> None:
        if self._closed:
            self.late(data)
            return
        self.arrived(data)
        self._hand_in()

    def late(self, data: bytes) -> None:
        """What arrives after the engine has closed the link."""

    def eof_received(self) -> None:
        self.over(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set()
        self.over(None if error is None else failure(error))

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._tell_written()


class _Open:
    """The connection is not over."""


_OPEN: Final = _Open()


async def _rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
