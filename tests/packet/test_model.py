"""Random packets through the data plane and through the model: after each, everything that can be seen is equal."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lasthop.model.director import State
from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath
from tests.packet.frames import CLIENT, OTHER_CLIENT, THIRD_CLIENT, WWW, echo, sctp, tcp, udp
from tests.packet.model import Model, Packet, Service
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, timeouts, two_box

if TYPE_CHECKING:
    from tests.packet.entries import Connection
    from tests.packet.rig import Rig

#: Through each of tc and XDP, other ones through either.
PACKETS = 5_000
WORLD = 250
#: Longer than a world takes: what a world expires it expires by ageing, and virtual time stands still meanwhile.
TIMEOUT_S, AGE_S, PATIENCE_S = 20.0, 12.0, 3.0
#: (scheduler, weights, persistence): what FWM 1 is like.
WORLDS = [("wlc", (1, 2, 0), 0.0), ("rr", (1, 0, 1), 0.0), ("wlc", (1, 1, 1), 20.0), ("rr", (1, 1, 1), 20.0)]
#: on_death and persistence of the worlds in which real servers die and return.
MORTAL = [
    (OnDeath.REBALANCE, 0.0),
    (OnDeath.REBALANCE, 20.0),
    (OnDeath.DROP, 0.0),
    (OnDeath.BYPASS, 20.0),
    (OnDeath.KEEP, 0.0),
]

FLAGS = ["S", "S", "SA", "A", "A", "PA", "FA", "F", "R", "RA", "SF", ""]
#: What stands for TCP's flags where the packet is SCTP's.
CHUNKS = {
    "S": "INIT", "SA": "INIT_ACK", "A": "DATA", "PA": "COOKIE_ECHO", "FA": "SHUTDOWN", "F": "SHUTDOWN_ACK",
    "R": "ABORT", "RA": "SHUTDOWN_COMPLETE", "SF": "COOKIE_ACK", "": "ERROR",
}  # fmt: skip
CAME = [("outside", ROUTER)] * 4 + [("outside", STRANGER), ("firewalls", STRANGER)]
CAME += [("firewalls", mac) for mac in FW[:3] for _ in range(2)]
Step = Packet | str


def clients_side(came: tuple[str, str], *, reverse: bool) -> bool:
    return (came[0] == "outside") != reverse


def made(came: Any, protocol: str, client: str, port: int, flags: str, *, reverse: bool) -> Packet:
    """A packet between a client and www, mostly from the side its leg is on."""
    ends = ((client, port), (WWW, port if protocol == "icmp" else 80))
    source, destination = ends if clients_side(came, reverse=reverse) else ends[::-1]
    if protocol == "sctp":
        flags = CHUNKS[flags]
    elif protocol != "tcp":
        flags = "S" if flags in {"S", "A", "F"} else "SA"
    return Packet(came, protocol, source, destination, flags)


@lru_cache(maxsize=4096)
def frame(packet: Packet) -> bytes:
    (source, sport), (destination, dport) = packet.source, packet.destination
    if packet.protocol == "tcp":
        return bytes(tcp(packet.flags, source, sport, destination, dport))
    if packet.protocol == "udp":
        return bytes(udp(source, sport, destination, dport))
    if packet.protocol == "sctp":
        return bytes(sctp(packet.flags, source, sport, destination, dport))
    return bytes(echo(source, destination, sport, kind=8 if packet.flags == "S" else 0))


def begin(rig: Rig, scheduler: str, weights: tuple[int, ...], persistence_s: float) -> Model:
    rig.reset()
    seconds = {state.name: TIMEOUT_S for state in State}
    servers = firewalls(weights=weights)
    plan = two_box(servers, scheduler, persistence_s=persistence_s or None, timeouts=timeouts(seconds))
    rig.publish(plan)
    boxes = {each.name: (("firewalls", FW[i]), each.weight) for i, each in enumerate(servers)}
    router = {"router": (("outside", ROUTER), 1)}
    services = [
        Service("FWM 1", "outside", boxes, scheduler, persistence_s),
        Service("FWM 2", "firewalls", router, "wlc", 0),
    ]
    return Model(services, seconds)


def begin_mortal(rig: Rig, on_death: OnDeath, persistence_s: float) -> Model:
    """Three firewalls, wlc: a rule that goes by turns would begin anew with each death."""
    model = begin(rig, "wlc", (1, 2, 1), persistence_s)
    model.services[0].on_death = on_death.value
    turn_over(rig, model, "")
    return model


def turn_over(rig: Rig, model: Model, name: str) -> None:
    """Let a firewall die, or live again."""
    service = model.services[0]
    service.dead ^= {name} if name else set()
    servers = tuple(
        replace(each, admin=Admin.DISABLED, usable=False) if each.name in service.dead else each
        for each in firewalls(weights=(1, 2, 1))
    )
    rig.publish(
        two_box(
            servers,
            "wlc",
            on_death=OnDeath(service.on_death),
            persistence_s=service.persistence_s or None,
            timeouts=timeouts(model.timeouts),
        )
    )


def take(rig: Rig, model: Model, step: Step) -> None:
    if isinstance(step, str) and step.startswith("fw"):
        turn_over(rig, model, step)
    elif step == "age":
        rig.age(AGE_S)
        model.now += AGE_S
    elif step == "sweep":
        rig.sweep()
        model.sweep()
    elif isinstance(step, Packet):
        outcome, handed = rig.send_on(step.came[0], frame(step), step.came[1])
        reason, hop = model.receive(step)
        assert outcome.hop == hop
        assert {name: n for name, n in outcome.counted.items() if not name.startswith("EVENT")} == {reason: 1}
        assert handed == (rig.entry == "xdp" and (reason.startswith("KERNEL") or model.ended))


def compare(rig: Rig, model: Model, known: dict[bytes, Connection]) -> None:
    found = {
        (each.protocol, each.source, each.destination): (
            each.state, set(each.flags), each.service, each.server, each.forward_hop, each.last_hop, list(each.packets)
        )
        for each in rig.changed_connections(known)
    }  # fmt: skip
    expected = {
        (protocol, each.source, *(ends - {each.source})): (
            each.state, each.flags, each.service, each.server, each.forward, each.last, each.packets
        )
        for (protocol, ends), each in model.table.items()
    }  # fmt: skip
    assert found == expected
    for service in model.services:
        for name in service.servers:
            assert rig.load_of(name, service.label) == model.load(service.label, name), (service.label, name)


def walk(rig: Rig, model: Model, steps: list[Step]) -> int:
    """Take the steps and compare after each; gives up a world that lives longer than the clock may stand still."""
    started = time.monotonic()
    known: dict[bytes, Connection] = {}
    for count, step in enumerate(steps):
        take(rig, model, step)
        if time.monotonic() - started > PATIENCE_S:
            return count
        compare(rig, model, known)
    return len(steps)


def random_step(rng: random.Random) -> Step:
    drawn = rng.random()
    if drawn < 0.02:
        return "age"
    if drawn < 0.03:
        return "sweep"
    client = rng.choice([CLIENT, OTHER_CLIENT, THIRD_CLIENT])
    protocol = rng.choice(["tcp", "tcp", "tcp", "sctp", "sctp", "udp", "icmp"])
    came, flags, port = rng.choice(CAME), rng.choice(FLAGS), rng.choice([40000, 40001])
    return made(came, protocol, client, port, flags, reverse=rng.random() < 0.15)


def test_ten_thousand_random_packets_do_what_the_model_says(rig: Rig) -> None:
    rng = random.Random(rig.entry)
    taken = worlds = 0
    while taken < PACKETS:
        model = begin(rig, *WORLDS[worlds % len(WORLDS)])
        taken += walk(rig, model, [random_step(rng) for _ in range(WORLD)])
        worlds += 1


def test_random_packets_while_firewalls_die_and_return_do_what_the_model_says(rig: Rig) -> None:
    rng = random.Random(rig.entry)
    taken = worlds = 0
    while taken < PACKETS // 2:
        model = begin_mortal(rig, *MORTAL[worlds % len(MORTAL)])
        steps = [rng.choice(["fw0", "fw1", "fw2"]) if rng.random() < 0.04 else random_step(rng) for _ in range(WORLD)]
        taken += walk(rig, model, steps)
        worlds += 1


STEPS = st.lists(
    st.one_of(
        st.builds(
            made,
            st.sampled_from(CAME),
            st.sampled_from(["tcp", "sctp", "udp", "icmp"]),
            st.sampled_from([CLIENT, OTHER_CLIENT]),
            st.just(40000),
            st.sampled_from(sorted(set(FLAGS))),
            reverse=st.booleans(),
        ),
        st.sampled_from(["age", "sweep"]),
    ),
    max_size=25,
)


@pytest.mark.parametrize("world", WORLDS, ids=str)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_short_sequences_that_shrink_do_what_the_model_says(rig: Rig, world: Any, steps: list[Step]) -> None:
    walk(rig, begin(rig, *world), steps)
