"""SCTP states, cell by cell against LVS's, through real packets; what opens, ends and begins an association anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.sctp import SCTPChunkCookieEcho

from lasthop.model.director import Settings
from tests.oracles import sctp_state
from tests.packet.frames import CHUNKS, error, reply, sctp, tcp
from tests.packet.plans import FW, ROUTER, STRANGER, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.entries import Connection
    from tests.packet.rig import Outcome, Rig

STATES = list(sctp_state.ABBREVIATIONS.values())
DIRECTIONS = ["input", "output", "input_only"]
FW0 = ("firewalls", FW[0])
BACK = ("outside", ROUTER)
#: Chunk types without a meaning of their own: SACK, HEARTBEAT and its answer, ECNE, CWR, and those of later documents.
PLAIN_TYPES = [3, 4, 5, 12, 13, 15, 16, 64, 128, 192, 255]


def send(rig: Rig, direction: str, chunk: Any) -> Outcome:
    packet = sctp(chunk)
    if direction != "output":
        return rig.send("outside", packet, ROUTER)
    return rig.send("firewalls", reply(packet, chunk), FW[0])


def put_into(rig: Rig, state: str, *flags: str) -> Connection:
    """One association on fw0 in `state`, with live counters to match."""
    rig.forget()
    rig.publisher.server_loads[:] = 0
    rig.send("outside", sctp(), ROUTER)
    rig.set_state(rig.only_connection(), state, *flags)
    load = rig.publisher.server_loads[rig.publisher.server_ids()["FWM 1", "fw0"] :][:1]
    load["active"], load["inactive"] = counters_for(state)[:2]
    return rig.only_connection()


def counters_for(state: str) -> tuple[int, int, int]:
    """ESTABLISHED alone is active: set_sctp_state in ip_vs_proto_sctp.c."""
    return (1, 0, 0) if state == "SCTP_ESTABLISHED" else (0, 1, 0)


def checked(rig: Rig, direction: str, chunk: Any, state: str) -> tuple[str, tuple[int, int, int]]:
    """State and live counters after a packet; checks what holds in every cell."""
    before = put_into(rig, state, *([] if direction == "input_only" else ["REPLIED"]))
    wanted = forwarded("RESPONSE", BACK) if direction == "output" else forwarded("REQUEST", FW0)
    assert send(rig, direction, chunk) == wanted
    after = rig.only_connection()
    assert after.word >> 32 == before.word >> 32, "the same association"
    assert ("REPLIED" in after.flags) == (direction != "input_only")
    assert ("ASSURED" in after.flags) == (after.state == "SCTP_ESTABLISHED" and direction != "input_only")
    return after.state, rig.load_of("fw0")


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_cell_of_lvs_tables_holds_and_live_counters_follow(rig: Rig, direction: str, chunk: str) -> None:
    rig.publish(two_box())
    for state in STATES:
        if (chunk, state) == ("INIT", "SCTP_CLOSED"):
            continue
        expected = sctp_state.next_state(direction, chunk, state)
        assert checked(rig, direction, chunk, state) == (expected, counters_for(expected)), state


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_chunks_that_tell_nothing_of_the_state_count_as_data(rig: Rig, direction: str) -> None:
    rig.publish(two_box())
    for state in STATES:
        expected = sctp_state.next_state(direction, "DATA", state)
        for number in PLAIN_TYPES:
            found = checked(rig, direction, bytes([number, 0, 0, 4]), state)
            assert found == (expected, counters_for(expected)), (state, number)


@pytest.mark.parametrize("length", [*range(9), 300, 1401])
def test_an_abort_behind_a_cookie_echo_counts_wherever_its_padding_ends(rig: Rig, length: int) -> None:
    rig.publish(two_box())
    put_into(rig, "SCTP_ESTABLISHED", "REPLIED")
    rig.send("outside", sctp(SCTPChunkCookieEcho(cookie=bytes(length)) / CHUNKS["ABORT"]), ROUTER)
    assert rig.only_connection().state == "SCTP_CLOSED"


@pytest.mark.parametrize(
    ("first", "second", "judged_by"),
    [
        ("COOKIE_ACK", "ABORT", "ABORT"),
        ("COOKIE_ECHO", "ABORT", "ABORT"),
        ("COOKIE_ACK", "SHUTDOWN", "COOKIE_ACK"),
        ("COOKIE_ECHO", "DATA", "COOKIE_ECHO"),
        ("DATA", "ABORT", "DATA"),
        ("SHUTDOWN", "ABORT", "SHUTDOWN"),
        ("ERROR", "ABORT", "ERROR"),
    ],
)
def test_a_packet_is_judged_by_its_first_chunk_but_for_an_abort_behind_a_cookie(
    rig: Rig, first: str, second: str, judged_by: str
) -> None:
    rig.publish(two_box())
    for state in STATES:
        put_into(rig, state, "REPLIED")
        rig.send("outside", sctp(CHUNKS[first] / CHUNKS[second]), ROUTER)
        assert rig.only_connection().state == sctp_state.next_state("input", judged_by, state), state


def test_an_abort_beyond_the_packet_is_none(rig: Rig) -> None:
    """What follows the packet's own length is a frame's padding; a chunk header that is not whole is none."""
    rig.publish(two_box())
    for cut in (1, 2, 3, 4):
        whole = bytes(sctp(CHUNKS["COOKIE_ACK"] / CHUNKS["ABORT"]))
        shorter = whole[:2] + (len(whole) - cut).to_bytes(2) + whole[4:]
        put_into(rig, "SCTP_COOKIE_ECHOED", "REPLIED")
        assert rig.send("outside", shorter, ROUTER) == forwarded("REQUEST", FW0)
        assert rig.only_connection().state == "SCTP_ESTABLISHED"


@pytest.mark.parametrize("chunk", [name for name in CHUNKS if name not in {"ABORT", "SHUTDOWN_COMPLETE"}])
def test_first_packet_starts_from_none_and_init_alone_opens(rig: Rig, chunk: str) -> None:
    rig.publish(two_box())
    outcome = rig.send("outside", sctp(chunk), ROUTER)
    found = rig.only_connection()
    assert outcome.counted == {"FORWARDED_OPENING" if chunk == "INIT" else "FORWARDED_MIDSTREAM": 1}
    assert found.state == sctp_state.next_state("input_only", chunk, "SCTP_NONE")
    assert found.flags == frozenset()
    assert rig.load_of(found.server) == counters_for(found.state)


@pytest.mark.parametrize("chunk", ["ABORT", "SHUTDOWN_COMPLETE"])
def test_what_ends_an_unknown_association_is_forwarded_and_not_remembered(rig: Rig, chunk: str) -> None:
    rig.publish(two_box())
    wanted = rig.send("outside", sctp("DATA"), ROUTER).hop
    assert wanted is not None
    rig.forget()
    assert rig.send("outside", sctp(chunk), ROUTER) == forwarded("STRAY", wanted)
    assert not rig.connections()


@pytest.mark.parametrize(("chunk", "follows"), [("ABORT", False), ("SHUTDOWN_COMPLETE", False), ("DATA", True)])
def test_the_last_hop_does_not_follow_what_ends_an_association(rig: Rig, chunk: str, *, follows: bool) -> None:
    rig.publish(two_box())
    rig.send("outside", sctp(), ROUTER)
    rig.send("outside", sctp(chunk), STRANGER)
    assert (rig.only_connection().last_hop == ("outside", STRANGER)) == follows


def test_whole_association_goes_through_lvs_states_and_is_assured_once_established(rig: Rig) -> None:
    rig.publish(two_box())
    steps = [
        ("input", "INIT", "SCTP_INIT1"),
        ("input", "INIT", "SCTP_INIT"),
        ("output", "INIT_ACK", "SCTP_COOKIE_SENT"),
        ("input", "COOKIE_ECHO", "SCTP_COOKIE_REPLIED"),
        ("output", "COOKIE_ACK", "SCTP_ESTABLISHED"),
        ("input", "DATA", "SCTP_ESTABLISHED"),
        ("input", "SHUTDOWN", "SCTP_SHUTDOWN_RECEIVED"),
        ("output", "SHUTDOWN_ACK", "SCTP_SHUTDOWN_ACK_SENT"),
        ("input", "SHUTDOWN_COMPLETE", "SCTP_CLOSED"),
    ]
    for number, (direction, chunk, state) in enumerate(steps):
        send(rig, direction, chunk)
        found = rig.only_connection()
        assert (found.state, "ASSURED" in found.flags) == (state, number >= 4), number
        assert rig.load_of("fw0") == counters_for(state)
    assert rig.only_connection().packets == (6, 3)
    assert rig.only_connection().protocol == "sctp"


def test_association_of_which_requests_alone_are_seen_is_established_and_assured_in_time(rig: Rig) -> None:
    """LVS-DR: real servers answer past the director."""
    rig.publish(two_box())
    for chunk, state in (("INIT", "SCTP_INIT1"), ("COOKIE_ECHO", "SCTP_ESTABLISHED"), ("DATA", "SCTP_ESTABLISHED")):
        rig.send("outside", sctp(chunk), ROUTER)
        assert rig.only_connection().state == state
    rig.age(6)
    rig.send("outside", sctp("DATA"), ROUTER)
    assert rig.only_connection().flags == frozenset(), "three packets are not enough"
    rig.send("outside", sctp("DATA"), ROUTER)
    assert rig.only_connection().flags == {"ASSURED"}
    for chunk, state in (("SHUTDOWN", "SCTP_SHUTDOWN_RECEIVED"), ("SHUTDOWN_COMPLETE", "SCTP_CLOSED")):
        rig.send("outside", sctp(chunk), ROUTER)
        assert rig.only_connection().state == state


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_an_init_begins_a_closed_association_anew_unless_reuse_is_off(rig: Rig, mode: int, state: str) -> None:
    rig.publish(two_box(scheduler="rr", settings=Settings(conn_reuse_mode=mode)))
    rig.send("outside", sctp(), ROUTER)
    rig.set_state(rig.only_connection(), state, "REPLIED")
    if mode and state == "SCTP_CLOSED":
        outcome = rig.send_over("outside", sctp(), ROUTER)
        assert outcome == forwarded("OPENING", ("firewalls", FW[1]), EVENT_REUSED=1)
        assert (rig.only_connection().state, rig.only_connection().flags) == ("SCTP_INIT1", frozenset())
    else:
        assert rig.send("outside", sctp(), ROUTER) == forwarded("REQUEST", FW0)


@pytest.mark.parametrize("chunk", [name for name in CHUNKS if name != "INIT"])
def test_strict_sctp_drops_what_opens_no_association_and_belongs_to_none(rig: Rig, chunk: str) -> None:
    rig.publish(two_box(settings=Settings(sloppy_sctp=False)))
    assert rig.send("outside", sctp(chunk), ROUTER).counted == {"DROP_MIDSTREAM": 1}
    assert rig.send("outside", tcp("A"), ROUTER).verdict == "forwarded", "TCP has a setting of its own"
    assert rig.send("outside", error(reply(sctp()), "198.51.100.1"), ROUTER).verdict == "forwarded"
    opened = rig.send("outside", sctp(), ROUTER)
    assert opened.counted == {"FORWARDED_OPENING": 1}
    assert rig.send("outside", sctp(chunk), ROUTER).hop == opened.hop


def test_strict_tcp_leaves_sctp_to_its_own_setting(rig: Rig) -> None:
    rig.publish(two_box(settings=Settings(sloppy_tcp=False)))
    assert rig.send("outside", sctp("DATA"), ROUTER).counted == {"FORWARDED_MIDSTREAM": 1}
