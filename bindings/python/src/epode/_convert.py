"""From the generated classes to the façade's: UniFFI's own have no ``__match_args__`` and no useful ``repr``."""

from __future__ import annotations

from typing import Final

from epode import _native
from epode.errors import ConfigurationError, EpodeError, InvalidStanza, NotOnline, StanzaTooLarge
from epode.events import (
    Answer,
    Blame,
    Delivery,
    Event,
    Interrupted,
    Message,
    Notice,
    Offered,
    Offline,
    Online,
    Presence,
    Request,
    Stage,
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
ERROR_TYPES: Final = {
    "auth": _native.StanzaErrorType.AUTH,
    "cancel": _native.StanzaErrorType.CANCEL,
    "continue": _native.StanzaErrorType.CONTINUE,
    "modify": _native.StanzaErrorType.MODIFY,
    "wait": _native.StanzaErrorType.WAIT,
}
ERROR_TYPE_NAMES: Final = {kind: name for name, kind in ERROR_TYPES.items()}


def event(native: _native.Event, now: int) -> Event | None:
    """The façade's event; ``None`` for those that the driver itself deals with."""
    if isinstance(native, _native.Event.ONLINE):
        return Online(
            jid=native.jid,
            mechanism=native.mechanism,
            server_proved=native.server_proof == _native.ServerProof.VERIFIED,
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
    if isinstance(native, _native.Event.OFFLINE):
        return _offline(native.reason)
    if isinstance(native, _native.Event.STANZA):
        stanza = native.stanza
        if stanza.kind == _native.StanzaKind.MESSAGE:
            return Message(stanza._from, stanza.to, stanza.type, stanza.id, stanza.xml, stanza.body)
        return Presence(stanza._from, stanza.to, stanza.type, stanza.id, stanza.xml)
    if isinstance(native, _native.Event.REQUEST):
        iq = native.iq
        return Request(iq._from, iq.to, iq.type, iq.id, iq.xml, native.token)
    if isinstance(native, _native.Event.DELIVERY):
        return Delivery(native.token, _STAGES[native.stage])
    if isinstance(native, _native.Event.WARNING):
        return Notice(native.code, native.sentence)
    return None


def _offline(reason: _native.OfflineReason) -> Offline:
    return Offline(_BLAMES[reason.blame], reason.code, reason.sentence, reason.condition, reason.text)


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
    if isinstance(error, _native.Refused.Configuration):
        return ConfigurationError(error.why)
    if isinstance(error, _native.Refused.Misuse | _native.Refused.Snapshot):
        return EpodeError(error.why)
    return EpodeError("the client is dead after a fault of epode's own: make a new one, and report the fault")
