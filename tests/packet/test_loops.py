"""Real servers as sources: never scheduled by their own service, never sent back to where they are; frames too big."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.packet.frames import CLIENT, WWW, echo, reply, tcp, udp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, one_arm, plan, rule, server, service, two_box
from tests.packet.rig import dropped, forwarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])


@pytest.mark.parametrize("make", [tcp, udp, echo])
def test_packet_from_a_real_server_of_a_service_falls_to_the_next_rule(rig: Rig, make: Callable[..., Any]) -> None:
    rig.publish(two_box(rules=(rule(1), rule(2))))
    assert rig.send("outside", make(), ROUTER) == forwarded("OPENING", FW0)
    from_inside = make(source="203.0.113.81", destination=CLIENT)
    assert rig.send("firewalls", from_inside, FW[1]) == forwarded("OPENING", ("outside", ROUTER))
    assert rig.send("firewalls", tcp("A", WWW, 81, CLIENT), FW[1]) == forwarded("MIDSTREAM", ("outside", ROUTER))


def test_packet_from_a_real_server_that_no_other_rule_takes_is_the_kernels(rig: Rig) -> None:
    rig.publish(two_box(rules=(rule(1),)))
    assert rig.send("firewalls", tcp(source=WWW, destination=CLIENT), FW[1]) == rig.kernel("NO_RULE")
    assert rig.send("firewalls", tcp(source=WWW, destination=CLIENT), STRANGER) == forwarded(
        "OPENING", FW0, EVENT_HOP_LEARNED=1
    )


def test_real_server_of_one_service_may_be_scheduled_by_another(rig: Rig) -> None:
    rig.publish(two_box(rules=(rule(1, leg="outside"), rule(2, leg="firewalls"))))
    assert rig.send("outside", tcp(), ROUTER) == forwarded("OPENING", FW0), "the router is FWM 2's real server"


def test_one_arm_tells_router_and_firewalls_on_one_lan_apart(rig: Rig) -> None:
    rig.publish(one_arm())
    opening, answer = tcp(), reply(tcp())
    assert rig.send("outside", opening, ROUTER) == forwarded("OPENING", ("outside", FW[0]))
    assert rig.send("outside", answer, FW[0]) == forwarded("RESPONSE", ("outside", ROUTER))
    from_inside = tcp(source=WWW, destination=CLIENT, sport=5)
    assert rig.send("outside", from_inside, FW[3]) == forwarded("OPENING", ("outside", ROUTER))
    assert rig.send("outside", reply(from_inside), ROUTER) == forwarded("RESPONSE", ("outside", FW[3]))
    assert len(rig.connections()) == 2


def test_request_is_not_sent_back_to_the_real_server_it_comes_from(rig: Rig) -> None:
    rig.publish(one_arm())
    rig.send("outside", tcp(), ROUTER)
    before = rig.only_connection()
    assert rig.send("outside", tcp(), FW[0]) == dropped("LOOP")
    assert rig.only_connection() == before, "a dropped packet leaves no trace in the entry"


def test_response_is_not_sent_back_to_the_last_hop_it_comes_from(rig: Rig) -> None:
    rig.publish(one_arm())
    rig.send("outside", tcp(), ROUTER)
    before = rig.only_connection()
    assert rig.send("outside", reply(tcp()), ROUTER) == dropped("LOOP")
    assert rig.only_connection() == before


def test_new_connection_is_not_sent_back_to_where_it_comes_from(rig: Rig) -> None:
    """A box that is a real server under another name than the one its frames are told by."""
    twins = (server("a", "outside", STRANGER), server("b", "outside", STRANGER))
    rig.publish(plan((leg("outside"),), (rule(1),), (service(1, twins[:1]), service(2, twins[1:]))))
    assert rig.send("outside", tcp(), STRANGER) == dropped("LOOP")
    assert not rig.connections()


def test_same_mac_on_another_leg_is_another_hop_and_no_loop(rig: Rig) -> None:
    servers = (replace(firewalls(1)[0], mac=ROUTER),)
    rig.publish(two_box(servers))
    assert rig.send("outside", tcp(), ROUTER) == forwarded("OPENING", ("firewalls", ROUTER))


def test_packet_larger_than_the_egress_mtu_is_the_kernels_to_answer(rig: Rig) -> None:
    rig.publish(two_box(mtu=1000))
    assert rig.send("outside", tcp() / bytes(961), ROUTER) == rig.kernel("TOO_BIG")
    assert not rig.connections()
    assert rig.send("outside", tcp() / bytes(960), ROUTER) == forwarded("OPENING", FW0)
    before = rig.only_connection()
    assert rig.send("outside", tcp("A") / bytes(961), ROUTER) == rig.kernel("TOO_BIG")
    assert rig.only_connection() == before
    assert rig.send("firewalls", reply(tcp()) / bytes(1400), FW[0]).verdict == "forwarded", "the other leg takes more"


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_gso_frame_is_as_big_as_its_segments_and_counts_each(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    data = tcp("A") / bytes(3000)
    assert rig.send("outside", data, ROUTER, gso=(3, 1000)) == forwarded("REQUEST", FW0)
    assert rig.only_connection().packets == (4, 0)


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_gso_frame_counts_the_header_bytes_of_every_segment(rig: Rig) -> None:
    """On the wire there are three packets of 1040 bytes."""
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.send("outside", tcp("A") / bytes(3000), ROUTER, gso=(3, 1000))
    assert rig.only_connection().bytes == (40 + 3 * 1040, 0)


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_gso_segments_larger_than_the_mtu_with_their_headers_are_too_big(rig: Rig) -> None:
    rig.publish(two_box(mtu=1000))
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("outside", tcp("A") / bytes(1920), ROUTER, gso=(2, 960)) == forwarded("REQUEST", FW0)
    assert rig.send("outside", tcp("A") / bytes(1922), ROUTER, gso=(2, 961)) == rig.kernel("TOO_BIG")


@pytest.mark.parametrize("entry", ["tc"], indirect=True)
def test_gso_frame_that_nobody_has_cut_yet_is_forwarded_and_counted_as_its_segments(rig: Rig) -> None:
    """A virtual machine's network card gives the size of the segments and not their number."""
    rig.publish(two_box(mtu=1040))
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("outside", tcp("A") / bytes(3000), ROUTER, gso=(0, 1000)) == forwarded("REQUEST", FW0)
    assert rig.only_connection().packets == (1 + 3, 0)
    assert rig.only_connection().bytes == (40 + 3 * 1040, 0)
    assert rig.send("outside", tcp("A") / bytes(3000), ROUTER, gso=(0, 1001)) == rig.kernel("TOO_BIG")
