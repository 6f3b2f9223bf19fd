"""The oracles themselves, at the points where LVS's source is plain."""

from __future__ import annotations

import pytest

from lasthop.model.director import State
from tests.oracles import rr, sctp_state, tcp_state, wlc


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
    tcp_states = {state.name for state in State if state <= State.SYNACK}
    assert len(tcp_state.TABLE) == 3 * 4 * len(tcp_states)
    assert {state for _, _, state in tcp_state.TABLE} == tcp_states
    assert set(tcp_state.TABLE.values()) <= tcp_states


CHUNKS = {
    "DATA", "INIT", "INIT_ACK", "COOKIE_ECHO", "COOKIE_ACK", "SHUTDOWN", "SHUTDOWN_ACK", "SHUTDOWN_COMPLETE", "ERROR",
    "ABORT",
}  # fmt: skip


def test_sctp_changes_lead_from_states_of_sctp_to_states_of_sctp() -> None:
    sctp_states = {state.name for state in State if state.name.startswith("SCTP_")}
    assert set(sctp_state.ABBREVIATIONS.values()) == sctp_states
    assert {(direction, chunk) for direction, chunk, _ in sctp_state.CHANGES} == {
        (direction, chunk) for direction in ("input", "output", "input_only") for chunk in CHUNKS
    }
    assert {state for _, _, state in sctp_state.CHANGES} | set(sctp_state.CHANGES.values()) == sctp_states


@pytest.mark.parametrize(
    ("direction", "chunks", "states"),
    [
        ("both", "INIT INIT_ACK COOKIE_ECHO COOKIE_ACK", "INIT1 COOKIE_SENT COOKIE_REPLIED ESTABLISHED"),
        ("both", "INIT ABORT", "INIT1 REJECTED"),
        ("input_only", "INIT COOKIE_ECHO DATA SHUTDOWN SHUTDOWN_COMPLETE",
         "INIT1 ESTABLISHED ESTABLISHED SHUTDOWN_RECEIVED CLOSED"),
        ("input_only", "INIT INIT ABORT", "INIT1 INIT CLOSED"),
    ],
)  # fmt: skip
def test_sctp_state_follows_an_association_as_rfc_9260_opens_and_ends_it(
    direction: str, chunks: str, states: str
) -> None:
    """both: client and server take turns."""
    state, turns = "SCTP_NONE", ["input_only", "output", "input", "output"]
    for number, (chunk, after) in enumerate(zip(chunks.split(), states.split(), strict=True)):
        state = sctp_state.next_state(turns[number] if direction == "both" else direction, chunk, state)
        assert state == f"SCTP_{after}"


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
