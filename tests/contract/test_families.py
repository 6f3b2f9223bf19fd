"""What a configuration says of families, protocols and related connections, and what the kernel makes of it."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.lab.waiting import wait_until
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.real_server import RealServer
from lasthop.model.rule import MarkRule, Match, PassRule
from lasthop.model.service import Related, Service, VirtualAddress
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import Surroundings
from tests.contract.dataplane_worlds import (
    CLIENT,
    CLIENT6,
    FIREWALLS,
    FW1_MAC,
    FW2_MAC,
    LEGS,
    PATIENCE_S,
    WWW,
    WWW6,
    connections,
    datagram,
    packet,
)

if TYPE_CHECKING:
    from lasthop.model.connection import ConnectionReport
    from lasthop.model.real_server import Address
    from tests.contract.dataplane_worlds import KernelWorld

pytestmark = pytest.mark.root

FW1 = RealServer("fw1", ip_address("2001:db8:1::11"), leg="firewalls", other_addresses=(ip_address("10.0.1.11"),))
FW2 = RealServer("fw2", ip_address("10.0.1.12"), leg="firewalls")
FROM_OUTSIDE = (Match(legs=("outside",)),)
LOCAL = IPv6Network("2001:db8:2::2/128")


def publish(world: KernelWorld, *services: Service, **rules: Any) -> None:
    """Publish services of two firewalls, both of them resolved."""
    ifindex = world.links[FIREWALLS].ifindex
    neighbours: dict[tuple[int, Address], str] = {(ifindex, FW1.address): FW1_MAC, (ifindex, FW2.address): FW2_MAC}
    surroundings = Surroundings(world.links, local=frozenset({LOCAL}), neighbours=neighbours)
    world.dataplane.publish(compile_plan(Configuration(Director("lb"), LEGS, services, **rules), surroundings))


def after(world: KernelWorld, sent: bytes) -> list[ConnectionReport]:
    """The connections there are once a packet has been counted."""
    before = seen(world)
    world.send_packet(sent)
    assert wait_until(lambda: seen(world) > before, timeout=PATIENCE_S), "the packet was not counted"
    return connections(world)


def seen(world: KernelWorld) -> int:
    return sum(each.value for each in world.dataplane.counters() if each.name.startswith(("forwarded_", "kernel_")))


def counted(world: KernelWorld, name: str) -> int:
    return next(each.value for each in world.dataplane.counters() if each.name == name)


def gre(key: int) -> bytes:
    """Version 0 with a key, about nothing (RFC 2890)."""
    return struct.pack("!HHI", 0x2000, 0x0800, key) + bytes(20)


def test_a_service_by_ipv6_address_takes_its_packets(kernel_world: KernelWorld) -> None:
    taken = VirtualAddress("udp", ip_address(WWW6[0]), WWW6[1])
    publish(kernel_world, Service(0, (), (FW2,), virtual_address=taken))
    (connection,) = after(kernel_world, datagram(CLIENT6, WWW6))
    assert (connection.service, connection.real_server) == ("UDP [2001:db8:80::80]:53", "fw2")
    assert len(after(kernel_world, datagram(CLIENT6, (WWW6[0], 54)))) == 1
    assert counted(kernel_world, "kernel_no_rule") == 1


@pytest.mark.parametrize("address", [FW1.address, *FW1.other_addresses], ids=str)
def test_what_is_addressed_to_any_address_of_a_box_goes_to_it(kernel_world: KernelWorld, address: Address) -> None:
    publish(kernel_world, Service(1, (), (FW1, FW2)))
    client = CLIENT6 if address.version == 6 else CLIENT
    (connection,) = after(kernel_world, datagram(client, (str(address), 161)))
    assert (connection.service, connection.real_server) == ("", "fw1")


def test_what_is_addressed_to_the_director_by_ipv6_is_the_kernels(kernel_world: KernelWorld) -> None:
    publish(kernel_world, Service(1, FROM_OUTSIDE, (FW1,)))
    assert after(kernel_world, datagram(CLIENT6, (str(LOCAL.network_address), 53))) == []
    assert counted(kernel_world, "kernel_local") == 1


@pytest.mark.parametrize(("client", "server"), [(CLIENT, WWW), (CLIENT6, WWW6)], ids=["ipv4", "ipv6"])
def test_a_gre_tunnel_is_a_connection_with_its_key(
    kernel_world: KernelWorld, client: tuple[str, int], server: tuple[str, int]
) -> None:
    publish(kernel_world, Service(1, (Match(protocols=("gre",)),), (FW1,)))
    (connection,) = after(kernel_world, packet(client[0], server[0], 47, gre(0x12345678)))
    assert (connection.protocol, connection.key, connection.state) == ("gre", 0x12345678, "OTHER")
    assert (connection.source, connection.source_port, connection.destination_port) == (client[0], 0, 0)
    assert 590 < connection.expires_s <= 600
    assert len(after(kernel_world, packet(client[0], server[0], 47, gre(7)))) == 2
    assert len(after(kernel_world, packet(client[0], server[0], 50, bytes(24)))) == 2
    assert counted(kernel_world, "kernel_no_rule") == 1


def test_a_number_is_a_protocol_and_a_pass_rule_may_name_it(kernel_world: KernelWorld) -> None:
    ospf = PassRule((Match(protocols=("89",)),))
    publish(kernel_world, Service(1, FROM_OUTSIDE, (FW1,)), pass_rules=(ospf,))
    assert after(kernel_world, packet(CLIENT6[0], WWW6[0], 89, bytes(24))) == []
    assert counted(kernel_world, "kernel_pass_rule") == 1
    (connection,) = after(kernel_world, packet(CLIENT6[0], WWW6[0], 90, bytes(24)))
    assert (connection.protocol, connection.state) == ("90", "OTHER")


def test_icmpv6_is_a_protocol_of_ipv6_with_the_identifier_as_port(kernel_world: KernelWorld) -> None:
    publish(kernel_world, Service(1, (Match(protocols=("icmpv6",)),), (FW1,)))
    (connection,) = after(kernel_world, packet(CLIENT6[0], WWW6[0], 58, struct.pack("!BBHHH", 128, 0, 0, 77, 1)))
    assert (connection.protocol, connection.state, connection.source_port) == ("icmpv6", "ICMP", 77)
    assert len(after(kernel_world, datagram(CLIENT6, WWW6))) == 1


def test_prefixes_of_both_families_match_their_own_packets(kernel_world: KernelWorld) -> None:
    match = Match(destinations=(IPv6Network("2001:db8:80::/48"),))
    publish(kernel_world, Service(1, (match,), (FW1,)))
    assert after(kernel_world, datagram(CLIENT, WWW)) == []
    assert after(kernel_world, datagram(CLIENT6, ("2001:db8:81::80", 53))) == []
    (connection,) = after(kernel_world, datagram(CLIENT6, WWW6))
    assert connection.service == "FWM 1"


def test_the_ipv6_packets_of_a_mark_go_to_its_service_for_ipv6(kernel_world: KernelWorld) -> None:
    four, six = Service(1, (), (FW1,)), Service(1, (), (FW2,), family="ipv6")
    publish(kernel_world, four, six, mark_rules=(MarkRule(1, FROM_OUTSIDE[0]),))
    after(kernel_world, datagram(CLIENT, WWW))
    found = after(kernel_world, datagram(CLIENT6, WWW6))
    assert {(each.source, each.service, each.real_server) for each in found} == {
        (CLIENT[0], "FWM 1", "fw1"), (CLIENT6[0], "FWM 1 IPv6", "fw2"),
    }  # fmt: skip


@pytest.mark.parametrize(("related", "firewalls"), [(Related.NONE, {"fw1", "fw2"}), (Related.ADDRESS_PAIR, {"fw1"})])
def test_related_connections_meet_on_one_firewall(
    kernel_world: KernelWorld, related: Related, firewalls: set[str]
) -> None:
    publish(kernel_world, Service(1, FROM_OUTSIDE, (FW1, FW2), "rr", related=related))
    for port in range(4):
        assert len(after(kernel_world, datagram((CLIENT6[0], 1000 + port), WWW6))) == port + 1
    assert {each.real_server for each in connections(kernel_world)} == firewalls
    assert counted(kernel_world, "event_related") == (3 if related is Related.ADDRESS_PAIR else 0)


def test_what_began_while_the_directors_address_was_missing_is_forgotten_once_it_is_there(
    kernel_world: KernelWorld,
) -> None:
    """As where an operator who came through a leg takes its address away and gives it again: he is to get in again."""
    services = (Service(1, FROM_OUTSIDE, (FW1,)),)
    publish(kernel_world, *services)
    published = kernel_world.dataplane._published
    assert published is not None
    kernel_world.dataplane.publish(replace(published, local=frozenset()))
    there = str(LOCAL.network_address)
    (connection,) = after(kernel_world, datagram(CLIENT6, (there, 53)))
    assert connection.destination == there
    kernel_world.dataplane.publish(published)
    assert len(after(kernel_world, datagram(CLIENT6, (there, 53)))) == 1
    assert kernel_world.dataplane.sweep().connections == 0
    assert after(kernel_world, datagram(CLIENT6, (there, 53))) == []
