"""Failover, from LVS's description: the highest weight; first on a tie."""

from __future__ import annotations


def choose(weights: list[int]) -> int | None:
    """Return the index of the weight that is chosen; 0 never is."""
    chosen = None
    for index, weight in enumerate(weights):
        if weight > (weights[chosen] if chosen is not None else 0):
            chosen = index
    return chosen
