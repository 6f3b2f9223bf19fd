"""From the health of single checks to what it makes of a configuration: who is down, dead, weighs less, is replaced.

Owns that judgement. How checks are done is `lasthop.health`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.model.health import Effective, Health
from lasthop.model.real_server import Admin
from lasthop.policy.slow_start import next_step, tenths
from lasthop.policy.stand_in import stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lasthop.model.health import Key, Known
    from lasthop.model.service import Service


def effective(
    services: Iterable[Service],
    health: Mapping[Key, Known],
    now: float,
    before: Effective,
    come: Mapping[Key, float] | None = None,
) -> Effective:
    """Return what `health` makes of `services` at `now`.

    A box is down in all services if one of its checks says so, from the first of them on. `before` is what was so until
    now: a service that is below its quorum stays so until it has the hysteresis beyond it (keepalived: quorum), and a
    backup keeps the place it took. `come` is when real servers were added or enabled.
    """
    since = _down_since(health)
    listed = list(services)
    places = stand_ins(listed, since.keys(), before.stand_ins)
    dead = {
        (service.label, server.name)
        for service in listed
        for server in service.real_servers
        if server.name in since and now >= since[server.name] + service.grace
    }
    empty = {service.label for service in listed if _below(service, since, places, was=service.label in before.empty)}
    return Effective(
        down=frozenset(since),
        dead=frozenset(dead),
        empty=frozenset(empty),
        weights={key: known.weight for key, known in health.items() if known.weight is not None},
        tenths=tenths(listed, _began(listed, health, come or {}), now),
        stand_ins=places,
    )


def next_change(
    services: Iterable[Service], health: Mapping[Key, Known], now: float, come: Mapping[Key, float] | None = None
) -> float | None:
    """Return when time alone makes something else of `health`: a grace ends, a slow start goes on. None: never."""
    since = _down_since(health)
    listed = list(services)
    ends = [
        since[server.name] + service.grace
        for service in listed
        if service.grace
        for server in service.real_servers
        if server.name in since
    ]
    step = next_step(listed, _began(listed, health, come or {}), now)
    return min((end for end in (*ends, step) if end is not None and end > now), default=None)


def _down_since(health: Mapping[Key, Known]) -> dict[str, float]:
    """Return since when each box is down: since the first of its checks says so."""
    since: dict[str, float] = {}
    for (_, name), known in health.items():
        if known.health is Health.DOWN:
            since[name] = min(known.since, since.get(name, known.since))
    return since


def _began(services: Iterable[Service], health: Mapping[Key, Known], come: Mapping[Key, float]) -> dict[Key, float]:
    """Return when each real server began to get connections: when the last of its checks let it, or its operator."""
    risen: dict[str, float] = {}
    for (_, name), known in health.items():
        if known.risen is not None:
            risen[name] = max(known.risen, risen.get(name, known.risen))
    began = dict(come)
    for service in services:
        for server in service.real_servers:
            if server.name in risen:
                key = service.label, server.name
                began[key] = max(risen[server.name], began.get(key, 0.0))
    return began


def _below(service: Service, down: Mapping[str, float], places: Mapping[str, str], *, was: bool) -> bool:
    if not service.quorum:
        return False
    boxes = {server.name: server for server in service.real_servers}
    weight = 0
    for server in service.real_servers:
        box = boxes.get(places.get(server.name, ""), server)
        if not server.backup_of and box.name not in down and box.admin is Admin.ENABLED:
            weight += server.weight
    return weight < service.quorum + (service.hysteresis if was else 0)
