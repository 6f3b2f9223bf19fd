"""Weighted least connection, from LVS's description: least (active * 256 + inactive) / weight; first on a tie."""

from __future__ import annotations

from fractions import Fraction


def choose(servers: list[tuple[int, int, int]]) -> int | None:
    """Return the index of the (weight, active, inactive) that is chosen; weight 0 never is."""
    loads = [
        (Fraction(active * 256 + inactive, weight), index)
        for index, (weight, active, inactive) in enumerate(servers)
        if weight > 0
    ]
    return min(loads)[1] if loads else None
