"""Full maps: traffic goes on, what could not be remembered is counted, nothing that was there is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.dataplane import abi
from tests.oracles import pair_hash
from tests.packet.conftest import CONNECTIONS
from tests.packet.frames import CLIENT, WWW, reply, tcp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
BACK = ("outside", ROUTER)


def establish(rig: Rig, port: int, firewall: str) -> None:
    """See a connection through to ESTABLISHED in both directions."""
    rig.send("firewalls", reply(tcp(sport=port)), firewall)
    assert rig.send("outside", tcp("A", sport=port), ROUTER).counted == {"FORWARDED_REQUEST": 1}


def test_table_full_of_active_connections_forwards_further_ones_untracked_and_loses_none(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2), "rr", persistence_s=60.0, persistence_prefix=0))
    known: list[int] = []
    beyond: list[int] = []
    refused: list[int] = []
    by_name = pair_hash.chosen([("fw0", 1, True), ("fw1", 1, True)], CLIENT, WWW)
    stateless = ("firewalls", FW[int(by_name[2:])])
    for port in range(1, 3 * CONNECTIONS):
        outcome = rig.send("outside", tcp(sport=port), ROUTER)
        if outcome == forwarded("OPENING", FW0):
            assert len(known) < CONNECTIONS
            known.append(port)
            establish(rig, port, FW[0])
        elif outcome == forwarded("OPENING", stateless, EVENT_CROWDED=1):
            beyond.append(port)
            establish(rig, port, stateless[1])
        else:
            assert outcome == forwarded("UNTRACKED", stateless, EVENT_CROWDED=1, EVENT_TABLE_FULL=1)
            refused.append(port)
        if len(refused) > 20:
            break
    assert len(known) == CONNECTIONS, "as many as were promised are scheduled"
    assert beyond, "what room there is beyond is used by rendezvous, as without an entry"
    loads = [rig.load_of(f"fw{i}") for i in range(2)]
    assert sum(load[0] for load in loads) == len(known) + len(beyond) == len(rig.connections())
    (template,) = rig.templates().values()
    assert rig.children(template[0]) == len(known), "persistence is scheduling too"
    for port in known:
        assert rig.send("firewalls", reply(tcp("A", sport=port), "A"), FW[0]) == forwarded("RESPONSE", BACK)


def test_table_takes_new_connections_again_when_old_ones_are_over(rig: Rig) -> None:
    rig.publish(two_box(firewalls(1)))
    for port in range(1, 3 * CONNECTIONS):
        if rig.send("outside", tcp(sport=port), ROUTER).counted != {"FORWARDED_OPENING": 1}:
            break
        establish(rig, port, FW[0])
    held = len(rig.connections())
    assert rig.sweep(after_s=1e6)["expired"] == held >= CONNECTIONS
    assert rig.send("outside", tcp(sport=1), ROUTER) == forwarded("OPENING", FW0)


def test_leg_that_learned_as_many_hops_as_it_may_forwards_untracked(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.publisher.legs["hops_learned"] = 16384
    untracked = rig.send("outside", tcp(sport=2), STRANGER)
    assert untracked.counted == {"FORWARDED_UNTRACKED": 1, "EVENT_HOPS_FULL": 1}
    assert rig.send("outside", tcp(sport=3), ROUTER).counted == {"FORWARDED_OPENING": 1}, "a known hop may go on"
    kept = rig.send("outside", tcp("A"), STRANGER)
    assert kept == forwarded("REQUEST", FW0, EVENT_HOPS_FULL=1)
    assert len(rig.connections()) == 2


def test_hop_ids_that_are_used_up_and_given_back_are_taken_again(rig: Rig) -> None:
    rig.publish(two_box())
    rig.publisher.live["next_hop"] = abi.limit("FIRST_DIRECTOR_HOP")
    assert rig.send("outside", tcp(sport=2), STRANGER).counted["EVENT_HOPS_FULL"] == 1
    rig.maps["free_hops"].push((77).to_bytes(4, "little"))
    assert rig.send("outside", tcp(sport=3), STRANGER).counted["EVENT_HOP_LEARNED"] == 1
    assert rig.hop_id(("outside", STRANGER)) == 77


def test_without_room_for_a_template_the_client_is_scheduled_like_any_other(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2), "rr", persistence_s=60.0))
    key_type = abi.types().struct("template_key")
    template = bytes(rig.maps["templates"].value_size)
    full = 0
    while True:
        try:
            rig.maps["templates"].update(bytes([9, full % 251, full // 251]) + bytes(key_type.itemsize - 3), template)
        except Exception:  # noqa: BLE001 -- the map is full, however the kernel words it
            break
        full += 1
    assert full >= CONNECTIONS
    for i in range(2):
        outcome = rig.send("outside", tcp(sport=1 + i), ROUTER)
        assert outcome == forwarded("OPENING", ("firewalls", FW[i]), EVENT_TEMPLATES_FULL=1)
        assert rig.load_of(f"fw{i}") == (1, 0, 0)
    assert rig.sweep(after_s=1e6)["expired"] == 2
