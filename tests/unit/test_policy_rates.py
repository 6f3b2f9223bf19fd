"""Rates: LVS's estimator over a table of counters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasthop.policy.rates import Estimator
from tests.oracles import estimator


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30), st.sampled_from([5, 10]))
def test_every_two_seconds_the_rate_is_lvs_own_but_for_its_rounding(grown: list[int], scale: int) -> None:
    ours, oracle, counter = Estimator(1, 1), estimator.Estimator(scale), 0
    ours.look(0.0, np.zeros((1, 1), np.uint64))
    for number, by in enumerate(grown, start=1):
        counter += by
        ours.look(2.0 * number, np.array([[counter]], np.uint64))
        shown = oracle.tick(counter)
        # The kernel rounds down at each step, by less than four units of its scale in all.
        assert abs(float(ours.rates[0, 0]) - shown) <= 0.5 + 4 / 2**scale + 1e-6 * counter


def test_a_look_before_two_seconds_are_over_changes_nothing() -> None:
    rates = Estimator(2, 1)
    rates.look(10.0, np.array([[0], [0]], np.uint64))
    rates.look(11.9, np.array([[100], [100]], np.uint64))
    assert not rates.rates.any()
    rates.look(12.0, np.array([[100], [40]], np.uint64))
    assert rates.rates[:, 0].tolist() == [12.5, 5.0]


def test_after_a_long_pause_the_old_rate_has_faded_as_after_many_looks() -> None:
    late, often = Estimator(1, 1), Estimator(1, 1)
    for each in (late, often):
        each.look(0.0, np.array([[0]], np.uint64))
        each.look(2.0, np.array([[1000]], np.uint64))
    for second in range(4, 22, 2):
        often.look(float(second), np.array([[1000]], np.uint64))
    late.look(20.0, np.array([[1000]], np.uint64))
    assert late.rates[0, 0] == pytest.approx(often.rates[0, 0])


def test_rows_that_are_not_given_fade() -> None:
    rates = Estimator(2, 1)
    rates.look(0.0, np.array([[0], [0]], np.uint64))
    rates.look(2.0, np.array([[8], [8]], np.uint64))
    rates.look(4.0, np.array([[16]], np.uint64))
    assert rates.rates[1, 0] == pytest.approx(0.75 * 1.0)


def test_a_counter_that_was_set_back_counts_from_zero() -> None:
    rates = Estimator(1, 1)
    rates.look(0.0, np.array([[1000]], np.uint64))
    rates.look(2.0, np.array([[8]], np.uint64))
    assert rates.rates[0, 0] == 1.0


def test_a_row_that_is_forgotten_begins_with_nothing() -> None:
    rates = Estimator(1, 1)
    rates.look(0.0, np.array([[0]], np.uint64))
    rates.look(2.0, np.array([[80]], np.uint64))
    rates.forget([0])
    assert not rates.rates.any()
