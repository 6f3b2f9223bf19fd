"""Later fragments of connections whose real server is dead: they have no ports, no flags, and nothing to answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from lasthop.model.director import Settings
from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath
from tests.packet.frames import tcp
from tests.packet.frames6 import fragments6, ip6, tcp6
from tests.packet.plans import FW, ROUTER, firewalls, mac_of, two_box
from tests.packet.rig import dropped, forwarded
from tests.packet.test_fragments import BODY, big4

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
ACK = TCP(sport=40000, dport=80, flags="A", seq=5000, ack=77)
CONNECTIONS = {
    "ipv4": (tcp(), big4(ACK)),
    "ipv6": (tcp6(), fragments6(ip6() / ACK / BODY, 1000, 7)),
}


def gone(rig: Rig, on_death: OnDeath, family: str = "ipv4", **changes: Any) -> list[Any]:
    """The fragments of a datagram in a connection on fw0, of which the first was seen; then fw0 was disabled."""
    opening, datagram = CONNECTIONS[family]
    rig.publish(two_box(firewalls(3), "fo", on_death=on_death, **changes))
    assert rig.send("outside", opening, ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", datagram[0], ROUTER) == forwarded("REQUEST", FW0)
    dead = replace(firewalls()[0], admin=Admin.DISABLED, usable=False)
    rig.publish(two_box((dead, *firewalls(3)[1:]), "fo", on_death=on_death, **changes))
    return datagram


def test_kept_ones_go_on(rig: Rig) -> None:
    assert rig.send("outside", gone(rig, OnDeath.KEEP)[1], ROUTER) == forwarded("FRAGMENT", FW0)


@pytest.mark.parametrize("family", CONNECTIONS)
def test_dropped_ones_and_those_left_to_the_kernel_are_so_in_fragments_too(rig: Rig, family: str) -> None:
    assert rig.send("outside", gone(rig, OnDeath.DROP, family)[1], ROUTER) == dropped("DEAD")
    rig.reset()
    assert rig.send("outside", gone(rig, OnDeath.BYPASS, family)[1], ROUTER) == rig.kernel("BYPASS")


def test_with_sloppy_tcp_a_rebalanced_connection_leaves_after_a_later_fragment_too(rig: Rig) -> None:
    datagram = gone(rig, OnDeath.REBALANCE)
    rig.send_on("outside", datagram[1], ROUTER)
    outcome, _ = rig.send_on("outside", tcp("A"), ROUTER)
    assert outcome.counted["FORWARDED_MIDSTREAM"] == 1
    assert outcome.hop != FW0


@pytest.mark.parametrize("family", CONNECTIONS)
def test_rebalancing_needs_no_sloppy_tcp_after_a_later_fragment_either(rig: Rig, family: str) -> None:
    datagram = gone(rig, OnDeath.REBALANCE, family, settings=Settings(sloppy_tcp=False))
    rig.send_on("outside", datagram[1], ROUTER)
    outcome, _ = rig.send_on("outside", tcp("A") if family == "ipv4" else tcp6("A"), ROUTER)
    assert "FORWARDED_MIDSTREAM" in outcome.counted, outcome
    assert outcome.hop != FW0


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
@pytest.mark.parametrize("family", CONNECTIONS)
def test_a_later_fragment_is_not_answered_by_a_rst_made_of_its_data(rig: Rig, family: str) -> None:
    """It has no TCP header: the bytes in that place are the sender's."""
    later = gone(rig, OnDeath.RESET, family)[1]
    frame = Ether(dst=mac_of("outside"), src=ROUTER) / later
    verdict, _ = rig.run("outside", bytes(frame))
    assert (verdict, rig._counted()) == ("dropped", {"DROP_DEAD": 1})
