"""Hops: learned once, followed, re-pointed by one write; what must not teach the director anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.libbpf import ffi, library
from tests.packet.frames import reply, tcp, udp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, leg, rule, two_box
from tests.packet.rig import dropped, forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
SECOND = "02:00:00:00:aa:77"
UNKNOWN = ("outside", STRANGER)


def target_of(rig: Rig, leg_name: str, mac: str) -> int:
    return abi.target_word(rig.publisher.leg_names.id_of(leg_name), mac)


def test_hop_is_learned_once_for_all_its_connections(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.send("outside", tcp(), STRANGER) == forwarded("OPENING", FW0, EVENT_HOP_LEARNED=1)
    for port in range(1, 20):
        assert "EVENT_HOP_LEARNED" not in rig.send("outside", tcp(sport=port), STRANGER).counted
    assert {each.last_hop for each in rig.connections()} == {UNKNOWN}
    leg_id = rig.publisher.leg_names.id_of("outside")
    assert int(rig.publisher.legs["hops_learned"][leg_id]) == 1
    assert 0 < rig.hop_id(UNKNOWN) < abi.limit("FIRST_DIRECTOR_HOP")


def test_real_servers_hop_is_the_directors_and_bears_its_name(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.hop_id(FW0) >= abi.limit("FIRST_DIRECTOR_HOP")
    assert [rig.box_of(FW0), rig.box_of(("outside", ROUTER))] == ["fw0", "router"]


def test_same_mac_on_two_legs_is_two_hops(rig: Rig) -> None:
    rig.publish(two_box(rules=(rule(1),)))
    rig.send("outside", tcp(), STRANGER)
    rig.send("firewalls", tcp(sport=2), STRANGER)
    assert rig.hop_id(UNKNOWN) != rig.hop_id(("firewalls", STRANGER)) != 0


def test_requests_from_another_mac_move_the_last_hop(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    moved = rig.send("outside", tcp("A"), SECOND)
    assert moved == forwarded("REQUEST", FW0, EVENT_LAST_HOP_MOVED=1, EVENT_HOP_LEARNED=1)
    assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", ("outside", SECOND))
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0, EVENT_LAST_HOP_MOVED=1)
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)


@pytest.mark.parametrize("flags", ["R", "RA", "RF"])
def test_rst_moves_no_last_hop(rig: Rig, flags: str) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("outside", tcp(flags), STRANGER) == forwarded("REQUEST", FW0)
    assert rig.only_connection().last_hop == ("outside", ROUTER)
    assert rig.hop_id(UNKNOWN) == 0


def test_rst_of_an_unknown_connection_teaches_no_hop(rig: Rig) -> None:
    """Anyone can forge one: it is sent on, and nothing is learned from it."""
    rig.publish(two_box())
    assert rig.send("outside", tcp("R"), STRANGER).verdict == "forwarded"
    assert rig.hop_id(UNKNOWN) == 0


def test_requests_from_another_leg_of_the_zone_move_the_last_hop_there(rig: Rig) -> None:
    legs = (leg("outside"), leg("firewalls"), leg("inside", zone="edge"))
    rig.publish(two_box(legs=legs))
    rig.send("outside", udp(), ROUTER)
    assert rig.send("inside", udp(), STRANGER).counted["EVENT_LAST_HOP_MOVED"] == 1
    assert rig.send("firewalls", reply(udp()), FW[0]) == forwarded("RESPONSE", ("inside", STRANGER))


def test_request_from_another_real_server_of_its_own_service_moves_no_last_hop(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    denied = rig.send("firewalls", tcp("A"), FW[1])
    assert denied == forwarded("REQUEST", FW0, EVENT_HOP_MOVE_DENIED=1)
    assert rig.only_connection().last_hop == ("outside", ROUTER)


def test_response_from_another_hop_than_its_request_went_to_is_counted_and_forwarded(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    for mac, event in ((FW[1], "EVENT_ASYMMETRIC"), (STRANGER, "EVENT_RESPONSE_ELSEWHERE")):
        asymmetric = rig.send("firewalls", reply(tcp()), mac)
        assert asymmetric == forwarded("RESPONSE", ("outside", ROUTER), **{event: 1})
    assert rig.only_connection().forward_hop == FW0
    assert rig.hop_id(("firewalls", STRANGER)) == 0, "a response teaches no hop"


def test_one_write_moves_every_connection_to_a_real_servers_new_mac(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2)))
    ports = range(1, 11)
    before = {port: rig.send("outside", tcp(sport=port), ROUTER).hop for port in ports}
    hop_id = rig.hop_id(FW0)
    box = rig.publisher.boxes.id_of("fw0")
    assert rig.hops.resolve(hop_id, target_of(rig, "firewalls", SECOND), box, firewalls()[0].address) == hop_id
    after = {port: rig.send("outside", tcp("A", sport=port), ROUTER).hop for port in ports}
    assert after == {port: ("firewalls", SECOND) if hop == FW0 else hop for port, hop in before.items()}
    assert rig.send("firewalls", reply(tcp(sport=1)), SECOND).counted == {"FORWARDED_RESPONSE": 1}
    assert int(rig.hops.hops["moved"][hop_id]) == 1


def test_last_hop_that_is_a_real_server_follows_its_new_mac(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    hop_id, box = rig.hop_id(("outside", ROUTER)), rig.publisher.boxes.id_of("router")
    rig.hops.resolve(hop_id, target_of(rig, "outside", SECOND), box, firewalls()[0].address)
    assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", ("outside", SECOND))


def test_mac_that_was_learned_before_it_was_resolved_becomes_the_real_servers(rig: Rig) -> None:
    """The entries made in between go on, and frames from it are the real server's from then on."""
    rig.publish(two_box(firewalls(1)))
    rig.send("firewalls", tcp(sport=3), FW[1])
    assert rig.box_of(("firewalls", FW[1])) == ""
    rig.publish(two_box(firewalls(2)))
    assert rig.box_of(("firewalls", FW[1])) == "fw1"
    assert rig.send("outside", reply(tcp(sport=3)), ROUTER) == forwarded("RESPONSE", ("firewalls", FW[1]))


def test_leg_that_is_down_is_sent_nothing(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.publish(two_box(legs=(leg("outside"), leg("firewalls", up=False))))
    assert rig.send("outside", tcp("A"), ROUTER) == dropped("LEG_DOWN")
    rig.publish(two_box())
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)


def freed(rig: Rig) -> list[int]:
    """The hop ids that packets may take again; asking takes them."""
    value, ids = ffi.new("unsigned int *"), []
    while not library().bpf_map_lookup_and_delete_elem(rig.maps["free_hops"].fd, ffi.NULL, value):
        ids.append(int(value[0]))
    return ids


def sweep_and_clear(rig: Rig) -> None:
    """As KernelDataPlane.sweep does it, long after the last packet."""
    rig.sweep(after_s=1e6)
    rig.hops.clear_unused(rig.publisher.servers["hop"])


def test_id_of_a_learned_hop_is_given_back_after_its_last_connection(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), STRANGER)
    learned = rig.hop_id(UNKNOWN)
    sweep_and_clear(rig)
    sweep_and_clear(rig)
    assert freed(rig) == [learned]


def test_id_of_a_hop_learned_on_a_leg_that_is_gone_is_given_back_too(rig: Rig) -> None:
    three = (leg("outside"), leg("firewalls"), leg("inside", zone="edge"))
    rig.publish(two_box(legs=three, rules=(rule(1),)))
    rig.send("inside", tcp(), STRANGER)
    learned = rig.hop_id(("inside", STRANGER))
    rig.publish(two_box())
    for _ in range(3):
        sweep_and_clear(rig)
    assert not rig.connections()
    assert freed(rig) == [learned]
