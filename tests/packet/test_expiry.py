"""Expiry: each state lives as long as its time-out says, on access and by the sweep, and counters end at zero."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane.kernel import now_ns
from lasthop.model.director import PROFILES, State
from lasthop.model.service import WhenEmpty
from tests.packet.entries import NS
from tests.packet.frames import WWW, echo, error, reply, tcp, udp
from tests.packet.plans import FW, ROUTER, firewalls, timeouts, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from typing import Any

    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
#: Short enough for a machine that has just started, and different for each state.
SHORT = {state.name: 10.0 + 2 * state for state in State}
OPENINGS: dict[str, Any] = {"UDP": udp(), "ICMP": echo()}


def opened(rig: Rig, state: str) -> Any:
    """An opening packet, sent, whose connection is in `state` now."""
    opening = OPENINGS.get(state, tcp())
    rig.send("outside", opening, ROUTER)
    rig.set_state(rig.only_connection(), state, "REPLIED")
    return opening


def test_udp_is_forgotten_after_300_seconds_in_every_profile() -> None:
    assert {profile[State.UDP] for profile in PROFILES.values()} == {300}


@pytest.mark.parametrize("profile", PROFILES)
def test_sweep_forgets_each_state_when_its_timeout_is_over_to_the_nanosecond(rig: Rig, profile: str) -> None:
    rig.publish(two_box(timeouts=timeouts({}, profile)))
    for state in State:
        opened(rig, state.name)
        seen = now_ns() + NS
        rig.change(rig.only_connection(), last_seen_ns=seen)
        due = seen + int(PROFILES[profile][state] * NS)
        assert rig.sweep(at_ns=due)["expired"] == 0, state.name
        assert rig.sweep(at_ns=due + 1)["expired"] == 1, state.name
        assert not rig.connections()


@pytest.mark.parametrize("state", [state.name for state in State])
def test_packet_finds_a_connection_up_to_its_timeout_and_no_longer(rig: Rig, state: str) -> None:
    rig.publish(two_box(scheduler="rr", timeouts=timeouts(SHORT)))
    opening = opened(rig, state)
    going_on = tcp("A") if state not in OPENINGS else opening
    rig.age(SHORT[state] - 1)
    assert rig.send("outside", going_on, ROUTER) == forwarded("REQUEST", FW0)
    rig.set_state(rig.only_connection(), state, "REPLIED")
    rig.age(SHORT[state] + 0.1)
    outcome = rig.send_over("outside", opening, ROUTER)
    assert outcome == forwarded("OPENING", ("firewalls", FW[1]), EVENT_EXPIRED=1)
    assert rig.only_connection().packets == (1, 0)


@pytest.mark.parametrize("make", [tcp, udp, echo])
def test_counters_end_at_zero_whoever_sees_the_expiry_first(rig: Rig, make: Any) -> None:
    rig.publish(two_box(timeouts=timeouts(SHORT)))
    rig.send("outside", make(), ROUTER)
    rig.age(100)
    rig.send("outside", make(), ROUTER)
    assert sum(sum(rig.load_of(f"fw{i}")) for i in range(4)) == 1
    rig.age(100)
    rig.sweep()
    assert [rig.load_of(f"fw{i}") for i in range(4)] == [(0, 0, 0)] * 4


def test_either_direction_keeps_a_connection_alive(rig: Rig) -> None:
    rig.publish(two_box(timeouts=timeouts({"UDP": 20})))
    rig.send("outside", udp(), ROUTER)
    for _ in range(2):
        rig.age(15)
        assert rig.send("firewalls", reply(udp()), FW[0]).counted == {"FORWARDED_RESPONSE": 1}
        rig.age(15)
        assert rig.send("outside", udp(), ROUTER).counted == {"FORWARDED_REQUEST": 1}


def test_timeouts_published_later_hold_for_connections_that_are_there(rig: Rig) -> None:
    rig.publish(two_box(timeouts=timeouts({"UDP": 30})))
    rig.send("outside", udp(), ROUTER)
    rig.age(15)
    rig.publish(two_box(timeouts=timeouts({"UDP": 10})))
    assert rig.send_over("outside", udp(), ROUTER).counted == {"FORWARDED_OPENING": 1, "EVENT_EXPIRED": 1}


def test_clock_reading_a_little_before_the_last_packet_expires_nothing(rig: Rig) -> None:
    rig.publish(two_box(timeouts=timeouts({"UDP": 1})))
    rig.send("outside", udp(), ROUTER)
    rig.change(rig.only_connection(), last_seen_ns=now_ns() + 3600 * NS)
    assert rig.sweep()["expired"] == 0
    assert rig.send("outside", udp(), ROUTER).counted == {"FORWARDED_REQUEST": 1}


def test_expired_connection_gets_no_icmp_error_and_the_error_ends_nothing(rig: Rig) -> None:
    rig.publish(two_box(timeouts=timeouts({"UDP": 10})))
    rig.send("outside", udp(), ROUTER)
    rig.age(11)
    about = error(udp(), WWW)
    assert rig.send_over("firewalls", about, FW[0]) == forwarded("STRAY", ("outside", ROUTER))
    assert rig.only_connection().packets == (1, 0)


def test_sweep_counts_connections_assured_templates_and_hops_in_use(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2), "rr", persistence_s=None))
    for port in range(1, 7):
        rig.send("outside", tcp(sport=port), ROUTER)
    rig.send("firewalls", reply(tcp(sport=1)), FW[0])
    rig.send("outside", tcp("A", sport=1), ROUTER)
    totals = rig.sweep()
    assert (totals["connections"], totals["assured"], totals["expired"], totals["templates"]) == (6, 1, 0, 0)
    refs = {hop: int(rig.hops.refs[rig.hop_id(hop)]) for hop in [FW0, ("firewalls", FW[1]), ("outside", ROUTER)]}
    assert refs == {FW0: 3, ("firewalls", FW[1]): 3, ("outside", ROUTER): 6}
    assert int(rig.hops.refs.sum()) == 12
    rig.publish(two_box(firewalls(2), "rr", persistence_s=300))
    rig.send("outside", tcp(sport=9), ROUTER)
    assert (rig.sweep()["connections"], rig.sweep()["templates"]) == (7, 1)


@pytest.mark.parametrize(("source", "destination"), [("198.51.100.10", "192.0.2.2"), ("192.0.2.1", "203.0.113.80")])
def test_what_goes_to_an_address_that_is_the_directors_again_is_forgotten(
    rig: Rig, source: str, destination: str
) -> None:
    """Whichever end is the lower address. It began while the address was missing, and would go past the director."""
    plan = two_box()
    rig.publish(plan)
    assert rig.send("outside", tcp("A", source, destination=destination), ROUTER).verdict == "forwarded"
    rig.send("outside", tcp(), ROUTER)
    network = ip_network(destination)
    rig.publish(replace(plan, local=frozenset({network})))
    assert rig.publisher.new_locals == [network]
    assert rig.sweep()["connections"] == 2, "only who is asked to looks"
    assert rig.sweep(to=network)["connections"] == (1 if destination != WWW else 0)
    assert rig.send("outside", tcp("A", source, destination=destination), ROUTER) == rig.kernel("LOCAL")


def test_what_bypasses_the_firewalls_is_the_kernels_already_and_stays_so(rig: Rig) -> None:
    nobody = tuple(replace(each, usable=False) for each in firewalls(1))
    plan = two_box(nobody, when_empty=WhenEmpty.BYPASS)
    rig.publish(plan)
    rig.entry = "tc"
    assert rig.send("outside", tcp(), ROUTER) == rig.kernel("BYPASS")
    network = ip_network(WWW)
    rig.publish(replace(plan, local=frozenset({network})))
    assert rig.sweep(to=network)["connections"] == 1
