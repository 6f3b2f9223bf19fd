"""The hops of the data plane in memory: found, made, moved, named.

For `lasthop.dataplane.fake`; they do what `hop_table` and `neighbour_table` do in the kernel.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lasthop.model.connection import HopName
from lasthop.model.hop import HopReport
from lasthop.policy.whereabouts import Whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lasthop.model.real_server import Address
    from lasthop.policy.plan import Plan, PlannedServer


@dataclass(slots=True)
class FakeHop:
    """One hop."""

    leg: str
    """Empty when the leg is gone."""
    mac: str
    address: str = ""
    name: str = ""
    moved: int = 0
    role: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Leg and MAC."""
        return self.leg, self.mac

    @property
    def owned(self) -> bool:
        """A real server's or a gateway's."""
        return bool(self.name) or self.role == "gateway"

    def move(self, leg: str, mac: str) -> None:
        """Point elsewhere, if it is elsewhere."""
        self.moved += bool(self.leg) and self.place != (leg, mac)
        self.leg, self.mac = leg, mac


@dataclass(slots=True)
class FakeHops:
    """All hops by id; what stays when a data plane is closed."""

    by_id: dict[int, FakeHop] = field(default_factory=dict)
    vlans: dict[str, str | None] = field(default_factory=dict)
    """Leg -> its VLAN."""
    gateways: dict[tuple[str, Address], int] = field(default_factory=dict)
    whereabouts: Whereabouts = field(default_factory=Whereabouts)

    def find(self, leg: str, mac: str) -> int:
        """Id of the hop at a place, 0 if there is none."""
        return next((id_ for id_, hop in self.by_id.items() if hop.place == (leg, mac)), 0)

    def learned(self, leg: str, mac: str) -> int:
        """Id of the hop at a place, made if it must be."""
        return self.find(leg, mac) or self._add(FakeHop(leg, mac))

    def resolve(self, current: int, server: PlannedServer) -> int:
        """The hop of a real server, re-pointed if its MAC address moved."""
        if server.mac is None:
            return current
        found = self.find(server.leg, server.mac)
        if not current:
            shared = found and self._adoptable(found, server)
            current = found if shared else self._add(FakeHop(server.leg, server.mac))
        hop = self.by_id[current]
        before = hop.place
        hop.address, hop.name = str(server.address), server.name
        for mate in self.by_id.values():
            if (mate.place, mate.name) == (before, server.name):
                mate.move(server.leg, server.mac)
        if found and not self.by_id[found].owned:
            self.by_id[found].name = server.name
        return current

    def follow(self, plan: Plan) -> None:
        """Bring gateways and neighbours up to date, and move the hops of who moved."""
        self.vlans = {leg.name: str(leg.vlan) if leg.vlan else None for leg in plan.legs}
        for leg, was, mac in self.whereabouts.moves(plan.neighbours):
            for hop in self.by_id.values():
                if hop.place == (leg, was) and not hop.owned:
                    hop.move(leg, mac)
        for hop in self.by_id.values():
            hop.role = ""
        self._follow_gateways(plan)
        asking = {leg.name for leg in plan.legs if leg.knows_neighbours}
        there: defaultdict[tuple[str, str], list[Address]] = defaultdict(list)
        for leg, mac, address in plan.neighbours:
            there[leg, mac].append(address)
        for (leg, mac), addresses in there.items():
            id_ = self.learned(leg, mac) if leg in asking else self.find(leg, mac)
            if id_:
                self._name(self.by_id[id_], addresses, neighbour=leg in asking)

    def forget_names(self, names: Iterable[str]) -> None:
        """Hops of names other than these are no real server's any more."""
        for hop in self.by_id.values():
            hop.name = hop.name if hop.name in names else ""

    def drop_legs(self, legs: Iterable[str]) -> None:
        """Let the hops of legs other than these lead nowhere."""
        for hop in self.by_id.values():
            if hop.leg not in legs:
                hop.leg = hop.role = ""

    def kept(self) -> set[int]:
        """Gateways and neighbours: they stay without a connection."""
        return {id_ for id_, hop in self.by_id.items() if hop.role}

    def name(self, id_: int) -> HopName:
        """A hop as a connection shows it."""
        hop = self.by_id[id_]
        return HopName(hop.leg, hop.mac if hop.leg else "", self.vlans.get(hop.leg), hop.name)

    def reports(self, connections: Mapping[int, int]) -> list[HopReport]:
        """All hops, by id."""
        return [
            HopReport(
                id_,
                hop.leg,
                hop.mac,
                self.vlans.get(hop.leg),
                hop.address,
                hop.name,
                connections.get(id_, 0),
                hop.moved,
                hop.role,
            )
            for id_, hop in sorted(self.by_id.items())
            if hop.leg
        ]

    def _follow_gateways(self, plan: Plan) -> None:
        macs = {(leg, address): mac for leg, mac, address in plan.neighbours}
        kept = {}
        for leg, address in ((each.name, address) for each in plan.legs for address in each.gateways):
            id_, mac = self.gateways.get((leg, address), 0), macs.get((leg, address))
            if mac is not None:
                id_ = self._resolve_gateway(id_, leg, mac, str(address))
            if id_:
                kept[leg, address] = id_
                self.by_id[id_].role = "gateway"
        self.gateways = kept

    def _resolve_gateway(self, current: int, leg: str, mac: str, address: str) -> int:
        found = self.find(leg, mac)
        owned = bool(found) and self.by_id[found].owned
        if owned and self.by_id[found].address == address:
            return found
        if not current or self.by_id[current].address != address:
            current = self._add(FakeHop(leg, mac)) if owned or not found else found
        hop = self.by_id[current]
        hop.address = address
        hop.move(leg, mac)
        return current

    def _name(self, hop: FakeHop, addresses: list[Address], *, neighbour: bool) -> None:
        if neighbour and not hop.role:
            hop.role = "neighbour"
        if not hop.owned and hop.address not in map(str, addresses):
            hop.address = str(addresses[0])

    def _adoptable(self, found: int, server: PlannedServer) -> bool:
        hop = self.by_id[found]
        if hop.role == "gateway" and hop.address != str(server.address):
            return False
        return hop.name in {"", server.name}

    def _add(self, hop: FakeHop) -> int:
        id_ = next(free for free in range(1, len(self.by_id) + 2) if free not in self.by_id)
        self.by_id[id_] = hop
        return id_
