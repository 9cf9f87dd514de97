"""From the generated classes to the façade's: UniFFI's own have no ``__match_args__`` and no useful ``repr``."""

from __future__ import annotations

from typing import Final

from epode import _native
from epode.errors import ConfigurationError, EpodeError, InvalidStanza, NotOnline, StanzaTooLarge
from epode.events import (
    Answer,
    Blame,
    ChannelBinding,
    Delivery,
    Event,
    Interrupted,
    Message,
    Notice,
    Offered,
    Offline,
    Online,
    Presence,
    Profile,
    Request,
    ServerProof,
    Stage,
    Task,
    TokenRefusal,
    Transport,
)

_BLAMES: Final[dict[_native.Blame, Blame]] = {
    _native.Blame.STOPPED: "stopped",
    _native.Blame.CONNECTION: "connection",
    _native.Blame.TLS: "tls",
    _native.Blame.LOGIN: "login",
    _native.Blame.INCOMPATIBLE: "incompatible",
    _native.Blame.MISBEHAVED: "misbehaved",
    _native.Blame.ENDED: "ended",
    _native.Blame.INTERNAL: "internal",
}
_STAGES: Final[dict[_native.Stage, Stage]] = {
    _native.Stage.QUEUED: "queued",
    _native.Stage.SENT: "sent",
    _native.Stage.ACKED: "acked",
    _native.Stage.FAILED: "failed",
}
_TRANSPORTS: Final[dict[_native.TransportKind, Transport]] = {
    _native.TransportKind.TCP: "tcp",
    _native.TransportKind.WEB_SOCKET: "websocket",
    _native.TransportKind.BOSH: "bosh",
}
_PROOFS: Final[dict[_native.ServerProof, ServerProof]] = {
    _native.ServerProof.VERIFIED: "verified",
    _native.ServerProof.NONE: "none",
    _native.ServerProof.ABSENT: "absent",
}
BINDINGS: Final[dict[_native.ChannelBindingType, ChannelBinding]] = {
    _native.ChannelBindingType.TLS_EXPORTER: "tls-exporter",
    _native.ChannelBindingType.TLS_UNIQUE: "tls-unique",
    _native.ChannelBindingType.TLS_SERVER_END_POINT: "tls-server-end-point",
}
_PROFILES: Final[dict[_native.SaslProfile, Profile]] = {
    _native.SaslProfile.SASL1: "sasl1",
    _native.SaslProfile.SASL2: "sasl2",
}
ERROR_TYPES: Final = {
    "auth": _native.StanzaErrorType.AUTH,
    "cancel": _native.StanzaErrorType.CANCEL,
    "continue": _native.StanzaErrorType.CONTINUE,
    "modify": _native.StanzaErrorType.MODIFY,
    "wait": _native.StanzaErrorType.WAIT,
}
ERROR_TYPE_NAMES: Final = {kind: name for name, kind in ERROR_TYPES.items()}


def event(native: _native.Event, now: int) -> Event | Task | None:
    """The façade's event; ``None`` for those that the driver itself deals with."""
    # Nearly all of them are stanzas.
    if isinstance(native, _native.Event.STANZA):
        stanza = native.stanza
        if stanza.kind == _native.StanzaKind.MESSAGE:
            return Message(stanza._from, stanza.to, stanza.type, stanza.id, stanza.xml, stanza.body)
        return Presence(stanza._from, stanza.to, stanza.type, stanza.id, stanza.xml)
    if isinstance(native, _native.Event.ONLINE):
        return Online(
            jid=native.jid,
            mechanism=native.mechanism,
            server_proof=_PROOFS[native.server_proof],
            channel_binding=None if native.channel_binding is None else BINDINGS[native.channel_binding],
            profile=None if native.profile is None else _PROFILES[native.profile],
            resumed=native.resumed,
            client_certificate_requested=native.client_certificate_requested,
            round_trips=native.round_trips,
            transport=_TRANSPORTS[native.transport],
        )
    if isinstance(native, _native.Event.INTERRUPTED):
        retry_in = None if native.retry_at_ms is None else max(0, native.retry_at_ms - now) / 1000
        return Interrupted(_offline(native.reason), retry_in, native.resumable)
    if isinstance(native, _native.Event.OFFERED):
        return Offered(native.features, _TRANSPORTS[native.transport], native.encrypted)
    if isinstance(native, _native.Event.TASK):
        return Task(native.task, native.payload, native.text)
    if isinstance(native, _native.Event.OFFLINE):
        return _offline(native.reason)
    if isinstance(native, _native.Event.REQUEST):
        iq = native.iq
        return Request(iq._from, iq.to, iq.type, iq.id, iq.xml, native.token)
    if isinstance(native, _native.Event.DELIVERY):
        return Delivery(native.token, _STAGES[native.stage])
    if isinstance(native, _native.Event.WARNING):
        return Notice(native.code, native.sentence)
    return None


def _offline(reason: _native.OfflineReason) -> Offline:
    token = reason.token
    return Offline(
        _BLAMES[reason.blame],
        reason.code,
        reason.sentence,
        reason.condition,
        reason.text,
        reason.detail,
        token and TokenRefusal(token.status, token.scope, token.openid_configuration),
    )


class Misused(EpodeError):
    """What was said has no place now: it may be too late for it."""


def utf8(xml: str | bytes) -> bytes:
    """XML as the engine takes it."""
    try:
        return xml.encode() if isinstance(xml, str) else xml
    except UnicodeEncodeError as error:
        raise no_unicode(error) from None


def no_unicode(error: UnicodeEncodeError) -> InvalidStanza:
    """Python's text may have half of a character in it, and XML may not."""
    return InvalidStanza(f"the text has no form in UTF-8: at {error.start} stands half a character, a lone surrogate")


def answer(iq: _native.Stanza) -> Answer:
    """The answer to a request."""
    return Answer(iq._from, iq.to, iq.type, iq.id, iq.xml)


def refused(error: _native.Refused) -> EpodeError:
    """The exception for a call that was refused, but for ``Full``, which the driver waits out."""
    if isinstance(error, _native.Refused.NotStarted):
        return NotOnline("not online: the session has not begun, is interrupted, or is over")
    if isinstance(error, _native.Refused.TooLarge):
        return StanzaTooLarge(f"the stanza has {error.bytes} bytes; at most {error.maximum} are sent")
    if isinstance(error, _native.Refused.Invalid):
        return InvalidStanza(error.why)
    if isinstance(error, _native.Refused.Xml):
        return InvalidStanza(f"this is not one XML element: {error.why}")
    if isinstance(error, _native.Refused.Jid):
        return ConfigurationError(f"this is no JID: {error.why}")
    if isinstance(error, _native.Refused.Configuration | _native.Refused.Key):
        return ConfigurationError(error.why)
    if isinstance(error, _native.Refused.Misuse):
        return Misused(error.why)
    if isinstance(error, _native.Refused.Snapshot):
        return EpodeError(error.why)
    return EpodeError("the client is dead after a fault of epode's own: make a new one, and report the fault")
