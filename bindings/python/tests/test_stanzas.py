"""Messages and requests between two clients, and one of them that is slow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import epode
from tests.world import Place, World, note_to_myself, run, until

PING = "<iq type='get'{to}><ping xmlns='urn:xmpp:ping'/></iq>"


def test_a_message_from_one_to_the_other(way: Place) -> None:
    text = "Hello <you> & \N{ROCKET}\nsecond line"

    async def talk() -> tuple[epode.Message, str | None]:
        async with way.client("password") as one, way.client("other") as two:
            assert two.jid is not None
            token = await one.send_message(two.jid, text)
            message = await until(two, epode.Message)
            # BOSH acknowledges a body with the answer to it, which the server holds until there is something to say; TCP when asked.
            await one.request(PING.format(to=f" to='{way.jid('password').partition('@')[2]}'"))
            stages = []
            async for event in one:
                match event:
                    case epode.Delivery(token=known, stage=stage):
                        assert known == token
                        stages.append(stage)
                        if stage in ("acked", "failed"):
                            break
            assert stages[-1] == "acked"
            return message, one.jid

    message, sender = run(talk())
    assert (message.body, message.sender, message.type) == (text, sender, "chat")
    body = message.element().find("{jabber:client}body")
    assert body is not None
    assert body.text == text


def test_a_large_message(place: Place) -> None:
    """More than one packet, one read and one record of TLS, in both directions."""

    async def talk() -> None:
        async with place.client("password") as client:
            text = "\N{GREEK SMALL LETTER ALPHA}" * 40_000
            assert (await note_to_myself(client, text)).body == text

    run(talk())


@pytest.mark.parametrize("more", [0, 1])
def test_a_slow_application_stops_the_reading_and_loses_nothing(place: Place, more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands are sent to it while it does not look. (A second time with a smaller limit, and many pauses.)"""
    count, limit = (2_500, 1_000) if not more else (300, 20)
    monkeypatch.setattr("epode._client._BACKLOG", limit)

    async def talk() -> list[str | None]:
        async with place.client("password") as slow, place.client("other") as sender:
            assert slow.jid is not None
            for number in range(count):
                # No server keeps headlines, not in an archive either (RFC 6121 §5.2.2).
                body = f"<body>{number} {'x' * 500}</body>"
                await sender.send(f"<message to='{slow.jid}' type='headline'>{body}</message>")
            async with asyncio.timeout(60):
                # It has stopped: for good, because nobody looks.
                while slow._turns._reading:
                    await asyncio.sleep(0.01)
            waiting = None
            while waiting != (waiting := slow._stanzas_waiting):
                await asyncio.sleep(0.2)
            # What it was handed at once is all that is above the limit: a piece of TCP, a WebSocket message, an HTTP answer.
            at_once = {"bosh": 8_000_000 // 700}.get(place.transport, 8 * 1024 // 150)
            assert limit <= slow._stanzas_waiting <= limit + at_once
            if place.transport != "bosh":
                assert slow._stanzas_waiting < count
            bodies = list[str | None]()
            for _ in range(count):
                arrived = (await until(slow, epode.Message)).body
                assert arrived is not None
                bodies.append(arrived.partition(" ")[0])
            assert slow._turns._reading
            await note_to_myself(slow, "and goes on")
            return bodies

    assert run(talk(), 150) == [str(number) for number in range(count)]


def test_a_request_is_answered(place: Place) -> None:
    domain = place.jid("password").partition("@")[2]

    async def ask() -> epode.Answer:
        async with place.client("password") as client:
            return await client.request(PING.format(to=f" to='{domain}'"))

    answer = run(ask())
    assert (answer.type, answer.sender) == ("result", domain)


def test_a_time_that_is_no_number_of_seconds_is_refused() -> None:
    async def ask() -> None:
        client = epode.connect("user01@localhost", password="pw", tcp="localhost:1")
        for timeout in (float("inf"), float("nan")):
            with pytest.raises(epode.ConfigurationError, match="no number of seconds"):
                await client.request("<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>", timeout=timeout)

    run(ask())


def test_a_request_between_clients(way: Place) -> None:
    async def ask() -> None:
        async with way.client("password") as one, way.client("other", answers=["urn:example:sum"]) as two:
            question = f"<iq type='get' to='{two.jid}'><sum xmlns='urn:example:sum'>1 2</sum></iq>"
            asking = asyncio.create_task(one.request(question))
            request = await until(two, epode.Request)
            assert request.sender == one.jid
            two.respond(request, "<sum xmlns='urn:example:sum'>3</sum>")
            answer = await asking
            assert answer.element()[0].text == "3"

            asking = asyncio.create_task(one.request(question))
            two.refuse(await until(two, epode.Request), "not-allowed", text="enough")
            with pytest.raises(epode.RequestFailed) as caught:
                await asking
            assert (caught.value.condition, caught.value.type, caught.value.text) == ("not-allowed", "cancel", "enough")

            asking = asyncio.create_task(one.request(question, timeout=0.2))
            with pytest.raises(epode.RequestTimedOut):
                await asking

            # Who does not wait any more has no use for the answer.
            asking = asyncio.create_task(one.request(question))
            late = [await until(two, epode.Request) for _ in range(2)][-1]
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            two.respond(late)
            await note_to_myself(one, "still here")

    run(ask())


def test_a_request_ends_with_the_session(way: Place) -> None:
    async def ask() -> None:
        async with way.client("password") as one, way.client("other", answers=["urn:example:sum"]) as two:
            question = f"<iq type='get' to='{two.jid}'><sum xmlns='urn:example:sum'>1 2</sum></iq>"
            asking = asyncio.create_task(one.request(question))
            await until(two, epode.Request)
            await one.close()
            with pytest.raises(epode.NotOnline, match="whether the request was handled is not known"):
                await asking

    run(ask())


@pytest.mark.parametrize("raising", [False, True])
def test_who_never_looks_at_events_waits_in_the_end(world: World, raising: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epode._client._UNREAD", 50)

    async def send() -> None:
        async with world.place("dev", "tcp").client("password") as client:
            assert client.jid is not None

            async def many() -> None:
                for number in range(200):
                    await client.send_message("bob@cert.localhost", str(number))

            sending = asyncio.create_task(many())
            await asyncio.sleep(0.3)
            assert not sending.done()
            assert len(client._events) < 300
            if raising:
                await client.close()
                with pytest.raises(epode.NotOnline):
                    await sending
                return
            reading = asyncio.create_task(until(client, epode.Offline))
            await sending
            await client.close()
            await reading

    run(send())


@pytest.mark.parametrize(
    ("stanza", "error", "sentence"),
    [
        ("<message>", epode.InvalidStanza, "not one XML element"),
        ("<iq type='get'/>", epode.InvalidStanza, "jabber:client"),
        ("<message to='bob@cert.localhost'><body>\ud800</body></message>", epode.InvalidStanza, "lone surrogate"),
    ],
)
def test_what_is_no_stanza_is_refused(world: World, stanza: str, error: type[Exception], sentence: str) -> None:
    async def send() -> None:
        async with world.place("dev", "tcp").client("password") as client:
            with pytest.raises(error, match=sentence):
                await client.send(stanza)
            with pytest.raises(epode.InvalidStanza, match="exactly one child"):
                await client.request("<iq type='get'/>")
            with pytest.raises(epode.StanzaTooLarge):
                await client.send_message("bob@cert.localhost", "x" * 300_000)
            with pytest.raises(epode.InvalidStanza, match="lone surrogate"):
                await client.send_message("bob@cert.localhost", "\ud800")
            with pytest.raises(epode.ConfigurationError, match="no JID"):
                await client.send_message("@", "x")

    run(send())


def test_an_error_type_that_does_not_exist(world: World) -> None:
    async def refuse() -> None:
        async with world.place("dev", "tcp").client("password") as client:
            request = epode.Request(None, None, "get", "1", b"<iq/>", 1)
            arguments: dict[str, Any] = {"type": "never"}
            with pytest.raises(epode.ConfigurationError, match="'never' is not one of auth, cancel"):
                client.refuse(request, **arguments)

    run(refuse())
