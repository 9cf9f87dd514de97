"""Servers that do what none may do, and an environment that says what a client must not listen to: for tests/c/scenarios."""

import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from hashlib import sha1
from pathlib import Path

STREAM = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' from='cert.localhost' version='1.0'>"
STARTTLS = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
PLAIN = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"


class Server(threading.Thread):
    """Takes one connection after the other and does the same with each: `talk(connection)` gives the rest of what the client sent."""

    def __init__(self, talk, certificate=None):
        super().__init__(daemon=True)
        self.talk, self.certificate, self.seen = talk, certificate, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            connection.settimeout(30)
            try:
                if self.certificate:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(*self.certificate)
                    connection = context.wrap_socket(connection, server_side=True)
                self.seen.append(self.talk(connection))
            except OSError as error:
                self.seen.append(error)
            finally:
                connection.close()


def read_until(connection, end):
    read = b""
    while end not in read:
        some = connection.recv(4096)
        if not some:
            raise OSError("the client went")
        read += some
    return read


def rest_of(connection):
    read = b""
    while some := connection.recv(4096):
        read += some
    return read


def injects(connection):
    """Puts bytes of its own, or of somebody in between, behind the last word before TLS (RFC 6120 section 5.4.3.3)."""
    read_until(connection, b"version=")
    connection.sendall((STREAM + STARTTLS).encode())
    read_until(connection, b"starttls")
    connection.sendall((PROCEED + STREAM + PLAIN).encode())
    return rest_of(connection)


def upgrades(line="HTTP/1.1 101 Switching Protocols", protocol=b"xmpp"):
    def talk(connection):
        asked = read_until(connection, b"\r\n\r\n")
        key = asked.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        connection.sendall(line.encode() + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
                           + b"\r\nSec-WebSocket-Protocol: " + protocol + b"\r\n\r\n")
        return rest_of(connection)
    return talk


def certificate(folder, name, *options):
    """A certificate that vouches for itself, and its key."""
    made = Path(folder) / f"{name}.crt", Path(folder) / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-out", made[0], "-keyout", made[1], "-subj", "/CN=cert.localhost", "-days", "2", *options],
                   check=True, capture_output=True)
    return made


class Warner:
    """OpenSSL's own server, which warns of a server name that it does not know (RFC 6066 section 3) and goes on; then it is gone without a word."""

    def __init__(self, of):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-tls1_2", "-cert", of[0], "-key", of[1], "-servername", "other.example",
             "-cert2", of[0], "-key2", of[1], "-msg"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.seen = [self.until(b"ACCEPT")]

    def until(self, text):
        read = b""
        while text not in read:
            line = self.process.stdout.readline()
            if not line:
                raise OSError(f"openssl s_server ended: {read}")
            read += line
        return read

    def end_after_the_handshake(self):
        self.seen.append(self.until(b"CIPHER is"))
        self.process.kill()
        self.process.wait()
