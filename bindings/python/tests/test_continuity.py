"""What happens when the connection goes away: the session goes on, or another one takes its place, or it is the end."""

from __future__ import annotations

import asyncio
import os

import pytest

import epode
from epode import _native
from epode._tls import Tls
from tests.conftest import SERVERS
from tests.world import TRANSPORTS, Place, World, note_to_myself, run, until


@pytest.fixture(params=[(server, transport) for server in SERVERS for transport in TRANSPORTS if transport != "bosh"], ids="-".join)
def resumed(world: World, request: pytest.FixtureRequest) -> Place:
    """Each way on which XEP-0198 resumes a session."""
    return world.place(*request.param)


def test_cut_and_resumed_nothing_is_lost(resumed: Place) -> None:
    """XEP-0198."""
    count = 30

    async def live() -> None:
        async with resumed.client("password") as client:
            first = await until(client, epode.Online)
            seen = list[epode.Event]()
            for number in range(count):
                if number in (5, 15):
                    resumed.cut()
                await client.send_message(first.jid, str(number))
                # Whatever is under way when the connection breaks.
                await asyncio.sleep(0.01)
            while len(bodies(seen)) < count:
                seen.append(await anext(client))
            await note_to_myself(client, "after", seen)
            assert bodies(seen)[:count] == [str(number) for number in range(count)]
            # It is the same session.
            assert client.jid == first.jid
            again = [event for event in seen if isinstance(event, epode.Online)]
            assert again
            assert all(event.resumed for event in again)
            assert any(isinstance(event, epode.Interrupted) and event.resumable for event in seen)
            assert not any(isinstance(event, epode.Delivery) and event.stage == "failed" for event in seen)

    run(live())


@pytest.mark.parametrize("server", SERVERS)
def test_cut_over_bosh_it_goes_on_and_tells_the_truth(world: World, server: str) -> None:
    """What may not have been heard is said again. A server may end the session for a request that was under way when the connection was cut
    (XEP-0124 §14): then there is another session, and whatever nobody knows the fate of has failed.
    """
    place, count = world.place(server, "bosh"), 30

    async def live() -> None:
        async with place.client("password") as client:
            await until(client, epode.Online)
            seen, tokens = list[epode.Event](), dict[int, str]()

            for number in range(count):
                if number in (5, 15):
                    place.cut()
                # While there is no session, the next one will have another address perhaps.
                token = await client.send_message(client.jid or place.jid("password"), str(number))
                tokens[token] = str(number)
                await asyncio.sleep(0.01)
            # It goes on, in this session or in another.
            while "after" not in bodies(seen):
                if client.jid is not None:
                    await client.send_message(client.jid, "after")
                while "after" not in bodies(seen):
                    seen.append(await anext(client))
                    if isinstance(seen[-1], epode.Online):
                        break
        # The goodbye brings what was not told yet.
        seen.extend([event async for event in client])

        got = [body for body in bodies(seen) if body != "after"]
        interrupted = [event for event in seen if isinstance(event, epode.Interrupted)]
        again = [event for event in seen if isinstance(event, epode.Online)]
        assert len(again) == len(interrupted)
        assert not any(event.resumed for event in again)
        ends = fates(seen, tokens)
        # Each message has an end, and only one.
        assert set(ends) == set(tokens)
        assert all(len(stages) == 1 for stages in ends.values())
        # Never twice, and in the order in which they were sent.
        assert got == sorted(set(got), key=int)
        if not interrupted:
            assert got == [str(number) for number in range(count)]
            assert all(stages == ["acked"] for stages in ends.values())

    run(live())


def bodies(seen: list[epode.Event]) -> list[str]:
    return [event.body for event in seen if isinstance(event, epode.Message) and event.body is not None and event.type != "error"]


def fates(seen: list[epode.Event], tokens: dict[int, str]) -> dict[int, list[str]]:
    """What became of each message: ``acked`` or ``failed``."""
    ends: dict[int, list[str]] = {}
    for event in seen:
        if isinstance(event, epode.Delivery) and event.token in tokens and event.stage in ("acked", "failed"):
            ends.setdefault(event.token, []).append(event.stage)
    return ends


def test_down_and_up_again(way: Place) -> None:
    async def live() -> None:
        async with way.client("password") as client:
            first = await until(client, epode.Online)
            # From here on the server can resume it.
            await note_to_myself(client, "before")
            way.world.control(f"down {way.server}")
            try:
                interrupted = await until(client, epode.Interrupted)
                assert interrupted.reason.blame == "connection"
                assert interrupted.retry_in is not None
                assert client.jid is None
                # What is sent meanwhile waits.
                token = await client.send_message(way.jid("password"), "meanwhile")
            finally:
                way.world.control(f"up {way.server}")
            seen = list[epode.Event]()
            while client.jid is None:
                seen.append(await anext(client))
            while not any(isinstance(event, epode.Message) and event.body == "meanwhile" for event in seen):
                seen.append(await anext(client))
            # Acknowledgements come when there is a reason: another message is one.
            await note_to_myself(client, "after", seen)
        seen += [event async for event in client]
        assert epode.Delivery(token, "acked") in seen
        assert client.offline is not None
        assert client.offline.blame == "stopped"

    run(live())


def test_it_comes_back_again_and_again_for_a_slow_application(way: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epode._client._BACKLOG", 2)

    async def live() -> None:
        async with way.client("password") as client:
            await until(client, epode.Online)
            for number in range(3):
                await note_to_myself(client, str(number))
                way.cut()
                if way.resumes:
                    await until(client, epode.Interrupted)
                    assert (await until(client, epode.Online)).resumed
            await note_to_myself(client, "still here")

    run(live())


def test_without_reconnection_it_is_the_end(way: Place) -> None:
    async def live() -> list[epode.Event]:
        async with way.client("password", reconnect=False) as client:
            await until(client, epode.Online)
            way.world.control(f"down {way.server}")
            try:
                return [event async for event in client]
            finally:
                way.world.control(f"up {way.server}")

    match run(live()):
        case [*_, epode.Offline(blame="connection")]:
            pass
        case other:
            pytest.fail(repr(other))


def test_leaving_while_interrupted(way: Place) -> None:
    async def live() -> epode.Client:
        try:
            async with way.client("password") as client:
                await until(client, epode.Online)
                way.world.control(f"down {way.server}")
                await until(client, epode.Interrupted)
        finally:
            way.world.control(f"up {way.server}")
        return client

    client = run(live())
    assert client.offline is not None
    assert client.offline.blame == "stopped"


def test_the_events_of_somebody_who_only_looks(way: Place) -> None:
    make = _native.Transport
    host, _, port = way.address.rpartition(":")
    transport = {
        "tcp": lambda: make.TCP(host, int(port), _native.TcpTls.START_TLS),
        "direct_tls": lambda: make.TCP(host, int(port), _native.TcpTls.DIRECT),
        "websocket": lambda: make.WEB_SOCKET(way.address),
        "bosh": lambda: make.BOSH(_native.Bosh(url=way.address)),
    }[way.transport]()

    async def look() -> list[epode.Event]:
        config = _native.Config(
            jid="cert.localhost", credentials=_native.Credentials.NOTHING(), transports=[transport]
        )
        client = epode.Client(_native.Client(config, os.urandom(32)), Tls(ca=way.world.ca))
        with pytest.raises(epode.WentOffline):
            await client.__aenter__()
        return [event async for event in client]

    match run(look()):
        case [epode.Offered(encrypted=True) as offered, epode.Offline(blame="stopped")]:
            mechanisms = offered.element().iter("{urn:ietf:params:xml:ns:xmpp-sasl}mechanism")
            assert "SCRAM-SHA-256" in [mechanism.text for mechanism in mechanisms]
        case other:
            pytest.fail(repr(other))


# ---- a fault of epode's own


class Broken:
    """An engine that fails as UniFFI says it, where the library's own guard has not: no input can bring a real one to that."""

    def __init__(self, engine: _native.Client, turns: int) -> None:
        self._engine = engine
        self._left = turns

    def handle(self, now: int, input: _native.Input) -> _native.Step:
        return self._turn("handle", now, input)

    def received(self, *arguments: object) -> _native.Step:
        return self._turn("received", *arguments)

    def responded(self, *arguments: object) -> _native.Step:
        return self._turn("responded", *arguments)

    def _turn(self, name: str, *arguments: object) -> _native.Step:
        self._left -= 1
        if self._left < 0:
            raise _native.InternalError("rust panicked with a secret in the message")
        return getattr(self._engine, name)(*arguments)


@pytest.mark.parametrize("turns", [0, 2, 4, 6, 30])
def test_a_fault_is_the_end_and_nothing_else(way: Place, turns: int) -> None:
    async def live() -> epode.Offline | None:
        client = way.client("password")
        client._turns._engine = Broken(client._turns._engine, turns)
        try:
            async with client:
                for _ in range(50):
                    await note_to_myself(client, "a note")
        except epode.EpodeError as error:
            assert "secret" not in str(error)
        except AssertionError:
            # The loop over the events ended.
            pass
        return client.offline

    offline = run(live())
    assert offline is not None
    assert (offline.blame, offline.code) == ("internal", "panic")
    assert "please report" in str(offline)


def test_a_fault_has_its_own_class(world: World) -> None:
    async def live() -> None:
        client = world.place("dev", "tcp").client("password")
        client._turns._engine = Broken(client._turns._engine, 3)
        async with client:
            pass

    with pytest.raises(epode.InternalFault, match="epode has a bug"):
        run(live())
