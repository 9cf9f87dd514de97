"""The turn loop by itself: its timer, and what goes wrong within a turn."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import epode
from epode._state import State
from tests.test_continuity import Broken
from tests.world import World, note_to_myself, run


def timers() -> int:
    """The calls of the turn loop's timer that the event loop has still to make."""
    loop: Any = asyncio.get_running_loop()
    return sum(not handle.cancelled() and "Turns._ring" in repr(handle) for handle in loop._scheduled)


def test_there_is_one_timer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling the engine the time is a turn too, which sets the timer."""
    monkeypatch.setattr("epode._turns._WALL_CLOCK", 0)
    monkeypatch.setattr("epode._turns._LONGEST_SLEEP", 0.005)

    async def live() -> None:
        async with world.place("dev", "tcp").client("password") as client:
            rings = 0
            ring = client._turns._tell_time

            def counted() -> None:
                nonlocal rings
                rings += 1
                ring()

            monkeypatch.setattr(client._turns, "_tell_time", counted)
            while rings < 10:
                await asyncio.sleep(0.005)
            assert timers() == 1
            await note_to_myself(client, "a note")
        assert timers() == 0

    run(live())


@pytest.mark.parametrize("turns", range(24))
def test_a_fault_within_a_turn_is_told_once_and_nowhere_else(world: World, turns: int) -> None:
    """An exception that leaves a turn goes to the event loop, which would show it beside a connection that it breaks."""
    shown = list[dict[str, Any]]()

    async def live() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: shown.append(context))
        client = world.place("dev", "tcp").client("password")
        client._turns._engine = Broken(client._turns._engine, turns)
        with pytest.raises(epode.EpodeError) as caught:
            async with client:
                for _ in range(50):
                    await client.send_message("bob@cert.localhost", "a note")
        assert client.offline is not None
        assert client.offline.code == "panic"
        if turns < 4:
            assert isinstance(caught.value, epode.InternalFault)

    run(live())
    assert shown == []


def test_what_cannot_be_stored_ends_it(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the folder says so in a sentence of its own: others can read what is in it."""

    async def live() -> None:
        client = world.place("modern", "tcp").client("password", state=tmp_path / "state")

        def write(state: State, slot: str, append: bool, content: bytes) -> None:
            raise epode.ConfigurationError("others can read it")

        monkeypatch.setattr(State, "write", write)
        with pytest.raises(epode.EpodeError, match="cannot be stored .others can read it."):
            async with client:
                await asyncio.sleep(1)

    run(live())
