"""The WebSocket link against servers that say what they should not."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode

import epode
from epode._websocket import WebSocketLink
from tests.test_links import Notes, link, listening, opening, server_context
from tests.world import run


@pytest.mark.parametrize(
    ("answer", "ends", "sentence"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: \xff\xfe\r\n\r\n", False, "invalid Upgrade header"),
        (b"220 mail.example.org ESMTP\r\n", False, "did not receive a valid HTTP response"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\nnot for you", True, "its status is 403"),
    ],
    ids=["bytes that are no text", "no HTTP", "until the end"],
)
def test_an_answer_that_is_no_websocket(pki: Path, answer: bytes, ends: bool, sentence: str) -> None:
    """It is told at once, and not when the time for the connection is up."""

    async def serve_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if ends:
            writer.close()
        else:
            await reader.read()

    async def login() -> None:
        async with listening(serve_it, server_context(pki, "1.3")) as port:
            url = f"wss://localhost:{port}/"
            async with asyncio.timeout(10), epode.connect("user01@localhost", websocket=url, password="x", ca=pki / "ca.crt"):
                pass

    with pytest.raises(epode.ConnectionFailed, match=re.escape(sentence)):
        run(login())


def test_fragments_without_anything_in_them_do_not_add_up(pki: Path) -> None:
    """RFC 6455 §5.4: a message may have any number of them, and the limit is on bytes."""
    notes = Notes()

    async def talk() -> None:
        async with listening(lambda reader, writer: reader.read(), server_context(pki, "1.3")) as port:
            opened = link("websocket", port, opening(pki, notes, max_message=1_000))
            assert isinstance(opened, WebSocketLink)
            for opcode, text, fin in [(1, b"<a>", False), *[(0, b"", False)] * 1_000, (0, b"</a>", True)]:
                opened._frame(frame(opcode, text, fin))
                assert max(len(held) for held in vars(opened).values() if isinstance(held, (list, bytearray))) <= 7
            assert list(opened._inbox) == [b"<a></a>"]
            await opened.close(0)

    run(talk())
    assert notes.end == "none"


def frame(opcode: int, text: bytes, fin: bool) -> Frame:
    return Frame(Opcode(opcode), text, fin)
