"""related = "address-pair" through real firewalls: control and data of a conversation cross the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import open_http
from tests.lab.conversations import Held

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology

pytestmark = pytest.mark.parametrize(
    "lab",
    [Blueprint(clients=6, balancing=Balancing(scheduler="rr", connections=20_000))],
    indirect=True,
    scope="module",
)


@pytest.fixture(autouse=True, scope="module")
def relating(lab: Topology) -> None:
    """Both directors keep the connections of a pair of hosts together."""
    for director in lab.directors.values():
        text = director.file.read_text().replace('scheduler = "rr"\n', 'scheduler = "rr"\nrelated = "address-pair"\n')
        director.client.apply(str(director.file), text)


def test_data_connections_cross_the_firewall_of_the_control_connection_whoever_opens_them(lab: Topology) -> None:
    """Like FTP's: the client opens some (passive), the server others (active), while the first one is open."""
    drawn = lab.layout
    with Held(lab.namespace("client"), drawn.outwards) as control:
        control.open(len(drawn.clients))
        passive = open_http(lab.namespace("client"), drawn.outwards, 3 * len(drawn.clients))
        active = open_http(lab.namespace("www"), drawn.inwards, 3 * len(drawn.clients))
        attempts = [*passive, *active, *control.asked()]
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    firewalls: dict[frozenset[str], set[str]] = {}
    for (_, source, _, destination, _), name in judged.firewall_of.items():
        firewalls.setdefault(frozenset((source, destination)), set()).add(name)
    assert len(firewalls) == len(drawn.clients)
    assert all(len(names) == 1 for names in firewalls.values()), firewalls
    assert len(set.union(*firewalls.values())) > 1, "it is not that everything goes to one"
