"""ICMP echo of either family: requests with an identifier each, and the replies to them."""

from __future__ import annotations

import itertools
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from lasthop.lab.namespace import inside
from lasthop.lab.traffic import TIMEOUT, Attempt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

_IDENTIFIERS = itertools.cycle(range(1, 1 << 16))
_BODY = b"lasthop's lab..."


class _Family(NamedTuple):
    """What echo is in a family: RFC 792, RFC 4443 section 4."""

    name: str
    number: socket.AddressFamily
    protocol: int
    request: int
    reply: int
    header: int
    """Bytes before the ICMP header in what a raw socket gives."""


_FAMILIES = {
    4: _Family("icmp", socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, 20),
    6: _Family("icmpv6", socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 0),
}


def echo_icmp(
    namespace: str,
    pairs: Sequence[tuple[IPv4Address, IPv4Address]] | Sequence[tuple[IPv6Address, IPv6Address]],
    count: int,
    *,
    timeout: float = TIMEOUT,
    size: int = 0,
) -> list[Attempt]:
    """Send `count` echo requests, with `size` bytes beside a few of their own, and collect the replies.

    Each has an identifier of its own, a new one in every call; `pairs` are of one family.
    """
    family = _FAMILIES[pairs[0][0].version]
    waiting = {
        identifier: (str(source), str(destination))
        for identifier, (source, destination) in zip(
            itertools.islice(_IDENTIFIERS, count), itertools.cycle(pairs), strict=False
        )
    }
    answered: set[int] = set()
    with inside(namespace), socket.socket(family.number, socket.SOCK_RAW, family.protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        by_source = {source: _sender(family, source) for source in {source for source, _ in waiting.values()}}
        for identifier, (source, destination) in waiting.items():
            by_source[source].sendto(_request(family, identifier, size), (destination, 0))
        deadline = time.monotonic() + timeout
        while len(answered) < count and select.select([sock], [], [], max(0, deadline - time.monotonic()))[0]:
            packet, (sender, *_) = sock.recvfrom(1 << 16)
            kind, _code, _sum, identifier, _sequence = struct.unpack_from("!BBHHH", packet, family.header)
            if kind == family.reply and waiting.get(identifier, ("", ""))[1] == sender:
                answered.add(identifier)
        for each in by_source.values():
            each.close()
    return [
        Attempt(
            family.name,
            source,
            identifier,
            destination,
            identifier,
            "" if identifier in answered else f"no answer within {timeout:g} s",
        )
        for identifier, (source, destination) in waiting.items()
    ]


def _sender(family: _Family, source: str) -> socket.socket:
    sender = socket.socket(family.number, socket.SOCK_RAW, family.protocol)
    sender.bind((source, 0))
    return sender


def _request(family: _Family, identifier: int, size: int) -> bytes:
    """The message; the kernel finishes the checksum of ICMPv6."""
    body = struct.pack("!HH", identifier, 1) + _BODY + bytes(size + size % 2)
    total = sum(struct.unpack(f"!{len(body) // 2}H", body)) + (family.request << 8)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBH", family.request, 0, ~total & 0xFFFF) + body
