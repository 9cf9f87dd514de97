"""The dev server with a certificate authority of its own, made when the tests run, and what a user of the server needs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
PASSWORD = "pencil"

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    def certificate(self, user: str) -> Path:
        return self.folder / f"{user}.crt"

    def key(self, user: str) -> Path:
        return self.folder / f"{user}.key"

    def identity(self, user: str) -> dict[str, Any]:
        """Arguments of ``connect`` for a login by certificate."""
        return {"bosh": self.url, "ca": self.ca, "certificate": self.certificate(user), "key": self.key(user)}


def run(test: Coroutine[Any, Any, T]) -> T:
    """Runs a test, and fails it after half a minute."""

    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await test

    return asyncio.run(bounded())


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    _openssl(folder, "req", "-x509", *_new_key("ca"), "-subj", "/CN=test CA", "-out", "ca.crt")
    _openssl(folder, "req", "-x509", *_new_key("other-ca"), "-subj", "/CN=another CA", "-out", "other-ca.crt")
    _signed(folder, "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth")
    for user in ("user01", "user02", "user03"):
        # XEP-0178 §2: the JID as id-on-xmppAddr, a UTF8String.
        name = f"subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:{user}@localhost"
        _signed(folder, user, f"{name}\nextendedKeyUsage=clientAuth")
    return folder


class Process:
    """One run after another of the dev server, on the same port."""

    def __init__(self, pki: Path) -> None:
        subprocess.run(["cargo", "build", "--locked", "--quiet", "-p", "epode-devserver"], cwd=REPOSITORY, check=True)
        self._pki = pki
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Server:
        program = TARGET / "debug" / "epode-devserver"
        users = [argument for user in ("user01", "user02", "user03") for argument in ("--user", user)]
        files = "--cert", "localhost.crt", "--key", "localhost.key", "--client-ca", "ca.crt"
        self._process = subprocess.Popen(
            [str(program), *files, *users, "--port", str(self._port)],
            cwd=self._pki,
            env={**os.environ, "EPODE_DEVSERVER_PASSWORD": PASSWORD},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        url = self._process.stdout.readline().strip()
        assert url.startswith("https://"), url
        self._port = urlsplit(url).port or 0
        return Server(url, self._pki)

    def stop(self) -> None:
        # Its last words are what clients did that they must not.
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Nobody is told: the connections break, and all sessions are forgotten."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="session")
def server(pki: Path) -> Iterator[Server]:
    process = Process(pki)
    try:
        yield process.start()
    finally:
        process.stop()


@pytest.fixture
def own_process(pki: Path) -> Iterator[Process]:
    """A server for one test alone, which may kill it."""
    process = Process(pki)
    try:
        yield process
    finally:
        process.stop()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _new_key(name: str) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-days", "2"]


def _signed(folder: Path, name: str, extensions: str) -> None:
    (folder / f"{name}.ext").write_text(f"{extensions}\nbasicConstraints=CA:FALSE\n")
    _openssl(folder, "req", "-new", *_new_key(name)[:-2], "-subj", f"/CN={name}", "-out", f"{name}.csr")
    sign = ["x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    _openssl(folder, *sign, "-extfile", f"{name}.ext", "-out", f"{name}.crt")
