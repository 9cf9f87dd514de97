"""Reads what the engine answers in half the time of UniFFI's own reader, which cuts and unpacks each number out of foreign memory.

It takes the place of one class of the generated module, of which the generator's exact version is pinned (the workspace's ``Cargo.toml``). What it reads is
copied once, whole, so that no read can go beyond it: bytes that are not there raise what UniFFI raises.
"""

from __future__ import annotations

import ctypes
import inspect
import struct
from collections.abc import Callable
from typing import Any, Final, Self

from epode import _native

_unpack: Final[dict[str, Callable[..., tuple[Any, ...]]]] = {
    name: struct.Struct(f">{name}").unpack_from for name in "bhiqHIQfd"
}


class Reader:
    """The numbers and bytes of one answer, in order, big-endian."""

    __slots__ = ("_data", "_len", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._len = len(data)
        self._offset = 0

    @classmethod
    def from_rust_buffer(cls, buffer: Any) -> Self:
        length = buffer.len
        return cls(ctypes.string_at(buffer.data, length) if length else b"")

    def remaining(self) -> int:
        return self._len - self._offset

    def read(self, size: int) -> bytes:
        begin = self._offset
        end = begin + size
        if size < 0 or end > self._len:
            raise _past_the_end()
        self._offset = end
        return self._data[begin:end]

    def read_u8(self) -> int:
        offset = self._offset
        self._offset = offset + 1
        try:
            return self._data[offset]
        except IndexError:
            raise _past_the_end() from None

    def read_i32(self, unpack: Callable[..., tuple[Any, ...]] = _unpack["i"]) -> Any:
        offset = self._offset
        self._offset = offset + 4
        try:
            return unpack(self._data, offset)[0]
        except struct.error:
            raise _past_the_end() from None

    def _number(self, name: str, size: int) -> Any:
        offset = self._offset
        self._offset = offset + size
        try:
            return _unpack[name](self._data, offset)[0]
        except struct.error:
            raise _past_the_end() from None

    def read_i8(self) -> Any:
        return self._number("b", 1)

    def read_i16(self) -> Any:
        return self._number("h", 2)

    def read_u16(self) -> Any:
        return self._number("H", 2)

    def read_u32(self) -> Any:
        return self._number("I", 4)

    def read_i64(self) -> Any:
        return self._number("q", 8)

    def read_u64(self) -> Any:
        return self._number("Q", 8)

    def read_float(self) -> Any:
        return self._number("f", 4)

    def read_double(self) -> Any:
        return self._number("d", 8)


def _past_the_end() -> Exception:
    error: Exception = _native.InternalError("read past end of rust buffer")
    return error


#: The fields of the generated ``Stanza`` in the order in which they cross: a number, five texts that may be missing, and bytes.
_STANZA: Final = ["self", "kind", "id", "_from", "to", "type", "body", "xml"]


def _stanza(buffer: Reader, integer: Callable[..., tuple[Any, ...]] = _unpack["i"]) -> Any:
    """UniFFI's ``Stanza``, which most of what crosses is."""
    data, at, size = buffer._data, buffer._offset, buffer._len
    texts: list[str | None] = []
    try:
        kind = _KINDS[integer(data, at)[0]]
        at += 4
        for _ in range(5):
            if data[at] == 0:
                at += 1
                texts.append(None)
                continue
            (length,) = integer(data, at + 1)
            begin = at + 5
            at = begin + length
            if length < 0 or at > size:
                raise _past_the_end()
            texts.append(data[begin:at].decode())
        (length,) = integer(data, at)
    except (IndexError, KeyError, struct.error):
        raise _past_the_end() from None
    begin = at + 4
    at = begin + length
    if length < 0 or at > size:
        raise _past_the_end()
    buffer._offset = at
    id, sender, to, type, body = texts
    return _native.Stanza(kind=kind, id=id, _from=sender, to=to, type=type, body=body, xml=data[begin:at])


#: UniFFI counts variants from 1.
_KINDS: Final = dict(enumerate(_native.StanzaKind, 1))


def install() -> None:
    """Puts it into the place of UniFFI's own."""
    generated = _native.epode
    fields = list(inspect.signature(_native.Stanza.__init__).parameters)
    if fields != _STANZA or not hasattr(generated, "_UniffiRustBufferStream"):
        raise ImportError("epode: the generated module is not what this package was made for: reinstall the package")
    generated._UniffiRustBufferStream = Reader
    generated._UniffiFfiConverterTypeStanza.read = staticmethod(_stanza)
