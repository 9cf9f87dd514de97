"""The proofs of a login, which a log of tests/transcripts/password leaves out: the server's are put in, the client's checked and taken out.

SCRAM-SHA-256 (RFC 5802, RFC 7677) and HT-SHA-256 (draft-schmaus-kitten-sasl-ht), computed here from the password, and not by the engine.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import re
from typing import Any

#: What those logs were recorded with.
PASSWORD = b"canary-Zq7-password"

_HIDDEN = r"\*%s\**"
_BINDINGS = {"EXPR": "tls_exporter", "UNIQ": "tls_unique", "ENDP": "tls_server_end_point"}


def masked(log: str) -> int:
    """How many proofs a log hides."""
    return len(re.findall(r"\*(?:client|server)-proof\*", log))


class Proofs:
    """The server of one log. A placeholder begins with ``*`` and what it stands for, and is as long as that."""

    def __init__(self) -> None:
        #: How many were put in or checked.
        self.count = 0
        self._bindings: dict[str, Any] = {}
        #: The mechanism of the login that is under way, and what its messages were.
        self._mechanism = ""
        self._client_first = self._server_first = self._message = b""
        self._token = b""

    def put_in(self, entry: Any) -> Any:
        """What the server says, with its proof."""
        if not isinstance(entry, dict):
            return entry
        if "connected" in entry:
            self._bindings = entry["connected"]["info"].get("channel_bindings", {})
        data = entry.get("received", {}).get("bytes", {})
        if "text" not in data:
            return entry
        if challenge := re.search(r"<challenge [^>]*>([^<]*)<", data["text"]):
            self._server_first = base64.b64decode(challenge[1])
        # The engine takes the placeholder for the token: the next login is made of it.
        if token := re.search(_HIDDEN % "login-token", data["text"]):
            self._token = token[0].encode()
        if (hidden := re.search(_HIDDEN % "server-proof", data["text"])) is None:
            return entry
        proof = base64.b64encode(self._server_proof()).decode()
        assert len(proof) == len(hidden[0])
        self.count += 1
        entry = copy.deepcopy(entry)
        entry["received"]["bytes"]["text"] = data["text"].replace(hidden[0], proof)
        return entry

    def taken_out(self, got: Any, recorded: Any) -> Any:
        """What the client says, without its proof, which is right."""
        if isinstance(got, dict) and isinstance(recorded, dict):
            return {name: self.taken_out(value, recorded.get(name)) for name, value in got.items()}
        if not isinstance(got, str) or not isinstance(recorded, str):
            return got
        if mechanism := re.search(r"mechanism='([A-Z0-9-]+)'", got):
            self._mechanism = mechanism[1]
            first = re.search(r"<(?:auth|initial-response)\b[^>]*>([^<]*)<", got)
            self._client_first = base64.b64decode(first[1]) if first else b""
        if (hidden := re.search(_HIDDEN % "client-proof", recorded)) is None:
            return got
        begin, end = hidden.span()
        if got[:begin] != recorded[:begin]:
            return got
        self._check(base64.b64decode(got[begin:end], validate=True))
        self.count += 1
        return got[:begin] + hidden[0] + got[end:]

    def _check(self, message: bytes) -> None:
        if self._mechanism.startswith("HT-"):
            expected = b"\0" + hmac.digest(self._token, b"Initiator" + self._bound(), "sha256")
            assert message.endswith(expected), "the client's proof is wrong"
            return
        without_proof, _, proof = message.rpartition(b",p=")
        # RFC 5802 §3: without the header of GS2.
        bare = self._client_first.split(b",", 2)[2]
        self._message = b",".join((bare, self._server_first, without_proof))
        client_key = self._key(b"Client Key")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), self._message, "sha256")
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        assert base64.b64decode(proof) == expected, "the client's proof is wrong"

    def _server_proof(self) -> bytes:
        if self._mechanism.startswith("HT-"):
            return hmac.digest(self._token, b"Responder" + self._bound(), "sha256")
        assert self._message, "the server proves what it knows to a client that has proved it"
        return b"v=" + base64.b64encode(hmac.digest(self._key(b"Server Key"), self._message, "sha256"))

    def _key(self, name: bytes) -> bytes:
        _, salt, iterations = (part.partition(b"=")[2] for part in self._server_first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD, base64.b64decode(salt), int(iterations))
        return hmac.digest(salted, name, "sha256")

    def _bound(self) -> bytes:
        kind = self._mechanism[-4:]
        if kind == "NONE":
            return b""
        data = self._bindings[_BINDINGS[kind]]
        return data["text"].encode() if "text" in data else base64.b64decode(data["base64"])
