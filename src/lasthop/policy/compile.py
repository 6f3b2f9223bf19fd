"""From a configuration and its surroundings to the plan.

Owns how intent and observation become what the data plane shall hold. Nothing is read or written here, and nothing is
laid out for maps: the same arguments always give the same plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.model.director import OnDetach
from lasthop.model.health import Effective
from lasthop.model.real_server import Admin
from lasthop.policy.classifier import plan_rules
from lasthop.policy.placement import Ground, plan_legs, plan_neighbours, require_one_identity
from lasthop.policy.plan import Plan, PlannedServer, PlannedService
from lasthop.policy.schedulers import rendezvous
from lasthop.policy.slow_start import STEPS, scaled, scheduler_for
from lasthop.policy.stand_in import in_places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lasthop.model.configuration import Configuration
    from lasthop.model.director import Settings
    from lasthop.model.real_server import Address, RealServer
    from lasthop.model.service import Service
    from lasthop.policy.placement import Legs, Placement
    from lasthop.policy.plan import PlannedLeg, PlannedRule
    from lasthop.policy.surroundings import Surroundings


#: Nobody is down.
ALL_WELL = Effective()


def compile_plan(configuration: Configuration, surroundings: Surroundings, health: Effective = ALL_WELL) -> Plan:
    """Return what the data plane shall hold for `configuration` on a machine as `surroundings` has it.

    A real server without a MAC address, on a leg that is down, or that is down by its health is part of the plan and
    not usable.

    Raises NetworkError where the configuration does not fit the machine (no such interface, a real server on no leg,
    a service in two zones), DirectorError where it makes more rules than the data plane holds.
    """
    return Compiler().plan(configuration, surroundings, health)


class Compiler:
    """Compiles one configuration after the other; what does not change is not made again, and stays the same object."""

    def __init__(self) -> None:
        self._surroundings: Surroundings | None = None
        self._legs: Legs = {}
        self._services: dict[str, tuple[Service, Placement, PlannedService]] = {}
        self._rules: tuple[object, tuple[PlannedRule, ...]] = (None, ())
        self._plan: Plan | None = None
        self._settings: Settings | None = None
        self._health = ALL_WELL

    def plan(self, configuration: Configuration, surroundings: Surroundings, health: Effective = ALL_WELL) -> Plan:
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
        changed = _changed_health(self._health, health)
        services = {
            service.label: (
                service,
                placement,
                _planned_again(service, known.get(service.label), changed, resolved_alike=resolved_alike)
                or _plan_service(service, placement, surroundings, settings, health),
            )
            for service, placement in zip(configuration.services, placements, strict=True)
        }
        before = None if moved or health.stand_ins != self._health.stand_ins else self._plan
        plan = Plan(
            legs=tuple(legs.values()),
            rules=self._planned_rules(configuration, placements, legs, again=not moved),
            services=tuple(planned for _, _, planned in services.values()),
            local=surroundings.local,
            server_addresses=before.server_addresses
            if before
            else _plan_server_addresses(configuration.services, placements, health.stand_ins),
            timeouts=configuration.director.timeouts,
            settings=settings,
            closes=configuration.director.on_detach is OnDetach.CLOSED,
            neighbours=self._plan.neighbours if self._plan and resolved_alike else plan_neighbours(legs, surroundings),
        )
        self._surroundings, self._legs, self._services, self._plan = surroundings, legs, services, plan
        self._settings, self._health = settings, health
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
            self._rules = (made_from, plan_rules(configuration, placements, legs))
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
        (new.name, new.address, new.leg, new.other_addresses) != (old.name, old.address, old.leg, old.other_addresses)
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
        if service.label != label or _places(now) != _places(placement):
            return True
    return False


def _places(placement: Placement) -> list[tuple[str, Address, tuple[Address, ...], str]]:
    return [(server.name, server.address, server.other_addresses, leg.name) for server, leg in placement]


def _planned_again(
    service: Service,
    known: tuple[Service, Placement, PlannedService] | None,
    changed: frozenset[str],
    *,
    resolved_alike: bool,
) -> PlannedService | None:
    """Return the plan of a service that is as it was; `changed` are labels and names whose health is not."""
    if known is None or not resolved_alike or known[0] is not service:
        return None
    if changed and (service.label in changed or any(server.name in changed for server in service.real_servers)):
        return None
    return known[2]


def _changed_health(before: Effective, after: Effective) -> frozenset[str]:
    """Return names of real servers, and labels of services, that health makes something else of now."""
    if before == after:
        return frozenset()
    dead = before.dead ^ after.dead
    pairs = before.stand_ins.items() ^ after.stand_ins.items()
    weighed = (before.weights.items() ^ after.weights.items()) | (before.tenths.items() ^ after.tenths.items())
    return (
        (before.down ^ after.down)
        | (before.empty ^ after.empty)
        | {name for _, name in dead}
        | {name for name, _ in pairs}
        | {label for (label, _), _ in weighed}
    )


def addresses_to_resolve(plan: Plan) -> frozenset[tuple[int, Address]]:
    """Return the (ifindex, address) pairs of real servers and gateways: their MAC addresses are wanted and kept fresh.

    Not those of a tagged leg without a VLAN device: the kernel would ask without a tag, and others would answer.
    """
    devices = {leg.name: leg.device for leg in plan.legs}
    wanted = {(devices[server.leg], server.address) for service in plan.services for server in service.servers}
    wanted |= {(leg.device, gateway) for leg in plan.legs for gateway in leg.gateways}
    return frozenset(pair for pair in wanted if pair[0])


def _plan_service(
    service: Service, placement: Placement, surroundings: Surroundings, settings: Settings, health: Effective
) -> PlannedService:
    on_the_way = any((service.label, server.name) in health.tenths for server in service.real_servers)
    scheduler = scheduler_for(service.scheduler, weighted=on_the_way)
    scale = STEPS if on_the_way and service.scheduler != "ovf" else 1
    servers = tuple(
        _plan_server(server, box, leg, surroundings, service, health, on_the_way=on_the_way)
        for server, box, leg in in_places(placement, health.stand_ins)
    )
    persistence = service.persistence
    return PlannedService(
        label=service.label,
        mark=service.mark,
        choice=scheduler.choice,
        scheduler=service.scheduler,
        servers=servers,
        turns=scheduler.turns(servers),
        fallback=rendezvous.table(servers),
        persistence_s=persistence.timeout if persistence else None,
        persistence_prefix=persistence.prefix if persistence else 32,
        persistence_prefix6=persistence.prefix6 if persistence else 128,
        related=service.related,
        when_empty=service.when_empty,
        scheduler_flags=service.scheduler_flags,
        zone=placement[0][1].zone if placement else None,
        virtual_address=service.virtual_address,
        one_packet=service.one_packet,
        on_death=service.on_death,
        expire_quiescent_template=settings.expire_quiescent_template,
        below_quorum=service.label in health.empty,
        weight_scale=scale,
    )


def _plan_server(
    server: RealServer,
    box: RealServer,
    leg: PlannedLeg,
    surroundings: Surroundings,
    service: Service,
    health: Effective,
    *,
    on_the_way: bool,
) -> PlannedServer:
    """`box` is who is in the place of `server`, on `leg`: itself, or its backup."""
    label = service.label
    mac = surroundings.neighbours.get((leg.neighbours_on, box.address))
    down = box.name in health.down
    replaced = box is not server
    wanted = box.admin is not Admin.DISABLED and not down and label not in health.empty and not server.backup_of
    weight = health.weights.get((label, box.name), server.weight)
    if on_the_way:
        weight = scaled(weight, service.scheduler, health.tenths.get((label, box.name), STEPS))
    return PlannedServer(
        name=server.name,
        address=box.address,
        leg=leg.name,
        mac=mac,
        weight=0 if server.admin is Admin.DRAINED or server.backup_of else weight,
        usable=mac is not None and leg.up and wanted,
        upper_threshold=server.upper_threshold,
        lower_threshold=server.lower_threshold,
        admin=box.admin if replaced else server.admin,
        configured_weight=server.weight,
        other_addresses=box.other_addresses,
        down=down,
        died=(label, box.name) in health.dead,
        stand_in=box.name if replaced and not server.backup_of else "",
        standby=bool(server.backup_of),
    )


def _plan_server_addresses(
    services: Sequence[Service], placements: Sequence[Placement], stand_ins: Mapping[str, str]
) -> tuple[tuple[str, Address, str, str], ...]:
    """Return who gets packets to a real server's own address, in each zone.

    A box has an address in each zone, and reaches are not symmetric: from zone edge, its address in zone core lies
    behind the box itself. So in a zone every address of a name leads to the name's real server there. The addresses
    of the zone come first, should the zones' address ranges overlap.
    """
    services_of: dict[tuple[str, str], str] = {}
    in_zone: dict[tuple[str, str], dict[Address, None]] = {}
    anywhere: dict[str, dict[Address, None]] = {}
    for service, placement in zip(services, placements, strict=True):
        for server, box, leg in in_places(placement, stand_ins):
            addresses = dict.fromkeys((box.address, *box.other_addresses))
            services_of.setdefault((leg.zone, server.name), service.label)
            in_zone.setdefault((leg.zone, server.name), {}).update(addresses)
            anywhere.setdefault(server.name, {}).update(addresses)
    found: dict[tuple[str, Address], tuple[str, str]] = {}
    for (zone, name), addresses in in_zone.items():
        for address in addresses:
            found[zone, address] = (services_of[zone, name], name)
    for (zone, name), label in services_of.items():
        for address in anywhere[name]:
            found.setdefault((zone, address), (label, name))
    return tuple((zone, address, label, name) for (zone, address), (label, name) in found.items())
