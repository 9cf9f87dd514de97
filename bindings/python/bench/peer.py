"""A runner of tests/bench: slixmpp's own path from the bytes of a stream to the handler of a message, without a socket."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from slixmpp import ClientXMPP


def online(workload: dict[str, Any]) -> tuple[ClientXMPP, list[int]]:
    """A client in the state that follows a login: its stream is open, and a handler waits for messages."""
    total = [0]
    client = ClientXMPP(workload["client"]["jid"], "")

    def message(stanza: Any) -> None:
        total[0] += len("message") + len(str(stanza["from"]).encode()) + len(stanza["body"].encode())

    # As its documentation has it: an application's handler, beside those that the library registers for itself.
    client.add_event_handler("message", message)
    client.init_parser()
    client.data_received(workload["login"][0].encode())
    return client, total


async def play(workload: dict[str, Any]) -> None:
    client, total = online(workload)
    print("ready", flush=True)
    for line in sys.stdin:
        case, size, count = line.split()
        if case == "nop":
            print("0 0", flush=True)
            continue
        stanza = workload["sizes"][size]["stanza"].encode()
        data, turns = (stanza, int(count)) if case == "single" else (stanza * 100, int(count) // 100)
        total[0] = 0
        begin = time.perf_counter_ns()
        for _ in range(turns):
            client.data_received(data)
        print((time.perf_counter_ns() - begin) / int(count), total[0], flush=True)


if __name__ == "__main__":
    asyncio.run(play(json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))))
