"""Schedulers under real traffic: who gets the connections, and that both directions cross one firewall."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import open_http

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology

CONNECTIONS = 120
#: Scheduler -> the least and the most connections of one of four firewalls of equal weight.
SHARES = {
    "wrr": (CONNECTIONS // 4, CONNECTIONS // 4),
    "lc": (10, 60),
    "sed": (0, CONNECTIONS),
    "nq": (0, CONNECTIONS),
    "twos": (10, 60),
    "sh": (0, CONNECTIONS),
    "dh": (0, CONNECTIONS),
    "rendezvous": (0, CONNECTIONS),
    "fo": (0, CONNECTIONS),
}


@pytest.mark.parametrize(
    ("lab", "scheduler"),
    [(Blueprint(balancing=Balancing(scheduler=name, connections=20_000)), name) for name in SHARES],
    indirect=["lab"],
    ids=list(SHARES),
)
def test_connections_are_shared_as_the_scheduler_says_and_stay_symmetric(lab: Topology, scheduler: str) -> None:
    judged = symmetry.judge(lab, open_http(lab.namespace("client"), lab.layout.outwards, CONNECTIONS))
    assert judged.holds, judged.asymmetric[:5]
    shared = Counter(judged.firewall_of.values())
    assert sum(shared.values()) == CONNECTIONS
    least, most = SHARES[scheduler]
    assert all(least <= shared[name] <= most for name in lab.layout.firewalls), shared
    if scheduler == "fo":
        assert set(shared) == {"fw1"}
