"""How big a connection table suits a machine.

Owns that rule. Who reads the machine's memory is `lasthop.daemon.memory`.
"""

from __future__ import annotations

from lasthop.policy.limits import BYTES_PER_CONNECTION

#: Of the machine's memory: what nf_conntrack takes as well is in proportion to the memory.
_SHARE = 64
_FEWEST, _MOST = 65_536, 8_000_000


def suitable_connections(memory_bytes: int) -> int:
    """Connections for which a table takes a 64th of the memory, to two significant digits, within bounds."""
    fitting = memory_bytes // _SHARE // BYTES_PER_CONNECTION
    unit: int = 10 ** max(0, len(str(fitting)) - 2)
    return min(max(fitting // unit * unit, _FEWEST), _MOST)
