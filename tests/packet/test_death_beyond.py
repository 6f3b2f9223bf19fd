"""A dead real server seen from the other side of it, where it is a last hop; and what its return moves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath
from tests.packet.frames import reply, tcp, udp
from tests.packet.plans import FW, ROUTER, firewalls, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

TO_ROUTER = ("outside", ROUTER)


def drawn(on_death: OnDeath, *, dead: bool) -> Plan:
    """Three firewalls, rr; of fw0 both services know when it is dead."""
    first, *others = firewalls(3)
    first = replace(first, admin=Admin.DISABLED, usable=False) if dead else first
    return two_box((first, *others), "rr", on_death=on_death)


@pytest.mark.parametrize("on_death", OnDeath)
def test_where_the_dead_one_is_a_last_hop_responses_go_on_to_it_until_a_request_comes_through_another(
    rig: Rig, on_death: OnDeath
) -> None:
    """The connection was scheduled to the router; that the firewall is dead to others ends nothing of it."""
    rig.publish(drawn(on_death, dead=False))
    assert rig.send("firewalls", udp(), FW[0]) == forwarded("OPENING", TO_ROUTER)
    rig.publish(drawn(on_death, dead=True))
    assert rig.send("outside", reply(udp()), ROUTER) == forwarded("RESPONSE", ("firewalls", FW[0]))
    assert rig.send("firewalls", udp(), FW[1]) == forwarded("REQUEST", TO_ROUTER, EVENT_LAST_HOP_MOVED=1)
    assert rig.send("outside", reply(udp()), ROUTER) == forwarded("RESPONSE", ("firewalls", FW[1]))


@pytest.mark.parametrize("on_death", OnDeath)
def test_a_real_server_that_returns_takes_nothing_that_lives_elsewhere(rig: Rig, on_death: OnDeath) -> None:
    rig.publish(drawn(on_death, dead=True))
    where = {port: rig.send("outside", tcp(sport=port), ROUTER).hop for port in range(1, 9)}
    assert set(where.values()) == {("firewalls", FW[1]), ("firewalls", FW[2])}
    rig.publish(drawn(on_death, dead=False))
    for port, hop in where.items():
        assert hop is not None
        assert rig.send("outside", tcp("A", sport=port), ROUTER) == forwarded("REQUEST", hop)
        assert rig.send("firewalls", reply(tcp(sport=port)), hop[1]) == forwarded("RESPONSE", TO_ROUTER)
    new = {rig.send("outside", tcp(sport=port), ROUTER).hop for port in range(20, 23)}
    assert ("firewalls", FW[0]) in new, "new ones it gets at once"
