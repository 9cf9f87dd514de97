"""epode: an XMPP client for asyncio, on an engine that does no I/O.

::

    async with epode.connect("user01@example.org", certificate="user01.crt", key="user01.key") as client:
        await client.send_message("user02@example.org", "Hello")
        async for event in client:
            match event:
                case epode.Message(sender=sender, body=str(body)):
                    print(sender, body)

See ``README.md`` of the package for threads, ownership and errors.
"""

from importlib.metadata import version as _version
from typing import Any

from epode import _native, _reader
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


def check_library(version: str, generated: Any) -> None:
    """Raises ``ImportError`` if the compiled library is of another version than this package, or not the one that ``_native`` was made for.

    UniFFI compares only its own format when it is imported, and leaves the check of each function's shape to us: a mixture of two builds would
    misread memory instead of failing.
    """
    if version != __version__:
        raise ImportError(
            f"epode {__version__} was installed beside a compiled library of version {version}: reinstall the package"
        )
    try:
        generated._uniffi_check_contract_api_version(generated._UniffiLib)
        generated._uniffi_check_api_checksums(generated._UniffiLib)
    except (generated.InternalError, AttributeError) as error:
        raise ImportError(
            f"epode {__version__} was installed beside a compiled library of another build ({error}): reinstall the package"
        ) from None


check_library(_native.epode_version(), _native.epode)
_reader.install()
