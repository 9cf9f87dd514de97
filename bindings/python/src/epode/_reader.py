"""Reads what the engine answers in half the time of UniFFI's own reader, which cuts and unpacks each number out of foreign memory.

It takes the place of one class of the generated module, of which the generator's exact version is pinned (``ffi/uniffi/Cargo.toml``). What it reads is
copied once, whole, so that no read can go beyond it: bytes that are not there raise what UniFFI raises.
"""

from __future__ import annotations

import ctypes
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


def _optional_text(buffer: Reader) -> str | None:
    """UniFFI's ``Optional[str]``, of which each stanza has five: a byte, then a length, then UTF-8."""
    data, offset = buffer._data, buffer._offset
    flag = buffer.read_u8()
    if flag == 0:
        return None
    if flag != 1:
        raise _native.InternalError("Unexpected flag byte for optional type")
    (length,) = _unpack["i"](data, offset + 1) if offset + 5 <= buffer._len else (-1,)
    begin = offset + 5
    end = begin + length
    if length < 0 or end > buffer._len:
        raise _past_the_end()
    buffer._offset = end
    return data[begin:end].decode("utf-8")


def install() -> None:
    """Puts it into the place of UniFFI's own."""
    generated = _native.epode
    if not hasattr(generated, "_UniffiRustBufferStream") or not hasattr(generated, "_UniffiFfiConverterOptionalString"):
        raise ImportError("epode: the generated module is another generator's: reinstall the package")
    generated._UniffiRustBufferStream = Reader
    generated._UniffiFfiConverterOptionalString.read = staticmethod(_optional_text)
