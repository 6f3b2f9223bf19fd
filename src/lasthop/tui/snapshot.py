"""What the director answers for one screen, and what follows from two of them: how fast counters rise.

Owns which questions a view asks. Nothing here draws.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report
    from lasthop.tui.views import View

#: The biggest connections that are asked for.
MOST_CONNECTIONS = 200
#: Events that are kept on this side.
MOST_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The director at one moment, as far as a view shows it."""

    view: str
    status: Report
    reports: list[Report]
    clock: str
    """The time of day it was taken, of this machine."""


class Taker:
    """Asks one director, again and again. Called in one thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._counted: dict[str, int] = {}
        self._counted_at = 0.0
        self._events: deque[Report] = deque(maxlen=MOST_EVENTS)

    def take(self, view: View, order: str) -> Snapshot:
        """Ask for what `view` shows, connections with the most of `order` first. Raises DirectorError."""
        status = self._client.status()
        reports = {
            "services": self._client.services,
            "servers": self._client.servers,
            "hops": self._client.hops,
            "legs": self._client.legs,
            "connections": lambda: self._client.connections(top=order or "bytes", limit=MOST_CONNECTIONS),
            "counters": self._counters,
            "events": self._newest_events,
        }[view.name]()
        return Snapshot(view.name, status, reports, f"{datetime.now().astimezone():%H:%M:%S}")

    def _counters(self) -> list[Report]:
        """Those that are not zero, each with its `rate` since they were asked last; None: not known yet."""
        reports, now = self._client.counters(), time.monotonic()
        since, before = now - self._counted_at, self._counted
        for each in reports:
            was = before.get(each["name"])
            risen = None if was is None or since <= 0 else each["value"] - was
            each["rate"] = None if risen is None or risen < 0 else risen / since
        self._counted, self._counted_at = {each["name"]: each["value"] for each in reports}, now
        return [each for each in reports if each["value"]]

    def _newest_events(self) -> list[Report]:
        """All that are kept; only what is new is asked for."""
        after = self._events[-1]["seq"] if self._events else 0
        self._events.extend(self._client.events(after=after))
        return list(self._events)
