"""A data plane in the kernel that no leg uses, with any number of established connections in its table.

Owns the loading without pins and the filling: the product's own loader and publisher lay the maps out,
and the product's own programs insert every connection, from packets.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from bpf.build import BuildError, build
from lasthop.config.load import load as load_configuration
from lasthop.dataplane import abi
from lasthop.dataplane.btf import Btf
from lasthop.dataplane.hop_table import HopTable
from lasthop.dataplane.leg_table import LegTable
from lasthop.dataplane.libbpf import run_syscall, test_run
from lasthop.dataplane.loader import load
from lasthop.dataplane.publisher import Publisher
from lasthop.errors import DataPlaneError
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import SeenLink, Surroundings

if TYPE_CHECKING:
    from typing import Self

    from lasthop.dataplane.attach import Attacher
    from lasthop.lab.layout import Port
    from lasthop.lab.topology import Topology
    from lasthop.model.real_server import Address

SOURCES = Path(__file__).parent
OBJECTS = SOURCES.parent / "build" / "bench"
#: Room in the table beside the established connections, for new ones to be timed.
ROOM = 65_536
TCP_SYN, TCP_ACK = 0x02, 0x10
_TC_REDIRECT, _XDP_TX, _XDP_REDIRECT = 7, 3, 4
#: Connections that are not established are forgotten within this time (SYN_RECV: 120 s).
_OPENING_TIMEOUT_NS = 200 * 1_000_000_000
_MONOTONIC_COARSE = 6


@dataclass(frozen=True, slots=True)
class Packets:
    """A kind of packet that is drawn: which leg it meets, its MAC addresses and its TCP flags."""

    ifindex: int
    macs: bytes
    flags: int
    response: bool = False

    @property
    def frame(self) -> bytes:
        """Ethernet, IPv4 and TCP; the client's address and port, and the MACs, are drawn over."""
        server = bytes([203, 0, 113, 80])
        addresses = server + bytes(4) if self.response else bytes(4) + server
        ports = (80, 0) if self.response else (0, 80)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0) + addresses
        tcp = struct.pack("!HHIIBBHHH", *ports, 1, 1, 0x50, self.flags, 65535, 0, 0)
        return self.macs + b"\x08\x00" + ip + tcp + bytes(6)


class Installed:
    """Programs and maps of one director, and the programs they are measured with."""

    def __init__(self, lab: Topology, connections: int) -> None:
        """Load; call inside the namespace of `lab`'s outer director. Raises DataPlaneError."""
        self.connections = connections
        self._product = load(None, connections + ROOM)
        objects = [build_object(name) for name in ("draw.bpf.c", "mac_swap.bpf.c")]
        self._bench = [load(None, 1, path) for path in objects]
        self.programs = {**self._product.programs, **self._bench[0].programs, **self._bench[1].programs}
        self._jumps = {kind: self._bench[0].maps[f"jump_{kind}"] for kind in ("tc", "xdp")}
        self._draw = self._bench[0].maps["drawn"].view(Btf(objects[0]).struct("draw"))
        self._draw["random"] = time.time_ns()
        self._configure(lab)
        self._ports(lab)

    def __enter__(self) -> Self:
        """Nothing more."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unload."""
        for loaded in (self._product, *self._bench):
            loaded.close()

    def fill(self) -> None:
        """Open all connections by handshake: SYN, SYN and ACK, ACK. Raises DataPlaneError if any is missing."""
        for packets in (self.opening, self.accepting, self.acknowledging):
            self.run("xdp", "lh_xdp", packets, self.connections, first=0, in_order=True)
        held = self._sweep(0)
        if held != self.connections:
            raise DataPlaneError(f"can't fill the table: it holds {held} of {self.connections} connections", "")

    def forget_opened(self) -> None:
        """Forget connections that are not established, by the product's own sweep."""
        self._sweep(_OPENING_TIMEOUT_NS)

    def run(
        self, kind: str, program: str, packets: Packets, repeat: int, *, first: int = 0, in_order: bool = False
    ) -> float:
        """Run `program`, of `kind` tc or xdp, on `repeat` drawn packets; nanoseconds of processor time for each.

        The time includes the drawing. Raises DataPlaneError unless every packet was forwarded.
        """
        self._draw["macs"] = np.frombuffer(packets.macs, "u1")
        self._draw["response"], self._draw["in_order"] = packets.response, in_order
        self._draw["first"], self._draw["next"], self._draw["count"] = first, first, self.connections
        self._jumps[kind].update(bytes(4), self.programs[program].to_bytes(4, "little"))
        frame = packets.frame
        context = tc_context(packets.ifindex) if kind == "tc" else xdp_context(packets.ifindex, len(frame))
        before = self.forwarded() if program.startswith("lh_") else None
        start = time.thread_time_ns()
        verdict, _, _ = test_run(self.programs[f"draw_{kind}"], frame, context, repeat=repeat)
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

    def _ports(self, lab: Topology) -> None:
        outside, firewalls = (lab.layout.port("lb1", name) for name in ("outside", "firewalls"))
        router, firewall = lab.layout.port("ro", "outside"), lab.layout.port("fw1", "outer")
        requests = _macs(outside, router)
        index = _ifindexes(lab)
        self.opening = Packets(index["outside"], requests, TCP_SYN)
        self.accepting = Packets(index["firewalls"], _macs(firewalls, firewall), TCP_SYN | TCP_ACK, response=True)
        self.acknowledging = Packets(index["outside"], requests, TCP_ACK)

    def _sweep(self, ahead_ns: int) -> int:
        request = np.zeros(1, abi.types().struct("sweep"))
        request["now_ns"] = time.clock_gettime_ns(_MONOTONIC_COARSE) + ahead_ns
        run_syscall(self.programs["lh_sweep"], request)
        return int(request["connections"][0])


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


def tc_context(ifindex: int) -> bytes:
    """``struct __sk_buff`` with the interface a packet came in on."""
    return struct.pack("40xI148x", ifindex)


def xdp_context(ifindex: int, length: int) -> bytes:
    """``struct xdp_md`` of a frame on its receiving interface."""
    return struct.pack("6I", 0, length, 0, ifindex, 0, 0)


def build_object(source: str) -> Path:
    """The object of a BPF program of the bench, built unless it is newer than its sources.

    Raises DataPlaneError with the compiler's words.
    """
    sources = [SOURCES / source, SOURCES.parent / "bpf" / "kernel.h"]
    made = OBJECTS / source.replace(".bpf.c", ".bpf.o")
    if made.exists() and made.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return made
    try:
        return build(sources[0], OBJECTS, [SOURCES.parent / "bpf"])
    except BuildError as error:
        raise DataPlaneError(str(error), "") from error
