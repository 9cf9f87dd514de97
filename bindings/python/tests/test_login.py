"""Logins over each transport, by certificate and by password, and those that fail."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

import epode
from epode._turns import Turns
from tests.world import TRANSPORTS, Place, World, fails, left_behind, note_to_myself, others, run, sockets, until

KIND = {"tcp": "tcp", "direct_tls": "tcp", "websocket": "websocket", "bosh": "bosh"}


def test_a_certificate_logs_in(place: Place) -> None:
    async def login() -> list[epode.Event]:
        async with place.client("certificate") as client:
            assert client.jid is not None
            assert client.jid.startswith(place.jid("certificate") + "/")
            await note_to_myself(client, "Hello <you> & \N{ROCKET}\nsecond line", seen)
        assert client.jid is None
        return seen + [event async for event in client]

    seen = list[epode.Event]()
    match run(login()):
        case [epode.Online(mechanism="EXTERNAL", resumed=False, transport=transport), *_, epode.Offline(blame="stopped")]:
            assert transport == KIND[place.transport]
        case events:
            pytest.fail(repr(events))


def test_a_password_logs_in(place: Place) -> None:
    async def login() -> epode.Online:
        async with place.client("password") as client:
            online = await until(client, epode.Online)
            await note_to_myself(client, "a note")
            return online

    online = run(login())
    assert online.mechanism.startswith("SCRAM-SHA-")
    assert online.server_proved


def test_both_are_two_factors(way: Place) -> None:
    async def login() -> epode.Online:
        async with way.client("certificate", password=way.secret("password")) as client:
            return await until(client, epode.Online)

    assert run(login()).mechanism.startswith("SCRAM-SHA-")


def test_a_wrong_password(place: Place) -> None:
    error = fails(place.client("password", password="wrong"))
    assert isinstance(error, epode.LoginFailed)
    assert error.reason.condition == "not-authorized"
    assert str(error).startswith("the server refused the login by SCRAM-SHA-")


def test_an_expired_certificate_is_refused_before_anything_is_sent(place: Place) -> None:
    with pytest.raises(epode.ConfigurationError, match=r"expired on 20\d\d-.* a new one is needed; no connection was made"):
        place.client("expired")


def test_a_server_refuses_an_expired_certificate(place: Place) -> None:
    error = fails(place.client("expired", allow_invalid_certificate=True))
    # Some end TLS, some offer EXTERNAL no more.
    assert isinstance(error, (epode.TlsFailed, epode.LoginFailed)), repr(error.reason)


def test_a_server_that_nobody_vouches_for(place: Place) -> None:
    error = fails(place.client("password", ca=place.world.rogue_ca))
    assert isinstance(error, epode.TlsFailed)
    assert "the server's certificate was not accepted" in str(error)


def test_without_authorities_the_system_s_judge(way: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # The environment has no say.
    monkeypatch.setenv("SSL_CERT_FILE", str(way.world.ca))
    error = fails(way.client("password", ca=None))
    assert isinstance(error, epode.TlsFailed)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_of_another_name(world: World, transport: str) -> None:
    """Over TCP the name that counts is the account's domain, over the others that of the URL."""
    # Not the server that takes note of what a client must not do.
    way = world.place("prosody-13", transport)
    if way.transport in ("tcp", "direct_tls"):
        client = epode.connect("alice@example.org", **way.where, password="x")
    else:
        where: dict[str, Any] = {way.transport: way.address.replace("localhost", "localhost.localdomain"), "ca": way.world.ca}
        client = epode.connect(way.jid("password"), **where, password="x")
    error = fails(client)
    if way.transport == "tcp":
        # It has no such domain, and says so before TLS.
        assert error.reason.condition == "host-unknown"
    else:
        assert isinstance(error, (epode.TlsFailed, epode.ConnectionFailed)), error


def test_nobody_listens(world: World) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    places: list[dict[str, Any]] = [
        {"tcp": address},
        {"tcp": address.replace("127.0.0.1", "localhost")},
        {"direct_tls": address},
        {"websocket": f"wss://{address}/"},
        {"bosh": f"https://{address}/"},
    ]
    for where in places:
        error = fails(epode.connect("user01@localhost", **where, password="x"))
        assert isinstance(error, epode.ConnectionFailed), where
        assert "nobody listens" in str(error), where


@pytest.mark.parametrize("transport", ["websocket", "bosh"])
def test_the_wrong_path(world: World, transport: str) -> None:
    place = world.place("dev", transport)
    error = fails(place.client("password", **{transport: place.address + "/nothing"}))
    assert isinstance(error, epode.ConnectionFailed)
    assert "404" in str(error)


def test_the_wrong_port(world: World) -> None:
    """Plain where TLS is expected, and the other way round."""
    plain = world.place("prosody-13", "tcp")
    error = fails(plain.client("password", tcp=None, direct_tls=plain.address))
    assert "does not speak TLS" in str(error)


def test_they_are_tried_in_order(world: World) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"

        async def login() -> epode.Online:
            bosh = world.place("dev", "bosh")
            where = {"direct_tls": nobody, "tcp": nobody, "websocket": f"wss://{nobody}/", **bosh.where}
            async with bosh.client("password", **where) as client:
                return await until(client, epode.Online)

        assert run(login()).transport == "bosh"


# ---- leaving in the middle


@pytest.mark.parametrize("after", [0, 0.001, 0.02, 0.3])
def test_cancelled_while_the_server_is_silent(silent: Place, after: float) -> None:
    async def login() -> None:
        before = sockets()
        client = silent.client("password")
        task = asyncio.create_task(client.__aenter__())
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if after:
            assert client.offline is not None
            assert client.offline.blame == "stopped"
        assert others() == set()
        assert await left_behind(before) == set()
        with pytest.raises(epode.NotOnline):
            await client.send_message("user01@localhost", "too late")

    run(login())


@pytest.mark.parametrize("turns", range(1, 16, 2))
def test_cancelled_in_the_middle_of_a_login(modern: Place, turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many turns of the engine, wherever that is."""
    carry_out: Callable[..., None] = Turns._carry_out

    async def login() -> None:
        before = sockets()
        client = modern.client("password")
        task = asyncio.create_task(client.__aenter__())
        done = 0

        def counting(turns_of: Any, step: Any) -> None:
            nonlocal done
            done += 1
            carry_out(turns_of, step)
            if done == turns:
                task.cancel()

        monkeypatch.setattr(Turns, "_carry_out", counting)
        # A transport that needs fewer turns is online before.
        try:
            await task
        except asyncio.CancelledError:
            pass
        else:
            await client.close()
        assert others() == set()
        assert await left_behind(before) == set()
        assert client.offline is not None

    run(login())


def test_cancelled_while_it_closes(way: Place) -> None:
    async def leave() -> None:
        before = sockets()
        client = await way.client("password").__aenter__()
        task = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert others() == set()
        assert await left_behind(before) == set()

    run(leave())


def test_a_cancelled_application_says_goodbye(place: Place) -> None:
    async def cancel() -> None:
        client = place.client("password")
        online = asyncio.Event()

        async def use() -> None:
            async with client:
                online.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(use())
        await online.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.offline is not None
        assert (client.offline.blame, client.offline.code) == ("stopped", "stopped")

    run(cancel())


def test_a_client_is_used_once(world: World) -> None:
    async def twice() -> None:
        async with world.place("dev", "tcp").client("password") as client:
            pass
        with pytest.raises(epode.EpodeError, match="used once"):
            async with client:
                pass

    run(twice())


# ---- what cannot be


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"bosh": "https://localhost/"}, "no credentials were given"),
        ({"bosh": "http://localhost/", "password": "x"}, "credentials travel over https and wss only"),
        ({"websocket": "ws://localhost/", "password": "x"}, "credentials travel over https and wss only"),
        ({"bosh": "localhost", "password": "x"}, "bosh='localhost' is no URL that begins with https://"),
        ({"websocket": "https://localhost/", "password": "x"}, "no URL that begins with wss://"),
        ({"websocket": "wss://", "password": "x"}, "URL|address"),
        ({"tcp": "https://localhost/", "password": "x"}, "it is a URL"),
        ({"tcp": "", "password": "x"}, "this is no host name"),
        ({"tcp": "a b", "password": "x"}, "this is no host name"),
        ({"tcp": "localhost:", "password": "x"}, "a port is a number from 1 to 65535"),
        ({"tcp": "localhost:0", "password": "x"}, "a port is a number from 1 to 65535"),
        ({"tcp": "localhost:65536", "password": "x"}, "a port is a number from 1 to 65535"),
        ({"tcp": "localhost:٣", "password": "x"}, "a port is a number from 1 to 65535"),
        ({"direct_tls": "::1", "password": "x"}, "an address of IPv6 stands in brackets"),
        ({"direct_tls": "[::1", "password": "x"}, "the bracket is not closed"),
        ({"direct_tls": "[::1]5223", "password": "x"}, "only a port follows the bracket"),
        ({"direct_tls": "[localhost]:1", "password": "x"}, "no address of IPv6"),
        ({"name_servers": ["a:b"], "password": "x"}, "name_servers='a:b' is no address"),
        ({"bosh": "https://localhost/", "password": "x", "ca": "/nowhere/ca.crt"}, "/nowhere/ca.crt"),
        ({"bosh": "https://localhost/", "password": "x", "ca": "/dev/null"}, "/dev/null"),
        ({"bosh": "https://localhost/", "certificate": "/nowhere/user.crt"}, "/nowhere/user.crt"),
        ({"bosh": "https://localhost/", "certificate": "/dev/null"}, "there is no PEM certificate in it"),
        ({"bosh": "https://localhost/", "key": "user.key"}, "a key was given without a certificate"),
        ({"bosh": "https://localhost/", "password": "\ud800"}, "has no form in UTF-8"),
        ({"bosh": "https://localhost/", "password": "x", "tag": "\ud800"}, "cannot be passed on"),
    ],
)
def test_what_cannot_work(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(epode.ConfigurationError, match=sentence):
        epode.connect("user01@localhost", **arguments)


@pytest.mark.parametrize("argument", ["tcp", "direct_tls", "websocket", "bosh"])
def test_an_address_is_text(argument: str) -> None:
    arguments: Any = {argument: ("localhost", 5222)}
    with pytest.raises(TypeError, match=f"{argument} is a str"):
        epode.connect("user01@localhost", password="x", **arguments)


def test_a_key_of_another_certificate(world: World) -> None:
    with pytest.raises(epode.ConfigurationError, match="the key is not the one of the certificate"):
        epode.connect("alice@cert.localhost", certificate=world.pki / "alice.crt", key=world.pki / "two.key")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("not-yet-valid", "is valid only from"), ("no-usage", None), ("both-usages", None), ("server", "is not meant for logging in")],
)
def test_certificates_that_no_server_takes(world: World, name: str, sentence: str | None) -> None:
    files: dict[str, Any] = {"certificate": world.pki / f"{name}.crt", "key": world.pki / f"{name}.key"}
    if sentence is None:
        epode.connect("alice@cert.localhost", **files)
        return
    with pytest.raises(epode.ConfigurationError, match=sentence):
        epode.connect("alice@cert.localhost", **files)


def test_no_jid() -> None:
    with pytest.raises(epode.ConfigurationError):
        epode.connect("@", bosh="https://localhost/", password="x")
