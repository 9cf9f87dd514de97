"""Logins over BOSH on the dev server: with a certificate, with a password, and those that fail."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import epode
from epode._http import Link
from tests.conftest import PASSWORD, Server, run


def test_certificate(server: Server) -> None:
    async def login() -> list[epode.Event]:
        async with epode.connect("user01@localhost", **server.identity("user01")) as client:
            assert client.jid is not None
            assert client.jid.startswith("user01@localhost/")
        assert client.jid is None
        return [event async for event in client]

    events = run(login())
    match events:
        case [epode.Online(mechanism="EXTERNAL", resumed=False), *_, epode.Offline(blame="stopped")]:
            pass
        case _:
            pytest.fail(repr(events))


def test_password(server: Server) -> None:
    async def login() -> epode.Event:
        async with epode.connect("user01@localhost", bosh=server.url, ca=server.ca, password=PASSWORD) as client:
            return await anext(client)

    match run(login()):
        case epode.Online(mechanism=mechanism, server_proved=True):
            assert mechanism.startswith("SCRAM-SHA-")
        case other:
            pytest.fail(repr(other))


def test_certificate_and_password(server: Server) -> None:
    async def login() -> epode.Event:
        identity = server.identity("user02")
        async with epode.connect("user02@localhost", **identity, password=PASSWORD) as client:
            return await anext(client)

    match run(login()):
        case epode.Online(mechanism=mechanism):
            assert mechanism.startswith("SCRAM-SHA-")
        case other:
            pytest.fail(repr(other))


def fails(jid: str, **arguments: Any) -> epode.WentOffline:
    async def login() -> None:
        async with epode.connect(jid, **arguments):
            pass

    with pytest.raises(epode.WentOffline) as caught:
        run(login())
    assert str(caught.value) == caught.value.reason.sentence
    return caught.value


def test_wrong_password(server: Server) -> None:
    error = fails("user01@localhost", bosh=server.url, ca=server.ca, password="wrong")
    assert isinstance(error, epode.LoginFailed)
    assert error.reason.condition == "not-authorized"
    assert str(error).startswith("the server refused the login by SCRAM-SHA-")


def test_a_server_that_nobody_vouches_for(server: Server) -> None:
    error = fails("user01@localhost", bosh=server.url, ca=server.folder / "other-ca.crt", password=PASSWORD)
    assert isinstance(error, epode.TlsFailed)
    assert "the server's certificate was not accepted" in str(error)


def test_a_server_of_another_name(server: Server) -> None:
    url = server.url.replace("localhost", "localhost.localdomain").replace("127.0.0.1", "127.0.0.2")
    error = fails("user01@localhost", bosh=url, ca=server.ca, password=PASSWORD)
    assert isinstance(error, (epode.TlsFailed, epode.ConnectionFailed))


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = fails("user01@localhost", bosh=f"https://127.0.0.1:{port}/http-bind", password=PASSWORD)
    assert isinstance(error, epode.ConnectionFailed)
    assert "nobody listens" in str(error)


def test_the_wrong_path(server: Server) -> None:
    error = fails("user01@localhost", bosh=server.url + "/nothing", ca=server.ca, password=PASSWORD)
    assert isinstance(error, epode.ConnectionFailed)
    assert "404" in str(error)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"bosh": "https://localhost/"}, "no credentials were given"),
        ({"bosh": "http://localhost/", "password": "x"}, "credentials travel over https and wss only"),
        ({"bosh": "https://localhost/", "password": "x", "ca": "/nowhere/ca.crt"}, "/nowhere/ca.crt"),
        ({"bosh": "https://localhost/", "certificate": "/nowhere/user.crt"}, "/nowhere/user.crt"),
        ({"bosh": "https://localhost/", "key": "user.key"}, "a key was given without a certificate"),
    ],
)
def test_what_cannot_work(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(epode.ConfigurationError, match=sentence):
        epode.connect("user01@localhost", **arguments)


def test_a_key_of_another_certificate(server: Server) -> None:
    arguments = {**server.identity("user01"), "key": server.key("user02")}
    with pytest.raises(epode.ConfigurationError, match="the key is not the one of the certificate"):
        epode.connect("user01@localhost", **arguments)


def test_no_jid() -> None:
    with pytest.raises(epode.ConfigurationError):
        epode.connect("@", bosh="https://localhost/", password="x")


@pytest.mark.parametrize("posts", [0, 1, 2, 3, 4])
def test_cancelled_in_the_middle_of_a_login(server: Server, posts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def login() -> None:
        client = epode.connect("user03@localhost", **server.identity("user03"))
        task = asyncio.create_task(client.__aenter__())
        sent = 0

        def counting(link: Link, request: int, body: bytes) -> None:
            nonlocal sent
            sent += 1
            post(link, request, body)
            if sent == posts:
                asyncio.get_running_loop().call_later(0.001, task.cancel)

        post = Link.post
        monkeypatch.setattr(Link, "post", counting)
        if posts == 0:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if posts > 0:
            assert client.offline is not None
            assert client.offline.blame == "stopped"
        # Nothing goes on behind the application's back.
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(epode.NotOnline):
            await client.send_message("user01@localhost", "too late")

    run(login())


def test_a_cancelled_application_says_goodbye(server: Server) -> None:
    async def cancel() -> None:
        client = epode.connect("user03@localhost", **server.identity("user03"))
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
        assert client.offline.blame == "stopped"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(cancel())


def test_a_client_is_used_once(server: Server) -> None:
    async def twice() -> None:
        async with epode.connect("user03@localhost", **server.identity("user03")) as client:
            pass
        with pytest.raises(epode.EpodeError, match="used once"):
            async with client:
                pass

    run(twice())
