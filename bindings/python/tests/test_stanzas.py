"""Messages and requests between two clients on the dev server."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

import epode
from tests.conftest import Server, run

E = TypeVar("E", bound=epode.Event)


PING = "<iq type='get'{to}><ping xmlns='urn:xmpp:ping'/></iq>"


async def first(client: epode.Client, kind: type[E]) -> E:
    async for event in client:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"offline before a {kind.__name__}")


def test_a_message_from_one_to_the_other(server: Server) -> None:
    text = "Hello <you> & \N{ROCKET}\nsecond line"

    async def talk() -> tuple[epode.Message, str | None]:
        async with (
            epode.connect("user01@localhost", **server.identity("user01")) as one,
            epode.connect("user02@localhost", **server.identity("user02")) as two,
        ):
            token = await one.send_message("user02@localhost", text)
            message = await first(two, epode.Message)
            # BOSH acknowledges a body with the answer to it, which the server holds until there is something to say.
            await one.request(PING.format(to=" to='localhost'"))
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


def test_many_messages_arrive_in_order(server: Server) -> None:
    async def talk() -> list[str | None]:
        async with (
            epode.connect("user01@localhost", **server.identity("user01")) as one,
            epode.connect("user02@localhost", **server.identity("user02")) as two,
        ):
            for number in range(100):
                await one.send_message("user02@localhost", str(number))
            return [(await first(two, epode.Message)).body for _ in range(100)]

    assert run(talk()) == [str(number) for number in range(100)]


def test_a_slow_application_stops_the_reading_and_loses_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epode.aio._BACKLOG", 4)

    async def talk() -> list[str | None]:
        async with (
            epode.connect("user01@localhost", **server.identity("user01")) as one,
            epode.connect("user02@localhost", **server.identity("user02")) as two,
        ):
            for number in range(20):
                await one.send_message("user02@localhost", str(number))
                await asyncio.sleep(0.01)
            return [(await first(two, epode.Message)).body for _ in range(20)]

    assert run(talk()) == [str(number) for number in range(20)]


def test_a_request_is_answered(server: Server) -> None:
    async def ask() -> epode.Answer:
        async with epode.connect("user01@localhost", **server.identity("user01")) as client:
            return await client.request(PING.format(to=" to='localhost'"))

    answer = run(ask())
    assert (answer.type, answer.sender) == ("result", "localhost")


def test_a_request_between_clients(server: Server) -> None:
    async def ask() -> None:
        async with (
            epode.connect("user01@localhost", **server.identity("user01")) as one,
            epode.connect("user02@localhost", **server.identity("user02"), answers=["urn:example:sum"]) as two,
        ):
            question = f"<iq type='get' to='{two.jid}'><sum xmlns='urn:example:sum'>1 2</sum></iq>"
            asking = asyncio.create_task(one.request(question))
            request = await first(two, epode.Request)
            assert request.sender == one.jid
            two.respond(request, "<sum xmlns='urn:example:sum'>3</sum>")
            answer = await asking
            assert answer.element()[0].text == "3"

            asking = asyncio.create_task(one.request(question))
            two.refuse(await first(two, epode.Request), "not-allowed", text="enough")
            with pytest.raises(epode.RequestFailed) as caught:
                await asking
            assert (caught.value.condition, caught.value.type, caught.value.text) == ("not-allowed", "cancel", "enough")

            asking = asyncio.create_task(one.request(question, timeout=0.2))
            with pytest.raises(epode.RequestTimedOut):
                await asking

    run(ask())


def test_what_is_no_stanza_is_refused(server: Server) -> None:
    async def send() -> None:
        async with epode.connect("user01@localhost", **server.identity("user01")) as client:
            with pytest.raises(epode.InvalidStanza, match="not one XML element"):
                await client.send("<message>")
            with pytest.raises(epode.InvalidStanza, match="jabber:client"):
                await client.send("<iq type='get'/>")
            with pytest.raises(epode.InvalidStanza, match="exactly one child"):
                await client.request("<iq type='get'/>")
            with pytest.raises(epode.StanzaTooLarge):
                await client.send_message("user02@localhost", "x" * 300_000)
            with pytest.raises(epode.ConfigurationError, match="no JID"):
                await client.send_message("@", "x")

    run(send())
