"""Draining a firewall under real traffic: what could go on is not ended; what the deadline ends, it ends as told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lasthop.lab import firewall, symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import Continuous, Drip, open_http
from lasthop.lab.waiting import wait_until
from tests.lab.conversations import UdpConversation

if TYPE_CHECKING:
    from lasthop.api.client import Client
    from lasthop.lab.topology import Topology

PATIENCE_S = 15
NEW = 40


@pytest.fixture(autouse=True)
def restored(lab: Topology) -> None:
    """Every director begins a test with its own file."""
    applied(lab, "rebalance")


pytestmark = pytest.mark.parametrize(
    "lab",
    [Blueprint(firewalls=3, clients=4, balancing=Balancing(scheduler="rr", connections=20_000))],
    indirect=True,
    scope="module",
)


def applied(lab: Topology, on_death: str) -> None:
    for director in lab.directors.values():
        text = director.file.read_text().replace('scheduler = "rr"', f'scheduler = "rr"\non_death = "{on_death}"')
        director.client.apply(str(director.file), text)


def drain(lab: Topology, name: str, seconds: float | None = None) -> None:
    """As an operator does: on both directors."""
    until = None if seconds is None else time.time() + seconds
    for director in lab.directors.values():
        director.client.edit([{"kind": "drain", "server": name, "until_s": until}])


def firewall_of(lab: Topology, port: int) -> str:
    """The firewall that tracks the connection from a client's port."""
    (name,) = (
        name
        for name in lab.layout.firewalls
        if any(entry.key[2] == port for entry in firewall.tracked(lab.namespace(name)))
    )
    return name


def counted(client: Client, reason: str) -> int:
    return next(int(each["value"]) for each in client.counters() if each["name"] == reason)


def test_a_drained_firewall_keeps_its_transfer_and_gets_nothing_new_while_nobody_notices(lab: Topology) -> None:
    client, pairs = lab.namespace("client"), lab.layout.outwards
    with Drip(client, pairs[0]) as drip, Continuous(client, pairs) as load:
        assert wait_until(lambda: drip.received > 0 and len(load.attempts) > 20, timeout=PATIENCE_S)
        name = firewall_of(lab, drip.port)
        drain(lab, name)
        attempts = open_http(client, pairs, NEW)
        judged = symmetry.judge(lab, attempts)
        assert judged.holds, judged.asymmetric[:5]
        assert set(judged.firewall_of.values()) == set(lab.layout.firewalls) - {name}
        lb1 = lab.directors["lb1"].client

        def left() -> list[int]:
            return [each["remaining"] for each in lb1.drains()]

        assert wait_until(lambda: left() == [1], timeout=PATIENCE_S), left()
        assert "is drained: 1 connection left" in lb1.status()["notes"][0]
        before = drip.received
        assert wait_until(lambda: drip.received > before, timeout=PATIENCE_S), "the transfer goes on"
    assert drip.attempt is not None
    assert drip.attempt.completed, drip.attempt.problem
    assert [attempt.problem for attempt in load.attempts if not attempt.completed] == []
    assert wait_until(lambda: left() == [0], timeout=PATIENCE_S), left()
    for director in lab.directors.values():
        director.client.edit([{"kind": "enable", "server": name}])
    judged = symmetry.judge(lab, open_http(client, pairs, NEW))
    assert set(judged.firewall_of.values()) == set(lab.layout.firewalls), "it takes new ones again"


@pytest.mark.parametrize("on_death", ["reset", "keep", "drop", "bypass"])
def test_at_the_deadline_a_transfer_goes_the_way_of_on_death(lab: Topology, on_death: str) -> None:
    applied(lab, on_death)
    client, pairs = lab.namespace("client"), lab.layout.outwards
    lb1 = lab.directors["lb1"].client
    with Drip(client, pairs[0]) as drip:
        assert wait_until(lambda: drip.received > 0, timeout=PATIENCE_S)
        name = firewall_of(lab, drip.port)
        drain(lab, name, 1)

        def disabled() -> bool:
            return {each["admin"] for each in lb1.servers() if each["name"] == name} == {"disabled"}

        assert wait_until(disabled, timeout=PATIENCE_S)
        if on_death == "reset":
            assert wait_until(lambda: drip.attempt is not None, timeout=PATIENCE_S), "both ends were told"
            assert drip.attempt is not None
            assert "reset by peer" in drip.attempt.problem
        elif on_death == "keep":
            before = drip.received
            assert wait_until(lambda: drip.received > before, timeout=PATIENCE_S), "the transfer goes on"
        else:
            reason = {"drop": "drop_dead", "bypass": "kernel_bypass"}[on_death]
            assert wait_until(lambda: counted(lb1, reason) > 0, timeout=PATIENCE_S), reason
        assert all(attempt.completed for attempt in open_http(client, pairs, NEW))


def test_a_conversation_that_is_rebalanced_goes_through_another_firewall_both_ways(lab: Topology) -> None:
    client, pairs = lab.namespace("client"), lab.layout.outwards
    with UdpConversation(client, pairs[0]) as talk:
        assert talk.answered()
        before = firewall_of(lab, talk.port)
        drain(lab, before, 0.5)
        lb1 = lab.directors["lb1"].client
        before_it = counted(lb1, "event_moved")

        def moved() -> bool:
            talk.answered()
            return counted(lb1, "event_moved") > before_it

        assert wait_until(moved, timeout=PATIENCE_S)
        assert talk.answered()
        (connection,) = [each for each in lb1.connections() if each["source_port"] == talk.port]
        assert connection["real_server"] != before
        inner = [each for each in lab.directors["lb2"].client.connections() if each["source_port"] == talk.port]
        assert [each["last_hop"]["name"] for each in inner] == [connection["real_server"]]
