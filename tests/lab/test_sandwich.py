"""The sandwich in every drawing and mode: symmetric for every connection, transparent for every byte."""

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

MATRIX = [
    *((shape, modes) for shape in (Shape.TWO_BOX, Shape.ONE_BOX) for modes in LegModes),
    (Shape.ONE_ARM, LegModes.TC),
]
CONNECTIONS = 1_000
MODES = {LegModes.TC: {"tc"}, LegModes.XDP: {"xdp+tc"}, LegModes.MIXED: {"tc", "xdp+tc"}}

pytestmark = pytest.mark.parametrize(
    "lab",
    [
        pytest.param(
            Blueprint(shape, balancing=Balancing(modes, connections=20_000), offloads=False), id=f"{shape}-{modes}"
        )
        for shape, modes in MATRIX
    ],
    indirect=True,
    scope="module",
)


def open_from(lab: Topology, side: str, count: int) -> list[Attempt]:
    """HTTP, UDP and ICMP conversations opened from outside or from inside."""
    client, www = lab.namespace("client"), lab.namespace("www")
    place, pairs = (client, lab.layout.outwards) if side == "outside" else (www, lab.layout.inwards)
    attempts = open_http(place, pairs, count)
    attempts += echo_udp(place, pairs, count // 10)
    attempts += echo_icmp(place, pairs, count // 10)
    return attempts


def test_the_legs_are_attached_the_way_the_configuration_says(lab: Topology) -> None:
    legs = [leg for director in lab.directors.values() for leg in director.client.legs()]
    assert {leg["mode"] for leg in legs} == MODES[lab.blueprint.balancing.modes]
    assert all(leg["xdp_transmit"] == (leg["mode"] == "xdp+tc") for leg in legs), legs


@pytest.mark.parametrize("side", ["outside", "inside"])
def test_every_response_crosses_the_firewall_that_saw_its_request(lab: Topology, side: str) -> None:
    attempts = open_from(lab, side, CONNECTIONS)
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, (judged.asymmetric[:5], judged.per_firewall)
    assert len(judged.firewall_of) == len(attempts) >= CONNECTIONS
    assert set(judged.firewall_of.values()) == set(lab.layout.firewalls), "some firewall got nothing"


def test_every_ip_packet_leaves_a_director_byte_for_byte_as_it_entered(lab: Topology) -> None:
    with transparency.capture(lab) as taken:
        attempts = open_from(lab, "outside", 60) + open_from(lab, "inside", 60)
        attempts += curl(lab.namespace("client"), lab.layout.outwards[0], 3)
        attempts += open_http(lab.namespace("client"), lab.layout.outwards, 4, path="/bytes/100000")
    assert all(attempt.completed for attempt in attempts), [str(each) for each in attempts if not each.completed]
    proofs = transparency.compare(lab.layout, taken.frames)
    assert len(proofs) == len(lab.directors)
    for proof in proofs:
        assert proof.holds, proof


def test_the_director_knows_the_firewall_and_the_last_hop_of_each_connection(lab: Topology) -> None:
    attempts = open_from(lab, "outside", 30) + open_from(lab, "inside", 30)
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    from_inside = {attempt.key: attempt.source == "203.0.113.80" for attempt in attempts}
    for place in lab.layout.directors:
        rows = lab.directors[place.name].client.connections()
        for side in place.sides:
            seen = {key_of(row): row for row in rows if row["zone"] == side.zone}
            for key, firewall in judged.firewall_of.items():
                row = seen[key]
                opened_towards_firewalls = from_inside[key] != side.clients_side
                forward, last = (firewall, side.router) if opened_towards_firewalls else (side.router, firewall)
                assert (row["forward_hop"]["name"], row["last_hop"]["name"]) == (forward, last), row
                assert row["real_server"] == forward
                assert row["packets"]["request"] > 0
                assert row["packets"]["response"] > 0


def test_no_counter_that_should_stay_zero_has_moved(lab: Topology) -> None:
    for director in lab.directors.values():
        assert director.client.status()["unexpected"] == {}, director.name


def key_of(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("protocol", "source", "source_port", "destination", "destination_port"))
