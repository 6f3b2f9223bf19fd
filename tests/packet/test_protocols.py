"""Protocols beside TCP, UDP and SCTP: by the key that both directions have in common, last hop included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE

from lasthop.model.director import Settings
from tests.packet.frames import CLIENT, WWW, error
from tests.packet.frames6 import CLIENT6, WWW6
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, rule, timeouts, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0, FW1, BACK = ("firewalls", FW[0]), ("firewalls", FW[1]), ("outside", ROUTER)
GRE_NUMBER = 47


def of(protocol: int, payload: bytes = bytes(24), *, back: bool = False) -> Any:
    source, destination = (WWW, CLIENT) if back else (CLIENT, WWW)
    return IP(src=source, dst=destination, proto=protocol, ttl=61) / payload


def gre(key: int | None = None, *, back: bool = False, checksum: bool = False, version: int = 0) -> Any:
    header = GRE(version=version, proto=0x800)
    if key is not None:
        header.key_present, header.key = 1, key
    if checksum:
        header.chksum_present = 1
    return of(GRE_NUMBER, bytes(header) + bytes(20), back=back)


@pytest.mark.parametrize("number", [4, 41, 50, 51, 89, 97, 253, 2], ids=str)
def test_a_protocol_without_ports_is_one_connection_for_a_pair_of_addresses(rig: Rig, number: int) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    assert rig.send("outside", of(number), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", of(number, b"\x01" * 30), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.send("firewalls", of(number, back=True), FW[0]) == forwarded("RESPONSE", BACK)
    connection = rig.only_connection()
    assert (connection.state, connection.source, connection.last_hop) == ("OTHER", (CLIENT, 0), BACK)
    assert "ASSURED" in connection.flags
    assert rig.send("outside", of(254), ROUTER) == forwarded("OPENING", FW1), "another protocol is another one"


@pytest.mark.parametrize("checksum", [False, True])
def test_gre_tunnels_are_told_apart_by_their_keys(rig: Rig, checksum: bool) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    keys = [0x10002, 0x20001, 0xFFFFFFFF]
    hops = [rig.send("outside", gre(key, checksum=checksum), ROUTER).hop for key in keys]
    assert len(set(hops)) == len(keys)
    for key, hop in zip(keys, hops, strict=True):
        assert hop is not None
        assert rig.send("firewalls", gre(key, back=True), hop[1]) == forwarded("RESPONSE", BACK)
    assert sorted((each.source[1] << 16 | each.destination[1]) for each in rig.connections()) in (
        sorted(keys),
        sorted((key & 0xFFFF) << 16 | key >> 16 for key in keys),
    )


def test_gre_without_a_key_and_pptp_are_one_connection_for_a_pair(rig: Rig) -> None:
    """PPTP's call id, where the key is, differs by direction (RFC 2637 section 4.1)."""
    rig.publish(two_box(firewalls(), "rr"))
    assert rig.send("outside", gre(), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", gre(0x1234, version=1), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.send("firewalls", gre(0x99, version=1, back=True), FW[0]) == forwarded("RESPONSE", BACK)


def test_gre_that_is_cut_off_before_its_key_is_the_kernels(rig: Rig) -> None:
    rig.publish(two_box())
    whole = bytes(gre(7, checksum=True))[20:]
    for length in range(12):
        assert rig.send("outside", of(GRE_NUMBER, whole[:length]), ROUTER) == rig.kernel("TRUNCATED"), length
    assert rig.send("outside", of(GRE_NUMBER, whole[:12]), ROUTER).verdict == "forwarded"


@pytest.mark.parametrize(("asks", "answers"), [(8, 0), (13, 14), (15, 16), (17, 18)])
def test_icmp_queries_are_opened_by_who_asks(rig: Rig, asks: int, answers: int) -> None:
    rig.publish(two_box())
    query = IP(src=CLIENT, dst=WWW) / ICMP(type=asks, id=77) / bytes(12)
    answer = IP(src=WWW, dst=CLIENT) / ICMP(type=answers, id=77) / bytes(12)
    assert rig.send("outside", query, ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("firewalls", answer, FW[0]) == forwarded("RESPONSE", BACK)
    assert (rig.only_connection().state, rig.only_connection().source) == ("ICMP", (CLIENT, 77))
    rig.forget()
    assert "FORWARDED_MIDSTREAM" in rig.send("firewalls", answer, FW[0]).counted, "an answer opens nothing"


def test_the_other_familys_icmp_is_a_protocol_like_any(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.send("outside", of(58, bytes([128, 0]) + bytes(6)), ROUTER) == forwarded("OPENING", FW0)
    foreign = IPv6(src=CLIENT6, dst=WWW6, nh=1) / bytes([8, 0, 0, 0, 0, 9, 0, 1])
    assert rig.send("outside", foreign, ROUTER).counted == {"FORWARDED_OPENING": 1}
    assert {(each.state, each.source[1]) for each in rig.connections()} == {("OTHER", 0)}


@pytest.mark.parametrize("packet", [gre(5), gre(), of(50), of(51), of(4)], ids=["gre key", "gre", "esp", "ah", "ipip"])
def test_an_error_about_any_protocol_goes_where_its_connection_goes(rig: Rig, packet: Any) -> None:
    rig.publish(two_box())
    rig.send("outside", packet, ROUTER)
    before = rig.only_connection()
    assert rig.send("firewalls", error(packet, WWW), FW[0]) == forwarded("RELATED", BACK)
    assert rig.only_connection() == before


def test_rules_name_any_protocol_by_its_number(rig: Rig) -> None:
    rig.publish(two_box(rules=(rule(1, protocol=50),)))
    assert rig.send("outside", of(50), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", of(51), ROUTER) == rig.kernel("NO_RULE")


def test_a_connection_without_states_is_forgotten_by_its_own_time_out(rig: Rig) -> None:
    rig.publish(two_box(timeouts=timeouts({"OTHER": 60})))
    rig.send("outside", of(50), ROUTER)
    rig.age(59)
    assert rig.send("outside", of(50), ROUTER) == forwarded("REQUEST", FW0)
    rig.age(61)
    assert rig.send_over("outside", of(50), ROUTER).counted == {"FORWARDED_OPENING": 1, "EVENT_EXPIRED": 1}


@pytest.mark.parametrize("number", [4, 41, 47, 50, 51, 89, 33, 136, 253], ids=str)
def test_a_protocol_without_ports_is_one_connection_in_ipv6_too(rig: Rig, number: int) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    request = IPv6(src=CLIENT6, dst=WWW6, nh=number) / bytes(24)
    assert rig.send("outside", request, ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", request, STRANGER) == forwarded(
        "REQUEST", FW0, EVENT_LAST_HOP_MOVED=1, EVENT_HOP_LEARNED=1
    )
    answer = IPv6(src=WWW6, dst=CLIENT6, nh=number) / bytes(24)
    assert rig.send("firewalls", answer, FW[0]) == forwarded("RESPONSE", ("outside", STRANGER))
    connection = rig.only_connection()
    assert (connection.state, connection.source, connection.packets) == ("OTHER", (CLIENT6, 0), (2, 1))


def test_gre_keys_tell_tunnels_apart_in_ipv6_too(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))

    def tunnel(key: int, source: str = CLIENT6, destination: str = WWW6) -> Any:
        return IPv6(src=source, dst=destination) / GRE(key_present=1, key=key) / bytes(20)

    assert rig.send("outside", tunnel(0x10002), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", tunnel(0x20001), ROUTER) == forwarded("OPENING", FW1)
    assert rig.send("firewalls", tunnel(0x20001, WWW6, CLIENT6), FW[1]) == forwarded("RESPONSE", BACK)


@pytest.mark.parametrize("number", [17, 50, 47, 89], ids=str)
def test_no_protocol_is_scheduled_to_a_multicast_or_broadcast_address(rig: Rig, number: int) -> None:
    rig.publish(two_box())
    for destination, reason in (("224.0.0.5", "MULTICAST"), ("255.255.255.255", "MARTIAN")):
        packet = IP(src=CLIENT, dst=destination, proto=number) / bytes(24)
        assert rig.send("outside", packet, ROUTER) == rig.kernel(reason)
    assert rig.send("outside", of(number), ROUTER, to="ff:ff:ff:ff:ff:ff") == rig.kernel("MULTICAST")


@pytest.mark.parametrize("asks", [8, 13, 15, 17])
def test_icmp_queries_are_told_apart_by_their_identifier_alone(rig: Rig, asks: int) -> None:
    """Of one identifier, every kind of query is one connection."""
    rig.publish(two_box(firewalls(), "rr"))
    hops = [
        rig.send("outside", IP(src=CLIENT, dst=WWW) / ICMP(type=asks, id=number) / bytes(12), ROUTER).hop
        for number in (1, 2, 1, 65535, 0)
    ]
    assert hops == [FW0, FW1, FW0, ("firewalls", FW[2]), ("firewalls", FW[3])]


def test_a_strict_director_takes_up_what_has_no_beginning(rig: Rig) -> None:
    """sloppy_tcp is of TCP alone: nothing tells the middle of a tunnel from its beginning."""
    rig.publish(two_box(settings=Settings(sloppy_tcp=False, sloppy_sctp=False)))
    assert rig.send("outside", of(50), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", gre(7), ROUTER).counted == {"FORWARDED_OPENING": 1}


def test_an_error_that_quotes_eight_bytes_of_gre_with_a_checksum_goes_where_its_connection_goes(rig: Rig) -> None:
    """The key is behind the checksum, beyond what RFC 792 has an error quote."""
    rig.publish(two_box())
    packet = gre(5, checksum=True)
    rig.send("outside", packet, ROUTER)
    assert rig.send("firewalls", error(packet, WWW, quoted_bytes=8), FW[0]).verdict == "forwarded"
