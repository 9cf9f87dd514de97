"""Answers what the engine asks to find a server: SRV records by DNS, and host-meta over HTTPS (XEP-0156)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from epode import _address, _native
from epode._bosh import HEADERS, TooLarge, read_whole
from epode._failure import failure
from epode._tls import HTTP, Tls

if TYPE_CHECKING:
    from collections.abc import Sequence


async def answer(
    question: _native.Question, tls: Tls, name_servers: Sequence[_address.Address], seconds: float
) -> _native.Resolution:
    """The answer, or why there is none."""
    if isinstance(question, _native.Question.SRV):
        return await _srv(question.name, name_servers, seconds)
    return await _document(question.url, question.max_bytes, tls, seconds)


async def _srv(name: str, name_servers: Sequence[_address.Address], seconds: float) -> _native.Resolution:
    # It takes a tenth of a second to import, and who gives an address never needs it.
    import dns.asyncresolver
    import dns.exception
    import dns.nameserver
    import dns.resolver

    try:
        # The system's are read for each question: a device that moves gets other ones.
        resolver = dns.asyncresolver.Resolver(configure=not name_servers)
        if name_servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port) for server in name_servers]
        # The name is whole: no search list applies to it.
        answer = await resolver.resolve(name.rstrip(".") + ".", "SRV", lifetime=seconds, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        # RFC 2308 §2.1: that there is none is an answer too.
        return _native.Resolution.RECORDS([])
    except dns.resolver.NoResolverConfiguration:
        return _native.Resolution.FAILED(_native.Failure.OTHER("no name server is known on this machine"))
    except dns.resolver.LifetimeTimeout:
        return _native.Resolution.FAILED(_native.Failure.TIMEOUT())
    except (dns.exception.DNSException, OSError, ValueError):
        return _native.Resolution.FAILED(_native.Failure.DNS())
    records = [
        _native.SrvRecord(
            priority=record.priority,
            weight=record.weight,
            port=record.port,
            target=record.target.to_text(omit_final_dot=True),
        )
        for record in answer
    ]
    return _native.Resolution.RECORDS(records)


async def _document(url: str, max_bytes: int, tls: Tls, seconds: float) -> _native.Resolution:
    # It is somebody else's server perhaps: the client certificate is not for it.
    context = tls.context(HTTP, identified=False)
    try:
        async with (
            httpx.AsyncClient(verify=context, headers=HEADERS, trust_env=False, follow_redirects=False, timeout=seconds) as http,
            http.stream("GET", url) as response,
        ):
            if response.status_code != 200:
                why = f"the status of {url} is {response.status_code}"
                return _native.Resolution.FAILED(_native.Failure.HTTP(why))
            return _native.Resolution.DOCUMENT(await read_whole(response, max_bytes))
    except TooLarge:
        return _native.Resolution.FAILED(_native.Failure.HTTP(f"it is larger than {max_bytes} bytes"))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ExceptionGroup) as error:
        return _native.Resolution.FAILED(failure(error))
