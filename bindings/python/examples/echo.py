#!/usr/bin/env python3
"""An echo bot: says to everybody what they said. EPODE_PASSWORD is its password; `--tcp HOST:PORT` or another transport says where."""

import argparse
import asyncio
import os
import signal
import sys
from typing import Any

import epode


async def echo(jid: str, **arguments: Any) -> None:
    async with epode.connect(jid, password=os.environ["EPODE_PASSWORD"], **arguments) as client:
        # Ctrl+C says goodbye, and the loop below comes to its end.
        leaving = asyncio.get_running_loop().create_task
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: leaving(client.close()))
        async for event in client:
            match event:
                case epode.Online(jid=jid):
                    print(f"online as {jid}", flush=True)
                # No answer to an error: the other side might answer that.
                case epode.Message(sender=str(sender), body=str(body), type="chat" | "normal" | None):
                    await client.send_message(sender, body)
                case epode.Interrupted() | epode.Offline():
                    print(event, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jid")
    for name in ("tcp", "direct-tls", "websocket", "bosh", "ca"):
        parser.add_argument(f"--{name}")
    try:
        asyncio.run(echo(**vars(parser.parse_args())))
    except epode.EpodeError as error:
        sys.exit(f"echo.py: {error}")
