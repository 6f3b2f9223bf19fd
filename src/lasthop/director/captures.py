"""Captures: who wants to see the frames of which legs, and the passing on of what the data plane saw.

Owns the flags: a leg is captured as long as somebody reads. A director that starts captures nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from lasthop.model.capture import CapturedPortion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from lasthop.dataplane.interface import Inspection
    from lasthop.model.capture import CapturedFrame

#: Frames that are taken from the data plane before the loop gets its turn, and at most sent at once.
_AT_ONCE = 256
#: Frames that wait for a reader; a slower one loses some, and is told.
_WAITING = 8192
#: So often a reader hears of us, frames or not.
_HEARTBEAT_S = 2.0


class Captures:
    """All captures of one director. Its methods are called in the director's loop."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._open: list[Capture] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, legs: Collection[str], directions: Collection[str]) -> Capture:
        """Capture on `legs`, frames of `directions` (``in``, ``out``), until the capture is closed."""
        capture = Capture(self, frozenset(legs), frozenset(directions), self._inspection.lost())
        self._open.append(capture)
        try:
            self._follow()
        except BaseException:
            self._open.remove(capture)
            raise
        return capture

    def lost(self) -> int:
        """Frames that found no room, since ever."""
        return self._inspection.lost()

    def ended(self, capture: Capture) -> None:
        """A capture is closed."""
        if capture in self._open:
            self._open.remove(capture)
            self._follow()

    def end(self) -> None:
        """Close all."""
        for capture in list(self._open):
            capture.close()

    def _follow(self) -> None:
        """Have those legs captured that somebody reads, and listen while there are any."""
        self._inspection.capture({leg for capture in self._open for leg in capture.legs})
        if self._open and self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._inspection.descriptor, self._take)
        elif not self._open and self._loop is not None:
            self._loop.remove_reader(self._inspection.descriptor)
            self._loop = None

    def _take(self) -> None:
        for frame in self._inspection.captured(_AT_ONCE):
            for capture in self._open:
                capture.offer(frame)


class Capture:
    """One reader's capture."""

    def __init__(self, captures: Captures, legs: frozenset[str], directions: frozenset[str], lost: int) -> None:
        self.legs = legs
        self._captures = captures
        self._directions = directions
        self._lost = -lost
        self._frames: deque[CapturedFrame] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def offer(self, frame: CapturedFrame) -> None:
        """Take a frame if it is one of ours."""
        if frame.leg not in self.legs or frame.direction not in self._directions:
            return
        if len(self._frames) >= _WAITING:
            self._lost += 1
            return
        self._frames.append(frame)
        self._news.set()

    async def portions(self) -> AsyncIterator[CapturedPortion]:
        """What is captured, as it comes; the first portion comes at once, and one every few seconds at least."""
        while not self._closed:
            frames = [self._frames.popleft() for _ in range(min(_AT_ONCE, len(self._frames)))]
            yield CapturedPortion(frames, self._lost + self._captures.lost())
            if not self._frames:
                await self._wait()

    def close(self) -> None:
        """End it; the legs that nobody else reads are captured no more. May be called again."""
        if not self._closed:
            self._closed = True
            self._news.set()
            self._captures.ended(self)

    async def _wait(self) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(_HEARTBEAT_S):
                await self._news.wait()
        except TimeoutError:
            return
