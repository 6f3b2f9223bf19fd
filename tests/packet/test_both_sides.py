"""Both halves of the sandwich in one data plane: each scheduler, any number of firewalls, openings from either side.

With schedulers that spread connections by load or in turn no hash could tell the way back: the last hop alone does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.policy.schedulers import SCHEDULERS
from tests.packet.frames import reply, tcp, udp
from tests.packet.plans import CORE_FW, FW, INNER_ROUTER, ROUTER, core_firewalls, firewalls, one_box, service
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

CONNECTIONS = 24
#: More than any firewall gets here: ovf gives nobody more connections than its weight.
WEIGHT = 100
TRANSLATED = "10.0.2.200"


def drawn(scheduler: str, count: int) -> Plan:
    """One box between `count` firewalls, which both sides schedule alike."""
    plan = one_box()
    outer = service(1, firewalls(weights=[WEIGHT] * count), scheduler)
    inner = service(3, [replace(each, weight=WEIGHT) for each in core_firewalls(count)], scheduler)
    return replace(plan, services=(outer, plan.services[1], inner, plan.services[3]))


def conversations() -> list[Any]:
    """Their ends differ in all that a scheduler may look at."""
    made = [(udp if number % 3 else tcp) for number in range(CONNECTIONS)]
    return [
        make(source=f"198.51.100.{1 + number % 7}", sport=40000 + number, destination=f"203.0.113.{80 + number % 5}")
        for number, make in enumerate(made)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_response_goes_back_through_the_firewall_of_its_request_whoever_opens(
    rig: Rig, scheduler: str, count: int
) -> None:
    rig.publish(drawn(scheduler, count))
    sides = {
        "outside": (ROUTER, FW, "inside", CORE_FW, "servers", INNER_ROUTER),
        "servers": (INNER_ROUTER, CORE_FW, "firewalls", FW, "outside", ROUTER),
    }
    for number, packet in enumerate(conversations()):
        near = "outside" if number % 2 else "servers"
        opening = packet if near == "outside" else reply(packet, "S")
        router, macs, beyond, macs_beyond, far, far_router = sides[near]
        out = rig.send(near, opening, router)
        assert out.hop is not None
        assert out.counted == {"FORWARDED_OPENING": 1}
        firewall = macs.index(out.hop[1])
        assert firewall < count
        there = rig.send(beyond, opening, macs_beyond[firewall])
        assert there == forwarded("OPENING", (far, far_router))
        back = rig.send(far, reply(opening), far_router)
        assert back == forwarded("RESPONSE", (beyond, macs_beyond[firewall]))
        assert rig.send(out.hop[0], reply(opening), out.hop[1]) == forwarded("RESPONSE", (near, router))
    assert len(rig.connections()) == 2 * CONNECTIONS


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_response_finds_the_firewall_that_translated_its_request(rig: Rig, scheduler: str) -> None:
    """Behind the firewall the addresses are others, its own among them: every firewall has the same source for all."""
    rig.publish(drawn(scheduler, 4))
    for number, packet in enumerate(conversations()):
        out = rig.send("outside", packet, ROUTER)
        assert out.hop is not None
        inner = CORE_FW[FW.index(out.hop[1])]
        make = udp if number % 3 else tcp
        translated = make(source=TRANSLATED, sport=1000 + number, destination=f"203.0.113.{180 + number % 5}")
        assert rig.send("inside", translated, inner) == forwarded("OPENING", ("servers", INNER_ROUTER))
        assert rig.send("servers", reply(translated), INNER_ROUTER) == forwarded("RESPONSE", ("inside", inner))
        assert rig.send("firewalls", reply(packet), out.hop[1]) == forwarded("RESPONSE", ("outside", ROUTER))
