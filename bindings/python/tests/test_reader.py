"""The reader that takes the place of UniFFI's: the same values, and an error instead of bytes that are not there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from epode import _native, _reader

TEXTS = ["an id", None, "\N{ROCKET}", "chat", ""]


def text(value: str | None) -> bytes:
    if value is None:
        return b"\0"
    raw = value.encode()
    return b"\1" + struct.pack(">i", len(raw)) + raw


def stanza(kind: int = 1) -> bytes:
    return struct.pack(">i", kind) + b"".join(map(text, TEXTS)) + struct.pack(">i", 4) + b"<x/>"


def test_a_stanza() -> None:
    reader = _reader.Reader(stanza() + b"more")
    read = _reader._stanza(reader)
    assert read.kind is _native.StanzaKind.MESSAGE
    assert [read.id, read._from, read.to, read.type, read.body] == TEXTS
    assert (read.xml, reader.remaining()) == (b"<x/>", 4)


@pytest.mark.parametrize("end", range(len(stanza())))
def test_half_a_stanza(end: int) -> None:
    with pytest.raises(_native.InternalError, match="past end"):
        _reader._stanza(_reader.Reader(stanza()[:end]))


def test_what_is_no_stanza() -> None:
    broken = [stanza(0), stanza(4), stanza()[:-8] + struct.pack(">i", -1), stanza()[:4] + b"\1" + struct.pack(">i", -9)]
    for data in broken:
        with pytest.raises(_native.InternalError):
            _reader._stanza(_reader.Reader(data))


@pytest.mark.parametrize(
    ("read", "format", "value"),
    [
        (_reader.Reader.read_i8, ">b", -2),
        (_reader.Reader.read_u8, ">B", 254),
        (_reader.Reader.read_i16, ">h", -2),
        (_reader.Reader.read_u16, ">H", 65_534),
        (_reader.Reader.read_i32, ">i", -2),
        (_reader.Reader.read_u32, ">I", 1 << 31),
        (_reader.Reader.read_i64, ">q", -2),
        (_reader.Reader.read_u64, ">Q", 1 << 63),
        (_reader.Reader.read_float, ">f", 0.5),
        (_reader.Reader.read_double, ">d", 0.1),
    ],
)
def test_numbers(read: Callable[[_reader.Reader], Any], format: str, value: float) -> None:
    data = struct.pack(format, value)
    reader = _reader.Reader(data)
    assert (read(reader), reader.remaining()) == (value, 0)
    with pytest.raises(_native.InternalError):
        read(reader)
    with pytest.raises(_native.InternalError):
        read(_reader.Reader(data[:-1]))


def test_bytes() -> None:
    reader = _reader.Reader(b"abc")
    assert reader.read(2) == b"ab"
    for size in (2, -1):
        with pytest.raises(_native.InternalError):
            reader.read(size)


def test_it_is_in_use() -> None:
    assert _native.epode._UniffiRustBufferStream is _reader.Reader
