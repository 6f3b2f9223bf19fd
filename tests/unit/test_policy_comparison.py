"""The numbers that explanations show, held against the oracles of the schedulers."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address

import pytest

from lasthop.model.service import WhenEmpty
from lasthop.policy.comparison import FORMULAS, cost, looked_up
from lasthop.policy.plan import Choice, PlannedService
from lasthop.policy.slots import address_slot, pair_hash
from tests.oracles import pair_hash as pair_oracle
from tests.oracles import sh as sh_oracle

A, B = (IPv4Address("10.9.0.2"), 4242), (IPv4Address("203.0.113.80"), 80)


def service(choice: Choice, slots: int, *flags: str) -> PlannedService:
    return PlannedService(
        "FWM 1", 1, choice, "any", (), tuple(range(slots)), (), None, 32, WhenEmpty.DROP, scheduler_flags=flags
    )


def test_hashes_are_those_of_the_oracles() -> None:
    draw = random.Random(7)
    for _ in range(200):
        one, other = (IPv4Address(draw.getrandbits(32)) for _ in range(2))
        assert pair_hash(one, other) == pair_hash(other, one) == pair_oracle.hashed(str(one), str(other))
        assert address_slot(one, 7) == sh_oracle.hash_32(int(one) + 7)


def test_an_ipv6_address_is_folded() -> None:
    assert address_slot(IPv6Address("2001:db8::1")) == sh_oracle.hash_32(0x20010DB8 ^ 1)


@pytest.mark.parametrize(
    ("choice", "numbers", "expected"),
    [
        (Choice.BY_LOAD_WLC, (2, 3, 4), 386.0),
        (Choice.BY_LOAD_TWOS, (2, 3, 4), 386.0),
        (Choice.BY_LOAD_LC, (2, 3, 4), 772.0),
        (Choice.BY_LOAD_SED, (2, 3, 4), 2.0),
        (Choice.BY_LOAD_NQ, (2, 3, 4), 2.0),
        (Choice.BY_LOAD_NQ, (2, 0, 4), 0.0),
        (Choice.BY_LOAD_OVF, (4, 4, 0), 0.25),
        (Choice.BY_LOAD_OVF, (4, 5, 0), None),
        (Choice.BY_LOAD_WLC, (0, 3, 4), None),
        (Choice.BY_TURN, (2, 3, 4), None),
    ],
)
def test_a_candidate_costs_what_the_formula_says(
    choice: Choice, numbers: tuple[int, int, int], expected: float | None
) -> None:
    assert cost(choice, *numbers) == expected
    assert (choice in FORMULAS) == (choice is not Choice.BY_TURN)


def test_a_turn_goes_round() -> None:
    found = looked_up(service(Choice.BY_TURN, 3), 6, A, B, turn=7)
    assert found == ("the turn", 1, 3)


def test_ports_count_where_the_flag_says_and_the_protocol_has_some() -> None:
    plain = looked_up(service(Choice.BY_SOURCE, 256), 6, A, B, 0)
    with_port = looked_up(service(Choice.BY_SOURCE, 256, "sh-port"), 6, A, B, 0)
    without = looked_up(service(Choice.BY_SOURCE, 256, "sh-port"), 1, A, B, 0)
    assert plain is not None
    assert with_port is not None
    assert plain.slot == sh_oracle.hash_32(int(A[0]))
    assert with_port.slot == sh_oracle.hash_32(int(A[0]) + 4242)
    assert without == plain


def test_both_directions_of_a_pair_have_one_slot() -> None:
    for flags in ((), ("mh-port",)):
        there, back = (looked_up(service(Choice.BY_PAIR, 1021, *flags), 6, *ends, 0) for ends in ((A, B), (B, A)))
        assert there == back


def test_who_compares_loads_looks_nothing_up() -> None:
    assert looked_up(service(Choice.BY_LOAD_WLC, 0), 6, A, B, 0) is None
