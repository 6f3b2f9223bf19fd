"""ICMPv6 errors about connections go where the connection goes, and change nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6, IPv6ExtHdrFragment

from tests.packet.frames6 import (
    AH,
    CLIENT6,
    DESTINATION,
    ERRORS6,
    ESP,
    EXTENSIONS,
    HIP,
    HOP_BY_HOP,
    MOBILITY,
    NO_NEXT_HEADER,
    ROUTING,
    SHIM6,
    WWW6,
    back,
    chained,
    echo6,
    error6,
    fragments6,
    ip6,
    sctp6,
    tcp6,
    udp6,
)
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0, BACK = ("firewalls", FW[0]), ("outside", ROUTER)
#: The other end, a firewall, a router behind the connection.
SENDERS = [WWW6, "2001:db8:a:1::11", "2001:db8:2::1"]
OPENINGS = {"tcp": tcp6(), "udp": udp6(), "sctp": sctp6(), "echo": echo6(), "esp": ip6(nh=50) / bytes(24)}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
@pytest.mark.parametrize("sender", SENDERS)
def test_an_error_about_a_request_goes_to_the_last_hop_whoever_sends_it(rig: Rig, sender: str, opening: Any) -> None:
    rig.publish(two_box())
    rig.send("outside", opening, ROUTER)
    rig.age(3)
    before = rig.only_connection(), rig.entries[rig.only_connection().slot].tobytes()
    for kind in ERRORS6:
        for quoted in (48, None):
            about = error6(opening, sender, kind, quoted)
            assert rig.send("firewalls", about, FW[0]) == forwarded("RELATED", BACK)
    assert (rig.only_connection(), rig.entries[rig.only_connection().slot].tobytes()) == before


@pytest.mark.parametrize("opening", [tcp6(), udp6(), sctp6(), echo6()], ids=["tcp", "udp", "sctp", "echo"])
def test_an_error_about_a_response_goes_to_the_firewall_and_teaches_no_hop(rig: Rig, opening: Any) -> None:
    rig.publish(two_box())
    rig.send("outside", opening, ROUTER)
    about = error6(back(opening), "2001:db8:1::1", "too big")
    assert rig.send("outside", about, STRANGER) == forwarded("RELATED", FW0)
    assert rig.hop_id(("outside", STRANGER)) == 0


@pytest.mark.parametrize("extension", EXTENSIONS.values(), ids=EXTENSIONS)
@pytest.mark.parametrize("around", [None, *EXTENSIONS.values()], ids=["plain", *EXTENSIONS])
def test_extension_headers_are_walked_in_what_is_quoted_and_around_it(rig: Rig, extension: Any, around: Any) -> None:
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    about = error6(udp6(extension=extension), WWW6)
    if around is not None:
        about = IPv6(src=WWW6, dst=CLIENT6) / around.copy() / about.payload
    assert rig.send("firewalls", about, FW[0]) == forwarded("RELATED", BACK)


def test_an_error_about_a_fragment_goes_where_its_datagrams_connection_goes(rig: Rig) -> None:
    rig.publish(two_box())
    datagram = fragments6(udp6() / bytes(2000), 1000, 7)
    rig.send("outside", datagram[0], ROUTER)
    for fragment in datagram:
        assert rig.send("firewalls", error6(fragment, WWW6, "too big", 60), FW[0]) == forwarded("RELATED", BACK)
    stranger = fragments6(udp6() / bytes(2000), 1000, 8)
    assert rig.send("firewalls", error6(stranger[1], WWW6), FW[0]).counted == {"FORWARDED_STRAY": 1}


def test_every_type_below_128_is_an_error(rig: Rig) -> None:
    """RFC 4443 section 2.1: also those that nobody has defined yet."""
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    for kind in (1, 2, 3, 4, 5, 100, 127):
        about = IPv6(src=WWW6, dst=CLIENT6) / ICMPv6DestUnreach(type=kind) / bytes(udp6())
        assert rig.send("firewalls", about, FW[0]) == forwarded("RELATED", BACK), kind


@pytest.mark.parametrize("flags", [{"version": 4}, {"src": "2001:db8::9"}, {"dst": "ff02::1"}, {"dst": "::1"}], ids=str)
def test_a_quote_that_cannot_be_is_the_kernels(rig: Rig, flags: dict[str, Any]) -> None:
    rig.publish(two_box())
    quoted = tcp6()
    for name, value in flags.items():
        setattr(quoted[IPv6], name, value)
    about = IPv6(src=WWW6, dst=CLIENT6) / ICMPv6DestUnreach() / bytes(quoted)
    assert rig.send("firewalls", about, FW[0]) == rig.kernel("BAD_HEADER")


def test_an_error_about_an_error_is_the_kernels_and_so_is_one_that_is_cut_off(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp6(), ROUTER)
    nested = error6(error6(back(tcp6()), CLIENT6), WWW6)
    assert rig.send("firewalls", nested, FW[0]) == rig.kernel("PROTOCOL")
    whole = error6(tcp6(), WWW6)
    for quoted in range(44):
        cut = error6(tcp6(), WWW6, quoted_bytes=quoted)
        assert rig.send("firewalls", cut, FW[0]) == rig.kernel("TRUNCATED"), quoted
    assert rig.send("firewalls", whole, FW[0]) == forwarded("RELATED", BACK)


def test_an_atomic_fragment_that_is_quoted_is_an_ordinary_packet(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    quoted = udp6(extension=IPv6ExtHdrFragment(id=3))
    assert rig.send("firewalls", error6(quoted, WWW6), FW[0]) == forwarded("RELATED", BACK)


def test_an_error_about_an_unknown_connection_takes_the_rendezvous_choice_and_is_not_remembered(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    wanted = rig.send("outside", tcp6("A"), ROUTER).hop
    assert wanted is not None
    rig.forget()
    about = error6(back(tcp6(), "A"), "2001:db8:1::1", "too big")
    assert rig.send("outside", about, STRANGER) == forwarded("STRAY", wanted)
    assert (rig.connections(), rig.hop_id(("outside", STRANGER))) == ([], 0)


def test_an_error_about_a_fragment_of_a_response_goes_to_the_firewall(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    answer = fragments6(back(udp6()) / bytes(2000), 1000, 9)
    rig.send("firewalls", answer[0], FW[0])
    for fragment in answer:
        assert rig.send("outside", error6(fragment, CLIENT6, "too big", 60), ROUTER) == forwarded("RELATED", FW0)


@pytest.mark.parametrize("number", [ESP, AH, 47, 4, NO_NEXT_HEADER])
@pytest.mark.parametrize("kinds", [[], [DESTINATION], [HOP_BY_HOP, ROUTING]], ids=["alone", "behind one", "two"])
def test_an_error_about_any_protocol_goes_where_its_connection_goes(rig: Rig, number: int, kinds: list[int]) -> None:
    rig.publish(two_box())
    request = chained(kinds, bytes(24), number)
    rig.send("outside", request, ROUTER)
    before = rig.entries[rig.only_connection().slot].tobytes()
    assert rig.send("firewalls", error6(request, "2001:db8:2::1"), FW[0]) == forwarded("RELATED", BACK)
    answer = IPv6(src=WWW6, dst=CLIENT6, nh=number) / bytes(24)
    assert rig.send("outside", error6(answer, "2001:db8:2::1"), ROUTER) == forwarded("RELATED", FW0)
    assert rig.entries[rig.only_connection().slot].tobytes() == before


@pytest.mark.parametrize("kind", [MOBILITY, HIP, SHIM6])
def test_every_quoted_extension_header_is_walked_over(rig: Rig, kind: int) -> None:
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    quoted = chained([kind], UDP(sport=40000, dport=80))
    assert rig.send("firewalls", error6(quoted, WWW6), FW[0]) == forwarded("RELATED", BACK)


def test_quoted_headers_beyond_the_bounds_are_of_protocol_0(rig: Rig) -> None:
    """The packet they quote was one too: the error finds its connection."""
    rig.publish(two_box())
    request = chained([DESTINATION] * 9, UDP(sport=40000, dport=80))
    assert rig.send("outside", request, ROUTER) == forwarded("OPENING", FW0)
    assert rig.only_connection().protocol == "0"
    assert rig.send("firewalls", error6(request, WWW6), FW[0]) == forwarded("RELATED", BACK)


def test_an_error_from_a_link_local_address_crosses_no_router(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    assert rig.send("firewalls", error6(udp6(), "fe80::1"), FW[0]) == rig.kernel("MARTIAN")
