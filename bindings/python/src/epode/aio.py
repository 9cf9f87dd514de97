"""``connect``: from what an application gives to a client that is ready to log in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from epode import _address, _convert, _login, _native
from epode._client import Client, TaskHandler
from epode._state import State
from epode._tls import Tls
from epode.errors import ConfigurationError, EpodeError
from epode.policy import Policy, UserAgent

__all__ = ["Client", "TaskHandler", "connect"]


def connect(
    jid: str,
    *,
    tcp: str | None = None,
    direct_tls: str | None = None,
    websocket: str | None = None,
    bosh: str | None = None,
    name_servers: Iterable[str] = (),
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    key_password: str | bytes | None = None,
    password: str | bytes | None = None,
    access_token: str | bytes | None = None,
    scram_key: bytes | None = None,
    anonymous: bool = False,
    new_account: bool = False,
    ca: str | os.PathLike[str] | None = None,
    allow_invalid_certificate: bool = False,
    allow_plain: bool = False,
    policy: Policy | None = None,
    state: str | os.PathLike[str] | None = None,
    fast: Literal["use", "off", "invalidate"] = "use",
    user_agent: UserAgent | None = None,
    tag: str = "epode",
    carbons: bool = False,
    tasks: Mapping[str, TaskHandler] | None = None,
    answers: Iterable[str] = (),
    available: bool = True,
    reconnect: bool = True,
) -> Client:
    """A client for the account ``jid``, to be used with ``async with``, which logs in and at the end says goodbye.

    Where the server is: ``direct_tls`` is the ``host:port`` of a connection that begins with TLS (XEP-0368), ``tcp`` of one with STARTTLS
    (RFC 6120); ports are 5223 and 5222 if left out; an address of IPv6 stands in brackets. ``websocket`` is a wss URL (RFC 7395), ``bosh`` an
    https URL (XEP-0124). Of several, each is tried in this order until one connects: ``direct_tls``, ``tcp``, ``websocket``, ``bosh``. Without any,
    the server is found by its domain: SRV records (RFC 6120 §3.2.1, XEP-0368) from the system's name servers, or from ``name_servers``
    (``address:port``, 53 if left out), then host-meta over HTTPS (XEP-0156). Over TCP the server's certificate has to be valid for the domain
    of ``jid``, over the others for the URL's host.

    ``certificate`` and ``key`` are PEM files (the key may be in the first),
    ``password`` is the account's: a certificate alone logs in by SASL EXTERNAL, a password alone by SCRAM, both by SCRAM on a connection
    that presents the certificate. A certificate that has expired, is not valid yet, or is not for clients is refused here, unless
    ``allow_invalid_certificate`` leaves that to the server. ``ca`` is a PEM file of the authorities that may vouch for the server; without
    it, the system's.

    Instead of these: ``access_token`` is an OAuth 2.0 token (OAUTHBEARER); ``scram_key`` what :attr:`Client.scram_key` gave after an earlier
    login with the password; ``anonymous`` logs in to no account, and ``jid`` is the server's domain; ``new_account`` registers the account
    with ``password`` before it logs in (XEP-0077).

    ``state`` is a folder that keeps what the next process may use: the server's login token (XEP-0484), which with no other credentials is
    what logs in, and what is known of the server. Nobody else may read it. ``fast="off"`` neither asks for a token nor uses it, ``"invalidate"``
    uses it a last time. ``policy`` says which mechanisms may be used; ``allow_plain`` also allows SASL PLAIN, which shows the server the
    password. ``user_agent``, ``tag`` and ``carbons`` go to servers with SASL2 and Bind 2 (XEP-0388, XEP-0386): what the client is called, a part of
    the resource's name, and whether messages of the account's other devices are copied here. ``tasks`` does what the server wants besides
    the credentials, by the name of the task; what it raises ends the login.

    ``answers`` are the namespaces of requests that the
    application answers. ``available`` sends initial presence, without which servers route no messages to the account.
    ``reconnect`` connects again when the link is gone after a login (:class:`Interrupted`), unless trying again cannot help; without it, that
    is the end.

    Raises :class:`ConfigurationError` for what cannot work. Nothing is sent yet.
    """
    transports = _transports(direct_tls=direct_tls, tcp=tcp, websocket=websocket, bosh=bosh)
    servers = [_address.parse(server, "name_servers", _address.DNS_PORT) for server in name_servers]
    if certificate is None and key is not None:
        raise ConfigurationError("a key was given without a certificate")
    tls = Tls(
        ca=ca, certificate=certificate, key=key, key_password=key_password, allow_invalid=allow_invalid_certificate
    )
    credentials = _login.credentials(
        der=tls.certificate,
        password=password,
        access_token=access_token,
        scram_key=scram_key,
        new_account=new_account,
        anonymous=anonymous,
        kept_token=state is not None,
    )
    if fast not in ("use", "off", "invalidate"):
        raise ConfigurationError(f"fast={fast!r} is not one of use, off, invalidate")
    agent = user_agent or UserAgent()
    kept = None if state is None else State(state)
    config = _native.Config(
        jid=jid,
        credentials=credentials,
        transports=transports,
        mechanisms=(policy or Policy())._native(allow_plain=allow_plain),
        reconnect=_native.Reconnect(
            when=_native.ReconnectWhen.AFTER_ONLINE if reconnect else _native.ReconnectWhen.NEVER
        ),
        persist=None if kept is None else _native.Persist.ON_SUSPEND,
        user_agent=_native.UserAgent(id=agent.id, software=agent.software, device=agent.device),
        fast=_native.Fast[fast.upper()],
        bind=_native.Bind(tag=tag, carbons=carbons),
        # The loop goes on meanwhile.
        key_derivation=_native.KeyDerivation.HOST,
        tasks=list(tasks or ()),
        answers=list(answers),
    )
    # With these nothing is bound to the connection, whose certificate need not be looked at before BOSH's first request.
    binds = not (anonymous or access_token is not None or (tls.certificate is not None and password is None))
    try:
        engine = _native.Client(config, os.urandom(32))
    except _native.Refused as error:
        raise _convert.refused(error) from None
    except ValueError as error:
        # A number that does not fit, or text with half a character in it.
        raise ConfigurationError(f"something in the configuration cannot be passed on: {error}") from None
    except _native.InternalError:
        # What a panic says can quote what it was about, a password among it.
        raise EpodeError("epode has a bug: please report what led to this") from None
    client = Client(
        engine, tls, available=available, binds=binds, state=kept, tasks=tasks, name_servers=servers
    )
    client._turns.restore()
    return client


def _transports(
    *, direct_tls: str | None, tcp: str | None, websocket: str | None, bosh: str | None
) -> list[_native.Transport]:
    """In the order in which they are tried."""
    make = _native.Transport
    transports: list[Any] = []
    if direct_tls is not None:
        address = _address.parse(direct_tls, "direct_tls", _address.DIRECT_TLS_PORT)
        transports.append(make.TCP(address.host, address.port, _native.TcpTls.DIRECT))
    if tcp is not None:
        address = _address.parse(tcp, "tcp", _address.STARTTLS_PORT)
        transports.append(make.TCP(address.host, address.port, _native.TcpTls.START_TLS))
    if websocket is not None:
        transports.append(make.WEB_SOCKET(_url(websocket, "websocket", "wss")))
    if bosh is not None:
        transports.append(make.BOSH(_native.Bosh(url=_url(bosh, "bosh", "https"))))
    return transports or [make.DISCOVER(True, True, True)]


def _url(text: str, argument: str, scheme: str) -> str:
    """What else is in it is for the engine to judge, which has to trust it."""
    if not isinstance(text, str):
        raise TypeError(f"{argument} is a str as '{scheme}://xmpp.example.org/...', not {type(text).__name__}")
    found, separator, _ = text.partition("://")
    plain = {"wss": "ws", "https": "http"}[scheme]
    if not separator or found.lower() not in (scheme, plain):
        raise ConfigurationError(f"{argument}={text!r} is no URL that begins with {scheme}://")
    return text
