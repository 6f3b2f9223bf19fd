"""VLAN tags: they tell which leg a frame is on, and it leaves with those of the leg it leaves through.

In a socket buffer the outer tag is beside the bytes once the kernel has written it, where BPF_PROG_TEST_RUN does not
show it: of tc only the bytes are held here, whole frames by tests/contract/test_live_tags.py through live interfaces.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from lasthop.dataplane import libbpf
from lasthop.errors import DataPlaneError
from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath
from lasthop.model.vlan import Vlan, VlanProtocol
from tests.packet.frames import CLIENT, OPTIONS, error, reply, tcp, udp
from tests.packet.frames6 import CLIENT6, DESTINATION, HOP_BY_HOP, back, chained, error6, fragments6, tcp6, udp6
from tests.packet.plans import FW, INTERFACES, ROUTER, firewalls, leg, mac_of, two_box
from tests.packet.rig import REACHED

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

NONE, ONE, TWO = None, Vlan(100), Vlan(200, 7, VlanProtocol.DOT1AD)
OTHER_ONE, OTHER_TWO = Vlan(101), Vlan(200, 8, VlanProtocol.DOT1AD)
TAGGINGS = [NONE, ONE, TWO, OTHER_ONE, OTHER_TWO]
MAC = mac_of("outside")
NAMES = {None: "untagged", ONE: "100", TWO: "200.7", OTHER_ONE: "101", OTHER_TWO: "200.8"}
PRIORITY = 5
XDP_DROP = 1
#: Of the 256 bytes before a frame, what XDP metadata may take; the kernel needs the other 40 (struct xdp_frame).
MOST_BEFORE_A_FRAME = 216


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


@pytest.mark.parametrize("outside", TAGGINGS, ids=NAMES.get)
@pytest.mark.parametrize("firewalls", [NONE, ONE, TWO], ids=NAMES.get)
def test_every_pair_of_taggings_carries_fragments_errors_and_extension_headers(
    rig: Rig, outside: Vlan | None, firewalls: Vlan | None
) -> None:
    """What is read behind the tags is read at its place, whatever it is."""
    rig.publish(trunk(outside, firewalls))
    first, later, *_ = fragments6(udp6(sport=9) / bytes(2000), 1000, 7)
    chain = chained([HOP_BY_HOP, DESTINATION], UDP(sport=40000, dport=80))
    ways = [
        (first, "OPENING"),
        (later, "FRAGMENT"),
        (chain, "OPENING"),
        (error6(back(udp6()), CLIENT6, "too big"), "RELATED"),
        (udp(options=[OPTIONS]), "OPENING"),
        (error(reply(udp(), "A"), CLIENT), "RELATED"),
    ]
    hops = set()
    for packet, reason in ways:
        verdict, after, counted = sent(rig, framed(outside, packet))
        assert (verdict, counted) == ("forwarded", {f"FORWARDED_{reason}": 1}), packet.summary()
        hops.add(after[:6])
        leaves_by = mac_of("firewalls") if outside == firewalls else MAC
        wanted = framed(firewalls, packet, to=after[:6].hex(":"), source=leaves_by)
        assert after == seen(rig, firewalls, wanted, touched=outside != firewalls)
    assert hops <= {bytes.fromhex(mac.replace(":", "")) for mac in FW}


#: Tags that all count as VLAN 100 alone, and as none.
WITH_PRIORITY_TAGS = {
    "priority before": Dot1Q(vlan=0, prio=PRIORITY) / Dot1Q(vlan=100),
    "priority behind": Dot1Q(vlan=100, prio=PRIORITY) / Dot1Q(vlan=0),
}


@pytest.mark.parametrize("tags", WITH_PRIORITY_TAGS.values(), ids=WITH_PRIORITY_TAGS)
@pytest.mark.parametrize("firewalls", [NONE, TWO, OTHER_ONE], ids=NAMES.get)
def test_a_priority_tag_beside_a_vlan_counts_as_none(rig: Rig, tags: Any, firewalls: Vlan | None) -> None:
    rig.publish(trunk(ONE, firewalls))
    frame = bytes(Ether(dst=MAC, src=ROUTER) / tags.copy() / tcp())
    verdict, after, counted = sent(rig, frame)
    assert (verdict, counted) == ("forwarded", {"FORWARDED_OPENING": 1})
    wanted = framed(firewalls, tcp(), to=FW[0], source=MAC, priority=PRIORITY)
    assert after == seen(rig, firewalls, wanted, touched=True)


def test_two_priority_tags_count_as_none(rig: Rig) -> None:
    rig.publish(two_box())
    frame = bytes(Ether(dst=MAC, src=ROUTER) / Dot1AD(vlan=0) / Dot1Q(vlan=0) / tcp())
    verdict, after, _ = sent(rig, frame)
    assert (verdict, after) == ("forwarded", framed(None, tcp(), to=FW[0], source=mac_of("firewalls")))


@pytest.mark.parametrize("entry", ["xdp"], indirect=True)
@pytest.mark.parametrize("arriving", [ONE, TWO], ids=NAMES.get)
@pytest.mark.parametrize("leaving", [OTHER_ONE, OTHER_TWO], ids=NAMES.get)
@pytest.mark.parametrize("priority", [0, 1, 7])
def test_every_priority_goes_from_outer_tag_to_outer_tag(rig: Rig, arriving: Any, leaving: Any, priority: int) -> None:
    rig.publish(trunk(arriving, leaving))
    _, after, _ = sent(rig, framed(arriving, tcp(), priority=priority))
    assert after == framed(leaving, tcp(), to=FW[0], source=MAC, priority=priority)


@pytest.mark.parametrize("vlan", [ONE, TWO], ids=NAMES.get)
def test_priorities_of_a_frame_that_keeps_its_vlans_stay_on_every_tag(rig: Rig, vlan: Vlan) -> None:
    rig.publish(trunk(vlan, vlan))
    frame = Ether(framed(vlan, tcp(), priority=PRIORITY))
    if vlan is TWO:
        frame[Dot1Q].prio = 3
    _, after, _ = sent(rig, bytes(frame))
    assert after[12:] == bytes(frame)[12:]


def test_connections_of_one_zone_are_the_same_on_any_of_its_vlans(rig: Rig) -> None:
    """The last hop follows to another VLAN, and the response leaves with that one's tags."""
    plan = trunk(ONE, OTHER_ONE)
    both = replace(plan.legs[0], name="inside", vlan=OTHER_TWO)
    rig.publish(two_box(legs=(*plan.legs, both)))
    sent(rig, framed(ONE, udp()))
    _, _, counted = sent(rig, framed(OTHER_TWO, udp()))
    assert counted == {"FORWARDED_REQUEST": 1, "EVENT_LAST_HOP_MOVED": 1, "EVENT_HOP_LEARNED": 1}
    _, after, counted = sent(rig, framed(OTHER_ONE, reply(udp()), source=FW[0]))
    assert counted == {"FORWARDED_RESPONSE": 1}
    assert after == seen(rig, OTHER_TWO, framed(OTHER_TWO, reply(udp()), to=ROUTER, source=MAC), touched=True)


@pytest.mark.parametrize("tags", [Dot1Q(vlan=100), Dot1AD(vlan=200) / Dot1Q(vlan=7)], ids=["one", "two"])
def test_a_tagged_frame_on_an_interface_without_tagged_legs_is_the_kernels(rig: Rig, tags: Any) -> None:
    rig.publish(two_box())
    frame = bytes(Ether(dst=MAC, src=ROUTER) / tags.copy() / tcp())
    assert rig.send_frame("outside", frame) == rig.kernel("VLAN")


def rst_of(rig: Rig, arrives: bytes) -> bytes:
    """What leaves in answer to a frame, of whose clone the test run shows nothing."""
    verdict, after = rig.run("outside", arrives)
    assert (verdict, rig._counted()) == ("forwarded", {"FORWARDED_RESET": 1})
    return after


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
@pytest.mark.parametrize("outside", [NONE, ONE, TWO], ids=NAMES.get)
@pytest.mark.parametrize("firewalls_on", [OTHER_ONE, OTHER_TWO], ids=NAMES.get)
def test_a_rst_goes_back_with_the_tags_it_answers_and_on_with_those_of_the_way_on(
    rig: Rig, outside: Vlan | None, firewalls_on: Vlan
) -> None:
    legs, dead = trunk(outside, firewalls_on).legs, replace(firewalls()[0], admin=Admin.DISABLED, usable=False)
    rig.publish(two_box(firewalls(), "fo", on_death=OnDeath.RESET, legs=legs))
    sent(rig, framed(outside, tcp()))
    sent(rig, framed(outside, tcp(sport=2)))
    rig.publish(two_box((dead, *firewalls()[1:]), "fo", on_death=OnDeath.RESET, legs=legs))
    answer = rst_of(rig, framed(outside, tcp("A")))
    assert answer[:12] == bytes.fromhex((ROUTER + MAC).replace(":", ""))
    assert answer[12:-40] == framed(outside, tcp())[12:-40], "tags and type are those of the packet it answers"
    assert Ether(answer)[TCP].flags == "R"
    on = rst_of(rig, framed(firewalls_on, reply(tcp(sport=2), "A"), source=FW[0]))
    wanted = seen(rig, outside, framed(outside, tcp(), to=ROUTER, source=MAC), touched=True)
    assert on[:-40] == wanted[:-40]
    assert Ether(on)[TCP].flags == "RA"


@pytest.mark.parametrize("entry", ["xdp"], indirect=True)
def test_a_frame_without_room_for_its_tags_is_dropped_and_counted(rig: Rig) -> None:
    """As behind a driver, or another program, that has filled the room before the frame with what it knows of it."""
    rig.publish(trunk(NONE, TWO))
    frame = framed(NONE, tcp())
    whole = bytes(MOST_BEFORE_A_FRAME) + frame
    context = struct.pack("<IIIIII", MOST_BEFORE_A_FRAME, len(whole), 0, INTERFACES["outside"], 0, 0)
    try:
        verdict, after, _ = libbpf.test_run(rig.loaded.programs["lh_xdp"], whole, context, room=len(whole) + 8)
    except DataPlaneError as error:
        pytest.skip(f"needs a kernel that takes {MOST_BEFORE_A_FRAME} bytes of metadata before a frame: {error}")
    counted = rig._counted()
    REACHED.update(counted)
    assert (verdict, counted) == (XDP_DROP, {"DROP_TAG": 1})
    assert after == whole, "what is not forwarded is not touched"
