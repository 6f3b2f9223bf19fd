"""Reading back: what was published is compared with what is in the kernel, part by part, and put right.

Owns the order. A director is alone with its maps and links; still an operator may take a program off an interface, or
write a map, by hand. What packets or the kernel change themselves is not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.dataplane.interface import Altered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.dataplane.leg_table import LegTable
    from lasthop.dataplane.neighbour_table import NeighbourTable
    from lasthop.dataplane.publisher import Publisher
    from lasthop.policy.plan import Plan


def read_back(publisher: Publisher, legs: LegTable, neighbours: NeighbourTable, plan: Plan) -> Iterator[Altered]:
    """Put right what differs from `plan`, which is published; yields after each part.

    Raises DataPlaneError where a program can't be attached again; maps are right then.
    """
    for name in publisher.parts:
        yield Altered(f"map {name}", publisher.mend(name))
    for kept in (*publisher.kept, *neighbours.kept, *legs.kept):
        yield Altered(f"map {kept.name}", kept.mend())
    yield Altered("map legs", legs.mend_entries())
    for leg in legs.unattached():
        legs.attach_again(leg, plan)
        yield Altered(f"the programs on leg {leg.name} ({leg.interface})", 1)
