"""Health checks and real firewalls: one that dies under traffic is found, left alone, and used again later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import Drip, open_http
from lasthop.lab.waiting import wait_until
from tests.lab.test_drain import firewall_of

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology

PATIENCE_S = 30
NEW = 40
CHECK = '[service.health]\ncheck = "ping"\ninterval = 0.4\ntimeout = 0.4\nrise = 2\nfall = 3\n'

pytestmark = pytest.mark.parametrize(
    "lab",
    [Blueprint(firewalls=3, clients=4, balancing=Balancing(scheduler="rr", connections=20_000))],
    indirect=True,
    scope="module",
)


def with_checks(lab: Topology, on_death: str) -> None:
    """The services over firewalls check them."""
    for director in lab.directors.values():
        text = director.file.read_text()
        head, *services = text.split("[[service]]\n")
        for number in range(0, len(services), 2):
            rules, servers = services[number].split("[[service.real_server]]", 1)
            services[number] = f'{rules}on_death = "{on_death}"\n{CHECK}[[service.real_server]]{servers}'
        director.client.apply(str(director.file), "[[service]]\n".join([head, *services]))


def health(lab: Topology, name: str) -> set[str]:
    return {
        each["health"]
        for director in lab.directors.values()
        for each in director.client.health()
        if each["real_server"] == name
    }


def used(lab: Topology, name: str) -> bool:
    """Whether both directors give it new connections."""
    reports = [each for director in lab.directors.values() for each in director.client.servers()]
    return all(each["effective_weight"] for each in reports if each["name"] == name)


def switch(lab: Topology, name: str, state: str) -> None:
    """Pull both cables of a firewall, or plug them in."""
    for lan in ("outer", "inner"):
        lab.run("lan", "ip", "link", "set", f"{lan}-{name}", state)


def test_a_firewall_that_dies_gets_nothing_new_and_one_that_returns_moves_nothing(lab: Topology) -> None:
    with_checks(lab, "reset")
    client, pairs = lab.namespace("client"), lab.layout.outwards
    for name in lab.layout.firewalls:
        assert wait_until(lambda name=name: health(lab, name) == {"up"}, timeout=PATIENCE_S)  # type: ignore[misc]
    with Drip(client, pairs[0]) as kept, Drip(client, pairs[1]) as lost:
        assert wait_until(lambda: kept.received > 0 and lost.received > 0, timeout=PATIENCE_S)
        dead = firewall_of(lab, lost.port)
        assert firewall_of(lab, kept.port) != dead
        switch(lab, dead, "down")
        assert wait_until(lambda: health(lab, dead) == {"down"}, timeout=PATIENCE_S)
        assert wait_until(lambda: lost.attempt is not None, timeout=PATIENCE_S), "both ends were told"
        judged = symmetry.judge(lab, open_http(client, pairs, NEW))
        assert judged.holds, judged.asymmetric[:5]
        assert set(judged.firewall_of.values()) == set(lab.layout.firewalls) - {dead}
        assert any(f"real server {dead} is down" in each for each in lab.directors["lb1"].client.status()["problems"])
        before = kept.received
        switch(lab, dead, "up")
        assert wait_until(lambda: used(lab, dead), timeout=PATIENCE_S)
        judged = symmetry.judge(lab, open_http(client, pairs, NEW))
        assert set(judged.firewall_of.values()) == set(lab.layout.firewalls), "it takes new ones again"
        assert wait_until(lambda: kept.received > before, timeout=PATIENCE_S), "and nothing moved to it"
    assert kept.attempt is not None
    assert kept.attempt.completed, kept.attempt.problem
