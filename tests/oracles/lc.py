"""Least connection, from LVS's description: least active * 256 + inactive; first on a tie."""

from __future__ import annotations


def choose(servers: list[tuple[int, int, int]]) -> int | None:
    """Return the index of the (weight, active, inactive) that is chosen; weight 0 never is."""
    loads = [(active * 256 + inactive, index) for index, (weight, active, inactive) in enumerate(servers) if weight > 0]
    return min(loads)[1] if loads else None
