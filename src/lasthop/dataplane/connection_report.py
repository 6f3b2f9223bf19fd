"""Connections in words: what the kernel's numbers become in a report.

Owns the decoding of keys and values of ``struct connection``; which ones is `connection_table`'s question.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lasthop.dataplane import abi
from lasthop.model.connection import ConnectionReport, EachWay, HopName
from lasthop.model.director import State
from lasthop.model.protocol import PROTOCOL_NUMBERS, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_NS = 1_000_000_000
_GRE = PROTOCOL_NUMBERS["gre"]
_STATES = [state.name for state in State]


class Names(Protocol):
    """Names for the ids a connection holds."""

    def zone(self, zone_id: int) -> str:
        """Name of a zone."""

    def service(self, service_id: int) -> str:
        """Label of a service, empty for none."""

    def server(self, server_id: int) -> str:
        """Name of a real server."""

    def hop(self, hop_id: int) -> HopName:
        """Leg, MAC and name of a hop."""


def reports(rows: NDArray[Any], now_ns: int, timeouts_ns: NDArray[Any], names: Names) -> Iterator[ConnectionReport]:
    """Entries in words, addresses as their originators sent them, times as of `now_ns`."""
    flags = abi.enum("connection_flag")
    from_low, assured = flags["CONNECTION_FROM_LOW"] << 8, flags["CONNECTION_ASSURED"] << 8
    bypassed = flags["CONNECTION_BYPASSED"] << 8
    timeouts = timeouts_ns.tolist()
    zone, service, server = (functools.cache(each) for each in (names.zone, names.service, names.server))
    protocols = functools.cache(protocol_name)
    keys = rows["key"]
    columns = (
        [_address(packed) for packed in _packed(keys["low"])],
        [_address(packed) for packed in _packed(keys["high"])],
        *_ports(keys),
        *(keys[name].tolist() for name in ("zone", "ip_proto")),
        *(rows[name].tolist() for name in ("word", "forward_hop", "last_hop", "service", "server")),
        *(rows[name].tolist() for name in ("last_seen_ns", "created_ns", "packets", "bytes")),
    )
    for (
        low, high, low_port, high_port, gre_key, zone_id, protocol, word, forward_hop, last_hop, service_id, server_id,
        seen_ns, created_ns, packets, octets,
    ) in zip(*columns, strict=True):  # fmt: skip
        ends = (low, low_port, high, high_port) if word & from_low else (high, high_port, low, low_port)
        idle_ns = max(0, now_ns - seen_ns)
        yield ConnectionReport(
            zone(zone_id),
            protocols(protocol),
            *ends,
            state=_STATES[word & 0xFF],
            assured=bool(word & assured),
            service=service(service_id),
            real_server=server(server_id),
            forward_hop=names.hop(forward_hop),
            last_hop=names.hop(last_hop),
            packets=EachWay(*packets),
            bytes=EachWay(*octets),
            age_s=round(max(0, now_ns - created_ns) / _NS, 3),
            idle_s=round(idle_ns / _NS, 3),
            expires_s=round(max(0, timeouts[word & 0xFF] - idle_ns) / _NS, 3),
            bypassed=bool(word & bypassed),
            key=gre_key or None,
        )


def _ports(keys: NDArray[Any]) -> tuple[list[int], list[int], list[int]]:
    """Ports of the lower and of the higher endpoint, and GRE's keys, 0 where there is none.

    A GRE key has no direction, as ports have one: its upper half is always beside the lower address.
    """
    low, high = (keys[name].byteswap().astype(np.uint32) for name in ("low_port", "high_port"))
    gre = keys["ip_proto"] == _GRE
    columns = np.where(gre, 0, low), np.where(gre, 0, high), np.where(gre, low << np.uint32(16) | high, 0)
    low_ports, high_ports, gre_keys = (column.tolist() for column in columns)
    return low_ports, high_ports, gre_keys


def _packed(addresses: NDArray[Any]) -> list[bytes]:
    octets = addresses.tobytes()
    return [octets[at : at + 16] for at in range(0, len(octets), 16)]


@functools.lru_cache(maxsize=65536)
def _address(packed: bytes) -> str:
    return str(abi.unpack_address(packed))
