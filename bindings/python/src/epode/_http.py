"""One BOSH link: posts bodies over HTTPS, and says what came of each. It decides nothing: resends and their times are the engine's."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

import httpx

from epode import _native
from epode._binding import server_end_point

_HEADERS: Final = {
    "Content-Type": "text/xml; charset=utf-8",
    # What a compressed answer unpacks to would have to be bounded a second time.
    "Accept-Encoding": "identity",
    "User-Agent": "epode",
}

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


class Answer:
    """One HTTP answer, whole, and the facts of the connection that carried it."""

    __slots__ = ("body", "status", "tls")

    def __init__(self, status: int, body: bytes, tls: _native.TlsFacts | None) -> None:
        self.status = status
        self.body = body
        self.tls = tls


Deliver = Callable[[int, "Answer | _native.Failure"], None]


class Link:
    """Requests of one BOSH session. ``deliver`` gets a request's id, and its answer or how it failed."""

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext,
        max_message: int,
        may_read: asyncio.Event,
        deliver: Deliver,
    ) -> None:
        self._url = url
        self._context = context
        self._max_message = max_message
        self._may_read = may_read
        self._deliver = deliver
        # What the login is bound to: every connection has to show it.
        self._certificate: bytes | None = None
        self._looking: asyncio.Task[None] | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._http = httpx.AsyncClient(
            verify=context,
            headers=_HEADERS,
            # Proxies and certificates from the environment would be decided by whoever sets it.
            trust_env=False,
            follow_redirects=False,
            # The engine owns every timeout, and says Abandon.
            timeout=None,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=60),
        )

    async def look(self) -> bytes | None | _native.Failure:
        """Connects once to see the server's certificate: the channel binding of it, if it has one."""
        self._looking = asyncio.current_task()
        url = httpx.URL(self._url)
        try:
            host = url.raw_host.decode("ascii")
            _, writer = await asyncio.open_connection(host, url.port or 443, ssl=self._context)
        except (ssl.SSLError, OSError) as error:
            return _failure(error)
        finally:
            self._looking = None
        tls = writer.get_extra_info("ssl_object")
        certificate: bytes | None = tls.getpeercert(binary_form=True)
        # Nobody waits for the goodbye of a connection that carried nothing.
        writer.transport.abort()
        self._certificate = certificate
        return None if certificate is None else server_end_point(certificate)

    def post(self, request: int, body: bytes) -> None:
        """Posts the body; several may be open at once."""
        task = asyncio.get_running_loop().create_task(self._post(request, body), name=f"epode request {request}")
        self._tasks[request] = task
        task.add_done_callback(lambda _: self._tasks.pop(request, None))

    def abandon(self, request: int) -> None:
        """The answer is not wanted any more."""
        if task := self._tasks.get(request):
            task.cancel()

    async def close(self, flush: float) -> None:
        """Lets what is still open go out, for at most so many seconds, then closes the connections."""
        if self._looking is not None:
            self._looking.cancel()
        try:
            if self._tasks and flush > 0:
                await asyncio.wait(list(self._tasks.values()), timeout=flush)
        finally:
            open_tasks = list(self._tasks.values())
            for task in open_tasks:
                task.cancel()
            await asyncio.gather(*open_tasks, return_exceptions=True)
            await self._http.aclose()

    async def _post(self, request: int, body: bytes) -> None:
        outcome: Answer | _native.Failure
        try:
            outcome = await self._exchange(body)
        except _AnotherCertificate:
            outcome = _native.Failure.CERTIFICATE_REJECTED("it is another one than that which the login is bound to")
        except _TooLarge:
            outcome = _native.Failure.HTTP(f"it is larger than {self._max_message} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ExceptionGroup) as error:
            outcome = _failure(error)
        # While the application is slow, answers stay here, and those are few.
        await self._may_read.wait()
        self._deliver(request, outcome)

    async def _exchange(self, body: bytes) -> Answer:
        async with self._http.stream("POST", self._url, content=body) as response:
            tls = self._facts(response)
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding.lower() not in ("", "identity"):
                raise httpx.DecodingError(f"it is compressed ({encoding!r}), though that was not allowed")
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > self._max_message:
                    raise _TooLarge
            return Answer(response.status_code, bytes(received), tls)


    def _facts(self, response: httpx.Response) -> _native.TlsFacts | None:
        stream = response.extensions.get("network_stream")
        tls = stream.get_extra_info("ssl_object") if stream is not None else None
        if tls is None:
            return None
        certificate = tls.getpeercert(binary_form=True)
        if self._certificate is not None and certificate != self._certificate:
            raise _AnotherCertificate
        version = tls.version()
        return _native.TlsFacts(
            version=version.removeprefix("TLSv") if version else None,
            server_certificate_sha256=hashlib.sha256(certificate).digest() if certificate else None,
            # Python's ssl does not tell whether the server asked for one.
            client_certificate_requested=None,
        )


class _TooLarge(Exception):
    """An answer above the limit."""


class _AnotherCertificate(Exception):
    """A connection that shows another certificate than the one that was looked at."""


def _failure(error: BaseException) -> _native.Failure:
    """The libraries wrap what happened, and each other; the innermost cause that means something wins."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _native.Failure.CERTIFICATE_REJECTED(cause.verify_message or str(cause))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            _, _, name = (cause.reason or "").partition("ALERT_")
            if name in _ALERTS:
                return _native.Failure.TLS_ALERT(_ALERTS[name])
            if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
                return _native.Failure.RESET()
            return _native.Failure.OTHER(f"TLS failed: {cause.reason or cause}")
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return _native.Failure.DNS()
        if isinstance(cause, ConnectionRefusedError):
            return _native.Failure.REFUSED()
        if isinstance(cause, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
            return _native.Failure.RESET()
        if isinstance(cause, (TimeoutError, httpx.TimeoutException)):
            return _native.Failure.TIMEOUT()
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" in str(error):
        return _native.Failure.RESET()
    if isinstance(error, httpx.NetworkError) and not isinstance(error, httpx.ConnectError):
        return _native.Failure.RESET()
    if isinstance(error, (httpx.ProtocolError, httpx.DecodingError)):
        return _native.Failure.HTTP(str(error))
    return _native.Failure.OTHER(str(error) or type(error).__name__)


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
