"""A program in front of a former version's: what it leaves to that one, and what it touches before it is for good."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.loader import load_program
from tests.packet.conftest import CONNECTIONS
from tests.packet.frames import reply, tcp, udp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, mac_of, two_box
from tests.packet.rig import Rig, _ethernet, forwarded

if TYPE_CHECKING:
    from collections.abc import Iterator

FW0, BACK = ("firewalls", FW[0]), ("outside", ROUTER)


class Front:
    """A rig whose tc program takes over; `program` puts it there or takes it away."""

    def __init__(self) -> None:
        self.rig = Rig(CONNECTIONS)
        self._usual = self.rig.loaded.programs["lh_tc"]
        self._front = load_program(self.rig.loaded, "lh_tc", {"taking_over": 1})

    def close(self) -> None:
        self.rig.loaded.programs["lh_tc"] = self._usual
        os.close(self._front)
        self.rig.close()

    def begin(self, phase: str) -> None:
        self.rig.loaded.programs["lh_tc"] = self._front
        self.rig.publisher.live["takeover"] = abi.enum("takeover_phase")[f"TAKEOVER_{phase}"]

    def leaves(self, leg: str, packet: Any, source: str) -> bool:
        """Whether it goes on to the program behind, untouched and not counted."""
        frame = _ethernet(mac_of(leg), source, packet) + bytes(packet)
        self.rig._counted()
        verdict, after = self.rig.run(leg, frame)
        return (verdict, after, self.rig._counted()) == ("kernel", frame, {})

    def hide(self) -> None:
        """The connections that there are become the former program's, not copied yet: their slots have tags only."""
        self.rig.entries["word"] = 0


@pytest.fixture(scope="module")
def shared(namespace: None) -> Iterator[Front]:
    made = Front()
    yield made
    made.close()


@pytest.fixture
def front(shared: Front) -> Front:
    """With no connection yet, and the usual program."""
    shared.rig.loaded.programs["lh_tc"] = shared._usual
    shared.rig.reset()
    shared.rig.publish(two_box(firewalls(1)))
    return shared


def test_known_connections_are_forwarded_and_followed(front: Front) -> None:
    front.rig.send("outside", tcp(), ROUTER)
    front.begin("KNOWN")
    assert front.rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", BACK)
    assert front.rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
    assert front.rig.only_connection().state == "ESTABLISHED"


def test_until_it_is_on_every_leg_it_leaves_all_others(front: Front) -> None:
    front.begin("KNOWN")
    assert front.leaves("outside", tcp(), ROUTER)
    assert front.leaves("outside", tcp("A"), ROUTER)
    assert front.leaves("outside", udp(), ROUTER)
    assert not np.count_nonzero(front.rig.entries["word"])


def test_until_then_it_neither_ends_a_connection_nor_learns_a_hop(front: Front) -> None:
    front.rig.send("outside", tcp(), ROUTER)
    front.begin("KNOWN")
    assert front.rig.send("outside", tcp("A"), STRANGER).hop == FW0
    assert int(front.rig.publisher.live["next_hop"][0]) == 1
    front.rig.send("outside", tcp("R"), ROUTER)
    assert front.rig.only_connection().state == "CLOSE"
    assert front.leaves("outside", tcp(), ROUTER), "its ports are used again"
    assert front.rig.only_connection().state == "CLOSE"


def test_then_it_opens_what_nobody_knows(front: Front) -> None:
    front.begin("NEW")
    assert front.rig.send("outside", tcp(), STRANGER) == forwarded("OPENING", FW0, EVENT_HOP_LEARNED=1)
    assert front.rig.send("outside", tcp("A", sport=2), ROUTER) == forwarded("MIDSTREAM", FW0)


def test_what_has_a_tag_and_no_entry_is_the_former_programs_still(front: Front) -> None:
    front.rig.send("outside", tcp(), ROUTER)
    front.rig.send("outside", udp(), ROUTER)
    front.hide()
    front.begin("NEW")
    assert front.leaves("outside", tcp(), ROUTER), "a SYN that is sent again too"
    assert front.leaves("firewalls", reply(tcp()), FW[0])
    assert front.leaves("outside", udp(), ROUTER)
    assert front.rig.send("outside", tcp(sport=3), ROUTER) == forwarded("OPENING", FW0)


def test_when_all_are_copied_it_is_like_any(front: Front) -> None:
    front.rig.send("outside", tcp(), ROUTER)
    front.hide()
    front.begin("NONE")
    assert front.rig.send("outside", tcp("A"), ROUTER) == forwarded("MIDSTREAM", FW0)
