"""What is not for the data plane, in the order of the checks: always the kernel's, always counted, never redirected."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

from lasthop.model.service import WhenEmpty
from tests.packet.frames import CLIENT, OPTIONS, WWW, echo, error, reply, sctp, tcp, udp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, mac_of, network, one_box, plan, rule, two_box
from tests.packet.rig import dropped, forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

OUTSIDE = mac_of("outside")
FW0 = ("firewalls", FW[0])
VIRTUAL = "00:00:5e:00:01:07"


def framed(packet: Any, *, to: str = OUTSIDE, source: str = ROUTER) -> bytes:
    return bytes(Ether(dst=to, src=source) / packet)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (ARP(psrc=CLIENT, pdst=WWW), "NOT_IP"),
        (Dot1Q(vlan=100) / tcp(), "VLAN"),
        (Dot1AD(vlan=100) / Dot1Q(vlan=7) / tcp(), "VLAN"),
        (Dot1AD(vlan=0) / Dot1Q(vlan=0) / Dot1Q(vlan=0) / tcp(), "VLAN"),
        (IP(src=CLIENT, dst=WWW) / ICMP(type=5) / bytes(tcp()), "PROTOCOL"),
        (IP(src=CLIENT, dst=WWW) / ICMP(type=9) / bytes(8), "PROTOCOL"),
        (tcp(flags="S", frag=0) / b"", None),
    ],
)
def test_only_ip_on_the_vlans_of_legs_is_balanced(rig: Rig, packet: Any, reason: str | None) -> None:
    rig.publish(two_box())
    outcome = rig.send_frame("outside", framed(packet))
    assert outcome == (rig.kernel(reason) if reason else forwarded("OPENING", FW0))


@pytest.mark.parametrize(
    ("to", "source", "reason"),
    [
        ("ff:ff:ff:ff:ff:ff", ROUTER, "MULTICAST"),
        ("01:00:5e:00:00:12", ROUTER, "MULTICAST"),
        (STRANGER, ROUTER, "FOREIGN_MAC"),
        (mac_of("firewalls"), ROUTER, "FOREIGN_MAC"),
        (OUTSIDE, OUTSIDE, "OWN_SOURCE"),
        (OUTSIDE, VIRTUAL, "OWN_SOURCE"),
        (OUTSIDE, "03:00:00:00:00:01", "OWN_SOURCE"),
    ],
)
def test_frame_must_come_from_another_to_the_directors_own_mac(rig: Rig, to: str, source: str, reason: str) -> None:
    own = (leg("outside", own_macs=frozenset({OUTSIDE, VIRTUAL})), leg("firewalls"))
    rig.publish(two_box(legs=own))
    assert rig.send_frame("outside", framed(tcp(), to=to, source=source)) == rig.kernel(reason)


def test_frame_to_a_virtual_mac_of_the_leg_is_the_directors(rig: Rig) -> None:
    rig.publish(two_box(legs=(leg("outside", own_macs=frozenset({OUTSIDE, VIRTUAL})), leg("firewalls"))))
    assert rig.send_frame("outside", framed(tcp(), to=VIRTUAL)) == forwarded("OPENING", FW0)
    assert rig.send("firewalls", reply(tcp()), FW[0], to=VIRTUAL) == rig.kernel("FOREIGN_MAC")


def test_interface_that_is_no_leg_is_left_alone(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.send_frame("spare", framed(tcp())) == rig.kernel("NO_LEG")


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("0.0.0.0", WWW, "MARTIAN"),  # noqa: S104 -- a martian, not a listener
        ("0.1.2.3", WWW, "MARTIAN"),
        (CLIENT, "0.0.0.1", "MARTIAN"),
        ("127.0.0.1", WWW, "MARTIAN"),
        (CLIENT, "127.255.255.255", "MARTIAN"),
        ("224.0.0.1", WWW, "MARTIAN"),
        ("239.255.255.255", WWW, "MARTIAN"),
        ("240.0.0.1", WWW, "MARTIAN"),
        ("255.255.255.255", WWW, "MARTIAN"),
        (CLIENT, "240.0.0.1", "MARTIAN"),
        (CLIENT, "255.255.255.255", "MARTIAN"),
        ("169.254.7.7", WWW, "MARTIAN"),
        (CLIENT, "169.254.0.1", "MARTIAN"),
        (WWW, WWW, "MARTIAN"),
        (CLIENT, "224.0.0.5", "MULTICAST"),
        (CLIENT, "239.1.2.3", "MULTICAST"),
        ("1.0.0.0", WWW, None),
        ("126.255.255.255", WWW, None),
        ("128.0.0.1", WWW, None),
        ("223.255.255.255", WWW, None),
        ("169.253.255.255", WWW, None),
        ("169.255.0.0", WWW, None),
    ],
)
def test_addresses_that_never_cross_a_router_are_martians(
    rig: Rig, source: str, destination: str, reason: str | None
) -> None:
    rig.publish(two_box())
    outcome = rig.send("outside", tcp(source=source, destination=destination), ROUTER)
    assert outcome == (rig.kernel(reason) if reason else forwarded("OPENING", FW0))


def test_do_not_fragment_and_the_reserved_bit_make_no_fragment(rig: Rig) -> None:
    rig.publish(two_box())
    packet = tcp()
    packet[IP].flags = "DF+evil"
    assert rig.send("outside", packet, ROUTER) == forwarded("OPENING", FW0)


def whole_headers() -> list[Any]:
    """(packet, bytes from the IP header on that its headers take; of what an error quotes, the part that is needed)."""
    options = tcp(options=[OPTIONS])
    options[TCP].options = [("MSS", 1460), ("SAckOK", b""), ("NOP", None), ("NOP", None)]
    quoted = tcp(source=WWW, sport=80, destination=CLIENT, dport=40000, options=[OPTIONS])
    return [
        pytest.param(tcp() / b"data", 40, id="tcp"),
        pytest.param(options / b"data", 28 + 28, id="tcp and ip with options"),
        pytest.param(udp(), 28, id="udp"),
        pytest.param(udp(options=[OPTIONS]), 36, id="udp after ip options"),
        pytest.param(sctp(), 20 + 12 + 4, id="sctp"),
        pytest.param(sctp(options=[OPTIONS]), 28 + 12 + 4, id="sctp after ip options"),
        pytest.param(echo(), 28, id="echo"),
        pytest.param(error(reply(tcp()), CLIENT), 20 + 8 + 20 + 4, id="error about tcp"),
        pytest.param(error(reply(udp()), CLIENT), 20 + 8 + 20 + 4, id="error about udp"),
        pytest.param(error(reply(sctp()), CLIENT), 20 + 8 + 20 + 4, id="error about sctp"),
        pytest.param(error(reply(echo()), CLIENT), 20 + 8 + 20 + 8, id="error about echo"),
        pytest.param(error(quoted, CLIENT), 20 + 8 + 28 + 4, id="error about tcp after ip options"),
    ]


@pytest.mark.parametrize(("packet", "headers"), whole_headers())
def test_frame_cut_anywhere_in_its_headers_is_never_redirected(rig: Rig, packet: Any, headers: int) -> None:
    """BPF_PROG_TEST_RUN takes no less than an Ethernet header, for tc with an IPv4 header. The rig sees all counted."""
    rig.publish(two_box())
    frame = framed(packet)
    for length in range(14 if rig.entry == "xdp" else 34, 14 + headers):
        assert rig.send_frame("outside", frame[:length]).verdict == "kernel", length
    assert not rig.connections()


def redirected_at(rig: Rig, frame: bytes, lengths: range, *, cut: bool) -> list[int]:
    """The total lengths at which the frame, whose IP header is made to say so, is redirected all the same."""
    says = {length: frame[:16] + struct.pack("!H", length) + frame[18:] for length in lengths}
    return [
        length
        for length, whole in says.items()
        if rig.send_frame("outside", whole[: 14 + length] if cut else whole).verdict != "kernel"
    ]


def test_packet_too_short_for_its_headers_by_its_own_account_is_never_redirected(rig: Rig) -> None:
    """Frame and total length agree; only the headers are incomplete."""
    rig.publish(two_box())
    found = {
        each.id: redirected_at(rig, framed(packet), range(20, headers), cut=True)
        for each in whole_headers()
        for packet, headers in [each.values]
    }
    assert found == {key: [] for key in found}


def test_bytes_beyond_the_total_length_are_padding_and_no_headers(rig: Rig) -> None:
    """The frame is long enough, the packet in it is not."""
    rig.publish(two_box())
    found = {
        each.id: redirected_at(rig, framed(packet), range(headers), cut=False)
        for each in whole_headers()
        for packet, headers in [each.values]
    }
    assert found == {key: [] for key in found}


def test_contradicting_headers_are_the_kernels(rig: Rig) -> None:
    rig.publish(two_box())
    frame = framed(tcp())
    for ihl in range(5):
        assert rig.send_frame("outside", frame[:14] + bytes([0x40 | ihl]) + frame[15:]) == rig.kernel("BAD_HEADER")
    for version in (0, 3, 5, 6, 15):
        wrong = frame[:14] + bytes([version << 4 | 5]) + frame[15:]
        assert rig.send_frame("outside", wrong) == rig.kernel("BAD_HEADER")
    for data_offset in range(5):
        wrong = frame[:46] + bytes([data_offset << 4]) + frame[47:]
        assert rig.send_frame("outside", wrong) == rig.kernel("BAD_HEADER")
    shorter, longer = (frame[:16] + struct.pack("!H", length) + frame[18:] for length in (19, 41))
    assert rig.send_frame("outside", shorter) == rig.kernel("BAD_HEADER")
    assert rig.send_frame("outside", longer) == rig.kernel("TRUNCATED")
    assert not rig.connections()


def test_pass_rules_come_before_local_addresses_and_those_before_services(rig: Rig) -> None:
    passing = (rule(None, protocol=6, destination=network("203.0.113.0/24")), rule(1, leg="outside"))
    local = frozenset({network("203.0.113.80/32"), network("192.0.2.0/24")})
    rig.publish(two_box(rules=passing, local=local))
    assert rig.send("outside", tcp(), ROUTER) == rig.kernel("PASS_RULE")
    assert rig.send("outside", udp(), ROUTER) == rig.kernel("LOCAL")
    assert rig.send("outside", udp(destination="192.0.2.255"), ROUTER) == rig.kernel("LOCAL")
    assert rig.send("outside", udp(destination="192.0.3.0"), ROUTER) == forwarded("OPENING", FW0)


def test_known_connection_comes_before_a_pass_rule_that_came_later(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.publish(two_box(rules=(rule(None), rule(1, leg="outside"))))
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.send("outside", tcp(sport=2), ROUTER) == rig.kernel("PASS_RULE")


def test_packet_that_matches_no_rule_is_the_kernels(rig: Rig) -> None:
    rig.publish(one_box(rules=(rule(1, leg="outside", protocol=17),)))
    assert rig.send("outside", tcp(), ROUTER) == rig.kernel("NO_RULE")
    assert rig.send("servers", udp(), ROUTER) == rig.kernel("NO_RULE")


def test_director_without_rules_leaves_all_to_the_kernel(rig: Rig) -> None:
    rig.publish(plan((leg("outside"),), (), ()))
    assert rig.send("outside", tcp(), ROUTER) == rig.kernel("NO_RULE")


@pytest.mark.parametrize("scheduler", ["wlc", "rr"])
@pytest.mark.parametrize("flags", ["S", "A"])
def test_service_without_a_usable_real_server_drops_or_leaves_it_to_the_kernel(
    rig: Rig, scheduler: str, flags: str
) -> None:
    unusable = firewalls(2, usable=False)
    rig.publish(two_box(unusable, scheduler))
    assert rig.send("outside", tcp(flags), ROUTER) == dropped("EMPTY")
    rig.publish(two_box(unusable, scheduler, when_empty=WhenEmpty.KERNEL))
    assert rig.send("outside", tcp(flags), ROUTER) == rig.kernel("EMPTY")
    assert not rig.connections()


def test_real_server_whose_mac_was_never_known_gets_nothing(rig: Rig) -> None:
    unresolved = firewalls(1, mac=None, usable=False)
    rig.publish(two_box(unresolved, server_addresses=(("edge", unresolved[0].address, "FWM 1", "fw0"),)))
    assert rig.send("outside", tcp(), ROUTER) == dropped("EMPTY")
    assert rig.send("outside", tcp(destination=str(unresolved[0].address)), ROUTER) == dropped("NO_HOP")


def test_connection_through_a_leg_that_is_gone_is_dropped_and_counted(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.publish(plan((leg("outside"),), (), ()))
    assert rig.send("outside", tcp("A"), ROUTER) == dropped("NO_HOP")
