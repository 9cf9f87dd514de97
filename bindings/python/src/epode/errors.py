"""What can be raised. ``str()`` of each is a sentence for a person."""

from __future__ import annotations

from epode.events import Offline


class EpodeError(Exception):
    """Every error of this package."""


class ConfigurationError(EpodeError, ValueError):
    """What was given cannot work: a JID, a URL, a certificate file."""


class NotOnline(EpodeError):
    """There is no session to send on."""


class InvalidStanza(EpodeError, ValueError):
    """The XML is not a stanza that can be sent like this."""


class StanzaTooLarge(EpodeError, ValueError):
    """The stanza is larger than a server can be expected to take."""


class WentOffline(EpodeError):
    """The session is over, or never began; the class says who is to blame, ``reason`` has the details."""

    def __init__(self, reason: Offline) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


class ConnectionFailed(WentOffline):
    """The server could not be reached, or the connection broke."""


class TlsFailed(WentOffline):
    """TLS, or a certificate."""


class LoginFailed(WentOffline):
    """The server refused the login, or it cannot be done with what was given. Trying again will not help."""


class TokenRefused(LoginFailed):
    """The server refused the access token: get another one. ``reason.token`` is what it says of it."""


class ServerIncompatible(WentOffline):
    """The server lacks something that is needed."""


class ServerMisbehaved(WentOffline):
    """The server broke the protocol."""


class SessionEnded(WentOffline):
    """The server ended the session."""


class InternalFault(WentOffline):
    """A fault of epode's own: make a new client, and please report it."""


class RequestFailed(EpodeError):
    """The entity answered a request with an error (RFC 6120 §8.3)."""

    def __init__(self, condition: str, type: str, text: str | None) -> None:
        super().__init__(f"the request was refused: {condition}" + (f" ({text!r})" if text else ""))
        self.condition = condition
        self.type = type
        self.text = text


class RequestTimedOut(EpodeError, TimeoutError):
    """No answer to a request in time."""


def went_offline(reason: Offline) -> WentOffline:
    """The exception for a reason."""
    classes: dict[str, type[WentOffline]] = {
        "connection": ConnectionFailed,
        "tls": TlsFailed,
        "login": LoginFailed,
        "incompatible": ServerIncompatible,
        "misbehaved": ServerMisbehaved,
        "ended": SessionEnded,
        "internal": InternalFault,
    }
    if reason.code == "token_refused":
        return TokenRefused(reason)
    return classes.get(reason.blame, WentOffline)(reason)
