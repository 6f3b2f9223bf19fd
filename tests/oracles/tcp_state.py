"""LVS's three TCP state tables (tcp_states in net/netfilter/ipvs/ip_vs_proto_tcp.c) and its flag priority."""

from __future__ import annotations

ABBREVIATIONS = {
    "NO": "NONE", "ES": "ESTABLISHED", "SS": "SYN_SENT", "SR": "SYN_RECV", "FW": "FIN_WAIT", "TW": "TIME_WAIT",
    "CL": "CLOSE", "CW": "CLOSE_WAIT", "LA": "LAST_ACK", "LI": "LISTEN", "SA": "SYNACK",
}  # fmt: skip

#: Columns: the state before, in the kernel's order; cells: the state after.
TEXT = """
                 NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
input      syn   SR  ES  ES  SR  SR  SR  SR  SR  SR  SR  SR
input      fin   CL  CW  SS  TW  TW  TW  CL  CW  LA  LI  TW
input      ack   ES  ES  SS  ES  FW  TW  CL  CW  CL  LI  ES
input      rst   CL  CL  CL  SR  CL  CL  CL  CL  LA  LI  SR
output     syn   SS  ES  SS  SR  SS  SS  SS  SS  SS  LI  SR
output     fin   TW  FW  SS  TW  FW  TW  CL  TW  LA  LI  TW
output     ack   ES  ES  SS  ES  FW  TW  CL  CW  LA  ES  ES
output     rst   CL  CL  SS  CL  CL  TW  CL  CL  CL  CL  CL
input_only syn   SR  ES  ES  SR  SR  SR  SR  SR  SR  SR  SR
input_only fin   CL  FW  SS  TW  FW  TW  CL  CW  LA  LI  TW
input_only ack   ES  ES  SS  ES  FW  TW  CL  CW  CL  LI  ES
input_only rst   CL  CL  CL  SR  CL  CL  CL  CL  LA  LI  CL
"""

_HEAD, *_ROWS = [line.split() for line in TEXT.strip().splitlines()]
#: (direction, flag, state before) -> state after.
TABLE = {
    (direction, flag, ABBREVIATIONS[before]): ABBREVIATIONS[after]
    for direction, flag, *cells in _ROWS
    for before, after in zip(_HEAD, cells, strict=True)
}


def next_state(direction: str, flags: set[str], state: str) -> str:
    """Return the state after a packet with `flags`: rst before syn before fin before ack; none of them closes."""
    for flag in ("rst", "syn", "fin", "ack"):
        if flag in flags:
            return TABLE[direction, flag, state]
    return "CLOSE"
