"""Whom responses are sent to, by the leg's policy: who sent the request, a neighbour, or only who is known."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP

from lasthop.model.leg import ReplyTo
from tests.packet.frames import CLIENT, WWW, echo, error, in_fragments, reply, sctp, tcp, udp
from tests.packet.frames6 import CLIENT6, back, error6, fragments6, tcp6, udp6
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, mac_of, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
PHYSICAL, OTHER_PHYSICAL = "02:00:00:00:bb:01", "02:00:00:00:bb:02"
VIRTUAL, SECOND_VIRTUAL = "00:00:5e:00:01:0a", "00:00:5e:00:01:0b"
GATEWAY, SECOND_GATEWAY = IPv4Address("192.0.2.10"), IPv4Address("192.0.2.11")
ON_LINK, HOST, HOST_MAC = IPv4Network("192.0.2.0/24"), IPv4Address("192.0.2.77"), "02:00:00:00:cc:77"
ON_LINK6, HOST6 = IPv6Network("2001:db8:1::/64"), IPv6Address("2001:db8:1::77")


def neighbourly(gateways: tuple[IPv4Address, ...] = (GATEWAY,), **changes: Any) -> Plan:
    """A leg that replies to the neighbour; the kernel knows both gateways and a host on the link."""
    outside = leg(
        "outside",
        reply_to=ReplyTo.NEIGHBOUR,
        gateways=gateways,
        subnets=(ON_LINK, ON_LINK6),
        device=101,
        **changes,
    )
    known = (
        ("outside", VIRTUAL, GATEWAY),
        ("outside", SECOND_VIRTUAL, SECOND_GATEWAY),
        ("outside", HOST_MAC, HOST),
        ("outside", HOST_MAC, HOST6),
    )
    return replace(two_box(legs=(outside, leg("firewalls"))), neighbours=known)


def test_a_request_from_the_physical_mac_is_answered_at_the_gateways(rig: Rig) -> None:
    """HSRP and VRRP routers send from their own address and want to be answered at the virtual one."""
    rig.publish(neighbourly())
    assert rig.send("outside", tcp(), PHYSICAL) == forwarded("OPENING", FW0)
    assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", ("outside", VIRTUAL))
    assert rig.send("outside", tcp("A"), OTHER_PHYSICAL) == forwarded("REQUEST", FW0), "and no event"
    assert rig.only_connection().last_hop == ("outside", VIRTUAL)
    assert rig.hop_id(("outside", PHYSICAL)) == 0, "nothing is learned"
    assert rig.send("outside", tcp6(), PHYSICAL).verdict == "forwarded"
    assert rig.send("firewalls", back(tcp6()), FW[1]) == forwarded("RESPONSE", ("outside", VIRTUAL))


def test_of_two_gateways_each_is_answered_and_a_stranger_by_the_first(rig: Rig) -> None:
    rig.publish(neighbourly((GATEWAY, SECOND_GATEWAY)))
    for port, (source, answered) in enumerate(
        [(VIRTUAL, VIRTUAL), (SECOND_VIRTUAL, SECOND_VIRTUAL), (PHYSICAL, VIRTUAL)], 1
    ):
        rig.send("outside", udp(sport=port), source)
        (connection,) = [each for each in rig.connections() if each.source[1] == port]
        assert connection.last_hop == ("outside", answered)
    moved = rig.send("outside", udp(sport=1), SECOND_VIRTUAL)
    assert moved.counted["EVENT_LAST_HOP_MOVED"] == 1, "the other gateway sends it now"


def test_a_host_on_the_link_is_answered_directly_whoever_sent_its_request(rig: Rig) -> None:
    rig.publish(neighbourly())
    rig.send("outside", tcp(source=str(HOST)), PHYSICAL)
    assert rig.only_connection().last_hop == ("outside", HOST_MAC)
    rig.forget()
    rig.send("outside", tcp6(source=str(HOST6)), VIRTUAL)
    assert rig.only_connection().last_hop == ("outside", VIRTUAL), "a gateway that sends for it is known"
    rig.forget()
    rig.send("outside", tcp6(source=str(HOST6)), PHYSICAL)
    assert rig.only_connection().last_hop == ("outside", HOST_MAC)


def test_a_host_on_the_link_that_the_kernel_does_not_know_is_answered_where_it_sent_from(rig: Rig) -> None:
    rig.publish(neighbourly())
    rig.send("outside", tcp(source="192.0.2.200"), STRANGER)
    assert rig.only_connection().last_hop == ("outside", STRANGER)


def test_while_no_gateway_is_known_the_source_is_answered(rig: Rig) -> None:
    rig.publish(replace(neighbourly(), neighbours=()))
    rig.send("outside", tcp(), PHYSICAL)
    assert rig.only_connection().last_hop == ("outside", PHYSICAL)


def test_a_gateway_that_moves_takes_its_connections_along_by_one_write(rig: Rig) -> None:
    plan = neighbourly()
    rig.publish(plan)
    rig.send("outside", tcp(), PHYSICAL)
    rig.publish(replace(plan, neighbours=(("outside", SECOND_VIRTUAL, GATEWAY),)))
    assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", ("outside", SECOND_VIRTUAL))


def strict(**changes: Any) -> Plan:
    outside = leg("outside", strict=True, subnets=(ON_LINK,), device=101, **changes)
    return replace(two_box(legs=(outside, leg("firewalls"))), neighbours=(("outside", HOST_MAC, HOST),))


def test_a_strict_leg_learns_nobody_and_serves_all(rig: Rig) -> None:
    rig.publish(strict())
    outcome = rig.send("outside", tcp(), STRANGER)
    assert outcome.counted == {"FORWARDED_UNTRACKED": 1, "EVENT_HOP_DENIED": 1}
    assert (rig.connections(), rig.hop_id(("outside", STRANGER))) == ([], 0)


def test_whom_a_strict_leg_denies_goes_by_rendezvous_and_takes_no_ones_turn(rig: Rig) -> None:
    """Nothing remembers such a connection: the scheduler's choice would hold for one packet."""
    rig.publish(replace(strict(), services=two_box(firewalls(), "rr").services))
    assert rig.send("outside", udp(sport=1), ROUTER) == forwarded("OPENING", FW0)
    assert len({rig.send("outside", udp(sport=port), STRANGER).hop for port in range(2, 6)}) == 1
    assert rig.send("outside", udp(sport=9), ROUTER) == forwarded("OPENING", ("firewalls", FW[1]))


@pytest.mark.parametrize("source", [ROUTER, HOST_MAC], ids=["real server", "neighbour"])
def test_a_strict_leg_knows_real_servers_and_the_kernels_neighbours(rig: Rig, source: str) -> None:
    rig.publish(strict())
    assert rig.send("outside", tcp(), source) == forwarded("OPENING", FW0)
    denied = rig.send("outside", tcp("A"), STRANGER)
    assert denied == forwarded("REQUEST", FW0, EVENT_HOP_MOVE_DENIED=1)
    assert rig.only_connection().last_hop == ("outside", source)


@pytest.mark.parametrize("packet", [tcp("R"), tcp("RA"), sctp("ABORT"), error(reply(tcp()), CLIENT)], ids=str)
@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_learned_from_what_anyone_may_forge(rig: Rig, packet: Any, known: bool) -> None:
    rig.publish(two_box())
    if known:
        rig.send("outside", tcp(), ROUTER)
        rig.send("outside", sctp(), ROUTER)
    rig.send_on("outside", packet, STRANGER)
    assert rig.hop_id(("outside", STRANGER)) == 0
    assert all(each.last_hop == ("outside", ROUTER) for each in rig.connections())


def test_nothing_is_learned_from_a_response(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.send("firewalls", reply(tcp()), STRANGER)
    assert rig.hop_id(("firewalls", STRANGER)) == 0
    assert rig.only_connection().forward_hop == FW0


def test_a_response_in_the_middle_of_nothing_is_a_connection_the_other_way_round(rig: Rig) -> None:
    """Its sender is then the originator: nothing tells a response whose request was never seen."""
    rig.publish(two_box())
    assert rig.send("firewalls", reply(tcp()), FW[0]).counted == {"FORWARDED_MIDSTREAM": 1}
    assert rig.only_connection().source[0] == WWW


@pytest.mark.parametrize(
    ("to", "source"),
    [
        ("ff:ff:ff:ff:ff:ff", STRANGER),
        ("01:00:5e:00:00:12", STRANGER),
        (mac_of("outside"), mac_of("outside")),
        (mac_of("outside"), "01:00:5e:00:00:12"),
        (STRANGER, PHYSICAL),
    ],
    ids=["broadcast", "multicast", "from itself", "from a group", "to another"],
)
def test_nothing_is_learned_from_frames_that_are_not_for_the_director(rig: Rig, to: str, source: str) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("outside", tcp("A"), source, to=to).verdict == "kernel"
    assert rig.only_connection().last_hop == ("outside", ROUTER)
    assert rig.hop_id(("outside", source)) == 0


@pytest.mark.parametrize("family", [4, 6])
def test_nothing_is_learned_from_later_fragments(rig: Rig, family: int) -> None:
    rig.publish(two_box())
    whole = udp(id=7) / bytes(2000) if family == 4 else udp6() / bytes(2000)
    first, later, *_ = in_fragments(whole, 1000) if family == 4 else fragments6(whole, 1000, 7)
    rig.send("outside", first, ROUTER)
    assert rig.send("outside", later, STRANGER) == forwarded("FRAGMENT", FW0)
    assert rig.only_connection().last_hop == ("outside", ROUTER)
    assert rig.hop_id(("outside", STRANGER)) == 0


@pytest.mark.parametrize("packet", [error6(back(tcp6()), CLIENT6), error6(back(tcp6()), CLIENT6, "too big")], ids=str)
def test_nothing_is_learned_from_an_icmpv6_error(rig: Rig, packet: Any) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp6(), ROUTER)
    assert rig.send("outside", packet, STRANGER) == forwarded("RELATED", FW0)
    assert rig.hop_id(("outside", STRANGER)) == 0


def test_a_leg_that_is_strict_and_replies_to_the_neighbour_needs_no_known_sender(rig: Rig) -> None:
    """Whoever sent it, the gateway is known, and so is a host on the link."""
    rig.publish(neighbourly(strict=True))
    assert rig.send("outside", tcp(), STRANGER) == forwarded("OPENING", FW0)
    assert rig.only_connection().last_hop == ("outside", VIRTUAL)
    rig.forget()
    assert rig.send("outside", tcp(source=str(HOST)), STRANGER).counted == {"FORWARDED_OPENING": 1}
    assert rig.only_connection().last_hop == ("outside", HOST_MAC)
    rig.forget()
    unknown = rig.send("outside", tcp(source="192.0.2.200"), STRANGER)
    assert unknown.counted == {"FORWARDED_UNTRACKED": 1, "EVENT_HOP_DENIED": 1}


def test_while_a_strict_leg_knows_no_gateway_strangers_have_no_entry(rig: Rig) -> None:
    rig.publish(replace(neighbourly(strict=True), neighbours=()))
    assert rig.send("outside", tcp(), PHYSICAL).counted == {"FORWARDED_UNTRACKED": 1, "EVENT_HOP_DENIED": 1}
    assert rig.hop_id(("outside", PHYSICAL)) == 0


def test_the_second_gateway_is_answered_while_the_first_is_not_known(rig: Rig) -> None:
    plan = neighbourly((GATEWAY, SECOND_GATEWAY))
    rig.publish(replace(plan, neighbours=(("outside", SECOND_VIRTUAL, SECOND_GATEWAY),)))
    rig.send("outside", tcp(), PHYSICAL)
    assert rig.only_connection().last_hop == ("outside", SECOND_VIRTUAL)
    rig.publish(plan)
    assert rig.send("outside", tcp(sport=2), PHYSICAL).verdict == "forwarded"
    (newer,) = [each for each in rig.connections() if each.source[1] == 2]
    assert newer.last_hop == ("outside", VIRTUAL)


def test_a_real_server_on_a_leg_that_replies_to_the_neighbour_is_answered_itself(rig: Rig) -> None:
    rig.publish(neighbourly())
    rig.send("outside", tcp(), ROUTER)
    assert rig.only_connection().last_hop == ("outside", ROUTER)


def test_a_connection_opened_through_a_physical_mac_stays_with_the_gateway_whichever_router_sends(rig: Rig) -> None:
    """HSRP fails over: the other router sends from its own MAC, and the virtual one has moved to it."""
    rig.publish(neighbourly())
    rig.send("outside", udp(), PHYSICAL)
    for source in (OTHER_PHYSICAL, PHYSICAL, VIRTUAL, OTHER_PHYSICAL):
        assert rig.send("outside", udp(), source) == forwarded("REQUEST", FW0)
    assert rig.send("firewalls", reply(udp()), FW[0]) == forwarded("RESPONSE", ("outside", VIRTUAL))


@pytest.mark.parametrize("packet", [echo(), sctp(), tcp6(), IP(src=CLIENT, dst=WWW, proto=50) / bytes(24)], ids=str)
def test_the_last_hop_follows_requests_of_every_protocol(rig: Rig, packet: Any) -> None:
    rig.publish(two_box())
    rig.send("outside", packet, ROUTER)
    moved = rig.send("outside", packet, STRANGER)
    assert moved == forwarded("REQUEST", FW0, EVENT_LAST_HOP_MOVED=1, EVENT_HOP_LEARNED=1)
    assert rig.only_connection().last_hop == ("outside", STRANGER)
