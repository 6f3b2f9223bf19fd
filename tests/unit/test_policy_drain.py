"""When a drain is over: an estimate from how connections have ended so far."""

from __future__ import annotations

import random
from statistics import mean

import pytest

from lasthop.policy.drain import eta_s


def test_nothing_can_be_said_before_a_connection_has_ended() -> None:
    assert eta_s([]) is None
    assert eta_s([(0.0, 10)]) is None
    assert eta_s([(0.0, 10), (5.0, 10)]) is None
    assert eta_s([(0.0, 10), (5.0, 12)]) is None


def test_an_empty_real_server_has_nothing_to_wait_for() -> None:
    assert eta_s([(0.0, 10), (5.0, 0)]) == 0


def test_the_last_of_connections_that_end_at_random_is_met_on_average() -> None:
    """Of connections that each last a minute on average; the estimate is made when half are over."""
    draw = random.Random(1)
    errors = []
    for _ in range(200):
        ends = sorted(draw.expovariate(1 / 60) for _ in range(400))
        now = ends[199]
        estimate = eta_s([(0.0, 400), (now, 200)])
        assert estimate is not None
        errors.append(estimate / (ends[-1] - now))
    assert mean(errors) == pytest.approx(1, abs=0.1)
