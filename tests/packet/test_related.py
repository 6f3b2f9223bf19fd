"""related = "address-pair": a connection goes to the firewall that has another one of the same two addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lasthop.model.service import Related
from tests.packet.frames import CLIENT, OTHER_CLIENT, WWW, echo, reply, tcp, udp
from tests.packet.frames6 import tcp6
from tests.packet.plans import (
    FW,
    INNER_ROUTER,
    ROUTER,
    core_firewalls,
    firewalls,
    leg,
    plan,
    rule,
    server,
    service,
    timeouts,
)
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

FW0, FW1 = ("firewalls", FW[0]), ("firewalls", FW[1])
CORE = "02:00:00:00:f1:02"


def outer(scheduler: str = "rr", *, related: Related = Related.ADDRESS_PAIR, **changes: Any) -> Plan:
    """As LB1: openings from outside are scheduled, what comes from the firewalls goes to the router."""
    return plan(
        (leg("outside"), leg("firewalls")),
        (rule(1, leg="outside"), rule(2, leg="firewalls")),
        (
            service(1, firewalls(), scheduler, related=related, **changes),
            service(2, (server("router", "outside", ROUTER),)),
        ),
    )


def inner() -> Plan:
    """As LB2: what comes through the firewalls goes to the inner router, openings from inside are scheduled."""
    return plan(
        (leg("inside"), leg("servers")),
        (rule(3, leg="servers"), rule(4, leg="inside")),
        (
            service(3, core_firewalls(), "rr", related=Related.ADDRESS_PAIR),
            service(4, (server("inner-router", "servers", INNER_ROUTER),)),
        ),
    )


def test_ftp_data_goes_to_the_firewall_of_the_control_connection(rig: Rig) -> None:
    """Passive: the client opens the data connection too."""
    rig.publish(outer())
    assert rig.send("outside", tcp(sport=40000, dport=21), ROUTER) == forwarded("OPENING", FW0)
    for port in range(50000, 50003):
        outcome = rig.send("outside", tcp(sport=port, dport=port), ROUTER)
        assert outcome == forwarded("OPENING", FW0, EVENT_RELATED=1)
    assert rig.send("outside", tcp(source=OTHER_CLIENT), ROUTER) == forwarded("OPENING", FW1)


def test_a_connection_that_the_server_opens_goes_through_the_firewall_its_client_came_by(rig: Rig) -> None:
    """Active FTP, and SIP's calls back: LB2 schedules what LB1 scheduled the other way."""
    rig.publish(inner())
    assert rig.send("inside", tcp(dport=21), CORE) == forwarded("OPENING", ("servers", INNER_ROUTER))
    data = tcp(source=WWW, sport=20, destination=CLIENT, dport=50000)
    assert rig.send("servers", data, INNER_ROUTER) == forwarded("OPENING", ("inside", CORE), EVENT_RELATED=1)
    media = udp(source=WWW, sport=16384, destination=CLIENT, dport=16384)
    assert rig.send("servers", media, INNER_ROUTER) == forwarded("OPENING", ("inside", CORE), EVENT_RELATED=1)


def test_protocols_and_families_of_a_pair_are_related_by_address_alone(rig: Rig) -> None:
    rig.publish(outer())
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("outside", echo(), ROUTER) == forwarded("OPENING", FW0, EVENT_RELATED=1)
    assert rig.send("outside", tcp6(), ROUTER) == forwarded("OPENING", FW1), "other addresses"
    assert rig.send("outside", tcp6(sport=2), ROUTER) == forwarded("OPENING", FW1, EVENT_RELATED=1)


def test_without_a_related_service_every_connection_is_scheduled(rig: Rig) -> None:
    rig.publish(outer(related=Related.NONE))
    assert [rig.send("outside", udp(sport=port), ROUTER).hop for port in (1, 2)] == [FW0, FW1]
    assert not rig.maps["pairs"].entries()


def test_when_the_control_connection_is_gone_the_next_one_is_scheduled_and_takes_its_place(rig: Rig) -> None:
    rig.publish(replace(outer(), timeouts=timeouts({"UDP": 60})))
    rig.send("outside", udp(sport=1), ROUTER)
    rig.age(61)
    assert rig.send("outside", udp(sport=2), ROUTER) == forwarded("OPENING", FW1)
    assert rig.send("outside", udp(sport=3), ROUTER) == forwarded("OPENING", FW1, EVENT_RELATED=1)


def test_the_oldest_connection_decides_and_not_the_newest(rig: Rig) -> None:
    rig.publish(outer())
    rig.send("outside", tcp(sport=1), ROUTER)
    first = rig.only_connection()
    rig.send("outside", tcp(sport=2), ROUTER)
    second = next(each for each in rig.connections() if each.source[1] == 2)
    rig.change(second, forward_hop=rig.hop_id(FW1))
    assert rig.send("outside", tcp(sport=3), ROUTER).hop == first.forward_hop


def test_a_firewall_that_takes_nothing_new_gets_no_related_connection(rig: Rig) -> None:
    rig.publish(outer())
    rig.send("outside", udp(sport=1), ROUTER)
    servers = (replace(firewalls()[0], usable=False), *firewalls()[1:])
    drained = outer()
    services = (service(1, servers, "rr", related=Related.ADDRESS_PAIR), drained.services[1])
    rig.publish(plan(drained.legs, drained.rules, services))
    outcome = rig.send("outside", udp(sport=2), ROUTER)
    assert outcome.hop != FW0
    assert "EVENT_RELATED" not in outcome.counted


def test_related_comes_before_persistence_which_still_counts_its_own(rig: Rig) -> None:
    rig.publish(outer(persistence_s=60.0))
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("outside", tcp(sport=2), ROUTER) == forwarded("OPENING", FW0, EVENT_RELATED=1)
    assert len(rig.templates()) == 1


def test_responses_and_packets_from_the_middle_make_no_difference(rig: Rig) -> None:
    rig.publish(outer())
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", ("outside", ROUTER))
    outcome = rig.send("outside", tcp("A", sport=9), ROUTER)
    assert "EVENT_RELATED" not in outcome.counted, "mid-stream goes by rendezvous, which is the same on both directors"
