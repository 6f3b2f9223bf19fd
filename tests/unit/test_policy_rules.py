"""Matches multiplied out match exactly what the match says."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import product
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from lasthop.model.rule import Match, PortRange
from lasthop.policy.rules import PROTOCOL_NUMBERS, expand, rule_count

if TYPE_CHECKING:
    from lasthop.policy.plan import PlannedRule


@dataclass(frozen=True)
class Packet:
    """What a rule can see of a packet."""

    leg: str
    source_real_server: str
    protocol: str
    source: IPv4Address
    destination: IPv4Address
    source_port: int
    destination_port: int
    dscp: int


def some(values: list[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.sampled_from(values), max_size=3, unique=True).map(tuple)


NETWORKS = [IPv4Network("10.0.0.0/8"), IPv4Network("10.1.0.0/16"), IPv4Network("0.0.0.0/0"), IPv4Network("192.0.2.1")]
PORTS = [PortRange(0, 0), PortRange(80, 80), PortRange(79, 8080), PortRange(65535, 65535)]
ADDRESSES = st.sampled_from([IPv4Address(text) for text in ("10.0.0.1", "10.1.2.3", "192.0.2.1", "192.0.2.2")])

MATCHES = st.builds(
    Match,
    legs=some(["outside", "inside"]),
    source_real_servers=some(["fw1", "fw2"]),
    protocols=some(["tcp", "udp", "sctp", "icmp"]),
    sources=some(list(NETWORKS)),
    destinations=some(list(NETWORKS)),
    source_ports=some(list(PORTS)),
    destination_ports=some(list(PORTS)),
    dscp=some([0, 46]),
)
PACKETS = st.builds(
    Packet,
    leg=st.sampled_from(["outside", "inside"]),
    source_real_server=st.sampled_from(["fw1", "fw2", "fw3"]),
    protocol=st.sampled_from(["tcp", "udp", "sctp", "icmp"]),
    source=ADDRESSES,
    destination=ADDRESSES,
    source_port=st.sampled_from([0, 80, 8080, 65535]),
    destination_port=st.sampled_from([0, 79, 81, 65535]),
    dscp=st.sampled_from([0, 46]),
)


def said(match: Match, packet: Packet) -> bool:
    """Whether the match takes the packet, read from its description: all conditions, any value of each."""
    return all(
        (
            not match.legs or packet.leg in match.legs,
            not match.source_real_servers or packet.source_real_server in match.source_real_servers,
            not match.protocols or packet.protocol in match.protocols,
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
            rule.protocol in {None, PROTOCOL_NUMBERS[packet.protocol]},
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
    every = product(("outside", "inside"), ("fw1",), ("tcp", "icmp"), (IPv4Address("10.0.0.1"),))
    assert all(takes(rule, Packet(*four, IPv4Address("192.0.2.1"), 0, 65535, 63)) for four in every)


def test_protocols_have_the_numbers_of_iana() -> None:
    assert PROTOCOL_NUMBERS == {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
