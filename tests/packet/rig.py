"""The rig: the product's programs and maps, filled by the product's own code, run frame by frame.

Owns loading, resetting, sending and reading back. Nothing is pinned and nothing attached: frames
go through the programs by BPF_PROG_TEST_RUN. Must not be here: what the outcome should be.
"""

from __future__ import annotations

import mmap
import struct
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scapy.layers.l2 import Ether

from lasthop.dataplane import abi
from lasthop.dataplane.hop_table import HopTable
from lasthop.dataplane.kernel import _possible_cpus, now_ns
from lasthop.dataplane.leg_table import LegTable
from lasthop.dataplane.libbpf import ffi, library, run_syscall, test_run
from lasthop.dataplane.loader import Loaded, Role, load
from lasthop.dataplane.neighbour_table import NeighbourTable
from lasthop.dataplane.publisher import Publisher
from tests.packet.entries import NS, Entries, Hop
from tests.packet.plans import INTERFACES, mac_of

if TYPE_CHECKING:
    from lasthop.model.rule import Network
    from lasthop.policy.plan import Plan

REASONS = [name for name in abi.enum("reason") if name != "REASONS"]
#: Every reason that any test of this process has seen counted.
REACHED: set[str] = set()
#: The frames of the running test, newest last, for the report of a failure.
SENT: deque[tuple[str, str, bytes]] = deque(maxlen=12)

_VERDICTS = {
    "tc": {7: "forwarded", 0xFFFFFFFF: "kernel", 2: "dropped"},
    "xdp": {4: "forwarded", 2: "kernel", 1: "dropped"},
}
#: What VLAN tags begin with: 802.1Q, 802.1ad.
_TAGS = (b"\x81\x00", b"\x88\xa8")
#: Bytes that an answer to a packet puts before it: IPv6 and ICMPv6.
LONGEST_HEADERS = 48
_ARRAYS = (
    "live", "rulesets", "rules", "services", "servers", "listed", "fallbacks", "service_loads", "server_loads", "legs",
    "hops", "hop_refs", "tags", "entries", "next_tags", "next_entries", "table",
    "server_census", "service_census", "leg_by_ifindex", "samples", "record",
    "zone_names", "leg_names", "box_names", "service_names",
)  # fmt: skip
_HASHES = (
    "leg_index",
    "own_macs",
    "hop_index",
    "local",
    "server_addrs",
    "virtual_addrs",
    "dead_boxes",
    "localities",
    "templates",
    "vlan_legs",
    "neighbour_hops",
    "on_link",
    "fragments",
    "pairs",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a frame: everything that can be told from outside."""

    verdict: str
    hop: Hop | None
    counted: dict[str, int]


def forwarded(reason: str, hop: Hop, **events: int) -> Outcome:
    return Outcome("forwarded", hop, {f"FORWARDED_{reason}": 1} | events)


def dropped(reason: str, **events: int) -> Outcome:
    return Outcome("dropped", None, {f"DROP_{reason}": 1} | events)


class Attachments:
    """Stands where the attacher stands: attaches nothing, knows which interfaces transmit XDP frames."""

    def __init__(self) -> None:
        self.mute: set[str] = set()

    def refuse_foreign(self, leg: str, interface: str, ifindex: int) -> None:
        """Nobody else is here."""

    def attach_tc(self, leg: str, interface: str, ifindex: int) -> None:
        """Frames come by BPF_PROG_TEST_RUN."""

    def attach_xdp(self, leg: str, interface: str, ifindex: int) -> None:
        """Frames come by BPF_PROG_TEST_RUN."""

    def holds(self, _ifindex: int) -> bool:
        return False

    def pinned(self) -> set[int]:
        return set()

    def detach(self, ifindex: int) -> None:
        """Nothing was attached."""

    def detach_xdp(self, ifindex: int) -> None:
        """Nothing was attached."""

    def transmits(self, ifindex: int, mac: str) -> bool:
        assert mac
        return ifindex not in {INTERFACES[name] for name in self.mute}


class Rig(Entries):
    """One loaded data plane; `entry` says which of its two programs gets the frames."""

    def __init__(self, connections: int, role: Role = Role.ALONE, next_connections: int = 0) -> None:
        self.loaded: Loaded = load(None, connections, role=role, next_connections=next_connections)
        self.maps = self.loaded.maps
        self.look()
        self.entry = "tc"
        self.maps["reasons"].value_size = abi.types().struct("counters").itemsize * len(_possible_cpus())
        self._memory = {name: _memory_of(self.maps[name]) for name in _ARRAYS}
        self.reset()

    def close(self) -> None:
        self._memory.clear()
        self.loaded.close()

    def reset(self) -> None:
        """Empty every map, as after loading."""
        for memory in self._memory.values():
            memory[:] = bytes(len(memory))
        for name in _HASHES:
            for key in self.maps[name].keys():  # noqa: SIM118 -- a map of the kernel
                self.maps[name].delete(key)
        unused = ffi.new("char[4]")
        while not library().bpf_map_lookup_and_delete_elem(self.maps["free_hops"].fd, ffi.NULL, unused):
            pass
        self.hops = HopTable(self.maps)
        self.publisher = Publisher(self.maps, self.hops)
        self.publisher.live["next_hop"] = 1
        self.attachments = Attachments()
        self.leg_table = LegTable(self.maps, self.attachments, self.publisher)  # type: ignore[arg-type]
        self.neighbour_table = NeighbourTable(self.maps, self.publisher)
        self._server_ids: dict[tuple[str, str], int] | None = None
        self._totals = self._read_totals()
        SENT.clear()

    def publish(self, plan: Plan) -> None:
        """As KernelDataPlane.publish does it."""
        self._server_ids = None
        changed = self.leg_table.prepare(plan)
        self.leg_table.attach(changed)
        self.publisher.publish(plan, self.leg_table.transmitting(plan))
        self.leg_table.commit(plan, changed)
        self.neighbour_table.publish(plan)
        self.leg_table.let_packets_ask()

    def send(
        self, leg: str, packet: Any, source: str, *, to: str | None = None, gso: tuple[int, int] = (0, 0)
    ) -> Outcome:
        """Send a packet as a frame from the MAC `source` in through a leg."""
        return self.send_frame(leg, _ethernet(to or mac_of(leg), source, packet) + bytes(packet), gso=gso)

    def send_on(self, leg: str, packet: Any, source: str, *, gso: tuple[int, int] = (0, 0)) -> tuple[Outcome, bool]:
        """Send a packet and, if XDP hands it over, on through tc, as on a real leg: the outcome, and whether it did."""
        outcome = self.send(leg, packet, source, gso=gso)
        if outcome.counted != {"KERNEL_TC": 1}:
            return outcome, False
        self.entry = "tc"
        try:
            return self.send(leg, packet, source, gso=gso), True
        finally:
            self.entry = "xdp"

    def send_over(self, leg: str, packet: Any, source: str) -> Outcome:
        """Send a packet that ends a connection: XDP leaves that to tc, before it changes anything."""
        outcome, handed = self.send_on(leg, packet, source)
        assert handed == (self.entry == "xdp"), outcome
        return outcome

    def send_frame(self, leg: str, frame: bytes, *, gso: tuple[int, int] = (0, 0)) -> Outcome:
        """Send a whole frame that is to leave with the tags it came with: those of two legs that have none."""
        verdict, after, counted = self.pass_frame(leg, frame, gso=gso)
        assert len(after) == len(frame), "no byte is added or cut"
        assert after[12:] == frame[12:], "only the two MAC addresses may change"
        if verdict != "forwarded":
            return Outcome(verdict, None, counted)
        out = {mac_of(name): name for name in INTERFACES}[after[6:12].hex(":")]
        return Outcome(verdict, (out, after[:6].hex(":")), counted)

    def pass_frame(self, leg: str, frame: bytes, *, gso: tuple[int, int] = (0, 0)) -> tuple[str, bytes, dict[str, int]]:
        """Send a whole frame, whose tags may change. Checks here what holds for every frame, whatever becomes of it."""
        SENT.append((self.entry, leg, frame))
        verdict, after = self.run(leg, frame, gso=gso, room=len(frame) + 8)
        counted = self._counted()
        REACHED.update(counted)
        assert behind_tags(after) == behind_tags(frame), "nothing behind the MAC addresses and the tags may change"
        assert [n for name, n in counted.items() if not name.startswith("EVENT")] == [1], "one exit, counted once"
        assert verdict == "forwarded" or after == frame, "what is not forwarded is not touched"
        return verdict, after, counted

    def answer(self, leg: str, packet: Any, source: str, reason: str, *, gso: tuple[int, int] = (0, 0)) -> Ether:
        """The frame that is sent instead of a packet: XDP leaves the making of it to tc."""
        frame = _ethernet(mac_of(leg), source, packet) + bytes(packet)
        SENT.append((self.entry, leg, frame))
        self._counted()
        room = len(frame) + LONGEST_HEADERS
        verdict, after = self.run(leg, frame, gso=gso, room=room)
        if self.entry == "xdp":
            assert (verdict, self._counted()) == ("kernel", {"KERNEL_TC": 1})
            self.entry = "tc"
            verdict, after = self.run(leg, frame, gso=gso, room=room)
            self.entry = "xdp"
        assert (verdict, self._counted()) == ("forwarded", {f"FORWARDED_{reason}": 1})
        REACHED.add(f"FORWARDED_{reason}")
        return Ether(after)

    def run(self, leg: str, frame: bytes, *, gso: tuple[int, int] = (0, 0), room: int = 0) -> tuple[str, bytes]:
        """The verdict on a frame and the frame afterwards; nothing is checked or counted."""
        ifindex = INTERFACES[leg]
        if self.entry == "tc":
            context = struct.pack("<40xI120xI8xI12x", ifindex, gso[0], gso[1])
        else:
            context = struct.pack("<IIIIII", 0, len(frame), 0, ifindex, 0, 0)
        verdict, after, _ = test_run(
            self.loaded.programs[f"lh_{self.entry}"], frame, context, room=max(room, len(frame))
        )
        return _VERDICTS[self.entry][verdict], after

    def kernel(self, reason: str, **events: int) -> Outcome:
        """The outcome for a packet that is the kernel's: XDP leaves the counting of it to tc."""
        counted = "KERNEL_TC" if self.entry == "xdp" else f"KERNEL_{reason}"
        return Outcome("kernel", None, {counted: 1} | events)

    def sweep(self, *, after_s: float = 0, at_ns: int = 0, to: Network | None = None) -> Any:
        """Run lh_sweep over all slots at a time; returns its ``struct slice``. What it counts begins at zero."""
        request = np.zeros(1, abi.types().struct("slice"))
        request["now_ns"], request["count"] = at_ns or now_ns() + int(after_s * NS), len(self.entries)
        request["templates_too"] = 1
        if to is not None:
            request["network_count"] = 1
            request["networks"]["address"][0, 0] = np.frombuffer(abi.pack_address(to.network_address), "u8")
            request["networks"]["mask"][0, 0] = np.frombuffer(abi.mask(to), "u8")
        for name in ("hop_refs", "server_census", "service_census"):
            self._memory[name][:] = bytes(len(self._memory[name]))
        assert run_syscall(self.loaded.programs["lh_sweep"], request) == 0
        self.hops.swept(self.maps["hop_refs"].view(np.dtype("u4")))
        REACHED.update(self._counted())
        return request[0]

    def load_of(self, server: str, service: str = "FWM 1") -> tuple[int, int, int]:
        """(active, inactive, persistent) of a real server of a service."""
        if self._server_ids is None:
            self._server_ids = self.publisher.server_ids()
        load_ = self.publisher.server_loads[self._server_ids[service, server]]
        return int(load_["active"]), int(load_["inactive"]), int(load_["persistent"])

    def box_of(self, hop: Hop) -> str:
        """Name of the real server a hop belongs to, empty if none."""
        return self.publisher.boxes.name_of(int(self.hops.hops["box"][self.hop_id(hop)]))

    def _read_totals(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        raw = self.maps["reasons"].lookup(bytes(4)) or b""
        totals: np.ndarray[Any, np.dtype[np.uint64]] = np.frombuffer(raw, "u8").reshape(-1, len(REASONS)).sum(axis=0)
        return totals

    def _counted(self) -> dict[str, int]:
        before, self._totals = self._totals, self._read_totals()
        moved = self._totals - before
        return {REASONS[i]: int(moved[i]) for i in np.flatnonzero(moved)}


def behind_tags(frame: bytes) -> bytes:
    """The bytes of a frame from the type on that is no VLAN tag's."""
    start = 12
    while frame[start : start + 2] in _TAGS:
        start += 4
    return frame[start:]


def _memory_of(table: Any) -> mmap.mmap:
    return mmap.mmap(table.fd, (table.value_size + 7) // 8 * 8 * table.max_entries)


def _ethernet(destination: str, source: str, packet: Any) -> bytes:
    """The header before a packet, of which the first four bits tell the family."""
    ethertype = b"\x86\xdd" if bytes(packet)[:1] and bytes(packet)[0] >> 4 == 6 else b"\x08\x00"
    return bytes.fromhex((destination + source).replace(":", "")) + ethertype


def replay(entry: str, leg: str, frame: bytes) -> str:
    """The scapy line that makes a frame again."""
    return f"{entry} in through {leg}: {Ether(frame).command()}"
