"""Overflow, from LVS's description: the highest weight with no more active connections than that; first on a tie."""

from __future__ import annotations


def choose(servers: list[tuple[int, int, int]]) -> int | None:
    """Return the index of the (weight, active, inactive) that is chosen; weight 0 never is."""
    chosen = None
    for index, (weight, active, _) in enumerate(servers):
        if weight > 0 and active <= weight and (chosen is None or weight > servers[chosen][0]):
            chosen = index
    return chosen
