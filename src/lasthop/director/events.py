"""What happened lately: the newest log records that are events, numbered, for whoever asks or follows.

Owns the ring and its followers. A record is both the line of the log and the event, so that neither can lack what the
other has. Nobody's slowness costs memory or time: a follower has a place in the ring and no queue; what was overwritten
before he read it is told him as missed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from lasthop.model.event import Event, EventQuery, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

#: Events that are kept.
KEPT = 1000
#: Events that a follower gets at once.
AT_ONCE = 100
#: So often a follower hears of us, events or not.
HEARTBEAT_S = 5.0

_NAMES = {each.name for each in fields(Event)}
_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"))


class Events:
    """The newest events of this process. Records may come from any thread; all else is called in one loop."""

    def __init__(self, kept: int = KEPT) -> None:
        self._ring: deque[tuple[float, Event]] = deque(maxlen=kept)
        """With the times they came at, on the monotonic clock."""
        self._first = self._next = time.time_ns() // 1000
        """A number that no process before this one has reached, while the clock of the day is not set back."""
        self._followers: set[Follower] = set()
        self._ended = False
        self._lock = Lock()

    @contextmanager
    def listening(self) -> Iterator[Events]:
        """Keep the events that are logged meanwhile."""
        logger, ear = logging.getLogger("lasthop"), _Ear(self)
        before = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(ear)
        try:
            yield self
        finally:
            logger.removeHandler(ear)
            logger.setLevel(before)
            self.end()

    def take(self, record: logging.LogRecord) -> None:
        """Keep a record that is an event."""
        beside = getattr(record, "lasthop", {})
        if "kind" not in beside:
            return
        given = {name: value for name, value in beside.items() if name in _NAMES}
        with self._lock:
            event = Event(
                seq=self._next,
                time=_written(record.created),
                level=next((word for level, word in _LEVELS if record.levelno >= level), "info"),
                message=record.getMessage(),
                **given,
            )
            self._next += 1
            self._ring.append((time.monotonic(), event))
            followers = list(self._followers)
        for follower in followers:
            follower.wake()

    def recent(self, query: EventQuery) -> list[Event]:
        """Those that are asked for, the oldest first; if some that came after `query.after` are gone, first how many.

        Nobody misses what is older than he asked for.
        """
        with self._lock:
            ring, first = list(self._ring), self._first
        earliest = None if query.since_s is None else time.monotonic() - query.since_s
        oldest = ring[0][1].seq if ring else first
        after = query.after or 0
        found = [
            event
            for at, event in ring
            if event.seq > after
            and (earliest is None or at >= earliest)
            and (not query.kinds or event.kind in query.kinds)
        ]
        lost = oldest - max(first, after + 1)
        told = after and lost > 0 and (earliest is None or ring[0][0] >= earliest)
        return [_missed(oldest - 1, lost, ring[0][1].time), *found] if told else found

    def follow(self, query: EventQuery) -> Follower:
        """Those that `query` asks for, then each as it comes; from now on, if it says neither after what nor since."""
        with self._lock:
            if query.after is None:
                query = replace(query, after=self._next - 1 if query.since_s is None else 0)
            follower = Follower(self, query)
            self._followers.add(follower)
        if self._ended:
            follower.close()
        return follower

    def end(self) -> None:
        """Let each follower, also who comes later, read what there is, and then end."""
        self._ended = True
        for follower in list(self._followers):
            follower.close()

    @property
    def newest(self) -> int:
        """The number of the last one."""
        return self._next - 1

    def forget(self, follower: Follower) -> None:
        """He does not read any more."""
        with self._lock:
            self._followers.discard(follower)


class Follower:
    """Somebody who reads events as they come: a place in the ring."""

    def __init__(self, events: Events, query: EventQuery) -> None:
        self._events = events
        self._query = query
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._waking = False
        """Once is enough, however many events come meanwhile."""
        self._closed = False

    async def portions(self) -> AsyncIterator[list[Event]]:
        """Events as they come; a portion comes at once, and one every few seconds at least, if need be without any."""
        self._loop = asyncio.get_running_loop()
        query = self._query
        try:
            while True:
                self._news.clear()
                closed, newest = self._closed, self._events.newest
                found = iter(self._events.recent(query))
                portion = list(islice(found, AT_ONCE))
                rest = next(found, None)
                reached = [each.seq for each in portion[-1:]] + ([] if rest else [newest, query.after or 0])
                query = replace(query, since_s=None, after=max(reached))
                yield portion
                if rest is None:
                    if closed:
                        return
                    await self._wait()
        finally:
            self.close()

    def close(self) -> None:
        """End it, once what there is has been read. May be called again."""
        self._closed = True
        self._events.forget(self)
        self.wake()

    def wake(self) -> None:
        """There is something new. Called in any thread."""
        if self._loop is not None and not self._loop.is_closed() and not self._waking:
            self._waking = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._news.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._news.wait()
        except TimeoutError:
            return


class _Ear(logging.Handler):
    """Has each record of an event kept."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        try:
            self._events.take(record)
        except Exception:  # noqa: BLE001 -- logging's contract: a record that cannot be kept ends nothing
            self.handleError(record)


def _missed(seq: int, count: int, when: str) -> Event:
    noun = "event is" if count == 1 else "events are"
    message = f"{count} {noun} missing here: more came than are kept for a slow reader"
    return Event(seq, when, Kind.MISSED, "warning", message, count=count)


def _written(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
