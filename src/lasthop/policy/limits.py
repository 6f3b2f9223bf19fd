"""How much one director can hold.

Owns the limits that a configuration is checked against; the data plane's maps are made for them.
The sizes of the maps themselves are in bpf/abi.h.
"""

from __future__ import annotations

MIN_CONNECTIONS = 1_024
MAX_CONNECTIONS = 1_000_000_000
"""Slots of the connection table, of which each connection has 1.28, are counted in 31 bits."""
BYTES_PER_CONNECTION = 169
"""Of kernel memory, taken when the table is made."""
MAX_LEGS = 64
MAX_RULES = 4096
"""Pass rules and mark rules together, after every list in a match is multiplied out."""
MAX_SERVICES = 1024
MAX_SERVERS_PER_SERVICE = 256
MAX_SERVERS = 65_535
"""Real servers of all services together; a box counts once per service."""
REPLACE_IDLE_S = 900
"""An assured connection that is idle for longer may give way to a new one where the table is full; one that LVS would
have forgotten by then (its time-out of ESTABLISHED: net/netfilter/ipvs/ip_vs_proto_tcp.c)."""
