"""The golden logs, through the binding, come out to the same bytes."""

from __future__ import annotations

import base64
import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from epode import _convert, _native, check_library
from tests.conftest import REPOSITORY
from tests.proofs import PASSWORD, Proofs, masked

TRANSCRIPTS = REPOSITORY / "tests" / "transcripts"
VECTORS = REPOSITORY / "tests" / "vectors"

#: Those without secrets, those that hide theirs, and those that show them.
LOGS = [log for folder in ("", "password", "vectors") for log in sorted((TRANSCRIPTS / folder).glob("*.jsonl"))]


def read(log: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    header, *entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return header, entries


def transport(entry: dict[str, dict[str, Any]]) -> Any:
    ((kind, fields),) = entry.items()
    match kind:
        case "tcp":
            return _native.Transport.TCP(fields["host"], fields["port"], TLS[fields["tls"]])
        case "websocket":
            return _native.Transport.WEB_SOCKET(fields["url"])
        case "discover":
            return _native.Transport.DISCOVER(fields["tcp"], fields["websocket"], fields["bosh"])
    assert kind == "bosh", kind
    return _native.Transport.BOSH(_native.Bosh(**fields))


TLS = {"direct": _native.TcpTls.DIRECT, "starttls": _native.TcpTls.START_TLS}
BINDINGS = {name: kind for kind, name in _convert.BINDINGS.items()}
TLS_NAMES = {tls: name for name, tls in TLS.items()}


def client(header: dict[str, Any]) -> Any:
    config = header["config"]
    agent, bind = config.get("user_agent"), config.get("bind")
    reconnect = dict(config["reconnect"])
    when = _native.ReconnectWhen[reconnect.pop("when").upper()]
    return _native.Client(
        _native.Config(
            jid=config["jid"],
            credentials=credentials(config["credentials"]),
            transports=[transport(entry) for entry in config["transports"]],
            authzid=_native.Authzid[config["authzid"].upper()],
            allow_plaintext=config["tls"] == "allow_plaintext",
            # What is as usual is left out.
            mechanisms=mechanisms(config["mechanisms"]) if "mechanisms" in config else None,
            limits=_native.Limits(**config["limits"]),
            timeouts=_native.Timeouts(**config["timeouts"]) if "timeouts" in config else None,
            reconnect=_native.Reconnect(**reconnect, when=when),
            stream_management=_native.StreamManagement(**config["stream_management"]),
            liveness=_native.Liveness(**config["liveness"]),
            persist=_native.Persist[config["persist"].upper()],
            acknowledge=_native.Acknowledge[config["acknowledge"].upper()],
            user_agent=agent and _native.UserAgent(**{"software": None, **agent}),
            fast=_native.Fast[config.get("fast", "use").upper()],
            bind=bind and _native.Bind(**bind),
            key_derivation=_native.KeyDerivation[config.get("key_derivation", "inline").upper()],
            tasks=config.get("tasks", []),
            language=config["language"],
            answers=config["answered_namespaces"],
        ),
        bytes.fromhex(header["seed_is_secret"]),
    )


def credentials(entry: Any) -> Any:
    make = _native.Credentials
    if isinstance(entry, str):
        return getattr(make, entry.upper())()
    ((kind, fields),) = entry.items()
    match kind:
        case "certificate":
            assert fields["der"] is None
            return make.CERTIFICATE(fields["identity"], None)
        case "scram_key":
            return make.SCRAM_KEY(_native.DerivedKey.from_bytes(data(fields["key"]["bytes"])))
    # A password, or a token.
    (secret,) = fields.values()
    return getattr(make, kind.upper())(PASSWORD if secret == "secret" else secret.encode())


def mechanisms(entry: dict[str, Any]) -> Any:
    fields = dict(entry)
    scram, digest, bindings = (fields.pop(name, None) for name in ("scram", "digest_md5", "channel_bindings"))
    return _native.Mechanisms(
        **fields,
        digest_md5=digest and _native.DigestMd5(**digest),
        channel_bindings=bindings and [BINDINGS[name] for name in bindings],
        **{f"scram_{bound}": scram[bound] for bound in ("min", "max")},
    )


def data(entry: dict[str, str]) -> bytes:
    return entry["text"].encode() if "text" in entry else base64.b64decode(entry["base64"])


def as_data(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def failure(entry: Any) -> Any:
    if isinstance(entry, str):
        return getattr(_native.Failure, entry.upper())()
    ((kind, fields),) = entry.items()
    if kind == "tls_alert":
        return _native.Failure.TLS_ALERT(fields)
    return getattr(_native.Failure, kind.upper())(fields["reason"])


def verified(entry: Any) -> Any:
    if entry == "no":
        return _native.Verified.NO()
    ((kind, fields),) = entry.items()
    return getattr(_native.Verified, kind.upper())(fields["name"])


def resolution(entry: dict[str, Any]) -> Any:
    ((kind, fields),) = entry.items()
    match kind:
        case "records":
            return _native.Resolution.RECORDS([_native.SrvRecord(**record) for record in fields])
        case "document":
            return _native.Resolution.DOCUMENT(data(fields))
    return _native.Resolution.FAILED(failure(fields))


def tls_facts(fields: dict[str, Any]) -> Any:
    digest = fields["server_certificate_sha256"]
    return _native.TlsFacts(**{**fields, "server_certificate_sha256": digest and data(digest)})


def reply(entry: dict[str, Any]) -> Any:
    if "Ok" in entry:
        return _native.Reply.RESULT(entry["Ok"] and entry["Ok"].encode())
    error = dict(entry["Err"])
    kind = _native.StanzaErrorType[error.pop("kind").upper()]
    return _native.Reply.ERROR(_native.StanzaError(kind=kind, **error))


def feed(engine: Any, now: int, entry: Any, keys: dict[int, Any], *, borrowed: bool) -> Any:
    make = _native.Input
    if isinstance(entry, str):
        return engine.handle(now, getattr(make, entry.upper())())
    ((kind, fields),) = entry.items()
    match kind:
        case "restore":
            slot = _native.Slot[fields["slot"].upper()]
            return engine.handle(now, make.RESTORE(slot, data(fields["bytes"]["secret"])))
        case "resolved":
            return engine.handle(now, make.RESOLVED(fields["query"], resolution(fields["answer"])))
        case "connected":
            info = dict(fields["info"])
            shown = info.pop("client_certificate")
            bound = {kind: value and data(value) for kind, value in info.pop("channel_bindings", {}).items()}
            info = _native.LinkInfo(
                **{**info, "verified": verified(info["verified"])}, client_certificate=shown and data(shown)
            )
            info.channel_bindings = _native.ChannelBindings(**bound)
            return engine.handle(now, make.CONNECTED(fields["link"], info))
        case "received":
            arguments = fields["link"], data(fields["bytes"])
            return engine.received(now, *arguments) if borrowed else engine.handle(now, make.RECEIVED(*arguments))
        case "responded":
            tls = tls_facts(fields["tls"]) if "tls" in fields else None
            answer = fields["link"], fields["request"], fields["status"], data(fields["body"]), tls
            return engine.responded(now, *answer) if borrowed else engine.handle(now, make.RESPONDED(*answer))
        case "failed":
            return engine.handle(now, make.FAILED(fields["link"], fields.get("request"), failure(fields["reason"])))
        case "network":
            return engine.handle(now, make.NETWORK(_native.Network[fields.upper()]))
        case "foreground":
            return engine.handle(now, make.FOREGROUND(fields))
        case "derived":
            key = keys.pop(fields["job"])
            assert key.to_bytes() == data(fields["key"]["bytes"])
            return engine.handle(now, make.DERIVED(fields["job"], key))
        case "provide":
            return engine.handle(now, make.PROVIDE(credentials(fields["credentials"])))
        case "task":
            return engine.handle(now, make.TASK(fields["payload"] and fields["payload"].encode()))
        case "send":
            return engine.handle(now, make.SEND(fields["stanza"].encode()))
        case "request":
            return engine.handle(now, make.REQUEST(fields["iq"].encode(), fields["timeout"]))
        case "respond":
            return engine.handle(now, make.RESPOND(fields["token"], reply(fields["result"])))
    # All others have plain numbers, by the names that they have here.
    return engine.handle(now, getattr(make, kind.upper())(**fields))


def present(**fields: Any) -> dict[str, Any]:
    """Without what is absent, as the record format writes it."""
    return {name: value for name, value in fields.items() if value is not None}


def as_endpoint(endpoint: Any) -> dict[str, Any]:
    if endpoint.is_tcp():
        return {"tcp": {"host": endpoint.host, "port": endpoint.port, "tls": TLS_NAMES[endpoint.tls]}}
    return {"bosh" if endpoint.is_bosh() else "websocket": {"url": endpoint.url}}


def as_question(question: Any) -> dict[str, Any]:
    if question.is_srv():
        return {"srv": {"name": question.name}}
    return {"document": {"url": question.url, "max_bytes": question.max_bytes}}


def as_entry(output: Any, keys: dict[int, Any]) -> dict[str, Any]:
    """The output as the record format writes it."""
    if output.is_derive_key():
        inputs = output.derivation
        keys[output.job] = inputs.run()
        derivation = {
            "hash": inputs.hash().name.lower(),
            "salt": as_data(inputs.salt()),
            "iterations": inputs.iterations(),
            "password": inputs.password().decode(),
        }
        return {"derive_key": {"job": output.job, "derivation": derivation}}
    if output.is_connect():
        return {
            "connect": present(
                link=output.link,
                endpoint=as_endpoint(output.endpoint),
                server_name=output.server_name,
                identity=output.identity,
                max_message=output.max_message,
            )
        }
    if output.is_resolve():
        question = as_question(output.question)
        return {"resolve": {"query": output.query, "question": question, "deadline": output.deadline_ms}}
    if output.is_store():
        stored = {"secret": as_data(output.bytes)}
        return {"store": {"slot": output.slot.name.lower(), "append": output.append, "bytes": stored}}
    if output.is_write():
        return {"write": {"link": output.link, "bytes": as_data(output.bytes)}}
    if output.is_frame():
        return {"frame": {"link": output.link, "text": output.text}}
    if output.is_start_tls():
        return {"start_tls": {"link": output.link, "server_name": output.server_name}}
    if output.is_post():
        body = as_data(output.body)
        return {
            "post": {"link": output.link, "request": output.request, "body": body, "deadline": output.deadline_ms}
        }
    if output.is_abandon():
        return {"abandon": {"link": output.link, "request": output.request}}
    if output.is_close():
        return {"close": {"link": output.link}}
    return {"event": as_event(output.event)}


def as_event(event: Any) -> Any:
    if event.is_online():
        return {
            "online": present(
                jid=event.jid,
                mechanism=event.mechanism,
                server_proof=event.server_proof.name.lower(),
                channel_binding=event.channel_binding and _convert.BINDINGS[event.channel_binding],
                profile=event.profile and event.profile.name.lower(),
                resumed=event.resumed,
                client_certificate_requested=event.client_certificate_requested,
                round_trips=event.round_trips,
                transport=as_transport(event.transport),
            )
        }
    if event.is_offered():
        features, carried = event.features.decode(), as_transport(event.transport)
        return {"offered": {"features": features, "transport": carried, "encrypted": event.encrypted}}
    if event.is_task():
        return {"task": present(task=event.task, payload=event.payload and event.payload.decode(), text=event.text)}
    if event.is_stanza():
        return {"stanza": present(stanza=event.stanza.xml.decode(), token=event.token)}
    if event.is_request():
        return {"request": {"token": event.token, "iq": event.iq.xml.decode()}}
    if event.is_delivery():
        return {"delivery": {"token": event.token, "stage": event.stage.name.lower()}}
    if event.is_iq_done():
        return {"iq_done": {"token": event.token, "result": as_result(event.result)}}
    if event.is_writable():
        return "writable"
    # Errors and warnings cross as their names and sentences: those are compared.
    if event.is_interrupted():
        at = event.retry_at_ms
        return {"interrupted": present(reason=event.reason.code, retry_at=at, resumable=event.resumable)}
    if event.is_warning():
        return {"warning": event.code}
    assert event.is_offline(), event
    return {"offline": {"reason": event.reason.code}}


def as_result(result: Any) -> dict[str, Any]:
    if result.is_answer():
        return {"Ok": result.iq.xml.decode()}
    if result.is_error():
        error = result.error
        return {"Err": {"error": present(condition=error.condition, kind=error.kind.name.lower(), text=error.text)}}
    return {"Err": "timeout" if result.is_timeout() else str(type(result).__name__).partition(".")[2].lower()}


def named(entry: dict[str, Any]) -> dict[str, Any]:
    """A recorded entry with its errors and warnings reduced to what crosses: the innermost variant's name."""
    event = entry.get("out", {}).get("event")
    if not isinstance(event, dict):
        return entry
    ((kind, fields),) = event.items()
    if kind in ("interrupted", "offline"):
        return {"out": {"event": {kind: {**fields, "reason": code(fields["reason"])}}}}
    if kind == "warning":
        return {"out": {"event": {kind: fields if isinstance(fields, str) else next(iter(fields))}}}
    return entry


def code(reason: Any) -> str:
    if isinstance(reason, str):
        return reason
    ((group, error),) = reason.items()
    if group == "ended":
        return "ended"
    return error if isinstance(error, str) else str(next(iter(error)))


@pytest.mark.parametrize("borrowed", [False, True], ids=["in the enum", "borrowed"])
@pytest.mark.parametrize("log", LOGS, ids=[log.stem for log in LOGS])
def test_the_golden_logs(log: Path, borrowed: bool) -> None:
    header, entries = read(log)
    engine = client(header)
    keys = dict[int, Any]()
    proofs = Proofs()
    replayed = []
    for number, entry in enumerate(entries):
        if "in" in entry:
            replayed.append(entry)
            try:
                step = feed(engine, entry["now"], proofs.put_in(entry["in"]), keys, borrowed=borrowed)
            except _native.Refused:
                # A refusal has no outputs, and a log may have one.
                continue
            recorded = [later["out"] for later in entries[number + 1 : number + 1 + len(step.outputs)] if "out" in later]
            got = [as_entry(output, keys) for output in step.outputs]
            replayed.extend({"out": proofs.taken_out(*pair)} for pair in zip_longest(got, recorded))
    assert len(entries) > 5
    assert not keys
    assert replayed == [named(entry) for entry in entries]
    # None was passed over.
    assert proofs.count == masked(log.read_text(encoding="utf-8"))


def test_a_wrong_proof_is_seen() -> None:
    """Of the client: the server that this test is checks it before it answers."""
    header, entries = read(TRANSCRIPTS / "password" / "websocket-scram.jsonl")
    header["config"]["credentials"] = {"password": {"password": "another one"}}
    engine, proofs = client(header), Proofs()
    with pytest.raises(AssertionError, match="the client's proof is wrong"):
        for entry in entries:
            if "in" in entry:
                outputs = feed(engine, entry["now"], proofs.put_in(entry["in"]), {}, borrowed=True).outputs
                for output in outputs:
                    proofs.taken_out(as_entry(output, {}), HIDDEN)


HIDDEN = {"frame": {"text": "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>*client-proof" + "*" * 115 + "</response>"}}


# ---- what a binding shows of the vectors beside the logs


EXCHANGES = json.loads((VECTORS / "scram.json").read_text(encoding="utf-8"))["exchanges"]
JIDS = json.loads((VECTORS / "jid.json").read_text(encoding="utf-8"))


def derivation(hash: str, password: str, salt: bytes, iterations: int) -> Any:
    """What an engine asks its host for at a challenge with these."""
    config = _native.Config(
        jid="user@localhost",
        credentials=_native.Credentials.PASSWORD(password.encode()),
        transports=[_native.Transport.WEB_SOCKET("wss://localhost/ws")],
        mechanisms=_native.Mechanisms(only=[hash], scram_min=1),
        key_derivation=_native.KeyDerivation.HOST,
    )
    engine = _native.Client(config, bytes(32))
    engine.handle(0, _native.Input.START())
    info = _native.LinkInfo(encrypted=True, verified=_native.Verified.HOST("localhost"), subprotocol="xmpp")
    engine.handle(0, _native.Input.CONNECTED(1, info))
    engine.received(0, 1, b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' from='localhost' id='1'/>")
    offer = f"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>{hash}</mechanism></mechanisms>"
    (frame,) = engine.received(0, 1, f"<features xmlns='http://etherx.jabber.org/streams'>{offer}</features>".encode()).outputs
    first = base64.b64decode(frame.text.partition(">")[2].partition("<")[0])
    challenge = b"r=%sx,s=%s,i=%d" % (first.partition(b"r=")[2], base64.b64encode(salt), iterations)
    says = b"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</challenge>" % base64.b64encode(challenge)
    (output,) = engine.received(0, 1, says).outputs
    return output.derivation


@pytest.mark.parametrize("exchange", EXCHANGES, ids=[exchange["name"] for exchange in EXCHANGES])
def test_scram_json_by_the_derivation(exchange: dict[str, Any]) -> None:
    _, salt, iterations = (part.partition("=")[2] for part in exchange["server_first"].split(",")[:3])
    mechanism = exchange["mechanism"].removesuffix("-PLUS")
    inputs = derivation(mechanism, exchange["password"], base64.b64decode(salt), int(iterations))
    key = inputs.run().to_bytes()
    salted = inputs.with_salted_password(bytes.fromhex(exchange["salted_password"]))
    assert key == salted.to_bytes()
    # The two keys are what stands last in it.
    assert key.endswith(bytes.fromhex(exchange["client_key"] + exchange["server_key"]))


def account(jid: str) -> str:
    """The domain of an account's address, as the server's certificate has to name it."""
    config = _native.Config(
        jid=jid,
        credentials=_native.Credentials.PASSWORD(b"x"),
        transports=[_native.Transport.TCP("localhost", 5223, _native.TcpTls.DIRECT)],
    )
    engine = _native.Client(config, bytes(32))
    (output,) = engine.handle(0, _native.Input.START()).outputs
    return str(output.server_name)


@pytest.mark.parametrize("vector", JIDS["valid"], ids=lambda vector: vector["in"])
def test_jid_json_by_the_configuration(vector: dict[str, Any]) -> None:
    if "@" not in vector["out"].partition("/")[0]:
        # An account is needed, and this is none.
        with pytest.raises(_native.Refused.Configuration):
            account(vector["in"])
        return
    domain = vector["out"].partition("/")[0].rpartition("@")[2]
    found = account(vector["in"])
    if domain.isascii():
        # In a certificate, an address of IPv6 has no brackets.
        assert found in (domain, domain.strip("[]"))
    else:
        assert "xn--" in found


@pytest.mark.parametrize("vector", JIDS["invalid"], ids=lambda vector: vector["in"])
def test_what_is_no_jid_is_told(vector: dict[str, Any]) -> None:
    with pytest.raises(_native.Refused.Jid) as caught:
        account(vector["in"])
    assert caught.value.why == vector["error"]


def test_the_table_of_conformance_is_true() -> None:
    table = json.loads((REPOSITORY / "bindings" / "conformance" / "python.json").read_text(encoding="utf-8"))
    assert table["transcripts"] == sorted(log.relative_to(TRANSCRIPTS).as_posix() for log in LOGS)
    assert list(table["vectors"]) == ["scram.json", "jid.json"]


def test_the_deadline_and_the_stanza_cross() -> None:
    header, entries = read(REPOSITORY / "tests" / "transcripts" / "bosh-external.jsonl")
    engine = client(header)
    inputs = [entry for entry in entries if "in" in entry]
    steps = [feed(engine, entry["now"], entry["in"], {}, borrowed=True) for entry in inputs]
    assert (steps[0].deadline.name, steps[0].deadline.at_ms) == ("connect", 31_000)
    assert steps[-1].deadline is None
    (stanza,) = [o.event.stanza for step in steps for o in step.outputs if o.is_event() and o.event.is_stanza()]
    assert (stanza._from, stanza.type, stanza.body) == ("user02@debian/x", "chat", "Hello & welcome")


def as_transport(kind: Any) -> str:
    return str(kind.name.lower().replace("_", ""))


class AnotherBuild:
    """The library, but one function of it has another shape."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._library = _native.epode._UniffiLib

    def __getattr__(self, name: str) -> Any:
        return (lambda: 1) if name == self._name else getattr(self._library, name)


def test_another_library_is_refused() -> None:
    check_library(_native.epode_version(), _native.epode)
    with pytest.raises(ImportError, match=r"library of version 0\.0\.9: reinstall"):
        check_library("0.0.9", _native.epode)


@pytest.mark.parametrize("name", ["ffi_epode_uniffi_uniffi_contract_version", "uniffi_epode_uniffi_checksum_method_client_received"])
def test_another_build_of_the_library_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native.epode, "_UniffiLib", AnotherBuild(name))
    with pytest.raises(ImportError, match=r"another build .* mismatch.*reinstall"):
        check_library(_native.epode_version(), _native.epode)
