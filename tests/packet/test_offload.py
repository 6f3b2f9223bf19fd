"""Frames that stand for several packets, and frames with padding: counted as the wire has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, PadN
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from lasthop.model.vlan import Vlan, VlanProtocol
from tests.packet.frames import CLIENT, OPTIONS, WWW, tcp
from tests.packet.frames6 import CLIENT6, WWW6, ip6, tcp6
from tests.packet.plans import FW, ROUTER, leg, mac_of, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
OPTION = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
#: (SYN, data packet's headers, their length)
SHAPES = {
    "ipv6": (tcp6(), tcp6("A"), 60),
    "ipv6 and an extension": (tcp6(), tcp6("A", extension=OPTION), 68),
    "ipv4 and options": (tcp(), tcp("A", options=[OPTIONS]), 48),
}
TAGS = {
    "one": (Vlan(100), Dot1Q(vlan=100)),
    "two": (Vlan(200, 7, VlanProtocol.DOT1AD), Dot1AD(vlan=200) / Dot1Q(vlan=7)),
}


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
@pytest.mark.parametrize(("opening", "headers", "length"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("told", [3, 0], ids=["cut", "not cut yet"])
def test_a_gso_frame_counts_all_its_headers_once_a_segment(
    rig: Rig, opening: Any, headers: Any, length: int, told: int
) -> None:
    rig.publish(two_box(mtu=1000 + length))
    rig.send("outside", opening, ROUTER)
    before = rig.only_connection()
    assert rig.send("outside", headers / bytes(2500), ROUTER, gso=(told, 1000)) == forwarded("REQUEST", FW0)
    after = rig.only_connection()
    assert after.packets[0] - before.packets[0] == 3
    assert after.bytes[0] - before.bytes[0] == 2500 + 3 * length


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_a_gso_frame_of_more_than_64_kib_has_no_length_of_its_own(rig: Rig) -> None:
    """BIG TCP: the kernel writes 0 for what 16 bits do not hold."""
    rig.publish(two_box())
    for opening, data in ((tcp(), tcp("A")), (tcp6(), tcp6("A"))):
        rig.send("outside", opening, ROUTER)
        large = data.copy()
        if IPv6 in large:
            large[IPv6].plen = 0
        else:
            large[IP].len = 0
        outcome = rig.send("outside", large / bytes(3000), ROUTER, gso=(3, 1000))
        assert outcome.counted == {"FORWARDED_REQUEST": 1}
    assert {each.packets[0] for each in rig.connections()} == {4}


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
@pytest.mark.parametrize(("vlan", "tags"), TAGS.values(), ids=TAGS)
@pytest.mark.parametrize("payload", [b"x" * 18, b"x" * 2500], ids=["short", "gso"])
def test_tags_are_no_bytes_of_a_packet(rig: Rig, vlan: Vlan, tags: Any, payload: bytes) -> None:
    rig.publish(two_box(legs=(leg("outside", vlan=vlan), leg("firewalls", mtu=1060))))
    ether = Ether(dst=mac_of("outside"), src=ROUTER) / tags.copy()
    gso = (3, 1000) if len(payload) > 1000 else (0, 0)
    rig.run("outside", bytes(ether / tcp6()))
    verdict, _ = rig.run("outside", bytes(ether / tcp6("A") / payload), gso=gso)
    assert verdict == "forwarded"
    segments = 3 if gso[0] else 1
    connection = rig.only_connection()
    assert connection.packets[0] == 1 + segments
    assert connection.bytes[0] == 60 + segments * 60 + len(payload)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("padding", [0, 1, 18, 200])
def test_padding_behind_a_packet_is_none_of_it(rig: Rig, family: int, padding: int) -> None:
    """A driver pads to 60 bytes, and some devices by more."""
    rig.publish(two_box(mtu=60))
    header = IP(src=CLIENT, dst=WWW) if family == 4 else ip6(CLIENT6, WWW6)
    packet = header / UDP(sport=40000, dport=80) / b"1"
    assert rig.send("outside", bytes(packet) + b"\xff" * padding, ROUTER) == forwarded("OPENING", FW0)
    assert rig.only_connection().bytes == (len(bytes(packet)), 0)
