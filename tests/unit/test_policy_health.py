"""What the health of single checks makes of a configuration."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from lasthop.model.health import Effective, Health, Known
from lasthop.model.real_server import Admin, RealServer
from lasthop.model.service import Service
from lasthop.policy.health import effective, next_change

FW1, FW2, FW3 = (RealServer(f"fw{n}", IPv4Address(f"10.0.1.1{n}"), weight=n) for n in (1, 2, 3))
UP, DOWN = Health.UP, Health.DOWN
OUT, IN = "FWM 1", "FWM 2"


def service(mark: int, *servers: RealServer, **changes: Any) -> Service:
    return Service(mark, (), servers or (FW1, FW2, FW3), **changes)


def test_a_box_is_down_and_dead_in_every_service_if_one_check_says_so() -> None:
    services = [service(1), service(2, FW1)]
    found = effective(services, {(OUT, "fw1"): Known(DOWN, 5.0), (IN, "fw1"): Known(UP, 1.0)}, 5.0, Effective())
    assert found == Effective(frozenset({"fw1"}), frozenset({(OUT, "fw1"), (IN, "fw1")}))


def test_whoever_is_not_known_yet_is_not_down() -> None:
    assert effective([service(1)], {(OUT, "fw1"): Known(Health.UNKNOWN, 0.0)}, 9.0, Effective()) == Effective()


def test_it_dies_in_each_service_after_its_grace_from_the_first_check_on() -> None:
    services = [service(1, grace=10.0), service(2, FW1)]
    health = {(OUT, "fw1"): Known(DOWN, 5.0), (IN, "fw1"): Known(DOWN, 8.0)}
    assert effective(services, health, 14.9, Effective()).dead == {(IN, "fw1")}
    assert effective(services, health, 15.0, Effective()).dead == {(OUT, "fw1"), (IN, "fw1")}
    assert [next_change(services, health, now) for now in (5.0, 14.9, 15.0)] == [15.0, 15.0, None]


def test_nothing_waits_for_a_grace_where_nobody_is_down() -> None:
    assert next_change([service(1, grace=10.0)], {(OUT, "fw1"): Known(UP, 0.0)}, 1.0) is None


def test_a_service_below_its_quorum_is_empty_until_the_hysteresis_is_there_too() -> None:
    services = [service(1, quorum=4, hysteresis=2)]

    def empty(before: Effective, *down: str) -> frozenset[str]:
        return effective(services, {(OUT, name): Known(DOWN, 0.0) for name in down}, 1.0, before).empty

    below = Effective(empty=frozenset({OUT}))
    assert empty(Effective(), "fw2") == frozenset(), "4 is the quorum"
    assert empty(Effective(), "fw3") == {OUT}, "3 are too few"
    assert empty(below, "fw1") == {OUT}, "5 lack one of the hysteresis"
    assert empty(below) == frozenset()


def test_who_is_drained_or_disabled_does_not_count_for_the_quorum() -> None:
    for admin in (Admin.DRAINED, Admin.DISABLED):
        services = [service(1, FW1, FW2, replace(FW3, admin=admin), quorum=4)]
        assert effective(services, {}, 1.0, Effective()).empty == {OUT}


def test_a_slow_start_goes_in_ten_steps_from_when_the_last_check_or_the_operator_let_it() -> None:
    services = [service(1, slow_start=100.0), service(2, FW1)]
    health = {(OUT, "fw1"): Known(UP, 5.0, 10.0), (IN, "fw1"): Known(UP, 9.0, 20.0)}

    def steps(now: float, come: dict[tuple[str, str], float] | None = None) -> dict[str, int]:
        tenths = effective(services, health, now, Effective(), come).tenths
        assert all(label == OUT for label, _ in tenths)
        return {name: step for (_, name), step in tenths.items()}

    assert [steps(now) for now in (20.0, 39.9, 40.0, 119.9, 120.0)] == [
        {"fw1": 1},
        {"fw1": 1},
        {"fw1": 2},
        {"fw1": 9},
        {},
    ]
    assert [next_change(services, health, now) for now in (20.0, 40.0, 115.0, 120.0)] == [40.0, 50.0, 120.0, None]
    assert steps(60.0, {(OUT, "fw1"): 50.0, (OUT, "fw2"): 15.0}) == {"fw1": 1, "fw2": 4}


def test_weights_that_checks_say_are_passed_on() -> None:
    found = effective([service(1)], {(OUT, "fw1"): Known(UP, 1.0, None, 0)}, 1.0, Effective())
    assert found.weights == {(OUT, "fw1"): 0}


def test_a_pair_counts_for_the_quorum_as_long_as_one_of_it_is_there() -> None:
    backup = RealServer("fw3b", IPv4Address("10.0.1.23"), backup_of="fw3")
    services = [service(1, FW1, FW3, backup, quorum=3)]
    down = {(OUT, "fw3"): Known(DOWN, 0.0)}
    found = effective(services, down, 1.0, Effective())
    assert (found.stand_ins, found.empty) == ({"fw3": "fw3b"}, frozenset())
    assert effective(services, down | {(OUT, "fw3b"): Known(DOWN, 0.0)}, 1.0, found).empty == {OUT}
