"""The bits beside a VLAN's number: protocols of tags, priority and drop eligibility, as they come and as they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from lasthop.model.vlan import Vlan, VlanProtocol
from tests.packet.frames import tcp
from tests.packet.frames6 import tcp6
from tests.packet.plans import FW, ROUTER, leg, mac_of, two_box

if TYPE_CHECKING:
    from tests.packet.rig import Rig

ONE, OTHER, TWO = Vlan(100), Vlan(101), Vlan(200, 7, VlanProtocol.DOT1AD)
PLAIN_TWO = Vlan(200, 7)
ANSWERED: dict[str, Any] = {"dst": FW[0], "src": mac_of("firewalls")}


def after(rig: Rig, tags: Any, packet: Any) -> bytes:
    """A frame with these tags as it leaves."""
    frame = bytes(Ether(dst=mac_of("outside"), src=ROUTER) / tags / packet)
    verdict, left = rig.run("outside", frame, room=len(frame) + 8)
    assert verdict == "forwarded"
    return left


def between(rig: Rig, outside: Vlan | None, firewalls: Vlan | None) -> None:
    rig.publish(two_box(legs=(leg("outside", vlan=outside), leg("firewalls", vlan=firewalls))))


@pytest.mark.parametrize("entry", ["xdp"], indirect=True)
@pytest.mark.parametrize(
    "tags",
    [
        Dot1AD(vlan=200) / Dot1Q(vlan=7),
        Dot1Q(vlan=200) / Dot1Q(vlan=7),
        Dot1Q(vlan=200) / Dot1AD(vlan=7),
        pytest.param(Dot1AD(vlan=200) / Dot1AD(vlan=7)),
    ],
    ids=["ad/q", "q/q", "q/ad", "ad/ad"],
)
def test_a_frame_leaves_with_its_legs_protocols_whatever_those_were_it_came_with(rig: Rig, tags: Any) -> None:
    between(rig, TWO, TWO)
    assert after(rig, tags.copy(), tcp()) == bytes(Ether(**ANSWERED) / Dot1AD(vlan=200) / Dot1Q(vlan=7) / tcp())


@pytest.mark.parametrize("entry", ["xdp"], indirect=True)
def test_a_leg_may_have_two_tags_of_the_common_protocol(rig: Rig) -> None:
    between(rig, ONE, PLAIN_TWO)
    wanted = bytes(Ether(**ANSWERED) / Dot1Q(vlan=200) / Dot1Q(vlan=7) / tcp6())
    assert after(rig, Dot1Q(vlan=100), tcp6()) == wanted


@pytest.mark.parametrize("entry", ["xdp"], indirect=True)
@pytest.mark.parametrize("bits", range(16))
def test_priority_and_drop_eligibility_go_to_the_outer_tag(rig: Rig, bits: int) -> None:
    between(rig, ONE, OTHER)
    frame = bytearray(bytes(Ether(dst=mac_of("outside"), src=ROUTER) / Dot1Q(vlan=100) / tcp()))
    frame[14] |= bits << 4
    _, left = rig.run("outside", bytes(frame))
    assert left[12:18].hex() == f"8100{bits:x}0650800"


@pytest.mark.parametrize("entry", ["xdp"], indirect=True)
def test_the_priority_of_a_priority_tag_goes_along_too(rig: Rig) -> None:
    between(rig, None, ONE)
    left = after(rig, Dot1Q(vlan=0, prio=5), tcp())
    assert left == bytes(Ether(**ANSWERED) / Dot1Q(vlan=100, prio=5) / tcp())


@pytest.mark.parametrize("tags", [Dot1Q(vlan=100, prio=7), Dot1AD(vlan=200, prio=7) / Dot1Q(vlan=7, prio=7)], ids=str)
def test_a_leg_without_tags_takes_them_off_with_all_their_bits(rig: Rig, tags: Any) -> None:
    between(rig, ONE if tags.vlan == 100 else TWO, None)
    assert after(rig, tags.copy(), tcp6()) == bytes(Ether(**ANSWERED) / tcp6())


@pytest.mark.parametrize("ethertype", [0x9100, 0x9200, 0x88CC, 0x8863], ids=hex)
def test_other_types_are_no_tags(rig: Rig, ethertype: int) -> None:
    """Also those that stood for QinQ before IEEE 802.1ad."""
    between(rig, TWO, None)
    frame = bytearray(bytes(Ether(dst=mac_of("outside"), src=ROUTER) / Dot1AD(vlan=200) / Dot1Q(vlan=7) / tcp()))
    frame[12:14] = ethertype.to_bytes(2, "big")
    assert rig.send_frame("outside", bytes(frame)).verdict == "kernel"
