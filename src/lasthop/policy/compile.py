"""From a configuration and its surroundings to the plan.

Owns how intent and observation become what the data plane shall hold. Nothing is read or written here, and nothing is
laid out for maps: the same arguments always give the same plan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lasthop.errors import DirectorError, NetworkError
from lasthop.model.real_server import Admin
from lasthop.model.rule import ANY_REAL_SERVER
from lasthop.policy.limits import MAX_RULES
from lasthop.policy.placement import Ground, plan_legs, plan_neighbours, require_one_identity
from lasthop.policy.plan import Plan, PlannedServer, PlannedService
from lasthop.policy.rules import expand, rule_count
from lasthop.policy.schedulers import SCHEDULERS, rendezvous

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lasthop.model.configuration import Configuration
    from lasthop.model.director import Settings
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
    return Compiler().plan(configuration, surroundings)


class Compiler:
    """Compiles one configuration after the other; what does not change is not made again, and stays the same object."""

    def __init__(self) -> None:
        self._surroundings: Surroundings | None = None
        self._legs: Legs = {}
        self._services: dict[str, tuple[Service, Placement, PlannedService]] = {}
        self._rules: tuple[object, tuple[PlannedRule, ...]] = (None, ())
        self._plan: Plan | None = None
        self._settings: Settings | None = None

    def plan(self, configuration: Configuration, surroundings: Surroundings) -> Plan:
        """See `compile_plan`. If it raises, nothing is remembered of it."""
        legs = plan_legs(configuration.legs, surroundings)
        seen = self._surroundings
        placed_alike = seen is not None and legs == self._legs and surroundings.links == seen.links
        known = self._services if placed_alike else {}
        ground = Ground(legs, surroundings)
        placements = [
            _placed_again(service, known.get(service.label)) or ground.place(service)
            for service in configuration.services
        ]
        moved = not known or _moved(configuration.services, placements, known)
        if moved:
            require_one_identity(placements)
        settings = configuration.director.settings
        resolved_alike = (
            bool(known)
            and seen is not None
            and surroundings.neighbours == seen.neighbours
            and settings == self._settings
        )
        services = {
            service.label: (
                service,
                placement,
                _planned_again(service, known.get(service.label), resolved_alike=resolved_alike)
                or _plan_service(service, placement, surroundings, settings),
            )
            for service, placement in zip(configuration.services, placements, strict=True)
        }
        before = None if moved else self._plan
        plan = Plan(
            legs=tuple(legs.values()),
            rules=self._planned_rules(configuration, placements, legs, again=not moved),
            services=tuple(planned for _, _, planned in services.values()),
            local=surroundings.local,
            server_addresses=before.server_addresses
            if before
            else _plan_server_addresses(configuration.services, placements),
            timeouts=configuration.director.timeouts,
            settings=settings,
            neighbours=self._plan.neighbours if self._plan and resolved_alike else plan_neighbours(legs, surroundings),
        )
        self._surroundings, self._legs, self._services, self._plan = surroundings, legs, services, plan
        self._settings = settings
        return plan

    def _planned_rules(
        self, configuration: Configuration, placements: Sequence[Placement], legs: Legs, *, again: bool
    ) -> tuple[PlannedRule, ...]:
        made_from = (
            configuration.pass_rules,
            configuration.mark_rules,
            [(service.label, service.matches) for service in configuration.services],
        )
        if not again or self._rules[0] != made_from:
            self._rules = (made_from, _plan_rules(configuration, placements, legs))
        return self._rules[1]


def _placed_again(service: Service, known: tuple[Service, Placement, PlannedService] | None) -> Placement | None:
    """Return the placement of a service whose real servers are where they were, None for another."""
    if known is None:
        return None
    was, placement, _ = known
    if service is was:
        return placement
    if service.matches != was.matches or len(service.real_servers) != len(placement):
        return None
    if any(
        (new.name, new.address, new.leg) != (old.name, old.address, old.leg)
        for new, old in zip(service.real_servers, was.real_servers, strict=True)
    ):
        return None
    return tuple((server, leg) for server, (_, leg) in zip(service.real_servers, placement, strict=True))


def _moved(
    services: Sequence[Service],
    placements: Sequence[Placement],
    known: dict[str, tuple[Service, Placement, PlannedService]],
) -> bool:
    """Whether any real server came, went, or is another box or elsewhere."""
    if len(services) != len(known):
        return True
    for (label, (was, placement, _)), service, now in zip(known.items(), services, placements, strict=True):
        if service is was:
            continue
        if service.label != label or [(s.name, s.address, leg.name) for s, leg in now] != [
            (s.name, s.address, leg.name) for s, leg in placement
        ]:
            return True
    return False


def _planned_again(
    service: Service, known: tuple[Service, Placement, PlannedService] | None, *, resolved_alike: bool
) -> PlannedService | None:
    return known[2] if known is not None and resolved_alike and known[0] is service else None


def addresses_to_resolve(plan: Plan) -> frozenset[tuple[int, Address]]:
    """Return the (ifindex, address) pairs of real servers and gateways: their MAC addresses are wanted and kept fresh.

    Not those of a tagged leg without a VLAN device: the kernel would ask without a tag, and others would answer.
    """
    devices = {leg.name: leg.device for leg in plan.legs}
    wanted = {(devices[server.leg], server.address) for service in plan.services for server in service.servers}
    wanted |= {(leg.device, gateway) for leg in plan.legs for gateway in leg.gateways}
    return frozenset(pair for pair in wanted if pair[0])


def _plan_service(
    service: Service, placement: Placement, surroundings: Surroundings, settings: Settings
) -> PlannedService:
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
        zone=placement[0][1].zone if placement else None,
        virtual_address=service.virtual_address,
        one_packet=service.one_packet,
        on_death=service.on_death,
        expire_quiescent_template=settings.expire_quiescent_template,
    )


def _plan_server(server: RealServer, leg: PlannedLeg, surroundings: Surroundings) -> PlannedServer:
    mac = surroundings.neighbours.get((leg.neighbours_on, server.address))
    return PlannedServer(
        name=server.name,
        address=server.address,
        leg=leg.name,
        mac=mac,
        weight=0 if server.admin is Admin.DRAINED else server.weight,
        usable=mac is not None and leg.up and server.admin is not Admin.DISABLED,
        upper_threshold=server.upper_threshold,
        lower_threshold=server.lower_threshold,
        admin=server.admin,
        configured_weight=server.weight,
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
    placed = list(zip(configuration.services, placements, strict=True))
    for service, placement in placed:
        for match in service.matches:
            yield _in_zone(service, match, placement, placements, legs), service.label
    marked = {service.mark: (service, placement) for service, placement in placed if service.mark}
    for rule in configuration.mark_rules:
        if rule.mark in marked:
            service, placement = marked[rule.mark]
            held = _of_senders_there(rule.match, placement, placements)
            if held is not None:
                yield _in_zone(service, held, placement, placements, legs), service.label


def _of_senders_there(match: Match, placement: Placement, placements: Sequence[Placement]) -> Match | None:
    """Return a mark rule's match without senders that are no real servers of the zone now; None if none is left.

    A rule may be there before its services are, or after.
    """
    if not match.source_real_servers or not placement:
        return match
    there = {ANY_REAL_SERVER} | {
        s.name for placed in placements for s, leg in placed if leg.zone == placement[0][1].zone
    }
    left = tuple(name for name in match.source_real_servers if name in there)
    return replace(match, source_real_servers=left) if left else None


def _in_zone(
    service: Service, match: Match, placement: Placement, placements: Sequence[Placement], legs: Legs
) -> Match:
    """Return `match` held to the zone of the service's real servers.

    Without any its zone is not known; its packets are its own all the same, and not to go somewhere else.
    """
    if not placement:
        return match
    zone = placement[0][1].zone
    if match.source_real_servers:
        _require_source_in_zone(service, match, zone, placements)
    _require_legs_in_zone(service, match, zone, legs)
    return _held_to_zone(match, zone, legs)


def _require_legs_in_zone(service: Service, match: Match, zone: str, legs: Legs) -> None:
    for name in match.legs:
        if legs[name].zone != zone:
            raise NetworkError(
                f"service {service.label} matches leg '{name}' (zone {legs[name].zone}), but its real "
                f"servers are in zone {zone}",
                f"match legs of zone {zone}",
            )


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
