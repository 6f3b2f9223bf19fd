"""VLAN tags: they tell which leg a frame is on, and it leaves with those of the leg it leaves through.

In a socket buffer the outer tag is beside the bytes once the kernel has written it, where BPF_PROG_TEST_RUN does not
show it:
of tc only the bytes are held here, and whole frames by tests/contract/test_dataplane_legs.py through live interfaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from lasthop.model.vlan import Vlan, VlanProtocol
from tests.packet.frames import error, reply, tcp, udp
from tests.packet.frames6 import tcp6
from tests.packet.plans import FW, INTERFACES, ROUTER, leg, mac_of, two_box

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

NONE, ONE, TWO = None, Vlan(100), Vlan(200, 7, VlanProtocol.DOT1AD)
OTHER_ONE, OTHER_TWO = Vlan(101), Vlan(200, 8, VlanProtocol.DOT1AD)
TAGGINGS = [NONE, ONE, TWO, OTHER_ONE, OTHER_TWO]
MAC = mac_of("outside")
NAMES = {None: "untagged", ONE: "100", TWO: "200.7", OTHER_ONE: "101", OTHER_TWO: "200.8"}
PRIORITY = 5


def trunk(outside: Vlan | None, firewalls: Vlan | None) -> Plan:
    """Both legs on one interface, or on two where neither VLAN tells them apart."""
    shared: dict[str, Any] = {"interface": "lh-outside", "ifindex": INTERFACES["outside"], "mac": MAC}
    beside = {} if outside == firewalls else shared | {"own_macs": frozenset({MAC})}
    return two_box(legs=(leg("outside", vlan=outside), leg("firewalls", vlan=firewalls, **beside)))


def framed(vlan: Vlan | None, packet: Any, to: str = MAC, source: str = ROUTER, priority: int = 0) -> bytes:
    frame = Ether(dst=to, src=source)
    for place, (protocol, number) in enumerate(vlan.tags if vlan else ()):
        tag = Dot1AD if protocol is VlanProtocol.DOT1AD else Dot1Q
        frame /= tag(vlan=number, prio=0 if place else priority)
    return bytes(frame / packet)


def sent(rig: Rig, frame: bytes, leg_name: str = "outside") -> tuple[str, bytes, dict[str, int]]:
    return rig.pass_frame(leg_name, frame)


def seen(rig: Rig, vlan: Vlan | None, whole: bytes, *, touched: bool) -> bytes:
    """What the test run shows of a frame that left: of tc, without the outer tag that was written anew."""
    return whole[:12] + whole[16:] if rig.entry == "tc" and vlan and touched else whole


@pytest.mark.parametrize("outside", TAGGINGS, ids=NAMES.get)
@pytest.mark.parametrize("firewalls", TAGGINGS, ids=NAMES.get)
@pytest.mark.parametrize("packet", [tcp(), tcp6()], ids=["ipv4", "ipv6"])
def test_a_frame_leaves_with_the_tags_of_the_leg_it_leaves_through(
    rig: Rig, outside: Vlan | None, firewalls: Vlan | None, packet: Any
) -> None:
    rig.publish(trunk(outside, firewalls))
    verdict, after, counted = sent(rig, framed(outside, packet))
    assert (verdict, counted) == ("forwarded", {"FORWARDED_OPENING": 1})
    leaves_by = mac_of("firewalls") if outside == firewalls else MAC
    wanted = framed(firewalls, packet, to=FW[0], source=leaves_by)
    assert after == seen(rig, firewalls, wanted, touched=outside != firewalls)


@pytest.mark.parametrize("firewalls", [ONE, TWO], ids=NAMES.get)
def test_the_response_comes_back_to_the_vlan_of_the_request(rig: Rig, firewalls: Vlan) -> None:
    rig.publish(trunk(OTHER_ONE, firewalls))
    sent(rig, framed(OTHER_ONE, udp()))
    verdict, after, counted = sent(rig, framed(firewalls, reply(udp()), source=FW[0]))
    assert (verdict, counted) == ("forwarded", {"FORWARDED_RESPONSE": 1})
    wanted = framed(OTHER_ONE, reply(udp()), to=ROUTER, source=MAC)
    assert after == seen(rig, OTHER_ONE, wanted, touched=True)
    about = framed(firewalls, error(udp(), "203.0.113.1"), source=FW[0])
    assert sent(rig, about)[2] == {"FORWARDED_RELATED": 1}


def test_the_priority_of_the_outer_tag_goes_along(rig: Rig) -> None:
    rig.publish(trunk(ONE, TWO))
    _, after, _ = sent(rig, framed(ONE, tcp(), priority=PRIORITY))
    if rig.entry == "xdp":
        assert after == framed(TWO, tcp(), to=FW[0], source=MAC, priority=PRIORITY)


def test_a_priority_tag_counts_as_none_and_is_taken_off(rig: Rig) -> None:
    rig.publish(two_box())
    tagged = bytes(Ether(dst=MAC, src=ROUTER) / Dot1Q(vlan=0, prio=PRIORITY) / tcp())
    verdict, after, counted = sent(rig, tagged)
    assert (verdict, counted) == ("forwarded", {"FORWARDED_OPENING": 1})
    assert after == framed(None, tcp(), to=FW[0], source=mac_of("firewalls"))


def test_the_outer_tags_protocol_is_not_what_tells_a_leg(rig: Rig) -> None:
    rig.publish(trunk(TWO, ONE))
    plain = bytes(Ether(dst=MAC, src=ROUTER) / Dot1Q(vlan=200) / Dot1Q(vlan=7) / tcp())
    assert sent(rig, plain)[0] == "forwarded"
    rig.publish(trunk(TWO, TWO))
    verdict, after, _ = sent(rig, plain)
    wanted = framed(TWO, tcp(), to=FW[0], source=mac_of("firewalls"))
    assert (verdict, after) == ("forwarded", seen(rig, TWO, wanted, touched=True)), "it leaves with the leg's own"


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (Dot1Q(vlan=102), "VLAN"),
        (Dot1Q(vlan=7) / Dot1Q(vlan=200), "VLAN"),
        (Dot1Q(vlan=200), "VLAN"),
        (Dot1AD(vlan=200) / Dot1Q(vlan=7) / Dot1Q(vlan=9), "VLAN"),
        (None, "NO_LEG"),
        (Dot1Q(vlan=0), "NO_LEG"),
    ],
    ids=["unknown", "turned round", "outer alone", "three", "untagged", "priority"],
)
def test_what_is_on_no_leg_is_the_kernels(rig: Rig, tags: Any, reason: str) -> None:
    rig.publish(trunk(ONE, TWO))
    frame = Ether(dst=MAC, src=ROUTER)
    assert rig.send_frame("outside", bytes((frame / tags if tags else frame) / tcp())) == rig.kernel(reason)


def test_a_frame_that_ends_within_its_tags_is_the_kernels(rig: Rig) -> None:
    rig.publish(trunk(ONE, TWO))
    whole = framed(TWO, tcp())
    for length in range(14 if rig.entry == "xdp" else 34, 22 + 40):
        assert rig.send_frame("outside", whole[:length]).verdict == "kernel", length


def test_the_mtu_is_of_what_is_behind_the_tags(rig: Rig) -> None:
    rig.publish(trunk(ONE, TWO))
    assert sent(rig, framed(ONE, tcp() / bytes(1460)))[0] == "forwarded"
    assert sent(rig, framed(ONE, tcp(sport=2) / bytes(1461)))[0] == "kernel"


def test_the_macs_that_are_a_legs_own_are_not_its_siblings(rig: Rig) -> None:
    virtual = "00:00:5e:00:01:07"
    plan = trunk(ONE, TWO)
    mine = leg("outside", vlan=ONE, own_macs=frozenset({MAC, virtual}))
    rig.publish(two_box(legs=(mine, plan.legs[1])))
    assert sent(rig, framed(ONE, tcp(), to=virtual))[0] == "forwarded"
    assert sent(rig, framed(TWO, tcp(), to=virtual, source=FW[0]))[0] == "kernel"
