"""TLS by Python's ``ssl``: whom it trusts, what it presents, and what it knows of a connection afterwards."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final

from epode import _native
from epode._certificate import check_identity, server_end_point
from epode.errors import ConfigurationError

#: XEP-0368 §2: what ALPN calls XMPP on a connection that begins with TLS.
XMPP: Final = "xmpp-client"
HTTP: Final = "http/1.1"

_VERSIONS: Final = {"TLSv1.2": "1.2", "TLSv1.3": "1.3"}


class Tls:
    """The contexts of one client. Each protocol of ALPN has its own, with the client certificate and without: a context is shared by
    connections, and a library that is given one may change it.
    """

    def __init__(
        self,
        *,
        ca: str | os.PathLike[str] | None = None,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        key_password: str | bytes | None = None,
        allow_invalid: bool = False,
    ) -> None:
        self._authorities = None if ca is None else _authorities(Path(ca))
        self._contexts: dict[tuple[str | None, bool], ssl.SSLContext] = {}
        #: The client certificate (DER): the engine reads the names in it (XEP-0178).
        self.certificate: bytes | None = None
        if certificate is not None:
            self.certificate = _leaf(Path(certificate))
            if not allow_invalid:
                check_identity(self.certificate, os.fspath(certificate))
            for alpn in (None, XMPP, HTTP):
                # Now, while the files are what the application looked at.
                self._contexts[alpn, True] = self._make(alpn)
                _load_identity(self._contexts[alpn, True], Path(certificate), key, key_password)

    def context(self, alpn: str | None, *, identified: bool) -> ssl.SSLContext:
        """The context for connections with this protocol, which present the client certificate if asked, and if there is one."""
        which = alpn, identified and self.certificate is not None
        if which not in self._contexts:
            self._contexts[which] = self._make(alpn)
        return self._contexts[which]

    def _make(self, alpn: str | None) -> ssl.SSLContext:
        # Not create_default_context, which writes the keys of every connection to a file if the environment names one.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # No connection resumes another: the server judges by the certificate of this one. That, and no renegotiation, is also what
        # tls-unique needs where nobody can tell whether the extended master secret was negotiated (RFC 7627 §1).
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        if self._authorities is not None:
            context.load_verify_locations(cadata=self._authorities)
        else:
            _trust_the_system(context)
        if alpn is not None:
            context.set_alpn_protocols([alpn])
        return context

    def info(self, connection: ssl.SSLObject, server_name: str, *, identified: bool, subprotocol: str | None = None) -> _native.LinkInfo:
        """What the engine is told of a connection whose handshake is done, and that carries the whole link."""
        return _native.LinkInfo(
            encrypted=True,
            # The context verified the certificate for this name, or there were no connection.
            verified=_native.Verified.HOST(server_name),
            tls_version=_VERSIONS.get(connection.version() or ""),
            client_certificate=self.certificate if identified else None,
            alpn=connection.selected_alpn_protocol(),
            subprotocol=subprotocol,
            channel_bindings=_channel_bindings(connection),
        )


def _channel_bindings(connection: ssl.SSLObject) -> _native.ChannelBindings:
    leaf = connection.getpeercert(binary_form=True)
    unique = exporter = None
    # RFC 9266 §1: tls-unique is not defined for TLS 1.3.
    if connection.version() == "TLSv1.2":
        unique = connection.get_channel_binding("tls-unique")
    elif "tls-exporter" in ssl.CHANNEL_BINDING_TYPES:
        # No release up to 3.14 has it. With TLS 1.2 it would need the extended master secret.
        exporter = connection.get_channel_binding("tls-exporter")
    return _native.ChannelBindings(
        tls_exporter=exporter,
        tls_unique=unique,
        tls_server_end_point=None if leaf is None else server_end_point(leaf),
    )


def _authorities(path: Path) -> str:
    try:
        # Only what is PEM counts: the rest is for people, in any alphabet.
        text = path.read_text(encoding="ascii", errors="ignore")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"the file of authorities {os.fspath(path)!r} cannot be used: {_why(error)}") from error
    return text


def _trust_the_system(context: ssl.SSLContext) -> None:
    if os.name == "nt":
        context.load_default_certs()
        return
    # The places that OpenSSL was built with: its own function would let the environment name others.
    paths = ssl.get_default_verify_paths()
    file = paths.openssl_cafile if os.path.isfile(paths.openssl_cafile) else None
    folder = paths.openssl_capath if os.path.isdir(paths.openssl_capath) else None
    if file is not None or folder is not None:
        context.load_verify_locations(file, folder)


def _leaf(path: Path) -> bytes:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        return ssl.PEM_cert_to_DER_cert(text[text.index(begin) : text.index(end) + len(end)])
    except (OSError, ValueError) as error:
        why = "there is no PEM certificate in it" if isinstance(error, ValueError) else _why(error)
        raise ConfigurationError(f"the certificate {os.fspath(path)!r} cannot be used: {why}") from error


def _load_identity(
    context: ssl.SSLContext, certificate: Path, key: str | os.PathLike[str] | None, key_password: str | bytes | None
) -> None:
    # Without a password OpenSSL would ask on the terminal, and an event loop would wait for a person.
    password = b"" if key_password is None else key_password
    try:
        context.load_cert_chain(certificate, key, password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"the certificate {os.fspath(certificate)!r} cannot be used: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not the one of the certificate"
        return "no PEM in it, or the wrong pass phrase" if error.reason is None else error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return str(error)
