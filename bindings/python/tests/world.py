"""The servers that the tests run against, as the file describes them that the environment variable EPODE_WORLD names."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import epode

T = TypeVar("T")

TRANSPORTS = ("tcp", "direct_tls", "websocket", "bosh")


class World:
    """All of them, and the control port."""

    def __init__(self, file: str) -> None:
        self.description: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
        self.ca = Path(self.description["ca"])
        self.rogue_ca = Path(self.description["rogue_ca"])
        #: Keys and certificates that the servers know.
        self.pki = self.ca.parent

    def place(self, server: str, transport: str) -> Place:
        return Place(self, server, transport)

    def control(self, command: str) -> Any:
        """One command, and what it answers."""
        address = self.description["control"]
        with socket.create_connection((address["host"], address["port"]), timeout=30) as connection:
            connection.sendall(f"{command}\n".encode())
            with connection.makefile(encoding="utf-8") as file:
                word, _, rest = file.readline().strip().partition(" ")
        assert word == "ok", f"{command}: {word} {rest}"
        return json.loads(rest) if rest else None


@dataclass(frozen=True)
class Place:
    """One way to one server."""

    world: World
    server: str
    transport: str

    def __str__(self) -> str:
        return f"{self.server}-{self.transport}"

    @property
    def _server(self) -> dict[str, Any]:
        server: dict[str, Any] = self.world.description["servers"][self.server]
        return server

    @property
    def address(self) -> str:
        address = self._server[self.transport]
        return address if isinstance(address, str) else f"{address['host']}:{address['port']}"

    @property
    def where(self) -> dict[str, Any]:
        """The arguments of ``connect`` that say where."""
        return {self.transport: self.address, "ca": self.world.ca}

    def jid(self, who: str) -> str:
        jid: str = self._server[who]["jid"]
        return jid

    def secret(self, who: str) -> str:
        password: str = self._server[who]["password"]
        return password

    def credentials(self, who: str) -> dict[str, Any]:
        """Of ``password``, ``other``, ``certificate`` and ``expired``."""
        account = self._server[who]
        if "password" in account:
            return {"password": account["password"]}
        return {"certificate": account["cert"], "key": account["key"]}

    def client(self, who: str, **more: Any) -> epode.Client:
        arguments: dict[str, Any] = {**self.where, **self.credentials(who), **more}
        return epode.connect(self.jid(who), **arguments)

    @property
    def resumes(self) -> bool:
        """XEP-0198: not over BOSH, which has its own way of going on."""
        return self.transport != "bosh"

    def cut(self) -> None:
        self.world.control(f"cut {self.server}")


def sockets() -> set[str]:
    """The sockets of this process, as the system calls them. (Elsewhere than on Linux they are not known.)"""
    folder = Path("/proc/self/fd")
    found = set[str]()
    if folder.is_dir():
        for name in os.listdir(folder):
            try:
                target = os.readlink(folder / name)
            except OSError:
                continue
            if target.startswith("socket:"):
                found.add(target)
    return found


async def left_behind(before: set[str]) -> set[str]:
    """The sockets that are more than before. A thread that looks up a name cannot be cancelled, and has one of its own until it is done."""
    for _ in range(200):
        if not (left := sockets() - before):
            return left
        await asyncio.sleep(0.01)
    return left


def others() -> set[asyncio.Task[Any]]:
    """What runs besides this."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def run(test: Coroutine[Any, Any, T], seconds: float = 30) -> T:
    """Runs a test, which may leave nothing behind: no task, no socket, no thread. It fails after half a minute."""
    before, threads = sockets(), set(threading.enumerate())

    async def bounded() -> T:
        own = sockets()
        async with asyncio.timeout(seconds):
            result = await test
        assert others() == set()
        # Those of the loop itself are still there.
        assert await left_behind(own) == set()
        return result

    result = asyncio.run(bounded())
    # What nobody closed says so when it is collected, and warnings are errors.
    gc.collect()
    assert sockets() == before
    assert set(threading.enumerate()) == threads
    return result


async def until(client: epode.Client, kind: type[T]) -> T:
    """The next event of that kind."""
    async for event in client:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"offline before {kind.__name__}: {client.offline}")


async def note_to_myself(client: epode.Client, text: str, seen: list[epode.Event] | None = None) -> epode.Message:
    """A message to the client itself, and back."""
    assert client.jid is not None
    await client.send_message(client.jid, text)
    async for event in client:
        if seen is not None:
            seen.append(event)
        if isinstance(event, epode.Message) and event.body == text:
            return event
    raise AssertionError(f"offline before the message: {client.offline}")


def fails(client: epode.Client) -> epode.WentOffline:
    """What a login raises that does not work."""

    async def login() -> epode.WentOffline:
        try:
            async with client:
                raise AssertionError("it logged in")
        except epode.WentOffline as error:
            return error

    error = run(login())
    assert str(error) == error.reason.sentence
    return error
