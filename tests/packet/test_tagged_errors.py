"""ICMP errors on tagged legs: about either direction, from whomever, to the hop and with the tags of that direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.packet.frames import (
    CLIENT,
    FRAGMENTATION_NEEDED,
    OPTIONS,
    TIME_EXCEEDED,
    UNREACHABLE,
    WWW,
    error,
    reply,
    tcp,
    udp,
)
from tests.packet.plans import FW, ROUTER, mac_of
from tests.packet.test_vlan import MAC, NAMES, NONE, ONE, OTHER_ONE, OTHER_TWO, TWO, framed, seen, sent, trunk

if TYPE_CHECKING:
    from lasthop.model.vlan import Vlan
    from tests.packet.rig import Rig

#: A router, a firewall; None: the end that the packet was for.
SENDERS = ["192.0.2.1", "10.0.1.11", None]


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("outside", [NONE, ONE, TWO], ids=NAMES.get)
@pytest.mark.parametrize("firewalls", [NONE, OTHER_ONE, OTHER_TWO], ids=NAMES.get)
def test_an_error_leaves_with_the_tags_of_the_leg_its_connections_packets_leave_by(
    rig: Rig, outside: Vlan | None, firewalls: Vlan | None, sender: str | None
) -> None:
    rig.publish(trunk(outside, firewalls))
    beyond = mac_of("firewalls") if outside == firewalls else MAC
    leg_beyond = "firewalls" if outside == firewalls else "outside"
    for request in (tcp(), udp(options=[OPTIONS])):
        sent(rig, framed(outside, request))
        for kind, code in ((UNREACHABLE, 3), (UNREACHABLE, FRAGMENTATION_NEEDED), (TIME_EXCEEDED, 0)):
            about = error(request, sender or WWW, kind, code)
            verdict, after, counted = sent(rig, framed(firewalls, about, to=beyond, source=FW[0]), leg_beyond)
            assert (verdict, counted) == ("forwarded", {"FORWARDED_RELATED": 1})
            wanted = framed(outside, about, to=ROUTER, source=MAC)
            assert after == seen(rig, outside, wanted, touched=outside != firewalls)
            about = error(reply(request), sender or CLIENT, kind, code)
            verdict, after, counted = sent(rig, framed(outside, about))
            assert (verdict, counted) == ("forwarded", {"FORWARDED_RELATED": 1})
            wanted = framed(firewalls, about, to=after[:6].hex(":"), source=beyond)
            assert after == seen(rig, firewalls, wanted, touched=outside != firewalls)
            assert after[:6].hex(":") in FW
