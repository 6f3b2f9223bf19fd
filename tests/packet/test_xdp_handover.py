"""What XDP cannot send on it hands to tc before anything is touched: tc then finds everything as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.packet.frames import reply, tcp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
HANDED_OVER = {"KERNEL_TC": 1}


@pytest.fixture
def entry() -> str:
    """XDP alone; a test turns to tc itself."""
    return "xdp"


def everything(rig: Rig) -> dict[str, Any]:
    """All that packets may write, but the counted reasons."""
    arrays = ("live", "server_loads", "service_loads", "legs", "hops", "tags", "entries", "table")
    hashes = ("templates", "hop_index")
    raw = {name: bytes(rig._memory[name]) for name in arrays}
    return raw | {name: rig.maps[name].entries() for name in hashes}


def mute(rig: Rig, *legs: str) -> None:
    rig.attachments.mute = set(legs)
    rig.publish(two_box(firewalls(), "rr", persistence_s=60.0))


def test_new_connection_towards_a_leg_that_transmits_no_xdp_is_left_to_tc(rig: Rig) -> None:
    mute(rig, "firewalls")
    before = everything(rig)
    for flags in ("S", "A", "R"):
        assert rig.send("outside", tcp(flags), STRANGER).counted == HANDED_OVER
    assert everything(rig) == before
    rig.entry = "tc"
    assert rig.send("outside", tcp(), STRANGER) == forwarded("OPENING", FW0, EVENT_HOP_LEARNED=1)


@pytest.mark.parametrize("flags", ["S", "A", "FA", "R"])
def test_known_connection_towards_a_leg_that_transmits_no_xdp_is_left_to_tc(rig: Rig, flags: str) -> None:
    mute(rig, "firewalls")
    rig.entry = "tc"
    rig.send("outside", tcp(), ROUTER)
    rig.entry = "xdp"
    before = everything(rig)
    assert rig.send("outside", tcp(flags), STRANGER).counted == HANDED_OVER
    assert everything(rig) == before
    assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", ("outside", ROUTER)), "that leg does"


def test_syn_on_reused_ports_towards_such_a_leg_leaves_the_old_connection_to_tc(rig: Rig) -> None:
    mute(rig, "firewalls")
    rig.entry = "tc"
    rig.send("outside", tcp(), ROUTER)
    rig.set_state(rig.only_connection(), "TIME_WAIT", "REPLIED")
    rig.entry = "xdp"
    before = everything(rig)
    assert rig.send("outside", tcp(), ROUTER).counted == HANDED_OVER
    assert everything(rig) == before


def test_service_is_left_to_tc_when_one_of_its_legs_transmits_no_xdp(rig: Rig) -> None:
    mute(rig, "outside")
    assert rig.send("firewalls", tcp(), FW[0]).counted == HANDED_OVER
    assert rig.send("outside", tcp(sport=2), ROUTER) == forwarded("OPENING", FW0)


def test_frame_too_big_for_the_egress_leg_takes_no_turn_and_binds_no_client(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr", mtu=1000, persistence_s=60.0))
    before = everything(rig)
    assert rig.send("outside", tcp() / bytes(1200), ROUTER).counted == HANDED_OVER
    assert everything(rig) == before


def test_packet_for_the_kernel_changes_nothing_on_its_way(rig: Rig) -> None:
    rig.publish(two_box(rules=()))
    before = everything(rig)
    assert rig.send("outside", tcp(), STRANGER).counted == HANDED_OVER
    assert everything(rig) == before


def test_frame_in_several_buffers_is_left_to_tc(rig: Rig) -> None:
    """The egress driver may take only one buffer."""
    rig.publish(two_box(mtu=9000))
    rig.send("outside", tcp(), ROUTER)
    before = everything(rig)
    assert rig.send("outside", tcp("A") / bytes(6000), ROUTER).counted == HANDED_OVER
    assert everything(rig) == before
