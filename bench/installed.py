"""A data plane in the kernel that no leg uses, with any number of established connections in its table.

Owns the loading without pins and the filling: the product's own loader and publisher lay the maps out,
and the programs themselves insert every connection, from packets. The programs are the product's, or the same
with another table.h (`bench.variants`).
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bench.drawer import Drawer, Packets
from bench.variants import build_object
from lasthop.config.load import load as load_configuration
from lasthop.dataplane import abi
from lasthop.dataplane.hop_table import HopTable
from lasthop.dataplane.leg_table import LegTable
from lasthop.dataplane.loader import load
from lasthop.dataplane.publisher import Publisher
from lasthop.dataplane.sweeping import Sweep
from lasthop.errors import DataPlaneError
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import SeenLink, Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from lasthop.dataplane.attach import Attacher
    from lasthop.dataplane.libbpf import Map
    from lasthop.lab.layout import Port
    from lasthop.lab.topology import Topology
    from lasthop.model.real_server import Address

#: Room in the table beside the established connections, for new ones to be timed.
ROOM = 65_536
TCP_SYN, TCP_ACK = 0x02, 0x10
_TC_REDIRECT, _XDP_TX, _XDP_REDIRECT = 7, 3, 4
#: Connections that are not established are forgotten within this time (SYN_RECV: 120 s).
_OPENING_TIMEOUT_NS = 200 * 1_000_000_000
_MONOTONIC_COARSE = 6
#: Of bench/draw.bpf.c.
_FIRST_CLIENT, _FIRST_PORT, _PORTS = 0x0B000000, 1024, 16
#: Packets of one kind in a row while the table is filled: fewer than may be unassured.
_AT_ONCE = 4_000


class Installed:
    """Programs and maps of one director, and the programs they are measured with."""

    def __init__(self, lab: Topology, connections: int, product: Path | None = None) -> None:
        """Load the product's object, or the one at `product`; call inside the namespace of `lab`'s outer director.

        Raises DataPlaneError.
        """
        self.connections = connections
        self._product = load(None, connections + ROOM, product)
        self._bench = [load(None, connections + ROOM, build_object(name)) for name in ("mac_swap.bpf.c", "floor.bpf.c")]
        self.programs = dict(self._product.programs)
        for loaded in self._bench:
            self.programs |= loaded.programs
        self.drawer = Drawer()
        self._configure(lab)
        self._ports(lab)
        types = abi.types()
        self._counters = [
            self._product.maps[name].view(types.struct(dtype))
            for name, dtype in (("table", "table"), ("service_loads", "service_load"), ("server_loads", "server_load"))
        ]
        self._sweep = Sweep(self._product, self._publisher.hops, self._publisher)

    def __enter__(self) -> Self:
        """Nothing more."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unload."""
        self.drawer.close()
        for loaded in (self._product, *self._bench):
            loaded.close()

    @property
    def entries(self) -> NDArray[Any]:
        """The product's table, as it is in memory."""
        return self._product.maps["entries"].view(abi.types().struct("connection"))

    @property
    def kernel_map(self) -> Map:
        """The kernel's map with the connections, of programs that have them there."""
        return self._product.maps["connections"]

    @property
    def timeouts_ns(self) -> NDArray[Any]:
        """Time-out of each state."""
        return self._publisher.timeouts_ns

    def fill(self) -> None:
        """Open all connections by handshake: SYN, SYN and ACK, ACK, each before the next, as clients do.

        By tc: each test run of an XDP program waits for the kernel to let go of the one before.
        """
        for first in range(0, self.connections, _AT_ONCE):
            several = min(_AT_ONCE, self.connections - first)
            for packets in (self.opening, self.accepting, self.acknowledging):
                self.run("tc", "lh_tc", packets, several, first=first, in_order=True)
        self.remember_counters()

    def sweep(self, ahead_ns: int = 0) -> int:
        """Sweep the product's table at so much from now; the connections that are left."""
        now = time.clock_gettime_ns(_MONOTONIC_COARSE) + ahead_ns
        return self._sweep.whole(now, self.connections, both=False).connections

    def forget_opened(self, first: int, several: int) -> None:
        """Forget connections that are not established: those drawn as `first` and following."""
        if "connections" not in self._product.maps:
            self.sweep(_OPENING_TIMEOUT_NS)
            return
        for key in _keys(first, several, self._zone):
            self._product.maps["connections"].delete(key)
        for counters, saved in zip(self._counters, self._saved, strict=True):
            counters[:] = saved

    def remember_counters(self) -> None:
        """Keep the live counters, for `forget_opened` of programs whose table no sweep knows."""
        self._saved = [counters.copy() for counters in self._counters]

    def run(
        self, kind: str, program: str, packets: Packets, repeat: int, *, first: int = 0, in_order: bool = False
    ) -> float:
        """Run `program`, of `kind` tc or xdp, on `repeat` drawn packets; nanoseconds of processor time for each.

        The time includes the drawing. Raises DataPlaneError unless every packet was forwarded.
        """
        before = self.forwarded() if program.startswith("lh_") else None
        start = time.thread_time_ns()
        verdict = self.drawer.run(
            kind, self.programs[program], packets, repeat, first=first, count=self.connections, in_order=in_order
        )
        spent = time.thread_time_ns() - start
        good = verdict in ({_TC_REDIRECT} if kind == "tc" else {_XDP_TX, _XDP_REDIRECT})
        if not good or (before is not None and self.forwarded() - before != repeat):
            counted = ", ".join(f"{name.lower()} {value}" for name, value in self.counted().items())
            raise DataPlaneError(f"{program} did not forward every packet: verdict {verdict}; counted: {counted}", "")
        return spent / repeat

    def forwarded(self) -> int:
        """Packets that the product's programs have forwarded as those of a tracked connection."""
        counted = self.counted()
        return sum(counted.get(f"FORWARDED_{kind}", 0) for kind in ("REQUEST", "RESPONSE", "OPENING"))

    def counted(self) -> dict[str, int]:
        """Reasons that were counted at all."""
        values = np.frombuffer(self._reasons.lookup(bytes(4)) or b"", abi.types().struct("counters"))["value"]
        totals = values.sum(axis=0).tolist()
        return {name: totals[i] for name, i in abi.enum("reason").items() if i < len(totals) and totals[i]}

    def _configure(self, lab: Topology) -> None:
        maps = self._product.maps
        self._reasons = maps["reasons"]
        self._reasons.value_size = abi.types().struct("counters").itemsize * (os.cpu_count() or 1)
        publisher = Publisher(maps, HopTable(maps))
        publisher.live["next_hop"] = 1
        plan = compile_plan(load_configuration(lab.directors["lb1"].file), _surroundings(lab))
        LegTable(maps, cast("Attacher", _Unattached()), publisher).prepare(plan)
        for leg in plan.legs:
            publisher.legs["flags"][publisher.leg_names.id_of(leg.name)] |= abi.enum("leg_flag")["LEG_XDP_TRANSMIT"]
        publisher.publish(plan, frozenset(leg.name for leg in plan.legs))
        self._publisher = publisher
        self._zone = int(publisher.legs["zone"][publisher.leg_names.id_of("outside")])

    def _ports(self, lab: Topology) -> None:
        outside, firewalls = (lab.layout.port("lb1", name) for name in ("outside", "firewalls"))
        router, firewall = lab.layout.port("ro", "outside"), lab.layout.port("fw1", "outer")
        requests = _macs(outside, router)
        index = _ifindexes(lab)
        self.opening = Packets(index["outside"], requests, TCP_SYN)
        self.accepting = Packets(index["firewalls"], _macs(firewalls, firewall), TCP_SYN | TCP_ACK, response=True)
        self.acknowledging = Packets(index["outside"], requests, TCP_ACK)
        self.responding = Packets(index["firewalls"], _macs(firewalls, firewall), TCP_ACK, response=True)


class _Unattached:
    """Stands for the attacher: no leg of these programs is attached to an interface."""

    def refuse_foreign(self, *_: object) -> None:
        """Nobody is in the way."""

    def legs(self) -> set[str]:
        """None."""
        return set()


def _ifindexes(lab: Topology) -> dict[str, int]:
    """Interface -> index, of the outer director's legs."""
    return {name: socket.if_nametoindex(name) for name, _zone in lab.layout.directors[0].legs}


def _surroundings(lab: Topology) -> Surroundings:
    """What a director would have seen from inside its box."""
    ports = {ifindex: lab.layout.port("lb1", name) for name, ifindex in _ifindexes(lab).items()}
    links = {
        port.interface: SeenLink(ifindex, port.mac, 1500, up=True, addresses=port.addresses)
        for ifindex, port in ports.items()
    }
    neighbours: dict[tuple[int, Address], str] = {
        (ifindex, other.addresses[0].ip): other.mac
        for ifindex, port in ports.items()
        for other in lab.layout.ports
        if other.lan == port.lan and other != port
    }
    return Surroundings(links=links, neighbours=neighbours)


def _macs(to: Port, source: Port) -> bytes:
    return abi.pack_mac(to.mac) + abi.pack_mac(source.mac)


def _keys(first: int, several: int, zone: int) -> Iterator[bytes]:
    """``struct connection_key`` of drawn connections; the client's address is the lower one."""
    server = bytes(10) + b"\xff\xff" + bytes([203, 0, 113, 80])
    for index in range(first, first + several):
        client = bytes(10) + b"\xff\xff" + (_FIRST_CLIENT + index // _PORTS).to_bytes(4, "big")
        ports = (_FIRST_PORT + index % _PORTS).to_bytes(2, "big") + (80).to_bytes(2, "big")
        yield client + server + ports + zone.to_bytes(2, "little") + bytes([6, 0])
