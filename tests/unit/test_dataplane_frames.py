"""Frames made from packets in words, read again by scapy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet  # noqa: TC002 -- filled below

from lasthop.dataplane.frames import build, with_tags
from lasthop.errors import DirectorError
from lasthop.model.described import DescribedPacket, Quoted

FROM, TO = "02:00:00:00:00:01", "02:00:00:00:00:02"
TCP4 = DescribedPacket(6, "10.9.0.2", "203.0.113.80", 4242, 80)
TCP6 = DescribedPacket(6, "2001:db8::2", "2001:db8::80", 4242, 80)


def read(packet: DescribedPacket) -> Packet:
    return Ether(build(packet, FROM, TO))


def rechecked(packet: Packet, layer: type[Packet]) -> int:
    """The checksum scapy gives a header."""
    again = packet.copy()
    del again[layer].chksum
    return int(Ether(bytes(again))[layer].chksum)


def test_a_frame_has_its_addresses_ports_and_flags() -> None:
    packet = read(replace(TCP4, flags="SA", dscp=46))
    assert (packet.src, packet.dst, packet[IP].src, packet[IP].dst) == (FROM, TO, "10.9.0.2", "203.0.113.80")
    assert (packet[TCP].sport, packet[TCP].dport, str(packet[TCP].flags), packet[IP].tos) == (4242, 80, "SA", 46 << 2)
    assert packet[IP].chksum == rechecked(packet, IP)
    assert packet[IP].len == len(packet) - 14


def test_a_frame_of_ipv6_too() -> None:
    packet = read(replace(TCP6, dscp=10))
    assert (packet[IPv6].src, packet[IPv6].dst, packet[IPv6].tc) == ("2001:db8::2", "2001:db8::80", 10 << 2)
    assert (packet[TCP].sport, str(packet[TCP].flags), packet[IPv6].plen) == (4242, "S", 20)


def test_a_length_is_from_the_ip_header_on() -> None:
    for packet in (TCP4, TCP6, replace(TCP4, protocol=17)):
        assert len(read(replace(packet, length=1400))) == 1414
    assert read(replace(TCP4, protocol=17, length=1400))[UDP].len == 1380
    with pytest.raises(DirectorError, match="length 30: its headers alone have 40 bytes; say a length of 40 to 65535"):
        build(replace(TCP4, length=30), FROM, TO)


def test_vlans_are_tags_the_outer_one_first() -> None:
    assert read(replace(TCP4, vlan=(100,)))[Dot1Q].vlan == 100
    stacked = read(replace(TCP4, vlan=(200, 100)))
    assert (stacked[Dot1AD].vlan, stacked[Dot1Q].vlan, stacked[TCP].dport) == (200, 100, 80)
    assert with_tags(build(TCP4, FROM, TO), [(0x8100, 100)]) == build(replace(TCP4, vlan=(100,)), FROM, TO)


def test_icmp_is_an_echo_request_unless_said_otherwise() -> None:
    echo = read(DescribedPacket(1, "10.9.0.2", "203.0.113.80", identification=9))[ICMP]
    assert (echo.type, echo.id, echo.chksum) == (8, 9, rechecked(Ether() / IP() / echo, ICMP))
    echo6 = read(DescribedPacket(58, "2001:db8::2", "2001:db8::80", identification=9))
    assert echo6[ICMPv6EchoRequest].id == 9
    again = echo6.copy()
    del again[ICMPv6EchoRequest].cksum
    assert Ether(bytes(again))[ICMPv6EchoRequest].cksum == echo6[ICMPv6EchoRequest].cksum


def test_an_icmp_error_quotes_what_it_is_about() -> None:
    about = Quoted(6, "203.0.113.80", 80, "10.9.0.2", 4242)
    error = read(DescribedPacket(1, "192.0.2.9", "203.0.113.80", icmp_type=3, icmp_code=4, about=about))
    assert (error[ICMP].type, error[ICMP].code, error[IPerror].dst, error[TCPerror].sport) == (3, 4, "10.9.0.2", 80)
    about6 = Quoted(17, "2001:db8::80", 80, "2001:db8::2", 4242)
    error6 = read(DescribedPacket(58, "2001:db8::9", "2001:db8::80", icmp_type=2, about=about6))
    assert error6[ICMPv6PacketTooBig].payload.dst == "2001:db8::2"


def test_fragments_have_their_place_and_identification() -> None:
    first = read(replace(TCP4, fragment="first", identification=77))[IP]
    later = read(replace(TCP4, fragment="later", identification=77))[IP]
    assert (first.frag, str(first.flags), first.id, first[TCP].dport) == (0, "MF", 77, 80)
    assert (later.frag > 0, str(later.flags), later.id) == (True, "", 77)
    first6 = read(replace(TCP6, fragment="first", identification=77))
    later6 = read(replace(TCP6, fragment="later", identification=77))
    assert (first6[IPv6ExtHdrFragment].offset, first6[IPv6ExtHdrFragment].m, first6[TCP].dport) == (0, 1, 80)
    assert (later6[IPv6ExtHdrFragment].offset > 0, later6[IPv6ExtHdrFragment].id) == (True, 77)


def test_other_protocols_have_what_opens_them() -> None:
    assert read(replace(TCP4, protocol=132))[SCTP].haslayer(SCTPChunkInit)
    assert read(replace(TCP4, protocol=47, gre_key=7))[GRE].key == 7
    assert read(replace(TCP4, protocol=47))[GRE].key_present == 0
    assert read(replace(TCP4, protocol=50))[IP].proto == 50
