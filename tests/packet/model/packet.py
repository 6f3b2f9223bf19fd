"""Room 5: what follows the IP header, and the key it gives; ICMP errors by the packet they are about.

Must not be here: connections.
"""

from __future__ import annotations

from tests.packet.model import ip
from tests.packet.model.nouns import GRE, ICMP, ICMPV6, SCTP, TCP, UDP, Exit, Packet

#: ICMP queries: what asks, and what answers (RFC 792, 950).
QUERIES = {8: 0, 13: 14, 15: 16, 17: 18}
QUERIES6 = {128: 129}
ERRORS = {3, 4, 11, 12}
#: ICMPv6 of the link: multicast listeners, neighbours, RFC 4443's inverse and certified kinds of it.
OF_THE_LINK = {*range(130, 138), *range(141, 144), *range(148, 154)}
#: SCTP's chunks by number (RFC 9260 section 3.2); every other counts as DATA.
CHUNKS = {
    1: "INIT", 2: "INIT_ACK", 6: "ABORT", 7: "SHUTDOWN", 8: "SHUTDOWN_ACK", 9: "ERROR", 10: "COOKIE_ECHO",
    11: "COOKIE_ACK", 14: "SHUTDOWN_COMPLETE",
}  # fmt: skip
ENDING_CHUNKS = {"ABORT", "SHUTDOWN_COMPLETE"}
_FLAGS = (("rst", 0x04), ("syn", 0x02), ("fin", 0x01), ("ack", 0x10))
_KEY, _CHECKSUM = 0x2000, 0x8000


def read(data: bytes, ethertype: int) -> Packet:
    """The packet in a frame behind its Ethernet header."""
    header = ip.read(data, ethertype)
    packet = Packet(header.family, header.source, header.destination, header.protocol, dscp=header.dscp)
    packet.size, packet.may_be_fragmented, packet.fragment = header.size, header.may_be_fragmented, header.fragment
    packet.outer = header.source, header.destination, header.protocol
    packet.opening = True
    if packet.later:
        packet.opening = False
        return packet
    body = header.data[header.at :]
    if header.protocol == TCP:
        _tcp(packet, body)
    elif header.protocol == UDP:
        _require(body, 8)
        packet.ports = _ports(body)
    elif header.protocol == SCTP:
        _sctp(packet, body)
    elif header.protocol == GRE:
        _gre(packet, body)
    elif header.protocol == own_icmp(header.family):
        _icmp(packet, body)
    return packet


def own_icmp(family: int) -> int:
    """The family's ICMP; that of the other one is a protocol like any."""
    return ICMP if family == 4 else ICMPV6


def _tcp(packet: Packet, body: bytes) -> None:
    _require(body, 20)
    length = (body[12] >> 4) * 4
    if length < 20:
        raise Exit("KERNEL_BAD_HEADER")
    _require(body, length)
    packet.ports = _ports(body)
    packet.event = " ".join(name for name, bit in _FLAGS if body[13] & bit)
    packet.opening = body[13] & 0x17 == 0x02
    packet.reset = bool(body[13] & 0x04)


def _sctp(packet: Packet, body: bytes) -> None:
    _require(body, 16)
    packet.ports = _ports(body)
    kind, length = body[12], int.from_bytes(body[14:16], "big")
    whole = packet.fragment is None
    if length < 4 or (whole and length > len(body) - 12):
        raise Exit("KERNEL_BAD_HEADER")
    packet.event = CHUNKS.get(kind, "DATA")
    following = body[12 + (length + 3) // 4 * 4 :]
    if packet.event in {"COOKIE_ECHO", "COOKIE_ACK"} and len(following) >= 4 and following[0] == 6:
        packet.event = "ABORT"
    packet.opening = packet.event == "INIT"
    packet.reset = packet.event in ENDING_CHUNKS


def _gre(packet: Packet, body: bytes) -> None:
    _require(body, 4)
    flags = int.from_bytes(body[:2], "big")
    if flags & 7 or not flags & _KEY:
        return
    at = 8 if flags & _CHECKSUM else 4
    if packet.error and len(body) < at + 4:
        return
    _require(body, at + 4)
    upper, lower = int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")
    packet.ports = (upper, lower) if packet.source < packet.destination else (lower, upper)


def _icmp(packet: Packet, body: bytes) -> None:
    _require(body, 8)
    kind, queries = body[0], QUERIES if packet.family == 4 else QUERIES6
    if kind in queries or kind in queries.values():
        packet.ports = (int.from_bytes(body[4:6], "big"),) * 2
        packet.opening = kind in queries
    elif kind in ERRORS if packet.family == 4 else 1 <= kind <= 127:
        _error(packet, body[8:])
    elif packet.family == 6 and kind in OF_THE_LINK:
        raise Exit("KERNEL_NEIGHBOUR")
    else:
        raise Exit("KERNEL_PROTOCOL")


def _error(packet: Packet, quoted: bytes) -> None:
    """An error about a packet: its key is that packet's, seen from its other end."""
    about = ip.read_quoted(quoted, packet.family, packet.destination)
    packet.error, packet.opening = True, False
    packet.source, packet.destination, packet.protocol = about.destination, about.source, about.protocol
    packet.quoted = about.fragment
    if about.fragment is not None and about.fragment.later:
        return
    body = about.data[about.at :]
    if about.protocol in {TCP, UDP, SCTP}:
        _require(body, 4)
        source, destination = _ports(body)
        packet.ports = destination, source
    elif about.protocol == GRE:
        _gre(packet, body)
    elif about.protocol == own_icmp(packet.family):
        _quoted_icmp(packet, body)


def _quoted_icmp(packet: Packet, body: bytes) -> None:
    _require(body, 8)
    queries = QUERIES if packet.family == 4 else QUERIES6
    if body[0] not in queries and body[0] not in queries.values():
        raise Exit("KERNEL_PROTOCOL")
    packet.ports = (int.from_bytes(body[4:6], "big"),) * 2


def _ports(body: bytes) -> tuple[int, int]:
    return int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")


def _require(body: bytes, length: int) -> None:
    if len(body) < length:
        raise Exit("KERNEL_TRUNCATED")
