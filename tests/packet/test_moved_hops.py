"""Hops that move as the kernel says of neighbours: connections follow by one write, frames from the old MAC do not."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, UDP, fragment

from lasthop.model.leg import ReplyTo
from tests.packet.frames import CLIENT, WWW, error, reply, tcp, udp
from tests.packet.frames6 import back, tcp6
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.model.real_server import Address
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

OLD, NEW, OTHER = STRANGER, "02:00:00:00:ab:01", "02:00:00:00:ab:02"
FW0 = ("firewalls", FW[0])
ROUTER_ADDRESS, SECOND_ADDRESS, ADDRESS6 = IPv4Address("192.0.2.20"), IPv4Address("192.0.2.21"), IPv6Address("fe80::20")


def knowing(*neighbours: tuple[str, Address], leg_name: str = "outside", **changes: Any) -> Plan:
    """A director whose kernel knows these (MAC, address) on one leg."""
    legs = (leg("outside", **changes), leg("firewalls"))
    return replace(two_box(legs=legs), neighbours=tuple((leg_name, mac, address) for mac, address in neighbours))


def response(rig: Rig, packet: Any = None) -> tuple[str, str] | None:
    return rig.send("firewalls", reply(tcp()) if packet is None else packet, FW[0]).hop


def test_connections_follow_a_learned_router_to_its_new_mac_before_any_request(rig: Rig) -> None:
    rig.publish(knowing((OLD, ROUTER_ADDRESS)))
    rig.send("outside", tcp(), OLD)
    for port in range(1, 6):
        rig.send("outside", udp(sport=port), OLD)
    hop_id = rig.hop_id(("outside", OLD))
    rig.publish(knowing((NEW, ROUTER_ADDRESS)))
    assert rig.hop_id(("outside", NEW)) == hop_id, "the hop itself was re-pointed"
    assert {each.last_hop for each in rig.connections()} == {("outside", NEW)}
    assert response(rig) == ("outside", NEW)
    assert int(rig.hops.hops["moved"][hop_id]) == 1


def test_a_request_from_the_new_mac_finds_everything_done(rig: Rig) -> None:
    rig.publish(knowing((OLD, ROUTER_ADDRESS)))
    rig.send("outside", tcp(), OLD)
    rig.publish(knowing((NEW, ROUTER_ADDRESS)))
    assert rig.send("outside", tcp("A"), NEW) == forwarded("REQUEST", FW0), "and no event"
    assert rig.send("outside", tcp(sport=2), NEW).counted == {"FORWARDED_OPENING": 1}, "nor a second hop"


def test_a_frame_from_the_old_mac_teaches_a_new_hop(rig: Rig) -> None:
    rig.publish(knowing((OLD, ROUTER_ADDRESS)))
    rig.send("outside", tcp(), OLD)
    rig.publish(knowing((NEW, ROUTER_ADDRESS)))
    stale = rig.send("outside", tcp("A"), OLD)
    assert stale == forwarded("REQUEST", FW0, EVENT_LAST_HOP_MOVED=1, EVENT_HOP_LEARNED=1)
    assert rig.hop_id(("outside", OLD)) not in (0, rig.hop_id(("outside", NEW)))
    assert response(rig) == ("outside", OLD), "it follows each request"


def test_a_router_with_an_address_left_where_it_was_drags_nobody_along(rig: Rig) -> None:
    """One of two VRRP groups fails over."""
    rig.publish(knowing((OLD, ROUTER_ADDRESS), (OLD, SECOND_ADDRESS)))
    rig.send("outside", tcp(), OLD)
    rig.publish(knowing((NEW, ROUTER_ADDRESS), (OLD, SECOND_ADDRESS)))
    assert response(rig) == ("outside", OLD)
    rig.publish(knowing((NEW, ROUTER_ADDRESS), (NEW, SECOND_ADDRESS)))
    assert response(rig) == ("outside", NEW), "the last one left"


def test_addresses_that_leave_for_two_places_tell_nothing(rig: Rig) -> None:
    rig.publish(knowing((OLD, ROUTER_ADDRESS), (OLD, SECOND_ADDRESS)))
    rig.send("outside", tcp(), OLD)
    rig.publish(knowing((NEW, ROUTER_ADDRESS), (OTHER, SECOND_ADDRESS)))
    assert response(rig) == ("outside", OLD)


def test_an_address_whose_entry_was_gone_for_a_while_moves_from_where_it_was(rig: Rig) -> None:
    rig.publish(knowing((OLD, ROUTER_ADDRESS)))
    rig.send("outside", tcp(), OLD)
    rig.publish(knowing())
    assert response(rig) == ("outside", OLD)
    rig.publish(knowing((NEW, ROUTER_ADDRESS)))
    assert response(rig) == ("outside", NEW)


def test_a_link_local_ipv6_address_moves_its_router_for_both_families(rig: Rig) -> None:
    rig.publish(knowing((OLD, ADDRESS6)))
    rig.send("outside", tcp(), OLD)
    rig.send("outside", tcp6(), OLD)
    rig.publish(knowing((NEW, ADDRESS6)))
    assert response(rig) == ("outside", NEW)
    other = next(each for each in rig.connections() if ":" in each.source[0]).forward_hop[1]
    assert rig.send("firewalls", back(tcp6()), other).hop == ("outside", NEW)


def test_the_same_mac_on_another_leg_is_somebody_else(rig: Rig) -> None:
    rig.publish(knowing((OLD, ROUTER_ADDRESS), leg_name="firewalls"))
    rig.send("outside", tcp(), OLD)
    rig.publish(knowing((NEW, ROUTER_ADDRESS), leg_name="firewalls"))
    assert response(rig) == ("outside", OLD)


def test_who_moves_to_the_mac_of_a_known_hop_shares_the_way_of_it(rig: Rig) -> None:
    """A router that takes over from another: the connections of both go there."""
    rig.publish(knowing((OLD, ROUTER_ADDRESS), (OTHER, SECOND_ADDRESS)))
    rig.send("outside", tcp(), OLD)
    rig.send("outside", udp(), OTHER)
    rig.publish(knowing((OTHER, ROUTER_ADDRESS), (OTHER, SECOND_ADDRESS)))
    assert {each.last_hop for each in rig.connections()} == {("outside", OTHER)}
    assert rig.send("outside", tcp("A"), OTHER) == forwarded("REQUEST", FW0), "two hops at one place are one way"


def test_a_real_server_is_moved_by_its_own_address_alone(rig: Rig) -> None:
    """The kernel's other neighbours at its MAC address are hosts behind it, or its other addresses."""
    plan = knowing((FW[0], IPv4Address("10.9.9.9")), leg_name="firewalls")
    rig.publish(plan)
    rig.send("outside", tcp(), ROUTER)
    rig.publish(knowing((NEW, IPv4Address("10.9.9.9")), leg_name="firewalls"))
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
    moved = (replace(firewalls()[0], mac=NEW), *firewalls()[1:])
    rig.publish(two_box(moved))
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", ("firewalls", NEW))
    assert rig.send("firewalls", reply(tcp()), NEW) == forwarded("RESPONSE", ("outside", ROUTER))


def test_a_hop_taught_at_a_real_servers_old_mac_moves_with_it(rig: Rig) -> None:
    """Connections that firewalls opened have them as last hops."""
    rig.publish(two_box())
    opened = udp(source=WWW, sport=5, destination=CLIENT, dport=5)
    assert rig.send("firewalls", opened, FW[1]) == forwarded("OPENING", ("outside", ROUTER))
    rig.publish(two_box((firewalls()[0], replace(firewalls()[1], mac=NEW), *firewalls()[2:])))
    assert rig.send("outside", reply(opened), ROUTER) == forwarded("RESPONSE", ("firewalls", NEW))
    assert rig.send("firewalls", opened, NEW) == forwarded("REQUEST", ("outside", ROUTER))


def test_a_response_from_a_real_servers_old_mac_is_nobodys(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.publish(two_box((replace(firewalls()[0], mac=NEW), *firewalls()[1:])))
    late = rig.send("firewalls", reply(tcp()), FW[0])
    assert late == forwarded("RESPONSE", ("outside", ROUTER), EVENT_RESPONSE_ELSEWHERE=1)


def test_errors_and_later_fragments_follow_a_moved_hop(rig: Rig) -> None:
    rig.publish(knowing((OLD, ROUTER_ADDRESS)))
    rig.send("outside", udp(), OLD)
    answer = IP(src=WWW, dst=CLIENT, id=5) / UDP(sport=80, dport=40000) / bytes(2500)
    first, later, *_ = fragment(answer, 1000)  # type: ignore[no-untyped-call]
    assert response(rig, first) == ("outside", OLD)
    rig.publish(knowing((NEW, ROUTER_ADDRESS)))
    assert response(rig, later) == ("outside", NEW)
    assert response(rig, error(udp(), WWW)) == ("outside", NEW)


@pytest.mark.parametrize("strict", [False, True])
def test_a_neighbour_that_moves_is_answered_at_its_new_mac_on_every_kind_of_leg(rig: Rig, strict: bool) -> None:
    """The sender itself is on the link, and the kernel knows it."""
    sender = IPv4Address(CLIENT)
    changes: dict[str, Any] = {
        "reply_to": ReplyTo.NEIGHBOUR,
        "strict": strict,
        "subnets": (IPv4Network("198.51.100.0/24"),),
    }
    rig.publish(knowing((OLD, sender), **changes))
    assert rig.send("outside", tcp(), OLD).counted == {"FORWARDED_OPENING": 1}, "the kernel taught the hop"
    rig.publish(knowing((NEW, sender), **changes))
    assert response(rig) == ("outside", NEW)
    assert rig.send("outside", tcp("A"), NEW) == forwarded("REQUEST", FW0)
    assert rig.send("outside", tcp("A"), OTHER) == forwarded("REQUEST", FW0), "its own entry, whoever sent it"


def test_a_real_server_and_its_backup_change_places_by_one_publication(rig: Rig) -> None:
    """Connections keep their hop, and what comes from the backup is the real server's."""
    both = firewalls(2)
    rig.publish(two_box((both[0], replace(both[1], usable=False, weight=0))))
    assert rig.send("outside", tcp(), ROUTER).hop == FW0
    hop_id = rig.hop_id(FW0)
    there = replace(both[0], mac=FW[1], address=both[1].address)
    gone = replace(both[1], mac=FW[0], address=both[0].address, usable=False, weight=0)
    for _ in range(2):
        rig.publish(two_box((there, gone)))
        assert rig.hop_id(("firewalls", FW[1])) == hop_id
        assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", ("firewalls", FW[1]))
        assert rig.send("firewalls", reply(tcp()), FW[1]) == forwarded("RESPONSE", ("outside", ROUTER))
        rig.publish(two_box((both[0], replace(both[1], usable=False, weight=0))))
        assert rig.hop_id(FW0) == hop_id
        assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
        assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", ("outside", ROUTER))
