"""Services by address (LVS-DR): before what is the director's own, after pass rules; one-packet scheduling."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.model.service import VirtualAddress
from tests.packet.frames import WWW, error, reply, tcp, udp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, rule, server, service, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan, PlannedService
    from tests.packet.rig import Rig

LOCAL = frozenset({IPv4Network(f"{WWW}/32")})


def by_address(protocol: str = "tcp", port: int = 80, count: int = 2, **changes: Any) -> PlannedService:
    taken = VirtualAddress(protocol, IPv4Address(WWW), port)
    made = service(0, firewalls(count), "rr", label=str(taken), virtual_address=taken, zone="edge")
    return replace(made, **changes)


def drawn(*services: PlannedService, **changes: Any) -> Plan:
    """The services given, and the way back to the router; whatever no service takes has no rule."""
    router = service(2, (server("router", "outside", ROUTER),))
    plan = two_box(rules=(rule(2, leg="firewalls"),), services=(*services, router))
    return replace(plan, **changes)


@pytest.mark.parametrize("local", [frozenset(), LOCAL], ids=["another's address", "the director's own"])
def test_what_is_addressed_to_it_is_scheduled_and_returned(rig: Rig, local: Any) -> None:
    rig.publish(drawn(by_address(), local=local))
    for port, expected in ((1, 0), (2, 1), (3, 0)):
        assert rig.send("outside", tcp(sport=port), ROUTER) == forwarded("OPENING", ("firewalls", FW[expected]))
    assert rig.send("firewalls", reply(tcp(sport=1)), FW[0]) == forwarded("RESPONSE", ("outside", ROUTER))
    assert rig.load_of("fw0", "TCP 203.0.113.80:80")[:2] == (2, 0)


@pytest.mark.parametrize("packet", [tcp(dport=81), udp(), tcp(destination="203.0.113.81")], ids=["port", "udp", "to"])
def test_what_is_addressed_otherwise_is_not_its(rig: Rig, packet: Any) -> None:
    rig.publish(drawn(by_address()))
    assert rig.send("outside", packet, ROUTER) == rig.kernel("NO_RULE")


def test_the_exact_port_comes_before_every_port(rig: Rig) -> None:
    every = by_address(port=0, persistence_s=60.0)
    exact = by_address(port=443, servers=firewalls(4)[3:])
    rig.publish(drawn(every, replace(exact, turns=(0,), fallback=(0,) * 1021)))
    assert rig.send("outside", tcp(dport=443), ROUTER).hop == ("firewalls", FW[3])
    assert rig.send("outside", tcp(dport=444), ROUTER).hop == ("firewalls", FW[0])
    assert rig.send("outside", tcp(dport=445), ROUTER).hop == ("firewalls", FW[0]), "one client, all ports"


def test_pass_rules_come_first_and_mark_rules_last(rig: Rig) -> None:
    marked = service(1, (server("fw7", "firewalls", FW[7]),))
    rules = (rule(None, source=IPv4Network("198.51.100.20/32")), rule(1, leg="outside"))
    rig.publish(drawn(by_address(), marked, rules=rules))
    assert rig.send("outside", tcp(source="198.51.100.20"), ROUTER) == rig.kernel("PASS_RULE")
    assert rig.send("outside", tcp(), ROUTER).hop == ("firewalls", FW[0])
    assert rig.send("outside", tcp(dport=8080), ROUTER).hop == ("firewalls", FW[7])


def test_a_packet_from_its_own_real_server_is_not_scheduled_by_it(rig: Rig) -> None:
    rig.publish(drawn(by_address()))
    assert rig.send("firewalls", tcp(), FW[1]).hop == ("outside", ROUTER), "the mark rule's"
    assert rig.send("firewalls", tcp(sport=2), STRANGER).hop == ("firewalls", FW[0])


def test_without_real_servers_its_packets_go_nowhere_else(rig: Rig) -> None:
    rig.publish(drawn(by_address(count=0, zone=None, turns=(), fallback=()), local=LOCAL))
    assert rig.send("outside", tcp(), ROUTER).counted == {"DROP_EMPTY": 1}


def test_an_icmp_error_goes_where_the_connection_it_is_about_goes_or_would_be_taken_up(rig: Rig) -> None:
    rig.publish(drawn(by_address(), local=LOCAL))
    rig.send("outside", tcp(), ROUTER)
    quoted = error(reply(tcp()), "198.51.100.1")
    assert rig.send("outside", quoted, ROUTER) == forwarded("RELATED", ("firewalls", FW[0]))
    unknown = rig.send("outside", error(reply(tcp(sport=7)), "198.51.100.1"), ROUTER)
    assert unknown.counted == {"FORWARDED_STRAY": 1}
    assert rig.send("outside", tcp("A", sport=7), ROUTER) == forwarded("MIDSTREAM", unknown.hop or ("", ""))
    other_port = error(reply(tcp(dport=81)), "198.51.100.1")
    assert rig.send("outside", other_port, ROUTER) == rig.kernel("LOCAL")


def test_removed_and_added_again_it_is_there_in_both_halves(rig: Rig) -> None:
    for present in (True, False, True, True, False, False, True):
        rig.publish(drawn(*([by_address()] if present else [])))
        outcome = rig.send("outside", tcp("A", sport=9), ROUTER)
        assert (outcome.hop is not None) == present
        rig.forget()


def test_of_a_one_packet_service_every_datagram_is_scheduled_and_none_remembered(rig: Rig) -> None:
    rig.publish(drawn(by_address("udp", 53, one_packet=True)))
    hops = [rig.send("outside", udp(dport=53), ROUTER) for _ in range(4)]
    assert hops == [forwarded("OPENING", ("firewalls", FW[i % 2])) for i in range(4)]
    assert not rig.entries["word"].any()


def test_its_connections_are_its_own_also_when_the_address_becomes_the_directors(rig: Rig) -> None:
    """As where keepalived gives a director the virtual address while connections live."""
    rig.publish(drawn(by_address(count=1)))
    assert rig.send("outside", tcp(), ROUTER).verdict == "forwarded"
    rig.publish(drawn(by_address(count=1), local=LOCAL))
    assert rig.sweep(to=next(iter(LOCAL)))["connections"] == 1
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", ("firewalls", FW[0]))
