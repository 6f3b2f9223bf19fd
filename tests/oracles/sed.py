"""Shortest expected delay, from LVS's description: least (active + 1) / weight; first on a tie."""

from __future__ import annotations

from fractions import Fraction


def choose(servers: list[tuple[int, int, int]]) -> int | None:
    """Return the index of the (weight, active, inactive) that is chosen; weight 0 never is."""
    delays = [(Fraction(active + 1, weight), index) for index, (weight, active, _) in enumerate(servers) if weight > 0]
    return min(delays)[1] if delays else None
