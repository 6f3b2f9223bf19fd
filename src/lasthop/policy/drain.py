"""When a real server that is drained will be empty.

Owns the estimate. No clock: the caller brings what it saw, and when.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EULER = 0.5772156649


def eta_s(samples: Sequence[tuple[float, int]]) -> float | None:
    """Seconds from the last of some (time, connections) samples, oldest first, until the last connection is over.

    Supposes that each connection ends at the one rate at which they ended so far: of n the last then takes the n-th
    harmonic number times the mean (order statistics of the exponential distribution). None if none has ended yet.
    """
    if not samples:
        return None
    (began, before), (now, left) = samples[0], samples[-1]
    if not left:
        return 0.0
    if left >= before or now <= began:
        return None
    rate = log(before / left) / (now - began)
    harmonic = log(left) + _EULER + 1 / (2 * left)
    return harmonic / rate
