"""Where a server is, as an application writes it: ``host:port``. URLs are judged by the engine, which has to trust them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from epode.errors import ConfigurationError

#: RFC 6120 §3.2.1.
STARTTLS_PORT: Final = 5222
#: What most servers have; XEP-0368 leaves it to SRV records.
DIRECT_TLS_PORT: Final = 5223
#: RFC 1035 §4.2.
DNS_PORT: Final = 53

_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")


_Wrong: TypeAlias = Callable[[str], ConfigurationError]


@dataclass(frozen=True, slots=True)
class Address:
    """A host, of IPv6 without brackets, and a port."""

    host: str
    port: int


def parse(text: str, argument: str, default_port: int) -> Address:
    """Of ``host``, ``host:port``, ``192.0.2.1:port``, ``[2001:db8::1]:port``."""

    def wrong(why: str) -> ConfigurationError:
        return ConfigurationError(f"{argument}={text!r} is no address: {why}; it is written as host:port or [IPv6]:port")

    if not isinstance(text, str):
        raise TypeError(f"{argument} is a str as 'xmpp.example.org:{default_port}', not {type(text).__name__}")
    if "://" in text:
        raise wrong("it is a URL")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise wrong("the bracket is not closed")
    elif text.count(":") > 1:
        raise wrong("an address of IPv6 stands in brackets")
    else:
        host, colon, port = text.partition(":")
        rest = colon + port
    if rest and not rest.startswith(":"):
        raise wrong("only a port follows the bracket")
    return Address(_host(host, wrong, six=text.startswith("[")), _port(rest[1:], wrong) if rest else default_port)


def _host(host: str, wrong: _Wrong, *, six: bool) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if six:
        if not isinstance(address, ipaddress.IPv6Address):
            raise wrong("what stands in the brackets is no address of IPv6")
        return host
    if address is not None:
        return host
    try:
        # IDNA, as the resolver would write it.
        ascii = host.encode("ascii" if host.isascii() else "idna").decode("ascii")
    except UnicodeError:
        raise wrong("this is no host name") from None
    if not host or len(ascii) > 253 or _NAME.fullmatch(ascii) is None:
        raise wrong("this is no host name")
    return ascii


def _port(port: str, wrong: _Wrong) -> int:
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535 and len(port) <= 5):
        raise wrong("a port is a number from 1 to 65535")
    return int(port)
