"""Matches multiplied out match exactly what the match says."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import product
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from lasthop.model.protocol import FAMILIES, PROTOCOL_NUMBERS, protocol_name, protocol_number
from lasthop.model.rule import Match, PortRange
from lasthop.policy.rules import expand, of_family, rule_count

if TYPE_CHECKING:
    from lasthop.policy.plan import PlannedRule


@dataclass(frozen=True)
class Packet:
    """What a rule can see of a packet."""

    leg: str
    source_real_server: str
    protocol: str
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    source_port: int
    destination_port: int
    dscp: int


def some(values: list[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.sampled_from(values), max_size=3, unique=True).map(tuple)


NETWORKS = [ip_network(each) for each in ("10.0.0.0/8", "0.0.0.0/0", "192.0.2.1", "2001:db8::/32", "::/0")]
PORTS = [PortRange(0, 0), PortRange(80, 80), PortRange(79, 8080), PortRange(65535, 65535)]
ADDRESSES = [("10.0.0.1", "192.0.2.1"), ("192.0.2.1", "10.1.2.3"), ("192.0.2.1", "192.0.2.2"),
             ("2001:db8::1", "2001:db9::1"), ("2001:db9::1", "2001:db8::1"), ("fd00::1", "fd00::2")]  # fmt: skip
PROTOCOLS = ["tcp", "udp", "sctp", "icmp", "icmpv6", "gre", "89"]

MATCHES = st.builds(
    Match,
    legs=some(["outside", "inside"]),
    source_real_servers=some(["fw1", "fw2"]),
    protocols=some(list(PROTOCOLS)),
    families=some(["ipv4", "ipv6"]),
    sources=some(list(NETWORKS)),
    destinations=some(list(NETWORKS)),
    source_ports=some(list(PORTS)),
    destination_ports=some(list(PORTS)),
    dscp=some([0, 46]),
)
PACKETS = st.builds(
    lambda ends, **others: Packet(source=ip_address(ends[0]), destination=ip_address(ends[1]), **others),
    st.sampled_from(ADDRESSES),
    leg=st.sampled_from(["outside", "inside"]),
    source_real_server=st.sampled_from(["fw1", "fw2", "fw3"]),
    protocol=st.sampled_from(PROTOCOLS),
    source_port=st.sampled_from([0, 80, 8080, 65535]),
    destination_port=st.sampled_from([0, 79, 81, 65535]),
    dscp=st.sampled_from([0, 46]),
).filter(lambda packet: packet.source.version != {"icmp": 6, "icmpv6": 4}.get(packet.protocol))


def said(match: Match, packet: Packet) -> bool:
    """Whether the match takes the packet, read from its description: all conditions, any value of each."""
    return all(
        (
            not match.legs or packet.leg in match.legs,
            not match.source_real_servers or packet.source_real_server in match.source_real_servers,
            not match.protocols or packet.protocol in match.protocols,
            not match.families or packet.source.version in [FAMILIES[name] for name in match.families],
            not match.sources or any(packet.source in network for network in match.sources),
            not match.destinations or any(packet.destination in network for network in match.destinations),
            not match.source_ports or any(r.first <= packet.source_port <= r.last for r in match.source_ports),
            not match.destination_ports
            or any(r.first <= packet.destination_port <= r.last for r in match.destination_ports),
            not match.dscp or packet.dscp in match.dscp,
        )
    )


def takes(rule: PlannedRule, packet: Packet) -> bool:
    """Whether one rule takes the packet, as the data plane compares them."""
    return all(
        (
            rule.leg in {None, packet.leg},
            rule.source_real_server in {None, packet.source_real_server},
            rule.protocol in {None, protocol_number(packet.protocol)},
            rule.family in {None, packet.source.version},
            rule.source is None or packet.source in rule.source,
            rule.destination is None or packet.destination in rule.destination,
            rule.source_ports.first <= packet.source_port <= rule.source_ports.last,
            rule.destination_ports.first <= packet.destination_port <= rule.destination_ports.last,
            rule.dscp in {None, packet.dscp},
        )
    )


@given(match=MATCHES, packet=PACKETS)
def test_the_rules_of_a_match_take_a_packet_exactly_if_the_match_does(match: Match, packet: Packet) -> None:
    assert any(takes(rule, packet) for rule in expand(match, "FWM 1")) == said(match, packet)


@given(match=MATCHES)
def test_the_count_of_rules_is_known_before_they_are_made(match: Match) -> None:
    assert rule_count(match) == len(list(expand(match, None)))


def test_an_empty_match_is_one_rule_that_takes_everything() -> None:
    (rule,) = expand(Match(), None)
    assert rule.service is None
    every = product(("outside", "inside"), ("fw1",), ("tcp", "icmp"), (ip_address("10.0.0.1"), ip_address("fd00::1")))
    assert all(takes(rule, Packet(*four, IPv4Address("192.0.2.1"), 0, 65535, 63)) for four in every)


def test_prefixes_of_two_families_are_combined_with_their_own_alone() -> None:
    both = (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32"))
    match = Match(protocols=("icmp", "icmpv6"), sources=both, destinations=both)
    assert [(rule.family, rule.protocol, rule.source, rule.destination) for rule in expand(match, None)] == [
        (4, 1, both[0], both[0]),
        (6, 58, both[1], both[1]),
    ]
    assert list(expand(Match(sources=both[:1], destinations=both[1:]), None)) == []


@given(match=MATCHES, packet=PACKETS, family=st.sampled_from(["ipv4", "ipv6"]))
def test_what_of_a_match_is_of_a_family_takes_that_familys_packets_alone(
    match: Match, packet: Packet, family: str
) -> None:
    held = of_family(match, family)
    taken = held is not None and any(takes(rule, packet) for rule in expand(held, None))
    assert taken == (said(match, packet) and packet.source.version == FAMILIES[family])


def test_protocols_have_the_numbers_of_iana() -> None:
    assert PROTOCOL_NUMBERS == {
        "icmp": 1, "ipip": 4, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132,
    }  # fmt: skip


def test_every_number_has_a_name_that_means_it() -> None:
    assert [protocol_number(protocol_name(number)) for number in range(256)] == list(range(256))
