"""Tagged legs on a machine: the kernel's VLAN interfaces, and interfaces that hide tags from XDP."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.dataplane.fake import FakeDataPlane
from lasthop.director.director import Director as RunningDirector
from lasthop.errors import NetworkError
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.leg import Leg, Mode, ReplyTo
from lasthop.model.real_server import RealServer
from lasthop.model.rule import Match
from lasthop.model.service import Service
from lasthop.model.vlan import Vlan, VlanProtocol
from lasthop.network.fake import FakeNetwork
from lasthop.network.interface import Link
from lasthop.network.links import link as link_of
from lasthop.policy.compile import addresses_to_resolve, compile_plan
from lasthop.policy.refresh import refresh
from lasthop.policy.surroundings import SeenLink, Surroundings
from lasthop.policy.vlan_devices import commands, vlan_device

if TYPE_CHECKING:
    from lasthop.model.real_server import Address
    from lasthop.policy.plan import Plan

Q, AD = VlanProtocol.DOT1Q, VlanProtocol.DOT1AD
TRUNK_MAC, DEVICE_MAC, FW_MAC = "02:00:00:00:00:02", "02:00:00:00:00:64", "02:00:00:00:01:0b"
FW1, GATEWAY = IPv4Address("10.0.1.11"), IPv4Address("10.0.1.254")
TRUNK = SeenLink(2, TRUNK_MAC, 1500, up=True, addresses=(IPv4Interface("192.0.2.2/24"),))
DEVICE = SeenLink(
    7, DEVICE_MAC, 1496, up=True, addresses=(IPv4Interface("10.0.1.1/24"),), parent=2, tag=(Q, 100), virtual=True
)
QINQ_LINE = (
    "ip link add link eth1 name eth1.200 type vlan proto 802.1ad id 200 && ip link set eth1.200 up && "
    "ip link add link eth1.200 name eth1.200.100 type vlan id 100 && ip link set eth1.200.100 up"
)
LEG = Leg("firewalls", "eth1", "edge", vlan=Vlan(100))


def plan(leg: Leg = LEG, **links: SeenLink) -> Plan:
    services = (Service(1, (Match(),), (RealServer("fw1", FW1, leg="firewalls"),)),)
    neighbours: dict[tuple[int, Address], str] = {(7, FW1): FW_MAC, (2, FW1): "02:00:00:00:02:02"}
    surroundings = Surroundings({"eth1": TRUNK} | links, neighbours=neighbours)
    return compile_plan(Configuration(Director("lb"), (leg,), services), surroundings)


def test_the_neighbours_addresses_and_mtu_of_a_tagged_leg_are_its_vlan_devices() -> None:
    made = plan(replace(LEG, gateways=(GATEWAY,), strict=True), eth1_100=DEVICE)
    (leg,) = made.legs
    assert (leg.ifindex, leg.device, leg.subnets) == (2, 7, (IPv4Network("10.0.1.0/24"),))
    assert (leg.mtu, leg.mac) == (1496, DEVICE_MAC)
    assert leg.own_macs == {TRUNK_MAC, DEVICE_MAC}
    assert made.services[0].servers[0].mac == FW_MAC
    assert made.neighbours == (("firewalls", FW_MAC, FW1),)
    assert addresses_to_resolve(made) == {(7, FW1), (7, GATEWAY)}


def test_a_server_is_placed_by_the_addresses_of_the_vlan_device() -> None:
    legs = (LEG, Leg("outside", "eth1", "edge"))
    services = (Service(1, (Match(),), (RealServer("fw1", FW1), RealServer("router", IPv4Address("192.0.2.1")))),)
    surroundings = Surroundings({"eth1": TRUNK, "eth1.100": DEVICE})
    made = compile_plan(Configuration(Director("lb"), legs, services), surroundings)
    assert [server.leg for server in made.services[0].servers] == ["firewalls", "outside"]


def test_without_a_vlan_device_the_interfaces_entries_count_and_nothing_is_asked_for_untagged() -> None:
    made = plan(other=replace(DEVICE, tag=(AD, 100)), elsewhere=replace(DEVICE, parent=3))
    assert (made.legs[0].device, made.legs[0].mac) == (0, TRUNK_MAC)
    assert made.services[0].servers[0].mac == "02:00:00:00:02:02"
    assert not addresses_to_resolve(made)


def test_the_device_of_qinq_sits_on_the_device_of_the_outer_vlan() -> None:
    vlan = Vlan(200, 100, AD)
    outer, inner = replace(DEVICE, ifindex=8, tag=(AD, 200)), replace(DEVICE, ifindex=9, parent=8)
    links = {"eth1": TRUNK, "eth1.100": DEVICE, "outer": outer}
    assert vlan_device(vlan, TRUNK, Surroundings(links)) is None
    assert vlan_device(vlan, TRUNK, Surroundings(links | {"inner": inner})) == inner


def test_legs_without_a_device_share_the_neighbours_of_their_interface() -> None:
    legs = (LEG, Leg("outside", "eth1", "edge"))
    made = compile_plan(
        Configuration(Director("lb"), legs, ()), Surroundings({"eth1": TRUNK}, neighbours={(2, FW1): FW_MAC})
    )
    assert made.neighbours == (("firewalls", FW_MAC, FW1), ("outside", FW_MAC, FW1))


@pytest.mark.parametrize(
    ("interface", "vlan", "line"),
    [
        ("eth1", Vlan(100), "ip link add link eth1 name eth1.100 type vlan id 100 && ip link set eth1.100 up"),
        (
            "eth1",
            Vlan(200, 100, AD),
            QINQ_LINE,
        ),
        (
            "enp129s0f0np0",
            Vlan(100),
            "ip link add link enp129s0f0np0 name vlan100 type vlan id 100 && ip link set vlan100 up",
        ),
    ],
)
def test_the_line_that_makes_a_vlan_device(interface: str, vlan: Vlan, line: str) -> None:
    assert commands(interface, vlan) == line


def test_xdp_on_an_interface_that_hides_tags_is_refused_with_the_line_to_run() -> None:
    with pytest.raises(NetworkError) as caught:
        plan(replace(LEG, mode=Mode.XDP), eth1=replace(TRUNK, strips_tags=True))
    assert str(caught.value).startswith("can't use XDP on interface 'eth1' of leg 'firewalls': it takes VLAN tags out")
    assert caught.value.remedy == 'ethtool -K eth1 rxvlan off; or set mode = "tc" on this leg'
    for mode in (Mode.AUTO, Mode.TC):
        assert plan(replace(LEG, mode=mode), eth1=replace(TRUNK, strips_tags=True)).legs[0].strips_tags


def test_a_plan_that_is_brought_up_to_date_sees_tags_hidden_and_devices_gone() -> None:
    before = plan(replace(LEG, mode=Mode.XDP), eth1_100=DEVICE)
    after = refresh(before, Surroundings({"eth1": replace(TRUNK, strips_tags=True)}, neighbours={(2, FW1): FW_MAC}))
    assert (after.legs[0].strips_tags, after.legs[0].device) == (True, 0)
    assert after.neighbours == (("firewalls", FW_MAC, FW1),)


class Message(dict[str, Any]):
    """As much of a netlink message as is read."""

    def get_attr(self, name: str) -> Any:
        return self.get(name)

    def get_nested(self, *names: str) -> Any:
        found: Any = self
        for name in names:
            found = found.get(name) if found else None
        return found


@pytest.mark.parametrize(("ethertype", "tag"), [(0x8100, (Q, 100)), (0x88A8, (AD, 100)), (0x9100, None)])
def test_a_vlan_interface_is_read_with_its_tag(ethertype: int, tag: object) -> None:
    data = {"IFLA_VLAN_ID": 100, "IFLA_VLAN_PROTOCOL": ethertype}
    message = Message(index=7, flags=1, IFLA_IFNAME="eth1.100", IFLA_MTU=1500, IFLA_OPERSTATE="UP", IFLA_LINK=2)
    message["IFLA_LINKINFO"] = {"IFLA_INFO_KIND": "vlan", "IFLA_INFO_DATA": data}
    read = link_of(message)
    assert (read.kind, read.parent, read.tag) == ("vlan", 2, tag)
    message["IFLA_LINKINFO"]["IFLA_INFO_KIND"] = "macvlan"
    assert link_of(message).tag is None


def director(leg: Leg, *links: Link) -> RunningDirector:
    network = FakeNetwork()
    for each in links:
        network.put_link(each)
    services = (Service(1, (Match(),), (RealServer("fw1", FW1, leg="firewalls"),)),)
    made = RunningDirector(Configuration(Director("lb"), (leg,), services), "lb.toml", FakeDataPlane())
    made.start(network.observe())
    for _, name in ((each.ifindex, each.name) for each in links if each.kind == "vlan"):
        network.answer(name, FW1, FW_MAC)
    network.keep_resolved(made.wanted)
    made.observed(network.observe())
    network.close()
    return made


NIC = Link(2, "eth1", TRUNK_MAC, 1500, up=True, driver="ice")
VLAN_DEVICE = Link(7, "eth1.100", TRUNK_MAC, 1500, up=True, kind="vlan", parent=2, tag=(Q, 100))


def test_a_director_resolves_on_the_vlan_device_and_has_no_note() -> None:
    running = director(LEG, NIC, VLAN_DEVICE)
    assert running.status().notes == []
    assert [(hop.leg, hop.vlan, hop.mac) for hop in running.hops()] == [("firewalls", "100", FW_MAC)]
    assert [(leg.interface, leg.vlan) for leg in running.legs()] == [("eth1", "100")]


def test_a_missing_vlan_device_is_noted_with_the_line_that_makes_it() -> None:
    (note,) = director(LEG, NIC).status().notes
    assert note.startswith("leg firewalls: the kernel has no VLAN interface for eth1 VLAN 100")
    assert note.endswith(f"to make it: {commands('eth1', Vlan(100))}")


def test_tc_alone_where_tags_are_hidden_is_noted_with_the_line_to_run() -> None:
    (note,) = director(LEG, replace(NIC, rxvlan=True), VLAN_DEVICE).status().notes
    assert note.endswith("where XDP does not see them; for XDP: ethtool -K eth1 rxvlan off")
    assert not director(replace(LEG, mode=Mode.TC), replace(NIC, rxvlan=True), VLAN_DEVICE).status().notes


def test_a_gateway_that_does_not_answer_is_a_problem() -> None:
    leg = replace(LEG, reply_to=ReplyTo.NEIGHBOUR, gateways=(GATEWAY,))
    (problem,) = (each for each in director(leg, NIC, VLAN_DEVICE).status().problems if "gateway" in each)
    assert problem == (
        "leg firewalls: no gateway answers (10.0.1.254); meanwhile responses go to the MAC address "
        "each request came from"
    )
