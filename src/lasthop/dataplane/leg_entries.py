"""What packets read of legs: which leg a frame is on, and what that leg is.

Owns the writing of the maps legs, leg_index, leg_by_ifindex, vlan_legs and own_macs for `lasthop.dataplane.leg_table`.
leg_index has every interface that a leg is on, for a later director and the tracepoint programs; one that has tagged
legs only leads to no leg there, and is not in leg_by_ifindex.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.kept_map import KeptMap
from lasthop.dataplane.publisher import grace_period
from lasthop.model.leg import ReplyTo

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.publisher import Publisher
    from lasthop.policy.plan import Plan, PlannedLeg
#: Entries of leg_index, of vlan_legs and of own_macs, and the legs.
_Before = tuple[dict[bytes, bytes], dict[bytes, bytes], dict[bytes, bytes], "NDArray[Any]"]


class LegEntries:
    """The leg maps of one director."""

    def __init__(self, maps: dict[str, Map], publisher: Publisher) -> None:
        self._index, self._vlans = KeptMap(maps["leg_index"]), KeptMap(maps["vlan_legs"])
        self._own_macs = KeptMap(maps["own_macs"])
        self.kept = (self._index, self._vlans, self._own_macs)
        """The maps beside the legs themselves."""
        self._small_index = maps["leg_by_ifindex"].view(np.dtype("u4"))
        self._publisher = publisher
        self._flag = abi.enum("leg_flag")
        self._captured: Collection[str] = ()
        """Names of legs; a director that starts captures on none."""
        self._before: _Before | None = None
        self._written: tuple[NDArray[Any], NDArray[Any]] | None = None
        """Legs and small index as this process left them."""

    def write(self, plan: Plan, transmit: Collection[int]) -> None:
        """Make the maps those of `plan`; `transmit` are interfaces known to transmit XDP frames."""
        legs = self._publisher.legs
        index_before, vlans_before, macs_before = (dict(kept.entries) for kept in self.kept)
        self._before = (index_before, vlans_before, macs_before, legs.copy())
        index, vlans = self._indices(plan)
        # A packet that looked an interface up before may still be about to read the leg's entry.
        if self._unindex(index, vlans):
            grace_period()
        for leg in plan.legs:
            self._write(leg, xdp=leg.ifindex in transmit)
        names = self._publisher.leg_names
        macs = {_own_mac(names.id_of(leg.name), mac): b"\1" for leg in plan.legs for mac in leg.own_macs}
        self._own_macs.hold(macs)
        self._write_index(index, vlans)
        self._remember()

    def roll_back(self) -> None:
        """Put back what `write` overwrote."""
        if self._before is None:
            return
        index, vlans, own_macs, legs = self._before
        learned = self._publisher.legs["hops_learned"].copy()
        if self._unindex(index, vlans):
            grace_period()
        self._publisher.legs[:] = legs
        self._publisher.legs["hops_learned"] = learned
        self._own_macs.hold(own_macs)
        self._write_index(index, vlans)
        self._remember()

    def mend(self) -> int:
        """Write legs and small index again where somebody else changed them; how many entries that were."""
        if self._written is None:
            return 0
        altered = 0
        for there, written in zip(self._own_part(), self._written, strict=True):
            places = np.flatnonzero(there != written)
            there[places] = written[places]
            altered += len(places)
        return altered

    def _own_part(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """What nobody writes but this: neither packets nor `lasthop.dataplane.neighbour_table`."""
        return self._publisher.legs[["ifindex", "mac", "zone", "mtu", "flags", "tags"]], self._small_index

    def _remember(self) -> None:
        legs, index = self._own_part()
        self._written = legs.copy(), index.copy()

    def interfaces(self) -> set[int]:
        """ifindexes of all legs there are."""
        return set(self._publisher.legs["ifindex"].tolist()) - {0}

    def interfaces_before(self) -> set[int]:
        """ifindexes of the legs there were before `write`."""
        return set() if self._before is None else set(self._before[3]["ifindex"].tolist()) - {0}

    def forget_all_but(self, plan: Plan) -> None:
        """Free the ids of legs that are not in `plan`."""
        for name in set(self._publisher.leg_names.names()) - {leg.name for leg in plan.legs}:
            leg_id = self._publisher.leg_names.id_of(name)
            self._publisher.legs["ifindex"][leg_id] = 0
            self._publisher.legs["gateway_hop"][leg_id] = 0
            self._publisher.hops.drop_leg(leg_id)
            self._publisher.leg_names.forget(name)
        self._remember()

    def write_transmits(self, legs: Iterable[PlannedLeg], transmit: Collection[int]) -> None:
        """Tell packets which legs are on interfaces that transmit XDP frames."""
        for leg in legs:
            self._set_flags(leg, self._flag["LEG_XDP_TRANSMIT"], on=leg.ifindex in transmit)

    def write_policies(self, legs: Iterable[PlannedLeg]) -> None:
        """Tell packets what becomes a last hop on each leg."""
        for leg in legs:
            self._set_flags(leg, self._flag["LEG_NEIGHBOUR"], on=leg.reply_to is ReplyTo.NEIGHBOUR)
            self._set_flags(leg, self._flag["LEG_STRICT"], on=leg.strict)

    def write_captures(self, legs: Iterable[PlannedLeg], captured: Collection[str]) -> None:
        """Tell packets which legs are captured."""
        self._captured = captured
        for leg in legs:
            self._set_flags(leg, self._flag["LEG_CAPTURE"], on=leg.name in captured)

    def _set_flags(self, leg: PlannedLeg, flag: int, *, on: bool) -> None:
        entry = self._publisher.legs[self._publisher.leg_names.id_of(leg.name)]
        before = int(entry["flags"])
        after = before | flag if on else before & ~flag
        if after != before:
            entry["flags"] = after
            self._remember()

    def _indices(self, plan: Plan) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """What leg_index and vlan_legs are to be."""
        ids = {leg.name: self._publisher.leg_names.id_of(leg.name) for leg in plan.legs}
        nobody = abi.limit("MAX_LEGS")
        index = {_word(leg.ifindex): _word(nobody) for leg in plan.legs}
        index |= {_word(leg.ifindex): _word(ids[leg.name]) for leg in plan.legs if leg.vlan is None}
        key = np.zeros(1, abi.types().struct("vlan_leg"))
        vlans = {}
        for leg in plan.legs:
            if leg.vlan is not None:
                key["ifindex"], key["outer"], key["inner"] = leg.ifindex, leg.vlan.outer, leg.vlan.inner or 0
                vlans[key.tobytes()] = _word(ids[leg.name])
        return index, vlans

    def _write(self, leg: PlannedLeg, *, xdp: bool) -> None:
        """What packets ask neighbours for stays as it is on a leg that has packets: see `write_policies`."""
        leg_id, flag = self._publisher.leg_names.id_of(leg.name), self._flag
        entry = self._publisher.legs[leg_id : leg_id + 1]
        policies = (
            int(entry["flags"][0]) & (flag["LEG_NEIGHBOUR"] | flag["LEG_STRICT"])
            if entry["ifindex"][0]
            else (leg.reply_to is ReplyTo.NEIGHBOUR) * flag["LEG_NEIGHBOUR"] | leg.strict * flag["LEG_STRICT"]
        )
        entry["mtu"] = leg.mtu
        entry["zone"] = self._publisher.zones.id_of(leg.zone)
        if leg.mac:
            entry["mac"] = np.frombuffer(abi.pack_mac(leg.mac), "u1")
        entry["tags"] = _tags(leg)
        entry["flags"] = (
            policies
            | xdp * flag["LEG_XDP_TRANSMIT"]
            | leg.up * flag["LEG_UP"]
            | (leg.own_macs != {leg.mac}) * flag["LEG_MORE_MACS"]
            | (leg.name in self._captured) * flag["LEG_CAPTURE"]
        )
        entry["ifindex"] = leg.ifindex

    def _unindex(self, index: dict[bytes, bytes], vlans: dict[bytes, bytes]) -> bool:
        """Let packets find no leg where there is none any more or another one. False: there is no such place."""
        stale = False
        for table, wanted in ((self._index, index), (self._vlans, vlans)):
            for key in [key for key, value in table.entries.items() if wanted.get(key) != value]:
                stale = True
                if table is self._index and _number(key) < len(self._small_index):
                    self._small_index[_number(key)] = 0
                table.remove(key)
        return stale

    def _write_index(self, index: dict[bytes, bytes], vlans: dict[bytes, bytes]) -> None:
        self._vlans.hold(vlans)
        for key, value in index.items():
            # The hash first: what it has is found and cleared by a later director.
            self._index.put(key, value)
            if _number(key) < len(self._small_index):
                leg_id = _number(value)
                self._small_index[_number(key)] = leg_id + 1 if leg_id < abi.limit("MAX_LEGS") else 0


def _tags(leg: PlannedLeg) -> NDArray[Any]:
    """The tags of a leg's frames as ``struct leg`` has them."""
    tags = np.zeros(abi.limit("MAX_TAGS"), abi.types().struct("vlan_tag"))
    for place, (protocol, number) in enumerate(leg.vlan.tags if leg.vlan else ()):
        tags[place] = socket.htons(protocol.ethertype), number
    return tags


def _own_mac(leg_id: int, mac: str) -> bytes:
    return leg_id.to_bytes(4, "little") + abi.pack_mac(mac) + b"\0\0"


def _word(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _number(field: bytes) -> int:
    return int.from_bytes(field, "little")
