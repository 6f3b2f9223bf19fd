"""All fragments of a datagram reach the firewall of its connection; only one before its first may miss it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import GRE

from lasthop.dataplane import abi
from lasthop.model.rule import PortRange
from tests.oracles import pair_hash
from tests.packet.entries import NS
from tests.packet.frames import CLIENT, OPTIONS, WWW, in_fragments, sctp, udp
from tests.packet.frames6 import CLIENT6, WWW6, back, fragments6, ip6, sctp6, udp6
from tests.packet.plans import (
    CORE_FW,
    FW,
    INNER_ROUTER,
    ROUTER,
    STRANGER,
    firewalls,
    one_box,
    rule,
    timeouts,
    two_box,
)
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Outcome, Rig

FW0, FW1, BACK = ("firewalls", FW[0]), ("firewalls", FW[1]), ("outside", ROUTER)
BODY = bytes(range(256)) * 12


def big4(l4: Any, identifier: int = 7, **ip: Any) -> list[Any]:
    return in_fragments(IP(src=CLIENT, dst=WWW, id=identifier, ttl=61, **ip) / l4 / BODY)


def big6(l4: Any, identifier: int = 7) -> list[Any]:
    return fragments6(ip6() / l4 / BODY, 1000, identifier)


UDP_HEADER = UDP(sport=40000, dport=80)
KEYED = GRE(proto=0x800, key_present=1, key=0x50007)
DATAGRAMS = {
    "udp": big4(UDP_HEADER),
    "udp and options": big4(UDP_HEADER, options=[OPTIONS]),
    "tcp": big4(TCP(sport=40000, dport=80, flags="S")),
    "echo": big4(ICMP(type=8, id=40000)),
    "echo of identifier 0": big4(ICMP(type=8, id=0)),
    "sctp": big4(bytes(sctp()[IP].payload), proto=132),
    "sctp and options": big4(bytes(sctp()[IP].payload), proto=132, options=[OPTIONS]),
    "gre": big4(bytes(GRE(proto=0x800)), proto=47),
    "gre with a key": big4(bytes(KEYED), proto=47),
    "esp": big4(b"", proto=50),
    "ah": big4(b"", proto=51),
    "ipv6 udp": big6(UDP_HEADER),
    "ipv6 tcp": big6(TCP(sport=40000, dport=80, flags="S")),
    "ipv6 echo": big6(ICMPv6EchoRequest(id=40000)),
    "ipv6 sctp": fragments6(ip6(nh=132) / (bytes(sctp6()[IPv6].payload) + BODY), 1000, 7),
    "ipv6 gre with a key": fragments6(ip6(nh=47) / (bytes(KEYED) + BODY), 1000, 7),
    "ipv6 esp": fragments6(ip6(nh=50) / BODY, 1000, 7),
    "ipv6 udp behind options": fragments6(ip6() / IPv6ExtHdrDestOpt() / UDP_HEADER / BODY, 1000, 7),
}


def by_rendezvous(ends: tuple[str, str] = (CLIENT, WWW), count: int = 4) -> tuple[str, str]:
    return "firewalls", FW[int(pair_hash.chosen([(f"fw{i}", 1, True) for i in range(count)], *ends)[2:])]


def each(rig: Rig, packets: list[Any], leg: str = "outside", source: str = ROUTER) -> list[Outcome]:
    return [rig.send(leg, packet, source) for packet in packets]


@pytest.mark.parametrize("datagram", DATAGRAMS.values(), ids=DATAGRAMS)
def test_fragments_in_order_follow_the_first_one_and_are_counted_with_its_connection(rig: Rig, datagram: Any) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    rig.send("outside", udp(sport=1), ROUTER)
    first, *later = each(rig, datagram)
    assert first == forwarded("OPENING", FW1)
    assert later == [forwarded("FRAGMENT", FW1)] * (len(datagram) - 1)
    connection = rig.connections()[-1] if rig.connections()[-1].source[1] != 1 else rig.connections()[0]
    assert connection.packets == (len(datagram), 0)
    assert connection.bytes == (sum(len(bytes(packet)) for packet in datagram), 0)


@pytest.mark.parametrize("datagram", DATAGRAMS.values(), ids=DATAGRAMS)
def test_of_a_new_connection_all_fragments_meet_in_reversed_order_too(rig: Rig, datagram: Any) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    ends = (CLIENT6, WWW6) if IPv6 in datagram[0] else (CLIENT, WWW)
    chosen = by_rendezvous(ends)
    *later, first = each(rig, list(reversed(datagram)))
    assert later[0] == forwarded("STRAY", chosen, EVENT_FRAGMENT_EARLY=1)
    assert {outcome.hop for outcome in later} == {chosen}
    assert first == forwarded("OPENING", chosen), "it follows those that came before it"
    assert rig.only_connection().forward_hop == chosen
    assert each(rig, datagram[1:2]) == [forwarded("FRAGMENT", chosen)]


@pytest.mark.parametrize("datagram", DATAGRAMS.values(), ids=DATAGRAMS)
def test_fragments_of_a_known_connection_follow_it_in_any_order_once_the_first_was_seen(
    rig: Rig, datagram: Any
) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    first, second, third, *_ = datagram
    assert rig.send("outside", first, ROUTER) == forwarded("OPENING", FW0)
    assert each(rig, [third, first, second, third]) == [
        forwarded("FRAGMENT", FW0),
        forwarded("REQUEST", FW0),
        forwarded("FRAGMENT", FW0),
        forwarded("FRAGMENT", FW0),
    ]
    assert rig.only_connection().packets == (5, 0)


@pytest.mark.parametrize(
    "datagram",
    [
        fragments6(ip6() / IPv6ExtHdrDestOpt(nh=50) / BODY, 1000, 7),
        fragments6(ip6() / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(id=0, data=BODY), 1000, 7),
    ],
    ids=["esp", "echo of identifier 0"],
)
def test_behind_extension_headers_later_fragments_without_ports_count_for_their_connection_too(
    rig: Rig, datagram: Any
) -> None:
    """A later fragment names the extension header that begins its datagram, not the protocol behind it."""
    rig.publish(two_box(firewalls(), "fo"))
    outcomes = each(rig, datagram)
    assert outcomes == [forwarded("OPENING", FW0), *[forwarded("FRAGMENT", FW0)] * (len(datagram) - 1)]
    assert rig.only_connection().packets == (len(datagram), 0)


def answered4(l4: Any, **ip: Any) -> list[Any]:
    return in_fragments(IP(src=WWW, dst=CLIENT, id=9, **ip) / l4 / BODY)


def answered6(l4: Any) -> list[Any]:
    return fragments6(IPv6(src=WWW6, dst=CLIENT6) / l4 / BODY, 1000, 9)


ANSWERS = {
    "tcp": answered4(TCP(sport=80, dport=40000, flags="A")),
    "echo": answered4(ICMP(type=0, id=40000)),
    "sctp": answered4(bytes(sctp("DATA", WWW, 80, CLIENT, 40000)[IP].payload), proto=132),
    "gre with a key": answered4(bytes(KEYED), proto=47),
    "esp": answered4(b"", proto=50),
    "ipv6 udp": answered6(UDP(sport=80, dport=40000)),
    "ipv6 tcp": answered6(TCP(sport=80, dport=40000, flags="A")),
    "ipv6 esp": fragments6(IPv6(src=WWW6, dst=CLIENT6, nh=50) / BODY, 1000, 9),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_fragments_of_an_answer_go_to_the_last_hop_whatever_they_are_of(rig: Rig, kind: str) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    rig.send("outside", DATAGRAMS[kind][0], ROUTER)
    outcomes = each(rig, ANSWERS[kind], "firewalls", FW[0])
    assert outcomes == [forwarded("RESPONSE", BACK), *[forwarded("FRAGMENT", BACK)] * (len(outcomes) - 1)]
    assert rig.only_connection().packets == (1, len(outcomes))


def test_a_later_fragment_keeps_its_connection_alive(rig: Rig) -> None:
    rig.publish(two_box(timeouts=timeouts({"UDP": 20})))
    datagram = big4(UDP_HEADER)
    rig.send("outside", datagram[0], ROUTER)
    rig.age(15)
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("FRAGMENT", FW0)
    rig.age(15)
    assert rig.send("outside", udp(), ROUTER) == forwarded("REQUEST", FW0)


def test_when_the_connection_has_ended_meanwhile_the_others_follow_the_first_one(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo", timeouts=timeouts({"UDP": 10})))
    datagram = big4(UDP_HEADER)
    rig.send("outside", datagram[0], ROUTER)
    rig.age(11)
    assert rig.send_over("outside", datagram[1], ROUTER) == forwarded("FRAGMENT", FW0, EVENT_EXPIRED=1)
    assert rig.send("outside", datagram[2], ROUTER) == forwarded("FRAGMENT", FW0)


def test_a_hop_that_moves_between_two_fragments_takes_the_second_along(rig: Rig) -> None:
    rig.publish(two_box(firewalls(1)))
    datagram, moved = big4(UDP_HEADER), "02:00:00:00:f0:77"
    rig.send("outside", datagram[0], ROUTER)
    target = abi.target_word(rig.publisher.leg_names.id_of("firewalls"), moved)
    box = rig.publisher.boxes.id_of("fw0")
    rig.hops.resolve(rig.hop_id(FW0), target, box, firewalls()[0].address)
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("FRAGMENT", ("firewalls", moved))
    rig.forget()
    assert rig.send("outside", datagram[2], ROUTER) == forwarded("FRAGMENT", ("firewalls", moved)), "by the note too"


def test_the_same_datagram_in_another_zone_is_another_one(rig: Rig) -> None:
    """As one box sees it on either side of the firewalls."""
    rig.publish(one_box())
    datagram = big4(UDP_HEADER)
    assert rig.send("outside", datagram[0], ROUTER) == forwarded("OPENING", FW0)
    assert "EVENT_FRAGMENT_EARLY" in rig.send("inside", datagram[1], CORE_FW[0]).counted
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("FRAGMENT", FW0)
    assert rig.send("inside", datagram[0], CORE_FW[0]) == forwarded("OPENING", ("servers", INNER_ROUTER))
    assert rig.send("inside", datagram[2], CORE_FW[0]) == forwarded("FRAGMENT", ("servers", INNER_ROUTER))


def test_ipv6_identifications_are_told_apart_in_all_their_32_bits(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    numbers = [0x10007, 0x20007, 0x20008]
    made = [fragments6(ip6() / UDP(sport=port, dport=80) / BODY, 1000, number) for port, number in enumerate(numbers)]
    hops = [rig.send("outside", datagram[0], ROUTER).hop for datagram in made]
    assert len(set(hops)) == len(numbers)
    assert [outcome.hop for outcome in each(rig, [datagram[1] for datagram in made])] == hops


def test_a_first_fragment_too_short_for_its_protocols_header_is_the_kernels(rig: Rig) -> None:
    """RFC 1858: eight bytes of TCP have no flags, and SCTP's first chunk begins after twelve."""
    rig.publish(two_box())
    for packet, needed in ((tcp_bytes(), 20), (bytes(sctp()[IP].payload), 16)):
        protocol = 6 if needed == 20 else 132
        for length in range(8, needed, 4):
            tiny = IP(src=CLIENT, dst=WWW, id=7, proto=protocol, flags="MF") / packet[:length]
            assert rig.send("outside", tiny, ROUTER) == rig.kernel("TRUNCATED"), (protocol, length)
    assert not rig.maps["fragments"].entries()


def tcp_bytes() -> bytes:
    return bytes(TCP(sport=40000, dport=80, flags="S"))


def test_a_response_in_fragments_and_a_request_whole_are_one_connection(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    assert rig.send("firewalls", ANSWERS["ipv6 udp"][0], FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.send("firewalls", back(udp6()), FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.only_connection().packets == (1, 2)


def test_fragments_that_overlap_or_come_twice_go_where_the_others_go(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    datagram = big4(UDP_HEADER)
    overlapping = datagram[1].copy()
    overlapping[IP].frag = 1
    again = [datagram[0], overlapping, datagram[1], datagram[0], datagram[2]]
    assert {outcome.hop for outcome in each(rig, again)} == {FW0}


def test_fragments_of_a_response_go_to_the_last_hop(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp(), ROUTER)
    answer = in_fragments(IP(src=WWW, dst=CLIENT, id=9) / UDP(sport=80, dport=40000) / BODY)
    outcomes = each(rig, answer, "firewalls", FW[0])
    assert outcomes == [forwarded("RESPONSE", BACK), *[forwarded("FRAGMENT", BACK)] * (len(answer) - 1)]
    assert rig.only_connection().packets == (1, len(answer))


def test_fragments_of_which_the_first_never_comes_go_by_rendezvous_and_leave_no_connection(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    outcomes = each(rig, big4(UDP_HEADER)[1:])
    assert [outcome.hop for outcome in outcomes] == [by_rendezvous()] * len(outcomes)
    assert outcomes[0].counted == {"FORWARDED_STRAY": 1, "EVENT_FRAGMENT_EARLY": 1}
    assert not rig.connections()
    assert rig.hop_id(BACK) != 0, "the router is a real server; nobody else is learned"
    each(rig, big4(UDP_HEADER, 8)[1:], source=STRANGER)
    assert rig.hop_id(("outside", STRANGER)) == 0


def test_an_early_fragment_changes_nothing_of_a_connection_that_is_elsewhere(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    rig.send("outside", udp(), ROUTER)
    assert by_rendezvous() != FW0
    early, first = each(rig, [big4(UDP_HEADER)[1], big4(UDP_HEADER)[0]])
    assert (early.hop, first.hop) == (by_rendezvous(), FW0)
    assert each(rig, big4(UDP_HEADER)[2:]) == [forwarded("FRAGMENT", FW0)] * (len(big4(UDP_HEADER)) - 2)


def test_a_note_is_forgotten_after_30_seconds(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    datagram = big4(UDP_HEADER)
    rig.send("outside", datagram[0], ROUTER)
    ((key, value),) = rig.maps["fragments"].entries().items()
    note = np.frombuffer(bytearray(value), abi.types().struct("fragment"))
    note["seen_ns"] -= np.uint64(29 * NS)
    rig.maps["fragments"].update(key, note.tobytes())
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("FRAGMENT", FW0)
    note["seen_ns"] -= np.uint64(2 * NS)
    rig.maps["fragments"].update(key, note.tobytes())
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("STRAY", by_rendezvous(), EVENT_FRAGMENT_EARLY=1)


def test_an_identification_used_again_follows_its_newest_first_fragment(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    one, other = big4(UDP_HEADER), big4(UDP(sport=40001, dport=80))
    assert [outcome.hop for outcome in each(rig, [one[0], one[1], other[0], other[1]])] == [FW0, FW0, FW1, FW1]


def test_the_same_identification_of_another_protocol_or_direction_is_another_datagram(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    rig.send("outside", big4(UDP_HEADER)[0], ROUTER)
    rig.send("outside", big4(TCP(sport=40000, dport=80, flags="S"))[0], ROUTER)
    assert rig.send("outside", big4(UDP_HEADER)[1], ROUTER) == forwarded("FRAGMENT", FW0)
    assert rig.send("outside", big4(TCP(sport=1, dport=2))[1], ROUTER) == forwarded("FRAGMENT", FW1)
    answer = in_fragments(IP(src=WWW, dst=CLIENT, id=7) / UDP(sport=80, dport=40000) / BODY)
    assert "EVENT_FRAGMENT_EARLY" in rig.send("firewalls", answer[1], FW[0]).counted


def test_later_fragments_follow_a_connection_that_moves_and_the_note_one_that_is_gone(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    datagram = big4(UDP_HEADER)
    rig.send("outside", datagram[0], ROUTER)
    connection = rig.only_connection()
    rig.change(connection, forward_hop=rig.hop_id(("firewalls", FW[3])))
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("FRAGMENT", ("firewalls", FW[3]))
    rig.forget()
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("FRAGMENT", FW0)


def test_a_first_fragment_that_finds_no_room_leaves_a_note_for_the_others(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    rig.table["unassured"] = 1 << 30
    first, second, *_ = each(rig, big4(UDP_HEADER))
    assert first.counted["FORWARDED_UNTRACKED"] == 1
    assert second == forwarded("FRAGMENT", by_rendezvous())


def test_an_early_fragment_goes_to_the_real_server_its_client_is_bound_to(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo", persistence_s=60.0))
    rig.send("outside", udp(), ROUTER)
    assert rig.send("outside", big4(UDP(sport=5, dport=80))[1], ROUTER) == forwarded(
        "STRAY", FW0, EVENT_FRAGMENT_EARLY=1
    )


def test_an_early_fragment_matches_rules_whatever_their_ports_and_no_pass_rule_with_ports(rig: Rig) -> None:
    ports = {"destination_ports": PortRange(80, 80)}
    rig.publish(two_box(rules=(rule(None, **ports), rule(1, destination_ports=PortRange(443, 443)))))
    assert rig.send("outside", big4(UDP_HEADER)[1], ROUTER).verdict == "forwarded"
    assert rig.send("outside", big4(UDP_HEADER)[0], ROUTER) == rig.kernel("PASS_RULE")
    rig.publish(two_box(rules=(rule(None), rule(1))))
    assert rig.send("outside", big4(UDP_HEADER, 9)[1], ROUTER) == rig.kernel("PASS_RULE")


@pytest.mark.parametrize("make", [big4, big6], ids=["ipv4", "ipv6"])
def test_what_a_pass_rule_takes_the_rest_of_its_datagram_follows(rig: Rig, make: Any) -> None:
    """As with a tunnel's key exchange (UDP 500) that is the director's own, or its neighbour's behind it."""
    rig.publish(two_box(rules=(rule(None, destination_ports=PortRange(80, 80)), rule(1))))
    datagram = make(UDP_HEADER)
    assert each(rig, datagram) == [rig.kernel("PASS_RULE")] * len(datagram)
    assert each(rig, make(UDP(sport=40000, dport=81), 8)[:2]) != [rig.kernel("PASS_RULE")] * 2
    rig.age(31)
    assert rig.send("outside", datagram[1], ROUTER).counted["EVENT_FRAGMENT_EARLY"] == 1


def test_an_atomic_fragment_leaves_no_note(rig: Rig) -> None:
    rig.publish(two_box())
    (atomic,) = fragments6(ip6() / UDP_HEADER / b"small", 1000, 7)
    assert rig.send("outside", atomic, ROUTER) == forwarded("OPENING", FW0)
    assert not rig.maps["fragments"].entries()


def test_a_later_fragment_opens_nothing_and_changes_no_state(rig: Rig) -> None:
    rig.publish(two_box())
    syn = big4(TCP(sport=40000, dport=80, flags="S"))
    rig.send("outside", syn[0], ROUTER)
    before = rig.only_connection()
    rig.send("outside", syn[1], ROUTER)
    after = rig.only_connection()
    assert (after.state, after.flags, after.last_hop) == (before.state, before.flags, before.last_hop)
