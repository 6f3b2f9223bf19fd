"""IPv6 goes the ways that IPv4 goes: connections, extension headers, and what is the link's or the kernel's."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    PadN,
)

from tests.oracles import pair_hash, sh
from tests.packet.frames6 import (
    CLIENT6,
    EXTENSIONS,
    OTHER_CLIENT6,
    WWW6,
    back,
    echo6,
    ip6,
    sctp6,
    tcp6,
    udp6,
)
from tests.packet.plans import FW, ROUTER, firewalls, rule, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0, BACK = ("firewalls", FW[0]), ("outside", ROUTER)


@pytest.mark.parametrize("opening", [tcp6(), udp6(), sctp6(), echo6()], ids=["tcp", "udp", "sctp", "echo"])
def test_both_directions_of_a_connection_go_through_the_one_firewall(rig: Rig, opening: Any) -> None:
    rig.publish(two_box())
    assert rig.send("outside", opening, ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("firewalls", back(opening), FW[0]) == forwarded("RESPONSE", BACK)
    connection = rig.only_connection()
    assert (connection.source[0], connection.destination[0]) == (CLIENT6, WWW6)
    assert (connection.packets, connection.bytes[0]) == ((1, 1), len(bytes(opening)))
    assert connection.last_hop == BACK


@pytest.mark.parametrize("extension", EXTENSIONS.values(), ids=EXTENSIONS)
def test_extension_headers_are_walked_to_the_ports(rig: Rig, extension: Any) -> None:
    rig.publish(two_box())
    assert rig.send("outside", tcp6(extension=extension), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", tcp6("A"), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.only_connection().source == (CLIENT6, 40000)


def stacked(count: int, length: int = 8) -> Any:
    """So many destination options headers of `length` bytes each."""
    header = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(min(200, left) - 2)) for left in range(length - 2, 0, -200)])
    whole = header.copy()
    for _ in range(count - 1):
        whole /= header.copy()
    return whole


@pytest.mark.parametrize(
    ("extension", "ports"), [(stacked(8), True), (stacked(9), False), (stacked(1, 472), True), (stacked(1, 480), False)]
)
def test_the_walk_ends_after_eight_headers_or_512_bytes(rig: Rig, extension: Any, ports: bool) -> None:
    rig.publish(two_box())
    assert rig.send("outside", udp6(extension=extension), ROUTER) == forwarded("OPENING", FW0)
    connection = rig.only_connection()
    assert (connection.source[1], connection.protocol) == ((40000, "udp") if ports else (0, "0"))


def test_a_chain_that_the_frame_cuts_off_is_the_kernels(rig: Rig) -> None:
    rig.publish(two_box())
    whole = bytes(udp6(extension=stacked(3)))
    for length in range(40, 40 + 24 + 4):
        packet = whole[:4] + (length - 40).to_bytes(2, "big") + whole[6:length]
        assert rig.send("outside", packet, ROUTER) == rig.kernel("TRUNCATED"), length
    assert not rig.connections()


@pytest.mark.parametrize("payload", [0, 1, 19, 21, 1000])
def test_a_payload_length_that_lies_is_never_redirected(rig: Rig, payload: int) -> None:
    rig.publish(two_box())
    whole = bytes(tcp6())
    assert rig.send("outside", whole[:4] + payload.to_bytes(2, "big") + whole[6:], ROUTER) == rig.kernel("TRUNCATED")


def test_another_version_than_the_ethertype_says_is_the_kernels(rig: Rig) -> None:
    rig.publish(two_box())
    frame = bytes.fromhex("020000000065") + bytes.fromhex("02000000aa01") + b"\x86\xdd"
    for version in (0, 4, 5, 7):
        assert rig.send_frame("outside", frame + bytes([version << 4]) + bytes(tcp6())[1:]) == rig.kernel("BAD_HEADER")


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("::", WWW6, "MARTIAN"),
        ("::1", WWW6, "MARTIAN"),
        (CLIENT6, "::1", "MARTIAN"),
        ("fe80::1", WWW6, "MARTIAN"),
        ("febf::1", WWW6, "MARTIAN"),
        (CLIENT6, "fe80::1", "MARTIAN"),
        ("::ffff:198.51.100.10", WWW6, "MARTIAN"),
        (CLIENT6, "::ffff:203.0.113.80", "MARTIAN"),
        ("ff02::1", WWW6, "MARTIAN"),
        (WWW6, WWW6, "MARTIAN"),
        (CLIENT6, "ff02::1", "MULTICAST"),
        (CLIENT6, "ff0e::1", "MULTICAST"),
        ("fec0::1", WWW6, None),
        ("fd00::1", WWW6, None),
        ("64:ff9b::c000:201", WWW6, None),
        ("::2", WWW6, None),
    ],
)
def test_addresses_that_never_cross_a_router_are_the_kernels(
    rig: Rig, source: str, destination: str, reason: str | None
) -> None:
    rig.publish(two_box())
    packet = IPv6(src=source, dst=destination) / TCP(sport=1, dport=80, flags="S")
    outcome = rig.send("outside", packet, ROUTER)
    assert outcome == (rig.kernel(reason) if reason else forwarded("OPENING", FW0))


@pytest.mark.parametrize("message", [ICMPv6ND_NS(), ICMPv6ND_NA(), ICMPv6ND_RA(), ICMPv6MLReport2()], ids=str)
def test_what_belongs_to_the_link_is_the_kernels(rig: Rig, message: Any) -> None:
    rig.publish(two_box())
    assert rig.send("outside", ip6() / message, ROUTER) == rig.kernel("NEIGHBOUR")
    hopping = ip6(extension=IPv6ExtHdrHopByHop()) / message
    assert rig.send("outside", hopping, ROUTER) == rig.kernel("NEIGHBOUR")
    assert not rig.connections()


def test_ipv6_clients_are_bound_by_their_own_prefix(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr", persistence_s=60.0, persistence_prefix6=64))
    first = rig.send("outside", tcp6(), ROUTER).hop
    assert rig.send("outside", tcp6(source=OTHER_CLIENT6), ROUTER).hop == first
    assert rig.send("outside", tcp6(source="2001:db8:d::1"), ROUTER).hop != first
    assert len(rig.templates()) == 2


def test_rules_tell_prefixes_and_families_apart(rig: Rig) -> None:
    only6 = rule(1, family=6)
    rig.publish(two_box(rules=(only6,)))
    assert rig.send("outside", udp6(), ROUTER) == forwarded("OPENING", FW0)
    inside = rule(1, source=IPv6Network("2001:db8:c::/63"), destination_ports=rule(1).destination_ports)
    rig.publish(two_box(rules=(inside,)))
    assert rig.send("outside", udp6("2001:db8:c:1::1"), ROUTER).verdict == "forwarded"
    assert rig.send("outside", udp6("2001:db8:c:2::1"), ROUTER) == rig.kernel("NO_RULE")
    rig.publish(two_box(rules=(rule(1, source=IPv6Network("::/0")),)))
    assert rig.send("outside", udp6("2001:db8:e::1"), ROUTER).verdict == "forwarded"


@pytest.mark.parametrize("scheduler", ["sh", "dh", "rendezvous", "mh"])
def test_schedulers_by_hash_spread_and_repeat_themselves(rig: Rig, scheduler: str) -> None:
    rig.publish(two_box(firewalls(), scheduler))
    sources = [f"2001:db8:c::{i:x}" for i in range(1, 33)]
    first = [rig.send("outside", udp6(source), ROUTER).hop for source in sources]
    rig.forget()
    assert [rig.send("outside", udp6(source), ROUTER).hop for source in sources] == first
    assert len(set(first)) == (1 if scheduler == "dh" else 4)
    if scheduler == "rendezvous":
        named = [(f"fw{i}", 1, True) for i in range(4)]
        assert [hop[1] for hop in first if hop] == [FW[int(pair_hash.chosen(named, s, WWW6)[2:])] for s in sources]
    if scheduler == "sh":
        words = [int(IPv6Address(source)) for source in sources]
        folded = [(w >> 96) ^ (w >> 64 & 0xFFFFFFFF) ^ (w >> 32 & 0xFFFFFFFF) ^ (w & 0xFFFFFFFF) for w in words]
        assert [hop[1] for hop in first if hop] == [FW[sh.choose([1] * 4, each, 0) or 0] for each in folded]


def test_a_packet_to_a_real_servers_own_address_goes_to_it_and_one_to_the_director_to_the_kernel(rig: Rig) -> None:
    named = (("edge", IPv6Address("2001:db8:a:1::12"), "FWM 1", "fw1"),)
    local = frozenset({IPv6Network("2001:db8:1::2/128")})
    rig.publish(replace(two_box(), server_addresses=named, local=local))
    to_server = ip6(destination="2001:db8:a:1::12") / TCP(sport=1, dport=22, flags="S")
    assert rig.send("outside", to_server, ROUTER) == forwarded("OPENING", ("firewalls", FW[1]))
    assert rig.send("outside", ip6(destination="2001:db8:1::2") / TCP(flags="S"), ROUTER) == rig.kernel("LOCAL")


def test_the_two_families_of_a_pair_of_hosts_are_connections_of_their_own(rig: Rig) -> None:
    """An IPv4-mapped address on the wire would have IPv4's key: such packets are martians."""
    rig.publish(two_box(firewalls(), "rr"))
    rig.send("outside", udp6(), ROUTER)
    rig.send("outside", udp6(sport=2), ROUTER)
    assert {each.source[0] for each in rig.connections()} == {CLIENT6}
    assert len(rig.connections()) == 2
