"""From a configuration and its surroundings to the plan.

Owns how intent and observation become what the data plane shall hold. Nothing is read or written here, and nothing is
laid out for maps: the same arguments always give the same plan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lasthop.errors import DirectorError, NetworkError
from lasthop.model.rule import ANY_REAL_SERVER
from lasthop.policy.limits import MAX_RULES
from lasthop.policy.placement import place_services, plan_legs
from lasthop.policy.plan import Plan, PlannedServer, PlannedService
from lasthop.policy.rules import expand, rule_count
from lasthop.policy.schedulers import SCHEDULERS, rendezvous

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lasthop.model.configuration import Configuration
    from lasthop.model.real_server import Address, RealServer
    from lasthop.model.rule import Match
    from lasthop.model.service import Service
    from lasthop.policy.placement import Legs, Placement
    from lasthop.policy.plan import PlannedLeg, PlannedRule
    from lasthop.policy.surroundings import Surroundings


def compile_plan(configuration: Configuration, surroundings: Surroundings) -> Plan:
    """Return what the data plane shall hold for `configuration` on a machine as `surroundings` has it.

    A real server without a MAC address, or on a leg that is down, is part of the plan and not usable.

    Raises NetworkError where the configuration does not fit the machine (no such interface, a real server on no leg,
    a service in two zones), DirectorError where it makes more rules than the data plane holds.
    """
    legs = plan_legs(configuration.legs, surroundings)
    placements = place_services(configuration.services, legs, surroundings)
    return Plan(
        legs=tuple(legs.values()),
        rules=_plan_rules(configuration, placements, legs),
        services=tuple(
            _plan_service(service, placement, surroundings)
            for service, placement in zip(configuration.services, placements, strict=True)
        ),
        local=surroundings.local,
        server_addresses=_plan_server_addresses(configuration.services, placements),
        timeouts=configuration.director.timeouts,
        neighbours=_plan_neighbours(legs, surroundings),
    )


def addresses_to_resolve(plan: Plan) -> frozenset[tuple[int, Address]]:
    """Return the (ifindex, address) pairs of all real servers: their MAC addresses are wanted and kept fresh."""
    ifindexes = {leg.name: leg.ifindex for leg in plan.legs}
    return frozenset((ifindexes[server.leg], server.address) for service in plan.services for server in service.servers)


def _plan_neighbours(legs: Legs, surroundings: Surroundings) -> tuple[tuple[str, str, Address], ...]:
    names = {leg.ifindex: leg.name for leg in legs.values()}
    return tuple(
        (names[ifindex], mac, address)
        for (ifindex, address), mac in surroundings.neighbours.items()
        if ifindex in names
    )


def _plan_service(service: Service, placement: Placement, surroundings: Surroundings) -> PlannedService:
    scheduler = SCHEDULERS[service.scheduler]
    servers = tuple(_plan_server(server, leg, surroundings) for server, leg in placement)
    persistence = service.persistence
    return PlannedService(
        label=service.label,
        mark=service.mark,
        choice=scheduler.choice,
        scheduler=scheduler.name,
        servers=servers,
        turns=scheduler.turns(servers),
        fallback=rendezvous.table(servers),
        persistence_s=persistence.timeout if persistence else None,
        persistence_prefix=persistence.prefix if persistence else 32,
        when_empty=service.when_empty,
        scheduler_flags=service.scheduler_flags,
    )


def _plan_server(server: RealServer, leg: PlannedLeg, surroundings: Surroundings) -> PlannedServer:
    mac = surroundings.neighbours.get((leg.ifindex, server.address))
    return PlannedServer(
        name=server.name,
        address=server.address,
        leg=leg.name,
        mac=mac,
        weight=server.weight,
        usable=mac is not None and leg.up,
    )


def _plan_rules(configuration: Configuration, placements: Sequence[Placement], legs: Legs) -> tuple[PlannedRule, ...]:
    matches = list(_matches(configuration, placements, legs))
    count = sum(rule_count(match) for match, _ in matches)
    if count > MAX_RULES:
        raise DirectorError(
            f"the matches make {count} rules when their lists are multiplied out, and a director holds {MAX_RULES}",
            "use fewer values in lists, wider prefixes, or port ranges; a match that names no leg counts once for "
            "each leg of its zone",
        )
    return tuple(rule for match, service in matches for rule in expand(match, service))


def _matches(
    configuration: Configuration, placements: Sequence[Placement], legs: Legs
) -> Iterator[tuple[Match, str | None]]:
    """Yield each match with its service's label in the order they are tried."""
    for pass_rule in configuration.pass_rules:
        for match in pass_rule.matches:
            yield match, None
    for service, placement in zip(configuration.services, placements, strict=True):
        zone = placement[0][1].zone
        for match in service.matches:
            _require_source_in_zone(service, match, zone, placements)
            yield _held_to_zone(match, zone, legs), service.label


def _held_to_zone(match: Match, zone: str, legs: Legs) -> Match:
    """Return `match` so that it takes nothing from another zone, where the service's real servers are not."""
    in_zone = tuple(leg.name for leg in legs.values() if leg.zone == zone)
    if match.legs or len(in_zone) == len(legs):
        return match
    return replace(match, legs=in_zone)


def _require_source_in_zone(service: Service, match: Match, zone: str, placements: Sequence[Placement]) -> None:
    there = {server.name for placement in placements for server, leg in placement if leg.zone == zone}
    for name in match.source_real_servers:
        if name != ANY_REAL_SERVER and name not in there:
            raise NetworkError(
                f"service {service.label} matches source_real_server '{name}', which has no address in the service's "
                f"zone {zone}",
                f"name it as a real server of a service in zone {zone}, or leave it out of the match",
            )


def _plan_server_addresses(
    services: Sequence[Service], placements: Sequence[Placement]
) -> tuple[tuple[str, Address, str, str], ...]:
    """Return who gets packets to a real server's own address, in each zone.

    A box has an address in each zone, and reaches are not symmetric: from zone edge, its address in zone core lies
    behind the box itself. So in a zone every address of a name leads to the name's real server there. The addresses
    of the zone come first, should the zones' address ranges overlap.
    """
    in_zone: dict[tuple[str, str], tuple[str, Address]] = {}
    anywhere: dict[str, dict[Address, None]] = {}
    for service, placement in zip(services, placements, strict=True):
        for server, leg in placement:
            in_zone.setdefault((leg.zone, server.name), (service.label, server.address))
            anywhere.setdefault(server.name, {})[server.address] = None
    found: dict[tuple[str, Address], tuple[str, str]] = {}
    for (zone, name), (label, address) in in_zone.items():
        found[zone, address] = (label, name)
    for (zone, name), (label, _) in in_zone.items():
        for address in anywhere[name]:
            found.setdefault((zone, address), (label, name))
    return tuple((zone, address, label, name) for (zone, address), (label, name) in found.items())
