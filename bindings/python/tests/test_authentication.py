"""Keys, tokens, tasks and channel bindings: what the driver does for a login besides carrying bytes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

import epode
from epode import _native
from epode._bosh import BoshLink
from epode._certificate import server_end_point
from epode._state import State
from tests.fake import Fake
from tests.world import Place, World, fails, note_to_myself, run, until


async def online(jid: str, **arguments: Any) -> tuple[epode.Online, epode.Client]:
    """Logs in, and leaves."""
    async with epode.connect(jid, available=False, **arguments) as client:
        event = await anext(client)
        assert isinstance(event, epode.Online), event
        return event, client


PASSWORD = "pencil"


# ---- keys


def test_a_kept_key_logs_in_without_the_password(way: Place) -> None:
    async def twice() -> None:
        by_password, client = await online(way.jid("password"), password=way.secret("password"), **way.where)
        assert client.scram_key is not None
        by_key, _ = await online(way.jid("password"), scram_key=client.scram_key, **way.where)
        assert (by_key.mechanism, by_key.server_proved) == (by_password.mechanism, True)
        # It is for that account, with that salt.
        with pytest.raises(epode.LoginFailed) as caught:
            await online(way.jid("other"), scram_key=client.scram_key, **way.where)
        assert caught.value.reason.detail in ("key_does_not_fit", None)

    run(twice())


def derivation(engine: Any) -> tuple[int, Any]:
    """As far as the challenge of a server that has SCRAM-SHA-256, over a WebSocket."""
    engine.handle(0, _native.Input.START())
    info = _native.LinkInfo(encrypted=True, verified=_native.Verified.HOST("localhost"), subprotocol="xmpp")
    engine.handle(0, _native.Input.CONNECTED(1, info))
    engine.received(0, 1, b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' from='localhost' id='1'/>")
    mechanisms = b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256</mechanism></mechanisms>"
    features = b"<features xmlns='http://etherx.jabber.org/streams'>%s</features>"
    (frame,) = engine.received(0, 1, features % mechanisms).outputs
    first = message(frame.text)
    challenge = first.partition(b"r=")[2] + b"server,s=AAECAwQFBgcICQoLDA0ODw==,i=4096"
    says = b"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</challenge>"
    (output,) = engine.received(0, 1, says % base64.b64encode(b"r=" + challenge)).outputs
    return output.job, output.derivation


def message(xml: str) -> bytes:
    return base64.b64decode(xml.partition(">")[2].partition("<")[0])


def test_the_platform_s_pbkdf2_gives_the_same_key() -> None:
    engine = _native.Client(
        _native.Config(
            jid="user01@localhost",
            credentials=_native.Credentials.PASSWORD(b"pencil"),
            transports=[_native.Transport.WEB_SOCKET("wss://localhost/ws")],
            key_derivation=_native.KeyDerivation.HOST,
        ),
        os.urandom(32),
    )
    job, inputs = derivation(engine)
    assert inputs.hash() == _native.ScramHash.SHA256
    salted = hashlib.pbkdf2_hmac("sha256", inputs.password(), inputs.salt(), inputs.iterations())
    key = inputs.with_salted_password(salted)
    assert key.to_bytes() == inputs.run().to_bytes()
    with pytest.raises(_native.Refused.Key):
        inputs.with_salted_password(salted[1:])
    (frame,) = engine.handle(1, _native.Input.DERIVED(job, key)).outputs
    assert b",p=" in message(frame.text)


# ---- channel binding and tokens


def test_a_login_is_bound_to_the_certificate_and_the_next_one_is_by_token(pki: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"

    async def twice() -> None:
        async with Fake(pki) as fake:
            arguments: dict[str, Any] = {"bosh": fake.url, "ca": pki / "ca.crt", "state": state}
            first, _ = await online("user01@localhost", password=PASSWORD, **arguments)
            assert (first.mechanism, first.profile) == ("SCRAM-SHA-256-PLUS", "sasl2")
            assert (first.channel_binding, first.server_proof) == ("tls-server-end-point", "verified")
            # No password any more.
            second, _ = await online("user01@localhost", **arguments)
            assert (second.mechanism, second.channel_binding) == ("HT-SHA-256-ENDP", "tls-server-end-point")
            assert second.server_proved
            assert fake.mechanisms == ["SCRAM-SHA-256-PLUS", "HT-SHA-256-ENDP"]
            assert fake.bound == [True, True]

    run(twice())
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()} == {0o600}
    assert "token" in [file.name for file in state.iterdir()]


def test_the_next_login_is_by_token(modern: Place, tmp_path: Path) -> None:
    async def twice() -> None:
        first, _ = await online(modern.jid("password"), password=modern.secret("password"), state=tmp_path, **modern.where)
        assert (first.profile, first.server_proof) == ("sasl2", "verified")
        assert first.channel_binding == (None if modern.transport == "bosh" else "tls-server-end-point")
        second, _ = await online(modern.jid("password"), state=tmp_path, **modern.where)
        assert second.mechanism.startswith("HT-SHA-")
        assert second.server_proved
        assert second.round_trips < first.round_trips

    run(twice())


def test_without_a_token_the_folder_alone_does_not_log_in(way: Place, tmp_path: Path) -> None:
    error = fails(epode.connect(way.jid("password"), **way.where, state=tmp_path))
    assert isinstance(error, epode.LoginFailed)
    assert error.reason.code == "no_token"


def test_a_token_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"x")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(epode.ConfigurationError, match="chmod 600"):
        epode.connect("user01@localhost", bosh="https://localhost/", state=tmp_path)


def test_a_damaged_token_is_none(world: World, tmp_path: Path) -> None:
    way = world.place("dev", "tcp")
    State(tmp_path).write("token", False, b"no token at all")
    event, _ = run(online(way.jid("password"), password=way.secret("password"), state=tmp_path, **way.where))
    assert event.mechanism.startswith("SCRAM-SHA-")


def test_a_slot_is_replaced_lengthened_and_emptied(tmp_path: Path) -> None:
    state = State(tmp_path / "a" / "b")
    assert state.load("token") == b""
    state.write("token", False, b"one")
    state.write("token", True, b" two")
    assert state.load("token") == b"one two"
    state.write("token", False, b"three")
    assert state.load("token") == b"three"
    state.write("token", False, b"")
    assert (state.load("token"), list((tmp_path / "a" / "b").iterdir())) == (b"", [])


def test_a_folder_that_cannot_be_used() -> None:
    with pytest.raises(epode.ConfigurationError, match="/dev/null/state"):
        epode.connect("user01@localhost", bosh="https://localhost/", state="/dev/null/state")


def test_another_certificate_ends_the_login(pki: Path) -> None:
    async def login() -> None:
        async with Fake(pki) as fake:
            client = epode.connect("user01@localhost", bosh=fake.url, ca=pki / "ca.crt", password=PASSWORD)
            look = BoshLink._look

            async def looked(link: BoshLink) -> Any:
                outcome = await look(link)
                # As if the first connection had gone elsewhere.
                link._certificate = b"another certificate"
                return outcome

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(BoshLink, "_look", looked)
                async with client:
                    pass

    with pytest.raises(epode.TlsFailed, match="another one than that which the login is bound to"):
        run(login())


@pytest.mark.parametrize(
    ("key", "digest", "expected"),
    [
        ("ec_paramgen_curve:P-256", "sha256", "sha256"),
        ("ec_paramgen_curve:P-384", "sha384", "sha384"),
        ("rsa", "sha512", "sha512"),
        ("rsa-pss", "sha384", "sha384"),
        ("rsa-pss", "sha1", "sha256"),
        # RFC 5929 §4.1: SHA-1 counts as SHA-256.
        ("rsa", "sha1", "sha256"),
        ("ed25519", None, None),
    ],
)
def test_the_hash_of_the_certificate(tmp_path: Path, key: str, digest: str | None, expected: str | None) -> None:
    pss = ["-newkey", "rsa:2048", "-sigopt", "rsa_padding_mode:pss"]
    kinds = {"rsa": ["-newkey", "rsa:2048"], "rsa-pss": pss, "ed25519": ["-newkey", "ed25519"]}
    kind = kinds.get(key, ["-newkey", "ec", "-pkeyopt", key])
    command = ["openssl", "req", "-x509", *kind, "-nodes", "-keyout", "key.pem", "-subj", "/CN=x", "-out", "x.pem"]
    subprocess.run([*command, *([f"-{digest}"] if digest else [])], cwd=tmp_path, check=True, capture_output=True)
    der = ssl.PEM_cert_to_DER_cert((tmp_path / "x.pem").read_text())
    assert server_end_point(der) == (expected and hashlib.new(expected, der).digest())


@pytest.mark.parametrize("der", [b"", b"0", b"0\x80", b"0\x82\xff\xff", b"\x30\x04\x30\x00\x30\x00", os.urandom(64)])
def test_what_is_no_certificate_has_no_channel_binding(der: bytes) -> None:
    assert server_end_point(der) is None


# ---- policy and credentials


def test_the_policy_chooses(way: Place) -> None:
    only = epode.Policy(only=["SCRAM-SHA-1"])
    event, _ = run(online(way.jid("password"), policy=only, password=way.secret("password"), **way.where))
    assert event.mechanism == "SCRAM-SHA-1"
    error = fails(way.client("password", policy=epode.Policy(least="SCRAM-SHA-1-PLUS")))
    assert (error.reason.blame, error.reason.code) == ("login", "no_mechanism")
    error = fails(way.client("password", policy=epode.Policy(scram_iterations=(1_999_999, 2_000_000))))
    assert (error.reason.code, error.reason.detail) == ("mechanism", "iterations_too_low")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"access_token": "a", "password": "x"}, "one kind of credentials"),
        ({"scram_key": b"no key"}, "no SCRAM key"),
        ({"new_account": True}, "a new account needs a password"),
        ({"anonymous": True}, "an anonymous login has no account"),
        ({"password": "x", "fast": "never"}, "use, off, invalidate"),
        ({"password": "x", "tag": ""}, "the tag for the resource"),
        ({"password": "x", "user_agent": epode.UserAgent(id="1")}, "UUID of version 4"),
        ({"password": "x", "policy": epode.Policy(least="SCRAM-MD4")}, "name those such as"),
        ({"password": "x", "policy": epode.Policy(scram_iterations=(-1, 1))}, "cannot be passed on"),
    ],
)
def test_what_cannot_be_a_login(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(epode.ConfigurationError, match=sentence):
        epode.connect("user01@localhost", bosh="https://localhost/", **arguments)


def test_credentials_are_renewed(world: World) -> None:
    way = world.place("dev", "tcp")

    async def live() -> None:
        async with way.client("password") as client:
            client.provide(password=way.secret("password"))
            client.provide(access_token="a.b.c")
            with pytest.raises(epode.ConfigurationError):
                client.provide()

    run(live())


# ---- tasks


def test_a_task_is_done_by_the_application(pki: Path) -> None:
    async def login() -> None:
        async def code(task: epode.Task) -> str:
            assert (task.task, task.payload, task.text) == ("HOTP-EXAMPLE", None, "the code, please")
            await asyncio.sleep(0)
            return "<code xmlns='urn:example'>123</code>"

        async with Fake(pki, task="HOTP-EXAMPLE") as fake:
            arguments: dict[str, Any] = {"bosh": fake.url, "ca": pki / "ca.crt", "password": PASSWORD}
            event, _ = await online("user01@localhost", tasks={"HOTP-EXAMPLE": code}, **arguments)
            assert (event.mechanism, event.server_proved) == ("SCRAM-SHA-256-PLUS", True)
            assert fake.codes == ["123"]
            # Who cannot do it learns what it was.
            with pytest.raises(epode.LoginFailed, match="HOTP-EXAMPLE") as caught:
                await online("user01@localhost", **arguments)
            assert caught.value.reason.code == "tasks"

    run(login())


def test_what_a_task_raises_ends_the_login(pki: Path) -> None:
    async def login() -> None:
        async def code(task: epode.Task) -> None:
            raise RuntimeError("nobody knows the code")

        async with Fake(pki, task="HOTP-EXAMPLE") as fake:
            arguments: dict[str, Any] = {"bosh": fake.url, "ca": pki / "ca.crt", "password": PASSWORD}
            with pytest.raises(RuntimeError, match="nobody knows the code"):
                await online("user01@localhost", tasks={"HOTP-EXAMPLE": code}, **arguments)

    run(login())


def test_a_handler_that_is_cancelled_by_itself_ends_the_login(pki: Path) -> None:
    async def login() -> None:
        async def code(task: epode.Task) -> str:
            asking = asyncio.get_running_loop().create_future()
            asking.cancel()
            return str(await asking)

        async with Fake(pki, task="HOTP-EXAMPLE") as fake:
            arguments: dict[str, Any] = {"bosh": fake.url, "ca": pki / "ca.crt", "password": PASSWORD}
            with pytest.raises(epode.EpodeError, match="HOTP-EXAMPLE was cancelled"):
                await online("user01@localhost", tasks={"HOTP-EXAMPLE": code}, **arguments)

    run(login())


@pytest.mark.parametrize("raises", [False, True])
def test_an_answer_that_comes_too_late_stops_nothing(world: World, raises: bool) -> None:
    """The connection on which the server asked is gone, and the client goes on: it has no use for what its handler does."""

    async def live() -> None:
        begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def code(task: epode.Task) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                # It was told, and does not hear.
                await may_end.wait()
            ended.set()
            if raises:
                raise RuntimeError("nobody knows the code")
            return "<no XML"

        place = world.place("dev", "tcp")
        async with place.client("password", tasks={"HOTP-EXAMPLE": code}) as client:
            await note_to_myself(client, "before")
            client._happened(_native.Event.TASK("HOTP-EXAMPLE", None, None))
            await begun.wait()
            place.cut()
            await until(client, epode.Interrupted)
            await until(client, epode.Online)
            may_end.set()
            await ended.wait()
            await note_to_myself(client, "still here")

    run(live())
