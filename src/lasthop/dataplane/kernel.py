"""The data plane that forwards packets: programs and maps in the kernel, driven through libbpf.

Owns `KernelDataPlane`, the composition of loader, attacher, publisher, hops and table. Kernel
encoding is in those; decisions are in `lasthop.policy`.
"""

from __future__ import annotations

import platform
import re
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.attach import Attacher, alone
from lasthop.dataplane.clock import now_ns
from lasthop.dataplane.closing import close_legs, forget_closed
from lasthop.dataplane.connection_report import reports
from lasthop.dataplane.connection_table import Conditions, ConnectionTable
from lasthop.dataplane.hop_table import HopTable
from lasthop.dataplane.inspection import KernelInspection
from lasthop.dataplane.interface import Attachment, Load, Resizing, TableSize
from lasthop.dataplane.leftover import lives_elsewhere, own_namespace
from lasthop.dataplane.leg_table import LegTable
from lasthop.dataplane.loader import load
from lasthop.dataplane.neighbour_table import NeighbourTable
from lasthop.dataplane.pins import Pins
from lasthop.dataplane.probing import KernelProbing
from lasthop.dataplane.publisher import Publisher
from lasthop.dataplane.read_back import read_back
from lasthop.dataplane.reasons import GROUP_MARKS, REASONS
from lasthop.dataplane.resize import Resize, resume
from lasthop.dataplane.sweeping import Sweep
from lasthop.dataplane.traffic import KernelTraffic
from lasthop.dataplane.upgrade.takeover import take_over
from lasthop.errors import DataPlaneError, ForeignPinsError
from lasthop.model.connection import HopName
from lasthop.model.connection_query import ConnectionPage
from lasthop.model.counter import CounterReport
from lasthop.model.hop import HopReport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from lasthop.dataplane.interface import Altered
    from lasthop.dataplane.libbpf import Map
    from lasthop.model.connection_query import ConnectionQuery
    from lasthop.policy.plan import Plan

#: The oldest kernel supported: Debian 12's.
_OLDEST_KERNEL = (6, 1)


def require_kernel(release: str) -> None:
    """Raise DataPlaneError if a kernel of this ``uname -r`` is too old."""
    found = re.match(r"(\d+)\.(\d+)", release)
    if found and (int(found[1]), int(found[2])) < _OLDEST_KERNEL:
        raise DataPlaneError(f"can't run on kernel {release}", "boot kernel 6.1 or later")


class KernelDataPlane:
    """The data plane of the director `name`, in this process's network namespace."""

    def __init__(self, name: str, connections: int) -> None:
        """Load programs, adopt pinned maps or make them. Attaches nothing yet.

        Raises DataPlaneError on a kernel, a machine or a set of pins it cannot work with.
        """
        require_kernel(platform.release())
        self._pins = Pins(name)
        existed = self._pins.exist()
        self._pins.make()
        try:
            take_over(self._pins, connections)
            role, following = resume(self._pins)
            self._loaded = load(self._pins, connections, role=role, next_connections=following, late=True)
            self._attacher = Attacher(self._pins, self._loaded)
            self._check_version(existed=existed)
        except BaseException:
            if not existed:
                self._pins.remove()
            raise
        maps = self._loaded.maps
        self._hops = HopTable(maps)
        self._publisher = Publisher(maps, self._hops)
        self._legs = LegTable(maps, self._attacher, self._publisher)
        self._neighbours = NeighbourTable(maps, self._publisher)
        self._resize = Resize(self._pins, self._loaded, role, self._legs.swap_programs)
        self.traffic = KernelTraffic(self._publisher, maps["templates"], now_ns, lambda: self._table)
        """See DataPlane.traffic."""
        self.inspection = KernelInspection(
            self._loaded, self._publisher, lambda: _Names(self._publisher), now_ns, self._legs.capture
        )
        """See DataPlane.inspection."""
        self.probing = KernelProbing(self._loaded, self._publisher)
        """See DataPlane.probing."""
        self._sweep = Sweep(self._loaded, self._hops, self._publisher)
        self._tables: tuple[Map, ...] = ()
        self._open_tables()
        self._size = TableSize(0, 0, self._resize.connections)
        self._published: Plan | None = None

    def publish(self, plan: Plan) -> None:
        """See DataPlane.publish."""
        if plan != self._published:
            # Nobody else may attach between our looking whether anybody has and our attaching.
            with alone() if self._legs.attaches(plan) else nullcontext():
                self._publish(plan)
        self._neighbours.publish(plan)
        self._legs.let_packets_ask()

    def _publish(self, plan: Plan) -> None:
        half = self._publisher.half
        changed = self._legs.prepare(plan)
        try:
            # First what the kernel may refuse; a leg that is attached and not published yet gives its packets to it.
            self._legs.attach(changed)
            self._publisher.publish(plan, self._legs.transmitting(plan))
            self._legs.commit(plan, changed)
            forget_closed(self._pins)
        except DataPlaneError:
            self._legs.roll_back()
            self._publisher.roll_back(half)
            raise
        self._published = plan

    def read_back(self) -> Iterator[Altered]:
        """See DataPlane.read_back."""
        if self._published is not None:
            yield from read_back(self._publisher, self._legs, self._neighbours, self._published)

    def attachments(self) -> Sequence[Attachment]:
        """See DataPlane.attachments."""
        return self._legs.attachments()

    def sweep(self) -> TableSize:
        """See DataPlane.sweep."""
        self._size = self._sweep.whole(now_ns(), self._resize.connections, both=self.resizing is not None)
        self._neighbours.swept()
        return self._size

    def sweep_step(self) -> TableSize | None:
        """See DataPlane.sweep_step."""
        size = self._sweep.step(now_ns(), self._resize.connections, both=self.resizing is not None)
        if size is not None:
            self._size = size
            self._neighbours.swept()
        return size

    def resize(self, connections: int) -> None:
        """See DataPlane.resize."""
        self._resize.begin(connections)
        # A pass that knows one table alone would miss what moves to the other, and have hops in use taken for unused.
        self._sweep.give_up()

    def resize_step(self) -> Resizing | None:
        """See DataPlane.resize_step."""
        if self._published is None or self.resizing is None:
            return None
        if not self._resize.step(now_ns()):
            self._size = replace(self._size, maximum=self._resize.connections)
        self._open_tables()
        return self.resizing

    @property
    def resizing(self) -> Resizing | None:
        """See DataPlane.resizing."""
        return self._resize.progress

    def load(self, of: Collection[tuple[str, str]] | None = None) -> dict[tuple[str, str], Load]:
        """See DataPlane.load."""
        loads, ids = self._publisher.server_loads, self._publisher.server_ids()
        closed = self._publisher.accounts.closed
        return {
            key: Load(
                int(loads["active"][i]),
                int(loads["inactive"][i]),
                int(loads["persistent"][i]),
                overloaded=bool(loads["overloaded"][i]),
                closed=int(closed[i]),
            )
            for key, i in (ids.items() if of is None else ((key, ids[key]) for key in of if key in ids))
        }

    def connections(self, query: ConnectionQuery) -> ConnectionPage:
        """See DataPlane.connections. The table goes on changing while the page is read: see ConnectionTable."""
        now, timeouts = now_ns(), self._publisher.timeouts_ns
        conditions = _conditions(query, self._publisher, now)
        if conditions is None:
            return ConnectionPage(0, iter(()))
        found = self._table.select(conditions, now, timeouts)
        names = _Names(self._publisher)
        rows = self._table.rows(found.first(query.limit))
        return ConnectionPage(
            len(found), chain.from_iterable(reports(portion, now, timeouts, names) for portion in rows)
        )

    def hops(self) -> list[HopReport]:
        """See DataPlane.hops."""
        hops, names = self._hops.hops, _Names(self._publisher)
        reports = []
        for hop_id in self._hops.used().tolist():
            name = names.hop(hop_id)
            packed = hops["address"][hop_id].tobytes()
            reports.append(
                HopReport(
                    id=hop_id,
                    leg=name.leg,
                    mac=name.mac,
                    vlan=name.vlan,
                    address=str(abi.unpack_address(packed)) if any(packed) else "",
                    name=name.name,
                    connections=int(self._hops.refs[hop_id]),
                    moved=int(hops["moved"][hop_id]),
                    role=self._hops.role(hop_id),
                )
            )
        return reports

    def counters(self) -> list[CounterReport]:
        """See DataPlane.counters."""
        counters = abi.types().struct("counters")
        cpus = len(_possible_cpus())
        table = self._loaded.maps["reasons"]
        table.value_size = counters.itemsize * cpus
        raw = table.lookup(bytes(4)) or bytes(table.value_size)
        totals = np.frombuffer(raw, counters)["value"].sum(axis=0)
        return [
            CounterReport(name.lower(), REASONS[name].sentence, REASONS[name].expected, int(totals[i]))
            for name, i in abi.enum("reason").items()
            if name not in GROUP_MARKS
        ]

    @property
    def adopted(self) -> bool:
        """True if the maps were there before this process."""
        return self._loaded.adopted

    def detach(self, *, closed: bool = False) -> None:
        """See DataPlane.detach."""
        if closed:
            close_legs(self._pins, self._loaded.maps, own_namespace())
            self.close()
            return
        self._legs.detach_all()
        self.close()
        self._pins.remove()

    def close(self) -> None:
        """See DataPlane.close."""
        self.inspection.close()
        self._loaded.close()

    def _open_tables(self) -> None:
        """See the tables as loading or a step of a resize left them; those that are no more are freed."""
        tables = tuple(self._loaded.maps[name] for name in ("entries", "next_entries"))
        if self._tables != tables:
            self._tables = tables
            self._sweep.give_up()
            connection = abi.types().struct("connection")
            self._table = ConnectionTable(*(table.view(connection) for table in tables))

    def _check_version(self, *, existed: bool) -> None:
        live = self._loaded.maps["live"].view(abi.types().struct("live"))
        version = abi.limit("ABI_VERSION")
        found = int(live["abi_version"][0])
        if existed and found not in (0, version):
            raise ForeignPinsError(
                f"can't take over {self._pins.root}: its maps are of layout {found}, this lasthop's of {version}",
                "run the lasthop that made them, or `lasthop detach`, which ends its connections",
            )
        if existed and lives_elsewhere(self._pins):
            raise ForeignPinsError(
                f"can't take over {self._pins.root}: that director's legs are in another network namespace",
                "choose another [director] name",
            )
        live["abi_version"], live["netns"] = version, own_namespace()
        np.maximum(live["next_hop"], 1, out=live["next_hop"])


def _conditions(query: ConnectionQuery, publisher: Publisher, now: int) -> Conditions | None:
    """A query in ids; None if it names what has none."""
    service = None if query.service is None else publisher.services.get(query.service)
    servers = None
    if query.server is not None:
        servers = [id_ for (_, name), id_ in publisher.server_ids().items() if name == query.server]
    if (query.service is not None and service is None) or servers == []:
        return None
    created = None if query.older_than_s is None else now - int(query.older_than_s * 1_000_000_000)
    return Conditions(service, servers, query.state, query.client, created, query.top)


class _Names:
    """Names for the ids in a connection; see connection_report.Names."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._hops: dict[int, HopName] = {}
        self._boxes = publisher.servers["box"].tolist()

    def zone(self, zone_id: int) -> str:
        """Name of a zone."""
        return self._publisher.zones.name_of(zone_id)

    def service(self, service_id: int) -> str:
        """Label of a service."""
        return self._publisher.services.name_of(service_id)

    def server(self, server_id: int) -> str:
        """Name of a real server."""
        return self._publisher.boxes.name_of(self._boxes[server_id]) if server_id < len(self._boxes) else ""

    def hop(self, hop_id: int) -> HopName:
        """Leg, MAC and name of a hop."""
        if hop_id not in self._hops:
            hop = self._publisher.hops.hops[hop_id]
            leg_id, mac = abi.split_target(int(hop["target"]))
            self._hops[hop_id] = HopName(
                leg=self._publisher.leg_names.name_of(leg_id) if hop["target"] else "",
                mac=mac if hop["target"] else "",
                vlan=_vlan(self._publisher.legs["tags"][leg_id]) if leg_id < len(self._publisher.legs) else None,
                name=self._publisher.boxes.name_of(int(hop["box"])),
            )
        return self._hops[hop_id]


def _vlan(tags: NDArray[Any]) -> str | None:
    """The VLANs of a leg, as its entry has them."""
    return ".".join(str(tag["vid"]) for tag in tags if tag["protocol"]) or None


def _possible_cpus() -> list[int]:
    ids: list[int] = []
    for part in Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip().split(","):
        first, _, last = part.partition("-")
        ids.extend(range(int(first), int(last or first) + 1))
    return ids


__all__ = ["KernelDataPlane", "now_ns"]
