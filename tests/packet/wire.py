"""Frames by struct, quickly: what the random packets of the model's tests are made of.

Checksums are 0: nobody on a transparent box's path looks at them. Must not be here: which frames are made.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import ip_address

IPV4, IPV6, DOT1Q, DOT1AD = 0x0800, 0x86DD, 0x8100, 0x88A8
FRAGMENT_HEADER = 44
_TCP_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16}
_CHUNK_NUMBERS = {
    "DATA": 0, "INIT": 1, "INIT_ACK": 2, "ABORT": 6, "SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10,
    "COOKIE_ACK": 11, "SHUTDOWN_COMPLETE": 14, "HEARTBEAT": 4,
}  # fmt: skip
#: An extension header each, by what it is called; the next header's number is written over its first byte.
EXTENSIONS = {
    "hop-by-hop": (0, bytes([0, 0, 1, 4, 0, 0, 0, 0])),
    "routing": (43, bytes([0, 2, 0, 0]) + bytes(20)),
    "destination": (60, bytes([0, 0, 1, 4, 0, 0, 0, 0])),
    "long destination": (60, bytes([0, 30, 1, 244]) + bytes(244)),
    "mobility": (135, bytes([0, 0, 0, 0, 0, 0, 0, 0])),
    "hip": (139, bytes([0, 1]) + bytes(14)),
    "shim6": (140, bytes([0, 0, 0, 0, 0, 0, 0, 0])),
    "atomic": (44, bytes([0, 0, 0, 0, 0, 0, 0, 9])),
}


@lru_cache(maxsize=1024)
def packed(address: str) -> bytes:
    return ip_address(address).packed


@lru_cache(maxsize=256)
def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(to: str, source: str, tags: tuple[tuple[int, int], ...], payload: bytes, ethertype: int = 0) -> bytes:
    """A frame; the ethertype is that of the packet's version unless given."""
    kind = ethertype or (IPV6 if payload[:1] and payload[0] >> 4 == 6 else IPV4)
    header = b"".join(struct.pack("!HH", *tag) for tag in tags)
    return mac(to) + mac(source) + header + struct.pack("!H", kind) + payload


def ip4(
    source: str, destination: str, protocol: int, body: bytes, *, place: int = 0, number: int = 0, options: bytes = b"",
    tos: int = 0,
) -> bytes:  # fmt: skip
    """`place` is the flags and fragment offset."""
    length = 20 + len(options)
    first = struct.pack("!BBHHHBBH", 0x40 | length // 4, tos, length + len(body), number, place, 61, protocol, 0)
    return first + packed(source) + packed(destination) + options + body


def ip6(source: str, destination: str, protocol: int, body: bytes, *, extensions: tuple[str, ...] = (), tos: int = 0,
        place: int | None = None, number: int = 0) -> bytes:  # fmt: skip
    """`place` is a fragment header's offset and flag, behind the extensions."""
    chain = [EXTENSIONS[name] for name in extensions]
    if place is not None:
        chain.append((FRAGMENT_HEADER, struct.pack("!BBHI", 0, 0, place, number)))
    kinds = [*(kind for kind, _ in chain), protocol]
    headers = b"".join(bytes([following]) + raw[1:] for following, (_, raw) in zip(kinds[1:], chain, strict=True))
    payload = headers + body
    first = struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload), kinds[0], 61)
    return first + packed(source) + packed(destination) + payload


def tcp(sport: int, dport: int, flags: str, payload: bytes = b"") -> bytes:
    bits = sum(_TCP_FLAGS[flag] for flag in flags)
    return struct.pack("!HHIIBBHHH", sport, dport, 1000, 0, 5 << 4, bits, 8192, 0, 0) + payload


def udp(sport: int, dport: int, payload: bytes = b"datagram") -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def sctp(sport: int, dport: int, chunk: str, payload: bytes = b"data") -> bytes:
    head = struct.pack("!HHII", sport, dport, 5, 0)
    return head + struct.pack("!BBH", _CHUNK_NUMBERS[chunk], 0, 4 + len(payload)) + payload


def icmp(kind: int, identifier: int = 0, payload: bytes = b"ping") -> bytes:
    return struct.pack("!BBHHH", kind, 0, 0, identifier, 3) + payload


def gre(key: int | None, *, checksum: bool = False, version: int = 0) -> bytes:
    flags = version | (0x2000 if key is not None else 0) | (0x8000 if checksum else 0)
    body = struct.pack("!HH", flags, 0x0800) + (bytes(4) if checksum else b"")
    return body + (b"" if key is None else key.to_bytes(4, "big")) + bytes(20)
