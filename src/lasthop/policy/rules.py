"""Matches multiplied out into rules the data plane can try one after the other.

Owns the cross product and its size. Which legs a service's rules are held to is decided by the caller.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

from lasthop.model.rule import PortRange
from lasthop.policy.plan import PlannedRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.model.rule import Match

#: IP protocol numbers of the names a match may use.
PROTOCOL_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}

ANY_PORT = PortRange(0, 65535)


def rule_count(match: Match) -> int:
    """Return how many rules `match` multiplies out to."""
    lists = (
        match.legs,
        match.source_real_servers,
        match.protocols,
        match.sources,
        match.destinations,
        match.source_ports,
        match.destination_ports,
        match.dscp,
    )
    return prod(max(1, len(values)) for values in lists)


def expand(match: Match, service: str | None) -> Iterator[PlannedRule]:
    """Yield the rules of `match`, which together match what it matches. `service` is None for a pass rule."""
    for leg, real_server, protocol, source, destination, source_ports, destination_ports, dscp in product(
        match.legs or (None,),
        match.source_real_servers or (None,),
        [PROTOCOL_NUMBERS[name] for name in match.protocols] or (None,),
        match.sources or (None,),
        match.destinations or (None,),
        match.source_ports or (ANY_PORT,),
        match.destination_ports or (ANY_PORT,),
        match.dscp or (None,),
    ):
        yield PlannedRule(
            service=service,
            leg=leg,
            source_real_server=real_server,
            protocol=protocol,
            source=source,
            destination=destination,
            source_ports=source_ports,
            destination_ports=destination_ports,
            dscp=dscp,
        )
