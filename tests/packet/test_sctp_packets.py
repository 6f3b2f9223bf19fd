"""SCTP on the wire and in rules: headers, lists of packets (GSO), services by address, ports."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from lasthop.model.rule import PortRange
from lasthop.model.service import VirtualAddress
from tests.packet.frames import WWW, error, reply, sctp, tcp, udp
from tests.packet.plans import FW, ROUTER, firewalls, rule, server, service, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
#: GSO_BY_FRAGS in linux/skbuff.h: the size that a list of packets gives for its segments.
BY_LIST = 0xFFFF


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (b"", "TRUNCATED"),
        (b"\x01", "TRUNCATED"),
        (b"\x01\x00\x00", "TRUNCATED"),
        (b"\x01\x00\x00\x00", "BAD_HEADER"),
        (b"\x01\x00\x00\x03", "BAD_HEADER"),
        (b"\x01\x00\x00\x05", "BAD_HEADER"),
        (b"\x01\x00\xff\xff", "BAD_HEADER"),
        (b"\x0a\x00\xff\xff", "BAD_HEADER"),
        (b"\x01\x00\x00\x04", None),
        (b"\x01\x00\x00\x05\x00", None),
        (b"\x01\x00\x00\x06\x00\x00\x00\x00", None),
    ],
)
def test_the_first_chunk_has_a_whole_header_and_lies_in_the_packet(rig: Rig, chunk: bytes, reason: str | None) -> None:
    rig.publish(two_box())
    outcome = rig.send("outside", sctp(chunk), ROUTER)
    assert outcome == (rig.kernel(reason) if reason else forwarded("OPENING", FW0))


def test_associations_are_told_apart_by_ports_and_protocol_alone(rig: Rig) -> None:
    rig.publish(two_box(scheduler="rr"))
    openings = [sctp(), sctp(sport=40001), sctp(dport=81), tcp(), udp()]
    for number, opening in enumerate(openings):
        assert rig.send("outside", opening, ROUTER) == forwarded("OPENING", ("firewalls", FW[number % 4]))
    other_tag = sctp("DATA")
    other_tag["SCTP"].tag = 77
    assert rig.send("outside", other_tag, ROUTER) == forwarded("REQUEST", FW0)
    assert len(rig.connections()) == len(openings)


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_a_list_of_packets_counts_each_with_its_headers(rig: Rig) -> None:
    """On the wire there are three packets, each with 20 bytes of IP and 12 of SCTP."""
    rig.publish(two_box())
    rig.send("outside", sctp(), ROUTER)
    before = rig.only_connection().bytes[0]
    data = sctp(b"\x00\x03\x0b\xb8" + bytes(2996))
    assert rig.send("outside", data, ROUTER, gso=(3, BY_LIST)) == forwarded("REQUEST", FW0)
    assert rig.only_connection().packets == (4, 0)
    assert rig.only_connection().bytes == (before + 3000 + 3 * 32, 0)


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_a_list_of_packets_is_as_big_as_its_mean_packet(rig: Rig) -> None:
    rig.publish(two_box(mtu=1032))
    rig.send("outside", sctp(), ROUTER)
    fits, larger = (sctp(b"\x00\x03" + size.to_bytes(2) + bytes(size - 4)) for size in (3000, 3001))
    assert rig.send("outside", fits, ROUTER, gso=(3, BY_LIST)) == forwarded("REQUEST", FW0)
    assert rig.send("outside", larger, ROUTER, gso=(3, BY_LIST)) == rig.kernel("TOO_BIG")
    assert rig.send("outside", fits, ROUTER, gso=(0, BY_LIST)) == rig.kernel("TOO_BIG"), "of unknown number: one"


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_a_list_of_packets_is_judged_by_its_first_chunk(rig: Rig) -> None:
    """Where chunks are in the buffer; BPF_PROG_TEST_RUN makes no frame whose linear part ends before them."""
    rig.publish(two_box())
    assert rig.send("outside", sctp(b""), ROUTER, gso=(2, BY_LIST)) == rig.kernel("TRUNCATED")
    rig.send("outside", sctp(), ROUTER)
    for chunk, state in (("DATA", "SCTP_INIT1"), ("COOKIE_ECHO", "SCTP_ESTABLISHED"), ("DATA", "SCTP_ESTABLISHED")):
        assert rig.send("outside", sctp(chunk), ROUTER, gso=(2, BY_LIST)) == forwarded("REQUEST", FW0)
        assert rig.only_connection().state == state


def by_address(port: int = 2905) -> Plan:
    taken = VirtualAddress("sctp", IPv4Address(WWW), port)
    made = service(0, firewalls(2), "rr", label=str(taken), virtual_address=taken, zone="edge")
    router = service(2, (server("router", "outside", ROUTER),))
    return two_box(rules=(rule(2, leg="firewalls"),), services=(made, router))


def test_a_service_by_address_takes_sctp_to_its_port_and_nothing_else(rig: Rig) -> None:
    rig.publish(by_address())
    assert rig.send("outside", sctp(dport=2905, sport=1), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", sctp(dport=2905, sport=2), ROUTER) == forwarded("OPENING", ("firewalls", FW[1]))
    for other in (sctp(dport=2906), tcp(dport=2905), udp(dport=2905)):
        assert rig.send("outside", other, ROUTER) == rig.kernel("NO_RULE")
    answer = reply(sctp(dport=2905, sport=1))
    assert rig.send("firewalls", answer, FW[0]) == forwarded("RESPONSE", ("outside", ROUTER))
    quoted = error(answer, "198.51.100.1")
    assert rig.send("outside", quoted, ROUTER) == forwarded("RELATED", FW0)
    assert rig.load_of("fw0", "SCTP 203.0.113.80:2905")[:2] == (0, 1)


def test_a_mark_rule_takes_sctp_by_its_ports(rig: Rig) -> None:
    ports = {"source_ports": PortRange(40000, 40009), "destination_ports": PortRange(2905, 2906)}
    rig.publish(two_box(rules=(rule(1, protocol=132, **ports),)))
    assert rig.send("outside", sctp(dport=2905), ROUTER) == forwarded("OPENING", FW0)
    for other in (sctp(dport=2907), sctp(sport=40010, dport=2905), tcp(dport=2905), udp(dport=2905)):
        assert rig.send("outside", other, ROUTER) == rig.kernel("NO_RULE")
