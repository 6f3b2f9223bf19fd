"""Round robin, from LVS's description: walk the ring from the last choice, skip what has no weight."""

from __future__ import annotations


def choose(weights: list[int], last: int | None) -> int | None:
    """Return the index after `last` (None: before the first) with a weight above 0; None if there is none."""
    start = -1 if last is None else last
    for step in range(1, len(weights) + 1):
        index = (start + step) % len(weights)
        if weights[index] > 0:
            return index
    return None
