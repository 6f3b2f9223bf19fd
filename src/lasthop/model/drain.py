"""Drains as they are shown: real servers that get no new connections and keep those they have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DrainReport:
    """A real server of one service that is drained, as `lasthop drains` shows it."""

    service: str
    real_server: str
    remaining: int
    """Live connections that are not closed: those in TIME_WAIT and CLOSE are left out, as the last sweep found them."""
    persistent: int
    """Clients that persistence binds to it still."""
    oldest_s: float | None
    """Age of the oldest connection; None if there is none."""
    since_s: float
    """For how long this process of the director has watched it."""
    deadline_s: float | None
    """Seconds until it becomes disabled; None: never by itself."""
    on_death: str
    """What happens then to the connections that remain."""
    eta_s: float | None
    """Seconds until the last connection is over if they go on ending as they did; None if nothing can be said."""
