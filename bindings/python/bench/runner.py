"""A runner of tests/bench: the workload through the generated module (``--as binding``) or to the façade's events (``--as events``)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epode import _convert, _native
from epode.events import Message

EVENT = _native.Output.EVENT


def online(workload: dict[str, Any]) -> Any:
    """An engine that has logged in."""
    about, now, link = workload["client"], workload["now"], workload["link"]
    config = _native.Config(
        jid=about["jid"],
        credentials=_native.Credentials.CERTIFICATE(about["certificate"], None),
        transports=[_native.Transport.TCP(about["host"], about["port"], _native.TcpTls.DIRECT)],
    )
    engine = _native.Client(config, bytes.fromhex(about["seed"]))
    engine.handle(now, _native.Input.START())
    info = _native.LinkInfo(encrypted=True, verified=_native.Verified.HOST(workload["verified_name"]))
    engine.handle(now, _native.Input.CONNECTED(link, info))
    steps = [engine.received(now, link, text.encode()) for text in workload["login"]]
    assert any(output.is_event() and output.event.is_online() for output in steps[-1].outputs)
    return engine


def binding(step: Any) -> int:
    """All that a turn brings, as the generated classes."""
    total = 0
    for output in step.outputs:
        if isinstance(output, EVENT) and isinstance(output.event, _native.Event.STANZA):
            stanza = output.event.stanza
            total += len(stanza.kind.name) + len(stanza._from.encode()) + len(stanza.body.encode())
    _ = step.deadline, step.wants_read
    return total


def events(step: Any) -> int:
    """The same, as an application gets it."""
    total = 0
    for output in step.outputs:
        if isinstance(output, EVENT):
            event = _convert.event(output.event, 0)
            if isinstance(event, Message) and event.sender is not None and event.body is not None:
                total += len("message") + len(event.sender.encode()) + len(event.body.encode())
    _ = step.deadline, step.wants_read
    return total


def main() -> None:
    read: Callable[[Any], int] = {"binding": binding, "events": events}[sys.argv[2]]
    workload = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    engine = online(workload)
    now, link = workload["now"], workload["link"]
    print("ready", flush=True)
    for line in sys.stdin:
        case, size, count = line.split()
        stanza = workload["sizes"][size]["stanza"].encode()
        batch, turns = {"nop": (b"", int(count)), "single": (stanza, int(count)), "batch": (stanza * 100, int(count) // 100)}[case]
        total = 0
        begin = time.perf_counter_ns()
        if case == "nop":
            for _ in range(turns):
                _native.epode_version()
        else:
            for _ in range(turns):
                total += read(engine.received(now, link, batch))
        print((time.perf_counter_ns() - begin) / int(count), total, flush=True)


if __name__ == "__main__":
    main()
