"""What every `lasthop.dataplane.interface.DataPlane` finds for a query: the same tests on fake and kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING

import pytest

from lasthop.model.connection_query import ConnectionQuery, Top
from lasthop.model.director import State
from tests.contract.dataplane_worlds import CLIENT, connections, plan

if TYPE_CHECKING:
    from tests.contract.dataplane_worlds import World


@pytest.mark.parametrize(
    ("query", "ports"),
    [
        (ConnectionQuery(), {1, 2, 3, 4}),
        (ConnectionQuery(service="FWM 1"), {1, 2, 3, 4}),
        (ConnectionQuery(service="FWM 2"), set()),
        (ConnectionQuery(service="FWM 9"), set()),
        (ConnectionQuery(server="fw1"), {1, 3}),
        (ConnectionQuery(server="fw9"), set()),
        (ConnectionQuery(state=State.UDP), {1, 2, 3, 4}),
        (ConnectionQuery(state=State.ESTABLISHED), set()),
        (ConnectionQuery(client=IPv4Network("198.51.100.64/26")), {3, 4}),
        (ConnectionQuery(client=IPv4Network("203.0.113.0/24")), set()),
        (ConnectionQuery(client=IPv4Network("0.0.0.0/0")), {1, 2, 3, 4}),
        (ConnectionQuery(older_than_s=0), {1, 2, 3, 4}),
        (ConnectionQuery(older_than_s=3600), set()),
        (ConnectionQuery(server="fw2", client=IPv4Network("198.51.100.11/32"), state=State.UDP), {2}),
    ],
)
def test_a_query_finds_the_connections_it_describes(world: World, query: ConnectionQuery, ports: set[int]) -> None:
    world.dataplane.publish(plan(world))
    for port in (1, 2, 3, 4):
        world.arrive(("198.51.100.11" if port < 3 else "198.51.100.77", port))
    assert {each.source_port for each in connections(world, query)} == ports
    assert world.dataplane.connections(replace(query, limit=1)).total == len(ports)
    assert len(connections(world, replace(query, top=Top.BYTES, limit=3))) == min(3, len(ports))


@pytest.mark.parametrize(
    ("client", "ports"),
    [
        ("2001:db8:51::/48", {3, 4}),
        ("2001:db8:51::77/128", {4}),
        ("::/0", {3, 4}),
        ("0.0.0.0/0", {1, 2}),
        ("::/1", {3, 4}),
    ],
)
def test_a_client_of_a_family_is_found_by_a_prefix_of_that_family(world: World, client: str, ports: set[int]) -> None:
    world.dataplane.publish(plan(world))
    clients = ("198.51.100.11", "198.51.100.77", "2001:db8:51::11", "2001:db8:51::77")
    for port, source in enumerate(clients, start=1):
        world.arrive((source, port))
    assert {each.source_port for each in connections(world, ConnectionQuery(client=ip_network(client)))} == ports


def test_what_is_asked_for_most_of_comes_first(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive((CLIENT[0], 1))
    world.arrive((CLIENT[0], 2))
    first, second = connections(world, ConnectionQuery(top=Top.AGE))
    assert first.age_s >= second.age_s
