"""Keys of one service that must fit each other: mark or address, thresholds, one-packet scheduling.

Owns the checks within a ``[[service]]``. Those between services, legs and real servers are
`lasthop.config.crosscheck`'s.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import chain
from typing import TYPE_CHECKING

from lasthop.config.crosscheck_match import protocols_of
from lasthop.config.document import Finding, Place, Table, tables, text

if TYPE_CHECKING:
    from collections.abc import Iterator

BY_ADDRESS = ("address", "protocol", "port")
_ADDRESS_EXAMPLES = {"address": 'address = "203.0.113.80"', "protocol": 'protocol = "tcp"', "port": "port = 80"}


def service_findings(document: Table) -> Iterator[Finding]:
    """Yield what contradicts itself within each service, and addresses that two services take."""
    taken: dict[tuple[object, ...], int] = {}
    for index, service in tables(document, "service"):
        place: Place = ("service", index)
        yield from chain(
            _kind(place, service), _one_packet(place, service), _thresholds(place, service), _drains(place, service)
        )
        address = _taken_by(service)
        if None not in address and taken.setdefault(address, index) != index:
            yield Finding(
                (*place, "address"),
                f"is taken with the same protocol and port by service[{taken[address]}] already",
                "make one service of the two",
            )


def _taken_by(service: Table) -> tuple[object, ...]:
    """What a service by address takes; the address is as it is written the short way."""
    address, *others = (service.get(key) for key in BY_ADDRESS)
    try:
        return ip_address(address) if isinstance(address, str) else address, *others
    except ValueError:
        return address, *others


def _kind(place: Place, service: Table) -> Iterator[Finding]:
    given = [key for key in BY_ADDRESS if key in service]
    if not given:
        if "mark" not in service:
            yield Finding((*place, "mark"), "is missing", "add mark = 1, or address, protocol and port")
        if "match" not in service:
            remedy = 'add match = [{ leg = "outside" }], or match = [] where [[mark]] rules lead to it'
            yield Finding((*place, "match"), "is missing", remedy)
        return
    for key in ("mark", "family", "match"):
        if key in service:
            yield Finding(
                (*place, key),
                f"is for a service by mark, and this one has {given[0]}",
                "keep mark and match, or address, protocol and port",
            )
    for key in BY_ADDRESS:
        if key not in service:
            yield Finding((*place, key), "is missing", f"add {_ADDRESS_EXAMPLES[key]}")
    if service.get("port") == 0 and "persistence" not in service:
        yield Finding(
            (*place, "port"),
            "is 0, every port, and the service is not persistent",
            "add persistence = { timeout = 360 }, or give one port",
        )


def _one_packet(place: Place, service: Table) -> Iterator[Finding]:
    if service.get("one_packet") is not True:
        return
    protocols: list[str | None] = [text(service, "protocol")] if "protocol" in service else []
    for _, match in tables(service, "match"):
        protocols += protocols_of(match) or [None]
    if any(protocol != "udp" for protocol in protocols):
        yield Finding((*place, "one_packet"), "is for UDP, and the service takes more", 'use protocol = "udp" alone')


def _drains(place: Place, service: Table) -> Iterator[Finding]:
    for index, server in tables(service, "real_server"):
        if "drain_until" in server and server.get("admin") != "drained":
            yield Finding(
                (*place, "real_server", index, "drain_until"),
                "is for a real server that is drained",
                'add admin = "drained", or leave it out',
            )


def _thresholds(place: Place, service: Table) -> Iterator[Finding]:
    for index, server in tables(service, "real_server"):
        lower, upper = server.get("lower_threshold", 0), server.get("upper_threshold", 0)
        if type(lower) is int and type(upper) is int and lower > upper:
            yield Finding(
                (*place, "real_server", index, "lower_threshold"),
                f"is above upper_threshold, {upper}",
                "give an upper_threshold that is not below it",
            )
