"""The oracles themselves, at the points where LVS's source is plain."""

from __future__ import annotations

import pytest

from lasthop.model.director import State
from tests.oracles import rr, tcp_state, wlc


@pytest.mark.parametrize(
    ("servers", "chosen"),
    [
        ([], None),
        ([(0, 0, 0)], None),
        ([(1, 0, 0), (1, 0, 0)], 0),
        ([(1, 1, 0), (1, 0, 255)], 1),
        ([(1, 1, 0), (1, 0, 256)], 0),
        ([(1, 0, 1), (2, 0, 2), (3, 0, 3)], 0),
        ([(0, 0, 0), (1, 100, 0), (2, 199, 0)], 2),
    ],
)
def test_wlc_takes_the_least_overhead_per_weight_and_the_first_of_equals(
    servers: list[tuple[int, int, int]], chosen: int | None
) -> None:
    assert wlc.choose(servers) == chosen


def test_rr_goes_round_and_skips_weight_0() -> None:
    assert [rr.choose([1, 0, 5], last) for last in (None, 0, 2)] == [0, 2, 0]
    assert rr.choose([0, 0], 1) is None


def test_tcp_tables_have_a_cell_for_every_direction_flag_and_tcp_state() -> None:
    tcp_states = {state.name for state in State} - {"UDP", "ICMP"}
    assert len(tcp_state.TABLE) == 3 * 4 * len(tcp_states)
    assert {state for _, _, state in tcp_state.TABLE} == tcp_states
    assert set(tcp_state.TABLE.values()) <= tcp_states


@pytest.mark.parametrize(
    ("direction", "flags", "before", "after"),
    [
        ("input_only", {"syn"}, "NONE", "SYN_RECV"),
        ("output", {"syn", "ack"}, "SYN_RECV", "SYN_RECV"),
        ("input", {"ack"}, "SYN_RECV", "ESTABLISHED"),
        ("input", {"fin", "ack"}, "ESTABLISHED", "CLOSE_WAIT"),
        ("output", {"fin", "ack"}, "CLOSE_WAIT", "TIME_WAIT"),
        ("input", {"rst", "syn", "fin", "ack"}, "ESTABLISHED", "CLOSE"),
        ("input", {"rst"}, "SYN_RECV", "SYN_RECV"),
        ("input", {"psh"}, "ESTABLISHED", "CLOSE"),
    ],
)
def test_tcp_state_follows_rst_syn_fin_ack_in_that_order(
    direction: str, flags: set[str], before: str, after: str
) -> None:
    assert tcp_state.next_state(direction, flags, before) == after
