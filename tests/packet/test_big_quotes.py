"""Packets too big for their way, beside plain TCP: what is quoted, what is not touched, and what nobody remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether

from lasthop.model.vlan import Vlan
from tests.packet.frames import CLIENT, WWW, udp
from tests.packet.frames6 import CLIENT6, WWW6, back, error6, fragments6, ip6, tcp6, udp6
from tests.packet.plans import FW, ROUTER, leg, mac_of, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

MTU = 1400
BODY = bytes(range(251)) * 6
FW0, BACK = ("firewalls", FW[0]), ("outside", ROUTER)
#: What a checksum's place may hold: none, and the zero that is sent as all ones (RFC 768).
SUMS = [0, 0xFFFF, 0x1234]


def whole4(l4: Any, **fields: Any) -> Any:
    return IP(src=CLIENT, dst=WWW, flags="DF", ttl=61, **fields) / l4


KINDS6 = {
    "udp": ip6() / UDP(sport=1, dport=2) / BODY,
    "behind options": ip6() / IPv6ExtHdrDestOpt() / TCP(sport=1, dport=2, flags="S") / BODY,
    "esp": ip6(nh=50) / BODY,
    "gre": ip6(nh=47) / (bytes(4) + BODY),
    "first fragment": ip6() / IPv6ExtHdrFragment(m=1, id=7) / UDP(sport=1, dport=2) / BODY[:1480],
    "later fragment": ip6() / IPv6ExtHdrFragment(offset=200, id=7, nh=17) / BODY,
    "later fragment of zeroes": ip6() / IPv6ExtHdrFragment(offset=200, id=7, nh=17) / bytes(1480),
}
ONES = {number: ip6() / IPv6ExtHdrFragment(offset=200, id=7, nh=number) / (b"\xff" * 1480) for number in (6, 17, 50)}


@pytest.mark.parametrize(
    "packet",
    [
        *(pytest.param(packet, id=name) for name, packet in KINDS6.items()),
        *(pytest.param(packet, id=f"ones of {n}") for n, packet in ONES.items()),
    ],
)
def test_whatever_it_is_the_answer_quotes_it_as_it_came(rig: Rig, packet: Any) -> None:
    rig.publish(two_box(mtu=MTU))
    made = rig.answer("outside", packet, ROUTER, "TOO_BIG")
    assert (made[IPv6].src, made[IPv6].dst, made[ICMPv6PacketTooBig].mtu) == (WWW6, CLIENT6, MTU)
    assert bytes(made[IPv6])[48:] == bytes(packet)[:1232]
    assert not rig.connections()
    assert not rig.maps["fragments"].entries(), "nor is a fragment remembered"


@pytest.mark.parametrize("checksum", SUMS)
def test_the_checksum_in_a_quote_is_the_packets(rig: Rig, checksum: int) -> None:
    rig.publish(two_box(mtu=MTU))
    packet = whole4(UDP(sport=1, dport=2, chksum=checksum)) / BODY
    raw = bytes(packet)
    made = rig.answer("outside", raw, ROUTER, "TOO_BIG")
    assert (made[ICMP].code, made[ICMP].nexthopmtu) == (4, MTU)
    assert bytes(made[IP])[28:] == raw[:548]


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
@pytest.mark.parametrize("checksum", SUMS)
@pytest.mark.parametrize("family", [4, 6])
def test_a_tagged_frame_that_the_kernel_gets_is_as_it_came(rig: Rig, checksum: int, family: int) -> None:
    rig.publish(two_box(legs=(leg("outside", vlan=Vlan(100)), leg("firewalls", mtu=MTU))))
    l4 = UDP(sport=1, dport=2, chksum=checksum)
    packet = (whole4(l4) if family == 4 else ip6() / l4) / BODY
    frame = bytes(Ether(dst=mac_of("outside"), src=ROUTER) / Dot1Q(vlan=100) / packet)
    assert rig.send_frame("outside", frame) == rig.kernel("TOO_BIG")


def test_a_response_is_answered_to_the_firewall_it_came_through(rig: Rig) -> None:
    rig.publish(two_box(legs=(leg("outside", mtu=MTU), leg("firewalls"))))
    rig.send("outside", tcp6(), ROUTER)
    large = back(tcp6(), "A") / BODY
    made = rig.answer("firewalls", large, FW[0], "TOO_BIG")
    assert (made.dst, made[IPv6].src, made[IPv6].dst) == (FW[0], CLIENT6, WWW6)
    assert rig.only_connection().packets == (1, 0)


def test_errors_that_are_too_big_are_never_answered(rig: Rig) -> None:
    """RFC 4443 section 2.4 (e): an error about an error."""
    rig.publish(two_box(mtu=MTU))
    rig.send("firewalls", udp6(WWW6), FW[0])
    about = error6(udp6() / BODY, WWW6)
    about[IPv6].src, about[IPv6].dst = "2001:db8:c::1", CLIENT6
    assert rig.send("outside", about, ROUTER) == rig.kernel("TOO_BIG")


def test_a_later_fragment_that_is_too_big_counts_for_nobody(rig: Rig) -> None:
    rig.publish(two_box(mtu=MTU))
    first, later, _ = fragments6(udp6() / bytes(3000), 1344, 7)
    assert rig.send("outside", first, ROUTER) == forwarded("OPENING", FW0)
    before = rig.only_connection()
    rig.publish(two_box(mtu=1300))
    rig.answer("outside", later, ROUTER, "TOO_BIG")
    assert rig.only_connection() == before


def test_a_datagram_whose_first_fragment_was_too_big_begins_anew(rig: Rig) -> None:
    rig.publish(two_box(mtu=1300))
    first, later, *_ = fragments6(udp6() / bytes(3000), 1360, 7)
    rig.answer("outside", first, ROUTER, "TOO_BIG")
    rig.publish(two_box())
    assert rig.send("outside", later, ROUTER).counted == {"FORWARDED_STRAY": 1, "EVENT_FRAGMENT_EARLY": 1}


def test_an_ipv4_fragment_that_may_not_be_fragmented_further_is_answered(rig: Rig) -> None:
    rig.publish(two_box(mtu=MTU))
    packet = IP(src=CLIENT, dst=WWW, id=9, flags="DF+MF", ttl=61) / UDP(sport=1, dport=2) / BODY[:1472]
    made = rig.answer("outside", packet, ROUTER, "TOO_BIG")
    assert bytes(made[IP])[28:] == bytes(packet)[:548]
    assert rig.send("outside", udp() / bytes(1400), ROUTER) == rig.kernel("TOO_BIG"), "who allows it is cut"
