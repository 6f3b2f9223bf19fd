"""Path-MTU discovery through the sandwich: whoever finds a packet too big, its sender hears of it, and TCP completes.

With offloads packets come with checksums that are still to be finished, as from virtual machines beside the director;
without them as from a wire.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.layout import bridge_port
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import Attempt, open_http
from lasthop.lab.wiring import set_offloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.topology import Topology

SMALL = 1300
CONNECTIONS = 8

pytestmark = pytest.mark.parametrize(
    "lab",
    [
        pytest.param(Blueprint(ipv6=True, balancing=Balancing(connections=20_000)), id="unfinished-checksums"),
        pytest.param(Blueprint(ipv6=True, balancing=Balancing(connections=20_000), offloads=False), id="tc"),
        pytest.param(
            Blueprint(ipv6=True, balancing=Balancing(LegModes.XDP, connections=20_000), offloads=False), id="xdp"
        ),
    ],
    indirect=True,
    scope="module",
)


@contextmanager
def narrow(lab: Topology, lan: str, but: str = "") -> Iterator[None]:
    """A network whose packets are small; what was learned of it is forgotten afterwards."""
    ends = [(port.box, port.interface) for port in lab.layout.ports if port.lan == lan and port.box != but]
    if next(each for each in lab.layout.lans if each.name == lan).switched:
        ends += [("lan", bridge_port(port)) for port in lab.layout.ports if port.lan == lan]
    for box, interface in ends:
        lab.run(box, "ip", "link", "set", interface, "mtu", str(SMALL))
    try:
        yield
    finally:
        for box, interface in ends:
            lab.run(box, "ip", "link", "set", interface, "mtu", "1500")
        for box in ("client", "www"):
            lab.run(box, "ip", "route", "flush", "cache")
            lab.run(box, "ip", "-6", "route", "flush", "cache")


def transfers(lab: Topology, *, outwards: bool, inwards: bool) -> list[Attempt]:
    """Long transfers to who opened the connection, from inside or from outside, where www sends, in both families.

    In this order: who has heard of a path's MTU does not ask the other end for more.
    """
    client, www, drawn = lab.namespace("client"), lab.namespace("www"), lab.layout
    attempts = []
    for opened_outside, opened_inside in ((drawn.outwards, drawn.inwards), (drawn.outwards6, drawn.inwards6)):
        if inwards:
            attempts += open_http(www, opened_inside, CONNECTIONS, path="/bytes/200000")
        if outwards:
            attempts += open_http(client, opened_outside, CONNECTIONS, path="/bytes/200000")
    return attempts


def counted(lab: Topology, name: str) -> dict[str, int]:
    """A counter of each director."""
    return {
        place: next(row["value"] for row in director.client.counters() if row["name"] == name)
        for place, director in lab.directors.items()
    }


def require(lab: Topology, attempts: list[Attempt]) -> None:
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, (judged.asymmetric[:5], judged.per_firewall)


@pytest.mark.parametrize(("lan", "end", "outwards"), [("servers", "www", False), ("clients", "client", True)])
def test_a_router_on_either_side_of_the_sandwich_is_heard(lab: Topology, lan: str, end: str, outwards: bool) -> None:
    """The end keeps its MTU, and so promises the other one larger segments than the router can send on."""
    with narrow(lab, lan, but=end):
        before = counted(lab, "forwarded_related")
        require(lab, transfers(lab, outwards=outwards, inwards=not outwards))
        after = counted(lab, "forwarded_related")
    assert all(after[name] > before[name] for name in lab.directors), (before, after)


def test_a_firewall_and_the_director_itself_are_heard(lab: Topology) -> None:
    """The network on the outer side of the firewalls is small: the outer director says so, or a firewall does."""
    with narrow(lab, "outer"):
        before = counted(lab, "forwarded_too_big")
        require(lab, transfers(lab, outwards=True, inwards=True))
        after = counted(lab, "forwarded_too_big")
    assert after["lb1"] > before["lb1"], (before, after)


def test_an_answer_to_a_packet_of_an_unfinished_checksum_is_right_when_somebody_finishes_it(lab: Topology) -> None:
    """The director's interface cannot finish checksums: the kernel does it as it leaves, and its taker checks."""
    set_offloads(lab.namespace("lb1"), "outside", {"tx": False})
    with narrow(lab, "outer"):
        before = counted(lab, "forwarded_too_big")
        require(lab, transfers(lab, outwards=False, inwards=True))
        after = counted(lab, "forwarded_too_big")
    assert after["lb1"] > before["lb1"], (before, after)


def test_nothing_was_left_to_the_kernel(lab: Topology) -> None:
    """What XDP sends before the director has heard of an interface's new MTU, the interface refuses: that is not it."""
    for director in lab.directors.values():
        assert director.client.status()["unexpected"].keys() <= {"event_xdp_redirect_error"}, director.name
