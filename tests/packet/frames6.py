"""The IPv6 packets of the tests, as `frames` has IPv4's. Must not be here: what happens to a packet."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.sctp import SCTP

from tests.packet.frames import CHUNKS

CLIENT6, OTHER_CLIENT6 = "2001:db8:c::10", "2001:db8:c::20"
WWW6 = "2001:db8:f::80"
ERRORS6: dict[str, Any] = {
    "unreachable": ICMPv6DestUnreach(code=1),
    "too big": ICMPv6PacketTooBig(mtu=1280),
    "time exceeded": ICMPv6TimeExceeded(),
    "parameter problem": ICMPv6ParamProblem(),
}
#: One of each kind that is walked over and that scapy knows.
EXTENSIONS: dict[str, Any] = {
    "hop-by-hop": IPv6ExtHdrHopByHop(),
    "destination options": IPv6ExtHdrDestOpt(),
    "routing": IPv6ExtHdrRouting(addresses=["2001:db8::1"]),
    "atomic fragment": IPv6ExtHdrFragment(id=9),
}
#: Numbers of extension headers, RFC 8200, 6275, 7401, 5533, and of what ends a chain of them.
HOP_BY_HOP, ROUTING, DESTINATION, MOBILITY, HIP, SHIM6 = 0, 43, 60, 135, 139, 140
ESP, AH, NO_NEXT_HEADER = 50, 51, 59


def ip6(source: str = CLIENT6, destination: str = WWW6, extension: Any = None, **fields: Any) -> Any:
    header = IPv6(src=source, dst=destination, hlim=61, **fields)
    return header if extension is None else header / extension.copy()


def chained(kinds: list[int], l4: Any, number: int | None = None, source: str = CLIENT6) -> Any:
    """A packet with an extension header of each kind, eight bytes long, before `l4`, of a number told or its own."""
    last = bytes(IPv6() / l4)[6] if number is None else number
    chain = b"".join(bytes([following, 0, 1, 4, 0, 0, 0, 0]) for following in [*kinds[1:], last])
    return ip6(source, nh=[*kinds, last][0]) / (chain + bytes(l4))


def tcp6(flags: str = "S", source: str = CLIENT6, sport: int = 40000, *, extension: Any = None, dport: int = 80) -> Any:
    return ip6(source, extension=extension) / TCP(sport=sport, dport=dport, flags=flags, seq=1000)


def udp6(source: str = CLIENT6, sport: int = 40000, *, extension: Any = None, dport: int = 80) -> Any:
    return ip6(source, extension=extension) / UDP(sport=sport, dport=dport) / b"datagram"


def sctp6(chunk: str = "INIT", sport: int = 40000) -> Any:
    return ip6() / SCTP(sport=sport, dport=80, tag=5) / CHUNKS[chunk]


def echo6(identifier: int = 40000, source: str = CLIENT6, destination: str = WWW6, *, reply: bool = False) -> Any:
    kind = ICMPv6EchoReply if reply else ICMPv6EchoRequest
    return ip6(source, destination) / kind(id=identifier, seq=3, data=b"ping")


def back(packet: Any, flags: str = "SA") -> Any:
    """What the other side answers, without extension headers."""
    answer = IPv6(src=packet[IPv6].dst, dst=packet[IPv6].src, hlim=60)
    if TCP in packet:
        return answer / TCP(sport=packet[TCP].dport, dport=packet[TCP].sport, flags=flags)
    if UDP in packet:
        return answer / UDP(sport=packet[UDP].dport, dport=packet[UDP].sport) / b"answer"
    if SCTP in packet:
        return answer / SCTP(sport=packet[SCTP].dport, dport=packet[SCTP].sport, tag=5) / CHUNKS["INIT_ACK"]
    return echo6(packet[ICMPv6EchoRequest].id, answer.src, answer.dst, reply=True)


def error6(packet: Any, sender: str, kind: str = "unreachable", quoted_bytes: int | None = None) -> Any:
    """An ICMPv6 error of `sender` about `packet`, quoting all of it or so many bytes."""
    return IPv6(src=sender, dst=packet[IPv6].src, hlim=64) / ERRORS6[kind].copy() / bytes(packet)[:quoted_bytes]


def fragments6(packet: Any, size: int, identifier: int) -> list[Any]:
    """An unfragmented packet's fragments of `size` bytes of payload each."""
    raw = bytes(packet)
    header, payload = packet[IPv6], raw[40:]
    made = []
    for offset in range(0, len(payload), size):
        more = offset + size < len(payload)
        extension = IPv6ExtHdrFragment(nh=header.nh or raw[6], offset=offset // 8, m=more, id=identifier)
        made.append(IPv6(src=header.src, dst=header.dst, hlim=61, nh=44) / extension / payload[offset : offset + size])
    return made
