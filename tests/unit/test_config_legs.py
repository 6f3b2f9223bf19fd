"""Legs in a file: VLANs of one interface, gateways, who may become a last hop."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from lasthop.config import parse
from lasthop.config.dump import dump
from lasthop.errors import ConfigurationError
from lasthop.model.leg import Leg, ReplyTo
from lasthop.model.vlan import Vlan, VlanProtocol

HEAD = '[director]\nname = "lb"\n[table]\nconnections = 5000\n'


def leg(name: str, *lines: str, interface: str = "eth0", zone: str = "edge") -> str:
    return "\n".join([f'[[leg]]\nname = "{name}"\ninterface = "{interface}"\nzone = "{zone}"', *lines, ""])


def legs_of(*legs: str) -> tuple[Leg, ...]:
    return parse(HEAD + "".join(legs), "lb.toml").legs


def mistakes(*legs: str) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigurationError) as caught:
        legs_of(*legs)
    return [(each.key, each.problem, each.remedy) for each in caught.value.mistakes]


@pytest.mark.parametrize(
    ("lines", "vlan"),
    [
        ("vlan = 100", Vlan(100)),
        ('vlan = "100"', Vlan(100)),
        ('vlan = "200.100"', Vlan(200, 100, VlanProtocol.DOT1AD)),
        ('vlan = 4094\nvlan_protocol = "802.1ad"', Vlan(4094, None, VlanProtocol.DOT1AD)),
        ('vlan = "1.1"\nvlan_protocol = "802.1q"', Vlan(1, 1, VlanProtocol.DOT1Q)),
    ],
)
def test_vlans_are_read_and_written_again(lines: str, vlan: Vlan) -> None:
    text = HEAD + leg("a", lines)
    configuration = parse(text, "lb.toml")
    assert configuration.legs[0].vlan == vlan
    assert parse(dump(configuration), "dumped.toml") == configuration


def test_tags_of_a_frame_are_the_outer_ones_first_and_the_inner_one_is_802_1q() -> None:
    assert [(each.ethertype, number) for each, number in Vlan(200, 100, VlanProtocol.DOT1AD).tags] == [
        (0x88A8, 200),
        (0x8100, 100),
    ]


@pytest.mark.parametrize("value", ["0", "4095", "true", "1.5", '"a"', '"1.2.3"', '"100."', "[100]", '"5000.1"', "-1"])
def test_what_is_no_vlan_is_a_mistake(value: str) -> None:
    ((key, problem, remedy),) = mistakes(leg("a", f"vlan = {value}"))
    assert (key, problem) == ("leg[0].vlan", "is no VLAN")
    assert "100" in remedy or "1 to 4094" in remedy


def test_legs_share_an_interface_by_their_vlans_and_one_may_have_none() -> None:
    found = legs_of(leg("a"), leg("b", "vlan = 10"), leg("c", 'vlan = "10.10"', zone="core"))
    assert [str(each.vlan) for each in found] == ["None", "10", "10.10"]


def test_an_interface_has_one_untagged_leg() -> None:
    ((key, problem, remedy),) = mistakes(leg("a"), leg("b", zone="core"), leg("c", "vlan = 10"))
    assert key == "leg[1].interface"
    assert problem == "is in two legs, 'a' (zone edge) and 'b' (zone core): a leg in two zones"
    assert "told apart by vlan = 100" in remedy


def test_a_vlan_of_an_interface_is_one_leg_however_it_is_written() -> None:
    (found,) = mistakes(leg("a", "vlan = 10"), leg("b", 'vlan = "10"\nvlan_protocol = "802.1ad"'))
    assert found[:2] == ("leg[1].vlan", "VLAN 10 is in two legs, 'a' (zone edge) and 'b' (zone edge)")


def test_legs_of_an_interface_have_one_mode() -> None:
    ((key, problem, _),) = mistakes(leg("a", "vlan = 10"), leg("b", 'vlan = 11\nmode = "tc"'))
    assert key == "leg[1].mode"
    assert problem == "is another mode than 'a' (zone edge) has on the same interface, auto"


def test_a_protocol_without_a_vlan_is_a_mistake() -> None:
    ((key, _, remedy),) = mistakes(leg("a", 'vlan_protocol = "802.1q"'))
    assert (key, remedy) == ("leg[0].vlan_protocol", "add vlan = 100, or leave it out")


def test_gateways_and_strictness_are_read_and_written_again() -> None:
    text = HEAD + leg("a", 'reply_to = "neighbour"\ngateway = ["192.0.2.1", "192.0.2.2"]\nstrict = true')
    configuration = parse(text, "lb.toml")
    (found,) = configuration.legs
    assert (found.reply_to, found.strict) == (ReplyTo.NEIGHBOUR, True)
    assert found.gateways == (ip_address("192.0.2.1"), ip_address("192.0.2.2"))
    assert parse(dump(configuration), "dumped.toml") == configuration
    assert legs_of(leg("a", 'gateway = "192.0.2.1"\nstrict = true'))[0].gateways == (ip_address("192.0.2.1"),)


def test_replying_to_the_neighbour_needs_a_gateway() -> None:
    ((key, _, remedy),) = mistakes(leg("a", 'reply_to = "neighbour"'))
    assert key == "leg[0].reply_to"
    assert remedy.startswith('add gateway = "192.0.2.1"')


def test_a_gateway_that_nothing_asks_for_is_a_mistake() -> None:
    ((key, _, remedy),) = mistakes(leg("a", 'gateway = "192.0.2.1"'))
    assert key == "leg[0].gateway"
    assert remedy == 'add reply_to = "neighbour" or strict = true, or leave it out'


def test_another_way_to_reply_is_a_mistake_with_the_ways_there_are() -> None:
    ((key, problem, _),) = mistakes(leg("a", 'reply_to = "router"'))
    assert (key, problem) == ("leg[0].reply_to", "must be 'source-mac' or 'neighbour'")
