"""A plan where the configuration no longer fits the machine.

Owns what can still be said when an interface or a subnet went away under a running director: what is placed stays where
it was placed. Mostly the configuration still says all else (`standing`); if it does not, only what was observed changes
(`refresh`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lasthop.policy.placement import plan_neighbours, seen_now
from lasthop.policy.schedulers import rendezvous
from lasthop.policy.slow_start import scheduler_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.model.leg import Leg
    from lasthop.policy.plan import Plan, PlannedLeg, PlannedService
    from lasthop.policy.surroundings import Surroundings


def standing(surroundings: Surroundings, before: Surroundings, legs: Iterable[Leg]) -> Surroundings:
    """Return `surroundings` with what legs lost since `before`: subnets, and their interface, which is down then."""
    links = dict(surroundings.links)
    for leg in legs:
        was, now = before.links.get(leg.interface), surroundings.links.get(leg.interface)
        if was is None:
            continue
        if now is None:
            links[leg.interface] = replace(was, up=False)
        else:
            links[leg.interface] = replace(now, addresses=tuple(dict.fromkeys((*now.addresses, *was.addresses))))
    return replace(surroundings, links=links)


def refresh(plan: Plan, surroundings: Surroundings) -> Plan:
    """Return `plan` with the links and neighbours of `surroundings`; a leg without its interface is down."""
    legs = {leg.name: _refresh_leg(leg, surroundings) for leg in plan.legs}
    return replace(
        plan,
        legs=tuple(legs.values()),
        services=tuple(_refresh_service(service, legs, surroundings) for service in plan.services),
        local=surroundings.local,
        neighbours=plan_neighbours(legs, surroundings),
    )


def _refresh_leg(leg: PlannedLeg, surroundings: Surroundings) -> PlannedLeg:
    return seen_now(leg, leg.own_macs - {leg.mac}, surroundings)


def _refresh_service(
    service: PlannedService, legs: dict[str, PlannedLeg], surroundings: Surroundings
) -> PlannedService:
    servers = []
    for server in service.servers:
        leg = legs[server.leg]
        mac = surroundings.neighbours.get((leg.neighbours_on, server.address))
        fit = not (server.dead or server.down or server.standby or service.below_quorum)
        servers.append(replace(server, mac=mac, usable=mac is not None and leg.up and fit))
    return replace(
        service,
        servers=tuple(servers),
        turns=scheduler_for(service.scheduler, weighted=service.weight_scale > 1).turns(tuple(servers)),
        fallback=rendezvous.table(tuple(servers)),
    )
