"""ICMP errors about connections go where the connection goes, and change nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, IPOption
from scapy.layers.l2 import GRE

from tests.packet.frames import (
    CLIENT,
    FRAGMENTATION_NEEDED,
    OPTIONS,
    OTHER_CLIENT,
    PARAMETER_PROBLEM,
    TIME_EXCEEDED,
    UNREACHABLE,
    WWW,
    echo,
    error,
    in_fragments,
    reply,
    sctp,
    tcp,
    udp,
)
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, one_box, rule, timeouts, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.entries import Connection
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
BACK = ("outside", ROUTER)
KINDS = [(UNREACHABLE, 1), (UNREACHABLE, FRAGMENTATION_NEEDED), (TIME_EXCEEDED, 0), (PARAMETER_PROBLEM, 0), (4, 0)]
#: The other end, a firewall, a router behind the connection.
SENDERS = ["10.9.9.9", "203.0.113.1"]


def raw(rig: Rig) -> tuple[Connection, bytes | None]:
    """The entry, with its times."""
    connection = rig.only_connection()
    return connection, rig.entries[connection.slot].tobytes()


@pytest.mark.parametrize("opening", [tcp(), udp(), sctp(), echo(), tcp(options=[OPTIONS]), echo(options=[OPTIONS])])
@pytest.mark.parametrize("sender", [WWW, *SENDERS])
def test_error_about_a_request_goes_to_the_last_hop_whoever_sends_it(rig: Rig, sender: str, opening: Any) -> None:
    rig.publish(two_box())
    rig.send("outside", opening, ROUTER)
    rig.age(3)
    before = raw(rig)
    for kind, code in KINDS:
        for quoted in (8, 20):
            about = error(opening, sender, kind, code, quoted)
            assert rig.send("firewalls", about, FW[0]) == forwarded("RELATED", BACK)
    assert rig.send("firewalls", error(opening, sender), FW[3]) == forwarded("RELATED", BACK)
    assert raw(rig) == before, "state, times, counters and flags are what they were"
    assert sum(sum(rig.load_of(f"fw{i}")) for i in range(4)) == 1


@pytest.mark.parametrize("opening", [tcp(), udp(), sctp(), echo(), udp(options=[OPTIONS])])
@pytest.mark.parametrize("sender", [CLIENT, *SENDERS])
def test_error_about_a_response_goes_to_the_firewall_that_saw_the_request(rig: Rig, sender: str, opening: Any) -> None:
    rig.publish(two_box())
    rig.send("outside", opening, ROUTER)
    before = raw(rig)
    answer = reply(opening)
    for kind, code in KINDS:
        assert rig.send("outside", error(answer, sender, kind, code), STRANGER) == forwarded("RELATED", FW0)
    assert raw(rig) == before
    assert rig.hop_id(("outside", STRANGER)) == 0, "no hop is learned from an ICMP error"


def test_error_in_another_zone_is_about_that_zones_connection(rig: Rig) -> None:
    rig.publish(one_box())
    rig.send("outside", tcp(), ROUTER)
    rig.send("inside", tcp(), FW[7])
    about = error(tcp(), WWW)
    assert rig.send("servers", about, STRANGER) == forwarded("RELATED", ("inside", FW[7]))
    assert rig.send("firewalls", about, FW[0]) == forwarded("RELATED", BACK)


def test_error_about_an_unknown_connection_takes_the_rendezvous_choice_without_an_entry(rig: Rig) -> None:
    rig.publish(two_box())
    for i in range(8):
        packet = tcp("A", f"198.51.100.{i}", 5)
        wanted = rig.send("outside", packet, ROUTER).hop
        assert wanted is not None
        rig.forget()
        assert rig.send("outside", error(reply(packet), CLIENT), ROUTER) == forwarded("STRAY", wanted)
        assert not rig.connections()
    assert rig.send("outside", error(reply(tcp()), CLIENT), STRANGER).verdict == "forwarded"
    assert rig.hop_id(("outside", STRANGER)) == 0


def test_error_about_an_unknown_connection_needs_a_rule_and_takes_no_turn(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr", persistence_s=60.0))
    rig.send("outside", error(reply(tcp()), CLIENT), ROUTER)
    assert rig.templates() == {}
    assert rig.send("outside", tcp(), ROUTER).hop == FW0
    rig.publish(two_box(rules=(rule(1, protocol=6),)))
    assert rig.send("outside", error(reply(tcp(sport=9)), CLIENT), ROUTER).verdict == "forwarded"
    assert rig.send("outside", error(reply(udp(sport=9)), CLIENT), ROUTER) == rig.kernel("NO_RULE")


def test_error_whose_quoted_source_is_not_its_destination_is_the_kernels(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    forged = error(tcp(), WWW)
    forged[IP].dst = OTHER_CLIENT
    assert rig.send("firewalls", forged, FW[0]) == rig.kernel("BAD_HEADER")


@pytest.mark.parametrize(("source", "destination"), [(CLIENT, "127.0.0.1"), (CLIENT, CLIENT), (CLIENT, "240.0.0.1")])
def test_error_that_quotes_a_martian_is_the_kernels(rig: Rig, source: str, destination: str) -> None:
    rig.publish(two_box())
    about = error(tcp(source=source, destination=destination), WWW)
    assert rig.send("firewalls", about, FW[0]) == rig.kernel("BAD_HEADER")


def test_error_about_a_first_fragment_or_a_later_one_goes_where_its_connection_goes(rig: Rig) -> None:
    rig.publish(two_box())
    first, later = udp(id=77), udp(id=77)
    first[IP].flags, later[IP].frag = "MF", 5
    rig.send("outside", first, ROUTER)
    assert rig.send("firewalls", error(first, WWW), FW[0]) == forwarded("RELATED", BACK)
    assert rig.send("firewalls", error(later, WWW), FW[0]) == forwarded("RELATED", BACK)
    later[IP].id = 78
    assert rig.send("firewalls", error(later, WWW), FW[0]).counted == {"FORWARDED_STRAY": 1}, "of no known datagram"


def test_error_about_an_error_is_the_kernels_and_about_any_protocol_is_not(rig: Rig) -> None:
    rig.publish(two_box())
    nested = error(error(reply(tcp()), CLIENT), WWW)
    assert rig.send("firewalls", nested, FW[0]) == rig.kernel("PROTOCOL")
    foreign = IP(src=CLIENT, dst=WWW, proto=50) / bytes(20)
    rig.send("outside", foreign, ROUTER)
    assert rig.send("firewalls", error(foreign, WWW), FW[0]) == forwarded("RELATED", BACK)


def test_error_that_is_a_first_fragment_itself_goes_like_a_whole_one(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    about = error(tcp(), WWW)
    about[IP].flags = "MF"
    assert rig.send("firewalls", about, FW[0]) == forwarded("RELATED", BACK)


def test_quoted_version_or_length_that_is_none_is_the_kernels(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    for first_byte in (0x00, 0x44, 0x65, 0x4F):
        quoted = bytes([first_byte]) + bytes(tcp())[1:28]
        about = IP(src=WWW, dst=CLIENT) / ICMP(type=UNREACHABLE, code=1) / quoted
        assert rig.send("firewalls", about, FW[0]) == rig.kernel("TRUNCATED")


#: Both directions of connections of every kind.
PAIRS: dict[str, tuple[Any, Any]] = {
    "tcp": (tcp(), reply(tcp(), "A")),
    "udp": (udp(), reply(udp())),
    "sctp": (sctp(), reply(sctp(), "DATA")),
    "echo": (echo(), reply(echo())),
    "timestamp": (
        IP(src=CLIENT, dst=WWW) / ICMP(type=13, id=77) / bytes(12),
        IP(src=WWW, dst=CLIENT) / ICMP(type=14, id=77) / bytes(12),
    ),
    "gre": (IP(src=CLIENT, dst=WWW) / GRE(proto=0x800) / bytes(20), IP(src=WWW, dst=CLIENT) / GRE() / bytes(20)),
    "gre with a key": (
        IP(src=CLIENT, dst=WWW) / GRE(key_present=1, key=0x10002) / bytes(20),
        IP(src=WWW, dst=CLIENT) / GRE(key_present=1, key=0x10002) / bytes(20),
    ),
    "esp": (IP(src=CLIENT, dst=WWW, proto=50) / bytes(24), IP(src=WWW, dst=CLIENT, proto=50) / bytes(24)),
    "ah": (IP(src=CLIENT, dst=WWW, proto=51) / bytes(24), IP(src=WWW, dst=CLIENT, proto=51) / bytes(24)),
    "ipip": (IP(src=CLIENT, dst=WWW, proto=4) / bytes(24), IP(src=WWW, dst=CLIENT, proto=4) / bytes(24)),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_eight_quoted_bytes_tell_every_kind_of_connection_in_both_directions(rig: Rig, pair: tuple[Any, Any]) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    request, response = pair
    rig.send("outside", request, ROUTER)
    rig.send("firewalls", response, FW[0])
    before = raw(rig)
    for kind, code in KINDS:
        assert rig.send("firewalls", error(request, "10.9.9.9", kind, code), FW[0]) == forwarded("RELATED", BACK)
        assert rig.send("outside", error(response, "10.9.9.9", kind, code), ROUTER) == forwarded("RELATED", FW0)
    assert raw(rig) == before


def test_errors_keep_no_connection_alive_and_end_none(rig: Rig) -> None:
    """Of one that is over by its time nothing is known any more; the error does not take it out."""
    rig.publish(two_box(firewalls(), "fo", timeouts=timeouts({"UDP": 20})))
    rig.send("outside", udp(), ROUTER)
    rig.age(15)
    assert rig.send("firewalls", error(udp(), WWW), FW[0]) == forwarded("RELATED", BACK)
    rig.age(6)
    outcome, _ = rig.send_on("firewalls", error(udp(), WWW), FW[0])
    assert outcome == forwarded("STRAY", BACK)
    assert len(rig.connections()) == 1


def test_errors_that_no_connection_can_have_caused_are_the_kernels(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    for kind in (1, 2, 5, 6, 7, 9, 10, 19, 30, 37, 40, 41, 42, 43, 253, 254, 255):
        about = IP(src=WWW, dst=CLIENT) / ICMP(type=kind) / bytes(tcp())[:28]
        assert rig.send("firewalls", about, FW[0]) == rig.kernel("PROTOCOL"), kind


def test_errors_about_fragments_of_a_response_go_to_the_firewall(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp(), ROUTER)
    first, later = reply(udp()), reply(udp())
    first[IP].flags, first[IP].id = "MF", 99
    later[IP].frag, later[IP].id = 125, 99
    rig.send("firewalls", first, FW[0])
    for about in (first, later):
        for quoted in (8, 20):
            packet = error(about, CLIENT, UNREACHABLE, FRAGMENTATION_NEEDED, quoted)
            assert rig.send("outside", packet, STRANGER) == forwarded("RELATED", FW0)
    assert rig.hop_id(("outside", STRANGER)) == 0


def test_error_with_options_of_its_own_and_quoted_ones_as_many_as_fit(rig: Rig) -> None:
    rig.publish(two_box())
    full = bytes([1]) * 40
    rig.send("outside", udp(options=[IPOption(full)]), ROUTER)
    about = error(udp(options=[IPOption(full)]), WWW)
    about[IP].options = [IPOption(full)]
    assert len(bytes(about)) == 60 + 8 + 60 + 8
    assert rig.send("firewalls", about, FW[0]) == forwarded("RELATED", BACK)


def test_the_fragments_of_an_error_meet_where_its_connection_goes(rig: Rig) -> None:
    """An error that quotes more than fits: what its first fragment finds, the later ones follow."""
    rig.publish(two_box(firewalls(), "fo"))
    rig.send("outside", udp(), ROUTER)
    about = IP(src="10.9.9.9", dst=WWW, id=3) / ICMP(type=UNREACHABLE, code=1) / bytes(reply(udp()) / bytes(1500))
    first, *later = in_fragments(about)
    assert rig.send("outside", first, ROUTER) == forwarded("RELATED", FW0)
    assert [rig.send("outside", each, ROUTER).hop for each in later] == [FW0] * len(later)
