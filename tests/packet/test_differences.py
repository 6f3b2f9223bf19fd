"""Each known difference between object and documents, in the fewest frames that show it.

A test here fails as soon as the object does what the documents say: then its entry in differences.py goes, and it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.packet import steps, wire
from tests.packet.differences import AS_BUILT
from tests.packet.duel import Duel
from tests.packet.plans import FW, ROUTER, STRANGER, mac_of
from tests.packet.worlds import CLIENTS, SERVERS, WORLDS

if TYPE_CHECKING:
    from tests.packet.rig import Rig

CLIENT, WWW = CLIENTS[4][0], SERVERS[4][0]
CLIENT6, WWW6 = CLIENTS[6][0], SERVERS[6][0]
FIRST, LATER = 0x2000, 5
FIRST6, LATER6 = 1, 5 << 3
UDP, GRE, ESP, ICMP, ICMPV6, DESTINATION = 17, 47, 50, 1, 58, 60
UNREACHABLE, UNREACHABLE6 = 3, 1


def out(packet: bytes, source: str = ROUTER) -> steps.Frame:
    return steps.Frame("outside", wire.ethernet(mac_of("outside"), source, (), packet))


def back(packet: bytes) -> steps.Frame:
    return steps.Frame("firewalls", wire.ethernet(mac_of("firewalls"), FW[0], (), packet))


def datagram(port: int = 40000) -> bytes:
    return wire.ip4(CLIENT, WWW, UDP, wire.udp(port, 80))


_HIDDEN = bytes([GRE, 0, 1, 4, 0, 0, 0, 0]) + wire.gre(None)
_REQUEST, _RESPONSE = wire.ip4(CLIENT, WWW, UDP, wire.udp(40000, 80)), wire.ip6(WWW6, CLIENT6, UDP, wire.udp(80, 40000))
#: Name in AS_BUILT -> (world, steps).
SHOWN: dict[str, tuple[str, list[steps.Step]]] = {
    "error without note": (
        "rr (1, 1, 1) 20",
        [
            back(wire.ip4(WWW, CLIENT, ICMP, wire.icmp(UNREACHABLE, 0, _REQUEST), place=FIRST, number=1)),
            back(wire.ip4(WWW, CLIENT, ICMP, bytes(24), place=LATER, number=1)),
        ],
    ),
    "early unbound": (
        "rr (1, 1, 1) 20",
        [
            out(wire.ip6(CLIENT6, WWW6, UDP, bytes(24), place=LATER6, number=1)),
            out(wire.ip6(CLIENT6, WWW6, UDP, wire.udp(40000, 80, bytes(32)), place=FIRST6, number=1)),
        ],
    ),
    "notes without ports": (
        "rr (1, 1, 1) 20",
        [
            out(wire.ip6(CLIENT6, WWW6, DESTINATION, _HIDDEN, place=FIRST6, number=1)),
            out(wire.ip6(CLIENT6, WWW6, DESTINATION, bytes(24), place=LATER6, number=1)),
        ],
    ),
    "errors by address": (
        "ruled",
        [out(wire.ip6(CLIENT6, WWW6, ICMPV6, wire.icmp(UNREACHABLE6, 0, _RESPONSE)))],
    ),
    "denied takes a turn": (
        "strict",
        [out(wire.ip4(CLIENT, WWW, ESP, bytes(8)), STRANGER), out(datagram())],
    ),
    "beyond the payload": (
        "rr (1, 1, 1) 20",
        [out(wire.ip6(CLIENT6, WWW6, DESTINATION, b"", extensions=("destination",)) + bytes([6, 80]) + bytes(6))],
    ),
    "oldest pair only": (
        "related",
        [out(datagram(1)), "age", out(datagram(2)), "age", out(datagram(3))],
    ),
}


def test_every_known_difference_is_shown() -> None:
    assert SHOWN.keys() == AS_BUILT.keys()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason=AS_BUILT[name]))
        for name in SHOWN
    ],
)
def test_the_object_does_what_the_documents_say(rig: Rig, name: str) -> None:
    shown, taken = SHOWN[name]
    world = next(each for each in WORLDS if each.name == shown)
    Duel(rig, world, rig.entry, AS_BUILT.keys() - {name}).walk(taken)


@pytest.mark.parametrize("name", SHOWN)
def test_the_model_as_built_does_what_the_object_does(rig: Rig, name: str) -> None:
    shown, taken = SHOWN[name]
    world = next(each for each in WORLDS if each.name == shown)
    assert Duel(rig, world, rig.entry).walk(taken) == sum(isinstance(each, steps.Frame) for each in taken)
