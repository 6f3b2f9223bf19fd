"""Mark rules: every condition alone and together, the first match wins; and against a matcher in plain Python."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP

from lasthop.model.rule import ANY_REAL_SERVER, PortRange
from tests.packet.frames import CLIENT, WWW, echo, error, tcp, udp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, network, plan, rule, server, service
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan, PlannedRule
    from tests.packet.rig import Rig

#: A packet that every rule here takes, and what single conditions make of it.
PACKET: dict[str, Any] = {"protocol": "tcp", "sport": 40000, "dport": 8080, "tos": 46 << 2}
#: Nobody's: what a rule leads to, so that loops and own services play no part.
TARGETS = tuple("02:00:00:00:ee:" + f"{mark:02x}" for mark in range(10))


def ruled(rules: tuple[PlannedRule, ...]) -> Plan:
    """Services 1-8 lead to one real server each; 9 has the firewalls, 10 the router, so that both are boxes."""
    services = [service(mark, (server(f"target{mark}", "outside", TARGETS[mark]),)) for mark in range(1, 9)]
    boxes = [service(9, firewalls(3)), service(10, (server("router", "outside", ROUTER),))]
    return plan((leg("outside"), leg("firewalls")), rules, (*services, *boxes))


def packet(source: str = CLIENT, destination: str = WWW, **fields: Any) -> Any:
    wanted = PACKET | fields
    make: Any = tcp if wanted["protocol"] == "tcp" else udp
    ports = {"sport": wanted["sport"], "dport": wanted["dport"]}
    return make(source=source, destination=destination, tos=wanted["tos"], **ports)


def mark_of(rig: Rig, sent: Any, leg_name: str = "outside", source_mac: str = ROUTER) -> int | None:
    """The mark of the service that takes a packet, None if none does."""
    outcome = rig.send(leg_name, sent, source_mac)
    rig.forget()
    if outcome.hop is None:
        assert outcome == rig.kernel("NO_RULE")
        return None
    return TARGETS.index(outcome.hop[1])


CONDITIONS: dict[str, tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]] = {
    "protocol": (6, [{}], [{"protocol": "udp"}]),
    "source": (
        network("198.51.100.8/30"),
        [{}, {"source": "198.51.100.8"}, {"source": "198.51.100.11"}],
        [{"source": "198.51.100.7"}, {"source": "198.51.100.12"}],
    ),
    "destination": (
        network("203.0.112.0/23"),
        [{}, {"destination": "203.0.112.0"}, {"destination": "203.0.113.255"}],
        [{"destination": "203.0.111.255"}, {"destination": "203.0.114.0"}],
    ),
    "source_ports": (
        PortRange(39000, 41000),
        [{}, {"sport": 39000}, {"sport": 41000}],
        [{"sport": 38999}, {"sport": 41001}, {"sport": 0}, {"sport": 65535}],
    ),
    "destination_ports": (
        PortRange(8000, 8080),
        [{}, {"dport": 8000}, {"dport": 8080}],
        [{"dport": 7999}, {"dport": 8081}, {"dport": 0}, {"dport": 65535}],
    ),
    "dscp": (46, [{}, {"tos": 46 << 2 | 3}], [{"tos": 0}, {"tos": 47 << 2}, {"tos": 46}]),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_single_condition_takes_what_it_says_and_nothing_beside_it(rig: Rig, name: str) -> None:
    value, taken, left = CONDITIONS[name]
    rig.publish(ruled((rule(1, **{name: value}),)))
    assert [mark_of(rig, packet(**fields)) for fields in taken] == [1] * len(taken)
    assert [mark_of(rig, packet(**fields)) for fields in left] == [None] * len(left)


def test_all_conditions_together_must_hold_each(rig: Rig) -> None:
    everything = {name: value for name, (value, _, _) in CONDITIONS.items()}
    rig.publish(ruled((rule(1, leg="outside", source_real_server="router", **everything),)))
    assert mark_of(rig, packet()) == 1
    for _, _, left in CONDITIONS.values():
        assert [mark_of(rig, packet(**fields)) for fields in left] == [None] * len(left)
    assert mark_of(rig, packet(sport=39500), "firewalls", FW[0]) is None
    assert mark_of(rig, packet(sport=39501), "outside", STRANGER) is None


def test_first_rule_that_matches_wins(rig: Rig) -> None:
    special = (rule(1, destination_ports=PortRange(80, 80)), rule(2, protocol=6), rule(3))
    rig.publish(ruled(special))
    assert mark_of(rig, packet(dport=80)) == 1
    assert mark_of(rig, packet(dport=80, protocol="udp")) == 1
    assert mark_of(rig, packet(dport=81)) == 2
    assert mark_of(rig, packet(dport=81, protocol="udp")) == 3
    rig.publish(ruled((rule(4), *special)))
    assert mark_of(rig, packet(sport=2, dport=80)) == 4


def test_leg_of_a_rule_is_where_the_frame_came_in(rig: Rig) -> None:
    rig.publish(ruled((rule(1, leg="outside"), rule(2, leg="firewalls"))))
    assert mark_of(rig, packet(), "outside") == 1
    assert mark_of(rig, packet(sport=2), "firewalls", FW[1]) == 2


def test_source_real_server_is_told_by_leg_and_mac_by_name_or_any(rig: Rig) -> None:
    rig.publish(ruled((rule(1, source_real_server="fw1"), rule(2, source_real_server=ANY_REAL_SERVER), rule(3))))
    assert mark_of(rig, packet(sport=1), "firewalls", FW[1]) == 1
    assert mark_of(rig, packet(sport=2), "firewalls", FW[2]) == 2
    assert mark_of(rig, packet(sport=3), "outside", ROUTER) == 2
    assert mark_of(rig, packet(sport=4), "outside", STRANGER) == 3
    assert mark_of(rig, packet(sport=5), "outside", FW[1]) == 3, "the MAC of fw1 on another leg is not fw1"
    assert mark_of(rig, packet(sport=6), "outside", STRANGER) == 3, "a hop that was learned is no real server"


def test_box_with_two_services_is_one_source_under_its_name(rig: Rig) -> None:
    services = (service(1, firewalls(1)), service(2, firewalls(2)), service(3, (server("t", "outside", STRANGER),)))
    rig.publish(plan((leg("outside"), leg("firewalls")), (rule(3, source_real_server="fw0"),), services))
    assert rig.send("firewalls", tcp(), FW[0]) == forwarded("OPENING", ("outside", STRANGER))
    assert rig.send("firewalls", tcp(sport=2), FW[1]) == rig.kernel("NO_RULE")


def test_echo_matches_by_protocol_1_and_an_icmp_error_by_that_of_the_packet_it_is_about(rig: Rig) -> None:
    rig.publish(ruled((rule(1, protocol=1), rule(2))))
    assert mark_of(rig, echo()) == 1
    assert mark_of(rig, error(tcp(source=WWW, destination=CLIENT), CLIENT)) == 2
    assert mark_of(rig, error(echo(WWW, CLIENT), CLIENT)) == 1
    assert mark_of(rig, tcp()) == 2


def test_as_many_rules_as_the_limit_allows_are_all_tried(rig: Rig) -> None:
    rules = [rule(1 + i % 8, destination_ports=PortRange(i, i)) for i in range(4096)]
    rig.publish(ruled(tuple(rules)))
    assert mark_of(rig, packet(dport=4095)) == 1 + 4095 % 8
    assert mark_of(rig, packet(dport=4096)) is None


# --- against a matcher in plain Python ------------------------------------------------------------------------------

SOURCES = ("198.51.100.10", "198.51.100.11", "198.51.101.10", "100.64.0.1")
BOXES = {("outside", ROUTER): "router", ("firewalls", FW[0]): "fw0", ("firewalls", FW[1]): "fw1"}
ARRIVALS = [*BOXES, ("outside", STRANGER), ("firewalls", STRANGER)]
PORTS = st.sampled_from([0, 1, 79, 80, 81, 1023, 1024, 65534, 65535])
RANGES = st.tuples(PORTS, PORTS).map(lambda ends: PortRange(min(ends), max(ends)))
NETWORKS = st.builds(
    lambda address, length: network(f"{IPv4Address(int(IPv4Address(address)) >> 32 - length << 32 - length)}/{length}"),
    st.sampled_from(SOURCES),
    st.sampled_from([0, 1, 8, 16, 23, 24, 30, 31, 32]),
)
RULES = st.lists(
    st.fixed_dictionaries(
        {"of": st.one_of(st.none(), st.integers(1, 8))},
        optional={
            "leg": st.sampled_from(["outside", "firewalls"]),
            "source_real_server": st.sampled_from(["router", "fw0", "fw1", ANY_REAL_SERVER]),
            "protocol": st.sampled_from([1, 6, 17]),
            "source": NETWORKS,
            "destination": NETWORKS,
            "source_ports": RANGES,
            "destination_ports": RANGES,
            "dscp": st.sampled_from([0, 46, 63]),
        },
    ),
    max_size=6,
).map(lambda rules: sorted((rule(**dict[str, Any](each)) for each in rules), key=lambda each: each.service is not None))
PACKETS = st.lists(
    st.tuples(
        st.sampled_from(ARRIVALS),
        st.sampled_from(["tcp", "udp"]),
        st.permutations(SOURCES).map(lambda two: (two[0], two[1])),
        PORTS,
        PORTS,
        st.sampled_from([0, 46, 63]),
    ),
    min_size=1,
    max_size=8,
)


def takes(each: PlannedRule, arrival: tuple[str, str], sent: Any) -> bool:
    """Whether a rule matches, by its description."""
    ip, box = sent[IP], BOXES.get(arrival)
    l4 = sent[TCP] if TCP in sent else sent[UDP]
    return (
        each.leg in (None, arrival[0])
        and (each.source_real_server is None or (box is not None and each.source_real_server in ("*", box)))
        and each.protocol in (None, 6 if TCP in sent else 17)
        and (each.source is None or IPv4Address(ip.src) in each.source)
        and (each.destination is None or IPv4Address(ip.dst) in each.destination)
        and each.source_ports.first <= l4.sport <= each.source_ports.last
        and each.destination_ports.first <= l4.dport <= each.destination_ports.last
        and each.dscp in (None, ip.tos >> 2)
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=RULES, packets=PACKETS)
def test_random_rules_match_as_their_description_says(rig: Rig, rules: list[PlannedRule], packets: list[Any]) -> None:
    rig.reset()
    rig.publish(ruled(tuple(rules)))
    for arrival, protocol, (source, destination), sport, dport, dscp in packets:
        fields = {"protocol": protocol, "sport": sport, "dport": dport, "tos": dscp << 2}
        sent = packet(source, destination, **fields)
        first = next((each for each in rules if takes(each, arrival, sent)), None)
        outcome = rig.send(arrival[0], sent, arrival[1])
        if first is None:
            assert outcome == rig.kernel("NO_RULE")
        elif first.service is None:
            assert outcome == rig.kernel("PASS_RULE")
        else:
            assert outcome.hop == ("outside", TARGETS[int(first.service.split()[1])])
            rig.forget()
