"""A configuration file that is watched: what counts as a change, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lasthop.daemon.file_watch import follow, state_of
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

EVERY_S = 0.02
PATIENCE_S = 20


def test_each_change_that_came_to_rest_is_told_once_however_it_was_made(tmp_path: Path) -> None:
    file, real, other = tmp_path / "lb1.toml", tmp_path / "one", tmp_path / "two"
    real.write_text("a")
    other.write_text("b")
    file.symlink_to(real)
    told: list[str] = []

    async def until(number: int) -> None:
        assert await asyncio.to_thread(wait_until, lambda: len(told) >= number, timeout=PATIENCE_S)

    async def work() -> None:
        watching = asyncio.create_task(follow(file, state_of(file), lambda: told.append(file.read_text()), EVERY_S))
        real.write_text("written")
        await until(1)
        draft = tmp_path / "draft"
        draft.write_text("replaced")
        draft.replace(real)
        await until(2)
        file.unlink()
        file.symlink_to(other)
        await until(3)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(work())
    assert told == ["written", "replaced", "b"]
