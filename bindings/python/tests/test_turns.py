"""The turn loop by itself: its timer, and what goes wrong within a turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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
