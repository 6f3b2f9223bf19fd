"""Path probes: sent back to the real server they came from, taken in when they come back, and mistaken for nothing."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lasthop.dataplane.probing import _AT_ONCE, KernelProbing
from lasthop.health.path import MAGIC, Way, _frame
from tests.packet.frames import OPTIONS
from tests.packet.plans import FW, ROUTER, STRANGER, mac_of, rule, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

PORT, OTHER = 49_784, 50_000
FAR, OWN, FAR6, OWN6 = "10.0.2.1", "10.0.1.1", "2001:db8:2::1", "2001:db8:1::1"
NONCE = bytes(range(16))
LOCAL = frozenset({IPv4Network(f"{OWN}/32"), IPv6Network(f"{OWN6}/128")})


@pytest.fixture
def probing(rig: Rig) -> KernelProbing:
    """A director that knows probes, with two addresses of its own."""
    made = KernelProbing(rig.loaded, rig.publisher)
    made.know(PORT)
    rig.publish(two_box(local=LOCAL))
    return made


def asking(*, sport: int = OTHER, dport: int = PORT, payload: bytes = MAGIC + NONCE, **ip: Any) -> Any:
    return IP(src=FAR, dst=OWN, ttl=61, **ip) / UDP(sport=sport, dport=dport) / Raw(payload)


def asking6(extension: Any = None) -> Any:
    header = IPv6(src=FAR6, dst=OWN6, hlim=61)
    return (header / extension if extension else header) / UDP(sport=OTHER, dport=PORT) / Raw(MAGIC + NONCE)


def turned(packet: Any) -> bytes:
    """The packet with its ends exchanged, and not a bit of the rest changed."""
    made = packet.__class__(bytes(packet))
    made.src, made.dst = made.dst, made.src
    made[UDP].sport, made[UDP].dport = made[UDP].dport, made[UDP].sport
    return bytes(made)


PROBES = {
    "ipv4": asking(),
    "ipv4 and options": asking(options=[OPTIONS]),
    "ipv6": asking6(),
    "ipv6 behind options": asking6(IPv6ExtHdrDestOpt()),
}


@pytest.mark.parametrize("kind", PROBES)
def test_a_probe_goes_back_to_the_real_server_it_came_from(rig: Rig, probing: KernelProbing, kind: str) -> None:
    packet = PROBES[kind]
    made = rig.answer("firewalls", packet, FW[1], "PROBE")
    assert (made.src, made.dst) == (mac_of("firewalls"), FW[1])
    assert bytes(made.payload) == turned(packet)
    assert not rig.connections()
    assert not probing.answers()


def test_one_that_comes_back_is_taken_in_with_where_it_came_from(rig: Rig, probing: KernelProbing) -> None:
    """The XDP program leaves it to tc, as everything that is the director's."""
    back = asking(sport=PORT, dport=OTHER)
    expected = {"KERNEL_TC": 1} if rig.entry == "xdp" else {"DROP_PROBE": 1}
    assert rig.send("firewalls", back, FW[2]).counted == expected
    rig.entry = "tc"
    assert rig.send("firewalls", back, FW[2]).counted == {"DROP_PROBE": 1}
    (answer, *_) = probing.answers()
    assert (answer.nonce, answer.leg, answer.mac) == (NONCE, "firewalls", FW[2])
    assert not probing.answers()


def test_what_a_director_sends_comes_back_to_it_by_another_directors_hand(rig: Rig, probing: KernelProbing) -> None:
    """The frame as the check makes it, once there and once back."""
    for own, far in ((FAR, OWN), (FAR6, OWN6)):
        sent = _frame(Way("x", "x0", FW[0], mac_of("firewalls"), ip_address(own)), ip_address(far), PORT, NONCE)
        packet = Ether(sent).payload
        made = rig.answer("firewalls", packet, FW[0], "PROBE")
        assert bytes(made.payload) == turned(packet)
        assert made[UDP].sport == PORT


@pytest.mark.parametrize("packet", [asking(), asking(sport=PORT, dport=OTHER)], ids=["question", "answer"])
@pytest.mark.parametrize("source", [STRANGER, ROUTER], ids=["nobody", "another leg's real server"])
def test_probes_of_whoever_is_no_real_server_there_are_the_kernels(
    rig: Rig, probing: KernelProbing, source: str, packet: Any
) -> None:
    rig.entry = "tc"
    assert rig.send("firewalls", packet, source) == rig.kernel("LOCAL")
    assert not probing.answers()


def test_a_flood_of_answers_is_taken_in_by_portions(rig: Rig, probing: KernelProbing) -> None:
    rig.entry = "tc"
    for _ in range(_AT_ONCE + 1):
        rig.send("firewalls", asking(sport=PORT, dport=OTHER), FW[2])
    assert len(probing.answers()) == _AT_ONCE
    assert probing.answers()
    assert not probing.answers()


NO_PROBES = {
    "other magic": asking(payload=b"lasthopQ" + NONCE),
    "too short": asking(payload=MAGIC[:7]),
    "other port": asking(dport=PORT + 1),
    "first fragment": asking(flags="MF"),
}


@pytest.mark.parametrize("kind", NO_PROBES)
def test_what_only_looks_like_a_probe_is_the_kernels_as_before(rig: Rig, probing: KernelProbing, kind: str) -> None:
    rig.entry = "tc"
    assert rig.send("firewalls", NO_PROBES[kind], FW[1]) == rig.kernel("LOCAL")
    assert not probing.answers()


def test_a_datagram_of_that_port_to_somebody_else_is_balanced_as_any(rig: Rig, probing: KernelProbing) -> None:
    """By XDP too: it is a port that clients have."""
    packet = IP(src="198.51.100.10", dst="203.0.113.80") / UDP(sport=PORT, dport=PORT) / Raw(MAGIC + NONCE)
    assert rig.send("outside", packet, ROUTER) == forwarded("OPENING", ("firewalls", FW[0]))
    assert not probing.answers()


def test_a_director_that_knows_no_probes_leaves_them_to_the_kernel(rig: Rig, probing: KernelProbing) -> None:
    probing.know(0)
    assert rig.send("firewalls", asking(), FW[1]) == rig.kernel("LOCAL")
    assert not probing.answers()


def test_pass_rules_do_not_keep_probes_from_coming_back(rig: Rig, probing: KernelProbing) -> None:
    """They say what is not balanced, and a probe is not."""
    rig.publish(two_box(rules=(rule(None), rule(1)), local=LOCAL))
    rig.answer("firewalls", asking(), FW[1], "PROBE")
    assert not probing.answers()
