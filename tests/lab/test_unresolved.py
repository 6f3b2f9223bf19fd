"""A real server whose MAC address does not resolve: no reason to stop, and no traffic for it until it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import open_http

if TYPE_CHECKING:
    from collections.abc import Iterator

CABLES = ("outer-fw2", "inner-fw2")


@pytest.fixture
def lab_without_fw2() -> Iterator[Topology]:
    """Two firewalls, the second one with its cables cut; the directors run."""
    blueprint = Blueprint(firewalls=2, balancing=Balancing(connections=20_000))
    with Topology(blueprint, start_directors=False) as lab:
        lab.serve()
        for cable in CABLES:
            lab.run("lan", "ip", "link", "set", cable, "down")
        lab.start_directors(resolved=False)
        for director in lab.directors.values():
            director.wait_for(lambda client: client.status()["unresolved"] == ["fw2"], "fw2 alone unresolved")
        yield lab


def test_an_unresolved_firewall_gets_nothing_and_joins_when_its_mac_appears(lab_without_fw2: Topology) -> None:
    lab = lab_without_fw2
    client, pairs = lab.namespace("client"), lab.layout.outwards
    alone = symmetry.judge(lab, open_http(client, pairs, 40))
    assert alone.holds, alone.asymmetric[:5]
    assert set(alone.firewall_of.values()) == {"fw1"}
    for cable in CABLES:
        lab.run("lan", "ip", "link", "set", cable, "up")
    for director in lab.directors.values():
        director.wait_for(lambda client: not client.status()["unresolved"], "fw2 resolved", timeout=20)
    both = symmetry.judge(lab, open_http(client, pairs, 40))
    assert both.holds, both.asymmetric[:5]
    assert set(both.firewall_of.values()) == {"fw1", "fw2"}


def test_an_unresolved_firewall_is_shown_as_unresolved(lab_without_fw2: Topology) -> None:
    servers = {server["name"]: server for server in lab_without_fw2.directors["lb1"].client.servers()}
    assert (servers["fw2"]["health"], servers["fw2"]["mac"], servers["fw2"]["effective_weight"]) == (
        "unresolved",
        "",
        0,
    )
    assert servers["fw1"]["health"] == "up"
