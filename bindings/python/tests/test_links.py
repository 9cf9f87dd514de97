"""Links by themselves, against servers within the tests: TLS, channel bindings, what is written and taken, and where servers are found."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

import epode
from epode import _address, _native
from epode._bosh import BoshLink
from epode._link import Link, Opening
from epode._resolve import answer
from epode._tcp import TcpLink
from epode._tls import Tls
from epode._websocket import WebSocketLink
from tests.conftest import REPOSITORY
from tests.world import TRANSPORTS, Place, World, run, until

TABLE = json.loads((REPOSITORY / "bindings/channel-bindings/python.json").read_text(encoding="utf-8"))
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Notes:
    """A desk that keeps what a link tells."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.infos = list[_native.LinkInfo]()
        self.data = list[bytes]()
        self.left = 0
        self.end: _native.Failure | None | str = "none"

    def connected(self, link: int, info: _native.LinkInfo) -> None:
        self.infos.append(info)
        self.told.set()

    def received(self, link: int, data: bytes) -> None:
        self.data.append(data)
        self.told.set()

    def written(self, link: int, count: int) -> None:
        self.left += count
        self.told.set()

    def responded(self, link: int, request: int, status: int, body: bytes, tls: _native.TlsFacts | None) -> None:
        raise AssertionError("no request was made")

    def failed(self, link: int, request: int | None, failure: _native.Failure) -> None:
        self.end = failure
        self.told.set()

    def ended(self, link: int) -> None:
        self.end = None
        self.told.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.told.clear()
            await self.told.wait()


def opening(pki: Path, notes: Notes, max_message: int = 1_000_000) -> Opening:
    return Opening(
        link=1, server_name="localhost", identified=False, max_message=max_message, tls=Tls(ca=pki / "ca.crt"), desk=notes
    )


def server_context(pki: Path, version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "localhost.crt", pki / "localhost.key")
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def listening(
    handler: Handler, context: ssl.SSLContext | None = None, sock: socket.socket | None = None
) -> AsyncIterator[int]:
    """A server whose connections are over when it is."""
    writers = list[asyncio.StreamWriter]()
    tasks = list[asyncio.Task[None]]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass

    if sock is None:
        sock = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(handle, sock=sock, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)


@asynccontextmanager
async def server(pki: Path, transport: str, version: str) -> AsyncIterator[int]:
    """Accepts a link of that kind, and says nothing else."""
    context = server_context(pki, version)

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if transport == "tcp":
            await writer.start_tls(context)
        await reader.read()

    async def websocket(connection: ServerConnection) -> None:
        await connection.wait_closed()

    if transport == "websocket":
        async with serve(websocket, "127.0.0.1", 0, ssl=context, subprotocols=[Subprotocol("xmpp")]) as accepting:
            port: int = next(iter(accepting.sockets)).getsockname()[1]
            yield port
    else:
        async with listening(quiet, None if transport == "tcp" else context) as port:
            yield port


def link(transport: str, port: int, for_whom: Opening) -> Link:
    make = _native.Endpoint
    match transport:
        case "tcp":
            return TcpLink(for_whom, make.TCP("localhost", port, _native.TcpTls.START_TLS))
        case "direct_tls":
            return TcpLink(for_whom, make.TCP("localhost", port, _native.TcpTls.DIRECT))
        case "websocket":
            return WebSocketLink(for_whom, make.WEB_SOCKET(f"wss://localhost:{port}/ws"))
    return BoshLink(for_whom, make.BOSH(f"https://localhost:{port}/http-bind"), binds=True)


# ---- what a connection is known by


def test_the_table_has_every_way() -> None:
    (driver,) = TABLE["drivers"]
    rows = [(row["transport"], row["tls"]) for row in driver["rows"]]
    assert rows == [(transport, tls) for tls in ("1.3", "1.2") for transport in ("tcp", "websocket", "bosh")]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_channel_bindings_of_a_link(pki: Path, transport: str, version: str) -> None:
    (driver,) = TABLE["drivers"]
    kind = "tcp" if transport == "direct_tls" else transport
    (expected,) = [row["bindings"] for row in driver["rows"] if (row["transport"], row["tls"]) == (kind, version)]

    async def connect() -> _native.LinkInfo:
        notes = Notes()
        async with server(pki, transport, version) as port:
            opened = link(transport, port, opening(pki, notes))
            try:
                await notes.until(lambda: bool(notes.infos) or notes.end != "none")
                if transport == "tcp":
                    assert not notes.infos[0].encrypted
                    opened.order(_native.Output.START_TLS(1, "localhost"))
                    opened._hand_in()  # type: ignore[attr-defined]
                    await notes.until(lambda: len(notes.infos) > 1 or notes.end != "none")
                assert notes.end == "none", notes.end
            finally:
                await opened.close(0)
        return notes.infos[-1]

    info = run(connect())
    assert info.encrypted
    values = info.channel_bindings
    given = {
        "tls-exporter": values.tls_exporter,
        "tls-unique": values.tls_unique,
        "tls-server-end-point": values.tls_server_end_point,
    }
    if version == "1.3" and transport != "bosh" and "tls-exporter" in ssl.CHANNEL_BINDING_TYPES:
        expected = ["tls-exporter", *expected]
    assert [name for name, value in given.items() if value is not None] == expected
    if transport != "bosh":
        # Requests go over many connections, each of its own version.
        assert info.tls_version == version
    assert info.subprotocol == ("xmpp" if transport == "websocket" else None)


def test_a_login_is_bound(world: World, modern: Place) -> None:
    async def login() -> epode.Online:
        async with modern.client("password") as client:
            return await until(client, epode.Online)

    online = run(login())
    if modern.transport == "bosh":
        # This server binds no login over BOSH; the one in fake.py does.
        assert online.channel_binding is None
    else:
        assert (online.mechanism[-5:], online.channel_binding) == ("-PLUS", "tls-server-end-point")


def test_a_login_over_tls_1_2_is_bound(world: World) -> None:
    """By the first of those that the server takes: tls-unique is the older one, and this server's."""

    async def login(transport: str) -> epode.Online:
        async with world.place("tls12", transport).client("password") as client:
            return await until(client, epode.Online)

    for transport in ("tcp", "direct_tls", "websocket"):
        online = run(login(transport))
        assert online.channel_binding in ("tls-unique", "tls-server-end-point")
        assert online.mechanism.endswith("-PLUS")


def test_alpn_on_a_connection_that_begins_with_tls(pki: Path) -> None:
    async def connect() -> str | None:
        context = server_context(pki, "1.3")
        context.set_alpn_protocols(["http/1.1", "xmpp-client"])
        notes = Notes()

        async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with listening(quiet, context) as port:
            opened = link("direct_tls", port, opening(pki, notes))
            await notes.until(lambda: bool(notes.infos))
            await opened.close(0)
        alpn: str | None = notes.infos[0].alpn
        return alpn

    assert run(connect()) == "xmpp-client"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_link_that_is_closed_before_it_began(pki: Path, transport: str) -> None:
    """Nothing complains of it when it is collected."""

    async def close() -> None:
        await link(transport, 1, opening(pki, Notes())).close(0)

    run(close())


# ---- STARTTLS


@pytest.mark.parametrize("late", [False, True])
def test_what_somebody_put_behind_proceed_ends_the_link(pki: Path, late: bool) -> None:
    """RFC 6120 §5.4.3.3: it is never taken for something that came by TLS."""
    injected = b"<message xmlns='jabber:client' from='boss@localhost'><body>pay</body></message>"
    shaken = False

    async def serve_plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal shaken
        await reader.readuntil(b">")
        header = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
        features = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
        writer.write(header + b"from='localhost' id='1' version='1.0'>" + features)
        await reader.readuntil(b"starttls")
        proceed = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        # Behind it in the same packet, or further than one piece of what is handed in at once.
        writer.write(proceed + (b" " * 9_000 if late else b"") + injected)
        # The stream's end is plain, and a handshake would not be.
        shaken = (await reader.read(1 << 16)).startswith(b"\x16")

    async def login() -> list[epode.Event]:
        async with listening(serve_plain) as port:
            client = epode.connect("user01@localhost", tcp=f"localhost:{port}", password="x", ca=pki / "ca.crt")
            with pytest.raises(epode.WentOffline) as caught:
                await client.__aenter__()
            assert caught.value.reason.blame in ("misbehaved", "tls"), caught.value.reason
            return [event async for event in client]

    assert not any(isinstance(event, epode.Message) for event in run(login()))
    assert not shaken


# ---- writing


@pytest.mark.parametrize("transport", ["direct_tls", "websocket"])
def test_written_is_said_of_what_the_server_has_taken(pki: Path, transport: str) -> None:
    """The engine counts what it hands out: what the driver holds back bounds what an application can send."""
    piece, pieces = b"x" * 100_000, 250

    async def write() -> None:
        notes = Notes()
        taken = 0
        takes = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal taken
            await takes.wait()
            while data := await reader.read(1 << 16):
                taken += len(data)

        async def slow_socket(connection: ServerConnection) -> None:
            nonlocal taken
            await takes.wait()
            async for message in connection:
                taken += len(message)

        context = server_context(pki, "1.3")
        small = socket.socket()
        # A buffer that does not grow: how much a system takes in is not what is tested.
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        small.bind(("127.0.0.1", 0))
        listens: Any = (
            serve(slow_socket, sock=small, ssl=context, subprotocols=[Subprotocol("xmpp")], max_queue=1, compression=None)
            if transport == "websocket"
            else listening(slow, context, small)
        )
        async with listens as found:
            port = found if isinstance(found, int) else next(iter(found.sockets)).getsockname()[1]
            opened = link(transport, port, opening(pki, notes))
            try:
                await notes.until(lambda: bool(notes.infos))
                for _ in range(pieces):
                    output = (
                        _native.Output.FRAME(1, piece.decode())
                        if transport == "websocket"
                        else _native.Output.WRITE(1, piece)
                    )
                    opened.order(output)
                    await asyncio.sleep(0)
                await asyncio.sleep(0.1)
                # The system's buffers take some megabytes, and no more.
                assert notes.left < pieces * len(piece)
                takes.set()
                await notes.until(lambda: notes.left == pieces * len(piece))
            finally:
                takes.set()
                await opened.close(30)
            while taken < pieces * len(piece):
                await asyncio.sleep(0.01)
        assert taken == pieces * len(piece)

    run(write())


def test_a_server_that_asks_and_never_reads_is_given_up(pki: Path) -> None:
    async def write() -> None:
        notes = Notes()

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            transport: Any = writer.transport
            transport.pause_reading()
            await asyncio.Event().wait()

        async with listening(deaf, server_context(pki, "1.3")) as port:
            opened = link("direct_tls", port, opening(pki, notes))
            await notes.until(lambda: bool(notes.infos))
            # How much the system takes before the server has stopped reading is not ours to say.
            for _ in range(400):
                if notes.end != "none":
                    break
                opened.order(_native.Output.WRITE(1, b"x" * 1_000_000))
                await asyncio.sleep(0)
            await notes.until(lambda: notes.end != "none")
            assert isinstance(notes.end, _native.Failure.OTHER)
            await opened.close(0.1)

    run(write())


# ---- WebSocket


@pytest.mark.parametrize(
    ("sends", "sentence"),
    [
        (["x" * 2_000], "broke the WebSocket protocol"),
        ([b"binary"], "binary message"),
        ([["<a>", "b", "</a>"]], None),
    ],
    ids=["too large", "binary", "in fragments"],
)
def test_messages_of_a_websocket(pki: Path, sends: list[Any], sentence: str | None) -> None:
    async def talk() -> Notes:
        notes = Notes()

        async def say(connection: ServerConnection) -> None:
            for message in sends:
                await connection.send(message)
            await connection.wait_closed()

        listens = serve(say, "127.0.0.1", 0, ssl=server_context(pki, "1.3"), subprotocols=[Subprotocol("xmpp")])
        async with listens as found:
            port = next(iter(found.sockets)).getsockname()[1]
            opened = link("websocket", port, opening(pki, notes, max_message=1_000))
            await notes.until(lambda: bool(notes.data) or notes.end != "none")
            await opened.close(1)
        return notes

    notes = run(talk())
    if sentence is None:
        assert notes.data == [b"<a>b</a>"]
    else:
        assert isinstance(notes.end, _native.Failure.OTHER)
        assert sentence in notes.end.reason


def test_a_websocket_goes_where_it_was_sent_and_nowhere_else(pki: Path) -> None:
    """A redirect is an answer of the wrong kind, and so is what is no HTTP."""

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: wss://localhost:1/\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async def login() -> None:
        async with listening(redirect, server_context(pki, "1.3")) as port:
            url = f"wss://localhost:{port}/"
            async with epode.connect("user01@localhost", websocket=url, password="x", ca=pki / "ca.crt"):
                pass

    with pytest.raises(epode.ConnectionFailed, match="302"):
        run(login())


# ---- BOSH


def test_a_link_tells_nothing_within_the_turn_that_asked_for_it(pki: Path) -> None:
    """A loop with asyncio.eager_task_factory takes a task's first step at once, and what was told then was told to nobody."""

    async def begin() -> None:
        notes = Notes()
        opened = link("bosh", 1, opening(pki, notes))
        assert isinstance(opened, BoshLink)
        again = opened._open(binds=False)
        again.send(None)
        assert notes.infos == []
        again.close()
        await opened.close(0)

    run(begin())


def test_no_cookie_is_kept(pki: Path) -> None:
    heads = list[bytes]()

    async def serve_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(1)
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: who=you; Path=/\r\nContent-Length: 1\r\n\r\nx")

    class Answers(Notes):
        def responded(self, link: int, request: int, status: int, body: bytes, tls: _native.TlsFacts | None) -> None:
            self.received(link, body)

    async def ask() -> None:
        notes = Answers()
        async with listening(serve_it, server_context(pki, "1.3")) as port:
            opened = link("bosh", port, opening(pki, notes))
            for request in (1, 2):
                opened.order(_native.Output.POST(1, request, b"x", 0))
                await notes.until(lambda: len(notes.data) == request)
            await opened.close(1)

    run(ask())
    assert len(heads) == 2
    assert not any(b"cookie" in head.lower() for head in heads)


# ---- discovery


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for SRV records out of a table."""

    def __init__(self, records: dict[str, str]) -> None:
        self._records = records
        self.asked = list[str]()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        question = dns.message.from_wire(data)
        response = dns.message.make_response(question)
        name = question.question[0].name.to_text()
        self.asked.append(name)
        if name in self._records:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", self._records[name]))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), address)


@asynccontextmanager
async def name_server(records: dict[str, str]) -> AsyncIterator[tuple[str, NameServer]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: NameServer(records), ("127.0.0.1", 0))
    try:
        yield "127.0.0.1:%d" % transport.get_extra_info("sockname")[1], protocol
    finally:
        transport.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize(("service", "transport"), [("_xmpp-client", "tcp"), ("_xmpps-client", "direct_tls")])
def test_a_server_is_found_by_its_domain(world: World, service: str, transport: str) -> None:
    place = world.place("dev", transport)
    host, _, port = place.address.rpartition(":")

    async def login() -> None:
        records = {f"{service}._tcp.cert.localhost.": f"5 0 {port} {host}."}
        async with name_server(records) as (address, names):
            credentials = place.credentials("password")
            found = epode.connect(place.jid("password"), name_servers=[address], ca=world.ca, **credentials)
            async with found as client:
                online = await until(client, epode.Online)
                assert online.transport == "tcp"
            assert sorted(names.asked)[:2] == ["_xmpp-client._tcp.cert.localhost.", "_xmpps-client._tcp.cert.localhost."]

    run(login())


def test_a_domain_without_a_server(world: World) -> None:
    async def login() -> None:
        async with name_server({"_xmpp-client._tcp.example.invalid.": "0 0 0 ."}) as (address, _):
            async with epode.connect("user01@example.invalid", name_servers=[address], password="x"):
                pass

    with pytest.raises(epode.ConnectionFailed):
        run(login())


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2_000, "larger than 1000 bytes"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "is 301"),
        (b"no HTTP at all\r\n\r\n", ""),
    ],
    ids=["found", "too large", "moved", "no HTTP"],
)
def test_a_document_of_host_meta(pki: Path, response: bytes, expected: bytes | str) -> None:
    async def ask() -> _native.Resolution:
        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response)
            await reader.read()

        async with listening(say, server_context(pki, "1.3")) as port:
            question = _native.Question.DOCUMENT(f"https://localhost:{port}/.well-known/host-meta.json", 1_000)
            return await answer(question, Tls(ca=pki / "ca.crt"), [], 10)

    found = run(ask())
    if isinstance(expected, bytes):
        assert found.bytes == expected
    else:
        assert isinstance(found, _native.Resolution.FAILED)
        assert expected in str(found.reason)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.org", "example.org", 5222),
        ("example.org:1", "example.org", 1),
        ("example.org.:1", "example.org.", 1),
        ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example:65535", "xn--bcher-kva.example", 65_535),
        ("192.0.2.1:5222", "192.0.2.1", 5222),
        ("[2001:db8::1]", "2001:db8::1", 5222),
        ("[2001:db8::1]:5223", "2001:db8::1", 5223),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert _address.parse(text, "tcp", 5222) == _address.Address(host, port)
