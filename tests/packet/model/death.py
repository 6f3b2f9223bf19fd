"""Connections of dead real servers, and those that bypass the firewalls.

Must not be here: what a service does that has nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.packet.model import choice, connection
from tests.packet.model.nouns import SCTP, TCP, Exit

if TYPE_CHECKING:
    from tests.packet.model.memory import Memory
    from tests.packet.model.nouns import Connection, Hop, Packet, Service

#: Fate of a packet whose connection begins anew by rendezvous.
MOVED = "MOVED"


def policy(memory: Memory, known: Connection, packet: Packet, *, request: bool) -> str:
    """What becomes of a packet whose connection was scheduled to a dead real server; empty: nothing else than usual."""
    if "BYPASSED" in known.flags:
        return "KERNEL_BYPASS" if request else ""
    service = memory.services.get(known.service)
    if service is None or known.server not in service.servers or not service.servers[known.server].dead:
        return ""
    if request and service.on_death != "keep" and _opens(packet) and "REPLIED" not in known.flags:
        return MOVED
    by_policy = {"keep": "", "drop": "DROP_DEAD", "rebalance": MOVED, "bypass": "KERNEL_BYPASS"}[service.on_death]
    return by_policy if request or by_policy == "DROP_DEAD" else ""


def _opens(packet: Packet) -> bool:
    return packet.opening and packet.protocol in {TCP, SCTP}


def fate(memory: Memory, known: Connection, packet: Packet, *, request: bool) -> str:
    """The same, when it happens: who bypasses the firewalls does so for good."""
    found = policy(memory, known, packet, request=request)
    if found == "KERNEL_BYPASS" and not packet.error:
        known.flags.add("BYPASSED")
        if packet.later:
            connection.count(memory, known, packet, request=True)
        else:
            connection.advance(memory, known, packet, request=True)
    return found


def back(memory: Memory, known: Connection, packet: Packet, zone: str) -> Hop:
    """Where a response goes: to the last hop, unless that is a dead real server's in this zone."""
    service = _dead_in(memory, known.last.box, zone)
    if service is None or service.on_death == "keep":
        return known.last
    if service.on_death != "rebalance":
        raise Exit({"drop": "DROP_DEAD", "bypass": "KERNEL_BYPASS"}[service.on_death])
    try:
        name = choice.by_rendezvous(service, packet)
    except Exit:
        return known.last
    return service.servers[name].hop or known.last


def _dead_in(memory: Memory, box: str, zone: str) -> Service | None:
    """The first service of a zone that has a box, which is dead."""
    for service in memory.services.values():
        if service.zone == zone and box in service.servers and service.servers[box].dead:
            return service
    return None
