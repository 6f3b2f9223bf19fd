"""Waiting for a condition: nothing in the lab or its tests sleeps and hopes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


#: How many times as long as elsewhere a wait may take here: set for emulated machines (tests/kernels).
SLOWNESS = float(os.environ.get("LASTHOP_LAB_SLOWNESS", "1"))


def patience(seconds: float) -> float:
    """How long to wait here for what takes less than `seconds` elsewhere."""
    return seconds * SLOWNESS


def wait_until(condition: Callable[[], object], *, timeout: float, interval: float = 0.02) -> bool:
    """Ask every `interval` seconds until `condition` holds or `timeout` seconds are over; tell whether it held.

    The time is the longer, the slower the machine (SLOWNESS).
    """
    deadline = time.monotonic() + patience(timeout)
    while not condition():
        if time.monotonic() >= deadline:
            return bool(condition())
        time.sleep(interval)
    return True
