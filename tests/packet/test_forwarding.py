"""Both halves of the work: requests are scheduled, responses go back to the last hop, nothing above layer 2 changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP

from tests.packet.entries import Connection
from tests.packet.frames import CLIENT, OPTIONS, WWW, echo, reply, sctp, tcp, udp, with_flags
from tests.packet.plans import (
    CORE_FW,
    FW,
    INNER_ROUTER,
    ROUTER,
    STRANGER,
    core_firewalls,
    firewalls,
    network,
    one_box,
    two_box,
)
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
BACK = ("outside", ROUTER)


@pytest.mark.parametrize(
    "opening", [tcp(), udp(), sctp(), echo(), tcp(options=[OPTIONS]), udp(tos=0xB9), tcp(flags="SEC")]
)
def test_request_is_scheduled_and_response_goes_to_its_last_hop(rig: Rig, opening: Any) -> None:
    rig.publish(two_box())
    assert rig.send("outside", opening, ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("firewalls", reply(opening), FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.send("outside", opening, ROUTER) == forwarded("REQUEST", FW0)


def test_bytes_above_layer_2_are_never_touched_not_even_wrong_ones(rig: Rig) -> None:
    """A checksum that is wrong stays wrong, a TTL of 1 stays 1: the frame's other bytes are compared by the rig."""
    rig.publish(two_box())
    wrong = tcp(options=[OPTIONS]) / b"payload"
    wrong[IP].ttl, wrong[IP].chksum, wrong["TCP"].chksum = 1, 0xDEAD, 0xBEEF
    assert rig.send("outside", wrong, ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("outside", with_flags(wrong, "PA"), ROUTER) == forwarded("REQUEST", FW0)


def test_both_directions_are_one_entry_that_knows_service_server_and_hops(rig: Rig) -> None:
    rig.publish(two_box())
    opening, answer = tcp(), reply(tcp())
    rig.send("outside", opening, ROUTER)
    rig.send("firewalls", answer, FW[0])
    rig.send("outside", with_flags(opening, "A"), ROUTER)
    assert rig.connections() == [
        Connection(
            zone="edge",
            protocol="tcp",
            source=(CLIENT, 40000),
            destination=(WWW, 80),
            state="ESTABLISHED",
            flags=frozenset({"REPLIED", "ASSURED"}),
            service="FWM 1",
            server="fw0",
            forward_hop=FW0,
            last_hop=BACK,
            packets=(2, 1),
            bytes=(80, 40),
        )
    ]
    assert rig.load_of("fw0") == (1, 0, 0)


@pytest.mark.parametrize(("source", "destination"), [(CLIENT, WWW), (WWW, CLIENT)])
def test_originator_is_told_apart_whichever_address_is_lower(rig: Rig, source: str, destination: str) -> None:
    rig.publish(two_box())
    opening = tcp(source=source, destination=destination)
    rig.send("outside", opening, ROUTER)
    assert (rig.only_connection().source, rig.only_connection().destination) == ((source, 40000), (destination, 80))
    assert rig.send("firewalls", reply(opening), FW[0]) == forwarded("RESPONSE", BACK)


def test_frame_padding_counts_neither_as_bytes_nor_as_too_big(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.send("outside", bytes(tcp()) + bytes(6), ROUTER) == forwarded("OPENING", FW0)
    assert rig.only_connection().bytes == (40, 0)


def test_connection_opened_from_inside_goes_to_the_router_and_returns_to_its_firewall(rig: Rig) -> None:
    rig.publish(two_box())
    opening = tcp(source=WWW, destination=CLIENT)
    assert rig.send("firewalls", opening, FW[2]) == forwarded("OPENING", BACK)
    assert rig.send("outside", reply(opening), ROUTER) == forwarded("RESPONSE", ("firewalls", FW[2]))
    assert (rig.only_connection().service, rig.only_connection().server) == ("FWM 2", "router")


def test_same_5_tuple_in_two_zones_makes_two_entries_and_no_loop(rig: Rig) -> None:
    rig.publish(one_box())
    opening, answer = tcp(), reply(tcp())
    assert rig.send("outside", opening, ROUTER) == forwarded("OPENING", FW0)
    assert rig.send("inside", opening, CORE_FW[0]) == forwarded("OPENING", ("servers", INNER_ROUTER))
    assert rig.send("servers", answer, INNER_ROUTER) == forwarded("RESPONSE", ("inside", CORE_FW[0]))
    assert rig.send("firewalls", answer, FW[0]) == forwarded("RESPONSE", BACK)
    entries = {each.zone: each for each in rig.connections()}
    assert {zone: (each.service, each.server) for zone, each in entries.items()} == {
        "edge": ("FWM 1", "fw0"),
        "core": ("FWM 4", "inner-router"),
    }
    assert entries["core"].last_hop == ("inside", CORE_FW[0])


def addresses(*, core_too: bool = False) -> Any:
    own = [("edge", each.address, "FWM 1", each.name) for each in firewalls()]
    other = [("edge", each.address, "FWM 1", each.name) for each in core_firewalls()] if core_too else []
    return tuple(own + other)


@pytest.mark.parametrize("address", ["own", "in the other zone"])
def test_packet_for_a_real_servers_own_address_goes_to_that_real_server(rig: Rig, address: str) -> None:
    rig.publish(two_box(server_addresses=addresses(core_too=True)))
    wanted = (firewalls() if address == "own" else core_firewalls())[2].address
    opening = tcp(destination=str(wanted), dport=22)
    assert rig.send("outside", opening, STRANGER) == forwarded("OPENING", ("firewalls", FW[2]), EVENT_HOP_LEARNED=1)
    entry = rig.only_connection()
    assert (entry.service, entry.server, entry.last_hop) == ("", "fw2", ("outside", STRANGER))
    assert rig.send("firewalls", reply(opening), FW[2]) == forwarded("RESPONSE", ("outside", STRANGER))
    assert rig.load_of("fw2") == (0, 0, 0), "no service scheduled it"
    assert rig.sweep(after_s=1e6)["expired"] == 1
    assert rig.load_of("fw2") == (0, 0, 0)


def test_real_servers_own_address_means_nothing_in_another_zone(rig: Rig) -> None:
    rig.publish(one_box(server_addresses=addresses()))
    opening = tcp(destination=str(firewalls()[2].address), dport=22)
    assert rig.send("servers", opening, INNER_ROUTER) == forwarded("OPENING", ("inside", CORE_FW[0]))


def test_real_servers_address_comes_before_mark_rules_and_after_local_addresses(rig: Rig) -> None:
    rig.publish(two_box(server_addresses=addresses(), local=frozenset({network(str(firewalls()[1].address))})))
    assert rig.send("outside", tcp(destination=str(firewalls()[1].address)), ROUTER) == rig.kernel("LOCAL")
    to_third = tcp(destination=str(firewalls()[3].address))
    assert rig.send("outside", to_third, ROUTER) == forwarded("OPENING", ("firewalls", FW[3]))
