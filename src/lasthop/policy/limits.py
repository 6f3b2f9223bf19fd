"""How much one director can hold.

Owns the limits that a configuration is checked against; the data plane's maps are made for them.
The sizes of the maps themselves are in bpf/abi.h.
"""

from __future__ import annotations

MAX_LEGS = 64
MAX_RULES = 4096
"""Pass rules and mark rules together, after every list in a match is multiplied out."""
MAX_SERVICES = 1024
MAX_SERVERS_PER_SERVICE = 256
MAX_SERVERS = 8192
"""Real servers of all services together; a box counts once per service."""
