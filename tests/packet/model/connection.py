"""What a packet changes in its connection, and when that is over.

Must not be here: hops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.oracles import sctp_state, tcp_state
from tests.packet.model.nouns import SCTP, TCP, UDP
from tests.packet.model.packet import own_icmp

if TYPE_CHECKING:
    from tests.packet.model.memory import Memory
    from tests.packet.model.nouns import Connection, Packet

#: Where one direction alone is seen: this many packets over this long make a connection assured.
ASSURED_PACKETS, ASSURED_S = 4, 4.0


def first_state(packet: Packet) -> str:
    """What a connection is in before its first packet."""
    return "SCTP_NONE" if packet.protocol == SCTP else "NONE"


def next_state(state: str, packet: Packet, direction: str) -> str:
    """By LVS's tables; protocols without one have a single state each."""
    if packet.protocol == TCP:
        return tcp_state.next_state(direction, set(packet.event.split()), state)
    if packet.protocol == SCTP:
        return sctp_state.next_state(direction, packet.event, state)
    if packet.protocol == UDP:
        return "UDP"
    return "ICMP" if packet.protocol == own_icmp(packet.family) else "OTHER"


def is_over(connection: Connection, packet: Packet) -> bool:
    """Whether a SYN or INIT begins anew on the ports of this one."""
    halfway = connection.state == "FIN_WAIT" and "REPLIED" not in connection.flags
    closed = connection.state in {"TIME_WAIT", "CLOSE", "SCTP_CLOSED"} or halfway
    return packet.protocol in {TCP, SCTP} and packet.opening and closed


def advance(memory: Memory, connection: Connection, packet: Packet, *, request: bool) -> None:
    """A whole packet or a first fragment of it was forwarded."""
    if not request:
        connection.flags.add("REPLIED")
    direction = "output" if not request else "input" if "REPLIED" in connection.flags else "input_only"
    connection.state = next_state(connection.state, packet, direction)
    long_enough = connection.packets[0] >= ASSURED_PACKETS and memory.now > connection.created + ASSURED_S
    settled = packet.protocol not in {TCP, SCTP} or connection.state.endswith("ESTABLISHED")
    if settled and ("REPLIED" in connection.flags or long_enough):
        connection.flags.add("ASSURED")
    count(memory, connection, packet, request=request)


def count(memory: Memory, connection: Connection, packet: Packet, *, request: bool) -> None:
    """Its packets, its bytes, and that it lives."""
    connection.packets[not request] += 1
    connection.bytes[not request] += packet.size
    connection.seen = memory.now
