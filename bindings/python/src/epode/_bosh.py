"""One BOSH link: posts bodies over HTTPS, and says what came of each. It decides nothing: resends and their times are the engine's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from epode import _native
from epode._certificate import server_end_point
from epode._failure import failure
from epode._link import Link, Opening
from epode._tls import HTTP

#: Of every HTTP request of this package.
HEADERS: Final = {
    # What a compressed answer unpacks to would have to be bounded a second time.
    "Accept-Encoding": "identity",
    "User-Agent": "epode",
}


class BoshLink(Link):
    """Requests of one BOSH session. ``binds``: the login may be bound to the server's certificate, which has to be seen before."""

    def __init__(self, opening: Opening, endpoint: _native.Endpoint, *, binds: bool) -> None:
        self._opening = opening
        self._url: str = endpoint.url
        self._context = opening.tls.context(HTTP, identified=opening.identified)
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._closed = False
        # What the login is bound to: every connection has to show it.
        self._certificate: bytes | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._http = httpx.AsyncClient(
            verify=self._context,
            headers={"Content-Type": "text/xml; charset=utf-8", **HEADERS},
            # Proxies and certificates from the environment would be decided by whoever sets it.
            trust_env=False,
            follow_redirects=False,
            # None is kept: the session is known by its sid, and a server could make the jar as large as it likes.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # The engine owns every timeout, and says Abandon.
            timeout=None,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=60),
        )
        self._opening_task = asyncio.get_running_loop().create_task(self._open(binds), name=f"epode link {opening.link}")

    def order(self, output: _native.Output) -> None:
        if isinstance(output, _native.Output.POST):
            self._post(output.request, output.body)
        elif isinstance(output, _native.Output.ABANDON) and (task := self._tasks.get(output.request)):
            task.cancel()

    def read(self, reading: bool) -> None:
        if reading:
            self._may_read.set()
        else:
            self._may_read.clear()

    async def close(self, flush: float) -> None:
        self._closed = True
        self._may_read.set()
        try:
            if self._tasks and flush > 0:
                await asyncio.wait(list(self._tasks.values()), timeout=flush)
        finally:
            open_tasks = [self._opening_task, *self._tasks.values()]
            for task in open_tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*open_tasks, return_exceptions=True)
            await self._http.aclose()

    # ---- the certificate

    async def _open(self, binds: bool) -> None:
        # A loop may begin its tasks at once (asyncio.eager_task_factory): within the turn that asked for the link, nobody knows it yet.
        await asyncio.sleep(0)
        end_point = None
        if binds:
            try:
                end_point = await self._look()
            except (OSError, ValueError, ExceptionGroup, httpx.InvalidURL) as error:
                self._opening.desk.failed(self._opening.link, None, failure(error))
                return
        opening = self._opening
        # The context verifies the server's certificate for the URL's host on every connection, or the request fails.
        info = _native.LinkInfo(
            encrypted=True,
            verified=_native.Verified.HOST(opening.server_name),
            client_certificate=opening.tls.certificate if opening.identified else None,
            # Requests go over several connections, which have no more in common than the certificate.
            channel_bindings=_native.ChannelBindings(tls_server_end_point=end_point),
        )
        opening.desk.connected(opening.link, info)

    async def _look(self) -> bytes | None:
        """Connects once to see the server's certificate: the channel binding of it, if it has one."""
        url = httpx.URL(self._url)
        host = url.raw_host.decode("ascii")
        _, writer = await asyncio.open_connection(host, url.port or 443, ssl=self._context)
        try:
            certificate: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            # Nobody waits for the goodbye of a connection that carried nothing.
            writer.transport.abort()
        self._certificate = certificate
        return None if certificate is None else server_end_point(certificate)

    # ---- requests

    def _post(self, request: int, body: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._exchange(request, body), name=f"epode request {request}")
        self._tasks[request] = task
        task.add_done_callback(lambda _: self._tasks.pop(request, None))

    async def _exchange(self, request: int, body: bytes) -> None:
        broken: _native.Failure | None = None
        try:
            status, answer, tls = await self._answer(body)
        except _AnotherCertificate:
            broken = _native.Failure.CERTIFICATE_REJECTED("it is another one than that which the login is bound to")
        except TooLarge:
            broken = _native.Failure.HTTP(f"it is larger than {self._opening.max_message} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ExceptionGroup) as error:
            broken = failure(error)
        # While the application is slow, answers stay here, and those are few.
        await self._may_read.wait()
        if self._closed:
            return
        if broken is not None:
            self._opening.desk.failed(self._opening.link, request, broken)
        else:
            self._opening.desk.responded(self._opening.link, request, status, answer, tls)

    async def _answer(self, body: bytes) -> tuple[int, bytes, _native.TlsFacts | None]:
        async with self._http.stream("POST", self._url, content=body) as response:
            tls = self._facts(response)
            return response.status_code, await read_whole(response, self._opening.max_message), tls

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


async def read_whole(response: httpx.Response, most: int) -> bytes:
    """The body of an answer, which has at most so many bytes and is not compressed."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() not in ("", "identity"):
        raise httpx.DecodingError(f"it is compressed ({encoding!r}), though that was not allowed")
    received = bytearray()
    async for chunk in response.aiter_raw():
        received += chunk
        if len(received) > most:
            raise TooLarge
    return bytes(received)


class TooLarge(Exception):
    """An answer above the limit."""


class _AnotherCertificate(Exception):
    """A connection that shows another certificate than the one that was looked at."""
