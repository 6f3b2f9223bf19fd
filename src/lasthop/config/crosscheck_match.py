"""Keys of one match that must fit each other: protocols with ports, values of one family; and how many rules it makes.

Owns the checks within a ``match``, whoever has it. Names that a match refers to are `lasthop.config.crosscheck`'s.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from lasthop.config import values
from lasthop.config.document import Finding, Place, Table, tables, text
from lasthop.model.protocol import FAMILIES, FAMILY_OF_PROTOCOL, WITH_PORTS
from lasthop.policy.limits import MAX_RULES
from lasthop.policy.rules import combinations

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Keys whose values are of a family, the ones to correct first.
_OF_A_FAMILY = ("destination", "source", "protocol", "family")


def match_findings(document: Table) -> Iterator[Finding]:
    """Yield what contradicts itself within each match, and the match that makes one rule too many."""
    rules = 0
    for place, match, family in _matches(document):
        yield from _ports(place, match)
        yield from _families(place, match, family)
        before, rules = rules, rules + _rule_count(match, family)
        if before <= MAX_RULES < rules:
            yield Finding(
                place,
                f"brings the rules to {rules} when its lists are multiplied out, and a director holds {MAX_RULES}",
                "use fewer values in lists, wider prefixes, or port ranges",
            )


def protocols_of(match: Table) -> list[str]:
    """Return the protocols of a match by name, those that cannot be left out."""
    found = []
    for value in _listed(match, "protocol"):
        try:
            found.append(values.protocol(value))
        except PydanticCustomError:
            continue
    return found


def _matches(document: Table) -> Iterator[tuple[Place, Table, str]]:
    """Yield each match with its place and its service's family."""
    for key in ("pass", "service", "mark"):
        for index, entry in tables(document, key):
            for match_index, match in tables(entry, "match"):
                yield (key, index, "match", match_index), match, text(entry, "family") or ""


def _ports(place: Place, match: Table) -> Iterator[Finding]:
    without = [name for name in protocols_of(match) if name not in WITH_PORTS]
    for key in ("source_port", "destination_port"):
        if key not in match:
            continue
        if "protocol" not in match:
            yield Finding(
                (*place, key),
                "is a port without a protocol",
                'add protocol = "tcp" (or "udp", "sctp", or several in a list)',
            )
        elif without:
            yield Finding(
                (*place, key),
                f"is a port, and {_called(without[0])} has none",
                f"make one match for {_called(without[0])} and another for the rest",
            )


def _called(protocol: str) -> str:
    return f"protocol {protocol}" if protocol.isdecimal() else protocol


def _families(place: Place, match: Table, family: str) -> Iterator[Finding]:
    given = [key for key in _OF_A_FAMILY if key in match]
    if given and not _combinations(match, family):
        yield Finding(
            (*place, given[0]),
            f"leaves no packet to match: the service's family is {family}"
            if family and _combinations(match, "")
            else "leaves no packet to match: what stands here is of IPv4 and of IPv6, and a packet is of one",
            "give values of one family, or several of either in lists: each is combined with those of its own",
        )


def _rule_count(match: Table, family: str) -> int:
    lengths = (len(value) for key, value in match.items() if isinstance(value, list) and key not in _OF_A_FAMILY)
    return _combinations(match, family) * prod(max(1, length) for length in lengths)


def _combinations(match: Table, family: str) -> int:
    return combinations(
        [FAMILIES.get(family)],
        _of_names(_listed(match, "family")),
        [FAMILY_OF_PROTOCOL.get(name) for name in protocols_of(match)],
        [_family_of(prefix) for prefix in _listed(match, "source")],
        [_family_of(prefix) for prefix in _listed(match, "destination")],
    )


def _of_names(names: list[object]) -> list[int | None]:
    """The family that is named; both are any."""
    families = {FAMILIES.get(str(name)) for name in names}
    return [families.pop() if len(families) == 1 else None]


def _family_of(prefix: object) -> int | None:
    """The family of a prefix as it is written; None for what is none."""
    return (6 if ":" in prefix else 4) if isinstance(prefix, str) else None


def _listed(match: Table, key: str) -> list[object]:
    value = match.get(key, [])
    return value if isinstance(value, list) else [value]
