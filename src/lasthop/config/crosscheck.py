"""Keys that must fit each other: names that are given once and lead somewhere, zones that are kept apart, limits.

Owns the checks across tables. They read the document as TOML gave it and pass over what the schema refuses, so that
one run finds every mistake. Checks that need the machine's interfaces are `lasthop.policy.placement`'s.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from itertools import chain
from typing import TYPE_CHECKING

from lasthop.config.crosscheck_api import api_findings
from lasthop.config.crosscheck_backup import backup_findings
from lasthop.config.crosscheck_health import health_findings
from lasthop.config.crosscheck_leg import leg_findings
from lasthop.config.crosscheck_match import match_findings
from lasthop.config.crosscheck_service import service_findings
from lasthop.config.document import Finding, Place, Table, known_words, path, tables, text, texts
from lasthop.model.rule import ANY_REAL_SERVER
from lasthop.policy.limits import MAX_LEGS, MAX_SERVERS, MAX_SERVERS_PER_SERVICE, MAX_SERVICES
from lasthop.policy.schedulers import SCHEDULERS

if TYPE_CHECKING:
    from collections.abc import Iterator


def cross_check(document: Table) -> Iterator[Finding]:
    """Yield what contradicts itself in `document`, in no particular order."""
    return chain(
        api_findings(document),
        leg_findings(document),
        _leg_references(document),
        match_findings(document),
        _marks(document),
        service_findings(document),
        health_findings(document),
        backup_findings(document),
        _scheduler_flags(document),
        _server_names(document),
        _source_real_servers(document),
        _zones(document),
        _identities(document),
        _limits(document),
    )


def _leg_references(document: Table) -> Iterator[Finding]:
    names = list(_leg_zones(document))
    if not names:
        return
    for place, name in chain(_match_texts(document, "leg"), _server_legs(document)):
        if name not in names:
            yield Finding(place, "is no leg", known_words(name, names))


def _marks(document: Table) -> Iterator[Finding]:
    first: dict[tuple[int, bool], int] = {}
    for index, service in tables(document, "service"):
        mark, ipv6 = service.get("mark"), "family" in service
        if type(mark) is int and first.setdefault((mark, ipv6), index) != index:
            yield Finding(
                ("service", index, "mark"),
                f"is the mark of service[{first[mark, ipv6]}] already",
                "give each service a mark of its own",
            )


def _server_names(document: Table) -> Iterator[Finding]:
    for service_index, service in tables(document, "service"):
        first: dict[str, int] = {}
        for index, server in tables(service, "real_server"):
            name = text(server, "name")
            if name is not None and first.setdefault(name, index) != index:
                yield Finding(
                    ("service", service_index, "real_server", index, "name"),
                    f"is the name of real_server[{first[name]}] of this service already",
                    "name each box once per service; a name is a box's identity",
                )


def _source_real_servers(document: Table) -> Iterator[Finding]:
    names = list(dict.fromkeys(name for _, server in _servers(document) if (name := text(server, "name")) is not None))
    for place, match in _matches(document):
        given = list(texts(place, match, "source_real_server"))
        if len(given) > 1 and any(name == ANY_REAL_SERVER for _, name in given):
            yield Finding(
                (*place, "source_real_server"),
                'holds "*", which is any real server, beside names',
                'write source_real_server = "*" or the names alone',
            )
        for name_place, name in given:
            if name != ANY_REAL_SERVER and names and name not in names:
                yield Finding(name_place, "is no real server of any service", known_words(name, names))


def _zones(document: Table) -> Iterator[Finding]:
    zones = _leg_zones(document)
    for index, service in tables(document, "service"):
        named = [(place, leg) for place, leg in _legs_of(("service", index), service) if zones.get(leg)]
        if not named:
            continue
        first_place, first_leg = named[0]
        for place, leg in named[1:]:
            if zones[leg] != zones[first_leg]:
                yield Finding(
                    place,
                    f"is in zone {zones[leg]}, and leg '{first_leg}' ({path(first_place)}) of the same service is in "
                    f"zone {zones[first_leg]}",
                    "make one service for each zone",
                )


def _identities(document: Table) -> Iterator[Finding]:
    """Within a zone a name has one address and an address one name; between zones both may differ."""
    addresses: dict[tuple[object, str], tuple[str, int]] = {}
    names: dict[tuple[object, str], tuple[str, Place]] = {}
    zones = _leg_zones(document)
    for index, service in tables(document, "service"):
        zone = _zone_of(index, service, zones)
        for server_index, server in tables(service, "real_server"):
            place: Place = ("service", index, "real_server", server_index)
            name, address = text(server, "name"), text(server, "address")
            if name is None or address is None:
                continue
            address = _canonical(address)
            other, other_index = addresses.setdefault((zone, name), (address, index))
            if other != address and other_index != index:
                yield Finding(
                    (*place, "address"),
                    f"is another address than '{name}' has in service[{other_index}] of the same zone, {other}",
                    "give the box the same address in every service of a zone, or another name to another box",
                )
            for address_place, one in _addresses(place, server):
                other_name, other_place = names.setdefault((zone, one), (name, place))
                if other_name != name:
                    yield Finding(
                        address_place,
                        f"is an address of '{other_name}' ({path(other_place)}) in the same zone already",
                        "correct the address, or call the box by one name",
                    )


def _addresses(place: Place, server: Table) -> Iterator[tuple[Place, str]]:
    """Yield all addresses of a real server, each as it is written the short way."""
    for key in ("address", "other_addresses"):
        for address_place, address in texts(place, server, key):
            yield address_place, _canonical(address)


def _canonical(address: str) -> str:
    """Return an address as it is written the short way; what is none as it is."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _limits(document: Table) -> Iterator[Finding]:
    legs, services = (len(list(tables(document, key))) for key in ("leg", "service"))
    if legs > MAX_LEGS:
        yield _too_many(("leg", MAX_LEGS, "name"), "leg", MAX_LEGS)
    if services > MAX_SERVICES:
        yield _too_many(("service", MAX_SERVICES, "mark"), "service", MAX_SERVICES)
    places = [place for place, _ in _servers(document)]
    for service, count in Counter(place[1] for place in places).items():
        if count > MAX_SERVERS_PER_SERVICE:
            place: Place = ("service", service, "real_server", MAX_SERVERS_PER_SERVICE, "name")
            yield _too_many(place, "real server of one service", MAX_SERVERS_PER_SERVICE)
    if len(places) > MAX_SERVERS:
        yield _too_many((*places[MAX_SERVERS], "name"), "real server of all services together", MAX_SERVERS)


def _scheduler_flags(document: Table) -> Iterator[Finding]:
    """A flag is a scheduler's own."""
    for index, service in tables(document, "service"):
        name = text(service, "scheduler") or "wlc"
        if name not in SCHEDULERS:
            continue
        for place, flag in texts(("service", index), service, "scheduler_flags"):
            owners = [each.name for each in SCHEDULERS.values() if flag in each.flags]
            if owners and name not in owners:
                remedy = f'write scheduler = "{owners[0]}", or leave the flag out'
                yield Finding(place, f"is no flag of scheduler {name}", remedy)


def _too_many(place: Place, what: str, limit: int) -> Finding:
    return Finding(place, f"is one {what} too many: a director holds {limit}", "use another director for it")


def _matches(document: Table) -> Iterator[tuple[Place, Table]]:
    for key in ("pass", "service", "mark"):
        for index, entry in tables(document, key):
            for match_index, match in tables(entry, "match"):
                yield (key, index, "match", match_index), match


def _match_texts(document: Table, key: str) -> Iterator[tuple[Place, str]]:
    for place, match in _matches(document):
        yield from texts(place, match, key)


def _servers(document: Table) -> Iterator[tuple[Place, Table]]:
    for index, service in tables(document, "service"):
        for server_index, server in tables(service, "real_server"):
            yield ("service", index, "real_server", server_index), server


def _server_legs(document: Table) -> Iterator[tuple[Place, str]]:
    for place, server in _servers(document):
        leg = text(server, "leg")
        if leg is not None:
            yield (*place, "leg"), leg


def _legs_of(place: Place, service: Table) -> Iterator[tuple[Place, str]]:
    """Yield the legs that a service names: its matches' first, then its real servers'."""
    for index, match in tables(service, "match"):
        yield from texts((*place, "match", index), match, "leg")
    for index, server in tables(service, "real_server"):
        leg = text(server, "leg")
        if leg is not None:
            yield (*place, "real_server", index, "leg"), leg


def _leg_zones(document: Table) -> dict[str, str | None]:
    """Return the zone of each leg; of legs that share a name, the first's."""
    zones: dict[str, str | None] = {}
    for _, leg in tables(document, "leg"):
        name = text(leg, "name")
        if name is not None:
            zones.setdefault(name, text(leg, "zone"))
    return zones


def _zone_of(index: int, service: Table, zones: dict[str, str | None]) -> object:
    """Return the service's zone, or something no other service has where the file alone does not tell."""
    only = set(zones.values())
    if len(only) == 1:
        return only.pop()
    named = (zones.get(leg) for _, leg in _legs_of(("service", index), service))
    return next((zone for zone in named if zone), index)
