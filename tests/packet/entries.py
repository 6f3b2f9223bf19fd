"""The maps as a test reads and rewrites them: entries, templates, hops, in words.

Must not be here: loading, sending, and what an entry should be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.model.director import State

if TYPE_CHECKING:
    from lasthop.dataplane.hop_table import HopTable
    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.publisher import Publisher

NS = 1_000_000_000
_FLAGS = {name.removeprefix("CONNECTION_"): bit for name, bit in abi.enum("connection_flag").items()}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 132: "sctp"}

Hop = tuple[str, str]
"""(leg, MAC)."""
Endpoint = tuple[str, int]
EachWay = tuple[int, int]
"""(request, response)."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An entry of the connection table."""

    zone: str
    protocol: str
    source: Endpoint
    destination: Endpoint
    state: str
    flags: frozenset[str]
    service: str
    server: str
    forward_hop: Hop
    last_hop: Hop
    packets: EachWay
    bytes: EachWay
    word: int = field(default=0, compare=False)
    slot: int = field(default=0, compare=False, repr=False)


class Entries:
    """The entries of one data plane."""

    maps: dict[str, Map]
    publisher: Publisher
    hops: HopTable
    entries: np.ndarray[Any, Any]
    table: np.ndarray[Any, Any]
    service_loads: np.ndarray[Any, Any]

    def look(self) -> None:
        """Map the entries into memory; to be called when there are maps."""
        types = abi.types()
        self.entries = self.maps["entries"].view(types.struct("connection"))
        self.table = self.maps["table"].view(types.struct("table"))
        self.service_loads = self.maps["service_loads"].view(types.struct("service_load"))

    def live(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The slots that hold connections."""
        return np.flatnonzero(self.entries["word"] >> np.uint64(8) & np.uint64(_FLAGS["LIVE"]))

    def connections(self) -> list[Connection]:
        """All entries, expired ones too."""
        return [self._connection(slot) for slot in self.live().tolist()]

    def changed_connections(self, known: dict[bytes, Connection]) -> list[Connection]:
        """All entries; those whose bytes are in `known` are not decoded again. For as long as no hop is re-pointed."""
        found = []
        for slot in self.live().tolist():
            raw = self.entries[slot].tobytes()
            if raw not in known:
                known[raw] = self._connection(slot)
            found.append(known[raw])
        return found

    def only_connection(self) -> Connection:
        """The one entry there is."""
        (connection,) = self.connections()
        return connection

    def forget(self) -> None:
        """Empty the table, as if nothing had ever been in it: live counters stay as they are."""
        self.maps["tags"].view(abi.types().struct("bucket"))["tag"] = 0
        self.entries["word"] &= np.uint64(0xFFFFFFFF << 32)

    def change(self, connection: Connection, **fields: int) -> None:
        """Rewrite fields of an entry in the map."""
        for name, number in fields.items():
            self.entries[name][connection.slot] = number

    def set_state(self, connection: Connection, state: str, *flags: str) -> None:
        """Put an entry into a state, keep its generation and the flag that tells its originator."""
        bits = connection.word >> 8 & (_FLAGS["FROM_LOW"] | _FLAGS["PERSISTENT"] | _FLAGS["LIVE"])
        for name in flags:
            bits |= _FLAGS[name]
        self.change(connection, word=connection.word >> 32 << 32 | bits << 8 | State[state])

    def age(self, seconds: float) -> None:
        """Make every entry, template and note of a fragment as old as if `seconds` had passed without a packet."""
        ns = np.uint64(seconds * NS)
        live = self.live()
        seen, created = self.entries["last_seen_ns"][live], self.entries["created_ns"][live]
        assert (seen > ns).all(), "the clock starts with the machine: it can be aged by less than its uptime"
        self.entries["last_seen_ns"][live] = seen - ns
        self.entries["created_ns"][live] = np.where(created > ns, created - ns, 1)
        for key, template in self.templates().items():
            template["expires_ns"] -= ns
            self.maps["templates"].update(key, template.tobytes())
        for key, value in self.maps["fragments"].entries().items():
            note = np.frombuffer(bytearray(value), abi.types().struct("fragment"))
            note["seen_ns"] -= ns
            self.maps["fragments"].update(key, note.tobytes())

    def templates(self) -> dict[bytes, Any]:
        """Raw key -> ``struct template``, a copy."""
        dtype = abi.types().struct("template")
        entries = self.maps["templates"].entries().items()
        return {key: np.frombuffer(bytearray(value), dtype) for key, value in entries}

    @staticmethod
    def children(template: Any) -> int:
        """Live connections of a template."""
        return int(template["children"]) & ~abi.enum("template_flag")["TEMPLATE_ASSURED"]

    def hop_of(self, hop_id: int) -> Hop:
        target = int(self.hops.hops["target"][hop_id])
        leg_id, mac = abi.split_target(target)
        return self.publisher.leg_names.name_of(leg_id), mac

    def hop_id(self, hop: Hop) -> int:
        """Id of the hop at (leg, MAC), 0 if there is none."""
        return self.hops.find(abi.target_word(self.publisher.leg_names.id_of(hop[0]), hop[1]))

    def _connection(self, slot: int) -> Connection:
        value = self.entries[slot]
        key = value["key"]
        word = int(value["word"])
        bits = word >> 8 & 0xFFFF
        low = (_address(key["low"].tobytes()), int(key["low_port"].byteswap()))
        high = (_address(key["high"].tobytes()), int(key["high_port"].byteswap()))
        source, destination = (low, high) if bits & _FLAGS["FROM_LOW"] else (high, low)
        box = int(self.publisher.servers["box"][value["server"]])
        return Connection(
            zone=self.publisher.zones.name_of(int(key["zone"])),
            protocol=_PROTOCOLS.get(int(key["ip_proto"]), str(int(key["ip_proto"]))),
            source=source,
            destination=destination,
            state=State(word & 0xFF).name,
            flags=frozenset(name for name, bit in _FLAGS.items() if bits & bit and name not in ("FROM_LOW", "LIVE")),
            service=self.publisher.services.name_of(int(value["service"])),
            server=self.publisher.boxes.name_of(box),
            forward_hop=self.hop_of(int(value["forward_hop"])),
            last_hop=self.hop_of(int(value["last_hop"])),
            packets=(int(value["packets"][0]), int(value["packets"][1])),
            bytes=(int(value["bytes"][0]), int(value["bytes"][1])),
            word=word,
            slot=slot,
        )


def _address(raw: bytes) -> str:
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)
