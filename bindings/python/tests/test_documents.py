"""What the READMEs and the examples promise, run as a user would run them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import Place, World, note_to_myself, run, until

import epode

PACKAGE = Path(__file__).resolve().parents[1]
LOGIN = PACKAGE / "examples" / "login.py"
ECHO = PACKAGE / "examples" / "echo.py"


def environment(password: str | None) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "EPODE_PASSWORD"}
    return kept if password is None else {**kept, "EPODE_PASSWORD": password}


def python(*arguments: str | Path, password: str | None = None, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(password), capture_output=True, text=True, timeout=60, check=False
    )


def where(place: Place) -> list[str | Path]:
    return [f"--{place.transport.replace('_', '-')}", place.address, "--ca", place.world.ca]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_readme_s_five_minutes(world: World, tmp_path: Path) -> None:
    """The very block, with another server's address and account; and the same with each of the lines that it names."""
    place = world.place("dev", "tcp")
    (block,) = blocks(PACKAGE / "README.md")
    for name, target in (("ca", world.ca), ("alice", world.pki / "alice")):
        for suffix in (".crt", ".key"):
            source = target if name == "ca" else target.with_suffix(suffix)
            (tmp_path / f"{name.replace('alice', 'user01')}{suffix}").write_bytes(source.read_bytes())
    assert 'tcp="localhost:5222"' in block
    changed = block.replace("user01@localhost", "alice@cert.localhost")
    lines = text_of_transports()
    for transport, line in lines.items():
        address = world.place("dev", transport).address
        replaced = re.sub(r'"[^"]+"', f'"{address}"', line)
        done = python("-c", changed.replace('tcp="localhost:5222"', replaced), folder=tmp_path)
        assert done.returncode == 0, done.stderr
        online, message = done.stdout.splitlines()
        assert re.fullmatch(r"online as alice@cert.localhost/\S+ by EXTERNAL", online)
        assert re.fullmatch(r"alice@cert.localhost/\S+ says: A note to myself", message)
        assert done.stderr == ""
    assert place.address


def text_of_transports() -> dict[str, str]:
    """The table's lines, one for each transport."""
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    lines = dict(re.findall(r'^\| `((\w+)="[^"]+")` \|', text, re.MULTILINE))
    found = {name: line for line, name in lines.items() if name in ("tcp", "direct_tls", "websocket", "bosh")}
    assert len(found) == 4
    return found


def test_the_project_s_readme(world: World, tmp_path: Path) -> None:
    (block,) = blocks(PACKAGE.parents[1] / "README.md")
    for name, source in (("ca.crt", world.ca), ("user01.crt", world.pki / "alice.crt"), ("user01.key", world.pki / "alice.key")):
        (tmp_path / name).write_bytes(source.read_bytes())
    assert "https://localhost:7443/http-bind" in block
    changed = block.replace("https://localhost:7443/http-bind", world.place("dev", "bosh").address)
    done = python("-c", changed.replace("user01@localhost", "alice@cert.localhost"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert " by EXTERNAL" in done.stdout


def test_the_login_example_with_a_certificate(way: Place) -> None:
    files = "--cert", way.world.pki / "alice.crt", "--key", way.world.pki / "alice.key"
    done = python(LOGIN, way.jid("certificate"), *where(way), *files, "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^online as alice@cert.localhost/\S+ by EXTERNAL, after \d round trips$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("offline, as asked\n")


def test_the_login_example_with_a_password(world: World) -> None:
    place = world.place("dev", "tcp")
    options = LOGIN, place.jid("password"), *where(place), "--once"
    done = python(*options, password=place.secret("password"))
    assert (done.returncode, done.stderr) == (0, "")
    assert " by SCRAM-SHA-" in done.stdout
    done = python(*options, password="wrong")
    assert done.returncode == 1
    assert re.fullmatch(r"login\.py: the server refused the login by SCRAM-SHA-\d+: not-authorized.*\n", done.stderr)
    done = python(*options)
    assert done.returncode == 2
    assert done.stderr.startswith("login.py: no credentials were given")


def test_the_login_example_explains_itself() -> None:
    done = python(LOGIN, "--help")
    assert done.returncode == 0
    assert "EPODE_PASSWORD" in done.stdout


def test_the_echo_bot(way: Place) -> None:
    assert len(ECHO.read_text(encoding="utf-8").splitlines()) <= 40
    command = [sys.executable, "-W", "error", str(ECHO), way.jid("other"), *map(str, where(way))]
    bot = subprocess.Popen(
        command, env=environment(way.secret("other")), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert bot.stdout is not None
        online = bot.stdout.readline()
        assert online.startswith("online as "), (online, bot.stderr and bot.stderr.read())

        async def talk() -> None:
            async with way.client("password") as client:
                await client.send_message(online.split()[-1], "Is there an echo?")
                assert (await until(client, epode.Message)).body == "Is there an echo?"
                await note_to_myself(client, "there is")

        run(talk())
        bot.send_signal(signal.SIGINT)
        said, complained = bot.communicate(timeout=20)
        assert (bot.returncode, complained) == (0, "")
        assert said.endswith("offline, as asked\n")
    finally:
        bot.kill()
        bot.communicate()
