"""The plain model of the data plane by itself: it reads what scapy writes, and does what docs/packets.md says.

Must not be here: the data plane, which tests/packet/test_model.py holds against the model.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether

from tests.packet import wire
from tests.packet.frames import CLIENT, OPTIONS, WWW, echo, error, reply, sctp, tcp, udp
from tests.packet.frames6 import CLIENT6, EXTENSIONS, WWW6, error6, fragments6, ip6, tcp6, udp6
from tests.packet.model import Leg, Model, Outcome, Rule, Server, Service
from tests.packet.model.nouns import Exit
from tests.packet.model.packet import read

OURS, ROUTER, VIRTUAL = wire.mac("02:00:00:00:00:65"), wire.mac("02:00:00:00:aa:01"), wire.mac("00:00:5e:00:01:07")
THEIRS, FW = wire.mac("02:00:00:00:00:66"), [wire.mac(f"02:00:00:00:f0:{i:02x}") for i in range(3)]
STRANGER = wire.mac("02:00:00:00:aa:03")
BODY = bytes(2000)
BACK = ("outside", ROUTER)
#: Scapy gives it no types.
cut: Any = fragment


def director(**changes: Any) -> Model:
    """Router and three firewalls, by turns; every state lasts 20 s."""
    outside = Leg("outside", "edge", "eth0", OURS, frozenset({OURS}), **changes.pop("outside", {}))
    legs = {"outside": outside, "firewalls": Leg("firewalls", "edge", "eth1", THEIRS, frozenset({THEIRS}))}
    states = ["NONE", "ESTABLISHED", "SYN_RECV", "SYN_SENT", "FIN_WAIT", "TIME_WAIT", "CLOSE", "UDP", "ICMP", "OTHER"]
    made = Model(legs, {}, [Rule("out", "outside"), Rule("in", "firewalls")], dict.fromkeys(states, 20.0))
    boxes = {f"fw{i}": Server(f"fw{i}", made.hop_at(("firewalls", mac), f"fw{i}")) for i, mac in enumerate(FW)}
    made.services["out"] = Service("out", boxes, "rr", **changes)
    made.services["in"] = Service("in", {"router": Server("router", made.hop_at(BACK, "router"))})
    return made


def send(model: Model, packet: Any, *, back: bool = False, source: bytes = ROUTER, at: int = 0) -> Outcome:
    """A packet from the router, or back from the firewall at an index."""
    header = (THEIRS + FW[at]) if back else (OURS + source)
    raw = bytes(packet)
    ethertype = b"\x86\xdd" if raw[0] >> 4 == 6 else b"\x08\x00"
    return model.receive("eth1" if back else "eth0", header + ethertype + raw)


def reasons(outcomes: list[Outcome]) -> list[str]:
    return [each.reason for each in outcomes]


def parsed(packet: Any) -> tuple[Any, ...]:
    raw = bytes(packet)
    read_ = read(raw, 0x86DD if raw[0] >> 4 == 6 else 0x0800)
    ends = str(ip_address(read_.source)), str(ip_address(read_.destination))
    return (*ends, read_.protocol, *read_.ports, read_.opening)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "protocol", "opening"),
    [
        (tcp(), 6, True),
        (tcp("SA"), 6, False),
        (tcp("SF"), 6, False),
        (tcp(options=[OPTIONS]), 6, True),
        (udp(), 17, True),
        (sctp(), 132, True),
        (sctp("DATA"), 132, False),
    ],
)
def test_ports_are_read_where_scapy_put_them(packet: Any, protocol: int, opening: bool) -> None:
    assert parsed(packet) == (CLIENT, WWW, protocol, 40000, 80, opening)


@pytest.mark.parametrize("extension", EXTENSIONS.values(), ids=EXTENSIONS)
def test_extension_headers_are_walked(extension: Any) -> None:
    assert parsed(tcp6(extension=extension)) == (CLIENT6, WWW6, 6, 40000, 80, True)


def test_more_than_eight_extension_headers_hide_what_is_behind_them() -> None:
    chain = IPv6ExtHdrDestOpt()
    for _ in range(7):
        chain /= IPv6ExtHdrDestOpt()
    assert parsed(udp6(extension=chain))[2:5] == (17, 40000, 80)
    assert parsed(udp6(extension=chain / IPv6ExtHdrDestOpt()))[2:5] == (0, 0, 0)


def test_the_key_of_gre_is_the_same_from_both_ends() -> None:
    tunnel = GRE(key_present=1, key=0x12345678, chksum_present=1)
    there, back = (IP(src=a, dst=b) / tunnel / bytes(8) for a, b in ((CLIENT, WWW), (WWW, CLIENT)))
    assert parsed(there)[3:5] == (0x1234, 0x5678)
    assert parsed(back)[3:5] == (0x5678, 0x1234)
    assert parsed(IP(src=CLIENT, dst=WWW) / GRE(version=1, key_present=1, key=7) / bytes(8))[3:5] == (0, 0)


@pytest.mark.parametrize("code", [3, 4, 11, 12])
def test_an_error_has_the_key_of_its_packet_seen_from_the_other_end(code: int) -> None:
    """Eight bytes behind the quoted header are enough, whatever options that has."""
    for about in (tcp(), tcp(options=[OPTIONS]), udp()):
        for sender in (WWW, "10.9.9.9"):
            assert parsed(error(about, sender, code))[:2] == (WWW, CLIENT)
            assert parsed(error(about, sender, code))[3:5] == (80, 40000)
    assert parsed(error(echo(), WWW, code))[3:5] == (40000, 40000)


def test_an_icmpv6_error_quotes_extension_headers_too() -> None:
    for extension in (IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting(addresses=["2001:db8::1"])):
        about = udp6(extension=extension)
        assert parsed(error6(about, "2001:db8:9::9"))[:5] == (WWW6, CLIENT6, 17, 80, 40000)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (error(error(reply(tcp()), CLIENT), WWW), "KERNEL_PROTOCOL"),
        (IP(src=WWW, dst="10.1.1.1") / ICMP(type=3) / bytes(tcp()), "KERNEL_BAD_HEADER"),
        (IP(src=CLIENT, dst=WWW) / ICMP(type=5) / bytes(8), "KERNEL_PROTOCOL"),
        (tcp(source="127.0.0.1"), "KERNEL_MARTIAN"),
        (tcp(source=WWW), "KERNEL_MARTIAN"),
        (tcp(destination="224.0.0.5"), "KERNEL_MULTICAST"),
        (IPv6(src="fe80::1", dst=WWW6) / TCP(), "KERNEL_MARTIAN"),
        (IPv6(src=CLIENT6, dst="ff02::1") / TCP(), "KERNEL_MULTICAST"),
        (bytes(tcp())[:39], "KERNEL_TRUNCATED"),
        (b"\x44" + bytes(tcp())[1:], "KERNEL_BAD_HEADER"),
    ],
)
def test_what_cannot_be_read_or_crosses_no_router_is_the_kernels(packet: Any, reason: str) -> None:
    raw = bytes(packet)
    with pytest.raises(Exit) as left:
        read(raw, 0x86DD if raw[0] >> 4 == 6 else 0x0800)
    assert left.value.reason == reason


# --- fragments --------------------------------------------------------------------------------------------------------


def datagram(identifier: int = 7, sport: int = 40000, **ip: Any) -> list[Any]:
    whole = IP(src=CLIENT, dst=WWW, id=identifier, **ip) / UDP(sport=sport, dport=80) / BODY
    return list(cut(whole, fragsize=1000))


@pytest.mark.parametrize("ip", [{}, {"options": [OPTIONS]}], ids=["plain", "options"])
def test_fragments_in_order_and_overlapping_ones_follow_the_first(ip: Any) -> None:
    model = director()
    first, *later = datagram(**ip)
    outcomes = [send(model, each) for each in (first, *later, later[0], later[-1])]
    assert reasons(outcomes) == ["FORWARDED_OPENING"] + ["FORWARDED_FRAGMENT"] * (len(later) + 2)
    assert {each.place for each in outcomes} == {("firewalls", FW[0])}
    assert next(iter(model.table.values())).packets == [len(outcomes), 0]


def test_fragments_reversed_meet_where_rendezvous_sends_the_early_ones() -> None:
    model = director()
    *later, first = reversed(datagram())
    early, second = (send(model, each) for each in later)
    assert (early.reason, early.events) == ("FORWARDED_STRAY", {"EVENT_FRAGMENT_EARLY": 1})
    assert second.reason == "FORWARDED_FRAGMENT"
    assert send(model, first).place == early.place == second.place
    assert model.services["out"].last_turn is None, "no turn was taken"


def test_fragments_of_which_the_first_never_comes_leave_no_connection() -> None:
    model = director()
    send(model, datagram()[1])
    assert not model.table
    model.now += 31
    assert send(model, datagram()[1]).reason == "FORWARDED_STRAY", "the note is forgotten"


def test_a_fragment_of_ipv6_that_is_whole_is_an_ordinary_packet() -> None:
    model = director()
    (atomic,) = fragments6(ip6() / UDP(sport=40000, dport=80) / b"small", 1000, 7)
    assert send(model, atomic).reason == "FORWARDED_OPENING"
    assert not model.notes


def test_an_error_about_a_later_fragment_goes_where_its_connection_goes() -> None:
    model = director()
    first, later, *_ = datagram()
    send(model, first)
    about = send(model, error(later, WWW), back=True)
    assert (about.reason, about.place) == ("FORWARDED_RELATED", BACK)
    assert send(model, error(datagram(8)[1], WWW), back=True).reason == "FORWARDED_STRAY"


# --- ICMP errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", [WWW, "10.9.9.9", "203.0.113.1"], ids=["server", "firewall", "router"])
def test_errors_go_to_the_connections_hop_and_change_nothing(sender: str) -> None:
    model = director()
    send(model, tcp())
    (known,) = model.table.values()
    before = (known.state, known.seen, list(known.packets), set(known.flags))
    model.now += 3
    about_request = send(model, error(tcp(), sender), back=True, at=2)
    assert (about_request.reason, about_request.place) == ("FORWARDED_RELATED", BACK)
    about_response = send(model, error(reply(tcp()), CLIENT if sender == WWW else sender), source=STRANGER)
    assert about_response.place == ("firewalls", FW[0])
    assert (known.state, known.seen, known.packets, known.flags) == before
    assert ("outside", STRANGER) not in model.hops


# --- last hops, tags --------------------------------------------------------------------------------------------------


def test_requests_from_a_routers_own_address_are_answered_at_its_virtual_one() -> None:
    gateway = ip_address("192.0.2.1").packed
    changes = {"reply_to_neighbour": True, "gateways": (gateway,), "subnets": ((ip_address("192.0.2.0").packed, 24),)}
    model = director(outside=changes)
    model.neighbours["outside", gateway] = VIRTUAL
    model.hop_at(("outside", VIRTUAL))
    assert send(model, tcp(), source=STRANGER).events == {}
    assert send(model, reply(tcp()), back=True).place == ("outside", VIRTUAL)
    assert send(model, tcp(source="192.0.2.77"), source=STRANGER).events == {"EVENT_HOP_LEARNED": 1}, "on the link"


def test_a_strict_leg_learns_nobody() -> None:
    model = director(outside={"strict": True})
    denied = send(model, tcp(), source=STRANGER)
    assert (denied.reason, denied.events) == ("FORWARDED_UNTRACKED", {"EVENT_HOP_DENIED": 1})
    assert not model.table
    assert send(model, tcp()).reason == "FORWARDED_OPENING", "a real server is known"
    assert send(model, tcp("A"), source=STRANGER).events == {"EVENT_HOP_MOVE_DENIED": 1}


def test_a_related_connection_goes_where_the_oldest_of_its_addresses_goes() -> None:
    model = director(related=True)
    send(model, tcp())
    second = send(model, udp())
    assert (second.place, second.events) == (("firewalls", FW[0]), {"EVENT_RELATED": 1})


def test_a_frame_leaves_with_the_tags_of_its_leg_and_the_priority_of_its_outer_one() -> None:
    model = director(outside={"tags": ((0x88A8, 200), (0x8100, 7))})
    plain = Ether(dst=OURS.hex(":"), src=ROUTER.hex(":"))
    tagged = bytes(plain / Dot1AD(vlan=200, prio=5) / Dot1Q(vlan=7) / tcp())
    out = model.receive("eth0", tagged)
    assert out.frame == FW[0] + THEIRS + b"\x08\x00" + bytes(tcp())
    answer = model.receive("eth1", THEIRS + FW[0] + b"\x81\x00\xe0\x00\x08\x00" + bytes(reply(tcp())))
    assert answer.frame is not None
    assert answer.frame[12:20].hex() == "88a8e0c881000007", "a priority tag's priority"
    assert model.receive("eth0", bytes(plain / Dot1Q(vlan=8) / tcp())).reason == "KERNEL_VLAN"
    assert model.receive("eth0", bytes(plain / tcp())).reason == "KERNEL_NO_LEG"
