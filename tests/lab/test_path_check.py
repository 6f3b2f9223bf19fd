"""The path check: it alone finds a firewall that is up, answers for itself, and passes nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.layout import Shape
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import open_http
from lasthop.lab.waiting import wait_until
from tests.lab.test_health import health, used

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology

PATIENCE_S = 30
NEW = 60
DEAF = "fw2"
WORLDS = [
    Blueprint(shape, firewalls=4, clients=4, balancing=Balancing(modes, "rr", connections=20_000))
    for shape in (Shape.TWO_BOX, Shape.ONE_BOX)
    for modes in (LegModes.TC, LegModes.XDP)
]
pytestmark = pytest.mark.parametrize(
    "lab", WORLDS, indirect=True, ids=lambda each: f"{each.shape}-{each.balancing.modes}"
)


def with_path_checks(lab: Topology) -> None:
    """Both sides check the firewalls by way of the other side's own address behind them."""
    addresses = {
        side.zone: next(iter(lab.layout.port(place.name, side.leg_to_firewalls).addresses)).ip
        for place in lab.layout.directors
        for side in place.sides
    }
    other = dict(zip(addresses, reversed(addresses.values()), strict=True))
    for place in lab.layout.directors:
        director = lab.directors[place.name]
        head, *services = director.file.read_text().split("[[service]]\n")
        for number, side in enumerate(place.sides):
            rules, servers = services[2 * number].split("[[service.real_server]]", 1)
            check = f'[service.health]\ncheck = "path"\ntarget = "{other[side.zone]}"\ninterval = 0.5\ntimeout = 0.5\n'
            services[2 * number] = f"{rules}{check}[[service.real_server]]{servers}"
        director.client.apply(str(director.file), "[[service]]\n".join([head, *services]))


def test_a_firewall_that_drops_silently_is_found_and_used_again_when_it_passes_traffic(lab: Topology) -> None:
    with_path_checks(lab)
    for name in lab.layout.firewalls:
        assert wait_until(lambda name=name: health(lab, name) == {"up"}, timeout=PATIENCE_S), name  # type: ignore[misc]
    told = lab.run(DEAF, "nft", "-ae", "insert", "rule", "inet", "firewall", "forward", "drop")
    handle = re.findall(r"handle (\d+)", told)[-1]
    assert wait_until(lambda: health(lab, DEAF) == {"down"}, timeout=PATIENCE_S)
    client, pairs = lab.namespace("client"), lab.layout.outwards
    judged = symmetry.judge(lab, open_http(client, pairs, NEW))
    assert judged.holds, judged.asymmetric[:5]
    assert set(judged.firewall_of.values()) == set(lab.layout.firewalls) - {DEAF}
    for director in lab.directors.values():
        assert "no answer within 0.5 s" in {each["last"] for each in director.client.health()}
        assert director.client.status()["unexpected"] == {}
    lab.run(DEAF, "nft", "delete", "rule", "inet", "firewall", "forward", "handle", handle)
    assert wait_until(lambda: used(lab, DEAF), timeout=PATIENCE_S)
    judged = symmetry.judge(lab, open_http(client, pairs, NEW))
    assert set(judged.firewall_of.values()) == set(lab.layout.firewalls)
