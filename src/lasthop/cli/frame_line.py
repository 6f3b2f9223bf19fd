"""A captured frame in a line: when, which way, what it is, and what became of it."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lasthop.cli.pcapng import comment
from lasthop.model.protocol import protocol_name

if TYPE_CHECKING:
    from lasthop.api.client import Report

_V4, _V6, _TAGS = 0x0800, 0x86DD, frozenset({0x8100, 0x88A8})
_V4_HEADER, _V6_HEADER = 20, 40
_OFFSET = 0x1FFF
_WITH_PORTS = frozenset({6, 17, 132})
_NS = 1_000_000_000


def line_of(frame: Report) -> str:
    """The line of a frame with the fields of CapturedFrame."""
    at = datetime.fromtimestamp(frame["time_ns"] // _NS).astimezone()
    data = bytes.fromhex(frame["data"])
    return (
        f"{at:%H:%M:%S}.{frame['time_ns'] % _NS // 1000:06} {frame['direction']:>3} {frame['entry']:>3} "
        f"{data[6:12].hex(':')} > {data[:6].hex(':')} {_packet(data)}, {frame['length']} bytes: {comment(frame)}"
    )


def _packet(data: bytes) -> str:
    """Tags, protocol and endpoints."""
    at, tags = 12, []
    while _number(data, at) in _TAGS:
        tags.append(str(_number(data, at + 2) & 0xFFF))
        at += 4
    vlan = f"VLAN {'.'.join(tags)} " if tags else ""
    ethertype, at = _number(data, at), at + 2
    if ethertype == _V4 and len(data) >= at + _V4_HEADER:
        later = _number(data, at + 6) & _OFFSET
        return vlan + _ends(data, data[at + 9], (at + 12, 4), at + (data[at] & 15) * 4, later=bool(later))
    if ethertype == _V6 and len(data) >= at + _V6_HEADER:
        return vlan + _ends(data, data[at + 6], (at + 8, 16), at + _V6_HEADER, later=False)
    return f"{vlan}ethertype 0x{ethertype:04x}"


def _ends(data: bytes, protocol: int, addresses: tuple[int, int], ports: int, *, later: bool) -> str:
    at, size = addresses
    source, destination = (ip_address(data[place : place + size]) for place in (at, at + size))
    name = protocol_name(protocol)
    if later or protocol not in _WITH_PORTS or len(data) < ports + 4:
        return f"{name} {source} > {destination}{' (later fragment)' if later else ''}"
    ends = (
        f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004 -- IP version
        for address, port in ((source, _number(data, ports)), (destination, _number(data, ports + 2)))
    )
    return f"{name} {' > '.join(ends)}"


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
