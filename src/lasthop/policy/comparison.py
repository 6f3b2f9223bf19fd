"""What a scheduler compares for a new connection, in numbers that can be shown.

The data plane chooses (bpf/schedule.h); here the same numbers are worked out beside it, for explanations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lasthop.policy.plan import Choice
from lasthop.policy.schedulers.rendezvous import TABLE_SIZE
from lasthop.policy.slots import address_slot, mixed_with_ports, pair_hash

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from lasthop.policy.plan import PlannedService

    Endpoint = tuple[IPv4Address | IPv6Address, int]

#: What is compared, the least wins and of equals the first in the list.
FORMULAS = {
    Choice.BY_LOAD_WLC: "(active * 256 + inactive) / weight",
    Choice.BY_LOAD_LC: "active * 256 + inactive",
    Choice.BY_LOAD_SED: "(active + 1) / weight",
    Choice.BY_LOAD_NQ: "0 if active is 0, else (active + 1) / weight",
    Choice.BY_LOAD_OVF: "1 / weight, of those whose active are not more than weight",
    Choice.BY_LOAD_TWOS: "(active * 256 + inactive) / weight, of two that are drawn by weight",
    Choice.BY_LOCALITY: "(active * 256 + inactive) / weight, unless the destination has a real server",
    Choice.BY_LOCALITY_SET: "(active * 256 + inactive) / weight, unless the destination has a set of real servers",
}
_WITH_PORTS = frozenset({6, 17, 132})


class Looked(NamedTuple):
    """A slot of a table that was looked up."""

    up: str
    """In words."""
    slot: int
    slots: int


def cost(choice: Choice, weight: int, active: int, inactive: int) -> float | None:
    """What a candidate costs by `FORMULAS`; None if it is no candidate, or nothing is compared."""
    if choice not in FORMULAS or weight <= 0 or (choice is Choice.BY_LOAD_OVF and active > weight):
        return None
    overhead = active * 256 + inactive
    if choice is Choice.BY_LOAD_LC:
        return float(overhead)
    if choice is Choice.BY_LOAD_SED or (choice is Choice.BY_LOAD_NQ and active):
        return (active + 1) / weight
    if choice is Choice.BY_LOAD_NQ:
        return 0.0
    return (1 if choice is Choice.BY_LOAD_OVF else overhead) / weight


def looked_up(
    service: PlannedService, protocol: int, source: Endpoint, destination: Endpoint, turn: int
) -> Looked | None:
    """The slot that a scheduler by turn or by hash looks up first; None for one that compares loads."""
    if service.choice is Choice.BY_RENDEZVOUS:
        return rendezvous(source, destination)
    slots = len(service.turns)
    if not slots:
        return None
    if service.choice is Choice.BY_TURN:
        return Looked("the turn", turn % slots, slots)
    if service.choice is Choice.BY_ORDER:
        return Looked("the order of weights", 0, slots)
    return _hashed(service, protocol, source, destination)


def _hashed(service: PlannedService, protocol: int, source: Endpoint, destination: Endpoint) -> Looked | None:
    slots, flags = len(service.turns), service.scheduler_flags
    if service.choice is Choice.BY_SOURCE:
        with_port = "sh-port" in flags and protocol in _WITH_PORTS
        told = "hash of the source's address and port" if with_port else "hash of the source address"
        return Looked(told, address_slot(source[0], source[1] if with_port else 0), slots)
    if service.choice is Choice.BY_DESTINATION:
        return Looked("hash of the destination address", address_slot(destination[0]), slots)
    if service.choice is Choice.BY_PAIR:
        hashed = pair_hash(source[0], destination[0])
        if "mh-port" in flags:
            return Looked("hash of both endpoints", mixed_with_ports(hashed, source, destination) % slots, slots)
        return Looked("hash of both addresses", hashed % slots, slots)
    return None


def rendezvous(source: Endpoint, destination: Endpoint) -> Looked:
    """The slot of the rendezvous table."""
    return Looked("rendezvous: hash of both addresses", pair_hash(source[0], destination[0]) % TABLE_SIZE, TABLE_SIZE)
