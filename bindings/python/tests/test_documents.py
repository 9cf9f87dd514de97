"""What the README and the example promise, run as a user would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PASSWORD, Server

PACKAGE = Path(__file__).resolve().parents[1]
EXAMPLE = PACKAGE / "examples" / "login.py"


def python(server: Server, *arguments: str | Path, password: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "EPODE_PASSWORD"}
    if password is not None:
        environment["EPODE_PASSWORD"] = password
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=server.folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("page", [PACKAGE / "README.md", PACKAGE.parents[1] / "README.md"], ids=["package", "project"])
def test_the_readme(server: Server, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert "https://localhost:7443/http-bind" in block
    done = python(server, "-c", block.replace("https://localhost:7443/http-bind", server.url))
    assert done.returncode == 0, done.stderr
    online, message = done.stdout.splitlines()
    assert re.fullmatch(r"online as user01@localhost/\S+ by EXTERNAL", online)
    assert re.fullmatch(r"user01@localhost/\S+ says: A note to myself", message)
    assert done.stderr == ""


def test_the_example_with_a_certificate(server: Server) -> None:
    files = "--ca", "ca.crt", "--cert", "user01.crt", "--key", "user01.key"
    done = python(server, EXAMPLE, "user01@localhost", "--bosh", server.url, *files, "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^online as user01@localhost/\S+ by EXTERNAL, after \d round trips$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("offline, as asked\n")


def test_the_example_with_a_password(server: Server) -> None:
    options = EXAMPLE, "user02@localhost", "--bosh", server.url, "--ca", "ca.crt", "--once"
    done = python(server, *options, password=PASSWORD)
    assert (done.returncode, done.stderr) == (0, "")
    assert " by SCRAM-SHA-" in done.stdout
    done = python(server, *options, password="wrong")
    assert done.returncode == 1
    assert re.fullmatch(r"login\.py: the server refused the login by SCRAM-SHA-\d+: not-authorized.*\n", done.stderr)
    done = python(server, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("login.py: no credentials were given")


def test_the_example_explains_itself(server: Server) -> None:
    done = python(server, EXAMPLE, "--help")
    assert done.returncode == 0
    assert "EPODE_PASSWORD" in done.stdout
