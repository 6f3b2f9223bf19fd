"""Room 3 and 4: the IP headers, addresses that cross no router, IPv6's extension headers, fragments.

Must not be here: what follows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tests.packet.model.nouns import Address, Exit, Fragment, lies_in

IPV4, IPV6 = 0x0800, 0x86DD
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, MOBILITY, HIP, SHIM6 = 0, 43, 44, 60, 135, 139, 140
WALKED = {HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, MOBILITY, HIP, SHIM6}
MOST_EXTENSIONS, MOST_BYTES = 8, 512
ANY_OTHER = 0


def _network(*octets: int, bits: int) -> tuple[Address, int]:
    return bytes(octets), bits


_ZEROS = bytes(10)
MULTICAST = (_network(224, 0, 0, 0, bits=4), (b"\xff" + bytes(15), 8))
MARTIANS = (
    _network(0, 0, 0, 0, bits=8),
    _network(127, 0, 0, 0, bits=8),
    _network(169, 254, 0, 0, bits=16),
    _network(240, 0, 0, 0, bits=4),
    (bytes(16), 128),
    (bytes(15) + b"\x01", 128),
    (b"\xfe\x80" + bytes(14), 10),
    (_ZEROS + b"\xff\xff" + bytes(4), 96),
)


@dataclass(slots=True)
class Header:
    """An IP header with all that belongs to it, and where what follows begins and ends in `data`."""

    family: int
    source: Address
    destination: Address
    protocol: int
    dscp: int
    size: int
    may_be_fragmented: bool
    fragment: Fragment | None
    data: bytes
    at: int


def read(data: bytes, ethertype: int) -> Header:
    """The header that a frame's packet begins with, judged."""
    if ethertype not in {IPV4, IPV6}:
        raise Exit("KERNEL_NOT_IP")
    header = _read4(data, quoted=False) if ethertype == IPV4 else _read6(data, quoted=False)
    if is_multicast(header.destination):
        raise Exit("KERNEL_MULTICAST")
    if are_martian(header.source, header.destination):
        raise Exit("KERNEL_MARTIAN")
    if header.family == 6:
        _walk(header)
    return header


def read_quoted(data: bytes, family: int, sender: Address) -> Header:
    """The header of `sender` that an ICMP error quotes: it may say what it likes of a length that was cut off."""
    header = _read4(data, quoted=True) if family == 4 else _read6(data, quoted=True)
    # Its destination takes a sender's place.
    if header.source != sender or are_martian(header.destination, header.source):
        raise Exit("KERNEL_BAD_HEADER")
    if family == 6:
        _walk(header)
    return header


@lru_cache(maxsize=4096)
def are_martian(source: Address, destination: Address) -> bool:
    """Whether one of two addresses crosses no router: RFC 1122, 3927, 4291."""
    return (
        source == destination
        or any(lies_in(end, each) for end in (source, destination) for each in MARTIANS)
        or is_multicast(source)
    )


@lru_cache(maxsize=4096)
def is_multicast(address: Address) -> bool:
    return any(lies_in(address, each) for each in MULTICAST)


def _read4(data: bytes, *, quoted: bool) -> Header:
    _require(data, 20)
    length, size = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
    if data[0] >> 4 != 4 or length < 20:
        raise Exit("KERNEL_BAD_HEADER")
    _require(data, length)
    if not quoted:
        if size < length:
            raise Exit("KERNEL_BAD_HEADER")
        _require(data, size)
        data = data[:size]
    place = int.from_bytes(data[6:8], "big")
    offset, more = place & 0x1FFF, bool(place & 0x2000)
    fragment = Fragment(int.from_bytes(data[4:6], "big"), offset > 0) if offset or more else None
    allowed = not place & 0x4000
    return Header(4, data[12:16], data[16:20], data[9], data[1] >> 2, size, allowed, fragment, data, length)


def _read6(data: bytes, *, quoted: bool) -> Header:
    _require(data, 40)
    if data[0] >> 4 != 6:
        raise Exit("KERNEL_BAD_HEADER")
    size = 40 + int.from_bytes(data[4:6], "big")
    if not quoted:
        _require(data, size)
        data = data[:size]
    dscp = (data[0] & 15) << 2 | data[1] >> 6
    return Header(6, data[8:24], data[24:40], data[6], dscp, size, False, None, data, 40)


def _walk(header: Header) -> None:
    """Over the extension headers, up to eight of them within 512 bytes; behind more, nothing is looked at."""
    data = header.data
    for _ in range(MOST_EXTENSIONS):
        if header.protocol not in WALKED:
            return
        _require(data, header.at + 8)
        kind, header.protocol = header.protocol, data[header.at]
        length = 8 if kind == FRAGMENT else (data[header.at + 1] + 1) * 8
        if header.at + length > MOST_BYTES:
            header.protocol = ANY_OTHER
            return
        _require(data, header.at + length)
        if kind == FRAGMENT:
            place = int.from_bytes(data[header.at + 2 : header.at + 4], "big")
            offset, more = place >> 3, place & 1
            if offset or more:
                header.fragment = Fragment(int.from_bytes(data[header.at + 4 : header.at + 8], "big"), offset > 0)
        header.at += length
        if header.fragment is not None and header.fragment.later:
            return
    if header.protocol in WALKED:
        header.protocol = ANY_OTHER


def _require(data: bytes, length: int) -> None:
    if len(data) < length:
        raise Exit("KERNEL_TRUNCATED")
