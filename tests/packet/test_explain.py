"""`lasthop explain`: what it says of a frame is what becomes of that frame next, and asking changes not a byte."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from lasthop.dataplane.frames import LONGEST
from lasthop.dataplane.inspection import KernelInspection
from lasthop.dataplane.kernel import _Names, now_ns
from lasthop.dataplane.reasons import verdict_of
from lasthop.errors import DataPlaneError
from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath, Related
from lasthop.policy.comparison import looked_up
from tests.packet.frames import CLIENT, OTHER_CLIENT, THIRD_CLIENT, WWW, echo, error, reply, sctp, tcp, udp
from tests.packet.frames6 import CLIENT6, WWW6
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, mac_of, two_box
from tests.packet.rig import _HASHES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.dataplane.finding import Finding
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Outcome, Rig

PACKETS = 400
#: By chance: it cannot be told beforehand.
CHANCE = {"twos"}


@dataclass(slots=True)
class Asked:
    """A rig that is asked before each frame."""

    rig: Rig
    inspection: KernelInspection

    watched: bool = True
    """Whether every byte of every map is looked at: it takes a good part of a second."""

    def explain(self, leg_name: str, frame: bytes) -> Finding:
        before = digest(self.rig) if self.watched else None
        finding = self.inspection.explain(leg_name, frame, tagged=True)
        assert not self.watched or digest(self.rig) == before, "asking changed a map"
        return finding

    def agree(self, leg_name: str, packet: Any, source: str) -> tuple[Finding, Outcome]:
        """Ask, send, and compare."""
        frame = bytes.fromhex((mac_of(leg_name) + source).replace(":", ""))
        frame += (b"\x86\xdd" if packet.version == 6 else b"\x08\x00") + bytes(packet)
        finding = self.explain(leg_name, frame)
        outcome = self.rig.send_frame(leg_name, frame)
        reasons = [name.lower() for name in outcome.counted if not name.startswith("EVENT")]
        assert [finding.reason] == reasons, packet.summary()
        assert verdict_of(finding.reason) == outcome.verdict
        told = finding.out and (finding.out.hop.leg, finding.out.hop.mac)
        assert told == outcome.hop, packet.summary()
        return finding, outcome


def digest(rig: Rig) -> dict[str, str]:
    """What is in every map but the record's."""
    arrays = {name: memory for name, memory in rig._memory.items() if name != "record"}
    found = {name: hashlib.blake2b(memory).hexdigest() for name, memory in arrays.items()}
    found |= {name: str(sorted(rig.maps[name].entries().items())) for name in _HASHES}
    return found | {"reasons": str(rig.maps["reasons"].lookup(bytes(4)))}


@pytest.fixture
def entry() -> str:
    """Explanations are tc's: XDP hands on what it cannot do."""
    return "tc"


@pytest.fixture
def asked(rig: Rig) -> Asked:
    inspection = KernelInspection(rig.loaded, rig.publisher, lambda: _Names(rig.publisher), now_ns, lambda _: None)
    return Asked(rig, inspection)


def drawn(draw: random.Random) -> tuple[str, Any, str]:
    """A frame of any kind from either side."""
    client, port = draw.choice([CLIENT, OTHER_CLIENT, THIRD_CLIENT]), draw.choice([40000, 40001])
    made: dict[str, Callable[[], Any]] = {
        "tcp": lambda: tcp(draw.choice(["S", "SA", "A", "FA", "R"]), client, port),
        "udp": lambda: udp(client, port),
        "sctp": lambda: sctp(draw.choice(["INIT", "DATA", "ABORT"]), client, port),
        "echo": lambda: echo(client, identifier=port),
        "first": lambda: IP(src=client, dst=WWW, id=port, flags="MF") / UDP(sport=port, dport=80, len=2000) / bytes(64),
        "later": lambda: IP(src=client, dst=WWW, id=port, frag=9, proto=17) / Raw(bytes(64)),
        "esp": lambda: IP(src=client, dst=WWW, proto=50) / Raw(bytes(16)),
        "big": lambda: tcp("A", client, port) / Raw(bytes(2000)),
        "martian": lambda: tcp("S", "127.0.0.1"),
    }
    kind = draw.choice(list(made))
    packet = made[kind]()
    back = draw.random() < 0.4
    if back and kind in {"tcp", "udp", "echo"}:
        packet = reply(packet, draw.choice(["SA", "A", "FA", "R"]))
    elif back and kind == "later":
        packet = error(reply(tcp("A", client, port)), draw.choice([WWW, "192.0.2.9"]))
    elif back:
        packet = error(udp(client, port), WWW) if draw.random() < 0.5 else packet
    sides = {True: ("firewalls", draw.choice([*FW[:4], STRANGER])), False: ("outside", draw.choice([ROUTER, STRANGER]))}
    leg_name, source = sides[back]
    return leg_name, packet, source


WORLDS = {
    **{
        name: two_box(firewalls(weights=(1, 2, 0, 1)), name)
        for name in (
            "wlc",
            "lc",
            "sed",
            "nq",
            "ovf",
            "rr",
            "wrr",
            "sh",
            "dh",
            "mh",
            "fo",
            "lblc",
            "lblcr",
            "rendezvous",
        )
    },
    "persistent": two_box(firewalls(), "wlc", persistence_s=300.0),
    "related": two_box(firewalls(), "rr", related=Related.ADDRESS_PAIR),
    "thresholds": two_box(firewalls(upper_threshold=2), "wlc"),
    "one packet": two_box(firewalls(), "rr", one_packet=True),
    "empty": two_box(firewalls(usable=False), "wlc"),
    "strict": two_box(firewalls(), "rr", legs=(leg("outside", strict=True), leg("firewalls", strict=True))),
}


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_said_of_a_packet_is_what_becomes_of_it(name: str, asked: Asked) -> None:
    asked.rig.publish(WORLDS[name])
    draw = random.Random(name)
    for number in range(PACKETS):
        leg_name, packet, source = drawn(draw)
        asked.watched = number % 80 == 0
        finding, _ = asked.agree(leg_name, packet, source)
        if number % 100 == 99:
            asked.rig.sweep()
        if finding.chosen_by == "scheduler":
            assert_the_slot_is_the_ones(asked, WORLDS[name], finding)


def assert_the_slot_is_the_ones(asked: Asked, plan: Plan, finding: Finding) -> None:
    """The slot that is shown is the slot of who was chosen, unless that one takes none and the next had to."""
    service = next(each for each in plan.services if each.label == finding.service)
    read = finding.read
    assert read is not None
    looked = looked_up(
        service, read.protocol, (read.source, read.source_port), (read.destination, read.destination_port), finding.turn
    )
    if looked is None:
        return
    table = service.fallback if looked.up.startswith("rendezvous") else service.turns
    first = service.servers[table[looked.slot]]
    load = asked.rig.publisher.server_loads[asked.rig.publisher.server_ids()[service.label, first.name]]
    if finding.real_server and not load["overloaded"] and first.weight:
        assert finding.real_server == first.name


def test_of_a_leg_that_learns_no_more_hops_too(asked: Asked) -> None:
    asked.rig.publish(two_box())
    asked.rig.publisher.legs["hops_learned"] = 16384
    finding, outcome = asked.agree("outside", tcp(), STRANGER)
    assert (finding.reason, outcome.counted["EVENT_HOPS_FULL"]) == ("forwarded_untracked", 1)


def test_of_the_dead_too(asked: Asked) -> None:
    """What becomes of a connection whose real server dies, for each on_death."""
    for on_death in (OnDeath.KEEP, OnDeath.REBALANCE, OnDeath.DROP, OnDeath.BYPASS):
        asked.rig.reset()
        asked = _anew(asked)
        asked.rig.publish(two_box(on_death=on_death))
        asked.agree("outside", tcp(), ROUTER)
        servers = tuple(replace(each, usable=False, admin=Admin.DISABLED) for each in firewalls())
        asked.rig.publish(two_box((servers[0], *firewalls()[1:]), on_death=on_death))
        asked.agree("outside", tcp("A"), ROUTER)
        asked.agree("outside", tcp("A"), ROUTER)


def _anew(asked: Asked) -> Asked:
    rig = asked.rig
    return Asked(
        rig, KernelInspection(rig.loaded, rig.publisher, lambda: _Names(rig.publisher), now_ns, lambda _: None)
    )


def test_a_known_connection_is_named_with_its_hops(asked: Asked) -> None:
    asked.rig.publish(two_box())
    first, _ = asked.agree("outside", tcp(), ROUTER)
    assert (first.connection, first.rule, first.service, first.chosen_by) == (None, 0, "FWM 1", "scheduler")
    second, _ = asked.agree("firewalls", reply(tcp()), FW[0])
    known = second.connection
    assert known is not None
    assert (known.source, known.source_port, known.real_server, known.last_hop.mac) == (CLIENT, 40000, "fw0", ROUTER)
    assert (second.chosen_by, second.last_hop, second.rule) == ("connection", known.last_hop, None)


def test_a_last_hop_that_is_new_is_said_to_be_learned(asked: Asked) -> None:
    asked.rig.publish(two_box())
    finding, _ = asked.agree("outside", tcp(), STRANGER)
    assert finding.last_hop is not None
    assert (finding.last_hop.mac, finding.last_hop_known) == (STRANGER, False)
    finding, _ = asked.agree("outside", tcp(sport=40001), STRANGER)
    assert finding.last_hop_known


def test_a_strict_leg_learns_no_stranger_and_none_is_promised(asked: Asked) -> None:
    asked.rig.publish(WORLDS["strict"])
    finding, _ = asked.agree("outside", tcp(), STRANGER)
    assert (finding.reason, finding.last_hop, finding.chosen_by) == ("forwarded_untracked", None, "rendezvous")


def test_a_template_is_named_with_whom_it_binds_to(asked: Asked) -> None:
    asked.rig.publish(two_box(persistence_s=300.0))
    before, _ = asked.agree("outside", tcp(), ROUTER)
    after, _ = asked.agree("outside", tcp(sport=40001), ROUTER)
    assert (before.template, before.chosen_by) == (None, "scheduler")
    assert after.template is not None
    assert (after.template.real_server, after.template.connections, after.chosen_by) == ("fw0", 1, "template")


def test_a_later_fragment_that_a_template_binds_is_said_to_go_by_it(asked: Asked) -> None:
    """Its first fragment was not seen."""
    asked.rig.publish(two_box(persistence_s=300.0))
    asked.agree("outside", tcp(), ROUTER)
    finding, _ = asked.agree("outside", IP(src=CLIENT, dst=WWW, id=7, frag=9, proto=17) / Raw(bytes(64)), ROUTER)
    assert (finding.chosen_by, finding.real_server) == ("template", "fw0")
    finding, _ = asked.agree("outside", IP(src=OTHER_CLIENT, dst=WWW, id=7, frag=9, proto=17) / Raw(bytes(64)), ROUTER)
    assert finding.chosen_by == "rendezvous"


def test_ipv6_is_explained_as_ipv4_is(asked: Asked) -> None:
    from scapy.layers.inet6 import IPv6

    asked.rig.publish(two_box())
    packet = IPv6(src=CLIENT6, dst=WWW6) / TCP(sport=40000, dport=80, flags="S")
    asked.agree("outside", packet, ROUTER)
    finding, _ = asked.agree("outside", packet, ROUTER)
    assert finding.read is not None
    assert str(finding.read.source) == CLIENT6
    assert finding.connection is not None


def live_and_end(asked: Asked) -> None:
    """A whole connection, up to TIME_WAIT."""
    for leg_name, packet, source in (
        ("outside", tcp(), ROUTER), ("firewalls", reply(tcp()), FW[0]), ("outside", tcp("A"), ROUTER),
        ("outside", tcp("FA"), ROUTER), ("firewalls", reply(tcp(), "FA"), FW[0]), ("outside", tcp("A"), ROUTER),
    ):  # fmt: skip
        asked.agree(leg_name, packet, source)


def test_a_connection_that_is_over_is_said_to_be(asked: Asked) -> None:
    asked.rig.publish(two_box())
    live_and_end(asked)
    finding, _ = asked.agree("outside", tcp("S"), ROUTER)
    assert finding.ended
    assert finding.connection is not None
    assert (finding.chosen_by, finding.left_out, finding.real_server) == ("scheduler", "inactive", "fw0")


def test_a_connection_that_is_over_does_not_overload_its_real_server(asked: Asked) -> None:
    """It is the one that reached the threshold."""
    asked.rig.publish(two_box(firewalls(upper_threshold=1)[:1], "wlc"))
    live_and_end(asked)
    other, _ = asked.agree("outside", tcp(source=OTHER_CLIENT), ROUTER)
    finding, _ = asked.agree("outside", tcp(), ROUTER)
    assert (other.reason, finding.reason, finding.left_out) == ("drop_empty", "forwarded_opening", "inactive")


def test_a_frame_that_the_kernel_would_not_try_is_refused_with_the_reason(asked: Asked) -> None:
    asked.rig.publish(two_box())
    with pytest.raises(DataPlaneError, match=f"of {LONGEST + 1} bytes: the kernel tries frames of at most {LONGEST}"):
        asked.inspection.explain("outside", bytes(LONGEST + 1), tagged=True)
    with pytest.raises(DataPlaneError, match="leg 'nowhere': it is not attached"):
        asked.inspection.explain("nowhere", bytes(60), tagged=True)
