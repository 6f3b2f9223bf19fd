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


def transfers(lab: Topology) -> list[Attempt]:
    """Long transfers both ways, on connections opened from both sides, in both families."""
    client, www, drawn = lab.namespace("client"), lab.namespace("www"), lab.layout
    attempts = []
    for outwards, inwards in ((drawn.outwards, drawn.inwards), (drawn.outwards6, drawn.inwards6)):
        attempts += open_http(client, outwards, CONNECTIONS, path="/bytes/200000")
        attempts += open_http(www, inwards, CONNECTIONS, path="/bytes/200000")
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


def test_a_router_behind_the_sandwich_is_heard(lab: Topology) -> None:
    with narrow(lab, "servers", but="www"):
        before = counted(lab, "forwarded_related")
        require(lab, transfers(lab))
        after = counted(lab, "forwarded_related")
    assert all(after[name] > before[name] for name in lab.directors), (before, after)


def test_a_firewall_and_the_director_itself_are_heard(lab: Topology) -> None:
    """The networks of the firewalls' outer side are small: the outer director says so, or a firewall does."""
    with narrow(lab, "outer"):
        before = counted(lab, "forwarded_too_big")
        require(lab, transfers(lab))
        after = counted(lab, "forwarded_too_big")
    assert after["lb1"] > before["lb1"], (before, after)


def test_nothing_was_left_to_the_kernel(lab: Topology) -> None:
    for director in lab.directors.values():
        assert director.client.status()["unexpected"] == {}, director.name
