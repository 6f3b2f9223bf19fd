"""Related connections in time: which one decides when the oldest, or all of them, are over; and what is none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.model.service import Related
from tests.packet.frames import CLIENT, WWW, reply, sctp, tcp, udp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, plan, rule, server, service, timeouts
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.entries import Connection
    from tests.packet.rig import Rig

HOPS = [("firewalls", mac) for mac in FW[:4]]
BACK = ("outside", ROUTER)


def drawn(servers: Any = None, **changes: Any) -> Plan:
    fixed: dict[str, Any] = {"related": Related.ADDRESS_PAIR}
    made = plan(
        (leg("outside"), leg("firewalls")),
        (rule(1, leg="outside"), rule(2, leg="firewalls")),
        (
            service(1, servers or firewalls(), "rr", **(fixed | changes)),
            service(2, (server("router", "outside", ROUTER),)),
        ),
    )
    return replace(made, timeouts=timeouts({"UDP": 60, "CLOSE": 10, "TIME_WAIT": 60}))


def of_port(rig: Rig, port: int) -> Connection:
    return next(each for each in rig.connections() if each.source[1] == port)


def test_when_the_oldest_is_over_the_next_oldest_that_lives_decides(rig: Rig) -> None:
    """Control, data, then the control connection alone times out: what comes belongs to the data still."""
    rig.publish(drawn())
    rig.send("outside", udp(sport=1), ROUTER)
    assert rig.send("outside", udp(sport=2), ROUTER) == forwarded("OPENING", HOPS[0], EVENT_RELATED=1)
    rig.age(50)
    rig.send("outside", udp(sport=2), ROUTER)
    rig.age(11)
    assert rig.send("outside", udp(sport=3), ROUTER) == forwarded("OPENING", HOPS[0], EVENT_RELATED=1)


def test_a_swept_control_connection_is_forgotten_with_its_pair(rig: Rig) -> None:
    rig.publish(drawn())
    rig.send("outside", udp(sport=1), ROUTER)
    rig.age(61)
    assert rig.sweep()["expired"] == 1
    assert rig.send("outside", udp(sport=2), ROUTER) == forwarded("OPENING", HOPS[1])
    assert rig.send("outside", udp(sport=3), ROUTER) == forwarded("OPENING", HOPS[1], EVENT_RELATED=1)


def test_a_closed_control_connection_decides_for_as_long_as_it_is_remembered(rig: Rig) -> None:
    rig.publish(drawn())
    rig.send("outside", tcp(sport=1), ROUTER)
    rig.send("outside", tcp("R", sport=1), ROUTER)
    rig.set_state(of_port(rig, 1), "CLOSE")
    assert rig.send("outside", tcp(sport=2), ROUTER) == forwarded("OPENING", HOPS[0], EVENT_RELATED=1)
    rig.forget()
    rig.send("outside", tcp(sport=1), ROUTER)
    rig.set_state(of_port(rig, 1), "CLOSE")
    rig.age(11)
    assert "EVENT_RELATED" not in rig.send("outside", tcp(sport=2), ROUTER).counted


def test_an_entry_made_after_a_related_one_was_of_no_use_is_whole(rig: Rig) -> None:
    """The look at the pair's oldest connection leaves nothing of that one in the new one."""
    rig.publish(drawn())
    rig.send("outside", udp(sport=1), ROUTER)
    rig.publish(drawn((replace(firewalls()[0], usable=False), *firewalls()[1:])))
    outcome = rig.send("outside", tcp(sport=2), STRANGER)
    assert outcome.counted == {"FORWARDED_OPENING": 1, "EVENT_HOP_LEARNED": 1}
    made = of_port(rig, 2)
    assert (made.protocol, made.source, made.destination) == ("tcp", (CLIENT, 2), (WWW, 80))
    assert (made.state, made.packets, made.forward_hop) == ("SYN_RECV", (1, 0), outcome.hop)
    assert rig.send("firewalls", reply(tcp(sport=2)), outcome.hop[1] if outcome.hop else "").counted == {
        "FORWARDED_RESPONSE": 1
    }
    assert rig.send("outside", tcp("A", sport=2), STRANGER) == forwarded("REQUEST", outcome.hop or BACK)


def test_a_connection_from_behind_the_firewalls_leads_the_ones_from_outside(rig: Rig) -> None:
    """The real server that it came from, whoever it was sent to."""
    rig.publish(drawn())
    opened = udp(source=WWW, sport=5060, destination=CLIENT, dport=5060)
    assert rig.send("firewalls", opened, FW[2]) == forwarded("OPENING", BACK)
    assert rig.send("outside", tcp(), ROUTER) == forwarded("OPENING", HOPS[2], EVENT_RELATED=1)
    assert rig.send("outside", sctp(), ROUTER) == forwarded("OPENING", HOPS[2], EVENT_RELATED=1)
    assert rig.send("outside", udp(destination="203.0.113.81"), ROUTER) == forwarded("OPENING", HOPS[0])


def test_a_connection_that_did_not_come_from_a_firewall_leads_nobody(rig: Rig) -> None:
    rig.publish(drawn())
    opened = udp(source=WWW, sport=5060, destination=CLIENT, dport=5060)
    rig.send("firewalls", opened, STRANGER)
    assert rig.send("outside", tcp(), ROUTER) == forwarded("OPENING", HOPS[0])


def test_a_firewall_of_weight_0_or_at_its_threshold_still_gets_its_related_connections(rig: Rig) -> None:
    """As a persistence template, they belong there; only one that is down is out of the question."""
    rig.publish(drawn())
    rig.send("outside", udp(sport=1), ROUTER)
    rig.publish(drawn((replace(firewalls()[0], weight=0), *firewalls()[1:])))
    assert rig.send("outside", udp(sport=2), ROUTER) == forwarded("OPENING", HOPS[0], EVENT_RELATED=1)
    rig.publish(drawn((replace(firewalls()[0], upper_threshold=1), *firewalls()[1:])))
    assert rig.send("outside", udp(sport=3), ROUTER) == forwarded("OPENING", HOPS[0], EVENT_RELATED=1)


@pytest.mark.parametrize("second", [tcp("A", sport=2), tcp("R", sport=2)], ids=["mid-stream", "rst"])
def test_what_opens_nothing_is_not_led_by_a_related_connection(rig: Rig, second: Any) -> None:
    rig.publish(drawn())
    rig.send("outside", tcp(sport=1), ROUTER)
    assert "EVENT_RELATED" not in rig.send("outside", second, ROUTER).counted


def test_the_template_of_a_client_follows_what_is_scheduled_not_what_is_related(rig: Rig) -> None:
    rig.publish(drawn(persistence_s=60.0))
    opened = udp(source=WWW, sport=5060, destination=CLIENT, dport=5060)
    rig.send("firewalls", opened, FW[3])
    assert rig.send("outside", tcp(sport=1), ROUTER) == forwarded("OPENING", HOPS[3], EVENT_RELATED=1)
    assert not rig.templates()
    other = tcp(sport=2, destination="203.0.113.81")
    assert rig.send("outside", other, ROUTER) == forwarded("OPENING", HOPS[0])
    assert len(rig.templates()) == 1
