"""What every implementation of `lasthop.dataplane.interface.DataPlane` does: the same tests on fake and kernel.

`tests.contract.dataplane_worlds` makes both worlds.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane.reasons import REASONS
from lasthop.model.configuration import Configuration
from lasthop.model.connection import HopName
from lasthop.model.director import Director
from lasthop.model.leg import Leg, Mode
from lasthop.model.real_server import RealServer
from lasthop.model.rule import Match
from lasthop.model.service import Service
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import Surroundings
from tests.contract.dataplane_worlds import (
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    CONNECTIONS,
    FIREWALLS,
    FW1,
    FW1_MAC,
    FW2,
    FW2_MAC,
    FW3,
    LEGS,
    MACS,
    NO_XDP,
    OTHER_MAC,
    ROUTER,
    ROUTER_MAC,
    SPARE,
    SPARE_LEG,
    World,
    connections,
    firewall,
    hop_of,
    macs,
    only_connection,
    plan,
    refused,
)

if TYPE_CHECKING:
    from lasthop.model.real_server import Address


def test_what_is_made_anew_is_empty_and_not_adopted(world: World) -> None:
    assert not world.dataplane.adopted
    assert not world.dataplane.attachments()
    assert not connections(world)
    assert not world.dataplane.hops()
    assert not world.dataplane.load()
    assert world.dataplane.sweep().maximum == CONNECTIONS


def test_counters_are_all_reasons_in_the_order_of_the_enum(world: World) -> None:
    counters = world.dataplane.counters()
    assert [counter.name for counter in counters] == [name.lower() for name in REASONS]
    assert {counter.name: counter.value for counter in counters if counter.value} == {}
    assert all(counter.sentence.endswith(".") for counter in counters)


@pytest.mark.parametrize(("mode", "how"), [(Mode.AUTO, "tc"), (Mode.TC, "tc"), (Mode.XDP, "xdp+tc")])
def test_a_published_leg_is_attached_as_its_mode_says(world: World, mode: Mode, how: str) -> None:
    world.dataplane.publish(plan(world, legs=tuple(replace(leg, mode=mode) for leg in LEGS)))
    assert {each.leg: each.how for each in world.dataplane.attachments()} == {"outside": how, "firewalls": how}


def test_a_leg_of_mode_tc_transmits_no_xdp_frames(world: World) -> None:
    world.dataplane.publish(plan(world))
    assert not any(each.xdp_transmit for each in world.dataplane.attachments())


def test_a_leg_that_a_new_plan_adds_is_attached_and_one_it_drops_is_detached(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.dataplane.publish(plan(world, legs=(*LEGS, SPARE_LEG)))
    assert [each.leg for each in world.dataplane.attachments()] == ["outside", "firewalls", "spare"]
    world.dataplane.publish(plan(world))
    assert [each.leg for each in world.dataplane.attachments()] == ["outside", "firewalls"]


def test_a_leg_that_changes_its_mode_is_attached_in_the_new_one(world: World) -> None:
    world.dataplane.publish(plan(world, legs=tuple(replace(leg, mode=Mode.XDP) for leg in LEGS)))
    world.dataplane.publish(plan(world))
    assert {each.how for each in world.dataplane.attachments()} == {"tc"}


def test_every_real_server_of_every_service_has_a_load(world: World) -> None:
    world.dataplane.publish(plan(world))
    load = world.dataplane.load()
    assert list(load) == [("FWM 1", "fw1"), ("FWM 1", "fw2"), ("FWM 2", "router")]
    assert {(each.active, each.inactive, each.persistent) for each in load.values()} == {(0, 0, 0)}


def test_every_resolved_real_server_has_a_hop_with_its_address_and_name(world: World) -> None:
    world.dataplane.publish(plan(world, macs={FW1: FW1_MAC, ROUTER: ROUTER_MAC}))
    shown = {(hop.leg, hop.mac, hop.vlan, hop.address, hop.name, hop.moved) for hop in world.dataplane.hops()}
    assert shown == {
        ("firewalls", FW1_MAC, None, FW1, "fw1", 0),
        ("outside", ROUTER_MAC, None, ROUTER, "router", 0),
    }
    assert [hop.id for hop in world.dataplane.hops()] == sorted(hop.id for hop in world.dataplane.hops())


def test_a_real_server_that_resolves_later_gets_its_hop_then(world: World) -> None:
    world.dataplane.publish(plan(world, macs={ROUTER: ROUTER_MAC}))
    assert macs(world) == [ROUTER_MAC]
    world.dataplane.publish(plan(world))
    assert hop_of(world, FW1_MAC).name == "fw1"


def test_a_connection_is_shown_with_both_its_hops(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive(mac=CLIENT_MAC)
    shown = only_connection(world)
    assert (shown.zone, shown.protocol, shown.source, shown.source_port) == ("edge", "udp", *CLIENT)
    assert (shown.destination, shown.destination_port, shown.state) == ("203.0.113.80", 53, "UDP")
    assert (shown.service, shown.real_server) == ("FWM 1", "fw1")
    assert shown.forward_hop == HopName("firewalls", FW1_MAC, None, "fw1")
    assert shown.last_hop == HopName("outside", CLIENT_MAC, None, "")
    assert (shown.packets.request, shown.packets.response) == (1, 0)
    assert shown.expires_s > shown.idle_s >= 0


def test_a_firewall_carries_both_families(world: World) -> None:
    world.dataplane.publish(plan(world, firewalls=(FW1,)))
    world.arrive(mac=CLIENT_MAC)
    world.arrive(CLIENT6, CLIENT_MAC)
    four, six = sorted(connections(world), key=lambda each: ":" in each.source)
    assert (six.source, six.source_port, six.destination) == (*CLIENT6, "2001:db8:80::80")
    assert (six.real_server, six.forward_hop, six.last_hop) == (four.real_server, four.forward_hop, four.last_hop)


def test_a_real_server_by_ipv6_address_has_a_hop_with_it(world: World) -> None:
    fw6 = Service(6, (Match(families=("ipv6",)),), (RealServer("fw6", ip_address("2001:db8:1::11"), leg="firewalls"),))
    neighbours: dict[tuple[int, Address], str] = {
        (world.links[FIREWALLS].ifindex, ip_address("2001:db8:1::11")): OTHER_MAC
    }
    configuration = Configuration(Director("lb"), LEGS, (fw6,))
    world.dataplane.publish(compile_plan(configuration, Surroundings(world.links, neighbours=neighbours)))
    hop = hop_of(world, OTHER_MAC)
    assert (hop.address, hop.name) == ("2001:db8:1::11", "fw6")


def test_a_connection_counts_for_its_real_server_its_hops_and_the_table(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    size = world.dataplane.sweep()
    assert (size.connections, size.assured, size.maximum) == (1, 0, CONNECTIONS)
    load = world.dataplane.load()
    assert (load["FWM 1", "fw1"].active, load["FWM 1", "fw1"].inactive) == (0, 1)
    assert {hop.mac: hop.connections for hop in world.dataplane.hops()} == {FW1_MAC: 1, FW2_MAC: 0, ROUTER_MAC: 1}
    counted = {counter.name: counter.value for counter in world.dataplane.counters()}
    assert counted["forwarded_opening"] == 1


def test_publishing_the_same_again_changes_nothing(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    before = world.dataplane.hops(), world.dataplane.load(), world.dataplane.attachments()
    world.dataplane.publish(plan(world))
    assert (world.dataplane.hops(), world.dataplane.load(), world.dataplane.attachments()) == before
    assert only_connection(world).real_server == "fw1"


def test_a_mac_address_that_moves_takes_the_connections_along(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    before = hop_of(world, FW1_MAC)
    world.dataplane.publish(plan(world, macs=MACS | {FW1: OTHER_MAC}))
    after = hop_of(world, OTHER_MAC)
    assert (after.id, after.moved, after.name) == (before.id, 1, "fw1")
    assert only_connection(world).forward_hop.mac == OTHER_MAC
    assert FW1_MAC not in macs(world)


def test_a_real_server_that_is_unresolved_for_a_while_keeps_its_hop(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    before = hop_of(world, FW1_MAC)
    world.dataplane.publish(plan(world, macs={FW2: FW2_MAC, ROUTER: ROUTER_MAC}))
    assert only_connection(world).forward_hop.mac == FW1_MAC
    world.dataplane.publish(plan(world))
    assert (hop_of(world, FW1_MAC).id, hop_of(world, FW1_MAC).moved) == (before.id, 0)


def test_services_that_share_a_real_server_share_its_hop(world: World) -> None:
    shared = Service(3, (Match(legs=("firewalls",), protocols=("icmp",)),), (firewall(FW1),))
    world.dataplane.publish(plan(world, more=(shared,)))
    assert hop_of(world, FW1_MAC).name == "fw1"
    assert {("FWM 1", "fw1"), ("FWM 3", "fw1")} <= world.dataplane.load().keys()
    world.dataplane.publish(plan(world, more=(shared,), macs=MACS | {FW1: OTHER_MAC}))
    assert hop_of(world, OTHER_MAC).moved == 1
    world.dataplane.publish(plan(world, macs=MACS | {FW1: OTHER_MAC}))
    assert hop_of(world, OTHER_MAC).name == "fw1"
    assert ("FWM 3", "fw1") not in world.dataplane.load()


def test_real_servers_that_swap_their_mac_addresses_swap_their_connections(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    world.dataplane.publish(plan(world, macs=MACS | {FW1: FW2_MAC, FW2: FW1_MAC}))
    assert only_connection(world).forward_hop == HopName("firewalls", FW2_MAC, None, "fw1")
    assert (hop_of(world, FW1_MAC).name, hop_of(world, FW1_MAC).moved) == ("fw2", 1)


def test_real_servers_with_one_mac_address_part_without_taking_each_others_connections(world: World) -> None:
    """fw1 stands in for fw2 when the director starts; then fw2 comes back with its own MAC address."""
    world.dataplane.publish(plan(world, macs=MACS | {FW2: FW1_MAC}))
    world.arrive()
    assert only_connection(world).real_server == "fw1"
    for _ in range(2):
        world.dataplane.publish(plan(world))
        assert only_connection(world).forward_hop == HopName("firewalls", FW1_MAC, None, "fw1")
        world.dataplane.publish(plan(world, macs=MACS | {ROUTER: OTHER_MAC}))


def test_a_real_server_whose_hop_was_learned_takes_it_over(world: World) -> None:
    world.dataplane.publish(plan(world, macs={FW1: FW1_MAC}))
    world.arrive(mac=ROUTER_MAC)
    learned = hop_of(world, ROUTER_MAC)
    assert learned.name == ""
    world.dataplane.publish(plan(world, macs={FW1: FW1_MAC, ROUTER: ROUTER_MAC}))
    assert (hop_of(world, ROUTER_MAC).id, hop_of(world, ROUTER_MAC).name) == (learned.id, "router")
    assert only_connection(world).last_hop.name == "router"


def test_learned_hops_go_after_two_sweeps_without_a_connection(world: World) -> None:
    world.dataplane.publish(plan(world))
    kept = macs(world)
    for number in range(1, 6):
        world.arrive((CLIENT[0], number), f"02:00:00:00:0c:{number:02x}")
    world.dataplane.sweep()
    world.dataplane.sweep()
    assert len(macs(world)) == len(kept) + 5
    world.expire()
    world.dataplane.sweep()
    world.dataplane.sweep()
    assert macs(world) == kept
    world.arrive(mac=CLIENT_MAC)
    assert only_connection(world).last_hop.mac == CLIENT_MAC


def test_a_learned_hop_that_a_real_server_moved_to_goes_with_its_connections(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive(mac=OTHER_MAC)
    world.dataplane.publish(plan(world, macs=MACS | {ROUTER: OTHER_MAC}))
    assert only_connection(world).last_hop.mac == OTHER_MAC
    world.expire()
    world.dataplane.sweep()
    world.dataplane.sweep()
    assert macs(world) == sorted([FW1_MAC, FW2_MAC, OTHER_MAC])
    assert hop_of(world, OTHER_MAC).name == "router"


def test_a_real_server_that_is_removed_keeps_its_connections_and_is_forgotten_later(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    world.dataplane.publish(plan(world, firewalls=(FW2,)))
    assert only_connection(world).real_server == "fw1"
    assert only_connection(world).forward_hop == HopName("firewalls", FW1_MAC, None, "fw1")
    assert world.dataplane.load()["FWM 1", "fw1"].inactive == 1
    world.arrive((CLIENT[0], 2))
    assert world.dataplane.load()["FWM 1", "fw2"].inactive == 1
    world.expire()
    world.dataplane.publish(plan(world, firewalls=(FW2,), macs=MACS | {FW2: OTHER_MAC}))
    assert list(world.dataplane.load()) == [("FWM 1", "fw2"), ("FWM 2", "router")]
    assert not any(hop.name == "fw1" for hop in world.dataplane.hops())


def test_what_is_removed_gives_its_ids_to_nobody_while_it_has_connections(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    world.dataplane.publish(plan(world, firewalls=(FW3,), macs=MACS | {FW3: OTHER_MAC}))
    world.arrive((CLIENT[0], 2))
    shown = {each.source_port: (each.real_server, each.forward_hop.mac) for each in connections(world)}
    assert shown == {CLIENT[1]: ("fw1", FW1_MAC), 2: ("fw3", OTHER_MAC)}
    world.dataplane.publish(plan(world))
    assert world.dataplane.load()["FWM 1", "fw1"].inactive == 1
    assert world.dataplane.load()["FWM 1", "fw3"].inactive == 1


def test_a_service_that_is_removed_keeps_the_name_of_its_connections(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    second = Service(7, (Match(legs=("outside",)),), (firewall(FW2),))
    without_first = plan(world, more=(second,))
    without_first = replace(
        without_first,
        services=without_first.services[1:],
        rules=tuple(rule for rule in without_first.rules if rule.service != "FWM 1"),
        server_addresses=(),
    )
    world.dataplane.publish(without_first)
    assert (only_connection(world).service, only_connection(world).real_server) == ("FWM 1", "fw1")
    assert ("FWM 7", "fw2") in world.dataplane.load()


def test_the_hops_of_a_leg_that_is_dropped_lead_nowhere_and_go(world: World) -> None:
    fw3 = RealServer("fw3", IPv4Address("10.0.9.3"))
    beyond = Service(5, (Match(protocols=("icmp",)),), (fw3,))
    neighbours: dict[tuple[int, Address], str] = {(world.links[SPARE].ifindex, fw3.address): OTHER_MAC}
    configuration = Configuration(Director("lb"), (*LEGS, SPARE_LEG), (beyond,))
    world.dataplane.publish(compile_plan(configuration, Surroundings(world.links, neighbours=neighbours)))
    assert hop_of(world, OTHER_MAC).leg == "spare"
    world.dataplane.publish(plan(world))
    assert not [hop for hop in world.dataplane.hops() if hop.leg == "spare"]
    world.dataplane.sweep()
    world.dataplane.sweep()
    assert OTHER_MAC not in macs(world)


def test_a_refused_plan_leaves_everything_as_it_was(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    before = world.dataplane.attachments(), world.dataplane.load(), world.dataplane.hops()
    legs = (*LEGS, SPARE_LEG, Leg("stubborn", NO_XDP, "edge", mode=Mode.XDP))
    error = refused(world, plan(world, legs=legs))
    assert str(error) == (
        "can't attach to leg 'stubborn' (bridge0): driver has no native XDP; set mode = \"tc\" on this leg"
    )
    assert (world.dataplane.attachments(), world.dataplane.load(), world.dataplane.hops()) == before
    world.arrive((CLIENT[0], 2))
    assert {each.real_server for each in connections(world)} == {"fw1", "fw2"}
    world.dataplane.publish(plan(world, legs=(*LEGS, SPARE_LEG)))
    assert [each.leg for each in world.dataplane.attachments()] == ["outside", "firewalls", "spare"]


def test_a_refused_plan_without_a_service_leaves_the_service_its_name(world: World) -> None:
    """What the refused plan has no place for is still what packets see."""
    world.dataplane.publish(plan(world))
    before = world.dataplane.load()
    legs = (*LEGS, Leg("stubborn", NO_XDP, "edge", mode=Mode.XDP))
    whole = plan(world, legs=legs)
    refused(world, replace(whole, services=whole.services[1:], rules=whole.rules[1:], server_addresses=()))
    assert world.dataplane.load() == before
    world.arrive()
    assert only_connection(world).service == "FWM 1"


def test_a_director_that_starts_again_finds_everything(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive(mac=CLIENT_MAC)
    before = world.dataplane.load(), macs(world)
    connection, hop = only_connection(world), hop_of(world, FW1_MAC)
    world.reopen()
    assert world.dataplane.adopted
    world.dataplane.publish(plan(world))
    assert (world.dataplane.load(), macs(world)) == before
    assert hop_of(world, FW1_MAC).id == hop.id
    after = only_connection(world)
    assert (after.real_server, after.forward_hop, after.last_hop) == (
        connection.real_server, connection.forward_hop, connection.last_hop,
    )  # fmt: skip
    assert [each.leg for each in world.dataplane.attachments()] == ["outside", "firewalls"]
    world.arrive((CLIENT[0], 2))
    assert {each.real_server for each in connections(world)} == {"fw1", "fw2"}


def test_a_director_that_starts_again_with_another_plan_makes_the_difference(world: World) -> None:
    world.dataplane.publish(plan(world, legs=(*LEGS, SPARE_LEG)))
    world.arrive()
    world.reopen()
    world.dataplane.publish(plan(world, firewalls=(FW2,)))
    assert [each.leg for each in world.dataplane.attachments()] == ["outside", "firewalls"]
    assert only_connection(world).real_server == "fw1"
    world.arrive((CLIENT[0], 2))
    assert world.dataplane.load()["FWM 1", "fw2"].inactive == 1


def test_detach_leaves_nothing_for_the_next_director(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    world.dataplane.detach()
    world.reopen()
    assert not world.dataplane.adopted
    assert not connections(world)
    assert not world.dataplane.hops()
