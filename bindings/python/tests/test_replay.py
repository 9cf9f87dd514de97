"""The golden log of a login, through the binding, comes out to the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from epode import _native, check_version
from tests.conftest import REPOSITORY

LOG = REPOSITORY / "tests" / "transcripts" / "bosh-external.jsonl"


def read() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    header, *entries = [json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]
    return header, entries


def client(header: dict[str, Any]) -> Any:
    config = header["config"]
    certificate = config["credentials"]["certificate"]
    assert certificate["der"] is None
    assert config["tls"] == "required"
    mechanisms = dict(config["mechanisms"])
    scram = mechanisms.pop("scram")
    return _native.Client(
        _native.Config(
            jid=config["jid"],
            credentials=_native.Credentials.CERTIFICATE(certificate["identity"], None),
            bosh=_native.Bosh(**config["transport"]["bosh"]),
            authzid=_native.Authzid[config["authzid"].upper()],
            mechanisms=_native.Mechanisms(**mechanisms, scram_min=scram["min"], scram_max=scram["max"]),
            limits=_native.Limits(**config["limits"]),
            timeouts=_native.Timeouts(**config["timeouts"]),
            language=config["language"],
            answers=config["answered_namespaces"],
        ),
        bytes.fromhex(header["seed_is_secret"]),
    )


def data(entry: dict[str, str]) -> bytes:
    return entry["text"].encode()


def feed(engine: Any, now: int, entry: Any, *, borrowed: bool) -> Any:
    if isinstance(entry, str):
        return engine.handle(now, getattr(_native.Input, entry.upper())())
    ((kind, fields),) = entry.items()
    if kind == "connected":
        info = dict(fields["info"])
        verified = _native.Verified.HOST(info.pop("verified")["host"]["name"])
        return engine.handle(now, _native.Input.CONNECTED(fields["link"], _native.LinkInfo(verified=verified, **info)))
    assert kind == "responded", kind
    arguments = fields["link"], fields["request"], fields["status"], data(fields["body"]), None
    if borrowed:
        return engine.responded(now, *arguments)
    return engine.handle(now, _native.Input.RESPONDED(*arguments))


def as_entry(output: Any) -> dict[str, Any]:
    """The output as the record format writes it."""
    if output.is_connect():
        return {
            "connect": {
                "link": output.link,
                "endpoint": {"bosh": {"url": output.endpoint.url}},
                "server_name": output.server_name,
                "identity": output.identity,
                "max_message": output.max_message,
            }
        }
    if output.is_post():
        body = {"text": output.body.decode()}
        return {
            "post": {"link": output.link, "request": output.request, "body": body, "deadline": output.deadline_ms}
        }
    if output.is_abandon():
        return {"abandon": {"link": output.link, "request": output.request}}
    if output.is_close():
        return {"close": {"link": output.link}}
    event = output.event
    if event.is_online():
        return {
            "event": {
                "online": {
                    "jid": event.jid,
                    "mechanism": event.mechanism,
                    "server_proof": event.server_proof.name.lower(),
                    "resumed": event.resumed,
                    "round_trips": event.round_trips,
                }
            }
        }
    if event.is_stanza():
        return {"event": {"stanza": {"stanza": event.stanza.xml.decode()}}}
    assert event.is_offline(), event
    return {"event": {"offline": {"reason": event.reason.code}}}


@pytest.mark.parametrize("borrowed", [False, True], ids=["in the enum", "borrowed"])
def test_the_golden_log(borrowed: bool) -> None:
    header, entries = read()
    engine = client(header)
    replayed = []
    for entry in entries:
        if "in" in entry:
            replayed.append(entry)
            step = feed(engine, entry["now"], entry["in"], borrowed=borrowed)
            replayed.extend({"out": as_entry(output)} for output in step.outputs)
    assert len(entries) > 20
    assert replayed == entries


def test_the_deadline_and_the_stanza_cross() -> None:
    header, entries = read()
    engine = client(header)
    inputs = [entry for entry in entries if "in" in entry]
    steps = [feed(engine, entry["now"], entry["in"], borrowed=True) for entry in inputs]
    assert (steps[0].deadline.name, steps[0].deadline.at_ms) == ("connect", 31_000)
    assert steps[-1].deadline is None
    (stanza,) = [o.event.stanza for step in steps for o in step.outputs if o.is_event() and o.event.is_stanza()]
    assert (stanza._from, stanza.type, stanza.body) == ("user02@debian/x", "chat", "Hello & welcome")


def test_another_version_of_the_library_is_refused() -> None:
    check_version(_native.epode_version())
    with pytest.raises(ImportError, match=r"library of version 0\.0\.9: reinstall"):
        check_version("0.0.9")
