"""Persistence through real topologies: one client, one firewall."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.ping import echo_icmp
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import echo_udp, open_http

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology

pytestmark = pytest.mark.parametrize(
    "lab", [Blueprint(balancing=Balancing(persistence_s=360, connections=20_000))], indirect=True, scope="module"
)


def test_a_client_keeps_its_firewall_across_ports_and_protocols(lab: Topology) -> None:
    client, pairs = lab.namespace("client"), lab.layout.outwards
    attempts = open_http(client, pairs, 80) + echo_udp(client, pairs, 40) + echo_icmp(client, pairs, 40)
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    firewalls_of = defaultdict(set)
    for key, firewall in judged.firewall_of.items():
        firewalls_of[key[1]].add(firewall)
    assert len(firewalls_of) == len(lab.layout.clients)
    assert all(len(firewalls) == 1 for firewalls in firewalls_of.values()), dict(firewalls_of)
    assert len(set.union(*firewalls_of.values())) > 1, "all clients on one firewall"


def test_the_templates_are_counted_with_the_service_and_its_servers(lab: Topology) -> None:
    open_http(lab.namespace("client"), lab.layout.outwards, len(lab.layout.clients))
    client = lab.directors["lb1"].client
    towards_firewalls = next(service for service in client.services() if service["service"] == "FWM 1")
    assert towards_firewalls["persistent"] == len(lab.layout.clients)
    counted = [server["persistent"] for server in client.servers() if server["service"] == "FWM 1"]
    assert sum(counted) == len(lab.layout.clients)
