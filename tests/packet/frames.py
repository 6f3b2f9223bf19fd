"""The packets of the tests, from the IP header on; the rig puts the Ethernet header before them.

Must not be here: what happens to a packet.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.sctp import (
    SCTP,
    SCTPChunkAbort,
    SCTPChunkCookieAck,
    SCTPChunkCookieEcho,
    SCTPChunkData,
    SCTPChunkError,
    SCTPChunkInit,
    SCTPChunkInitAck,
    SCTPChunkShutdown,
    SCTPChunkShutdownAck,
    SCTPChunkShutdownComplete,
)

CLIENT, OTHER_CLIENT, THIRD_CLIENT = "198.51.100.10", "198.51.100.20", "198.51.101.10"
WWW = "203.0.113.80"
UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 11, 12
FRAGMENTATION_NEEDED = 4
#: Eight no-operations: options that mean nothing (RFC 791 section 3.1).
OPTIONS = b"\x01" * 8
#: SCTP's chunks that tell of an association's state, and DATA (RFC 9260 section 3.3).
CHUNKS: dict[str, Any] = {
    "DATA": SCTPChunkData(data=b"data"),
    "INIT": SCTPChunkInit(init_tag=1),
    "INIT_ACK": SCTPChunkInitAck(init_tag=2),
    "COOKIE_ECHO": SCTPChunkCookieEcho(cookie=b"cookie"),
    "COOKIE_ACK": SCTPChunkCookieAck(),
    "SHUTDOWN": SCTPChunkShutdown(),
    "SHUTDOWN_ACK": SCTPChunkShutdownAck(),
    "SHUTDOWN_COMPLETE": SCTPChunkShutdownComplete(),
    "ERROR": SCTPChunkError(),
    "ABORT": SCTPChunkAbort(),
}


def tcp(
    flags: str = "S", source: str = CLIENT, sport: int = 40000, destination: str = WWW, dport: int = 80, **ip: Any
) -> Any:
    return IP(src=source, dst=destination, ttl=61, id=7, **ip) / TCP(sport=sport, dport=dport, flags=flags, seq=1000)


def udp(source: str = CLIENT, sport: int = 40000, destination: str = WWW, dport: int = 80, **ip: Any) -> Any:
    return IP(src=source, dst=destination, ttl=61, **ip) / UDP(sport=sport, dport=dport) / b"datagram"


def sctp(
    chunks: Any = "INIT", source: str = CLIENT, sport: int = 40000, destination: str = WWW, dport: int = 80, **ip: Any
) -> Any:
    """A packet with the chunk of a name, or with scapy's chunks, or bytes in their place."""
    given = CHUNKS[chunks] if isinstance(chunks, str) else chunks
    return IP(src=source, dst=destination, ttl=61, proto=132, **ip) / SCTP(sport=sport, dport=dport, tag=5) / given


def echo(source: str = CLIENT, destination: str = WWW, identifier: int = 40000, kind: int = 8, **ip: Any) -> Any:
    return IP(src=source, dst=destination, ttl=61, **ip) / ICMP(type=kind, id=identifier, seq=3) / b"ping"


def reply(packet: Any, flags: Any = "SA") -> Any:
    """What the other side answers; of SCTP the flags are what `sctp` takes."""
    source, destination = packet[IP].dst, packet[IP].src
    if TCP in packet:
        return tcp(flags, source, packet[TCP].dport, destination, packet[TCP].sport)
    if UDP in packet:
        return udp(source, packet[UDP].dport, destination, packet[UDP].sport)
    if SCTP in packet:
        chunk = "INIT_ACK" if flags == "SA" else flags
        return sctp(chunk, source, packet[SCTP].dport, destination, packet[SCTP].sport)
    return echo(source, destination, packet[ICMP].id, kind=0 if packet[ICMP].type == 8 else 8)


def with_flags(packet: Any, flags: str) -> Any:
    """The same five-tuple with other TCP flags."""
    changed = packet.copy()
    changed[TCP].flags = flags
    return changed


def error(packet: Any, sender: str, kind: int = UNREACHABLE, code: int = 1, quoted_bytes: int = 8) -> Any:
    """An ICMP error of `sender` about `packet`, quoting its IP header and `quoted_bytes` bytes after it."""
    raw = bytes(packet)
    quoted = raw[: (raw[0] & 15) * 4 + quoted_bytes]
    return IP(src=sender, dst=packet[IP].src, ttl=64) / ICMP(type=kind, code=code) / quoted


def in_fragments(packet: Any, size: int = 1000) -> list[Any]:
    """A packet's fragments of `size` bytes behind the IP header each."""
    made: list[Any] = fragment(packet, fragsize=size)  # type: ignore[no-untyped-call]
    return made
