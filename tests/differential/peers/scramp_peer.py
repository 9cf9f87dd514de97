"""scramp as the server: SCRAM-SHA-1, SCRAM-SHA-256 and SCRAM-SHA-512, with and without -PLUS; and its SASLprep for all others."""

import sys

from scramp import ScramException, ScramMechanism
from scramp.utils import saslprep


class Session:
    def __init__(self, mechanism: str, fields: dict[str, bytes]) -> None:
        scram = ScramMechanism(mechanism)
        password = fields["password"].decode()
        salt, stored_key, server_key, iterations = scram.make_auth_info(
            password, iteration_count=int(fields["iterations"]), salt=fields["salt"]
        )
        if "lie" in fields:
            # It can check the client's proof, and has no proof of its own.
            _, _, server_key, _ = scram.make_auth_info(password * 2, iteration_count=iterations, salt=salt)
        account = saslprep(fields["user"].decode())

        def secrets(name: str) -> tuple[bytes, bytes, bytes, int] | None:
            self.user = name
            return (salt, stored_key, server_key, iterations) if name == account else None

        binding = None
        if "cb-type" in fields:
            binding = (fields["cb-type"].decode(), fields["cb-data"])
        self.user = ""
        self.server = scram.make_server(secrets, channel_binding=binding)
        self.first = True

    def step(self, data: bytes) -> str:
        message = data.decode()
        if self.first:
            self.first = False
            self.server.set_client_first(message)
            return "challenge " + self.server.get_server_first().encode().hex()
        self.server.set_client_final(message)
        final = self.server.get_server_final().encode().hex()
        return f"success {final} user={self.user.encode().hex()}"


def answer(line: str, session: list[Session]) -> str:
    word, *rest = line.split()
    try:
        if word == "begin":
            mechanism, *pairs = rest
            fields = dict(pair.split("=", 1) for pair in pairs)
            session[:] = [Session(mechanism, {name: bytes.fromhex(value) for name, value in fields.items()})]
            return "ready -"
        if word == "step":
            return session[0].step(b"" if rest[0] in "-=" else bytes.fromhex(rest[0]))
        if word == "prep":
            prepared = saslprep(b"".join(map(bytes.fromhex, rest)).decode()).encode()
            return "challenge " + (prepared.hex() or "=")
    except ScramException as error:
        return "failure " + str(error).encode().hex()
    raise ValueError(f"an unknown word: {word}")


def main() -> None:
    session: list[Session] = []
    for line in sys.stdin:
        print(answer(line, session), flush=True)


main()
