"""A full connection table: what cannot be remembered still crosses one firewall, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import open_http

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology

TABLE = 1_024


@pytest.mark.parametrize(
    "lab", [Blueprint(balancing=Balancing(modes, connections=TABLE)) for modes in LegModes], indirect=True
)
def test_connections_beyond_the_table_are_served_by_rendezvous(lab: Topology) -> None:
    attempts = open_http(lab.namespace("client"), lab.layout.outwards, 3 * TABLE)
    failed = [f"{attempt}: {attempt.problem}" for attempt in attempts if not attempt.completed]
    assert not failed, (failed[:5], len(failed))
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    for director in lab.directors.values():
        counters = {counter["name"]: counter["value"] for counter in director.client.counters()}
        assert counters["event_table_full"] >= TABLE
        assert TABLE <= director.client.count_connections() < 1.5 * TABLE, "all that was promised, and some more"
