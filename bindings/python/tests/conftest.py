"""The test world, which `tests/run python` starts, and certificates of the tests' own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import TRANSPORTS, Place, World

REPOSITORY = Path(__file__).resolve().parents[3]

#: The server that notices what a client must not do, and a real one.
SERVERS = ("dev", "prosody-13")


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    file = os.environ.get("EPODE_WORLD")
    if file is None:
        pytest.fail("EPODE_WORLD is not set: `tests/run python` starts the servers and sets it (`epode-world --help` says how by hand)")
    world = World(file)
    yield world
    # What a client did that it must not.
    for server in ("dev", "modern"):
        assert world.control(f"violations {server}") == []


@pytest.fixture(params=[(server, transport) for server in SERVERS for transport in TRANSPORTS], ids="-".join)
def place(world: World, request: pytest.FixtureRequest) -> Place:
    """Each way to each server."""
    return world.place(*request.param)


@pytest.fixture(params=TRANSPORTS)
def way(world: World, request: pytest.FixtureRequest) -> Place:
    """Each way to the small server: for what no other server has a say in."""
    return world.place("dev", request.param)


@pytest.fixture(params=TRANSPORTS)
def modern(world: World, request: pytest.FixtureRequest) -> Place:
    """Each way to a server with SASL2, login tokens and channel binding."""
    return world.place("modern", request.param)


@pytest.fixture(params=TRANSPORTS)
def silent(world: World, request: pytest.FixtureRequest) -> Place:
    """Each way to a server that never says a word."""
    return world.place("silent", request.param)


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For servers within the tests: ``localhost.crt`` and ``.key``, signed by ``ca.crt``."""
    folder = tmp_path_factory.mktemp("pki")
    openssl(folder, "req", "-x509", *_new_key("ca"), "-subj", "/CN=test CA", "-out", "ca.crt")
    extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n"
    (folder / "localhost.ext").write_text(extensions)
    openssl(folder, "req", "-new", *_new_key("localhost")[:-2], "-subj", "/CN=localhost", "-out", "localhost.csr")
    sign = ["x509", "-req", "-in", "localhost.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    openssl(folder, *sign, "-extfile", "localhost.ext", "-out", "localhost.crt")
    return folder


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _new_key(name: str) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-days", "2"]
