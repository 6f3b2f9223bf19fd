"""related = "address-pair": a connection goes to the firewall that has another one of the same two addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scapy.layers.inet import TCP
from scapy.layers.inet6 import IPv6

from lasthop.model.service import Related
from tests.packet.frames import CLIENT, OTHER_CLIENT, WWW, echo, error, reply, tcp, udp
from tests.packet.frames6 import CLIENT6, WWW6, tcp6
from tests.packet.plans import (
    FW,
    INNER_ROUTER,
    ROUTER,
    core_firewalls,
    firewalls,
    leg,
    one_box,
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


def test_the_zones_of_one_director_relate_their_own_connections_alone(rig: Rig) -> None:
    """One box sees every connection on either side of the firewalls; each side has its own hops."""
    drawn = one_box()
    both = tuple(replace(each, related=Related.ADDRESS_PAIR) for each in drawn.services)
    rig.publish(replace(drawn, services=both))
    assert rig.send("outside", tcp(dport=21), ROUTER) == forwarded("OPENING", FW0)
    back_again = tcp(source=WWW, sport=20, destination=CLIENT, dport=50000)
    assert rig.send("servers", back_again, INNER_ROUTER).counted == {"FORWARDED_OPENING": 1}
    rig.forget()
    assert rig.send("inside", tcp(dport=21), CORE) == forwarded("OPENING", ("servers", INNER_ROUTER))
    assert rig.send("servers", back_again, INNER_ROUTER) == forwarded("OPENING", ("inside", CORE), EVENT_RELATED=1)


def test_active_ftp_of_an_ipv6_pair_goes_back_through_its_firewall(rig: Rig) -> None:
    rig.publish(inner())
    assert rig.send("inside", tcp6(dport=21), CORE) == forwarded("OPENING", ("servers", INNER_ROUTER))
    data = IPv6(src=WWW6, dst=CLIENT6) / TCP(sport=20, dport=50000, flags="S")
    assert rig.send("servers", data, INNER_ROUTER) == forwarded("OPENING", ("inside", CORE), EVENT_RELATED=1)


def test_who_shares_one_address_of_a_pair_is_not_related(rig: Rig) -> None:
    rig.publish(outer())
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("outside", tcp(destination="203.0.113.81"), ROUTER) == forwarded("OPENING", FW1)
    assert rig.send("outside", tcp(source=OTHER_CLIENT), ROUTER).counted == {"FORWARDED_OPENING": 1}


def test_the_data_of_a_control_connection_that_moved_follow_it(rig: Rig) -> None:
    rig.publish(outer())
    rig.send("outside", tcp(dport=21), ROUTER)
    rig.change(rig.only_connection(), forward_hop=rig.hop_id(FW1))
    assert rig.send("outside", tcp(sport=2), ROUTER) == forwarded("OPENING", FW1, EVENT_RELATED=1)


def test_a_service_that_has_not_that_firewall_schedules(rig: Rig) -> None:
    """Related connections are of the service's own real servers."""
    few = service(3, firewalls(4)[2:], "rr", related=Related.ADDRESS_PAIR)
    drawn = outer()
    rules = (rule(3, leg="outside", protocol=17), *drawn.rules)
    rig.publish(replace(drawn, rules=rules, services=(*drawn.services, few)))
    assert rig.send("outside", tcp(), ROUTER) == forwarded("OPENING", FW0)
    outcome = rig.send("outside", udp(), ROUTER)
    assert (outcome.hop, outcome.counted) == (("firewalls", FW[2]), {"FORWARDED_OPENING": 1})


def test_a_reused_port_is_related_to_the_older_connections_of_its_pair(rig: Rig) -> None:
    rig.publish(outer())
    rig.send("outside", tcp(dport=21), ROUTER)
    rig.send("outside", tcp(sport=2), ROUTER)
    rig.set_state(next(each for each in rig.connections() if each.source[1] == 2), "TIME_WAIT", "REPLIED")
    outcome = rig.send_over("outside", tcp(sport=2), ROUTER)
    assert outcome == forwarded("OPENING", FW0, EVENT_REUSED=1, EVENT_RELATED=1)


def test_icmp_errors_and_what_leaves_no_entry_are_no_control_connection(rig: Rig) -> None:
    rig.publish(outer())
    rig.send("outside", error(reply(tcp()), CLIENT), ROUTER)
    rig.send("outside", tcp("R"), ROUTER)
    assert not rig.maps["pairs"].entries()
    assert rig.send("outside", tcp(), ROUTER).counted == {"FORWARDED_OPENING": 1}
