"""What survives the process: a folder with one file for each of the engine's slots, which only the user can read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from epode.errors import ConfigurationError

#: The login token (XEP-0484) and what is known of the account's server. A BOSH session is not kept: its goodbye ends it.
SLOTS: Final = ("token", "pins")


class State:
    """The folder. It has no lock: give each account its own, and let one process use it at a time."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def load(self, slot: str) -> bytes:
        """All that was stored in the slot; nothing if that is nothing."""
        path = self._folder / slot
        try:
            with path.open("rb") as file:
                # What is in there is as good as a password.
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                    raise ConfigurationError(f"others can read {os.fspath(path)!r}, which logs in: chmod 600 it")
                return file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unusable(error) from error

    def write(self, slot: str, append: bool, content: bytes) -> None:
        """When this returns, the bytes survive a crash: the old ones or the new ones, nothing between. Raises ``OSError``."""
        path = self._folder / slot
        if append:
            content = self.load(slot) + content
        elif not content:
            path.unlink(missing_ok=True)
            self._sync_names()
            return
        # With mode 0600, whatever the umask says.
        descriptor, draft = tempfile.mkstemp(prefix=f".{slot}.", dir=self._folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        self._sync_names()

    def _sync_names(self) -> None:
        # Elsewhere a folder cannot be opened, and the system looks after its names.
        if os.name != "posix":
            return
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unusable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"the folder {os.fspath(self._folder)!r} cannot be used: {error.strerror or error}")
