"""lblc and lblcr: a destination keeps its real server, or its set of them; against an oracle."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.oracles.locality import Locality
from tests.packet.frames import reply, tcp
from tests.packet.plans import FW, ROUTER, firewalls, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

DESTINATIONS = [f"203.0.113.{i}" for i in range(1, 7)]


def server_of(rig: Rig, port: int, destination: str) -> int:
    hop = rig.send("outside", tcp(sport=port, destination=destination), ROUTER).hop
    assert hop is not None
    return FW.index(hop[1])


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [2, 5, 1], [0, 3, 3]])
@pytest.mark.parametrize("scheduler", ["lblc", "lblcr"])
def test_connections_go_where_the_oracle_says_while_they_come_and_go(
    rig: Rig, scheduler: str, weights: list[int]
) -> None:
    rig.publish(two_box(firewalls(weights=weights), scheduler))
    oracle = Locality(sets=scheduler == "lblcr")
    rng = random.Random(scheduler)
    opened: list[tuple[int, str, int]] = []
    for port in range(1, 151):
        destination = rng.choice(DESTINATIONS)
        loads = [(weight, *rig.load_of(f"fw{i}")[:2]) for i, weight in enumerate(weights)]
        assert server_of(rig, port, destination) == oracle.choose(loads, destination), port
        opened.append((port, destination, rig.entries["forward_hop"].max()))
        if rng.random() < 0.5:
            gone, there, _ = opened.pop(rng.randrange(len(opened)))
            rig.send("outside", tcp("R", sport=gone, destination=there), ROUTER)


@pytest.mark.parametrize("scheduler", ["lblc", "lblcr"])
def test_a_destination_leaves_a_real_server_that_is_gone_of_weight_0_or_full(rig: Rig, scheduler: str) -> None:
    servers = firewalls(weights=[100, 100, 100])
    rig.publish(two_box(servers, scheduler))
    assert [server_of(rig, port, DESTINATIONS[0]) for port in (1, 2, 3)] == [0, 0, 0]
    rig.publish(two_box((replace(servers[0], weight=0), *servers[1:]), scheduler))
    assert [server_of(rig, port, DESTINATIONS[0]) for port in (4, 5)] == [1, 1]
    rig.publish(two_box((servers[0], replace(servers[1], usable=False), servers[2]), scheduler))
    chosen = server_of(rig, 6, DESTINATIONS[0])
    assert chosen in {0, 2}
    rig.publisher.server_loads["overloaded"][rig.publisher.server_ids()["FWM 1", f"fw{chosen}"]] = 1
    assert server_of(rig, 7, DESTINATIONS[0]) not in {1, chosen}


def test_a_server_id_that_was_given_to_another_service_is_passed_over(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2), "lblc"))
    assert server_of(rig, 1, DESTINATIONS[0]) == 0
    locality = dict(rig.maps["localities"].entries())
    (key,) = locality
    stale = bytearray(locality[key])
    stale[20:22] = int(rig.publisher.server_ids()["FWM 2", "router"]).to_bytes(2, "little")
    rig.maps["localities"].update(key, bytes(stale))
    assert rig.send("outside", tcp(sport=2, destination=DESTINATIONS[0]), ROUTER) == forwarded(
        "OPENING", ("firewalls", FW[1])
    )
    assert rig.send("firewalls", reply(tcp(sport=2, destination=DESTINATIONS[0])), FW[1]).verdict == "forwarded"
