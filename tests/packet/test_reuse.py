"""A SYN on the ports of an earlier connection: a new conversation where that one is over, else the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.packet.frames import reply, tcp
from tests.packet.plans import FW, ROUTER, STRANGER, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

OVER = [("TIME_WAIT", True), ("TIME_WAIT", False), ("CLOSE", True), ("CLOSE", False), ("FIN_WAIT", False)]
GOING_ON = [
    ("ESTABLISHED", True),
    ("ESTABLISHED", False),
    ("SYN_RECV", False),
    ("FIN_WAIT", True),
    ("CLOSE_WAIT", True),
]


@pytest.mark.parametrize(("state", "replied"), OVER)
@pytest.mark.parametrize("from_", ["originator", "responder"])
def test_syn_on_a_connection_that_is_over_is_scheduled_anew(rig: Rig, state: str, from_: str, *, replied: bool) -> None:
    rig.publish(two_box(scheduler="rr"))
    rig.send("outside", tcp(), ROUTER)
    rig.set_state(rig.only_connection(), state, *(["REPLIED"] if replied else []))
    rig.publisher.server_loads["active"], rig.publisher.server_loads["inactive"] = 0, 0
    rig.publisher.server_loads["inactive"][rig.publisher.server_ids()["FWM 1", "fw0"]] = 1
    if from_ == "originator":
        outcome = rig.send_over("outside", tcp(), STRANGER)
        assert outcome == forwarded("OPENING", ("firewalls", FW[1]), EVENT_REUSED=1, EVENT_HOP_LEARNED=1)
        assert rig.only_connection().last_hop == ("outside", STRANGER)
    else:
        outcome = rig.send_over("firewalls", reply(tcp(), "S"), FW[2])
        assert outcome == forwarded("OPENING", ("outside", ROUTER), EVENT_REUSED=1)
        assert rig.only_connection().last_hop == ("firewalls", FW[2])
    new = rig.only_connection()
    assert (new.state, new.flags, new.packets) == ("SYN_RECV", frozenset(), (1, 0))
    assert rig.load_of("fw0") == (0, 0, 0), "the old one counts no more"


@pytest.mark.parametrize(("state", "replied"), GOING_ON)
def test_syn_on_a_connection_that_goes_on_keeps_its_real_server(rig: Rig, state: str, *, replied: bool) -> None:
    rig.publish(two_box(scheduler="rr"))
    rig.send("outside", tcp(), ROUTER)
    rig.set_state(rig.only_connection(), state, *(["REPLIED"] if replied else []))
    assert rig.send("outside", tcp(), ROUTER) == forwarded("REQUEST", ("firewalls", FW[0]))


@pytest.mark.parametrize("flags", ["SA", "A", "FA", "R", "SR", "SF", ""])
def test_anything_but_an_opening_syn_keeps_a_connection_that_is_over(rig: Rig, flags: str) -> None:
    rig.publish(two_box(scheduler="rr"))
    rig.send("outside", tcp(), ROUTER)
    rig.set_state(rig.only_connection(), "TIME_WAIT", "REPLIED")
    assert rig.send("outside", tcp(flags), ROUTER) == forwarded("REQUEST", ("firewalls", FW[0]))
