"""From configuration and surroundings to the plan: legs, placement, zones, rules, errors."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface

import pytest

from lasthop.errors import DirectorError, NetworkError
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.leg import Leg
from lasthop.model.real_server import Admin, RealServer
from lasthop.model.rule import MarkRule, Match, PassRule, PortRange
from lasthop.model.service import Persistence, Related, Service, VirtualAddress, WhenEmpty
from lasthop.policy.compile import Compiler, addresses_to_resolve, compile_plan
from lasthop.policy.plan import Choice
from lasthop.policy.refresh import refresh
from lasthop.policy.surroundings import SeenLink, Surroundings


def link(ifindex: int, *addresses: str, up: bool = True) -> SeenLink:
    return SeenLink(
        ifindex, f"02:00:00:00:00:{ifindex:02x}", 1500, up=up, addresses=tuple(map(IPv4Interface, addresses))
    )


def server(name: str, address: str, weight: int = 1, leg: str | None = None) -> RealServer:
    return RealServer(name, IPv4Address(address), weight, leg)


def service(mark: int, *servers: RealServer, legs: tuple[str, ...] = ()) -> Service:
    return Service(mark, (Match(legs=legs),), servers)


def configuration(*services: Service, legs: tuple[Leg, ...] | None = None) -> Configuration:
    return Configuration(Director("lb"), LEGS if legs is None else legs, services)


LEGS = (
    Leg("outside", "eth0", "edge"),
    Leg("fw-out", "eth1", "edge"),
    Leg("fw-in", "eth2", "core"),
    Leg("inside", "eth3", "core"),
)
EDGE = LEGS[:2]
SURROUNDINGS = Surroundings(
    links={
        "lo": SeenLink(1, "00:00:00:00:00:00", 65536, up=True, addresses=(IPv4Interface("127.0.0.1/8"),)),
        "eth0": link(2, "192.0.2.2/24"),
        "eth1": link(3, "10.0.1.1/24"),
        "eth2": link(4, "10.0.2.1/24"),
        "eth3": link(5, "10.0.3.2/24"),
        "tun0": SeenLink(6, "", 1400, up=True),
    },
    local=frozenset({IPv4Network("192.0.2.2/32"), IPv4Network("10.0.1.1/32")}),
    neighbours={
        (3, IPv4Address("10.0.1.11")): "02:00:00:00:01:11",
        (4, IPv4Address("10.0.2.11")): "02:00:00:00:02:11",
        (4, IPv4Address("10.0.1.12")): "02:00:00:00:02:12",
    },
)
FW1, FW2, ROUTER = server("fw1", "10.0.1.11"), server("fw2", "10.0.1.12", 5), server("router", "192.0.2.1")
FW1_IN = server("fw1", "10.0.2.11")


def test_a_leg_carries_what_its_interface_is_and_every_mac_that_is_its_own() -> None:
    legs = (replace(LEGS[0], virtual_macs=("00:00:5e:00:01:0a",)),)
    links = {"eth0": replace(link(2, "192.0.2.2/24"), child_macs=frozenset({"00:00:5e:00:01:0b"}))}
    plan = compile_plan(configuration(service(1, ROUTER), legs=legs), Surroundings(links=links))
    (leg,) = plan.legs
    assert (leg.name, leg.zone, leg.interface, leg.ifindex, leg.mtu, leg.up) == (
        "outside", "edge", "eth0", 2, 1500, True,
    )  # fmt: skip
    assert leg.own_macs == {"02:00:00:00:00:02", "00:00:5e:00:01:0a", "00:00:5e:00:01:0b"}


def test_a_real_server_is_on_the_leg_whose_subnet_holds_its_address() -> None:
    plan = compile_plan(configuration(service(1, FW1, FW2), service(2, ROUTER)), SURROUNDINGS)
    assert [[each.leg for each in planned.servers] for planned in plan.services] == [["fw-out", "fw-out"], ["outside"]]
    assert addresses_to_resolve(plan) == {(3, FW1.address), (3, FW2.address), (2, ROUTER.address)}


def test_a_leg_given_to_a_real_server_wins_over_subnets() -> None:
    plan = compile_plan(configuration(service(1, replace(FW2, leg="fw-in"))), SURROUNDINGS)
    (planned,) = plan.services[0].servers
    assert (planned.leg, planned.mac) == ("fw-in", "02:00:00:00:02:12")


def test_the_longest_subnet_holds_the_address() -> None:
    links = {**SURROUNDINGS.links, "eth0": link(2, "10.0.0.1/8")}
    plan = compile_plan(configuration(service(1, FW1)), replace(SURROUNDINGS, links=links))
    assert plan.services[0].servers[0].leg == "fw-out"


def test_the_zone_a_service_matches_decides_between_equal_subnets_of_two_zones() -> None:
    links = {**SURROUNDINGS.links, "eth2": link(4, "10.0.1.2/24")}
    plan = compile_plan(configuration(service(1, FW2, legs=("inside",))), replace(SURROUNDINGS, links=links))
    assert plan.services[0].servers[0].leg == "fw-in"


def test_only_a_server_with_a_mac_on_a_leg_that_is_up_is_usable() -> None:
    plan = compile_plan(configuration(service(1, FW1, FW2)), SURROUNDINGS)
    (planned,) = plan.services
    assert [(each.mac, each.usable, each.weight) for each in planned.servers] == [
        ("02:00:00:00:01:11", True, 1),
        (None, False, 5),
    ]
    assert set(planned.fallback) == {0}

    links = {**SURROUNDINGS.links, "eth1": link(3, "10.0.1.1/24", up=False)}
    plan = compile_plan(configuration(service(1, FW1, FW2)), replace(SURROUNDINGS, links=links))
    assert not any(each.usable for each in plan.services[0].servers)
    assert plan.services[0].fallback == ()


def test_a_disabled_server_stays_so_when_the_plan_is_only_brought_up_to_date() -> None:
    """As when another leg's interface is gone, and the configuration no longer fits the machine."""
    disabled = replace(FW1, admin=Admin.DISABLED)
    plan = compile_plan(configuration(service(1, disabled, FW2)), SURROUNDINGS)
    for each in (plan, refresh(plan, SURROUNDINGS)):
        assert not each.services[0].servers[0].usable
        assert each.services[0].servers[0].dead


def test_a_service_becomes_numbers_the_data_plane_looks_up() -> None:
    wanted = replace(service(7, FW1, FW2), scheduler="rr", persistence=Persistence(60, 24), when_empty=WhenEmpty.KERNEL)
    (planned,) = compile_plan(configuration(wanted), SURROUNDINGS).services
    assert (planned.label, planned.mark, planned.choice, planned.scheduler) == ("FWM 7", 7, Choice.BY_TURN, "rr")
    assert (planned.turns, planned.persistence_s, planned.persistence_prefix) == ((0,), 60, 24)
    assert planned.when_empty is WhenEmpty.KERNEL
    (plain,) = compile_plan(configuration(service(7, FW1)), SURROUNDINGS).services
    assert (plain.choice, plain.turns, plain.persistence_s) == (Choice.BY_LOAD_WLC, (), None)


def test_the_same_arguments_give_the_same_plan() -> None:
    wanted = configuration(service(1, FW1, FW2), service(2, ROUTER))
    assert compile_plan(wanted, SURROUNDINGS) == compile_plan(wanted, SURROUNDINGS)


def test_a_service_without_legs_takes_packets_of_its_own_zone_only() -> None:
    plan = compile_plan(configuration(service(1, FW1), service(2, FW1_IN)), SURROUNDINGS)
    assert [(rule.service, rule.leg) for rule in plan.rules] == [
        ("FWM 1", "outside"), ("FWM 1", "fw-out"), ("FWM 2", "fw-in"), ("FWM 2", "inside"),
    ]  # fmt: skip


def test_a_service_without_legs_is_one_rule_where_there_is_one_zone() -> None:
    plan = compile_plan(configuration(service(1, FW1), legs=EDGE), SURROUNDINGS)
    assert [rule.leg for rule in plan.rules] == [None]


def test_pass_rules_come_first_and_hold_in_every_zone() -> None:
    bgp = Match(protocols=("tcp",), destination_ports=(PortRange(179, 179),))
    wanted = replace(configuration(service(1, FW1, legs=("outside",))), pass_rules=(PassRule((bgp,)),))
    rules = compile_plan(wanted, SURROUNDINGS).rules
    assert [(rule.service, rule.leg, rule.protocol) for rule in rules] == [(None, None, 6), ("FWM 1", "outside", None)]


def test_local_destinations_and_time_outs_are_handed_on() -> None:
    wanted = configuration(service(1, FW1))
    plan = compile_plan(wanted, SURROUNDINGS)
    assert plan.local == SURROUNDINGS.local
    assert plan.timeouts == wanted.director.timeouts


def test_each_address_of_a_box_leads_to_it_in_each_zone_by_the_first_service_that_has_it() -> None:
    plan = compile_plan(configuration(service(1, FW1), service(2, FW1_IN), service(3, FW1)), SURROUNDINGS)
    assert set(plan.server_addresses) == {
        ("edge", FW1.address, "FWM 1", "fw1"),
        ("edge", FW1_IN.address, "FWM 1", "fw1"),
        ("core", FW1.address, "FWM 2", "fw1"),
        ("core", FW1_IN.address, "FWM 2", "fw1"),
    }


def test_a_box_of_the_zone_itself_wins_an_address_that_another_zone_uses_too() -> None:
    links = {**SURROUNDINGS.links, "eth2": link(4, "10.0.1.2/24")}
    box, other = server("fw1", "10.0.1.11", leg="fw-out"), server("fw1", "10.0.1.50", leg="fw-in")
    ids = server("ids", "10.0.1.50", leg="fw-out")
    plan = compile_plan(
        configuration(service(1, box), service(2, other), service(3, ids)), replace(SURROUNDINGS, links=links)
    )
    assert ("edge", ids.address, "FWM 3", "ids") in plan.server_addresses
    assert ("core", ids.address, "FWM 2", "fw1") in plan.server_addresses


V6 = IPv6Address("2001:db8:1::11")
DUAL = replace(
    SURROUNDINGS,
    links={
        **SURROUNDINGS.links,
        "eth0": replace(link(2), addresses=tuple(map(ip_interface, ("192.0.2.2/24", "fe80::1/64")))),
        "eth1": replace(link(3), addresses=tuple(map(ip_interface, ("10.0.1.1/24", "2001:db8:1::1/64", "fe80::2/64")))),
    },
    neighbours={**SURROUNDINGS.neighbours, (3, V6): "02:00:00:00:01:11"},
)


def test_an_ipv6_real_server_is_placed_resolved_and_usable_as_another() -> None:
    plan = compile_plan(configuration(service(1, RealServer("fw1", V6)), legs=EDGE), DUAL)
    (planned,) = plan.services[0].servers
    assert (planned.leg, planned.mac, planned.usable) == ("fw-out", "02:00:00:00:01:11", True)
    assert addresses_to_resolve(plan) == {(3, V6)}
    plan = compile_plan(configuration(service(1, RealServer("fw1", ip_address("fd00::9"), leg="fw-out"))), DUAL)
    assert (plan.services[0].servers[0].leg, plan.services[0].servers[0].usable) == ("fw-out", False)


def test_local_destinations_of_ipv6_are_handed_on() -> None:
    local = frozenset({IPv6Network("2001:db8:1::1/128"), IPv6Network("ff00::/8")})
    assert compile_plan(configuration(service(1, FW1)), replace(SURROUNDINGS, local=local)).local == local


def test_further_addresses_of_a_box_lead_to_it_and_are_not_resolved() -> None:
    box = replace(FW1, other_addresses=(V6, IPv4Address("10.0.1.111")))
    plan = compile_plan(configuration(service(1, box, FW2), legs=EDGE), DUAL)
    led = {(address, name) for zone, address, label, name in plan.server_addresses}
    assert led == {(FW1.address, "fw1"), (V6, "fw1"), (IPv4Address("10.0.1.111"), "fw1"), (FW2.address, "fw2")}
    assert addresses_to_resolve(plan) == {(3, FW1.address), (3, FW2.address)}


def test_further_addresses_that_come_and_go_are_published_again() -> None:
    compiler = Compiler()
    for others in ((), (V6,), ()):
        plan = compiler.plan(configuration(service(1, replace(FW1, other_addresses=others))), DUAL)
        assert {address for _, address, _, _ in plan.server_addresses} == {FW1.address, *others}


def test_what_a_service_says_of_related_connections_and_ipv6_clients_is_handed_on() -> None:
    wanted = replace(service(1, FW1), related=Related.ADDRESS_PAIR, persistence=Persistence(60, 24, 64))
    (planned,) = compile_plan(configuration(wanted), SURROUNDINGS).services
    assert (planned.related, planned.persistence_prefix6) == (Related.ADDRESS_PAIR, 64)


def test_a_service_by_ipv6_address_is_in_the_zone_of_its_real_servers() -> None:
    taken = VirtualAddress("tcp", IPv6Address("2001:db8::80"), 80)
    (planned,) = compile_plan(configuration(Service(0, (), (FW1,), virtual_address=taken)), DUAL).services
    assert (planned.label, planned.zone) == ("TCP [2001:db8::80]:80", "edge")


def test_the_ipv6_packets_of_a_mark_are_its_ipv6_services_if_it_has_one() -> None:
    both, six = service(1, FW1), replace(service(1, FW2), family="ipv6", matches=(Match(protocols=("gre",)),))
    web, two = Match(protocols=("tcp",)), Match(sources=(IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/32")))
    wanted = replace(configuration(both, six, legs=EDGE), mark_rules=(MarkRule(1, web), MarkRule(1, two)))
    rules = compile_plan(wanted, SURROUNDINGS).rules
    assert [(rule.service, rule.family, rule.protocol, rule.source and rule.source.version) for rule in rules] == [
        ("FWM 1", 4, None, None), ("FWM 1 IPv6", 6, None, None), ("FWM 1 IPv6", 6, 47, None),
        ("FWM 1", 4, 6, None), ("FWM 1 IPv6", 6, 6, None), ("FWM 1", 4, None, 4), ("FWM 1 IPv6", 6, None, 6),
    ]  # fmt: skip
    alone = compile_plan(replace(wanted, services=(both,)), SURROUNDINGS).rules
    assert {(rule.service, rule.family) for rule in alone} == {("FWM 1", None), ("FWM 1", 4), ("FWM 1", 6)}
    only = compile_plan(replace(wanted, services=(six,)), SURROUNDINGS).rules
    assert {(rule.service, rule.family) for rule in only} == {("FWM 1 IPv6", 6)}


# (configuration, words of the problem, words of the remedy)
REFUSED = {
    "an interface that does not exist": (
        configuration(service(1, FW1), legs=(Leg("outside", "eth9", "edge"),)),
        "can't use interface 'eth9' as leg 'outside': there is no such interface",
        "use one of eth0, eth1, eth2, eth3, or create it",
    ),
    "an interface without a MAC address": (
        configuration(service(1, FW1), legs=(Leg("outside", "tun0", "edge"),)),
        "'tun0' as leg 'outside': it has no MAC address",
        "use an Ethernet interface",
    ),
    "the loopback interface": (
        configuration(service(1, FW1), legs=(Leg("outside", "lo", "edge"),)),
        "'lo' as leg 'outside': it has no MAC address",
        "use an Ethernet interface",
    ),
    "a real server on no leg": (
        configuration(service(1, server("fw9", "10.9.9.9"))),
        "real server 'fw9' 10.9.9.9 of service FWM 1 is on no leg",
        'give it leg = "outside"',
    ),
    "a real server that is the director": (
        configuration(service(1, server("fw1", "10.0.1.1"))),
        "real server 'fw1' 10.0.1.1 of service FWM 1 is an address of this machine",
        "the box itself",
    ),
    "a further address that is the director's": (
        configuration(service(1, replace(FW1, other_addresses=(IPv4Address("10.0.2.1"),)))),
        "real server 'fw1' 10.0.1.11 of service FWM 1 has 10.0.2.1 in other_addresses, an address of this machine",
        "leave it out",
    ),
    "a further address that is another box's": (
        configuration(service(1, FW1), service(3, replace(FW2, other_addresses=(FW1.address,)))),
        "real servers 'fw1' and 'fw2' of zone edge are both 10.0.1.11",
        "a box has one name",
    ),
    "real servers in two zones": (
        configuration(service(1, FW1, server("fw2", "10.0.2.12"))),
        "real servers of service FWM 1 are in two zones: 'fw1' on leg 'fw-out' (zone edge), 'fw2' on leg 'fw-in'",
        "one service for each zone",
    ),
    "a match in another zone than the real servers": (
        configuration(service(1, FW1, legs=("inside",))),
        "service FWM 1 matches leg 'inside' (zone core), but its real server 'fw1' 10.0.1.11 is on leg 'fw-out'",
        "match legs of zone edge",
    ),
    "one name, two addresses in a zone": (
        configuration(service(1, FW1), service(2, replace(FW1, address=IPv4Address("10.0.1.99")))),
        "real server 'fw1' is 10.0.1.11 on leg 'fw-out' and 10.0.1.99 on leg 'fw-out' within zone edge",
        "a name is one box",
    ),
    "one name, two legs in a zone": (
        configuration(service(1, FW1), service(2, replace(FW1, leg="outside"))),
        "real server 'fw1' is 10.0.1.11 on leg 'fw-out' and 10.0.1.11 on leg 'outside' within zone edge",
        "same address and leg",
    ),
    "two names, one address in a zone": (
        configuration(service(1, FW1), service(2, replace(FW1, name="ids"))),
        "real servers 'fw1' and 'ids' of zone edge are both 10.0.1.11",
        "a box has one name",
    ),
    "a source real server that is not in the zone": (
        configuration(Service(1, (Match(source_real_servers=("router",)),), (FW1_IN,)), service(2, ROUTER)),
        "service FWM 1 matches source_real_server 'router', which has no address in the service's zone core",
        "leave it out",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_the_machine_is_refused_with_a_remedy(name: str) -> None:
    wanted, problem, remedy = REFUSED[name]
    with pytest.raises(NetworkError) as caught:
        compile_plan(wanted, SURROUNDINGS)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_an_address_on_two_legs_alike_needs_its_leg_named() -> None:
    links = {**SURROUNDINGS.links, "eth0": link(2, "10.0.1.2/24")}
    with pytest.raises(NetworkError, match="is on legs 'outside' and 'fw-out' alike; give it leg = "):
        compile_plan(configuration(service(1, FW1)), replace(SURROUNDINGS, links=links))


def test_more_rules_than_the_data_plane_holds_are_refused_before_they_are_made() -> None:
    ports = tuple(PortRange(port, port) for port in range(60_000))
    match = Match(protocols=("tcp", "udp"), source_ports=ports, destination_ports=ports)
    with pytest.raises(DirectorError, match=r"make 7200000000 rules .* holds 4096; use fewer values"):
        compile_plan(configuration(Service(1, (match,), (FW1,)), legs=EDGE), SURROUNDINGS)


def test_as_many_rules_as_the_data_plane_holds_are_made() -> None:
    match = Match(protocols=("tcp",), destination_ports=tuple(PortRange(port, port) for port in range(2048)))
    plan = compile_plan(configuration(Service(1, (match,), (FW1,))), SURROUNDINGS)
    assert len(plan.rules) == 4096
