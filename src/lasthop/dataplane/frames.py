"""Frames made from a packet in words.

Owns the layout of headers. What the words may be is the command line's; who sends and who receives is the director's.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from lasthop.dataplane import abi
from lasthop.errors import DirectorError

if TYPE_CHECKING:
    from lasthop.model.described import DescribedPacket, Quoted
    from lasthop.model.real_server import Address

#: Kernels take no larger frame in BPF_PROG_TEST_RUN: a page, less what they put around the frame.
LONGEST = 3500
_TCP, _UDP, _ICMP, _GRE, _ICMPV6, _SCTP = 6, 17, 1, 47, 58, 132
_FRAGMENT_HEADER = 44
_FLAGS = "FSRPAUEC"
_V4, _V6, _VLAN, _QINQ = 0x0800, 0x86DD, 0x8100, 0x88A8
_MORE_FRAGMENTS = 0x2000
#: Where a later fragment of a test begins, in units of eight bytes.
_LATER = 64
_LONGEST_PACKET = 65_535


def build(packet: DescribedPacket, source_mac: str, destination_mac: str) -> bytes:
    """The frame of a packet. Raises DirectorError where its length cannot be what it shall be."""
    source, destination = ip_address(packet.source), ip_address(packet.destination)
    content = _filler(packet) if packet.fragment == "later" else _content(packet, source, destination)
    headers = _ip(packet, source, destination, b"")
    least = len(headers) + len(content)
    length = least if packet.length is None else packet.length
    if not least <= length <= _LONGEST_PACKET:
        raise DirectorError(
            f"can't make a packet of length {length}: its headers alone have {least} bytes",
            f"say a length of {least} to {_LONGEST_PACKET}",
        )
    whole = _ip(packet, source, destination, _padded(packet, content, length - len(headers)))
    tags = b"".join(struct.pack("!HH", protocol, vid) for protocol, vid in _tags(packet.vlan or ()))
    ethertype = struct.pack("!H", _V4 if source.version == 4 else _V6)  # noqa: PLR2004 -- IP version
    return abi.pack_mac(destination_mac) + abi.pack_mac(source_mac) + tags + ethertype + whole


def with_tags(frame: bytes, tags: list[tuple[int, int]]) -> bytes:
    """A frame with VLAN tags, (protocol, VLAN) each, put in before what it has."""
    return frame[:12] + b"".join(struct.pack("!HH", *tag) for tag in tags) + frame[12:]


def vlans_of(frame: bytes) -> tuple[int, ...]:
    """The VLANs of a frame, the outer first, without priority tags."""
    found, at = [], 12
    while int.from_bytes(frame[at : at + 2], "big") in (_VLAN, _QINQ):
        found.append(int.from_bytes(frame[at + 2 : at + 4], "big") & 0xFFF)
        at += 4
    return tuple(vlan for vlan in found if vlan)


def _tags(vlan: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(_VLAN if place == len(vlan) - 1 else _QINQ, vid) for place, vid in enumerate(vlan)]


def _ip(packet: DescribedPacket, source: Address, destination: Address, payload: bytes) -> bytes:
    more = _MORE_FRAGMENTS if packet.fragment == "first" else 0
    if isinstance(source, IPv4Address):
        offset = more | (_LATER if packet.fragment == "later" else 0)
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, packet.dscp << 2, 20 + len(payload), packet.identification & 0xFFFF, offset,
            64, packet.protocol, 0, source.packed, destination.packed,
        )  # fmt: skip
        return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + payload
    following = packet.protocol
    if packet.fragment is not None:
        offset = _LATER << 3 if packet.fragment == "later" else 1
        payload = struct.pack("!BBHI", packet.protocol, 0, offset, packet.identification) + payload
        following = _FRAGMENT_HEADER
    header = struct.pack("!IHBB", 6 << 28 | packet.dscp << 22, len(payload), following, 64)
    return header + source.packed + destination.packed + payload


def _filler(packet: DescribedPacket) -> bytes:
    return bytes(8 if packet.length is None else 0)


def _content(packet: DescribedPacket, source: Address, destination: Address) -> bytes:
    ports = struct.pack("!HH", packet.source_port, packet.destination_port)
    if packet.protocol == _TCP:
        flags = sum(1 << _FLAGS.index(letter) for letter in set(packet.flags))
        return ports + struct.pack("!IIBBHHH", 0, 0, 5 << 4, flags, 65535, 0, 0)
    if packet.protocol == _UDP:
        return ports + struct.pack("!HH", 8, 0)
    if packet.protocol == _SCTP:
        # An INIT chunk, RFC 9260 section 3.3.2.
        return ports + struct.pack("!II", 0, 0) + struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65535, 1, 1, 1)
    if packet.protocol in (_ICMP, _ICMPV6):
        return _icmp(packet, source, destination)
    if packet.protocol == _GRE:
        key = b"" if packet.gre_key is None else struct.pack("!I", packet.gre_key)
        return struct.pack("!HH", 0x2000 if key else 0, _V4) + key
    return bytes(8)


def _icmp(packet: DescribedPacket, source: Address, destination: Address) -> bytes:
    echo = 8 if packet.protocol == _ICMP else 128
    type_ = echo if packet.icmp_type is None else packet.icmp_type
    if packet.about is None:
        message = struct.pack("!BBHHH", type_, packet.icmp_code, 0, packet.identification & 0xFFFF, 1)
    else:
        message = struct.pack("!BBHI", type_, packet.icmp_code, 0, 0) + _quoted(packet.about)
    pseudo = b""
    if isinstance(source, IPv6Address):
        pseudo = source.packed + destination.packed + struct.pack("!II", len(message), packet.protocol)
    return message[:2] + struct.pack("!H", _checksum(pseudo + message)) + message[4:]


def _quoted(about: Quoted) -> bytes:
    """An IP header and eight bytes behind it, which is what RFC 792 asks for."""
    source, destination = ip_address(about.source), ip_address(about.destination)
    if about.protocol in (_ICMP, _ICMPV6):
        behind = struct.pack("!BBHHH", 8 if about.protocol == _ICMP else 128, 0, 0, about.source_port, 1)
    else:
        behind = struct.pack("!HHI", about.source_port, about.destination_port, 0)
    ends = source.packed + destination.packed
    if source.version == 4:  # noqa: PLR2004 -- IP version
        return struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 63, about.protocol, 0) + ends + behind
    return struct.pack("!IHBB", 6 << 28, 8, about.protocol, 63) + ends + behind


def _padded(packet: DescribedPacket, content: bytes, length: int) -> bytes:
    """Content with zeroes behind it; UDP's own length follows."""
    padded = content.ljust(length, b"\0")
    if packet.protocol == _UDP and packet.fragment is None:
        return padded[:4] + struct.pack("!H", length) + padded[6:]
    return padded


def _checksum(data: bytes) -> int:
    """RFC 1071; zeroes at the end change nothing."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
