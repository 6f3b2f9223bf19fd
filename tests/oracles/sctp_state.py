"""LVS's SCTP states by what changes them: sctp_states in net/netfilter/ipvs/ip_vs_proto_sctp.c."""

from __future__ import annotations

NAMES = """NONE INIT1 INIT COOKIE_SENT COOKIE_REPLIED COOKIE_WAIT COOKIE COOKIE_ECHOED ESTABLISHED
SHUTDOWN_SENT SHUTDOWN_RECEIVED SHUTDOWN_ACK_SENT REJECTED CLOSED"""
SHORT = "NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL"
ABBREVIATIONS = {short: f"SCTP_{name}" for short, name in zip(SHORT.split(), NAMES.split(), strict=True)}

#: Directions, chunk, and "states before > state after". *: of all states but those that the line names elsewhere.
TEXT = """
input,output     DATA               NO>ES
input_only       DATA               NO,CW>ES
input            INIT               NO>I1  I1,RJ,CL>IN
output           INIT               ES>ES  *>CW
input_only       INIT               NO>I1  I1,CS,CR,CW,RJ,CL>IN
input            INIT_ACK           NO,I1,IN>CW  CW>CO
output           INIT_ACK           NO,I1,IN>CS
input_only       INIT_ACK           NO,I1,IN,CS,CR,CW>CE
input            COOKIE_ECHO        NO,CS>CR  I1>IN
output           COOKIE_ECHO        NO,I1,IN,CS,CR,CW,CO>CE
input_only       COOKIE_ECHO        NO,I1,IN,CS,CR,CW>ES
input            COOKIE_ACK         NO,CE>ES
output           COOKIE_ACK         NO,I1,IN,CS,CR,CW,CO,CE>ES
input_only       COOKIE_ACK         NO,CS,CR,CO,CE>ES
input,input_only SHUTDOWN           NO,ES>SR
output           SHUTDOWN           SR>SR  SA>SA  RJ>RJ  CL>CL  *>SS
input            SHUTDOWN_ACK       I1>IN  NO,SS,SA>CL
output           SHUTDOWN_ACK       NO,I1,IN,CS,CR,SS,SR>SA
input_only       SHUTDOWN_ACK       I1>IN  NO,ES,SS,SA>CL
input            SHUTDOWN_COMPLETE  NO,I1,IN,SA>CL
output           SHUTDOWN_COMPLETE  NO>CL
input_only       SHUTDOWN_COMPLETE  NO,I1,IN,CS,CR,SR,SA>CL
input            ERROR              NO,CE>CL
output           ERROR              NO,I1,IN,CS,CR>CL
input_only       ERROR              NO>CL
input,input_only ABORT              CW>RJ  *>CL
output           ABORT              I1>RJ  *>CL
"""

#: (direction, chunk, state before) -> state after, where a packet may change the state.
CHANGES: dict[tuple[str, str, str], str] = {}
for _directions, _chunk, *_rules in (line.split() for line in TEXT.strip().splitlines()):
    for _before, _after in (rule.split(">") for rule in reversed(_rules)):
        for _state in SHORT.split() if _before == "*" else _before.split(","):
            CHANGES |= {(d, _chunk, ABBREVIATIONS[_state]): ABBREVIATIONS[_after] for d in _directions.split(",")}


def next_state(direction: str, chunk: str, state: str) -> str:
    """Return the state after a packet that is judged by `chunk`."""
    return CHANGES.get((direction, chunk, state), state)
