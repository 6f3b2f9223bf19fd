"""Weighted round robin, step by step as LVS's source walks its list: position, wanted weight, step down."""

from __future__ import annotations

from math import gcd


class WeightedRoundRobin:
    """One service's state: the index of the last choice (-1: before the first) and the weight that is wanted."""

    def __init__(self, weights: list[int]) -> None:
        self._weights = weights
        self._step = gcd(*weights) or 1
        self._most = max(weights, default=0) - (self._step - 1)
        self._wanted = self._most
        self._last = -1

    def choose(self) -> int | None:
        """Return the next index, None if no weight is above 0."""
        if max(self._weights, default=0) == 0:
            return None
        while True:
            self._last += 1
            if self._last == len(self._weights):
                self._last = -1
                self._wanted -= self._step
                if self._wanted <= 0:
                    self._wanted = self._most
            elif self._weights[self._last] >= self._wanted:
                return self._last
