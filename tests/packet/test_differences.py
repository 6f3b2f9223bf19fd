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


#: Name in AS_BUILT -> (world, steps).
SHOWN: dict[str, tuple[str, list[steps.Step]]] = {
    "denied takes a turn": (
        "strict",
        [out(wire.ip4(CLIENT, WWW, ESP, bytes(8)), STRANGER), out(datagram())],
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
