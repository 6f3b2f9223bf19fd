"""Real servers that are being drained: how far they are, and when their time is over.

Owns the watch over them. What is desired of them is in the configuration; what happens at the deadline is an edit,
which the director makes.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lasthop.model.drain import DrainReport
from lasthop.model.event import Kind, told
from lasthop.model.real_server import Admin
from lasthop.policy.drain import eta_s

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from lasthop.dataplane.interface import Load
    from lasthop.model.configuration import Configuration
    from lasthop.model.service import Service

_log = logging.getLogger(__name__)

#: (service label, real server)
Key = tuple[str, str]

#: Samples that an estimate is made from, and seconds between two.
_SAMPLES = 120
_APART_S = 1.0


@dataclass(slots=True)
class _Drain:
    since_s: float
    until: datetime | None
    deadline_s: float | None
    """On the monotonic clock, so that a step of the other one moves nothing."""
    on_death: str
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    left: int | None = None
    """Connections when that was looked at last."""
    told_empty: bool = False


class Drains:
    """The drains of one director. Times are of the monotonic clock, but for those of a configuration."""

    def __init__(self) -> None:
        self._drains: dict[Key, _Drain] = {}
        self._services: dict[str, Service] = {}

    def follow(self, configuration: Configuration, now_s: float, wall_s: float) -> None:
        """Take what is desired now. `wall_s` is the time of day, in seconds since 1970."""
        services = {service.label: service for service in configuration.services}
        for label in self._services.keys() - services.keys():
            self._forget(label, {}, now_s)
        for label, service in services.items():
            if service is not self._services.get(label):
                self._follow(service, now_s, wall_s)
        self._services = services

    def sample(self, load: Mapping[Key, Load], now_s: float) -> None:
        """Note how many connections there are."""
        for key, drain in self._drains.items():
            drain.left = _remaining(load, key)
            if not drain.left and not drain.told_empty:
                drain.told_empty = True
                beside = told(Kind.DRAIN_EMPTY, service=key[0], real_server=key[1])
                _log.info("real server %s of %s is drained and has no connections left", key[1], key[0], extra=beside)
            if not drain.samples or now_s - drain.samples[-1][0] >= _APART_S:
                drain.samples.append((now_s, _remaining(load, key)))

    def due(self, now_s: float) -> list[Key]:
        """Those whose time is over."""
        return [
            key for key, drain in self._drains.items() if drain.deadline_s is not None and now_s >= drain.deadline_s
        ]

    def keys(self) -> Collection[Key]:
        """(service label, real server) of all of them."""
        return self._drains.keys()

    def reports(
        self, load: Mapping[Key, Load], now_s: float, oldest_s: Callable[[Key], float | None]
    ) -> list[DrainReport]:
        """All of them; `oldest_s` tells the age of the oldest connection."""
        return [
            DrainReport(
                service=key[0],
                real_server=key[1],
                remaining=_remaining(load, key),
                persistent=load[key].persistent if key in load else 0,
                oldest_s=oldest_s(key) if _remaining(load, key) else None,
                since_s=round(now_s - drain.since_s, 1),
                deadline_s=None if drain.deadline_s is None else round(max(0.0, drain.deadline_s - now_s), 1),
                on_death=drain.on_death,
                eta_s=_rounded(eta_s([*drain.samples, (now_s, _remaining(load, key))])),
            )
            for key, drain in self._drains.items()
        ]

    def _follow(self, service: Service, now_s: float, wall_s: float) -> None:
        for server in service.real_servers:
            if server.admin is not Admin.DRAINED:
                continue
            key, until = (service.label, server.name), server.drain_until
            if key not in self._drains:
                self._drains[key] = _Drain(now_s, None, None, "")
                _tell_begun(key, until)
            drain = self._drains[key]
            drain.on_death = service.on_death.value
            if until != drain.until:
                drain.until = until
                drain.deadline_s = None if until is None else now_s + until.timestamp() - wall_s
        self._forget(service.label, {server.name: server.admin for server in service.real_servers}, now_s)

    def _forget(self, label: str, present: Mapping[str, Admin], now_s: float) -> None:
        """Forget who is not drained any more in the service `label`, which has these real servers."""
        for key in [key for key in self._drains if key[0] == label and present.get(key[1]) is not Admin.DRAINED]:
            _tell_ended(key, self._drains.pop(key), present.get(key[1]), now_s)


def _tell_begun(key: Key, until: datetime | None) -> None:
    deadline = f", and is disabled at {until.isoformat(timespec='seconds')}" if until else ""
    beside = told(Kind.DRAIN_BEGUN, service=key[0], real_server=key[1])
    _log.info("real server %s of %s is drained: it gets no new connections%s", key[1], key[0], deadline, extra=beside)


def _tell_ended(key: Key, drain: _Drain, admin: Admin | None, now_s: float) -> None:
    due = drain.deadline_s is not None and now_s >= drain.deadline_s
    reason = "removed" if admin is None else "deadline" if due and admin is Admin.DISABLED else admin.value
    state = "removed" if admin is None else "disabled" if admin is Admin.DISABLED else "enabled again"
    left = drain.left or 0
    beside = told(Kind.DRAIN_ENDED, service=key[0], real_server=key[1], reason=reason, connections=left)
    _log.log(
        logging.WARNING if left and admin is not Admin.ENABLED else logging.INFO,
        "real server %s of %s is %s: its drain is over, %d connection%s left",
        key[1],
        key[0],
        state,
        left,
        "s" * (left != 1),
        extra=beside,
    )


def _remaining(load: Mapping[Key, Load], key: Key) -> int:
    """Connections that are not closed: nobody misses what waits in TIME_WAIT to be forgotten."""
    return max(0, load[key].active + load[key].inactive - load[key].closed) if key in load else 0


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
