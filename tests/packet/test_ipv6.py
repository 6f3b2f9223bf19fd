"""IPv6 goes the ways that IPv4 goes: connections, extension headers, and what is the link's or the kernel's."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    PadN,
)

from lasthop.model.service import VirtualAddress
from tests.oracles import pair_hash, sh
from tests.packet.frames import tcp
from tests.packet.frames6 import (
    AH,
    CLIENT6,
    DESTINATION,
    ESP,
    EXTENSIONS,
    HIP,
    HOP_BY_HOP,
    MOBILITY,
    NO_NEXT_HEADER,
    OTHER_CLIENT6,
    ROUTING,
    SHIM6,
    WWW6,
    back,
    chained,
    echo6,
    ip6,
    sctp6,
    tcp6,
    udp6,
)
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, rule, server, service, two_box
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


@pytest.mark.parametrize("kind", [HOP_BY_HOP, ROUTING, DESTINATION, MOBILITY, HIP, SHIM6])
def test_every_kind_that_another_header_follows_is_walked_over(rig: Rig, kind: int) -> None:
    rig.publish(two_box())
    assert rig.send("outside", chained([kind], UDP(sport=40000, dport=80)), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", udp6(), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.send("firewalls", back(udp6()), FW[0]) == forwarded("RESPONSE", BACK)


def test_a_chain_of_several_kinds_is_walked_to_its_end(rig: Rig) -> None:
    rig.publish(two_box())
    kinds = [HOP_BY_HOP, DESTINATION, ROUTING, DESTINATION, MOBILITY, HIP, SHIM6, DESTINATION]
    syn = TCP(sport=40000, dport=80, flags="S")
    assert rig.send("outside", chained(kinds, syn), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", tcp6("A"), ROUTER) == forwarded("REQUEST", FW0)


@pytest.mark.parametrize("kinds", [[], [DESTINATION], [HOP_BY_HOP, DESTINATION]], ids=["alone", "behind one", "two"])
@pytest.mark.parametrize("number", [ESP, AH, NO_NEXT_HEADER])
def test_the_walk_ends_at_what_hides_or_ends_the_chain(rig: Rig, number: int, kinds: list[int]) -> None:
    """Whatever is behind it is no port, also where it looks like one."""
    rig.publish(two_box(firewalls(), "rr"))
    for sport in (1, 2):
        seeming = bytes(UDP(sport=sport, dport=80) / bytes(20))
        assert rig.send("outside", chained(kinds, seeming, number), ROUTER).hop == FW0
    connection = rig.only_connection()
    assert (connection.source, connection.state, connection.packets) == ((CLIENT6, 0), "OTHER", (2, 0))
    answer = IPv6(src=WWW6, dst=CLIENT6, nh=number) / bytes(20)
    assert rig.send("firewalls", answer, FW[0]) == forwarded("RESPONSE", BACK)


def test_a_chain_that_ends_with_nothing_at_all_is_a_packet_like_any(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.send("outside", ip6(nh=NO_NEXT_HEADER), ROUTER) == forwarded("OPENING", FW0)


def test_a_jumbogram_is_not_understood_and_the_kernels(rig: Rig) -> None:
    """RFC 2675: the length is in an option, and 0 in the header."""
    rig.publish(two_box())
    option = bytes([17, 0, 0xC2, 4]) + (70000).to_bytes(4, "big")
    packet = bytes(ip6(nh=HOP_BY_HOP, plen=0)) + option + bytes(UDP(sport=40000, dport=80)) + bytes(100)
    assert rig.send("outside", packet, ROUTER) == rig.kernel("TRUNCATED")


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


def test_a_chain_that_goes_on_behind_the_packet_is_the_kernels(rig: Rig) -> None:
    """What pads a frame is read by nobody, whatever it looks like: here, a header that says it is of 648 bytes."""
    rig.publish(two_box())
    whole = bytes(ip6(nh=60)) + bytes([60, 0, 1, 4, 0, 0, 0, 0]) + bytes([6, 80]) + bytes(6)
    packet = whole[:4] + (8).to_bytes(2, "big") + whole[6:]
    assert rig.send("outside", packet, ROUTER) == rig.kernel("TRUNCATED")


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


def is_of_link(kind: int) -> bool:
    return 130 <= kind <= 137 or 141 <= kind <= 143 or 148 <= kind <= 153


def test_of_all_informational_messages_only_echo_is_balanced(rig: Rig) -> None:
    rig.publish(two_box())
    for kind in [0, *range(130, 256)]:
        outcome = rig.send("outside", ip6() / ICMPv6Unknown(type=kind, msgbody=bytes(40)), ROUTER)
        assert outcome == rig.kernel("NEIGHBOUR" if is_of_link(kind) else "PROTOCOL"), kind
    assert not rig.connections()


def test_an_echo_reply_opens_nothing(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.send("firewalls", back(echo6()), FW[0]) == forwarded("MIDSTREAM", BACK)


@pytest.mark.parametrize("place", range(4))
def test_the_lower_address_is_told_by_whichever_word_differs_first(rig: Rig, place: int) -> None:
    """Both directions have one key, also where a later word is the other way round."""
    rig.publish(two_box())
    words = [0x20010DB8, 5, 5, 5]
    higher = [word + (1 if i == place else -1 if i > place else 0) for i, word in enumerate(words)]
    one, other = (IPv6Address(b"".join(word.to_bytes(4, "big") for word in each)) for each in (words, higher))
    for port, (source, destination) in enumerate([(one, other), (other, one)], 1):
        packet = ip6(str(source), str(destination)) / UDP(sport=port, dport=port)
        hop = rig.send("outside", packet, ROUTER).hop
        assert hop is not None
        assert rig.send("firewalls", back(packet), hop[1]) == forwarded("RESPONSE", BACK)
    assert {each.source[0] for each in rig.connections()} == {str(one), str(other)}


def by_address6(port: int, servers: int = 2, **changes: Any) -> Any:
    taken = VirtualAddress("tcp", IPv6Address(WWW6), port)
    made = service(0, firewalls(servers), "rr", label=str(taken), virtual_address=taken, zone="edge")
    return replace(made, **changes)


def test_a_service_by_an_ipv6_address_takes_its_port_before_what_is_the_directors_own(rig: Rig) -> None:
    router = service(2, (server("router", "outside", ROUTER),))
    plan = two_box(rules=(rule(2, leg="firewalls"),), services=(by_address6(80), router))
    rig.publish(replace(plan, local=frozenset({IPv6Network(f"{WWW6}/128")})))
    for port, expected in ((1, 0), (2, 1), (3, 0)):
        outcome = rig.send("outside", tcp6(sport=port), ROUTER)
        assert outcome == forwarded("OPENING", ("firewalls", FW[expected]))
    assert rig.send("firewalls", back(tcp6(sport=1)), FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.send("outside", tcp6(sport=4, dport=81), ROUTER) == rig.kernel("LOCAL")
    assert rig.send("outside", udp6(), ROUTER) == rig.kernel("LOCAL")


def test_a_real_server_that_carries_both_families_has_one_load(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2), "lc"))
    assert rig.send("outside", tcp6(), ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", tcp(), ROUTER) == forwarded("OPENING", ("firewalls", FW[1])), "fw0 has one already"
    assert [rig.load_of(f"fw{i}")[:2] for i in range(2)] == [(1, 0), (1, 0)]


def test_a_last_hop_is_followed_and_learned_as_with_ipv4(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.send("outside", tcp6(), STRANGER) == forwarded("OPENING", FW0, EVENT_HOP_LEARNED=1)
    assert rig.send("firewalls", back(tcp6()), FW[0]) == forwarded("RESPONSE", ("outside", STRANGER))
    assert rig.send("outside", tcp6("A"), ROUTER) == forwarded("REQUEST", FW0, EVENT_LAST_HOP_MOVED=1)
    assert rig.send("firewalls", back(tcp6(), "A"), FW[0]) == forwarded("RESPONSE", BACK)


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
