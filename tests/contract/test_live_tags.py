"""VLAN tags on live frames through tc, where the kernel keeps the outer tag beside the bytes.

BPF_PROG_TEST_RUN cannot show that: it refuses a context with a tag, gives none back, and leaves tags that come in in
the bytes. What it can show is in tests/packet/test_vlan.py.
"""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.leg import Leg, Mode
from lasthop.model.real_server import Admin
from lasthop.model.rule import Match
from lasthop.model.service import OnDeath, Service
from lasthop.model.vlan import Vlan, VlanProtocol
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import Surroundings
from tests.contract.dataplane_worlds import (
    FIREWALLS,
    FW1,
    FW1_MAC,
    OUTSIDE,
    PATIENCE_S,
    ROUTER_MAC,
    KernelWorld,
    firewall,
)
from tests.packet.frames import OPTIONS, error, in_fragments, reply, tcp, udp
from tests.packet.frames6 import DESTINATION, HOP_BY_HOP, back, chained, error6, udp6

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.policy.plan import Plan

pytestmark = pytest.mark.root
NONE, ONE, TWO = None, Vlan(100), Vlan(200, 7, VlanProtocol.DOT1AD)
OTHER_ONE, OTHER_TWO = Vlan(101), Vlan(201, 8, VlanProtocol.DOT1AD)
TAGGINGS = [NONE, ONE, TWO, OTHER_ONE, OTHER_TWO]
_SOL_PACKET, _PACKET_AUXDATA = 263, 8
#: struct tpacket_auxdata, and what its status says of the tag in it.
_AUXDATA, _TAG_VALID = struct.Struct("=IIIHHHH"), 1 << 4
#: The kernel's name for frames that a socket of the interface sent itself.
_OUTGOING = 4


class FarEnd:
    """The other end of a leg's cable."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind((f"far-{name}", 0))
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self._socket.settimeout(PATIENCE_S)

    def close(self) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def receive(self) -> bytes:
        """The next frame that came out of the director, with the tag that the kernel keeps beside it."""
        while True:
            frame, extra, _, sender = self._socket.recvmsg(4096, 256)
            if sender[2] != _OUTGOING:
                break
        (beside,) = [_AUXDATA.unpack(data) for level, _, data in extra if level == _SOL_PACKET]
        status, tci, protocol = beside[0], beside[5], beside[6]
        return frame[:12] + struct.pack("!HH", protocol, tci) + frame[12:] if status & _TAG_VALID else frame


@pytest.fixture
def ends(kernel_world: KernelWorld) -> Iterator[tuple[FarEnd, FarEnd]]:
    """The other ends of `outside` and `firewalls`."""
    assert kernel_world.links
    with ExitStack() as stack:
        yield stack.enter_context(closing(FarEnd(OUTSIDE))), stack.enter_context(closing(FarEnd(FIREWALLS)))


def plan(world: KernelWorld, outside: Vlan | None, firewalls: Vlan | None, admin: Admin = Admin.ENABLED) -> Plan:
    """One firewall, one interface a leg, tc."""
    legs = (
        Leg("outside", OUTSIDE, "edge", Mode.TC, vlan=outside),
        Leg("firewalls", FIREWALLS, "edge", Mode.TC, vlan=firewalls),
    )
    servers = (replace(firewall(FW1), leg="firewalls", admin=admin),)
    service = Service(1, (Match(legs=("outside",)),), servers, on_death=OnDeath.RESET)
    known: Any = {(world.links[FIREWALLS].ifindex, IPv4Address(FW1)): FW1_MAC}
    surroundings = Surroundings(world.links, neighbours=known)
    return compile_plan(Configuration(Director("lb"), legs, (service,)), surroundings)


def framed(vlan: Vlan | None, packet: Any, to: str, source: str, priority: int = 0) -> bytes:
    frame = Ether(dst=to, src=source)
    for place, (protocol, number) in enumerate(vlan.tags if vlan else ()):
        tag = Dot1AD if protocol is VlanProtocol.DOT1AD else Dot1Q
        frame /= tag(vlan=number, prio=0 if place else priority)
    return bytes(frame / packet)


CHAIN = chained([HOP_BY_HOP, DESTINATION], UDP(sport=40000, dport=80))
FIRST, LATER, *_ = in_fragments(udp(sport=9, id=7) / bytes(2000))
#: What is read at different places behind the tags.
PACKETS = [tcp(), tcp("A"), udp(options=[OPTIONS]), CHAIN, FIRST, LATER, error(reply(udp()), "198.51.100.10")]
PACKETS += [error6(back(udp6()), "2001:db8:c::10", "too big")]


@pytest.mark.parametrize("outside", TAGGINGS, ids=str)
def test_live_frames_leave_with_the_tags_of_the_leg_they_leave_through_and_come_back_with_the_others(
    kernel_world: KernelWorld, ends: tuple[FarEnd, FarEnd], outside: Vlan | None
) -> None:
    """Push, pop and swap of every pair; not a byte behind the tags is another one."""
    world, (router, fw) = kernel_world, ends
    own, inner = world.links[OUTSIDE].mac, world.links[FIREWALLS].mac
    for firewalls in TAGGINGS:
        world.dataplane.publish(plan(world, outside, firewalls))
        for packet in PACKETS:
            router.send(framed(outside, packet, own, ROUTER_MAC, 5 if outside else 0))
            kept = 5 if outside and firewalls else 0
            assert fw.receive() == framed(firewalls, packet, FW1_MAC, inner, kept), (firewalls, packet.summary())
        for answer in (reply(tcp(), "A"), back(udp6())):
            fw.send(framed(firewalls, answer, inner, FW1_MAC, 3 if firewalls else 0))
            kept = 3 if outside and firewalls else 0
            assert router.receive() == framed(outside, answer, ROUTER_MAC, own, kept), (firewalls, answer.summary())


def test_live_priority_tags_count_as_none_and_are_taken_off(
    kernel_world: KernelWorld, ends: tuple[FarEnd, FarEnd]
) -> None:
    world, (router, fw) = kernel_world, ends
    own, inner = world.links[OUTSIDE].mac, world.links[FIREWALLS].mac
    for firewalls in (NONE, ONE, TWO):
        world.dataplane.publish(plan(world, NONE, firewalls))
        router.send(bytes(Ether(dst=own, src=ROUTER_MAC) / Dot1Q(vlan=0, prio=6) / tcp()))
        assert fw.receive() == framed(firewalls, tcp(), FW1_MAC, inner, 6 if firewalls else 0)
    for tags in (Dot1Q(vlan=0, prio=6) / Dot1Q(vlan=100), Dot1Q(vlan=100, prio=6) / Dot1Q(vlan=0)):
        for firewalls in (NONE, OTHER_ONE, TWO):
            world.dataplane.publish(plan(world, ONE, firewalls))
            router.send(bytes(Ether(dst=own, src=ROUTER_MAC) / tags.copy() / tcp()))
            assert fw.receive() == framed(firewalls, tcp(), FW1_MAC, inner, 6 if firewalls else 0)


def test_live_frames_leave_with_the_tag_protocol_of_their_leg(
    kernel_world: KernelWorld, ends: tuple[FarEnd, FarEnd]
) -> None:
    world, (router, fw) = kernel_world, ends
    own, inner = world.links[OUTSIDE].mac, world.links[FIREWALLS].mac
    world.dataplane.publish(plan(world, TWO, TWO))
    router.send(bytes(Ether(dst=own, src=ROUTER_MAC) / Dot1Q(vlan=200) / Dot1Q(vlan=7) / tcp()))
    assert fw.receive() == framed(TWO, tcp(), FW1_MAC, inner)
    world.dataplane.publish(plan(world, ONE, ONE))
    router.send(bytes(Ether(dst=own, src=ROUTER_MAC) / Dot1AD(vlan=100) / tcp()))
    assert fw.receive() == framed(ONE, tcp(), FW1_MAC, inner)


@pytest.mark.parametrize("outside", TAGGINGS[:3], ids=str)
@pytest.mark.parametrize("firewalls", TAGGINGS[:3], ids=str)
def test_live_rsts_in_a_responses_place_have_the_tags_of_either_side(
    kernel_world: KernelWorld, ends: tuple[FarEnd, FarEnd], outside: Vlan | None, firewalls: Vlan | None
) -> None:
    world, (router, fw) = kernel_world, ends
    own, inner = world.links[OUTSIDE].mac, world.links[FIREWALLS].mac
    world.dataplane.publish(plan(world, outside, firewalls))
    router.send(framed(outside, tcp(), own, ROUTER_MAC))
    fw.receive()
    world.dataplane.publish(plan(world, outside, firewalls, Admin.DISABLED))
    response = reply(tcp(), "A")
    fw.send(framed(firewalls, response, inner, FW1_MAC))
    answer, on = fw.receive(), router.receive()
    assert answer[:-40] == framed(firewalls, response, FW1_MAC, inner)[:-40]
    assert on[:-40] == framed(outside, response, ROUTER_MAC, own)[:-40]
    assert (Ether(answer)[IP].dst, Ether(on)[IP].dst) == (response[IP].src, response[IP].dst)
    assert (Ether(answer)[TCP].flags, Ether(on)[TCP].flags) == ("R", "RA")
