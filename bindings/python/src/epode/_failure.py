"""What a broken connection means: from Python's exceptions to the engine's ``Failure``."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

from epode import _native

# RFC 8446 §6.2, as OpenSSL spells them: the part behind ALERT_.
_ALERTS: Final = {
    "UNEXPECTED_MESSAGE": 10,
    "BAD_RECORD_MAC": 20,
    "HANDSHAKE_FAILURE": 40,
    "NO_CERTIFICATE": 41,
    "BAD_CERTIFICATE": 42,
    "UNSUPPORTED_CERTIFICATE": 43,
    "CERTIFICATE_REVOKED": 44,
    "CERTIFICATE_EXPIRED": 45,
    "CERTIFICATE_UNKNOWN": 46,
    "ILLEGAL_PARAMETER": 47,
    "UNKNOWN_CA": 48,
    "ACCESS_DENIED": 49,
    "DECODE_ERROR": 50,
    "DECRYPT_ERROR": 51,
    "PROTOCOL_VERSION": 70,
    "INSUFFICIENT_SECURITY": 71,
    "INTERNAL_ERROR": 80,
    "INAPPROPRIATE_FALLBACK": 86,
    "USER_CANCELLED": 90,
    "MISSING_EXTENSION": 109,
    "UNRECOGNIZED_NAME": 112,
    "CERTIFICATE_REQUIRED": 116,
    "NO_APPLICATION_PROTOCOL": 120,
}

_NUMBER: Final = re.compile(r"^Multiple exceptions: \[Errno (\d+)\]")


def failure(error: BaseException) -> _native.Failure:
    """The libraries wrap what happened, and each other; the innermost cause that means something wins."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _native.Failure.CERTIFICATE_REJECTED(printable(cause.verify_message or str(cause)))
    for cause in causes:
        # That more has to be read first is no reason, but what a library was about when the connection broke.
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
            return _of_tls(cause)
    for cause in map(_first, causes):
        if isinstance(cause, socket.gaierror):
            return _native.Failure.DNS()
        if isinstance(cause, ConnectionRefusedError):
            return _native.Failure.REFUSED()
        if isinstance(cause, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
            return _native.Failure.RESET()
        if isinstance(cause, (TimeoutError, httpx.TimeoutException)):
            return _native.Failure.TIMEOUT()
        if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return _native.Failure.OTHER("there is no route to the server: is this machine on the network?")
    if any(isinstance(cause, (ssl.SSLWantReadError, ssl.SSLWantWriteError)) for cause in causes):
        return _native.Failure.RESET()
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" in str(error):
        return _native.Failure.RESET()
    if isinstance(error, httpx.NetworkError) and not isinstance(error, httpx.ConnectError):
        return _native.Failure.RESET()
    if isinstance(error, (httpx.ProtocolError, httpx.DecodingError)):
        return _native.Failure.HTTP(printable(str(error)))
    return _native.Failure.OTHER(printable(str(error)) or type(error).__name__)


def printable(text: str) -> str:
    """The sentence of a library's in which may stand what a server or the system said: bytes that are no text have no form in UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _of_tls(error: ssl.SSLError) -> _native.Failure:
    _, _, name = (error.reason or "").partition("ALERT_")
    if name in _ALERTS:
        return _native.Failure.TLS_ALERT(_ALERTS[name])
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return _native.Failure.RESET()
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"):
        return _native.Failure.OTHER("the server does not speak TLS at this port: is it the right one?")
    return _native.Failure.OTHER(f"TLS failed: {error.reason or error}")


def _first(error: BaseException) -> BaseException:
    """asyncio gives one error without a number for the addresses of a host, where each failed for itself."""
    if isinstance(error, OSError) and error.errno is None and (found := _NUMBER.search(str(error))):
        return OSError(int(found[1]), str(error))
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    pending, seen = [error], set[int]()
    while pending:
        cause = pending.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            pending.extend(cause.exceptions)
        pending.extend(next_cause for next_cause in (cause.__cause__, cause.__context__) if next_cause is not None)
