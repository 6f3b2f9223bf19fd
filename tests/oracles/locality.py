"""lblc and lblcr from LVS's sources: a destination's real server, or set of them, until it is overloaded."""

from __future__ import annotations

from tests.oracles import wlc

Loads = list[tuple[int, int, int]]
"""(weight, active, inactive) of each."""


def overloaded(loads: Loads, index: int) -> bool:
    """ip_vs_lblc.c, is_overloaded()."""
    weight, active, _ = loads[index]
    return active > weight and any(other_active * 2 < other_weight for other_weight, other_active, _ in loads)


class Locality:
    """What one service knows of its destinations."""

    def __init__(self, *, sets: bool) -> None:
        self.sets = sets
        self.known: dict[str, list[int]] = {}

    def choose(self, loads: Loads, destination: str) -> int | None:
        """Return the index for a new connection."""
        members = [index for index in self.known.get(destination, []) if loads[index][0] > 0]
        least = wlc.choose([load if index in members else (0, 0, 0) for index, load in enumerate(loads)])
        if least is not None and not overloaded(loads, least):
            return least
        chosen = wlc.choose(loads)
        if chosen is not None:
            kept = self.known.get(destination, []) if self.sets else []
            self.known[destination] = [*kept, *([chosen] if chosen not in kept else [])]
        return chosen
