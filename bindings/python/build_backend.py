"""maturin as the build backend, with the workspace's own generator of UniFFI bindings on its path.

The generator has to be of exactly the library's version, and none of it is on a package index. It is built in the dev profile: it runs once, and
building it optimised takes three times as long. It lands in the workspace's target folder (or ``CARGO_TARGET_DIR``) and is kept there.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import maturin

get_requires_for_build_wheel = maturin.get_requires_for_build_wheel
get_requires_for_build_editable = maturin.get_requires_for_build_editable
prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = maturin.prepare_metadata_for_build_editable


def build_wheel(*arguments: Any) -> str:
    with _generator():
        return str(maturin.build_wheel(*arguments))


def build_editable(*arguments: Any) -> str:
    with _generator():
        return str(maturin.build_editable(*arguments))


@contextmanager
def _generator() -> Iterator[None]:
    workspace = Path(__file__).resolve().parents[2]
    built = subprocess.run(
        ["cargo", "build", "--locked", "-p", "epode-bindgen", "--message-format=json-render-diagnostics"],
        cwd=workspace,
        stdout=subprocess.PIPE,
        check=True,
    )
    messages = (json.loads(line) for line in built.stdout.splitlines())
    program = next(
        message["executable"]
        for message in messages
        if message.get("executable") and message.get("target", {}).get("name") == "epode-bindgen"
    )
    path = os.environ["PATH"]
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "uniffi-bindgen.exe" if sys.platform == "win32" else "uniffi-bindgen")
        try:
            link.symlink_to(program)
        except OSError:
            link.write_bytes(Path(program).read_bytes())
        os.environ["PATH"] = folder + os.pathsep + path
        try:
            yield
        finally:
            os.environ["PATH"] = path
