"""TCP states, cell by cell against LVS's tables, through real packets; flags and live counters follow each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.oracles import tcp_state
from tests.packet.frames import reply, tcp, udp, with_flags
from tests.packet.plans import FW, ROUTER, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.entries import Connection
    from tests.packet.rig import Outcome, Rig

STATES = list(tcp_state.ABBREVIATIONS.values())
#: tcp_state_active in ip_vs_proto_tcp.c.
ACTIVE = {"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"}
#: A SYN on these is a new conversation on the same ports: test_reuse.py.
REUSED = {("input", "TIME_WAIT"), ("input", "CLOSE"), ("input_only", "TIME_WAIT"), ("input_only", "CLOSE")}
REUSED |= {("output", "TIME_WAIT"), ("output", "CLOSE"), ("input_only", "FIN_WAIT")}
#: Packets that are each flag's event, the last ones by priority: rst before syn before fin before ack.
FLAGS = {
    "syn": ["S", "SEC"],
    "fin": ["F", "FA", "FPA"],
    "ack": ["A", "PA", "UA"],
    "rst": ["R", "RA", "RF", "SR", "SFRA"],
}
NAMES = {"S": "syn", "A": "ack", "F": "fin", "R": "rst"}
FW0 = ("firewalls", FW[0])
BACK = ("outside", ROUTER)


def send(rig: Rig, direction: str, packet: Any) -> Outcome:
    return rig.send("firewalls", packet, FW[0]) if direction == "output" else rig.send("outside", packet, ROUTER)


def put_into(rig: Rig, state: str, *flags: str) -> Connection:
    """One connection on fw0 in `state`, with live counters to match."""
    rig.forget()
    rig.publisher.server_loads[:] = 0
    rig.send("outside", tcp(), ROUTER)
    rig.set_state(rig.only_connection(), state, *flags)
    load = rig.publisher.server_loads[rig.publisher.server_ids()["FWM 1", "fw0"] :][:1]
    load["active"], load["inactive"] = (1, 0) if state in ACTIVE else (0, 1)
    return rig.only_connection()


def checked(rig: Rig, direction: str, flags: str, state: str) -> tuple[str, tuple[int, int, int]]:
    """State and live counters after a packet; checks what holds in every cell."""
    before = put_into(rig, state, *([] if direction == "input_only" else ["REPLIED"]))
    opening = tcp()
    packet = reply(opening, flags) if direction == "output" else with_flags(opening, flags)
    wanted = forwarded("RESPONSE", BACK) if direction == "output" else forwarded("REQUEST", FW0)
    assert send(rig, direction, packet) == wanted
    after = rig.only_connection()
    assert after.word >> 32 == before.word >> 32, "the fingerprint is the key's, not the state's"
    assert ("REPLIED" in after.flags) == (direction != "input_only")
    assert ("ASSURED" in after.flags) == (after.state == "ESTABLISHED" and direction != "input_only")
    return after.state, rig.load_of("fw0")


def counters_for(state: str) -> tuple[int, int, int]:
    return (1, 0, 0) if state in ACTIVE else (0, 1, 0)


@pytest.mark.parametrize("event", FLAGS)
@pytest.mark.parametrize("direction", ["input", "output", "input_only"])
def test_every_cell_of_lvs_tables_holds_and_live_counters_follow(rig: Rig, direction: str, event: str) -> None:
    rig.publish(two_box())
    for flags in FLAGS[event]:
        for state in STATES:
            if event == "syn" and (direction, state) in REUSED:
                continue
            expected = tcp_state.TABLE[direction, event, state]
            found = checked(rig, direction, flags, state)
            assert found == (expected, counters_for(expected)), (flags, state)


@pytest.mark.parametrize("direction", ["input", "output"])
def test_syn_ack_counts_as_a_syn_from_either_side(rig: Rig, direction: str) -> None:
    rig.publish(two_box())
    for state in STATES:
        expected = tcp_state.TABLE[direction, "syn", state]
        assert checked(rig, direction, "SA", state) == (expected, counters_for(expected)), state


@pytest.mark.parametrize("flags", ["", "P", "U", "E", "C", "PUEC"])
@pytest.mark.parametrize("direction", ["input", "output", "input_only"])
def test_packet_without_any_of_the_four_flags_closes(rig: Rig, direction: str, flags: str) -> None:
    rig.publish(two_box())
    for state in STATES:
        assert checked(rig, direction, flags, state) == ("CLOSE", (0, 1, 0)), state


@pytest.mark.parametrize("flags", ["S", "SA", "A", "FA", ""])
def test_first_packet_starts_from_none_in_one_direction(rig: Rig, flags: str) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(flags), ROUTER)
    found = rig.only_connection()
    assert found.state == tcp_state.next_state("input_only", {NAMES[flag] for flag in flags}, "NONE")
    assert found.flags == frozenset()
    assert rig.load_of(found.server) == counters_for(found.state)


def test_whole_conversation_goes_through_lvs_states_and_is_assured_once_established(rig: Rig) -> None:
    rig.publish(two_box())
    seen = []
    conversation = {"input": ["S", "A", "FA", "A"], "output": ["SA", "PA", "FA"]}
    for direction in ("input", "output", "input", "output", "input", "output", "input"):
        flags = conversation[direction].pop(0)
        send(rig, direction, reply(tcp(), flags) if direction == "output" else tcp(flags))
        found = rig.only_connection()
        seen.append((found.state, "ASSURED" in found.flags, rig.load_of("fw0")[:2]))
    assert seen == [
        ("SYN_RECV", False, (1, 0)),
        ("SYN_RECV", False, (1, 0)),
        ("ESTABLISHED", True, (1, 0)),
        ("ESTABLISHED", True, (1, 0)),
        ("CLOSE_WAIT", True, (0, 1)),
        ("TIME_WAIT", True, (0, 1)),
        ("TIME_WAIT", True, (0, 1)),
    ]
    assert rig.only_connection().packets == (4, 3)


def test_simultaneous_open_stays_one_connection_with_the_first_side_its_originator(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("firewalls", reply(tcp(), "S"), FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.only_connection().state == "SYN_RECV"


def test_conversation_in_one_direction_is_assured_after_several_packets_over_some_seconds(rig: Rig) -> None:
    rig.publish(two_box())
    for opening, going_on in ((tcp(), tcp("A")), (udp(), udp())):
        rig.forget()
        rig.send("outside", opening, ROUTER)
        rig.age(6)
        for _ in range(3):
            rig.send("outside", going_on, ROUTER)
            assert "ASSURED" not in rig.only_connection().flags
        rig.send("outside", going_on, ROUTER)
        assert rig.only_connection().flags == {"ASSURED"}


def test_datagrams_are_assured_by_the_first_response(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp(), ROUTER)
    for _ in range(10):
        rig.send("outside", udp(), ROUTER)
    assert rig.only_connection().flags == frozenset(), "many at once prove nothing"
    rig.send("firewalls", reply(udp()), FW[0])
    assert rig.only_connection().flags == {"REPLIED", "ASSURED"}
    assert (rig.only_connection().state, rig.load_of("fw0")) == ("UDP", (0, 1, 0))
