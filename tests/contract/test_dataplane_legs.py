"""Legs that share an interface, gateways, neighbours, and hops that move: the same on fake and kernel.

`tests.contract.dataplane_worlds` makes both worlds.
"""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyroute2.netlink.rtnl.ndmsg import NUD_PERMANENT, NUD_STALE

from lasthop.dataplane import abi
from lasthop.director.director import Director as RunningDirector
from lasthop.lab.waiting import wait_until
from lasthop.model.configuration import Configuration
from lasthop.model.connection import HopName
from lasthop.model.director import Director
from lasthop.model.leg import Leg, Mode, ReplyTo
from lasthop.model.real_server import RealServer
from lasthop.model.rule import Match
from lasthop.model.service import Service
from lasthop.model.vlan import Vlan, VlanProtocol
from lasthop.network.kernel import KernelNetwork
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import Surroundings
from tests.contract.dataplane_worlds import (
    CLIENT,
    CLIENT_MAC,
    FIREWALLS,
    FW1,
    FW1_MAC,
    FW2,
    FW2_MAC,
    OTHER_MAC,
    OUTSIDE,
    PATIENCE_S,
    ROUTER,
    ROUTER_MAC,
    KernelWorld,
    World,
    connections,
    firewall,
    hop_of,
    macs,
    only_connection,
)
from tests.lab.tcx import needs_tcx

if TYPE_CHECKING:
    from lasthop.model.real_server import Address
    from lasthop.policy.plan import Plan

TRUNK = (
    Leg("outside", OUTSIDE, "edge", vlan=Vlan(100)),
    Leg("firewalls", OUTSIDE, "edge", vlan=Vlan(200, 7, VlanProtocol.DOT1AD)),
)
SECOND_ROUTER, VIRTUAL = "192.0.2.3", "192.0.2.254"
THIRD_MAC = "02:00:00:00:01:77"

#: (interface, address) -> MAC
Known = dict[tuple[str, str], str]
KNOWN: Known = {(FIREWALLS, FW1): FW1_MAC, (FIREWALLS, FW2): FW2_MAC}
ON_TRUNK: Known = {(OUTSIDE, FW1): FW1_MAC, (OUTSIDE, FW2): FW2_MAC}


def plan(world: World, legs: tuple[Leg, ...], known: Known, more: tuple[Service, ...] = ()) -> Plan:
    """FWM 1 from `outside` to the firewalls, with what the kernel knows of neighbours."""
    servers = tuple(replace(firewall(address), leg="firewalls") for address in (FW1, FW2))
    services = (Service(1, (Match(legs=("outside",)),), servers), *more)
    neighbours: dict[tuple[int, Address], str] = {
        (world.links[name].ifindex, IPv4Address(at)): mac for (name, at), mac in known.items()
    }
    return compile_plan(Configuration(Director("lb"), legs, services), Surroundings(world.links, neighbours=neighbours))


def two_legs(**outside: object) -> tuple[Leg, ...]:
    return replace(Leg("outside", OUTSIDE, "edge"), **outside), Leg("firewalls", FIREWALLS, "edge")  # type: ignore[arg-type]


def roles(world: World) -> dict[str, tuple[str, str, str]]:
    return {hop.mac: (hop.address, hop.name, hop.role) for hop in world.dataplane.hops()}


class TestLegsOfOneInterface:
    """A trunk: tagged legs, and one without a tag beside them."""

    def test_legs_that_share_an_interface_are_all_attached(self, world: World) -> None:
        world.dataplane.publish(plan(world, TRUNK, ON_TRUNK))
        assert [(each.leg, each.how) for each in world.dataplane.attachments()] == [
            ("outside", "tc"),
            ("firewalls", "tc"),
        ]

    def test_a_connection_shows_the_vlans_of_its_hops(self, world: World) -> None:
        world.dataplane.publish(plan(world, TRUNK, ON_TRUNK))
        world.arrive(mac=CLIENT_MAC, vlan=TRUNK[0].vlan)
        shown = only_connection(world)
        assert shown.last_hop == HopName("outside", CLIENT_MAC, "100", "")
        assert shown.forward_hop == HopName("firewalls", FW1_MAC, "200.7", "fw1")
        assert {hop.leg: hop.vlan for hop in world.dataplane.hops()} == {"outside": "100", "firewalls": "200.7"}

    def test_an_interface_stays_attached_while_one_of_its_legs_is_left(self, world: World) -> None:
        world.dataplane.publish(plan(world, (*TRUNK, Leg("more", OUTSIDE, "edge")), ON_TRUNK))
        world.dataplane.publish(plan(world, TRUNK, ON_TRUNK))
        world.arrive(vlan=TRUNK[0].vlan)
        assert only_connection(world).real_server == "fw1"

    def test_a_leg_that_gets_another_vlan_takes_the_frames_of_that_one(self, world: World) -> None:
        world.dataplane.publish(plan(world, TRUNK, ON_TRUNK))
        world.dataplane.publish(plan(world, (replace(TRUNK[0], vlan=Vlan(101)), TRUNK[1]), ON_TRUNK))
        world.arrive(vlan=Vlan(101))
        assert only_connection(world).last_hop.vlan == "101"

    def test_a_director_that_starts_again_finds_the_legs_of_an_interface(self, world: World) -> None:
        world.dataplane.publish(plan(world, TRUNK, ON_TRUNK))
        world.arrive(vlan=TRUNK[0].vlan)
        world.reopen()
        world.dataplane.publish(plan(world, TRUNK, ON_TRUNK))
        world.arrive((CLIENT[0], 2), vlan=TRUNK[0].vlan)
        assert {each.last_hop.vlan for each in connections(world)} == {"100"}

    def test_an_interface_that_hides_tags_gets_no_xdp(self, world: World) -> None:
        world.links[OUTSIDE] = replace(world.links[OUTSIDE], strips_tags=True, virtual=False)
        world.dataplane.publish(plan(world, two_legs(), KNOWN))
        assert [each.how for each in world.dataplane.attachments()] == ["tc", "tc"]

    def test_an_interface_that_begins_to_hide_tags_loses_xdp(self, world: World) -> None:
        legs = two_legs(mode=Mode.XDP)
        world.dataplane.publish(plan(world, legs, KNOWN))
        assert world.dataplane.attachments()[0].how == "xdp+tc"
        hiding = plan(world, legs, KNOWN)
        first = replace(hiding.legs[0], strips_tags=True)
        world.dataplane.publish(replace(hiding, legs=(first, hiding.legs[1])))
        assert world.dataplane.attachments()[0].how == "tc"


class TestHopsThatMove:
    """A router fails over to another MAC address, and nothing but its announcement tells."""

    def test_a_learned_hop_follows_the_neighbour_that_it_is(self, world: World) -> None:
        world.dataplane.publish(plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): ROUTER_MAC}))
        world.arrive()
        before = hop_of(world, ROUTER_MAC)
        world.dataplane.publish(plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): OTHER_MAC}))
        after = hop_of(world, OTHER_MAC)
        assert (after.id, after.moved, after.address) == (before.id, 1, ROUTER)
        assert only_connection(world).last_hop.mac == OTHER_MAC
        assert ROUTER_MAC not in macs(world)

    def test_a_frame_from_the_old_mac_address_teaches_a_hop_of_its_own(self, world: World) -> None:
        world.dataplane.publish(plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): ROUTER_MAC}))
        world.arrive()
        world.dataplane.publish(plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): OTHER_MAC}))
        world.arrive((CLIENT[0], 2))
        world.arrive((CLIENT[0], 3), OTHER_MAC)
        found = {each.source_port: each.last_hop.mac for each in connections(world)}
        assert found == {CLIENT[1]: OTHER_MAC, 2: ROUTER_MAC, 3: OTHER_MAC}

    def test_one_of_two_addresses_that_moves_drags_nobody_along(self, world: World) -> None:
        both = {(OUTSIDE, ROUTER): ROUTER_MAC, (OUTSIDE, VIRTUAL): ROUTER_MAC}
        world.dataplane.publish(plan(world, two_legs(), KNOWN | both))
        world.arrive()
        world.dataplane.publish(plan(world, two_legs(), KNOWN | both | {(OUTSIDE, VIRTUAL): OTHER_MAC}))
        assert only_connection(world).last_hop.mac == ROUTER_MAC
        world.dataplane.publish(
            plan(world, two_legs(), KNOWN | {(OUTSIDE, VIRTUAL): OTHER_MAC, (OUTSIDE, ROUTER): OTHER_MAC})
        )
        assert only_connection(world).last_hop.mac == OTHER_MAC

    def test_a_neighbour_that_was_unknown_for_a_while_is_followed(self, world: World) -> None:
        world.dataplane.publish(plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): ROUTER_MAC}))
        world.arrive()
        world.dataplane.publish(plan(world, two_legs(), KNOWN))
        world.dataplane.publish(plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): OTHER_MAC}))
        assert only_connection(world).last_hop.mac == OTHER_MAC

    def test_a_move_while_no_director_ran_is_followed_by_the_next_one(self, world: World) -> None:
        known = plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): ROUTER_MAC})
        world.dataplane.publish(known)
        world.arrive()
        world.dataplane.publish(known)
        world.reopen()
        world.dataplane.publish(plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): OTHER_MAC}))
        assert only_connection(world).last_hop.mac == OTHER_MAC

    def test_a_real_server_takes_the_hop_along_that_packets_taught_as_it(self, world: World) -> None:
        """The router fails over; a frame teaches its new MAC address before the kernel tells; then it goes on."""
        back = Service(2, (Match(legs=("firewalls",)),), (RealServer("router", IPv4Address(ROUTER)),))
        for mac in (ROUTER_MAC, OTHER_MAC, THIRD_MAC):
            if mac == OTHER_MAC:
                world.arrive(mac=OTHER_MAC)
            world.dataplane.publish(plan(world, two_legs(), KNOWN | {(OUTSIDE, ROUTER): mac}, (back,)))
        assert only_connection(world).last_hop == HopName("outside", THIRD_MAC, None, "router")


class TestGateways:
    """Routers that are known by an address, and the hops of them and of the leg's neighbours."""

    LEGS = two_legs(reply_to=ReplyTo.NEIGHBOUR, gateways=(IPv4Address(VIRTUAL), IPv4Address(SECOND_ROUTER)))

    def test_known_gateways_and_neighbours_have_hops_that_say_so(self, world: World) -> None:
        known = {
            (OUTSIDE, VIRTUAL): ROUTER_MAC,
            (OUTSIDE, SECOND_ROUTER): OTHER_MAC,
            (OUTSIDE, "192.0.2.77"): CLIENT_MAC,
        }
        world.dataplane.publish(plan(world, self.LEGS, KNOWN | known))
        assert roles(world) == {
            ROUTER_MAC: (VIRTUAL, "", "gateway"),
            OTHER_MAC: (SECOND_ROUTER, "", "gateway"),
            CLIENT_MAC: ("192.0.2.77", "", "neighbour"),
            FW1_MAC: (FW1, "fw1", ""),
            FW2_MAC: (FW2, "fw2", ""),
        }

    def test_a_gateway_that_moves_keeps_its_hop(self, world: World) -> None:
        world.dataplane.publish(plan(world, self.LEGS, KNOWN | {(OUTSIDE, VIRTUAL): ROUTER_MAC}))
        before = hop_of(world, ROUTER_MAC)
        for restart in (False, True):
            if restart:
                world.reopen()
            mac = THIRD_MAC if restart else OTHER_MAC
            world.dataplane.publish(plan(world, self.LEGS, KNOWN | {(OUTSIDE, VIRTUAL): mac}))
            assert (hop_of(world, mac).id, hop_of(world, mac).role) == (before.id, "gateway")
        assert hop_of(world, THIRD_MAC).moved == 2

    def test_a_gateway_that_is_a_real_server_has_one_hop(self, world: World) -> None:
        back = Service(2, (Match(legs=("firewalls",)),), (RealServer("router", IPv4Address(VIRTUAL)),))
        for mac in (ROUTER_MAC, OTHER_MAC):
            world.dataplane.publish(plan(world, self.LEGS, KNOWN | {(OUTSIDE, VIRTUAL): mac}, (back,)))
            assert roles(world)[mac] == (VIRTUAL, "router", "gateway")
        assert len(world.dataplane.hops()) == 3
        world.dataplane.publish(plan(world, self.LEGS, KNOWN | {(OUTSIDE, VIRTUAL): OTHER_MAC}))
        assert roles(world)[OTHER_MAC] == (VIRTUAL, "", "gateway")

    def test_a_gateway_and_a_real_server_of_one_mac_address_part_when_one_moves(self, world: World) -> None:
        back = Service(2, (Match(legs=("firewalls",)),), (RealServer("router", IPv4Address(ROUTER)),))
        both = {(OUTSIDE, VIRTUAL): ROUTER_MAC, (OUTSIDE, ROUTER): ROUTER_MAC}
        world.dataplane.publish(plan(world, self.LEGS, KNOWN | both, (back,)))
        world.dataplane.publish(plan(world, self.LEGS, KNOWN | both | {(OUTSIDE, VIRTUAL): OTHER_MAC}, (back,)))
        assert roles(world)[ROUTER_MAC] == (ROUTER, "router", "neighbour")
        assert roles(world)[OTHER_MAC] == (VIRTUAL, "", "gateway")

    def test_hops_of_gateways_and_neighbours_go_when_those_go(self, world: World) -> None:
        known = {(OUTSIDE, VIRTUAL): ROUTER_MAC, (OUTSIDE, "192.0.2.77"): CLIENT_MAC}
        world.dataplane.publish(plan(world, self.LEGS, KNOWN | known))
        for _ in range(3):
            world.dataplane.sweep()
        assert {ROUTER_MAC, CLIENT_MAC} < set(macs(world))
        world.dataplane.publish(plan(world, two_legs(), KNOWN | known))
        for _ in range(2):
            world.dataplane.sweep()
        assert macs(world) == sorted([FW1_MAC, FW2_MAC])


@pytest.mark.root
class TestInTheKernel:
    """What packets find in the maps, and what they make of it."""

    def test_an_interface_of_tagged_legs_is_indexed_and_leads_to_no_leg(self, kernel_world: KernelWorld) -> None:
        world, maps = kernel_world, kernel_world.dataplane._loaded.maps
        world.dataplane.publish(plan(world, TRUNK, ON_TRUNK))
        key = world.links[OUTSIDE].ifindex.to_bytes(4, "little")
        assert maps["leg_index"].entries() == {key: abi.limit("MAX_LEGS").to_bytes(4, "little")}
        small = maps["leg_by_ifindex"].view(np.dtype("u4"))
        assert small[world.links[OUTSIDE].ifindex] == 0
        assert len(maps["vlan_legs"].entries()) == 2
        world.dataplane.publish(plan(world, (*TRUNK, Leg("more", OUTSIDE, "edge")), ON_TRUNK))
        assert small[world.links[OUTSIDE].ifindex] == 3
        world.dataplane.publish(plan(world, two_legs(), KNOWN))
        assert not maps["vlan_legs"].entries()

    @needs_tcx
    def test_an_interface_is_pinned_once_by_its_number(self, kernel_world: KernelWorld) -> None:
        world = kernel_world
        world.dataplane.publish(plan(world, TRUNK, ON_TRUNK))
        assert [path.name for path in (world.pins / "links").iterdir()] == [f"tcx-{world.links[OUTSIDE].ifindex}"]
        world.dataplane.publish(plan(world, (replace(TRUNK[0], interface=FIREWALLS), TRUNK[1]), ON_TRUNK))
        assert len(list((world.pins / "links").iterdir())) == 2
        world.dataplane.publish(plan(world, tuple(replace(leg, interface=FIREWALLS) for leg in TRUNK), KNOWN))
        assert [path.name for path in (world.pins / "links").iterdir()] == [f"tcx-{world.links[FIREWALLS].ifindex}"]

    def test_frames_leave_with_the_tags_of_their_leg(self, kernel_world: KernelWorld) -> None:
        world = kernel_world
        legs = (
            Leg("outside", OUTSIDE, "edge", vlan=Vlan(100)),
            Leg("firewalls", FIREWALLS, "edge", vlan=TRUNK[1].vlan),
        )
        world.dataplane.publish(plan(world, legs, KNOWN))
        with closing(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))) as far:
            far.bind((f"far-{FIREWALLS}", 0))
            # struct tpacket_auxdata: a tag that is not in the bytes any more.
            far.setsockopt(263, 8, 1)
            far.settimeout(PATIENCE_S)
            world.arrive(vlan=Vlan(100))
            frame, extra, _, _ = far.recvmsg(2048, 256)
        assert frame[:6].hex(":") == FW1_MAC
        outer = frame[12:16].hex() if frame[12:14] == b"\x88\xa8" else _tag_beside(extra)
        inner = frame[16:20] if frame[12:14] == b"\x88\xa8" else frame[12:16]
        assert (outer, inner.hex()) == ("88a800c8", "81000007")

    def test_requests_through_a_router_are_answered_at_its_virtual_mac(self, kernel_world: KernelWorld) -> None:
        world = kernel_world
        world.dataplane.publish(plan(world, TestGateways.LEGS, KNOWN | {(OUTSIDE, VIRTUAL): ROUTER_MAC}))
        world.arrive(mac=OTHER_MAC)
        world.arrive(("192.0.2.77", 1), mac=CLIENT_MAC)
        found = {each.source: each.last_hop.mac for each in connections(world)}
        assert found == {CLIENT[0]: ROUTER_MAC, "192.0.2.77": CLIENT_MAC}
        world.dataplane.publish(plan(world, TestGateways.LEGS, KNOWN | {(OUTSIDE, VIRTUAL): THIRD_MAC}))
        assert {each.source: each.last_hop.mac for each in connections(world)}[CLIENT[0]] == THIRD_MAC
        world.dataplane.publish(plan(world, TestGateways.LEGS, KNOWN))
        world.arrive((CLIENT[0], 2), mac=OTHER_MAC)
        assert {each.source_port: each.last_hop.mac for each in connections(world)}[2] == OTHER_MAC

    def test_an_announcement_alone_takes_the_connections_of_a_learned_router_along(
        self, kernel_world: KernelWorld
    ) -> None:
        """Everything is the kernel's: the neighbour entry, the gratuitous ARP that changes it, the hop that follows."""
        world = kernel_world
        outside, inside = (world.links[name].ifindex for name in (OUTSIDE, FIREWALLS))
        # Without an address of its own the kernel hears no ARP there.
        world.netlink.addr("add", index=outside, address="192.0.2.2", prefixlen=24)
        world.netlink.neigh("replace", dst=ROUTER, lladdr=ROUTER_MAC, ifindex=outside, state=NUD_STALE)
        for address, mac in ((FW1, FW1_MAC), (FW2, FW2_MAC)):
            world.netlink.neigh("replace", dst=address, lladdr=mac, ifindex=inside, state=NUD_PERMANENT)
        servers = tuple(replace(firewall(address), leg="firewalls") for address in (FW1, FW2))
        services = (Service(1, (Match(legs=("outside",)),), servers),)
        director = RunningDirector(Configuration(Director("lb"), two_legs(), services), "lb.toml", world.dataplane)
        with closing(KernelNetwork()) as network:
            director.start(network.observe())
            world.arrive()
            assert only_connection(world).last_hop.mac == ROUTER_MAC
            world.announce(ROUTER, OTHER_MAC)
            key = outside, IPv4Address(ROUTER)
            assert wait_until(lambda: network.observe().neighbours.get(key) == OTHER_MAC, timeout=PATIENCE_S)
            director.observed(network.observe())
        assert only_connection(world).last_hop.mac == OTHER_MAC
        assert hop_of(world, OTHER_MAC).moved == 1

    def test_a_strict_leg_learns_none_but_its_neighbours(self, kernel_world: KernelWorld) -> None:
        world = kernel_world
        legs = two_legs(strict=True)
        world.dataplane.publish(plan(world, legs, KNOWN | {(OUTSIDE, ROUTER): ROUTER_MAC}))
        world.arrive()
        world.send((CLIENT[0], 2), OTHER_MAC)
        assert wait_until(lambda: denied(world) == 1, timeout=PATIENCE_S)
        assert only_connection(world).last_hop.mac == ROUTER_MAC
        world.dataplane.publish(plan(world, legs, KNOWN))
        world.send((CLIENT[0], 3), ROUTER_MAC)
        assert wait_until(lambda: denied(world) == 2, timeout=PATIENCE_S), (
            "the hop of a neighbour that is gone is nobody's"
        )

    def test_more_neighbours_than_there_is_room_for_are_left_out(self, kernel_world: KernelWorld) -> None:
        world = kernel_world
        many = {
            (OUTSIDE, str(IPv4Address("10.77.0.0") + number)): f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}"
            for number in range(4200)
        }
        world.dataplane.publish(plan(world, two_legs(strict=True), KNOWN | many))
        known = len(world.dataplane._loaded.maps["neighbour_hops"].keys())
        assert 4000 < known < 4200
        world.dataplane.publish(plan(world, two_legs(strict=True), KNOWN | dict(list(many.items())[-10:])))
        for _ in range(3):
            world.dataplane.sweep()
        assert len(world.dataplane._loaded.maps["neighbour_hops"].keys()) == 10


def denied(world: KernelWorld) -> int:
    return next(each.value for each in world.dataplane.counters() if each.name == "event_hop_denied")


def _tag_beside(extra: list[tuple[int, int, bytes]]) -> str:
    """The tag in a packet's auxiliary data: tp_vlan_tpid and tp_vlan_tci of struct tpacket_auxdata."""
    (_, _, data) = extra[0]
    return data[18:20][::-1].hex() + data[16:18][::-1].hex()
