#!/usr/bin/env python3
"""Logs in over any transport, with a TLS client certificate, a password or a token, and prints what happens."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

import epode


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The password is read from EPODE_PASSWORD, a key's pass phrase from EPODE_CERT_PASSPHRASE. "
        "With a certificate and a password, both are needed to log in; with --state alone, the login token that is kept there logs in. "
        "Exit status: 0 fine, 1 the session failed, 2 wrong usage.",
    )
    parser.add_argument("jid", help="the account, as user01@example.org")
    parser.add_argument("--tcp", metavar="HOST:PORT", help="TCP with STARTTLS; without any of these four the server is found by its domain")
    parser.add_argument("--direct-tls", metavar="HOST:PORT", help="TCP that begins with TLS")
    parser.add_argument("--websocket", metavar="URL", help="as wss://example.org:7443/xmpp-websocket")
    parser.add_argument("--bosh", metavar="URL", help="as https://example.org:7443/http-bind")
    parser.add_argument("--cert", metavar="FILE", help="client certificate (PEM)")
    parser.add_argument("--key", metavar="FILE", help="its private key (PEM), if it is not in the same file")
    parser.add_argument("--ca", metavar="FILE", help="authorities that may vouch for the server (PEM)")
    parser.add_argument("--token-env", metavar="NAME", help="the environment variable with an OAuth 2.0 access token")
    parser.add_argument("--state", metavar="FOLDER", help="keeps the server's login token for the next time")
    parser.add_argument("--mechanism", action="append", metavar="NAME", help="only this one; may be given several times")
    parser.add_argument("--min-mechanism", metavar="NAME", help="nothing weaker than this, as SCRAM-SHA-256")
    parser.add_argument("--send", nargs=2, metavar=("JID", "TEXT"), help="send a message once online")
    parser.add_argument("--once", action="store_true", help="leave as soon as that is done")
    options = parser.parse_args()
    if options.token_env and options.token_env not in os.environ:
        parser.error(f"the environment has no {options.token_env}")
    return options


async def session(options: argparse.Namespace) -> None:
    connection = epode.connect(
        options.jid,
        tcp=options.tcp,
        direct_tls=options.direct_tls,
        websocket=options.websocket,
        bosh=options.bosh,
        certificate=options.cert,
        key=options.key,
        key_password=os.environ.get("EPODE_CERT_PASSPHRASE"),
        password=os.environ.get("EPODE_PASSWORD"),
        access_token=os.environ[options.token_env] if options.token_env else None,
        ca=options.ca,
        state=options.state,
        policy=epode.Policy(only=options.mechanism, least=options.min_mechanism),
    )
    async with connection as client:
        if options.send:
            await client.send_message(*options.send)
        async for event in client:
            match event:
                case epode.Online(jid=jid, mechanism=mechanism, round_trips=round_trips, channel_binding=binding):
                    bound = f", bound by {binding}" if binding else ""
                    print(f"online as {jid} by {mechanism}{bound}, after {round_trips} round trips", flush=True)
                    if options.once:
                        break
                case epode.Message(sender=sender, body=str(body)):
                    # A peer's text must not move the cursor of a terminal.
                    print(f"{sender}: {body!r}", flush=True)
                case epode.Message() | epode.Presence() | epode.Request():
                    print(event.xml.decode(), flush=True)
                case epode.Delivery(token=token, stage=stage):
                    print(f"stanza {token}: {stage}", flush=True)
                case epode.Notice(sentence=sentence):
                    print(f"note: {sentence}", flush=True)
                case epode.Interrupted(retry_in=float(seconds)):
                    print(f"interrupted: {event}; trying again in {seconds:.1f} s", flush=True)
                case epode.Interrupted() | epode.Offline():
                    print(event, flush=True)
    # Going out of the block said goodbye.
    if client.offline is not None:
        print(client.offline)


def main() -> int:
    try:
        asyncio.run(session(arguments()))
    except epode.EpodeError as error:
        print(f"login.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, epode.ConfigurationError) else 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
