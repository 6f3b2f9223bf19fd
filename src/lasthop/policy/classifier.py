"""Which packets each service takes: matches and mark rules as the rules of the plan.

Owns their order, whose packets a mark's are, and that a service takes nothing from another zone. How one match is
multiplied out is `lasthop.policy.rules`'.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lasthop.errors import DirectorError, NetworkError
from lasthop.model.rule import ANY_REAL_SERVER
from lasthop.policy.limits import MAX_RULES
from lasthop.policy.rules import expand, of_family, rule_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lasthop.model.configuration import Configuration
    from lasthop.model.rule import Match
    from lasthop.model.service import Service
    from lasthop.policy.placement import Legs, Placement
    from lasthop.policy.plan import PlannedRule

#: Families of packets, as a match and a service name them.
_BOTH = ("ipv4", "ipv6")


def plan_rules(configuration: Configuration, placements: Sequence[Placement], legs: Legs) -> tuple[PlannedRule, ...]:
    """Return the rules in the order they are tried.

    Raises DirectorError where there are more than the data plane holds, NetworkError where a match reaches into another
    zone than its service's.
    """
    matches = list(_matches(configuration, placements, legs))
    count = sum(rule_count(match) for match, _, _ in matches)
    if count > MAX_RULES:
        raise DirectorError(
            f"the matches make {count} rules when their lists are multiplied out, and a director holds {MAX_RULES}",
            "use fewer values in lists, wider prefixes, or port ranges; a match that names no leg counts once for "
            "each leg of its zone",
        )
    return tuple(rule for match, service, place in matches for rule in expand(match, service, place))


def _matches(
    configuration: Configuration, placements: Sequence[Placement], legs: Legs
) -> Iterator[tuple[Match, str | None, str]]:
    """Yield each match with its service's label and its place in the configuration, in the order they are tried."""
    for i, pass_rule in enumerate(configuration.pass_rules):
        for j, match in enumerate(pass_rule.matches):
            yield match, None, f"pass[{i}].match[{j}]"
    placed = list(zip(configuration.services, placements, strict=True))
    marked = _by_mark(placed)
    for i, (service, _) in enumerate(placed):
        for j, match in enumerate(service.matches):
            own = (service.family,) if service.family else _BOTH
            for held, takes, placement in _shared(match, marked[service.mark], own):
                yield _in_zone(takes, held, placement, placements, legs), takes.label, f"service[{i}].match[{j}]"
    for i, rule in enumerate(configuration.mark_rules):
        for held, service, placement in _shared(rule.match, marked.get(rule.mark, {}), _BOTH):
            there = _of_senders_there(held, placement, placements)
            if there is not None:
                yield _in_zone(service, there, placement, placements, legs), service.label, f"mark rule {i + 1}"


def _by_mark(placed: Iterable[tuple[Service, Placement]]) -> dict[int, dict[str, tuple[Service, Placement]]]:
    """Return the services of each mark by the family of the packets they take; one may take both."""
    found: dict[int, dict[str, tuple[Service, Placement]]] = {}
    for service, placement in placed:
        if service.mark:
            of_mark = found.setdefault(service.mark, {})
            if service.family:
                of_mark[service.family] = service, placement
            else:
                of_mark.update({family: (service, placement) for family in _BOTH if family not in of_mark})
    return found


def _shared(
    match: Match, services: Mapping[str, tuple[Service, Placement]], families: Iterable[str]
) -> Iterator[tuple[Match, Service, Placement]]:
    """Yield what of a match each service of its mark takes."""
    taking = {family: services[family] for family in families if family in services}
    if len(taking) == len(_BOTH) and taking["ipv4"] == taking["ipv6"]:
        yield match, *taking["ipv4"]
        return
    for family, (service, placement) in taking.items():
        held = of_family(match, family)
        if held is not None:
            yield held, service, placement


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
