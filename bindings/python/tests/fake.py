"""A connection manager of one session, for what the dev server does not have: SASL2 with SCRAM bound to the certificate, and login tokens."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import re
import ssl
from pathlib import Path
from xml.etree import ElementTree

SALT, ITERATIONS, PASSWORD, TOKEN = os.urandom(16), 4096, b"pencil", "token-of-the-fake-server"
SASL2, FAST = "urn:xmpp:sasl:2", "urn:xmpp:fast:0"
BODY = "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams' "
CREATED = BODY + "sid='1' wait='60' hold='1' requests='2' inactivity='60' ver='1.6' from='localhost'>"
FEATURES = f"""<stream:features><authentication xmlns='{SASL2}'><mechanism>SCRAM-SHA-256</mechanism>
<mechanism>SCRAM-SHA-256-PLUS</mechanism><inline><bind xmlns='urn:xmpp:bind:0'/>
<fast xmlns='{FAST}'><mechanism>HT-SHA-256-ENDP</mechanism></fast></inline></authentication>
<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-server-end-point'/></sasl-channel-binding></stream:features>"""


class Fake:
    """Listens on a free port. ``task`` is what it wants besides the password."""

    def __init__(self, folder: Path, task: str | None = None) -> None:
        self.folder = folder
        self.task = task
        self.codes = list[str | None]()
        self.end_point = hashlib.sha256(ssl.PEM_cert_to_DER_cert((folder / "localhost.crt").read_text())).digest()
        self.mechanisms = list[str]()
        self.bound = list[bool]()
        self.url = ""
        self._first = b""
        self._serving = list[asyncio.Task[None]]()
        self._held: asyncio.Future[str] | None = None

    async def __aenter__(self) -> Fake:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "localhost.crt", self.folder / "localhost.key")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"https://localhost:{port}/http-bind"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.cancel()
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.append(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
                content = (await self._hold(await reader.readexactly(length))).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _hold(self, content: bytes) -> str:
        """An empty request waits for the one after it: answers come in order (XEP-0124 §14)."""
        answer = self._answer(content)
        if self._held is not None:
            self._held.set_result(BODY + "/>")
            self._held = None
        if answer is not None:
            return answer
        self._held = asyncio.get_running_loop().create_future()
        return await self._held

    def _answer(self, content: bytes) -> str | None:
        body = ElementTree.fromstring(content)
        if body.get("sid") is None:
            return CREATED + FEATURES + "</body>"
        if body.get("type") == "terminate":
            return BODY + "type='terminate'/>"
        for child in body:
            if child.tag == f"{{{SASL2}}}authenticate":
                return self._authenticate(child)
            if child.tag == f"{{{SASL2}}}response":
                return self._response(base64.b64decode(child.text or ""))
            if child.tag == f"{{{SASL2}}}next":
                assert child.get("task") == self.task
                self.codes.append(child.findtext("{urn:example}code"))
                return self._success(b"", "")
        return BODY + "/>" if len(body) else None

    def _authenticate(self, authenticate: ElementTree.Element) -> str:
        mechanism = authenticate.get("mechanism") or ""
        self.mechanisms.append(mechanism)
        initial = base64.b64decode(authenticate.findtext(f"{{{SASL2}}}initial-response") or "")
        if mechanism == "HT-SHA-256-ENDP":
            _, _, proof = initial.partition(b"\0")
            self.bound.append(hmac.digest(TOKEN.encode(), b"Initiator" + self.end_point, "sha256") == proof)
            return self._success(hmac.digest(TOKEN.encode(), b"Responder" + self.end_point, "sha256"), "")
        assert authenticate.find(f"{{{FAST}}}request-token") is not None
        self._gs2, self._first = initial[: initial.index(b"n=")], initial[initial.index(b"n=") :]
        nonce = self._first.partition(b"r=")[2]
        self._challenge = b"r=%sserver,s=%s,i=%d" % (nonce, base64.b64encode(SALT), ITERATIONS)
        challenge = base64.b64encode(self._challenge).decode()
        return f"{BODY}><challenge xmlns='{SASL2}'>{challenge}</challenge></body>"

    def _response(self, final: bytes) -> str:
        without_proof, _, proof = final.rpartition(b",p=")
        bound = base64.b64decode(without_proof.partition(b",")[0].removeprefix(b"c="))
        self.bound.append(bound == self._gs2 + self.end_point)
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD, SALT, ITERATIONS)
        client_key, server_key = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
        message = b",".join((self._first, self._challenge, without_proof))
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        shown = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        if shown != client_key:
            not_authorized = "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
            return f"{BODY}><failure xmlns='{SASL2}'>{not_authorized}</failure></body>"
        proof = b"v=" + base64.b64encode(hmac.digest(server_key, message, "sha256"))
        if self.task is not None:
            data = base64.b64encode(proof).decode()
            tasks = f"<tasks><task>{self.task}</task></tasks><text>the code, please</text>"
            return f"{BODY}><continue xmlns='{SASL2}'><additional-data>{data}</additional-data>{tasks}</continue></body>"
        return self._success(proof, f"<token xmlns='{FAST}' token='{TOKEN}' expiry='2999-01-01T00:00:00Z'/>")

    def _success(self, proof: bytes, token: str) -> str:
        data = f"<additional-data>{base64.b64encode(proof).decode()}</additional-data>" if proof else ""
        return (
            f"{BODY}><success xmlns='{SASL2}'>{data}"
            "<authorization-identifier>user01@localhost/epode.1</authorization-identifier>"
            f"<bound xmlns='urn:xmpp:bind:0'/>{token}</success><stream:features/></body>"
        )
