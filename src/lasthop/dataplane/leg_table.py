"""The legs in the kernel: entries of the leg maps, and the attachments that go with them.

Owns the order of attaching: everything that can be refused is tried before anything is published, and undone if the
plan is refused. Programs are on interfaces, of which several legs may share one; the interface's first leg speaks for
all where they cannot differ. The maps are `lasthop.dataplane.leg_entries`'s.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lasthop.dataplane.attach import alone
from lasthop.dataplane.interface import Attachment
from lasthop.dataplane.leg_entries import LegEntries
from lasthop.dataplane.publisher import grace_period
from lasthop.errors import DataPlaneError
from lasthop.model.leg import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lasthop.dataplane.attach import Attacher
    from lasthop.dataplane.kept_map import KeptMap
    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.publisher import Publisher
    from lasthop.policy.plan import Plan, PlannedLeg

_log = logging.getLogger(__name__)


class LegTable:
    """The attached legs of one director."""

    def __init__(self, maps: dict[str, Map], attacher: Attacher, publisher: Publisher) -> None:
        self._entries = LegEntries(maps, publisher)
        self._attacher = attacher
        self._publisher = publisher
        self._attached: dict[int, PlannedLeg] = {}
        """The first leg of each interface that programs are on."""
        self._legs: tuple[PlannedLeg, ...] = ()
        self._xdp: set[int] = set()
        self._transmit: set[int] = set()
        self._made: list[int] = []

    def attaches(self, plan: Plan) -> bool:
        """Whether a plan wants something attached, or attached otherwise."""
        return any(self._needs_attaching(leg) for leg in _first_legs(plan.legs).values())

    def prepare(self, plan: Plan) -> list[PlannedLeg]:
        """Give legs ids and write their entries, attach nothing. Returns a leg of each interface to be (re)attached.

        Raises DataPlaneError if another director is on one of them.
        """
        changed = [leg for leg in _first_legs(plan.legs).values() if self._needs_attaching(leg)]
        for leg in changed:
            self._attacher.refuse_foreign(leg.name, leg.interface, leg.ifindex)
        self._made = []
        self._entries.write(plan, self._transmit)
        return changed

    def roll_back(self) -> None:
        """Detach what `attach` attached anew, and put back what `prepare` overwrote."""
        for ifindex in self._made:
            self._attacher.detach(ifindex)
        self._entries.roll_back()

    def transmitting(self, plan: Plan) -> frozenset[str]:
        """Legs of `plan` known to transmit XDP frames."""
        return frozenset(leg.name for leg in plan.legs if leg.ifindex in self._transmit)

    def attach(self, changed: Sequence[PlannedLeg]) -> None:
        """Attach what `prepare` returned. What is attached anew, and not adopted, is undone by `roll_back`."""
        for leg in changed:
            if not self._attacher.holds(leg.ifindex):
                self._made.append(leg.ifindex)
            self._attach(leg)

    def commit(self, plan: Plan, changed: Sequence[PlannedLeg]) -> None:
        """Detach what is no leg any more, and prove which interfaces transmit XDP frames."""
        first = _first_legs(plan.legs)
        revived = [leg for leg in first.values() if leg.up and not self._was_up(leg)]
        stale = (self._entries.interfaces_before() | self._attacher.pinned() | self._attached.keys()) - first.keys()
        for ifindex in stale:
            self._attacher.detach(ifindex)
            self._xdp.discard(ifindex)
            self._transmit.discard(ifindex)
        self._entries.forget_all_but(plan)
        self._attached, self._legs = first, plan.legs
        if self._prove_transmits({leg.ifindex: leg for leg in (*changed, *revived)}):
            self._publisher.publish(plan, self.transmitting(plan))

    def let_packets_ask(self) -> None:
        """Packets may ask for gateways and neighbours from now on, or need not any more, as the legs say."""
        self._entries.write_policies(self._legs)

    @property
    def kept(self) -> Sequence[KeptMap]:
        """The leg maps that are no arrays."""
        return self._entries.kept

    def mend_entries(self) -> int:
        """Put right what somebody else changed in the legs' entries; how many that were."""
        return self._entries.mend()

    def unattached(self) -> list[PlannedLeg]:
        """A leg of each interface that lacks a program which was put there, unless it is gone itself."""
        return [
            leg for ifindex, leg in self._attached.items() if self._attacher.lacks(ifindex, xdp=ifindex in self._xdp)
        ]

    def attach_again(self, leg: PlannedLeg, plan: Plan) -> None:
        """Put the programs back on the interface of a leg. Raises DataPlaneError if that can't be."""
        with alone():
            self._attacher.refuse_foreign(leg.name, leg.interface, leg.ifindex)
            self._attach(leg)
        if self._prove_transmits({leg.ifindex: leg}):
            self._publisher.publish(plan, self.transmitting(plan))

    def attachments(self) -> list[Attachment]:
        """How each leg is attached now."""
        return [
            Attachment(leg.name, "xdp+tc" if leg.ifindex in self._xdp else "tc", leg.ifindex in self._transmit)
            for leg in self._legs
        ]

    def capture(self, legs: frozenset[str]) -> None:
        """Have the frames of `legs` captured, and no others."""
        self._entries.write_captures(self._legs, legs)

    def swap_programs(self) -> None:
        """Put the programs that are loaded now on every attached interface; no other runs when this returns."""
        self._attacher.swap(self._attached)
        grace_period()

    def detach_all(self) -> None:
        """Take the programs off every interface."""
        for ifindex in self._entries.interfaces() | self._attacher.pinned() | self._attached.keys():
            self._attacher.detach(ifindex)
        self._attached, self._legs = {}, ()

    def _needs_attaching(self, leg: PlannedLeg) -> bool:
        before = self._attached.get(leg.ifindex)
        return before is None or (before.mode, before.strips_tags) != (leg.mode, leg.strips_tags)

    def _attach(self, leg: PlannedLeg) -> None:
        self._attacher.attach_tc(leg.name, leg.interface, leg.ifindex)
        self._xdp.discard(leg.ifindex)
        if leg.strips_tags or leg.mode is Mode.TC or (leg.mode is Mode.AUTO and leg.virtual):
            self._attacher.detach_xdp(leg.ifindex)
            return
        try:
            self._attacher.attach_xdp(leg.name, leg.interface, leg.ifindex)
        except DataPlaneError as error:
            if leg.mode is not Mode.AUTO:
                raise
            _log.info("leg %s goes by tc alone: %s", leg.name, error.problem)
            return
        self._xdp.add(leg.ifindex)

    def _was_up(self, leg: PlannedLeg) -> bool:
        before = self._attached.get(leg.ifindex)
        return before is not None and before.up

    def _prove_transmits(self, interfaces: dict[int, PlannedLeg]) -> bool:
        """Test whether interfaces can transmit XDP frames; True if that changed what may be published."""
        before = set(self._transmit)
        for ifindex, leg in interfaces.items():
            self._transmit.discard(ifindex)
            if ifindex in self._xdp and leg.up and self._attacher.transmits(ifindex, leg.mac):
                self._transmit.add(ifindex)
        self._entries.write_transmits(self._legs, self._transmit)
        return before != self._transmit


def _first_legs(legs: Iterable[PlannedLeg]) -> dict[int, PlannedLeg]:
    """The first leg of each interface."""
    first: dict[int, PlannedLeg] = {}
    for leg in legs:
        first.setdefault(leg.ifindex, leg)
    return first
