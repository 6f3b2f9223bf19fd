"""The sandwich in IPv6, through firewalls that are known by their IPv4 addresses and carry both families."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry, transparency
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.layout import Shape
from lasthop.lab.ping import echo_icmp
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import Attempt, curl, echo_udp, open_http

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology

CONNECTIONS = 200

pytestmark = pytest.mark.parametrize(
    "lab",
    [
        pytest.param(
            Blueprint(shape, ipv6=True, balancing=Balancing(modes, connections=20_000), offloads=False),
            id=f"{shape}-{modes}",
        )
        for shape, modes in ((Shape.TWO_BOX, LegModes.TC), (Shape.ONE_BOX, LegModes.XDP), (Shape.ONE_ARM, LegModes.TC))
    ],
    indirect=True,
    scope="module",
)


def open_from(lab: Topology, side: str, count: int) -> list[Attempt]:
    """HTTP, UDP and ICMPv6 conversations opened from outside or from inside."""
    client, www = lab.namespace("client"), lab.namespace("www")
    place, pairs = (client, lab.layout.outwards6) if side == "outside" else (www, lab.layout.inwards6)
    attempts = open_http(place, pairs, count)
    attempts += echo_udp(place, pairs, count // 10)
    attempts += echo_icmp(place, pairs, count // 10)
    return attempts


@pytest.mark.parametrize("side", ["outside", "inside"])
def test_every_ipv6_response_crosses_the_firewall_that_saw_its_request(lab: Topology, side: str) -> None:
    attempts = open_from(lab, side, CONNECTIONS)
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, (judged.asymmetric[:5], judged.per_firewall)
    assert set(judged.firewall_of.values()) == set(lab.layout.firewalls), "some firewall got nothing"


def test_every_ipv6_packet_leaves_a_director_byte_for_byte_as_it_entered(lab: Topology) -> None:
    with transparency.capture(lab) as taken:
        attempts = open_from(lab, "outside", 60) + open_from(lab, "inside", 60)
        attempts += curl(lab.namespace("client"), lab.layout.outwards6[0], 3)
        attempts += open_http(lab.namespace("client"), lab.layout.outwards6, 4, path="/bytes/100000")
    assert all(attempt.completed for attempt in attempts), [str(each) for each in attempts if not each.completed]
    for proof in transparency.compare(lab.layout, taken.frames):
        assert proof.holds, proof


def test_both_families_share_the_firewalls(lab: Topology) -> None:
    attempts = open_from(lab, "outside", 40) + open_http(lab.namespace("client"), lab.layout.outwards, 40)
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]


def test_datagrams_in_fragments_arrive_and_so_do_their_answers(lab: Topology) -> None:
    for pairs in (lab.layout.outwards6, lab.layout.outwards):
        attempts = echo_icmp(lab.namespace("client"), pairs, 16, size=4000)
        judged = symmetry.judge(lab, attempts)
        assert judged.holds, judged.asymmetric[:5]


def test_no_counter_that_should_stay_zero_has_moved(lab: Topology) -> None:
    for director in lab.directors.values():
        assert director.client.status()["unexpected"] == {}, director.name
