"""From the health of single checks to what it makes of a configuration: who is down, dead, or below quorum.

Owns that judgement. How checks are done is `lasthop.health`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.model.health import Effective, Health
from lasthop.model.real_server import Admin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lasthop.model.service import Service

#: (service label, real server)
Key = tuple[str, str]


def effective(
    services: Iterable[Service], health: Mapping[Key, tuple[Health, float]], now: float, before: Effective
) -> Effective:
    """Return what `health` (of each check, and since when) makes of `services` at `now`.

    A box is down in all services if one of its checks says so, from the first of them on. `before` is what was so until
    now: a service that is below its quorum stays so until it has the hysteresis beyond it (keepalived: quorum).
    """
    since = _down_since(health)
    listed = list(services)
    dead = {
        (service.label, server.name)
        for service in listed
        for server in service.real_servers
        if server.name in since and now >= since[server.name] + service.grace
    }
    empty = {service.label for service in listed if _below(service, since, was=service.label in before.empty)}
    return Effective(frozenset(since), frozenset(dead), frozenset(empty))


def next_death(services: Iterable[Service], health: Mapping[Key, tuple[Health, float]], now: float) -> float | None:
    """Return when the next grace ends, None if none runs."""
    since = _down_since(health)
    ends = [
        since[server.name] + service.grace
        for service in services
        if service.grace
        for server in service.real_servers
        if server.name in since
    ]
    return min((end for end in ends if end > now), default=None)


def _down_since(health: Mapping[Key, tuple[Health, float]]) -> dict[str, float]:
    """Return since when each box is down: since the first of its checks says so."""
    since: dict[str, float] = {}
    for (_, name), (said, at) in health.items():
        if said is Health.DOWN:
            since[name] = min(at, since.get(name, at))
    return since


def _below(service: Service, down: Mapping[str, float], *, was: bool) -> bool:
    if not service.quorum:
        return False
    weight = sum(
        server.weight for server in service.real_servers if server.name not in down and server.admin is Admin.ENABLED
    )
    return weight < service.quorum + (service.hysteresis if was else 0)
