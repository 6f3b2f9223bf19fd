"""The legs in the kernel: entries of the leg maps, and the attachments that go with them.

Owns the maps legs, leg_index, leg_by_ifindex and own_macs, and the order of attaching: everything that can be
refused is tried before anything is published, and undone if the plan is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.interface import Attachment
from lasthop.dataplane.publisher import grace_period, replace_entries
from lasthop.errors import DataPlaneError
from lasthop.model.leg import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lasthop.dataplane.attach import Attacher
    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.publisher import Publisher
    from lasthop.policy.plan import Plan, PlannedLeg


class LegTable:
    """The attached legs of one director."""

    def __init__(self, maps: dict[str, Map], attacher: Attacher, publisher: Publisher) -> None:
        self._index = maps["leg_index"]
        self._small_index = maps["leg_by_ifindex"].view(np.dtype("u4"))
        self._own_macs = maps["own_macs"]
        self._attacher = attacher
        self._publisher = publisher
        self._attached: dict[str, PlannedLeg] = {}
        self._xdp: set[str] = set()
        self._transmit: set[str] = set()
        self._made: list[PlannedLeg] = []
        self._before: tuple[dict[bytes, bytes], dict[bytes, bytes], NDArray[Any]] | None = None

    def prepare(self, plan: Plan) -> list[PlannedLeg]:
        """Give legs ids and write their entries, attach nothing. Returns the legs that must be (re)attached.

        Raises DataPlaneError if another director is on one of them.
        """
        changed = [leg for leg in plan.legs if self._needs_attaching(leg)]
        for leg in changed:
            self._attacher.refuse_foreign(leg.name, leg.interface, leg.ifindex)
        self._made = []
        self._before = (self._index.entries(), self._own_macs.entries(), self._publisher.legs.copy())
        ids = {leg.ifindex: self._publisher.leg_names.id_of(leg.name) for leg in plan.legs}
        # A packet that looked an interface up before may still be about to read the leg's entry.
        if self._unindex(ids):
            grace_period()
        for leg in plan.legs:
            self._write(leg)
        self._write_own_macs(plan)
        self._write_index(ids)
        return changed

    def roll_back(self) -> None:
        """Detach what `attach` attached anew, and put back what `prepare` overwrote."""
        if self._before is None:
            return
        for leg in self._made:
            self._attacher.detach(leg.name, leg.ifindex)
        index, own_macs, legs = self._before
        learned = self._publisher.legs["hops_learned"].copy()
        ids = {_number(key): _number(value) for key, value in index.items()}
        if self._unindex(ids):
            grace_period()
        self._publisher.legs[:] = legs
        self._publisher.legs["hops_learned"] = learned
        replace_entries(self._own_macs, own_macs)
        self._write_index(ids)

    def transmitting(self, plan: Plan) -> frozenset[str]:
        """Legs of `plan` known to transmit XDP frames."""
        return frozenset(self._transmit & {leg.name for leg in plan.legs})

    def attach(self, changed: Sequence[PlannedLeg]) -> None:
        """Attach what `prepare` returned. What is attached anew, and not adopted, is undone by `roll_back`."""
        for leg in changed:
            if not self._attacher.holds(leg.name, leg.ifindex):
                self._made.append(leg)
            self._attach(leg)

    def commit(self, plan: Plan, changed: Sequence[PlannedLeg]) -> None:
        """Detach what is no leg any more, and prove which legs transmit XDP frames."""
        revived = [leg for leg in plan.legs if leg.up and not self._was_up(leg)]
        self._attached |= {leg.name: leg for leg in plan.legs}
        self._detach_stale(plan)
        if self._before is not None:
            for ifindex in set(self._before[2]["ifindex"].tolist()) - {leg.ifindex for leg in plan.legs}:
                self._attacher.remove_filter(ifindex)
        if self._prove_transmits({leg.name: leg for leg in (*changed, *revived)}):
            self._publisher.publish(plan, self.transmitting(plan))

    def attachments(self) -> list[Attachment]:
        """How each leg is attached now."""
        return [
            Attachment(name, "xdp+tc" if name in self._xdp else "tc", name in self._transmit) for name in self._attached
        ]

    def swap_programs(self) -> None:
        """Put the programs that are loaded now on every attached leg; no other runs when this returns."""
        for leg in self._attached.values():
            self._attacher.swap(leg.name, leg.ifindex)
        grace_period()

    def detach_all(self) -> None:
        """Take the programs off every leg."""
        for name in self._publisher.leg_names.names():
            self._attacher.detach(name, int(self._publisher.legs["ifindex"][self._publisher.leg_names.id_of(name)]))
        self._attached.clear()

    def _needs_attaching(self, leg: PlannedLeg) -> bool:
        before = self._attached.get(leg.name)
        return before is None or (before.ifindex, before.mode) != (leg.ifindex, leg.mode)

    def _write(self, leg: PlannedLeg) -> None:
        leg_id = self._publisher.leg_names.id_of(leg.name)
        entry = self._publisher.legs[leg_id : leg_id + 1]
        entry["mtu"] = leg.mtu
        entry["zone"] = self._publisher.zones.id_of(leg.zone)
        if leg.mac:
            entry["mac"] = np.frombuffer(abi.pack_mac(leg.mac), "u1")
        entry["flags"] = self._flags(leg)
        entry["ifindex"] = leg.ifindex

    def _flags(self, leg: PlannedLeg) -> int:
        flags = abi.enum("leg_flag")
        return (
            (leg.name in self._transmit) * flags["LEG_XDP_TRANSMIT"]
            | leg.up * flags["LEG_UP"]
            | (leg.own_macs != {leg.mac}) * flags["LEG_MORE_MACS"]
        )

    def _unindex(self, ids: dict[int, int]) -> bool:
        """Let packets find no leg for the interfaces that are none any more or another one. False: there are none."""
        stale = False
        for key, value in self._index.entries().items():
            if ids.get(_number(key)) != _number(value):
                stale = True
                if _number(key) < len(self._small_index):
                    self._small_index[_number(key)] = 0
                self._index.delete(key)
        return stale

    def _write_index(self, ids: dict[int, int]) -> None:
        for ifindex, leg_id in ids.items():
            # The hash first: what it has is found and cleared by a later director.
            self._index.update(ifindex.to_bytes(4, "little"), leg_id.to_bytes(4, "little"))
            if ifindex < len(self._small_index):
                self._small_index[ifindex] = leg_id + 1

    def _write_own_macs(self, plan: Plan) -> None:
        replace_entries(
            self._own_macs,
            {
                leg.ifindex.to_bytes(4, "little") + abi.pack_mac(mac) + b"\0\0": b"\1"
                for leg in plan.legs
                for mac in leg.own_macs
            },
        )

    def _attach(self, leg: PlannedLeg) -> None:
        self._attacher.attach_tc(leg.name, leg.interface, leg.ifindex)
        self._xdp.discard(leg.name)
        if leg.mode is Mode.TC or (leg.mode is Mode.AUTO and leg.virtual):
            self._attacher.detach_xdp(leg.name)
            return
        try:
            self._attacher.attach_xdp(leg.name, leg.interface, leg.ifindex)
        except DataPlaneError:
            if leg.mode is not Mode.AUTO:
                raise
            return
        self._xdp.add(leg.name)

    def _detach_stale(self, plan: Plan) -> None:
        kept = {leg.name for leg in plan.legs}
        for name in set(self._publisher.leg_names.names()) - kept:
            leg_id = self._publisher.leg_names.id_of(name)
            self._attacher.detach(name, int(self._publisher.legs["ifindex"][leg_id]))
            self._attached.pop(name, None)
            self._xdp.discard(name)
            self._transmit.discard(name)
            self._publisher.legs["ifindex"][leg_id] = 0
            self._publisher.hops.drop_leg(leg_id)
            self._publisher.leg_names.forget(name)

    def _was_up(self, leg: PlannedLeg) -> bool:
        before = self._attached.get(leg.name)
        return before is not None and before.up

    def _prove_transmits(self, legs: dict[str, PlannedLeg]) -> bool:
        """Test whether `legs` can transmit XDP frames; True if that changed what may be published."""
        before = set(self._transmit)
        for name, leg in legs.items():
            self._transmit.discard(name)
            if name in self._xdp and leg.up and self._attacher.transmits(leg.ifindex, leg.mac):
                self._transmit.add(name)
            self._publisher.legs["flags"][self._publisher.leg_names.id_of(name)] = self._flags(leg)
        return before != self._transmit


def _number(field: bytes) -> int:
    return int.from_bytes(field, "little")
