"""Packets too big for the leg they would leave by: their sender is told the MTU, or the kernel gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPOption
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw

from tests.packet.frames import CLIENT, OPTIONS, WWW, error, reply, tcp, udp
from tests.packet.plans import FW, ROUTER, mac_of, two_box
from tests.packet.rig import dropped

if TYPE_CHECKING:
    from tests.packet.rig import Rig

MTU = 1400
CLIENT6, WWW6 = "2001:db8:c::10", "2001:db8:f::80"


def tcp6(payload: bytes) -> Any:
    return IPv6(src=CLIENT6, dst=WWW6, hlim=60) / TCP(sport=40000, dport=80, flags="S", seq=1000) / Raw(payload)


def require_whole(packet: Any, layer: Any, field: str) -> None:
    """The checksums are as scapy would have them."""
    again = packet.copy()
    if IP in again:
        del again[IP].chksum
    delattr(again[layer], field)
    assert bytes(again) == bytes(packet)


def test_who_forbids_fragmentation_is_told_the_mtu_by_the_destination(rig: Rig) -> None:
    rig.publish(two_box(mtu=MTU))
    packet = tcp(flags="S") / Raw(bytes(range(256)) * 6)
    packet[IP].flags = "DF"
    made = rig.answer("outside", packet, ROUTER, "TOO_BIG")
    assert (made.dst, made.src) == (ROUTER, mac_of("outside"))
    assert (made[IP].src, made[IP].dst, made[IP].len) == (WWW, CLIENT, 576)
    assert (made[ICMP].type, made[ICMP].code, made[ICMP].nexthopmtu) == (3, 4, MTU)
    assert bytes(made[IP])[28:] == bytes(packet)[:548], "the packet is quoted as far as 576 bytes go (RFC 1812)"
    require_whole(made[IP], ICMP, "chksum")
    assert not rig.connections(), "nothing was opened"


def test_ipv6_is_answered_always(rig: Rig) -> None:
    rig.publish(two_box(mtu=MTU))
    packet = tcp6(bytes(1400))
    made = rig.answer("outside", packet, ROUTER, "TOO_BIG")
    assert (made[IPv6].src, made[IPv6].dst, made[IPv6].plen) == (WWW6, CLIENT6, 1240)
    assert made[ICMPv6PacketTooBig].mtu == MTU
    assert bytes(made[IPv6])[48:] == bytes(packet)[:1232], "as far as 1280 bytes go (RFC 4443)"
    require_whole(made[IPv6], ICMPv6PacketTooBig, "cksum")


def test_a_short_packet_is_quoted_by_its_headers(rig: Rig) -> None:
    rig.publish(two_box(mtu=200))
    packet = tcp(options=[IPOption(OPTIONS)]) / Raw(bytes(200))
    packet[IP].flags = "DF"
    made = rig.answer("outside", packet, ROUTER, "TOO_BIG")
    assert (made[IP].len, bytes(made[IP])[28:]) == (96, bytes(packet)[:68])
    require_whole(made[IP], ICMP, "chksum")


def test_a_packet_of_a_known_connection_is_answered_and_changes_nothing_of_it(rig: Rig) -> None:
    rig.publish(two_box(mtu=MTU))
    rig.send("outside", tcp(), ROUTER)
    before = rig.only_connection()
    packet = tcp("A") / Raw(bytes(1400))
    packet[IP].flags = "DF"
    rig.answer("outside", packet, ROUTER, "TOO_BIG")
    assert rig.only_connection() == before
    assert rig.send("firewalls", reply(tcp()) / bytes(1400), FW[0]).verdict == "forwarded", "the other leg takes more"


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_a_gso_frame_is_answered_if_its_segments_are_too_big(rig: Rig) -> None:
    rig.publish(two_box(mtu=1000))
    packet = tcp("A") / Raw(bytes(2000))
    packet[IP].flags = "DF"
    made = rig.answer("outside", packet, ROUTER, "TOO_BIG", gso=(2, 1000))
    assert made[ICMP].nexthopmtu == 1000
    require_whole(made[IP], ICMP, "chksum")


def test_what_may_be_fragmented_and_what_is_an_error_itself_is_the_kernels(rig: Rig) -> None:
    rig.publish(two_box(mtu=500))
    assert rig.send("outside", udp() / bytes(600), ROUTER) == rig.kernel("TOO_BIG")
    rig.send("outside", udp(), ROUTER)
    about = error(reply(udp()), "198.51.100.254") / Raw(bytes(600))
    about[IP].flags = "DF"
    assert rig.send("outside", about, ROUTER) == rig.kernel("TOO_BIG")


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_a_packet_too_short_to_be_quoted_is_dropped_and_counted(rig: Rig) -> None:
    """An error quotes 68 bytes at least, which every link carries whole (RFC 791): no interface has a smaller MTU."""
    rig.publish(two_box(mtu=60))
    packet = tcp() / Raw(bytes(24))
    packet[IP].flags = "DF"
    assert rig.send("outside", packet, ROUTER) == dropped("TOO_BIG")
    assert not rig.connections()


@pytest.mark.parametrize("size", [1050, 1231])
def test_ipv6_is_answered_whole_where_it_is_shorter_than_a_quote_may_be(rig: Rig, size: int) -> None:
    """On a leg with less than the 1280 bytes that IPv6 asks of a link: what it does not carry is told all the same."""
    rig.publish(two_box(mtu=1000))
    packet = tcp6(bytes(size - 60))
    made = rig.answer("outside", packet, ROUTER, "TOO_BIG")
    assert bytes(made[IPv6])[48:] == bytes(packet)
