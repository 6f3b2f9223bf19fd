"""Matches multiplied out into rules the data plane can try one after the other.

Owns the cross product and its size. Which legs a service's rules are held to is decided by the caller.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from lasthop.model.protocol import FAMILIES, FAMILY_OF_PROTOCOL, protocol_number
from lasthop.model.rule import PortRange
from lasthop.policy.plan import PlannedRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lasthop.model.rule import Match, Network

ANY_PORT = PortRange(0, 65535)


def rule_count(match: Match) -> int:
    """Return how many rules `match` multiplies out to."""
    lists = (
        match.legs,
        match.source_real_servers,
        match.source_ports,
        match.destination_ports,
        match.dscp,
    )
    within_families = combinations(
        _families(match),
        [FAMILY_OF_PROTOCOL.get(name) for name in match.protocols],
        [network.version for network in match.sources],
        [network.version for network in match.destinations],
    )
    return within_families * prod(max(1, len(values)) for values in lists)


def combinations(*lists: Sequence[int | None]) -> int:
    """Return how many ways there are to take one of each list so that all are of one family (None: of either)."""
    counts = [Counter(each or [None]) for each in lists]
    return sum(
        prod(count[family] for count, family in zip(counts, taken, strict=True))
        for taken in product(*counts)
        if len(set(taken) - {None}) <= 1
    )


def of_family(match: Match, family: str) -> Match | None:
    """Return what of `match` is of a family (``ipv4``, ``ipv6``), None if nothing is."""
    if match.families and family not in match.families:
        return None
    held = replace(match, families=(family,))
    return held if rule_count(held) else None


def expand(match: Match, service: str | None, place: str = "") -> Iterator[PlannedRule]:
    """Yield the rules of `match`, which together match what it matches.

    `service` is None for a pass rule; `place` is the match's key in the configuration.
    """
    within_families = list(_within_families(match))
    for leg, real_server, (family, protocol, source, destination), source_ports, destination_ports, dscp in product(
        match.legs or (None,),
        match.source_real_servers or (None,),
        within_families,
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
            family=family,
            place=place,
        )


def _within_families(
    match: Match,
) -> Iterator[tuple[int | None, int | None, Network | None, Network | None]]:
    """Yield family, protocol, source and destination, where they go together."""
    protocols: Iterable[str | None] = match.protocols or (None,)
    for only, name, source, destination in product(
        _families(match), protocols, match.sources or (None,), match.destinations or (None,)
    ):
        families = {only, FAMILY_OF_PROTOCOL.get(name or "")}
        families |= {network.version for network in (source, destination) if network is not None}
        families.discard(None)
        if len(families) <= 1:
            protocol = None if name is None else protocol_number(name)
            yield next(iter(families), None), protocol, source, destination


def _families(match: Match) -> list[int | None]:
    """The family that a match names; both are any."""
    return [FAMILIES[match.families[0]]] if len(match.families) == 1 else [None]
