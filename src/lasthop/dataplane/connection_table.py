"""The connection table as Python sees it: live entries as arrays, and as reports in words.

Owns the decoding of connection keys and values. Nothing here writes the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.encode import protocol_name
from lasthop.model.connection import ConnectionReport, EachWay, HopName
from lasthop.model.director import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasthop.dataplane.libbpf import Map

_NS = 1_000_000_000


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


class ConnectionTable:
    """The live connections of one director."""

    def __init__(self, connections: Map) -> None:
        self._map = connections
        types = abi.types()
        self._key_type, self._value_type = types.struct("connection_key"), types.struct("connection")

    @property
    def maximum(self) -> int:
        """Entries the table has room for."""
        return self._map.max_entries

    def read(self, now_ns: int, timeouts_ns: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Keys and values of the connections that live at `now_ns` (CLOCK_MONOTONIC_COARSE).

        An entry that packets change while it is read may show counters of two moments, never
        another connection's identity.
        """
        keys, values = self._map.batch(self._key_type, self._value_type)
        state = values["word"].astype(np.int64) & 0xFF
        dead = (values["word"] >> np.uint64(8)) & np.uint64(abi.enum("connection_flag")["CONNECTION_DEAD"])
        idle = now_ns - values["last_seen_ns"].astype(np.int64)
        live = (dead == 0) & (idle <= timeouts_ns[np.minimum(state, len(timeouts_ns) - 1)])
        return keys[live], values[live]


def report(key: Any, value: Any, now_ns: int, timeouts_ns: NDArray[Any], names: Names) -> ConnectionReport:  # noqa: ANN401 -- numpy records
    """One connection in words, addresses as its originator sent them."""
    flags = abi.enum("connection_flag")
    word = int(value["word"])
    state, bits = word & 0xFF, word >> 8 & 0xFFFF
    low = (str(abi.unpack_address(key["low"].tobytes())), int(key["low_port"].byteswap()))
    high = (str(abi.unpack_address(key["high"].tobytes())), int(key["high_port"].byteswap()))
    source, destination = (low, high) if bits & flags["CONNECTION_FROM_LOW"] else (high, low)
    idle_ns = max(0, now_ns - int(value["last_seen_ns"]))
    request, response = (int(n) for n in value["packets"])
    bytes_request, bytes_response = (int(n) for n in value["bytes"])
    return ConnectionReport(
        zone=names.zone(int(key["zone"])),
        protocol=protocol_name(int(key["ip_proto"])),
        source=source[0],
        source_port=source[1],
        destination=destination[0],
        destination_port=destination[1],
        state=State(state).name,
        assured=bool(bits & flags["CONNECTION_ASSURED"]),
        service=names.service(int(value["service"])),
        real_server=names.server(int(value["server"])),
        forward_hop=names.hop(int(value["forward_hop"])),
        last_hop=names.hop(int(value["last_hop"])),
        packets=EachWay(request, response),
        bytes=EachWay(bytes_request, bytes_response),
        age_s=round(max(0, now_ns - int(value["created_ns"])) / _NS, 3),
        idle_s=round(idle_ns / _NS, 3),
        expires_s=round(max(0, int(timeouts_ns[state]) - idle_ns) / _NS, 3),
    )
