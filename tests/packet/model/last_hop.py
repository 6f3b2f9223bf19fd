"""Where responses go: what a packet may teach, by the leg it came in through.

Must not be here: where requests go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.packet.model.nouns import lies_in

if TYPE_CHECKING:
    from tests.packet.model.memory import Memory
    from tests.packet.model.nouns import Address, Connection, Hop, Leg, Mac, Packet, Place


def place_for(memory: Memory, leg: Leg, source: Mac, sender: Address) -> Place:
    """Where responses to a packet would go, by the leg's reply_to."""
    if not leg.reply_to_neighbour:
        return leg.name, source
    gateways = [memory.neighbours[leg.name, each] for each in leg.gateways if (leg.name, each) in memory.neighbours]
    if source in gateways or memory.box_of((leg.name, source)):
        return leg.name, source
    if any(lies_in(sender, subnet) for subnet in leg.subnets):
        return leg.name, memory.neighbours.get((leg.name, sender), source)
    return leg.name, gateways[0] if gateways else source


def is_known(memory: Memory, place: Place) -> bool:
    """Whether it is a MAC address the director knows: a real server's, or a neighbour's, as gateways are."""
    leg, mac = place
    return bool(memory.box_of(place)) or any(each == leg and m == mac for (each, _), m in memory.neighbours.items())


def may_become(memory: Memory, leg: Leg, place: Place) -> bool:
    """Whether a leg lets a place become a last hop."""
    return not leg.strict or is_known(memory, place)


def learn(memory: Memory, place: Place) -> Hop:
    """The hop at a place, a new one if there is none."""
    if place not in memory.hops:
        memory.events["EVENT_HOP_LEARNED"] += 1
    return memory.hop_at(place)


def follow(memory: Memory, connection: Connection, packet: Packet, leg: Leg, source: Mac) -> None:
    """A request of a known connection: its last hop follows, if it may."""
    if packet.reset:
        return
    place = place_for(memory, leg, source, packet.source)
    if place == connection.last.place:
        return
    service = memory.services.get(connection.service)
    box = memory.box_of(place)
    if (service is not None and box in service.servers) or not may_become(memory, leg, place):
        memory.events["EVENT_HOP_MOVE_DENIED"] += 1
        return
    memory.events["EVENT_LAST_HOP_MOVED"] += 1
    connection.last = learn(memory, place)


def move(memory: Memory, old: Place, mac: Mac) -> None:
    """A hop is re-pointed, and those that packets taught as the same box: the old MAC address leads to it no more."""
    hop = memory.hops.pop(old, None)
    if hop is None:
        return
    new = (old[0], mac)
    for each in memory.everyone:
        if each.place == new and hop.box:
            each.box = hop.box
        if each.place == old and each.box == hop.box:
            each.mac = mac
    memory.hops[new] = hop
