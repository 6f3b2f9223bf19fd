"""Mark rules over both families: prefixes at every word's edge, DSCP of IPv6, templates of every prefix length."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from lasthop.model.rule import PortRange
from tests.packet.frames import udp
from tests.packet.frames6 import CLIENT6, EXTENSIONS, WWW6, echo6, error6, ip6, tcp6, udp6
from tests.packet.plans import ROUTER, firewalls, leg, plan, rule, server, service, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan, PlannedRule
    from tests.packet.rig import Rig

#: Where words and bytes begin and end, and the whole.
LENGTHS = [0, 1, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128]
ADDRESS = int(IPv6Address("2001:db8:8000:1:8000:1:8000:1"))
TARGETS = tuple("02:00:00:00:ee:" + f"{mark:02x}" for mark in range(10))


def ruled(rules: tuple[PlannedRule, ...]) -> Plan:
    services = [service(mark, (server(f"target{mark}", "outside", TARGETS[mark]),)) for mark in range(1, 4)]
    return plan((leg("outside"), leg("firewalls")), rules, services)


def mark_of(rig: Rig, packet: Any) -> int | None:
    """The mark of the service that takes a packet, None if none does."""
    outcome = rig.send("outside", packet, ROUTER)
    rig.forget()
    if outcome.hop is None:
        assert outcome == rig.kernel("NO_RULE")
        return None
    return TARGETS.index(outcome.hop[1])


def bit(length: int) -> int:
    """The last bit that a prefix of this length has."""
    return 1 << 128 - length


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("end", ["source", "destination"])
def test_a_prefix_ends_at_its_last_bit(rig: Rig, length: int, end: str) -> None:
    network = IPv6Network((ADDRESS, length), strict=False)
    rig.publish(ruled((rule(1, **{end: network}),)))
    addresses = {"source": CLIENT6, "destination": WWW6}

    def taken(address: int) -> bool:
        ends = addresses | {end: str(IPv6Address(address))}
        return mark_of(rig, ip6(**ends) / UDP(sport=1, dport=2)) == 1

    assert taken(ADDRESS)
    if length < 128:
        assert taken(ADDRESS ^ 1)
        assert taken(ADDRESS ^ bit(length + 1) if length > 15 else ADDRESS ^ 2)
    if length > 16:
        assert not taken(ADDRESS ^ bit(length))
        assert not taken(ADDRESS ^ bit(17))


def test_the_prefix_of_everything_is_of_its_own_family(rig: Rig) -> None:
    rig.publish(ruled((rule(1, source=IPv4Network("0.0.0.0/0")), rule(2, source=IPv6Network("::/0")))))
    assert [mark_of(rig, packet) for packet in (udp(), udp6())] == [1, 2]
    rig.publish(ruled((rule(1, destination=IPv6Network("::/0")), rule(2, destination=IPv4Network("0.0.0.0/0")))))
    assert [mark_of(rig, packet) for packet in (udp(), udp6())] == [2, 1]


@pytest.mark.parametrize("dscp", [0, 1, 46, 62, 63])
@pytest.mark.parametrize("ecn", [0, 3])
def test_dscp_is_of_the_traffic_class(rig: Rig, dscp: int, ecn: int) -> None:
    """Six bits over two bytes of the header, between version and flow label."""
    rig.publish(ruled((rule(1, dscp=dscp),)))
    assert mark_of(rig, ip6(tc=dscp << 2 | ecn, fl=0xFFFFF) / UDP(dport=2)) == 1
    assert mark_of(rig, ip6(tc=(dscp ^ 32) << 2 | ecn, fl=0xFFFFF) / UDP(dport=2)) is None
    assert mark_of(rig, ip6(tc=(dscp ^ 1) << 2 | ecn) / UDP(dport=2)) is None


@pytest.mark.parametrize("extension", EXTENSIONS.values(), ids=EXTENSIONS)
def test_ports_and_protocol_are_those_behind_the_extension_headers(rig: Rig, extension: Any) -> None:
    rig.publish(ruled((rule(1, protocol=6, destination_ports=PortRange(443, 443)), rule(2, protocol=17))))
    assert mark_of(rig, tcp6(extension=extension, dport=443)) == 1
    assert mark_of(rig, tcp6(extension=extension, dport=444)) is None
    assert mark_of(rig, udp6(extension=extension)) == 2


def test_icmpv6_is_58_and_its_errors_are_of_what_they_quote(rig: Rig) -> None:
    rig.publish(ruled((rule(1, protocol=58), rule(2, protocol=1), rule(3, protocol=17))))
    assert mark_of(rig, echo6()) == 1
    assert mark_of(rig, error6(IPv6(src=WWW6, dst=CLIENT6) / UDP(sport=80, dport=1), CLIENT6)) == 3
    quoted = IPv6(src=WWW6, dst=CLIENT6) / ICMPv6EchoRequest(id=9)
    assert mark_of(rig, error6(quoted, CLIENT6)) == 1


def test_pass_rules_name_ipv6_prefixes(rig: Rig) -> None:
    rig.publish(ruled((rule(None, source=IPv6Network("2001:db8:c::/64")), rule(1))))
    assert rig.send("outside", udp6(), ROUTER) == rig.kernel("PASS_RULE")
    assert mark_of(rig, udp6("2001:db8:c:1::1")) == 1
    assert mark_of(rig, udp()) == 1


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 65, 96, 127, 128])
def test_clients_of_one_prefix6_are_one_client(rig: Rig, length: int) -> None:
    rig.publish(two_box(firewalls(), "rr", persistence_s=60.0, persistence_prefix6=length, persistence_prefix=24))
    source = str(IPv6Address(ADDRESS))
    first = rig.send("outside", udp6(source), ROUTER).hop
    if length < 128:
        assert rig.send("outside", udp6(str(IPv6Address(ADDRESS ^ 1))), ROUTER).hop == first
    if length > 16:
        assert rig.send("outside", udp6(str(IPv6Address(ADDRESS ^ bit(length)))), ROUTER).hop != first
        assert len(rig.templates()) == 2


def test_the_families_of_a_service_have_prefixes_of_their_own(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr", persistence_s=60.0, persistence_prefix6=0, persistence_prefix=0))
    hops = [rig.send("outside", packet, ROUTER).hop for packet in (udp(), udp6(), udp("192.0.2.9"), udp6("2001:db8::"))]
    assert (hops[0], hops[1]) == (hops[2], hops[3])
    assert len(rig.templates()) in (1, 2)


@pytest.mark.parametrize("length", [0, 1, 33, 64, 127, 128])
def test_what_is_the_directors_own_ends_at_its_prefix(rig: Rig, length: int) -> None:
    network = IPv6Network((ADDRESS, length), strict=False)
    rig.publish(replace(two_box(), local=frozenset({network})))
    inside = ip6(destination=str(IPv6Address(ADDRESS))) / UDP(dport=2)
    assert rig.send("outside", inside, ROUTER) == rig.kernel("LOCAL")
    if length > 16:
        beside = ip6(destination=str(IPv6Address(ADDRESS ^ bit(length)))) / UDP(dport=2)
        assert rig.send("outside", beside, ROUTER).counted == {"FORWARDED_OPENING": 1}


# --- against a matcher in plain Python ------------------------------------------------------------------------------

ADDRESSES6 = [str(IPv6Address(ADDRESS ^ flip)) for flip in (0, 1, bit(33), bit(64), bit(65), bit(97))] + [CLIENT6]
NETWORKS6 = st.builds(
    lambda address, length: IPv6Network((address, length), strict=False),
    st.sampled_from(ADDRESSES6),
    st.sampled_from(LENGTHS),
)
NETWORKS = st.one_of(NETWORKS6, st.just(IPv4Network("0.0.0.0/0")), st.just(IPv4Network("198.51.100.0/24")))


def of_one_family(rule: dict[str, Any]) -> bool:
    """Whether a packet could match: a file with another rule is refused (tests/unit/test_config_mistakes.py)."""
    families = {rule[name].version for name in ("source", "destination") if name in rule}
    return len(families | {rule[name] for name in ("family",) if name in rule}) < 2


RULES = st.lists(
    st.fixed_dictionaries(
        {"of": st.integers(1, 3)},
        optional={
            "protocol": st.sampled_from([6, 17, 58]),
            "source": NETWORKS,
            "destination": NETWORKS,
            "family": st.sampled_from([4, 6]),
            "dscp": st.sampled_from([0, 46]),
        },
    ).filter(of_one_family),
    max_size=5,
)
PACKETS = st.lists(
    st.tuples(
        st.permutations(ADDRESSES6), st.sampled_from([6, 17, 58]), st.sampled_from([0, 46, 47]), st.sampled_from([4, 6])
    ),
    min_size=1,
    max_size=6,
)


def made(protocol: int, ends: list[str], dscp: int, family: int) -> Any:
    if family == 4:
        return udp(tos=dscp << 2)
    packet = {6: tcp6(), 17: udp6(), 58: echo6()}[protocol]
    packet[IPv6].src, packet[IPv6].dst, packet[IPv6].tc = ends[0], ends[1], dscp << 2
    return packet


def takes(conditions: dict[str, Any], packet: Any) -> bool:
    """Whether a rule matches, by its description."""
    six = IPv6 in packet
    ip = packet[IPv6] if six else packet
    facts = {
        "protocol": int(ip.nh if six else ip.proto),
        "family": 6 if six else 4,
        "dscp": int(ip.tc if six else ip.tos) >> 2,
    }
    for name, wanted in conditions.items():
        if name in facts and facts[name] != wanted:
            return False
        if name in ("source", "destination"):
            address = IPv6Network(ip.src if name == "source" else ip.dst) if six else None
            other = IPv4Network(ip.src if name == "source" else ip.dst) if not six else None
            found = address or other
            if found is None or wanted.version != found.version or not found.subnet_of(wanted):
                return False
    return True


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=RULES, packets=PACKETS)
def test_random_rules_of_both_families_match_as_their_description_says(
    rig: Rig, rules: list[dict[str, Any]], packets: list[Any]
) -> None:
    rig.reset()
    rig.publish(ruled(tuple(rule(**each) for each in rules)))
    for ends, protocol, dscp, family in packets:
        packet = made(protocol, ends, dscp, family)
        wanted = next((each["of"] for each in rules if takes(each, packet)), None)
        assert mark_of(rig, packet) == wanted


def test_a_rule_of_one_family_alone_leaves_the_other_to_the_next(rig: Rig) -> None:
    rig.publish(ruled((rule(1, family=6), rule(2, family=4), rule(3))))
    assert [mark_of(rig, packet) for packet in (udp6(), udp())] == [1, 2]
    assert forwarded("OPENING", ("outside", TARGETS[1])) == rig.send("outside", tcp6(), ROUTER)
