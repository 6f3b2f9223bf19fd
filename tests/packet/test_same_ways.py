"""Random conversations go the same ways in IPv4 and IPv6, with any VLAN tags, and through tc or first through XDP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP

from lasthop.model.service import Related
from lasthop.model.vlan import Vlan, VlanProtocol
from tests.oracles import pair_hash
from tests.packet.frames import CHUNKS, CLIENT, WWW, error
from tests.packet.frames6 import WWW6, error6
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, mac_of, two_box

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.entries import Connection
    from tests.packet.rig import Rig

BOXES = [(f"fw{i}", 1, True) for i in range(4)]
#: A client whose pair of addresses has the rendezvous choice of IPv4's.
CLIENT6 = next(
    address
    for address in (f"2001:db8:c::{i:x}" for i in range(1, 100))
    if pair_hash.chosen(BOXES, address, WWW6) == pair_hash.chosen(BOXES, CLIENT, WWW)
)
NONE, ONE, TWO = None, Vlan(100), Vlan(200, 7, VlanProtocol.DOT1AD)
SOURCES = {"outside": [ROUTER, STRANGER], "firewalls": [FW[0], FW[1], STRANGER]}
PORTS = [40000, 40001]
CHUNK_NAMES = ["INIT", "INIT_ACK", "COOKIE_ECHO", "DATA", "SHUTDOWN", "SHUTDOWN_COMPLETE", "ABORT"]


@dataclass(frozen=True, slots=True)
class Step:
    """A packet of a conversation, in words that both families have."""

    kind: str
    back: bool
    source: int
    port: int
    detail: str = ""


def _step(kind: str, details: list[str]) -> st.SearchStrategy[Step]:
    return st.builds(
        Step, st.just(kind), st.booleans(), st.integers(0, 5), st.sampled_from(PORTS), st.sampled_from(details)
    )


STEPS = st.lists(
    st.one_of(
        _step("tcp", ["S", "SA", "A", "PA", "FA", "R", "RA"]),
        _step("udp", [""]),
        _step("echo", [""]),
        _step("sctp", CHUNK_NAMES),
        _step("esp", [""]),
        _step("gre", ["1", "70000"]),
        _step("fragment", ["first", "later", "last"]),
        _step("error", ["udp", "tcp", "echo", "esp", "later"]),
        # No sum of these is a time-out, nor so little below one that the seconds a run takes could matter.
        _step("age", ["5.03125", "40.03125", "200.03125"]),
    ),
    min_size=1,
    max_size=14,
)


def with_ports(layer: Any, step: Step, **fields: Any) -> Any:
    ours, theirs = (80, step.port) if step.back else (step.port, 80)
    return layer(sport=ours, dport=theirs, **fields)


def numbered(step: Step, family: int) -> tuple[int, Any]:
    """What is behind the IP header, and its number."""
    match step.kind:
        case "tcp":
            return 6, with_ports(TCP, step, flags=step.detail or "A", seq=7)
        case "sctp":
            return 132, with_ports(SCTP, step, tag=5) / CHUNKS[step.detail or "DATA"]
        case "echo" if family == 4:
            return 1, ICMP(type=0 if step.back else 8, id=step.port)
        case "echo":
            return 58, ICMPv6EchoReply(id=step.port) if step.back else ICMPv6EchoRequest(id=step.port)
        case "gre":
            return 47, bytes(GRE(key_present=1, key=int(step.detail or "1"), proto=0x800)) + bytes(8)
    return (50, bytes(24)) if step.kind == "esp" else (17, with_ports(UDP, step) / bytes(16))


def packet_of(step: Step, family: int) -> Any:
    ours, theirs = (CLIENT, WWW) if family == 4 else (CLIENT6, WWW6)
    source, destination = (theirs, ours) if step.back else (ours, theirs)
    if step.kind == "error":
        about = replace(step, kind="fragment" if step.detail == "later" else step.detail, back=not step.back, detail="")
        quoted = packet_of(about, family)
        return error(quoted, source) if family == 4 else error6(quoted, source)
    number, payload = numbered(step, family)
    if step.kind == "fragment":
        return fragment_of(step, family, payload, (source, destination))
    if family == 4:
        return IP(src=source, dst=destination, proto=number) / payload
    return IPv6(src=source, dst=destination, nh=number) / payload


def fragment_of(step: Step, family: int, payload: Any, ends: tuple[str, str]) -> Any:
    offset, more = {"first": (0, 1), "later": (3, 1)}.get(step.detail, (6, 0))
    body = bytes(payload) if offset == 0 else bytes(24)
    if family == 4:
        return IP(src=ends[0], dst=ends[1], proto=17, id=step.port, flags=more, frag=offset) / body
    return IPv6(src=ends[0], dst=ends[1]) / IPv6ExtHdrFragment(nh=17, offset=offset, m=more, id=step.port) / body


def framed(vlan: Vlan | None, packet: Any, leg_name: str, source: str) -> bytes:
    frame = Ether(dst=mac_of(leg_name), src=source)
    for protocol, number in vlan.tags if vlan else ():
        frame /= Dot1AD(vlan=number) if protocol is VlanProtocol.DOT1AD else Dot1Q(vlan=number)
    return bytes(frame / packet)


def drawn(outside: Vlan | None, inner: Vlan | None) -> Plan:
    legs = (leg("outside", vlan=outside), leg("firewalls", vlan=inner))
    return two_box(firewalls(), "rr", legs=legs, related=Related.ADDRESS_PAIR, persistence_s=60.0)


def remembered(each: Connection) -> tuple[Any, ...]:
    key = (each.protocol.removesuffix("v6"), each.source[0] in (CLIENT, CLIENT6), each.source[1], each.destination[1])
    way = (each.server, each.forward_hop, each.last_hop)
    return key, way, each.state, sorted(each.flags), each.packets


def course(rig: Rig, steps: list[Step], family: int, outside: Vlan | None, inner: Vlan | None) -> list[Any]:
    """What became of every packet, and what is remembered at the end; lengths left out."""
    entry = rig.entry
    rig.reset()
    rig.publish(drawn(outside, inner))
    told: list[Any] = []
    for step in steps:
        if step.kind == "age":
            rig.age(float(step.detail))
            continue
        leg_name = "firewalls" if step.back else "outside"
        source = SOURCES[leg_name][step.source % len(SOURCES[leg_name])]
        frame = framed(inner if step.back else outside, packet_of(step, family), leg_name, source)
        rig._counted()
        verdict, after = rig.run(leg_name, frame, room=len(frame) + 8)
        counted = rig._counted()
        if counted == {"KERNEL_TC": 1}:
            rig.entry = "tc"
            verdict, after = rig.run(leg_name, frame, room=len(frame) + 8)
            rig.entry, counted = entry, rig._counted()
        told.append((step, verdict, sorted(counted.items()), after[:12] if verdict == "forwarded" else b""))
    entries = [remembered(each) for each in rig.connections()]
    return [*told, sorted(entries), len(rig.templates()), len(rig.maps["pairs"].entries())]


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=25, suppress_health_check=QUIET)
@given(steps=STEPS)
def test_ipv6_goes_the_ways_that_ipv4_goes(rig: Rig, steps: list[Step]) -> None:
    assert course(rig, steps, 6, NONE, NONE) == course(rig, steps, 4, NONE, NONE)


@settings(max_examples=25, suppress_health_check=QUIET)
@given(
    steps=STEPS,
    family=st.sampled_from([4, 6]),
    outside=st.sampled_from([NONE, ONE, TWO]),
    inner=st.sampled_from([ONE, TWO]),
)
def test_tagged_frames_go_the_ways_that_untagged_ones_go(
    rig: Rig, steps: list[Step], family: int, outside: Vlan | None, inner: Vlan | None
) -> None:
    assert course(rig, steps, family, outside, inner) == course(rig, steps, family, NONE, NONE)


@pytest.mark.parametrize("entry", ["xdp"], indirect=True)
@settings(max_examples=25, suppress_health_check=QUIET)
@given(steps=STEPS, family=st.sampled_from([4, 6]), vlan=st.sampled_from([NONE, ONE, TWO]))
def test_what_goes_through_xdp_first_goes_the_ways_of_tc(
    rig: Rig, steps: list[Step], family: int, vlan: Vlan | None
) -> None:
    first = course(rig, steps, family, vlan, NONE)
    rig.entry = "tc"
    second = course(rig, steps, family, vlan, NONE)
    rig.entry = "xdp"
    assert first == second
