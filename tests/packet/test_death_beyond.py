"""A dead real server seen from the other side of it, where it is a last hop; and what its return moves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import TCP

from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath
from tests.oracles import pair_hash
from tests.packet.frames import CLIENT, WWW, error, reply, tcp, udp
from tests.packet.plans import FW, ROUTER, firewalls, two_box
from tests.packet.rig import dropped, forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

TO_ROUTER = ("outside", ROUTER)


def drawn(on_death: OnDeath, *, dead: bool) -> Plan:
    """Three firewalls, rr; of fw0 both services know when it is dead."""
    first, *others = firewalls(3)
    first = replace(first, admin=Admin.DISABLED, usable=False) if dead else first
    return two_box((first, *others), "rr", on_death=on_death)


def came_through_the_dead(rig: Rig, packet: Any, on_death: OnDeath) -> None:
    """A connection that was scheduled to the router, and came through fw0, which is dead now."""
    rig.publish(drawn(on_death, dead=False))
    assert rig.send("firewalls", packet, FW[0]) == forwarded("OPENING", TO_ROUTER)
    rig.publish(drawn(on_death, dead=True))


def rendezvous() -> tuple[str, str]:
    return "firewalls", FW[int(pair_hash.chosen([(f"fw{i}", 1, i > 0) for i in range(3)], CLIENT, WWW)[2:])]


def test_kept_responses_go_on_to_the_dead_one_until_a_request_comes_through_another(rig: Rig) -> None:
    came_through_the_dead(rig, udp(), OnDeath.KEEP)
    assert rig.send("outside", reply(udp()), ROUTER) == forwarded("RESPONSE", ("firewalls", FW[0]))
    assert rig.send("firewalls", udp(), FW[1]) == forwarded("REQUEST", TO_ROUTER, EVENT_LAST_HOP_MOVED=1)
    assert rig.send("outside", reply(udp()), ROUTER) == forwarded("RESPONSE", ("firewalls", FW[1]))


def test_rebalanced_responses_go_where_rendezvous_sends_the_requests_and_stay(rig: Rig) -> None:
    came_through_the_dead(rig, tcp(), OnDeath.REBALANCE)
    chosen = rendezvous()
    assert rig.send_over("outside", reply(tcp()), ROUTER) == forwarded("RESPONSE", chosen, EVENT_LAST_HOP_MOVED=1)
    assert rig.only_connection().last_hop == chosen
    assert rig.send("outside", reply(tcp(), "A"), ROUTER) == forwarded("RESPONSE", chosen)
    rig.publish(drawn(OnDeath.REBALANCE, dead=False))
    assert rig.send("outside", reply(tcp(), "A"), ROUTER) == forwarded("RESPONSE", chosen), "who returns moves nothing"


def test_an_icmp_error_beyond_a_dead_one_goes_by_rendezvous_and_moves_nothing(rig: Rig) -> None:
    came_through_the_dead(rig, udp(), OnDeath.REBALANCE)
    about = error(udp(), "203.0.113.1")
    assert rig.send_over("outside", about, ROUTER) == forwarded("RELATED", rendezvous())
    assert rig.only_connection().last_hop == ("firewalls", FW[0])


def test_with_nobody_left_rebalanced_responses_go_on_to_the_dead_one(rig: Rig) -> None:
    came_through_the_dead(rig, udp(), OnDeath.REBALANCE)
    dead = tuple(replace(each, admin=Admin.DISABLED, usable=False) for each in firewalls(3))
    rig.publish(two_box(dead, "rr", on_death=OnDeath.REBALANCE))
    assert rig.send("outside", reply(udp()), ROUTER) == forwarded("RESPONSE", ("firewalls", FW[0]))


def test_responses_to_a_dead_one_are_reset_dropped_or_the_kernels(rig: Rig) -> None:
    came_through_the_dead(rig, udp(), OnDeath.DROP)
    assert rig.send("outside", reply(udp()), ROUTER) == dropped("DEAD")
    rig.publish(drawn(OnDeath.BYPASS, dead=True))
    assert rig.send("outside", reply(udp()), ROUTER) == rig.kernel("BYPASS")
    rig.reset()
    came_through_the_dead(rig, tcp(), OnDeath.RESET)
    made = rig.answer("outside", reply(tcp(), "A"), ROUTER, "RESET")
    assert (made.dst, made[TCP].flags, made[TCP].dport) == (FW[0], "RA", 40000)
    assert rig.only_connection().state == "CLOSE"


@pytest.mark.parametrize("on_death", OnDeath)
def test_a_real_server_that_returns_takes_nothing_that_lives_elsewhere(rig: Rig, on_death: OnDeath) -> None:
    rig.publish(drawn(on_death, dead=True))
    where = {port: rig.send("outside", tcp(sport=port), ROUTER).hop for port in range(1, 9)}
    assert set(where.values()) == {("firewalls", FW[1]), ("firewalls", FW[2])}
    rig.publish(drawn(on_death, dead=False))
    for port, hop in where.items():
        assert hop is not None
        assert rig.send("outside", tcp("A", sport=port), ROUTER) == forwarded("REQUEST", hop)
        assert rig.send("firewalls", reply(tcp(sport=port)), hop[1]) == forwarded("RESPONSE", TO_ROUTER)
    new = {rig.send("outside", tcp(sport=port), ROUTER).hop for port in range(20, 23)}
    assert ("firewalls", FW[0]) in new, "new ones it gets at once"
