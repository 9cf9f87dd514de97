"""epode: an XMPP client for asyncio, on an engine that does no I/O.

::

    async with epode.connect("user01@example.org", bosh=url, certificate="user01.crt", key="user01.key") as client:
        await client.send_message("user02@example.org", "Hello")
        async for event in client:
            match event:
                case epode.Message(sender=sender, body=str(body)):
                    print(sender, body)

See ``README.md`` of the package for threads, ownership and errors.
"""

from importlib.metadata import version as _version

from epode import _native
from epode.aio import Client, TaskHandler, connect
from epode.errors import (
    ConfigurationError,
    ConnectionFailed,
    EpodeError,
    InternalFault,
    InvalidStanza,
    LoginFailed,
    NotOnline,
    RequestFailed,
    RequestTimedOut,
    ServerIncompatible,
    ServerMisbehaved,
    SessionEnded,
    StanzaTooLarge,
    TlsFailed,
    TokenRefused,
    WentOffline,
)
from epode.events import (
    Answer,
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
    Task,
    TokenRefusal,
    Transport,
)
from epode.policy import DigestMd5, Policy, UserAgent

__all__ = [
    "Answer",
    "Client",
    "ConfigurationError",
    "ConnectionFailed",
    "Delivery",
    "DigestMd5",
    "EpodeError",
    "Event",
    "InternalFault",
    "Interrupted",
    "InvalidStanza",
    "LoginFailed",
    "Message",
    "Notice",
    "NotOnline",
    "Offered",
    "Offline",
    "Online",
    "Policy",
    "Presence",
    "Request",
    "RequestFailed",
    "RequestTimedOut",
    "ServerIncompatible",
    "ServerMisbehaved",
    "SessionEnded",
    "Stage",
    "StanzaTooLarge",
    "Task",
    "TaskHandler",
    "TlsFailed",
    "TokenRefusal",
    "TokenRefused",
    "Transport",
    "UserAgent",
    "WentOffline",
    "connect",
]

__version__ = _version("epode")


def check_version(library: str) -> None:
    """Raises ``ImportError`` if the compiled library is of another version than this package.

    UniFFI's own checksums are not compared in Python, so that a mixture of two versions would misread memory instead of failing.
    """
    if library != __version__:
        raise ImportError(
            f"epode {__version__} was installed beside a compiled library of version {library}: reinstall the package"
        )


check_version(_native.epode_version())
