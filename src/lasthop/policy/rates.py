"""How fast counters grow: a moving average over a table of them.

Owns LVS's estimator (net/netfilter/ipvs/ip_vs_est.c): every two seconds a quarter of the way from the rate that was
to the one that is. Nothing is read here; the caller brings counters and the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds between two looks at the counters.
BASE_S = 2.0
#: Share of the old rate that stays after each.
KEPT = 0.75

Counters = NDArray[np.uint64]


class Estimator:
    """Rates of `count` rows of counters."""

    def __init__(self, count: int, columns: int) -> None:
        self.rates = np.zeros((count, columns))
        """Per second, as of the last look."""
        self._seen = np.zeros((count, columns), np.uint64)
        self._at_s: float | None = None

    def look(self, now_s: float, counters: Counters) -> None:
        """Take the counters of the first rows as they are at `now_s`, on a clock that never steps back.

        The other rows do not move. Does nothing until `BASE_S` have gone since it did something. After more, the old
        rate fades as if a look had been taken every `BASE_S`.
        """
        if self._at_s is not None and now_s - self._at_s < BASE_S:
            return
        rows = len(counters)
        if self._at_s is not None:
            elapsed = now_s - self._at_s
            grown = np.zeros_like(self.rates)
            # A counter that was set back counts from zero: nothing goes backwards.
            grown[:rows] = np.where(counters >= self._seen[:rows], counters - self._seen[:rows], counters)
            self.rates += (grown / elapsed - self.rates) * (1 - KEPT ** (elapsed / BASE_S))
        self._seen[:rows] = counters
        self._at_s = now_s

    def forget(self, rows: Sequence[int] | NDArray[np.intp]) -> None:
        """Begin rows anew: they are others' now."""
        self.rates[rows] = 0
        self._seen[rows] = 0
