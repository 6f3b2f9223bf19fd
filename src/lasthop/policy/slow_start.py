"""Slow start: a real server that comes, or comes back, is brought to its weight in ten steps.

Owns the steps, and how a scheduler that knows no weights takes them. Otherwise the least loaded would get every new
connection until it has as many as the others (F5: slow ramp time; nginx: slow_start).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.model.real_server import Admin
from lasthop.policy.schedulers import SCHEDULERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lasthop.model.health import Key
    from lasthop.model.real_server import RealServer
    from lasthop.model.service import Service
    from lasthop.policy.schedulers.scheduler import Scheduler

#: Steps; all weights of a service are so many times larger while one of its real servers is on its way.
STEPS = 10
#: Schedulers that give to each alike, and what does the same by weights.
_WEIGHTED = {"rr": "wrr", "lc": "wlc"}


def tenths(services: Iterable[Service], begun: Mapping[Key, float], now: float) -> dict[Key, int]:
    """Return how many tenths of its weight each real server has that is on its way; `begun` is when it came."""
    found = {}
    for service in services:
        for server in service.real_servers if service.slow_start else ():
            at = begun.get((service.label, server.name))
            if at is not None and now < at + service.slow_start:
                found[service.label, server.name] = max(1, _steps(service, at, now))
    return found


def coming(
    begun: Mapping[Key, float], before: Iterable[Service], after: Iterable[Service], now: float
) -> dict[Key, float]:
    """Return `begun` with who is wanted in `after` and was not in `before`; a service that is new begins as a whole."""
    known = {service.label: {server.name for server in service.real_servers if _wanted(server)} for service in before}
    found = {}
    for service in after:
        for server in service.real_servers:
            key = service.label, server.name
            if not _wanted(server):
                continue
            if key in begun:
                found[key] = begun[key]
            if server.name not in known.get(service.label, {server.name}):
                found[key] = now
    return found


def _wanted(server: RealServer) -> bool:
    return server.admin is Admin.ENABLED and server.weight > 0


def next_step(services: Iterable[Service], begun: Mapping[Key, float], now: float) -> float | None:
    """Return when the next step is due, None if nobody is on its way."""
    dates = [
        at + service.slow_start * (max(1, _steps(service, at, now)) + 1) / STEPS
        for service in services
        if service.slow_start
        for server in service.real_servers
        if (at := begun.get((service.label, server.name))) is not None and now < at + service.slow_start
    ]
    return min(dates, default=None)


def _steps(service: Service, at: float, now: float) -> int:
    return int((now - at) * STEPS / service.slow_start)


def scheduler_for(name: str, *, weighted: bool) -> Scheduler:
    """Return a scheduler; `weighted`: one that does the same by weights."""
    return SCHEDULERS[_WEIGHTED.get(name, name) if weighted else name]


def scaled(weight: int, scheduler: str, steps: int) -> int:
    """Return what a weight is in a service where somebody is on its way; `steps` of ten are its own.

    With ovf a weight is a number of connections, and stays one; where all get alike, only the steps make a difference.
    """
    if scheduler == "ovf":
        return max(1, weight * steps // STEPS) if weight else 0
    if scheduler in _WEIGHTED:
        weight = min(weight, 1)
    return weight * steps
