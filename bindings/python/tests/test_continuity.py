"""What happens when the server goes away, and what the driver says to what it cannot do."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any

import pytest

import epode
from epode import _native
from tests.conftest import Process, Server, run


async def until(client: epode.Client, kind: type[epode.Online] | type[epode.Interrupted]) -> Any:
    async for event in client:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"offline before {kind.__name__}: {client.offline}")


async def a_note_to_myself(client: epode.Client, text: str, seen: list[epode.Event] | None = None) -> None:
    assert client.jid is not None
    await client.send_message(client.jid, text)
    async for event in client:
        if seen is not None:
            seen.append(event)
        if isinstance(event, epode.Message) and event.body == text:
            return
    raise AssertionError(f"offline before the message: {client.offline}")


def test_the_server_dies_and_comes_back(own_process: Process) -> None:
    server = own_process.start()

    async def live() -> None:
        async with epode.connect("user01@localhost", **server.identity("user01")) as client:
            first = await until(client, epode.Online)
            assert (first.transport, client.jid) == ("bosh", first.jid)
            await a_note_to_myself(client, "before")
            own_process.kill()
            own_process.start()
            interrupted = await until(client, epode.Interrupted)
            assert interrupted.reason.blame in ("connection", "ended")
            assert interrupted.retry_in is not None
            assert client.jid is None
            # What is sent meanwhile waits.
            token = await client.send_message("user02@localhost", "meanwhile")
            second = await until(client, epode.Online)
            # The server has forgotten the session: it is another one, on another link.
            assert not second.resumed
            assert (second.jid != first.jid, client.jid) == (True, second.jid)
            seen = list[epode.Event]()
            await a_note_to_myself(client, "after", seen)
        # The goodbye makes the server answer what it holds, and so acknowledge it.
        seen += [event async for event in client]
        assert epode.Delivery(token, "acked") in seen
        assert client.offline is not None
        assert client.offline.blame == "stopped"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(live())


def test_it_comes_back_again_and_again_for_a_slow_application(
    own_process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epode.aio._BACKLOG", 2)
    server = own_process.start()

    async def live() -> None:
        async with epode.connect("user01@localhost", **server.identity("user01")) as client:
            for number in range(2):
                await until(client, epode.Online)
                await a_note_to_myself(client, str(number))
                own_process.kill()
                own_process.start()
                await until(client, epode.Interrupted)
            await until(client, epode.Online)
            await a_note_to_myself(client, "still here")

    run(live())


def test_without_reconnection_it_is_the_end(own_process: Process) -> None:
    server = own_process.start()

    async def live() -> list[epode.Event]:
        async with epode.connect("user01@localhost", **server.identity("user01"), reconnect=False) as client:
            await until(client, epode.Online)
            own_process.kill()
            own_process.start()
            return [event async for event in client]

    match run(live()):
        case [*_, epode.Offline(blame="connection" | "ended")]:
            pass
        case other:
            pytest.fail(repr(other))


def test_leaving_while_interrupted(own_process: Process) -> None:
    server = own_process.start()

    async def live() -> epode.Client:
        async with epode.connect("user01@localhost", **server.identity("user01")) as client:
            await until(client, epode.Online)
            own_process.kill()
            own_process.start()
            await until(client, epode.Interrupted)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return client

    client = run(live())
    assert client.offline is not None
    assert client.offline.blame == "stopped"


def by(*transports: _native.Transport) -> epode.Client:
    """A client of the driver's with transports that ``connect`` does not offer."""
    config = _native.Config(
        jid="user01@localhost", credentials=_native.Credentials.PASSWORD(b"x"), transports=list(transports)
    )
    return epode.Client(_native.Client(config, os.urandom(32)), ssl.create_default_context(), available=True)


@pytest.mark.parametrize(
    ("transport", "sentence"),
    [
        (_native.Transport.TCP("localhost", 5222, _native.TcpTls.START_TLS), "BOSH only, not by TCP"),
        (_native.Transport.WEB_SOCKET("wss://localhost/xmpp"), "BOSH only, not by WebSocket"),
        # Without an answer of DNS, the domain itself is tried (RFC 6120 §3.2.2).
        (_native.Transport.DISCOVER(True, True, True), "BOSH only, not by TCP"),
        (_native.Transport.DISCOVER(False, True, True), "asks neither DNS nor the server's host-meta"),
    ],
)
def test_other_transports_have_no_driver(transport: _native.Transport, sentence: str) -> None:
    async def login() -> None:
        async with by(transport):
            pass

    with pytest.raises(epode.ConnectionFailed, match=sentence):
        run(login())


def test_what_cannot_be_reached_leaves_the_rest_to_try(server: Server) -> None:
    async def login() -> epode.Event:
        tcp = _native.Transport.TCP("localhost", 5222, _native.TcpTls.START_TLS)
        client = by(tcp, _native.Transport.BOSH(_native.Bosh(url=server.url)))
        client._context.load_verify_locations(server.ca)
        async with client:
            return await anext(client)

    # The password is wrong, which only the server can know.
    with pytest.raises(epode.LoginFailed, match="not-authorized"):
        run(login())


def test_the_events_of_somebody_who_only_looks(server: Server) -> None:
    async def look() -> list[epode.Event]:
        config = _native.Config(
            jid="localhost",
            credentials=_native.Credentials.NOTHING(),
            transports=[_native.Transport.BOSH(_native.Bosh(url=server.url))],
        )
        context = ssl.create_default_context(cafile=server.ca)
        client = epode.Client(_native.Client(config, os.urandom(32)), context, available=True)
        with pytest.raises(epode.WentOffline):
            await client.__aenter__()
        return [event async for event in client]

    match run(look()):
        case [epode.Offered(transport="bosh", encrypted=True) as offered, epode.Offline(blame="stopped")]:
            mechanisms = offered.element().iter("{urn:ietf:params:xml:ns:xmpp-sasl}mechanism")
            assert "SCRAM-SHA-256" in [mechanism.text for mechanism in mechanisms]
        case other:
            pytest.fail(repr(other))
