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


def test_full_table_forwards_further_connections_untracked_and_loses_none(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2), "rr", persistence_s=60.0, persistence_prefix=0))
    for port in range(1, CONNECTIONS + 1):
        assert rig.send("outside", tcp(sport=port), ROUTER) == forwarded("OPENING", FW0)
    before = rig.load_of("fw0")
    by_name = pair_hash.chosen([("fw0", 1, True), ("fw1", 1, True)], CLIENT, WWW)
    stateless = ("firewalls", FW[int(by_name[2:])])
    assert (before, len(rig.connections())) == ((CONNECTIONS, 0, 1), CONNECTIONS)
    for port in range(CONNECTIONS + 1, CONNECTIONS + 20):
        untracked = rig.send("outside", tcp(sport=port), ROUTER)
        assert untracked == forwarded("UNTRACKED", stateless, EVENT_TABLE_FULL=1)
    assert rig.load_of("fw0") == before, "what has no entry is counted nowhere"
    (template,) = rig.templates().values()
    assert template[0]["children"] == CONNECTIONS
    for port in range(1, CONNECTIONS + 1):
        assert rig.send("firewalls", reply(tcp(sport=port)), FW[0]) == forwarded("RESPONSE", BACK)


def test_table_takes_new_connections_again_when_old_ones_are_over(rig: Rig) -> None:
    rig.publish(two_box())
    for port in range(1, CONNECTIONS + 1):
        rig.send("outside", tcp(sport=port), ROUTER)
    assert rig.sweep(after_s=1e6)["expired"] == CONNECTIONS
    assert rig.send("outside", tcp(sport=CONNECTIONS + 1), ROUTER) == forwarded("OPENING", FW0)


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
